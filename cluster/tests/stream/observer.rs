//! What is seen of all nodes, and what of it must not be (cluster.md §1).

use std::collections::{BTreeMap, BTreeSet};

use fatebound_cluster::stream::{self, Class, Output};
use fatebound_cluster::{Node, Seq, View, ViewNumber, Views};

use crate::world::{Number, Peer, nodes, number};

/// What was submitted: by whom, in which of its stays in the group, the how manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Submission {
    origin: Number,
    stay: u32,
    number: u64,
    class: Class,
}

/// What was seen of one node.
#[derive(Default)]
struct Seen {
    /// How often it has come in.
    stay: u32,
    inside: bool,
    last: Seq,
    /// The last submission of each node in each of its stays that it has delivered.
    lasts: BTreeMap<(Number, u32), u64>,
    /// What it has delivered in the view in which it is.
    here: BTreeMap<u64, u64>,
    /// Where its own submissions have their places.
    places: BTreeMap<u64, Seq>,
    committed: BTreeSet<u64>,
}

/// What was seen.
pub struct Observer {
    config: stream::Config,
    submitted: Vec<Submission>,
    seen: Vec<Seen>,
    /// What those who went on have delivered: the history. By its number, which submission.
    pub history: BTreeMap<u64, u64>,
    /// Entries that somebody has delivered as safe, or called committed, and in which view.
    safe: BTreeMap<u64, (u64, u64)>,
    /// Of each view that is over its cut.
    cuts: BTreeMap<u64, Seq>,
    /// Of each view that is over the last submissions before its cut.
    lasts: BTreeMap<u64, BTreeMap<Node, u64>>,
    /// How much a node has ever had of a view.
    haves: BTreeMap<(u64, Number), Seq>,
    /// Who was given entries of a view by agreement, which does not say how many of them are stable.
    filled: BTreeSet<(u64, Number)>,
    pub views: u64,
    pub delivered: usize,
    /// Bounds that were reached.
    pub windows_full: usize,
    pub broken: BTreeSet<String>,
}

impl Observer {
    pub fn new(config: &stream::Config) -> Observer {
        Observer {
            config: config.clone(),
            submitted: Vec::new(),
            seen: (0..nodes().len()).map(|_| Seen::default()).collect(),
            history: BTreeMap::new(),
            safe: BTreeMap::new(),
            cuts: BTreeMap::new(),
            lasts: BTreeMap::new(),
            haves: BTreeMap::new(),
            filled: BTreeSet::new(),
            views: 0,
            delivered: 0,
            windows_full: 0,
            broken: BTreeSet::new(),
        }
    }

    fn check(&mut self, holds: bool, promise: impl FnOnce() -> String) {
        if !holds {
            self.broken.insert(promise());
        }
    }

    /// A body that nobody has submitted before.
    pub fn body(&self, padding: usize) -> Vec<u8> {
        let mut body = (self.submitted.len() as u64).to_le_bytes().to_vec();
        body.resize(8 + padding, 0);
        body
    }

    /// It was taken.
    pub fn submits(&mut self, origin: Number, number: u64, class: Class, _: &[u8]) {
        let stay = self.seen[origin].stay;
        self.submitted.push(Submission {
            origin,
            stay,
            number,
            class,
        });
    }

