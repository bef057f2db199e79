//! The joint set of one link: what makes two ends sure, in eight bytes, that they watch the same paths.
//!
//! Both ends change the set, each sees the other's changes late, and yet a digest that differs must mean a bug or a lie. The way out is to
//! compare two views of *the same moment*. A moment is a pair: so many operations of one end, so many of the other. A path is in
//! the set at that moment if its `Construct` is among these operations and no `Release` or `Fail` naming it is; whichever came first does not
//! matter, because a path crosses a link at most once in its life. So each end can reckon the set for any moment:
//!
//! - the other's operations: the moment must be the one up to which we have received (if it lies ahead, we wait for it);
//! - our own: those that the other had not yet received are Rule, out of a short history of what each changed.
//!
//! ◆ One case needs care. We release a path, and before that is received, the other end's `Release` of the same path arrives. From then on the
//! removal is theirs as well, and undoing ours must not bring the path back: [`Joint::remove_by_them`] and [`Joint::cancel`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use fatebound_overlay::{JointSet, PeerId, Rule};

use crate::PathId;

/// A digest or the keyed hash of one path; XOR of numbers is XOR of bytes.
pub(crate) type Digest = u128;

/// One end's view of a joint set.
#[derive(Clone, Debug)]
pub(crate) struct Joint {
    key: [u8; 32],
    digest: Digest,
    /// Operations that we sent.
    sent: u64,
    /// Operations that we received.
    received: u64,
    /// Of ours, those that the other end had received, as it said last.
    acknowledged: u64,
    /// Only moments with at least so many of our operations are compared.
    floor: u64,
    /// What the operations after `acknowledged` changed, oldest first.
    history: VecDeque<Change>,
    /// XOR of the history's hashes.
    undo: Digest,
    /// Changes that left the history so far: the absolute number of its front.
    forgotten: u64,
    /// Hash of each path removed in the history, and the absolute number of that change.
    removals: HashMap<Digest, u64>,
    /// The history's length at most.
    max_history: usize,
    /// The first view of the other end that lies ahead of what we have received.
    pending: Option<JointSet>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Change {
    operation: u64,
    /// 0: cancelled.
    hash: Digest,
    removal: bool,
}

/// For `fingerprint`.
impl Hash for Joint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Joint {
            key,
            digest,
            sent,
            received,
            acknowledged,
            floor,
            history,
            undo,
            forgotten,
            removals,
            max_history: _,
            pending,
        } = self;
        (key, digest, undo, pending, history).hash(hasher);
        [*sent, *received, *acknowledged, *floor, *forgotten].hash(hasher);
        removals.iter().collect::<BTreeMap<_, _>>().hash(hasher);
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to compare (yet).
    Unknown,
    /// Both ends see the same set.
    Equal,
    /// They do not.
    Different,
    /// The other end has received what we never sent.
    Lie,
}

impl Joint {
    /// The empty set of a new link. The history holds at most `max_history` changes; beyond that it is given up, and comparisons rest until the
    /// other end has caught up.
    pub(crate) fn new(key: [u8; 32], max_history: usize) -> Joint {
        Joint {
            key,
            digest: 0,
            sent: 0,
            received: 0,
            acknowledged: 0,
            floor: 0,
            history: VecDeque::new(),
            undo: 0,
            forgotten: 0,
            removals: HashMap::new(),
            max_history,
            pending: None,
        }
    }

    /// "`blake3::keyed_hash(link_key, path)`" (protocol.md §4), its first 16 bytes.
    pub(crate) fn hash(&self, path: &PathId) -> Digest {
        let mut bytes = Canonical::default();
        bytes.push(&path.epoch.to_be_bytes());
        bytes.push(&path.group.incarnation.to_be_bytes());
        bytes.push(&path.group.sequence.to_be_bytes());
        bytes.push_peer(&path.group.root);
        bytes.push_peer(&path.member);
        let hash = blake3::keyed_hash(&self.key, &bytes.buffer[..bytes.length]);
        let mut head = [0; 16];
        head.copy_from_slice(&hash.as_bytes()[..16]);
        Digest::from_be_bytes(head)
    }

    /// Our next operation begins: the changes by us that follow are its.
    pub(crate) fn send(&mut self) {
        self.sent += 1;
    }

    /// Their next operation begins.
    pub(crate) fn receive(&mut self) {
        self.received += 1;
    }

    /// Our `Construct` adds a path.
    pub(crate) fn add_by_us(&mut self, hash: Digest) {
        self.digest ^= hash;
        self.record(hash, false);
    }

    /// Their `Construct` adds a path.
    pub(crate) fn add_by_them(&mut self, hash: Digest) {
        self.digest ^= hash;
    }

    /// Our `Release` or `Fail` removes a path.
    pub(crate) fn remove_by_us(&mut self, hash: Digest) {
        self.digest ^= hash;
        self.removals.insert(hash, self.forgotten + self.history.len() as u64);
        self.record(hash, true);
    }

    /// Their `Release` or `Fail` removes a path that is in the set.
    pub(crate) fn remove_by_them(&mut self, hash: Digest) {
        self.digest ^= hash;
    }

