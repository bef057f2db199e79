//! Acknowledge rounds: who has acknowledged, and who is gone. A machine without input and output.
//!
//! It is told what the group shows, in the order in which the group shows it; so a round ends at every member with the same words.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_machine::process_groups::protocols::ProviderId;

/// Rounds that are remembered; with more, the earliest is forgotten.
pub(super) const MAX_ROUNDS: usize = 1024;

/// How a round has ended: everybody who was in the job when the first acknowledgement was shown is in one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complete {
    /// Who has acknowledged.
    pub acked: Vec<ProviderId>,
    /// Who has gone before it had.
    pub gone: Vec<ProviderId>,
}

#[derive(Debug)]
struct Round {
    acked: BTreeSet<ProviderId>,
    gone: BTreeSet<ProviderId>,
    awaited: BTreeSet<ProviderId>,
}

impl Round {
    fn complete(&self) -> Option<Complete> {
        self.awaited.is_empty().then(|| Complete {
            acked: self.acked.iter().copied().collect(),
            gone: self.gone.iter().copied().collect(),
        })
    }
}

/// All rounds of a job.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    present: BTreeSet<ProviderId>,
    rounds: BTreeMap<u64, Round>,
}

impl Rounds {
    /// These are in the job. Who is not any more is gone from every round that waits for it.
    pub(super) fn listed(&mut self, present: BTreeSet<ProviderId>) {
        for round in self.rounds.values_mut() {
            let left: Vec<ProviderId> = round.awaited.difference(&present).copied().collect();
            for provider in left {
                round.awaited.remove(&provider);
                round.gone.insert(provider);
            }
        }
        self.present = present;
    }

    /// This one has failed: nobody need wait for it.
    pub(super) fn failed(&mut self, provider: ProviderId) {
        let mut present = self.present.clone();
        present.remove(&provider);
        self.listed(present);
    }

    /// Somebody has acknowledged this round. The first one begins it. Says whether that is a newcomer, to whom this round is a new one: it has not been shown
    /// what was acknowledged before it came.
    pub(super) fn acked(&mut self, number: u64, from: ProviderId) -> bool {
        let begin = || Round {
            acked: BTreeSet::new(),
            gone: BTreeSet::new(),
            awaited: self.present.clone(),
        };
        let round = self.rounds.entry(number).or_insert_with(begin);
        // Who has come later is not in it.
        if round.awaited.remove(&from) {
            round.acked.insert(from);
        }
        let newcomer = !round.acked.contains(&from) && !round.gone.contains(&from);
        while self.rounds.len() > MAX_ROUNDS {
            self.rounds.pop_first();
        }
        newcomer
    }

    /// Whether this one has acknowledged this round.
    pub(super) fn has_acked(&self, number: u64, provider: ProviderId) -> bool {
        self.rounds
            .get(&number)
            .is_some_and(|round| round.acked.contains(&provider))
    }

    /// How it has ended, if it has.
    pub(super) fn complete(&self, number: u64) -> Option<Complete> {
        self.rounds.get(&number).and_then(Round::complete)
    }

    /// Whether it is waited for in vain: it was forgotten, or is earlier than all that are remembered.
    pub(super) fn is_forgotten(&self, number: u64) -> bool {
        self.rounds.len() >= MAX_ROUNDS && self.rounds.first_key_value().is_some_and(|(first, _)| number < *first)
    }
}

#[cfg(test)]
mod tests {
    use fatebound_machine::overlay::Keypair;
    use fatebound_machine::process_groups::Node;

    use super::*;

    fn provider(serial: u32) -> ProviderId {
        let mut secret = [7; 32];
        let keys = Keypair::ed25519_from_bytes(&mut secret).expect("a key");
        let peer = keys.public().to_peer_id();
        ProviderId {
            node: Node { peer, incarnation: 1 },
            serial,
        }
    }

    fn listed(rounds: &mut Rounds, serials: &[u32]) {
        rounds.listed(serials.iter().map(|serial| provider(*serial)).collect());
    }

    #[test]
    fn a_round_ends_when_everybody_has_acknowledged_or_is_gone() {
        let mut rounds = Rounds::default();
        listed(&mut rounds, &[1, 2, 3]);
        rounds.acked(1, provider(1));
        assert_eq!(rounds.complete(1), None);
        rounds.acked(1, provider(2));
        rounds.acked(1, provider(2));
        // It came later, and is not waited for.
        listed(&mut rounds, &[1, 2, 3, 4]);
        assert!(rounds.acked(1, provider(4)));
        assert!(!rounds.acked(1, provider(1)));
        assert!(rounds.has_acked(1, provider(1)) && !rounds.has_acked(1, provider(4)));
        assert_eq!(rounds.complete(1), None);
        rounds.failed(provider(3));
        let complete = rounds.complete(1).expect("it has ended");
        assert_eq!(
            (complete.acked, complete.gone),
            (vec![provider(1), provider(2)], vec![provider(3)])
        );
        assert_eq!(rounds.complete(2), None, "it has not begun");
    }

    #[test]
    fn no_more_rounds_are_remembered_than_may_be() {
        let mut rounds = Rounds::default();
        listed(&mut rounds, &[1]);
        for number in 0..=MAX_ROUNDS as u64 {
            rounds.acked(number, provider(1));
        }
        assert_eq!(rounds.rounds.len(), MAX_ROUNDS);
        assert!(rounds.is_forgotten(0) && !rounds.is_forgotten(1));
    }
}
