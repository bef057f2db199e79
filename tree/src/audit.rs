//! Lists: what happens when digests differ after all.
//!
//! "With ordered sessions and replay it can only differ through a bug or a lie, so a difference is counted, logged, and settled by exchanging lists
//! and dropping what is not on both" (protocol.md §4); or because somebody keeps silence about one group. A list is the whole joint
//! set, with the moment that it shows. Its receiver looks at its own set *at that moment*, drops what the list lacks, and, if
//! the list has what it lacks itself, returns its own list, so that the other can do the same.
//!
//! What is dropped here is also released on this very link: so the removal is a numbered operation like any other, and the digests agree again
//! as soon as it is received. Until then comparisons rest.
//!
//! Lists may be lost, and with an adversary under every list they always are. So a difference that no list settles within `settle_timeout` is
//! what it would be without lists: silence, and the link ends.

use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{JointSet, LinkId, Rule, Time};

use crate::joint_set::{Digest, Verdict};
use crate::release::{pass_on, push};
use crate::tree::{Batches, MAX_BATCH, Tree};
use crate::{Cause, Output, PathId, Tell};

/// Between two lists on one link at least: 1 s, doubled with each list that settled nothing, up to 64 s. A guess: lists may be lost with a
/// session, and whoever lies for ever shall not cost more than a list per minute.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// How far a link's disagreement has got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    /// A difference was seen, and no agreement since.
    differing: bool,
    /// When a difference was seen about which no list of the other end has come since.
    unsettled: Option<Time>,
    /// When we sent our last list.
    listed: Option<Time>,
    /// Lists sent since the last agreement.
    lists: u32,
    /// The other end's list, as far as it has come.
    incoming: Option<Incoming>,
}

#[derive(Clone, Debug)]
struct Incoming {
    sent: u64,
    received: u64,
    next: u32,
    parts: u32,
    hashes: HashSet<Digest>,
}

/// For `fingerprint`.
impl Hash for Audit {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Audit {
            differing,
            unsettled,
            listed,
            lists,
            incoming,
        } = self;
        (differing, unsettled, listed, lists).hash(hasher);
        let Some(Incoming {
            sent,
            received,
            next,
            parts,
            hashes,
        }) = incoming
        else {
            return;
        };
        (sent, received, next, parts).hash(hasher);
        hashes.iter().collect::<BTreeSet<_>>().hash(hasher);
    }
}

/// One part of a list, as it came.
struct Part {
    sent: u64,
    received: u64,
    part: u32,
    parts: u32,
    paths: Vec<PathId>,
}

impl Audit {
    /// Paths of the other end's list, as far as it has come.
    pub(crate) fn listed_paths(&self) -> usize {
        self.incoming.as_ref().map_or(0, |list| list.hashes.len())
    }

    fn may_list(&self, now: Time) -> bool {
        let doublings = self.lists.saturating_sub(1).min(MAX_DOUBLINGS);
        self.listed
            .is_none_or(|last| now.since(last) >= PAUSE * (1 << doublings))
    }

    /// Takes the next part; a gap (a broken session) loses the whole list. Tells whether the part can belong to a list at all.
    fn take(&mut self, part: &Part, hashes: impl Iterator<Item = Digest>, max_paths: usize) -> bool {
        if part.part >= part.parts || part.paths.len() > MAX_BATCH {
            return false;
        }
        if part.part == 0 {
            self.incoming = Some(Incoming {
                sent: part.sent,
                received: part.received,
                next: 0,
                parts: part.parts,
                hashes: HashSet::new(),
            });
        }
        let Some(list) = self.incoming.as_mut() else {
            return true;
        };
        let fits = (list.sent, list.received) == (part.sent, part.received);
        if !fits || (list.next, list.parts) != (part.part, part.parts) {
            self.incoming = None;
            return true;
        }
        list.next += 1;
        list.hashes.extend(hashes);
        list.hashes.len() <= max_paths
    }
}

impl Tree {
    /// Dispatches what the other end says about paths without a number.
    pub(crate) fn on_told(&mut self, now: Time, link: LinkId, tell: Tell, out: &mut Vec<Output>) {
        match tell {
            Tell::Suspected { paths } => self.on_suspected(link, &paths, out),
            Tell::List {
                sent,
                received,
                part,
                parts,
                paths,
            } => {
                let part = Part {
                    sent,
                    received,
                    part,
                    parts,
                    paths,
                };
                self.on_list(now, link, &part, out);
            }
        }
    }

    /// The other end's view, as in its ping.
    pub(crate) fn on_joint_set_seen(&mut self, now: Time, link: LinkId, theirs: JointSet, out: &mut Vec<Output>) {
        let Some(up) = self.links.get_mut(&link) else { return };
        let verdict = up.joint.seen(theirs);
        self.on_verdict(now, link, verdict, out);
    }

    /// Operations have arrived: what lay ahead of them can perhaps be compared now.
    pub(crate) fn on_caught_up(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let Some(up) = self.links.get_mut(&link) else { return };
        let verdict = up.joint.caught_up();
        self.on_verdict(now, link, verdict, out);
        self.settle(now, link, out);
    }

    fn on_verdict(&mut self, now: Time, link: LinkId, verdict: Verdict, out: &mut Vec<Output>) {
        match verdict {
            Verdict::Unknown => {}
            Verdict::Equal => self.on_agreement(link),
            Verdict::Different => {
                self.note_difference(link);
                if self.is_settled_in_time(now, link) || !Rule::DifferenceEndsTheLink.holds() {
                    self.send_list(now, link, out);
                } else {
                    tracing::warn!(?link, "no list has settled what the two ends of a link disagree about");
                    out.push(Output::GiveUp { link });
                }
            }
            Verdict::Lie => self.violation(link, "it has received operations that were never sent", out),
        }
    }

