//! Sessions, dials and requests of a hundred thousand peers: by peer, so that the end of one costs nothing to the others.
//!
//! Everything iterates in the order of its numbers, so that a run is the same each time.

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
}
