//! The rota: whose turn it is to be pinged.
//!
//! One ping leaves about every `peer_interval`, to one link after the other, in an order of this peer's own. A new link enters at the
//! end of the round, so that nobody waits longer for its turn because of a newcomer; of several that come together the order is drawn, so
//! that two peers that were started together do not ping the same third one in step for ever.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::{Config, LinkId, Rule};

/// The links in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Rota {
    order: VecDeque<LinkId>,
    /// Of these, at the end, those that have come since the last turn.
    newcomers: usize,
}

impl Rota {
    /// "◆ Who is new has its turn after all who wait for theirs"; among those that have come since the last turn, at a random place.
    pub(super) fn insert(&mut self, link: LinkId, rng: &mut StdRng) {
        let last = self.order.len();
        let first = if !Rule::NewcomersWait.holds() {
            0
        } else {
            last - self.newcomers
        };
        self.order.insert(rng.random_range(first..=last), link);
        self.newcomers += 1;
    }

    /// Takes a link out.
    pub(super) fn remove(&mut self, link: LinkId) {
        let Some(place) = self.order.iter().position(|&other| other == link) else {
            return;
        };
        if place >= self.order.len() - self.newcomers {
            self.newcomers -= 1;
        }
        self.order.remove(place);
    }

    /// Whose turn it is; it goes to the end.
    pub(super) fn take_turn(&mut self) -> Option<LinkId> {
        let link = self.order.pop_front()?;
        self.order.push_back(link);
        self.newcomers = 0;
        Some(link)
    }

    /// How many links take turns.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// The time between two turns: "at the rate `max(1 / peer_interval, 1.25 · degree / link_interval)`" (protocol.md §4).
pub(super) fn period(config: &Config, degree: usize) -> Duration {
    let degree = u32::try_from(degree.max(1)).unwrap_or(u32::MAX);
    let quarters = if !Rule::RotaMargin.holds() { 4 } else { 5 };
    config
        .peer_interval
        .min(config.link_interval * 4 / degree.saturating_mul(quarters))
}

/// What a ping announces: a whole round, and one turn for a link that enters meanwhile.
pub(super) fn announced(config: &Config, degree: usize) -> Duration {
    let turns = u32::try_from(degree + 1).unwrap_or(u32::MAX);
    period(config, degree).saturating_mul(turns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn everybody_has_a_turn_in_each_round_whoever_enters_or_leaves() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut rota = Rota::default();
        assert_eq!(rota.take_turn(), None);
        for number in 0..10 {
            rota.insert(LinkId(number), &mut rng);
            rota.take_turn();
        }
        rota.remove(LinkId(3));
        let mut round: Vec<_> = (0..rota.len()).filter_map(|_| rota.take_turn()).collect();
        round.sort();
        assert_eq!(round, [0, 1, 2, 4, 5, 6, 7, 8, 9].map(LinkId));
    }

    #[test]
    fn a_newcomer_postpones_nobodys_turn() {
        for turns in 0..5 {
            let mut rng = StdRng::seed_from_u64(turns);
            let mut rota = Rota::default();
            (0..5).for_each(|number| rota.insert(LinkId(number), &mut rng));
            for _ in 0..turns {
                rota.take_turn();
            }
            let waiting: Vec<_> = rota.order.iter().copied().collect();
            (5..30).for_each(|number| rota.insert(LinkId(number), &mut rng));
            rota.remove(LinkId(7));
            let round: Vec<_> = (0..29).filter_map(|_| rota.take_turn()).collect();
            if turns > 0 {
                assert_eq!(round[..5], waiting);
            }
            assert!(!round.is_sorted(), "the order of those that come together is drawn");
        }
    }

    #[test]
    fn the_rate_grows_when_there_are_more_links_than_turns() {
        let config = Config::lan();
        for (degree, millis) in [(0, 1000), (1, 1000), (16, 1000), (32, 500), (160, 100)] {
            assert_eq!(period(&config, degree), Duration::from_millis(millis), "{degree}");
        }
    }
}
