//! What happens next: a binary heap of small entries.
//!
//! Simultaneous things happen in the order in which they were put in, so that a run is the same each time. The heap moves its entries about
//! all the time, so these hold only when and where: the things themselves stay where they were put until their time comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fatebound_machine::overlay::Time;

/// Things by time, and by arrival among those of one time.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    /// Where the things are; empty places are listed in `free`.
    places: Vec<Option<T>>,
    free: Vec<u32>,
    order: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            order: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Puts something in.
    ///
    /// # Panics
    /// When more than four thousand million things wait: no machine has memory for so many.
    pub(crate) fn put(&mut self, at: Time, thing: T) {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).expect("so many things fit in no memory")
            }
        };
        self.places[place as usize] = Some(thing);
        self.order += 1;
        self.heap.push(Reverse((at, self.order, place)));
    }

    /// Takes the next thing out if its time is at or before `end`.
    pub(crate) fn take(&mut self, end: Time) -> Option<(Time, T)> {
        let &Reverse((at, _, place)) = self.heap.peek()?;
        if at > end {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        Some((at, self.places[place as usize].take()?))
    }

    /// How many things wait.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_simultaneous_ones_in_the_order_of_their_coming() {
        let mut queue = Queue::default();
        for (at, thing) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            queue.put(Time::from_millis(at), thing);
        }
        assert_eq!(queue.len(), 4);
        let early: Vec<_> = std::iter::from_fn(|| queue.take(Time::from_millis(2))).collect();
        assert_eq!(early.iter().map(|(_, thing)| *thing).collect::<String>(), "abc");
        assert_eq!(queue.take(Time::from_millis(3)), Some((Time::from_millis(3), 'd')));
        assert_eq!(queue.take(Time::from_millis(9)), None);
    }

    #[test]
    fn places_are_used_again() {
        let mut queue = Queue::default();
        for round in 0..100 {
            queue.put(Time::from_millis(round), round);
            queue.put(Time::from_millis(round), round);
            assert!(queue.take(Time::from_millis(round)).is_some() && queue.take(Time::from_millis(round)).is_some());
        }
        assert_eq!(queue.places.len(), 2);
    }
}
