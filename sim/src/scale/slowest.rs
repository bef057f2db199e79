//! The slowest notifications of a run, each with its story: who ended, who was told of it, and by which word. A tail is understood by
//! looking at one of its cases, and these say where to look.

use std::fmt;
use std::time::Duration;

use fatebound_machine::overlay::Time;

use super::ledger::Cause;
use crate::{GroupId, PeerIndex};

/// So many are kept of each cause.
const KEPT: usize = 5;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Why the group had to fail.
    pub cause: Cause,
    /// Who ended, or signalled.
    pub culprit: PeerIndex,
    /// When.
    pub since: Time,
    /// The group.
    pub group: GroupId,
    /// Whether the one who was told is its root.
    pub root: bool,
    /// Who was told.
    pub peer: PeerIndex,
    /// How much later.
    pub after: Duration,
    /// What it was told.
    pub reason: String,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.root { "root" } else { "member" };
        write!(
            f,
            "{:?} after the {} of peer {} at {:?}: {role} {} of {}, {}",
            self.after,
            self.cause,
            self.culprit.0,
            self.since.elapsed(),
            self.peer.0,
            self.group,
            self.reason
        )
    }
}

/// The slowest so far, of each cause.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest(Vec<Slow>);

impl Slowest {
    pub(super) fn add(&mut self, slow: Slow) {
        let cause = slow.cause;
        self.0.push(slow);
        let of_cause = self.0.iter().enumerate().filter(|(_, slow)| slow.cause == cause);
        let fastest = of_cause.clone().min_by_key(|(_, slow)| slow.after).map(|(at, _)| at);
        if let Some(fastest) = fastest
            && of_cause.count() > KEPT
        {
            self.0.swap_remove(fastest);
        }
    }

    /// By cause, the slowest first.
    pub(super) fn into_sorted(mut self) -> Vec<Slow> {
        self.0.sort_by_key(|slow| (slow.cause, std::cmp::Reverse(slow.after)));
        self.0
    }
}

#[cfg(test)]
mod tests {
    use fatebound_machine::overlay::Keypair;

    use super::*;

    fn slow(cause: Cause, millis: u64) -> Slow {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).expect("32 bytes are an Ed25519 secret");
        let group = GroupId {
            root: keypair.public().to_peer_id(),
            incarnation: 1,
            sequence: 1,
        };
        Slow {
            cause,
            culprit: PeerIndex(1),
            since: Time::ZERO,
            group,
            root: false,
            peer: PeerIndex(2),
            after: Duration::from_millis(millis),
            reason: String::new(),
        }
    }

    #[test]
    fn the_slowest_of_each_cause_are_kept_in_order() {
        let mut slowest = Slowest::default();
        for millis in [3, 9, 1, 7, 5, 8, 2] {
            slowest.add(slow(Cause::Vanish, millis));
        }
        slowest.add(slow(Cause::Crash, 4));
        let kept: Vec<_> = slowest
            .into_sorted()
            .iter()
            .map(|slow| (slow.cause, slow.after.as_millis()))
            .collect();
        let vanish = [9, 8, 7, 5, 3].map(|millis| (Cause::Vanish, millis));
        assert_eq!(kept[0], (Cause::Crash, 4));
        assert_eq!(kept[1..], vanish);
    }
}
