//! Lives of roots, `(root, incarnation)`, by small number; each with its window of used ids.
//!
//! A life with groups here stays. Lives without are remembered for their windows only, the most recent [`MAX_IDLE`] of them: an invitation
//! of a life that was forgotten could be accepted a second time; its root then answers *failed* to the first question.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use crate::peers::{PeerIx, Peers};
use crate::window::Window;
use fatebound_overlay::{Bounded, PeerId};

/// Lives remembered without a group: 16,384, some 4 MB.
pub(crate) const MAX_IDLE: usize = 16_384;

/// The number of a life while it is remembered.
pub(crate) type LifeIx = u32;

#[derive(Clone, Debug, Hash)]
struct Life {
    root: PeerIx,
    incarnation: u64,
    groups: u32,
    /// When it lost its last group, as a count.
    idle_since: u64,
    window: Box<Window>,
}

/// The lives remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives {
    index: HashMap<(PeerIx, u64), LifeIx>,
    entries: Vec<Life>,
    free: Vec<LifeIx>,
    idle: BTreeSet<(u64, LifeIx)>,
    clock: u64,
}

/// For `branch`.
impl Hash for Lives {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Lives {
            index: _,
            entries,
            free,
            idle,
            clock,
        } = self;
        (entries, free, idle, clock).hash(hasher);
    }
}

impl Lives {
    /// The number of a life, if it is remembered.
    pub(crate) fn find(&self, root: PeerIx, incarnation: u64) -> Option<LifeIx> {
        self.index.get(&(root, incarnation)).copied()
    }

    /// Root and incarnation.
    pub(crate) fn get(&self, ix: LifeIx) -> (PeerIx, u64) {
        let life = &self.entries[ix as usize];
        (life.root, life.incarnation)
    }

    /// Whether this id was used, or is too old to tell.
    pub(crate) fn used(&self, ix: LifeIx, sequence: u64) -> bool {
        self.entries[ix as usize].window.used(sequence)
    }

    /// Uses an id; whether for the first time.
    pub(crate) fn take(&mut self, peers: &mut Peers, root: &PeerId, incarnation: u64, sequence: u64) -> bool {
        let ix = self.remembered(peers, root, incarnation);
        let first = self.entries[ix as usize].window.take(sequence);
        self.rest(peers, ix);
        first
    }

    /// A group of this life is here.
    pub(crate) fn enter(&mut self, peers: &mut Peers, root: &PeerId, incarnation: u64) -> LifeIx {
        let ix = self.remembered(peers, root, incarnation);
        let life = &mut self.entries[ix as usize];
        self.idle.remove(&(life.idle_since, ix));
        life.groups += 1;
        ix
    }

    /// A group of this life is gone.
    pub(crate) fn leave(&mut self, peers: &mut Peers, ix: LifeIx) {
        self.entries[ix as usize].groups -= 1;
        self.rest(peers, ix);
    }

    fn remembered(&mut self, peers: &mut Peers, root: &PeerId, incarnation: u64) -> LifeIx {
        let known = peers.find(root).and_then(|root| self.find(root, incarnation));
        known.unwrap_or_else(|| self.add(peers.acquire(root), incarnation))
    }

    fn add(&mut self, root: PeerIx, incarnation: u64) -> LifeIx {
        let life = Life {
            root,
            incarnation,
            groups: 0,
            idle_since: 0,
            window: Box::default(),
        };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.entries[ix as usize] = life;
                ix
            }
            None => {
                self.entries.push(life);
                (self.entries.len() - 1) as LifeIx
            }
        };
        self.index.insert((root, incarnation), ix);
        ix
    }

    /// Moves a life without groups to the young end of the idle ones, and forgets the oldest beyond the bound.
    fn rest(&mut self, peers: &mut Peers, ix: LifeIx) {
        let life = &mut self.entries[ix as usize];
        if life.groups > 0 {
            return;
        }
        self.idle.remove(&(life.idle_since, ix));
        self.clock += 1;
        life.idle_since = self.clock;
        self.idle.insert((self.clock, ix));
        if self.idle.len() > MAX_IDLE
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            let life = &self.entries[oldest as usize];
            self.index.remove(&(life.root, life.incarnation));
            peers.release(life.root);
            self.free.push(oldest);
        }
    }
}

impl Lives {
    pub(crate) fn bounds(&self, groups: usize) -> [Bounded; 2] {
        [
            Bounded::new("lives of roots without a group", self.idle.len(), MAX_IDLE),
            Bounded::new("lives of roots", self.index.len(), self.idle.len() + groups),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fatebound_overlay::Keypair;

    #[test]
    fn idle_lives_are_bounded_and_the_oldest_is_forgotten() {
        let (mut lives, mut peers) = (Lives::default(), Peers::default());
        let root = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        let busy = lives.enter(&mut peers, &root, 0);
        for incarnation in 1..=MAX_IDLE as u64 + 1 {
            assert!(lives.take(&mut peers, &root, incarnation, 1));
        }
        assert_eq!(lives.idle.len(), MAX_IDLE);
        let ix = peers.find(&root).unwrap();
        assert_eq!(lives.find(ix, 1), None, "the oldest");
        assert_eq!(lives.find(ix, 0), Some(busy), "a life with groups stays");
        assert!(!lives.take(&mut peers, &root, 2, 1), "still remembered");
    }

    #[test]
    fn a_life_is_idle_from_its_last_groups_end() {
        let (mut lives, mut peers) = (Lives::default(), Peers::default());
        let root = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        let ix = lives.enter(&mut peers, &root, 0);
        lives.enter(&mut peers, &root, 0);
        lives.leave(&mut peers, ix);
        assert!(lives.take(&mut peers, &root, 0, 1));
        assert!(lives.idle.is_empty(), "one group is left");
        lives.leave(&mut peers, ix);
        assert_eq!(lives.idle.len(), 1);
        lives.enter(&mut peers, &root, 0);
        assert!(lives.idle.is_empty(), "a group has come again");
    }

    #[test]
    fn who_was_used_last_is_forgotten_last() {
        let (mut lives, mut peers) = (Lives::default(), Peers::default());
        let root = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        for incarnation in 1..=MAX_IDLE as u64 {
            assert!(lives.take(&mut peers, &root, incarnation, 1));
        }
        assert!(lives.take(&mut peers, &root, 1, 2));
        assert!(lives.take(&mut peers, &root, 0, 1));
        let ix = peers.find(&root).unwrap();
        assert_eq!(lives.find(ix, 2), None);
        assert!(!lives.take(&mut peers, &root, 1, 2), "still remembered");
    }
}