    /// What a stream says.
    pub fn sees(&mut self, at: Number, output: &Output, views: &Views) {
        match output {
            Output::Deliver {
                seq,
                origin,
                number,
                class,
                body,
            } => self.delivers(at, *seq, *origin, *number, *class, body, views),
            Output::Logged { number, seq } => {
                let before = self.seen[at].places.insert(*number, *seq);
                self.check(before.is_none(), || format!("{at}: {number} is logged twice"));
            }
            Output::Committed { number, seq } => {
                let place = self.seen[at].places.get(number).copied();
                self.check(place == Some(*seq), || {
                    format!("{at}: {number} committed in another place")
                });
                let new = self.seen[at].committed.insert(*number);
                self.check(new, || format!("{at}: {number} is committed twice"));
                let (stay, number) = (self.seen[at].stay, *number);
                let of = |submission: &Submission| {
                    submission.origin == at && submission.stay == stay && submission.number == number
                };
                if let Some(id) = self.submitted.iter().position(of) {
                    self.is_safe(views.view(), *seq, id as u64);
                }
            }
            Output::Unknown { number } => {
                let sure = self.seen[at].committed.contains(number);
                self.check(!sure, || format!("{at}: {number} is unknown, having been committed"));
            }
            Output::Lagging { .. } | Output::Send { .. } => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of an output")]
    fn delivers(&mut self, at: Number, seq: Seq, origin: Node, count: u64, class: Class, body: &[u8], views: &Views) {
        self.delivered += 1;
        let id = u64::from_le_bytes(body[..8].try_into().expect("8 bytes"));
        let said = self.submitted.get(id as usize).copied();
        let Some(said) = said else {
            return self.check(false, || format!("{at}: {id} was never submitted"));
        };
        let same = (said.origin, said.number, said.class) == (number(origin), count, class);
        self.check(same, || format!("{at}: {id} is not what was submitted"));
        let last = self.seen[at].last;
        self.check(seq == last.next(), || format!("G8 {at}: {seq} follows {last}"));
        self.seen[at].last = seq;
        self.seen[at].here.insert(seq.0, id);
        let before = self.seen[at].lasts.insert((said.origin, said.stay), count);
        let follows = before.is_none_or(|before| count == before + 1);
        self.check(follows, || format!("G8 {at}: {said:?} follows {before:?}"));
        if said.origin == at {
            let place = self.seen[at].places.get(&count).copied();
            self.check(place == Some(seq), || {
                format!("{at}: {count} is not where it was logged")
            });
        }
        if class == Class::Safe {
            self.is_safe(views.view(), seq, id);
        }
    }

    /// Whoever goes on from a view has this entry.
    fn is_safe(&mut self, view: Option<&View>, seq: Seq, id: u64) {
        let Some(view) = view.map(|view| view.number.0) else {
            return;
        };
        let other = self.safe.entry(seq.0).or_insert((id, view)).0;
        self.check(other == id, || format!("G9: two safe entries {seq}"));
        let cut = self.cuts.get(&view).copied();
        self.check(cut.is_none_or(|cut| cut >= seq), || {
            format!("G9: safe entry {seq} is behind the cut")
        });
        let decided = self.history.get(&seq.0).copied();
        self.check(decided.is_none_or(|decided| decided == id), || {
            format!("G9: safe entry {seq} is another one in the history")
        });
    }

    /// A node has delivered the end of a view, with what it knows then.
    pub fn ends(&mut self, at: Number, view: ViewNumber, up_to: Seq, lasts: &BTreeMap<Node, u64>) {
        let other = self.cuts.insert(view.0, up_to);
        self.check(other.is_none_or(|other| other == up_to), || {
            format!("view {view} has two cuts")
        });
        let last = self.seen[at].last;
        self.check(last == up_to, || {
            format!("G5 {at}: ends view {view} at {last}, not {up_to}")
        });
        for (seq, id) in std::mem::take(&mut self.seen[at].here) {
            let other = self.history.insert(seq, id);
            self.check(other.is_none_or(|other| other == id), || {
                format!("G5 {at}: entry {seq} of view {view} is another one elsewhere")
            });
            let safe = self.safe.get(&seq).map(|(safe, _)| *safe);
            self.check(safe.is_none_or(|safe| safe == id), || {
                format!("G9 {at}: entry {seq} was another one when it was safe")
            });
        }
        let behind = self.safe.iter().find(|(seq, (_, of))| *of == view.0 && **seq > up_to.0);
        let behind = behind.map(|(seq, _)| *seq);
        self.check(behind.is_none(), || {
            format!("G9: safe entry {behind:?} is behind the cut {up_to}")
        });
        if let Some(other) = self.lasts.insert(view.0, lasts.clone()) {
            self.check(other == *lasts, || {
                format!("G5 {at}: other last submissions in view {view}")
            });
        }
    }

    /// A view begins at a node; the last submissions that a newcomer is told.
    pub fn installs(&mut self, at: Number, view: &View) -> BTreeMap<Node, u64> {
        self.views = self.views.max(view.number.0);
        let seen = &mut self.seen[at];
        let newcomer = !seen.inside;
        if newcomer {
            seen.stay += 1;
            seen.inside = true;
            seen.last = view.cut;
            seen.places.clear();
            seen.committed.clear();
            seen.lasts.clear();
        }
        seen.here.clear();
        let (last, cut) = (seen.last, view.cut);
        self.check(last == cut, || format!("G8 {at}: begins at {cut} behind {last}"));
        let before = view.number.0.checked_sub(1).and_then(|before| self.lasts.get(&before));
        before.cloned().unwrap_or_default()
    }

    /// A node is out.
    pub fn removed(&mut self, at: Number) {
        self.seen[at].inside = false;
    }

    /// A node is given entries by agreement.
    pub fn fills(&mut self, at: Number, view: ViewNumber) {
        self.filled.insert((view.0, at));
    }

    /// After every step.
    pub fn looks(&mut self, at: Number, peer: &Peer) {
        for bound in peer.stream.bounds() {
            self.check(bound.holds(), || format!("G11 {at}: {bound:?}"));
        }
        let (Some(view), Some(log)) = (peer.views.view(), peer.views.log()) else {
            return;
        };
        let have = self.haves.entry((view.number.0, at)).or_default();
        *have = log.have().max(*have);
        let filled = self.filled.contains(&(view.number.0, at));
        let window = self.config.window_entries;
        let most = if filled { 2 * window } else { window };
        self.windows_full += usize::from(log.len() == window);
        let (len, bytes) = (log.len(), log.bytes());
        self.check(len <= most, || format!("G11 {at}: {len} entries are kept"));
        self.check(bytes <= 2 * self.config.window_bytes, || {
            format!("G11 {at}: {bytes} bytes are kept")
        });
        let after = log.after();
        if after > view.cut {
            for voter in &view.voters {
                let have = self.haves.get(&(view.number.0, number(voter.node))).copied();
                self.check(have.is_some_and(|have| have >= after), || {
                    format!("G11 {at}: forgets up to {after}, which {} lacks", number(voter.node))
                });
            }
        }
    }

    /// All is over and quiet, in this view: everybody in it has delivered the same, and whatever was submitted by them, once.
    pub fn ended(&mut self, view: &View) {
        let inside: Vec<Number> = view.voters.iter().map(|voter| number(voter.node)).collect();
        let first = inside[0];
        let rest = self.seen[first].here.clone();
        for at in &inside {
            let same = self.seen[*at].here == rest;
            self.check(same, || {
                format!("G5 {at}: has delivered something else in the last view")
            });
        }
        self.history.extend(rest);
        let mut delivered: BTreeMap<u64, u32> = BTreeMap::new();
        for id in self.history.values() {
            *delivered.entry(*id).or_default() += 1;
        }
        for (id, said) in self.submitted.clone().into_iter().enumerate() {
            let times = delivered.get(&(id as u64)).copied().unwrap_or_default();
            self.check(times <= 1, || format!("G10: {said:?} is delivered {times} times"));
            let stays = inside.contains(&said.origin) && self.seen[said.origin].stay == said.stay;
            self.check(times == 1 || !stays, || format!("G10: {said:?} is lost"));
            let committed = self.seen[said.origin].committed.contains(&said.number);
            self.check(committed || !stays, || {
                format!("G10: {said:?} is not known to be committed")
            });
        }
    }
}