    /// Their `Release` or `Fail` names a path that is not in the set. If a removal of ours is on its way, the two have crossed: as of what
    /// they say now, the path is gone whether or not ours is undone.
    pub(crate) fn cancel(&mut self, hash: Digest) {
        let Some(at) = self.removals.remove(&hash) else { return };
        let at = at.checked_sub(self.forgotten).and_then(|at| usize::try_from(at).ok());
        if let Some(change) = at.and_then(|at| self.history.get_mut(at)) {
            self.undo ^= change.hash;
            change.hash = 0;
        }
    }

    /// A path leaves without a word: from now on the digests differ.
    pub(crate) fn leave_silently(&mut self, hash: Digest) {
        self.digest ^= hash;
    }

    /// Takes the other end's view, out of a ping. ◆ "A peer compares the received digest with its own *as of the operations
    /// that the sender had received*" (protocol.md §4).
    pub(crate) fn seen(&mut self, theirs: JointSet) -> Verdict {
        if theirs.received > self.sent {
            return Verdict::Lie;
        }
        if !Rule::DigestAsOfOperations.holds() {
            return self.verdict(self.digest, theirs);
        }
        if theirs.sent > self.received {
            // The oldest one stays: if the newest did, a link on which every ping overtakes an operation were never compared (scenario 8).
            match Rule::OldestViewWaits.holds() {
                false => self.pending = Some(theirs),
                true => drop(self.pending.get_or_insert(theirs)),
            }
            return Verdict::Unknown;
        }
        if self.pending.is_some() {
            return Verdict::Unknown;
        }
        self.compare(theirs)
    }

    /// Compares with a view that lay ahead, once its operations have arrived.
    pub(crate) fn caught_up(&mut self) -> Verdict {
        match self.pending {
            Some(theirs) if theirs.sent == self.received => {
                self.pending = None;
                self.compare(theirs)
            }
            _ => Verdict::Unknown,
        }
    }

    fn compare(&mut self, theirs: JointSet) -> Verdict {
        if theirs.sent != self.received || !self.rewind(theirs.received) || theirs.received < self.floor {
            return Verdict::Unknown;
        }
        self.verdict(self.digest ^ self.undo, theirs)
    }

    fn verdict(&self, ours: Digest, theirs: JointSet) -> Verdict {
        if said(ours) == theirs.digest {
            Verdict::Equal
        } else {
            Verdict::Different
        }
    }

    /// Makes this number of our operations the moment that the history starts from, unless it starts from a later one already.
    pub(crate) fn rewind(&mut self, received: u64) -> bool {
        let possible = received >= self.acknowledged;
        if possible {
            self.acknowledge(received);
        }
        possible
    }

    /// Comparisons rest until the other end has received all that we have sent so far.
    pub(crate) fn rest(&mut self) {
        self.floor = self.sent;
    }

    /// Whether an operation of ours after the moment that the history starts from has removed this path.
    pub(crate) fn removed_since(&self, hash: Digest) -> bool {
        self.removals.contains_key(&hash)
    }

    /// Operations that we have sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Operations that we have received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Changes that can still be undone.
    pub(crate) fn history_len(&self) -> usize {
        self.history.len().max(self.removals.len())
    }

    /// The set now, of so many paths.
    pub(crate) fn now(&self, paths: usize) -> JointSet {
        JointSet {
            digest: said(self.digest),
            paths: u32::try_from(paths).unwrap_or(u32::MAX),
            sent: self.sent,
            received: self.received,
        }
    }

    /// Drops what can no longer be undone: O(1) per operation over time.
    fn acknowledge(&mut self, received: u64) {
        self.acknowledged = received;
        while let Some(change) = self.history.front().copied() {
            if change.operation > received {
                break;
            }
            self.history.pop_front();
            self.undo ^= change.hash;
            if change.removal && self.removals.get(&change.hash) == Some(&self.forgotten) {
                self.removals.remove(&change.hash);
            }
            self.forgotten += 1;
        }
    }

    fn record(&mut self, hash: Digest, removal: bool) {
        self.undo ^= hash;
        self.history.push_back(Change {
            operation: self.sent,
            hash,
            removal,
        });
        if self.history.len() > self.max_history {
            self.give_up_history();
        }
    }

    fn give_up_history(&mut self) {
        self.forgotten += self.history.len() as u64;
        self.history.clear();
        self.removals.clear();
        self.undo = 0;
        self.rest();
    }

    /// Checks the digest against the paths that are on the link, and the history against itself.
    pub(crate) fn is_consistent(&self, paths: impl Iterator<Item = PathId>) -> bool {
        let digest = paths.fold(0, |digest, path| digest ^ self.hash(&path));
        let undo = self.history.iter().fold(0, |undo, change| undo ^ change.hash);
        let operations = self.history.iter().map(|change| change.operation);
        digest == self.digest
            && undo == self.undo
            && operations.clone().is_sorted()
            && operations.clone().all(|operation| operation <= self.sent)
            && self.removals.len() <= self.history.len()
            && self.history.len() <= self.max_history
    }
}

