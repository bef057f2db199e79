//! Sessions, dials, requests and connections of a hundred thousand peers: by peer, so that the end of one costs nothing to the others.
//!
//! Everything iterates in the order of its numbers, so that a run is the same each time.

use std::collections::{BTreeSet, HashMap};

use fatebound_machine::overlay::Multiaddr;

use crate::PeerIndex;
use crate::carriage::End;

/// Something for each end of this kind, in one short sorted list per peer: numbers grow, so new ones come last.
#[derive(Debug)]
pub(crate) struct Ends<T> {
    by_peer: Vec<Vec<((u32, u64), T)>>,
}

impl<T> Default for Ends<T> {
    fn default() -> Self {
        Ends { by_peer: Vec::new() }
    }
}

impl<T> Ends<T> {
    pub(crate) fn get(&self, end: &End) -> Option<&T> {
        let list = self.by_peer.get(end.peer.0)?;
        Some(&list[place(list, end).ok()?].1)
    }

    pub(crate) fn get_mut(&mut self, end: &End) -> Option<&mut T> {
        let list = self.by_peer.get_mut(end.peer.0)?;
        let place = place(list, end).ok()?;
        Some(&mut list[place].1)
    }

    pub(crate) fn contains_key(&self, end: &End) -> bool {
        self.get(end).is_some()
    }

    pub(crate) fn insert(&mut self, end: End, thing: T) {
        if self.by_peer.len() <= end.peer.0 {
            self.by_peer.resize_with(end.peer.0 + 1, Vec::new);
        }
        let list = &mut self.by_peer[end.peer.0];
        match place(list, &end) {
            Ok(place) => list[place].1 = thing,
            Err(place) => list.insert(place, ((end.life, end.number), thing)),
        }
    }

    pub(crate) fn remove(&mut self, end: &End) -> Option<T> {
        let list = self.by_peer.get_mut(end.peer.0)?;
        let place = place(list, end).ok()?;
        Some(list.remove(place).1)
    }

    /// All of one peer.
    pub(crate) fn of(&self, peer: PeerIndex) -> impl Iterator<Item = (End, &T)> {
        let list = self.by_peer.get(peer.0).into_iter().flatten();
        list.map(move |((life, number), thing)| {
            let (life, number) = (*life, *number);
            (End { peer, life, number }, thing)
        })
    }

    /// Takes out all of one peer.
    pub(crate) fn take(&mut self, peer: PeerIndex) -> Vec<(End, T)> {
        let list = self.by_peer.get_mut(peer.0).map(std::mem::take).unwrap_or_default();
        list.into_iter()
            .map(|((life, number), thing)| (End { peer, life, number }, thing))
            .collect()
    }
}

fn place<T>(list: &[((u32, u64), T)], end: &End) -> Result<usize, usize> {
    list.binary_search_by_key(&(end.life, end.number), |(key, _)| *key)
}

/// An unordered pair of hosts, the smaller first.
pub(crate) type Pair = (PeerIndex, PeerIndex);

/// Connections: who dialled, and where.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_pair: HashMap<Pair, (PeerIndex, Multiaddr)>,
    /// With whom each host has one.
    others: Vec<BTreeSet<PeerIndex>>,
}

impl Connections {
    pub(crate) fn get(&self, pair: &Pair) -> Option<&(PeerIndex, Multiaddr)> {
        self.by_pair.get(pair)
    }

    pub(crate) fn contains_key(&self, pair: &Pair) -> bool {
        self.by_pair.contains_key(pair)
    }

    pub(crate) fn insert(&mut self, pair: Pair, connection: (PeerIndex, Multiaddr)) {
        let (a, b) = pair;
        let hosts = a.0.max(b.0) + 1;
        if self.others.len() < hosts {
            self.others.resize_with(hosts, BTreeSet::new);
        }
        self.others[a.0].insert(b);
        self.others[b.0].insert(a);
        self.by_pair.insert(pair, connection);
    }

    pub(crate) fn remove(&mut self, pair: &Pair) {
        if self.by_pair.remove(pair).is_some() {
            self.others[pair.0.0].remove(&pair.1);
            self.others[pair.1.0].remove(&pair.0);
        }
    }

    /// Forgets every connection of one host.
    pub(crate) fn remove_all(&mut self, host: PeerIndex) {
        let others = self.others.get_mut(host.0).map(std::mem::take).unwrap_or_default();
        for other in others {
            self.by_pair.remove(&(host.min(other), host.max(other)));
            self.others[other.0].remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(peer: usize, life: u32, number: u64) -> End {
        let peer = PeerIndex(peer);
        End { peer, life, number }
    }

    #[test]
    fn what_one_peer_has_is_in_the_order_of_lives_and_numbers() {
        let mut ends = Ends::default();
        for (life, number) in [(2, 1), (1, 7), (1, 3)] {
            ends.insert(end(4, life, number), number);
        }
        ends.insert(end(0, 1, 1), 9);
        let order: Vec<_> = ends.of(PeerIndex(4)).map(|(end, _)| (end.life, end.number)).collect();
        assert_eq!(order, [(1, 3), (1, 7), (2, 1)]);
        assert_eq!(ends.remove(&end(4, 1, 7)), Some(7));
        assert_eq!(ends.remove(&end(4, 1, 7)), None);
        assert_eq!(ends.take(PeerIndex(4)), [(end(4, 1, 3), 3), (end(4, 2, 1), 1)]);
        assert!(ends.of(PeerIndex(4)).next().is_none());
        assert_eq!(ends.get(&end(0, 1, 1)), Some(&9));
        assert!(!ends.contains_key(&end(9, 1, 1)));
    }

    #[test]
    fn a_host_takes_all_its_connections_along() {
        let address = crate::carriage::address_of(PeerIndex(0));
        let mut connections = Connections::default();
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            connections.insert((PeerIndex(a), PeerIndex(b)), (PeerIndex(a), address.clone()));
        }
        connections.remove_all(PeerIndex(1));
        assert!(!connections.contains_key(&(PeerIndex(0), PeerIndex(1))));
        assert!(!connections.contains_key(&(PeerIndex(1), PeerIndex(2))));
        assert!(connections.get(&(PeerIndex(0), PeerIndex(2))).is_some());
        connections.remove(&(PeerIndex(0), PeerIndex(2)));
        assert!(connections.others.iter().all(BTreeSet::is_empty));
    }
}
