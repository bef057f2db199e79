//! Peers by small number: a `PeerId` is 80 bytes, and a million groups name the same few thousand of them.
//!
//! Each peer also lists the paths' far ends that it is (`Key`s), so that its death finds its groups without a search. An end knows its
//! position in that list, so both entering and leaving it cost O(1).

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use fatebound_overlay::PeerId;

use crate::table::Key;

/// The number of a peer while somebody uses it.
pub(crate) type PeerIx = u32;

#[derive(Clone, Debug, Hash)]
struct Entry {
    peer: PeerId,
    uses: u32,
    ends: Vec<Key>,
}

/// The peers in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    index: HashMap<PeerId, PeerIx>,
    entries: Vec<Entry>,
    free: Vec<PeerIx>,
}

/// For `branch`.
impl Hash for Peers {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Peers {
            index: _,
            entries,
            free,
        } = self;
        (entries, free).hash(hasher);
    }
}

impl Peers {
    /// The number of a peer, if it is in use.
    pub(crate) fn find(&self, peer: &PeerId) -> Option<PeerIx> {
        self.index.get(peer).copied()
    }

    /// The peer of a number in use.
    pub(crate) fn get(&self, ix: PeerIx) -> PeerId {
        self.entries[ix as usize].peer
    }

    /// Uses a peer once more.
    pub(crate) fn acquire(&mut self, peer: &PeerId) -> PeerIx {
        let ix = self.find(peer).unwrap_or_else(|| self.add(*peer));
        self.entries[ix as usize].uses += 1;
        ix
    }

    /// Uses a peer once less; its number is free after the last use.
    pub(crate) fn release(&mut self, ix: PeerIx) {
        let entry = &mut self.entries[ix as usize];
        entry.uses -= 1;
        if entry.uses == 0 {
            entry.ends = Vec::new();
            self.index.remove(&entry.peer);
            self.free.push(ix);
        }
    }

    /// The far ends that this peer is.
    pub(crate) fn ends(&self, ix: PeerIx) -> &[Key] {
        &self.entries[ix as usize].ends
    }

    /// Notes a far end; returns its position.
    pub(crate) fn attach(&mut self, ix: PeerIx, key: Key) -> u32 {
        let ends = &mut self.entries[ix as usize].ends;
        ends.push(key);
        (ends.len() - 1) as u32
    }

    /// Forgets the far end at this position; returns the one that has moved there.
    pub(crate) fn detach(&mut self, ix: PeerIx, position: u32) -> Option<Key> {
        let ends = &mut self.entries[ix as usize].ends;
        ends.swap_remove(position as usize);
        ends.get(position as usize).copied()
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn add(&mut self, peer: PeerId) -> PeerIx {
        let entry = Entry {
            peer,
            uses: 0,
            ends: Vec::new(),
        };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.entries[ix as usize] = entry;
                ix
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as PeerIx
            }
        };
        self.index.insert(peer, ix);
        ix
    }
}