    fn on_agreement(&mut self, link: LinkId) {
        if let Some(up) = self.links.get_mut(&link) {
            up.audit.differing = false;
            up.audit.unsettled = None;
            up.audit.lists = 0;
        }
    }

    /// "◆ A difference that no list settles within `L / 2` takes the link down."
    fn is_settled_in_time(&mut self, now: Time, link: LinkId) -> bool {
        let Some(up) = self.links.get_mut(&link) else {
            return true;
        };
        let since = *up.audit.unsettled.get_or_insert(now);
        now.since(since) < self.config.settle_timeout
    }

    /// Counts a difference once, until the next agreement.
    fn note_difference(&mut self, link: LinkId) {
        let Some(up) = self.links.get_mut(&link) else { return };
        if !up.audit.differing {
            up.audit.differing = true;
            self.mismatches += 1;
            tracing::warn!(?link, peer = %up.peer, "the two ends of a link disagree about its paths");
        }
    }

    fn send_list(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        // Before anything else: a neighbour whose digests lie must not cost a walk over all paths per ping.
        if !self.links.get(&link).is_some_and(|up| up.audit.may_list(now)) {
            return;
        }
        let paths: Vec<PathId> = self.path_ids_on(link).collect();
        let Some(up) = self.links.get_mut(&link) else { return };
        up.audit.listed = Some(now);
        up.audit.lists = up.audit.lists.saturating_add(1);
        let moment = up.joint.now(paths.len());
        let batch = self.config.batch.clamp(1, MAX_BATCH);
        // An empty set is a list, too.
        let parts = paths.len().div_ceil(batch).max(1) as u32;
        let mut chunks = paths.chunks(batch);
        for part in 0..parts {
            let tell = Tell::List {
                sent: moment.sent,
                received: moment.received,
                part,
                parts,
                paths: chunks.next().unwrap_or_default().to_vec(),
            };
            out.push(Output::Tell { link, tell });
        }
    }

    /// Both ends' limits may differ and operations may be on their way, but not by so much.
    pub(crate) fn most_listed(&self) -> usize {
        self.config.max_paths_per_link.saturating_mul(4).max(1024)
    }

    fn on_list(&mut self, now: Time, link: LinkId, part: &Part, out: &mut Vec<Output>) {
        let max_paths = self.most_listed();
        let Some(up) = self.links.get_mut(&link) else { return };
        let (joint, audit) = (&up.joint, &mut up.audit);
        let hashes = part.paths.iter().map(|path| joint.hash(path));
        if audit.take(part, hashes, max_paths) {
            self.settle(now, link, out);
        } else {
            up.audit.incoming = None;
            self.violation(link, "a list that cannot be", out);
        }
    }

    /// Acts on a complete list as soon as we have received what its sender had sent.
    fn settle(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let Some(up) = self.links.get_mut(&link) else { return };
        let (sent, received) = (up.joint.sent(), up.joint.received());
        let ready = |list: &mut Incoming| list.next == list.parts && list.sent <= received;
        match up.audit.incoming.take_if(ready) {
            Some(list) if list.received > sent => self.violation(link, "a list that cannot be", out),
            Some(list) if list.sent == received => self.compare_lists(now, link, list, out),
            // Nothing that an operation has changed since may be taken for a difference: the next list will do.
            _ => {}
        }
    }

    /// ◆ "Lists say so too": what we handed on only after the list's moment is not lacking, and what we removed after it is not amiss. The
    /// former is known of every path, because pings overtake lists: when a long one is here, the history may start long after it.
    fn compare_lists(&mut self, now: Time, link: LinkId, list: Incoming, out: &mut Vec<Output>) {
        let Some(up) = self.links.get_mut(&link) else { return };
        up.audit.unsettled = None;
        let recent = up.joint.rewind(list.received);
        let mut theirs = list.hashes;
        let mut lacking = Vec::new();
        for &number in self.store.on(link) {
            let segment = self.store.get(number);
            let handed_on_later = segment.down == Some(link) && segment.handed_on > list.received;
            let later = handed_on_later && Rule::HandedOnIsRemembered.holds();
            if !theirs.remove(&up.joint.hash(&segment.path)) && !later {
                lacking.push(number);
            }
        }
        theirs.retain(|&hash| !up.joint.removed_since(hash));
        if !lacking.is_empty() || (recent && !theirs.is_empty()) {
            self.note_difference(link);
        }
        self.drop_lacking(link, &lacking, out);
        if !theirs.is_empty() {
            self.send_list(now, link, out);
        }
    }

    /// "Dropping what is not on both": like a `Release` that came on this link, and said on it, too.
    fn drop_lacking(&mut self, link: LinkId, lacking: &[u32], out: &mut Vec<Output>) {
        if lacking.is_empty() {
            return;
        }
        let mut releases = Batches::new();
        for &number in lacking {
            let segment = self.store.remove(number);
            push(&mut releases, link, (segment.path, Cause::Disagreed));
            pass_on(&segment, link, Cause::Disagreed, &mut releases, out);
        }
        self.send_releases(releases, out);
        if let Some(up) = self.links.get_mut(&link) {
            up.joint.rest();
        }
    }
}
