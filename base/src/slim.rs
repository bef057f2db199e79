//! Tables that give room back: what a burst took is not kept for the rest of a peer's life.
//!
//! A creation with many members opens links, exchanges and dials by the hundred for a few seconds. Called after a removal, each of these
//! halves a table that is at most a quarter full, so that room follows use at a cost of O(1) for each removal.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use indexmap::IndexMap;

/// Tables of fewer places stay as they are.
const SMALL: usize = 16;

/// The room to be left for so many entries of a table with so many places; `None`: nothing is to be done.
fn room(entries: usize, places: usize) -> Option<usize> {
    (places > SMALL && entries <= places / 4).then_some(entries * 2)
}

/// For hash maps.
pub fn map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if let Some(room) = room(map.len(), map.capacity()) {
        map.shrink_to(room);
    }
}

/// For maps with an order.
pub fn index_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut IndexMap<K, V, S>) {
    if let Some(room) = room(map.len(), map.capacity()) {
        map.shrink_to(room);
    }
}

/// For queues.
pub fn queue<T>(queue: &mut VecDeque<T>) {
    if let Some(room) = room(queue.len(), queue.capacity()) {
        queue.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_took_is_given_back_and_nothing_is_lost() {
        let mut table: HashMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
        let mut ordered: IndexMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
        let mut waiting: VecDeque<u32> = (0..1000).collect();
        for n in 10..1000 {
            table.remove(&n);
            map(&mut table);
            ordered.swap_remove(&n);
            index_map(&mut ordered);
            waiting.pop_back();
            queue(&mut waiting);
        }
        assert!(table.capacity() < 64 && ordered.capacity() < 64 && waiting.capacity() < 64);
        assert!((0..10).all(|n| table[&n] == n && ordered[&n] == n && waiting[n as usize] == n));
        assert_eq!((table.len(), ordered.len(), waiting.len()), (10, 10, 10));
    }

    #[test]
    fn a_table_in_use_keeps_its_room() {
        assert_eq!(room(0, SMALL), None);
        assert_eq!(room(26, 100), None);
        assert_eq!(room(25, 100), Some(50));
    }
}
