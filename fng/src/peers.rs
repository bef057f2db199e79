//! Peers by small number: a `PeerId` is 80 bytes, and a million groups name the same few thousand of them.
//!
//! Each peer also lists the paths' far ends that it is (`Key`s), so that its death finds its groups without a search. An end knows its
//! position in that list, so both entering and leaving it cost O(1).

use fatebound_base::Interner;
use fatebound_overlay::PeerId;

use crate::group::Key;

/// The number of a peer while somebody uses it.
pub(crate) type PeerIx = u32;

/// The peers in use.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Peers {
    names: Interner<PeerId>,
    /// By number.
    ends: Vec<Vec<Key>>,
}

impl Peers {
    /// The number of a peer, if it is in use.
    pub(crate) fn find(&self, peer: &PeerId) -> Option<PeerIx> {
        self.names.find(peer)
    }

    /// The peer of a number in use.
    pub(crate) fn get(&self, ix: PeerIx) -> PeerId {
        self.names.get(ix)
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Uses a peer once more.
    pub(crate) fn acquire(&mut self, peer: &PeerId) -> PeerIx {
        self.names.acquire(*peer)
    }

    /// Uses a peer once less; its number is free after the last use.
    pub(crate) fn release(&mut self, ix: PeerIx) {
        if self.names.release(ix)
            && let Some(ends) = self.ends.get_mut(ix as usize)
        {
            *ends = Vec::new();
        }
    }

    /// The far ends that this peer is.
    pub(crate) fn ends(&self, ix: PeerIx) -> &[Key] {
        self.ends.get(ix as usize).map_or(&[], |ends| ends)
    }

    /// How many far ends all peers are.
    pub(crate) fn all_ends(&self) -> usize {
        self.ends.iter().map(Vec::len).sum()
    }

    /// Notes a far end; returns its position.
    pub(crate) fn attach(&mut self, ix: PeerIx, key: Key) -> u32 {
        if self.ends.len() <= ix as usize {
            self.ends.resize_with(ix as usize + 1, Vec::new);
        }
        let ends = &mut self.ends[ix as usize];
        ends.push(key);
        (ends.len() - 1) as u32
    }

    /// Forgets the far end at this position; returns the one that has moved there.
    pub(crate) fn detach(&mut self, ix: PeerIx, position: u32) -> Option<Key> {
        let ends = &mut self.ends[ix as usize];
        ends.swap_remove(position as usize);
        ends.get(position as usize).copied()
    }
}