/// What pings say of a digest: its last eight bytes. XOR goes bit by bit, so they are the XOR of the last eight bytes of the hashes.
fn said(digest: Digest) -> [u8; 8] {
    (digest as u64).to_be_bytes()
}

/// The bytes that are hashed: fixed, so that both ends agree whatever they were compiled from.
struct Canonical {
    buffer: [u8; 192],
    length: usize,
}

impl Default for Canonical {
    fn default() -> Canonical {
        Canonical {
            buffer: [0; 192],
            length: 0,
        }
    }
}

impl Canonical {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Code, length and digest of the multihash: at most 8 + 1 + 64 bytes, so two peers and 20 bytes of numbers fit.
    fn push_peer(&mut self, peer: &PeerId) {
        let multihash = peer.as_ref();
        self.push(&multihash.code().to_be_bytes());
        self.push(&[multihash.size()]);
        self.push(multihash.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::path;

    const KEY: [u8; 32] = [9; 32];

    fn view(joint: &Joint) -> JointSet {
        joint.now(0)
    }

    #[test]
    fn the_digest_is_final() {
        let hash = Joint::new(KEY, 10).hash(&path(1, 2, 3));
        assert_eq!(format!("{hash:032x}"), "15d44029d6aa91619082fcdd6fff8e99");
        assert_ne!(hash, Joint::new([8; 32], 10).hash(&path(1, 2, 3)));
        assert_ne!(hash, Joint::new(KEY, 10).hash(&path(1, 2, 4)));
        assert_ne!(hash, Joint::new(KEY, 10).hash(&path(2, 1, 3)));
    }

    #[test]
    fn what_the_other_has_not_received_is_undone() {
        let (mut a, mut b) = (Joint::new(KEY, 10), Joint::new(KEY, 10));
        let before = view(&b);
        a.send();
        a.add_by_us(77);
        assert_eq!(a.seen(before), Verdict::Equal);
        b.receive();
        b.add_by_them(77);
        assert_eq!(a.seen(view(&b)), Verdict::Equal);
        assert!(a.history.is_empty());
    }

    #[test]
    fn crossing_removals_are_no_difference() {
        let (mut a, mut b) = (Joint::new(KEY, 10), Joint::new(KEY, 10));
        a.send();
        a.add_by_us(77);
        b.receive();
        b.add_by_them(77);
        for end in [&mut a, &mut b] {
            end.send();
            end.remove_by_us(77);
        }
        let crossing = view(&b);
        assert_eq!(a.seen(crossing), Verdict::Unknown);
        a.receive();
        a.cancel(77);
        assert_eq!(a.caught_up(), Verdict::Equal);
        b.receive();
        b.cancel(77);
        assert_eq!(a.seen(view(&b)), Verdict::Equal);
        assert_eq!(b.seen(view(&a)), Verdict::Equal);
    }

    #[test]
    fn a_view_that_lies_ahead_waits_and_later_ones_do_not_push_it_out() {
        let (mut a, mut b) = (Joint::new(KEY, 10), Joint::new(KEY, 10));
        b.send();
        b.add_by_us(1);
        let first = view(&b);
        b.send();
        b.add_by_us(2);
        assert_eq!(a.seen(first), Verdict::Unknown);
        assert_eq!(a.seen(view(&b)), Verdict::Unknown);
        a.receive();
        a.add_by_them(5);
        assert_eq!(a.caught_up(), Verdict::Different);
    }

    #[test]
    fn a_view_that_lies_two_operations_ahead_waits_for_both() {
        let (mut a, mut b) = (Joint::new(KEY, 10), Joint::new(KEY, 10));
        for hash in [1, 2] {
            b.send();
            b.add_by_us(hash);
        }
        assert_eq!(a.seen(view(&b)), Verdict::Unknown);
        for (hash, verdict) in [(1, Verdict::Unknown), (2, Verdict::Equal)] {
            a.receive();
            a.add_by_them(hash);
            assert_eq!(a.caught_up(), verdict);
        }
    }

    #[test]
    fn a_digest_that_differs_is_noticed() {
        let (mut a, b) = (Joint::new(KEY, 10), Joint::new(KEY, 10));
        a.add_by_them(3);
        assert_eq!(a.seen(view(&b)), Verdict::Different);
    }

    #[test]
    fn operations_that_we_never_sent_are_a_lie() {
        let lie = JointSet {
            received: 1,
            ..JointSet::default()
        };
        assert_eq!(Joint::new(KEY, 10).seen(lie), Verdict::Lie);
    }

    #[test]
    fn a_history_too_long_rests_until_the_other_end_has_caught_up() {
        let (mut a, mut b) = (Joint::new(KEY, 3), Joint::new(KEY, 3));
        for hash in 1..=4 {
            a.send();
            a.add_by_us(hash);
        }
        assert!(a.history.is_empty());
        for hash in 1..=4 {
            assert_eq!(a.seen(view(&b)), Verdict::Unknown);
            b.receive();
            b.add_by_them(hash);
        }
        assert_eq!(a.seen(view(&b)), Verdict::Equal);
    }
}
