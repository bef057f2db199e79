//! How a group handles its protocols: set by whoever founds it, the same for all who join it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::vote::DefaultVote;

/// Phases of one protocol at most; a group may allow fewer.
pub const MAX_PHASES: u32 = 64;
/// No time limit of a group is longer.
pub const MAX_LIMIT: Duration = Duration::from_secs(3600);
/// No batch is collected for longer.
pub const MAX_WINDOW: Duration = Duration::from_secs(10);

/// What happens to a leave, an expulsion, a change or a message that is proposed while another one is waiting or running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Collision {
    /// It waits.
    #[default]
    Queue,
    /// Its proposer is told, and may propose it again.
    Refuse,
}

/// The attributes of a group. Whoever joins has to bring the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// Of the program that runs in the providers, in its own counting.
    pub version: u32,
    /// What is counted for those who do not vote.
    pub default_vote: DefaultVote,
    /// Whether joins are voted upon.
    pub voted_joins: bool,
    /// Whether leaves are voted upon.
    pub voted_leaves: bool,
    /// Whether it is voted upon what goes along with the removal of who has failed; the removal stands whatever the vote.
    pub voted_failures: bool,
    /// How long a phase waits for votes, where the proposal says nothing else: 1 ms to [`MAX_LIMIT`].
    pub phase_limit: Duration,
    /// With this phase a protocol ends: 1 to [`MAX_PHASES`].
    pub max_phases: u32,
    /// For how long joins are collected for one protocol; zero: each has its own.
    pub join_window: Duration,
    /// For how long leaves are; with zero those who have failed are removed one by one, too.
    pub leave_window: Duration,
    /// What happens to proposals that meet.
    pub collision: Collision,
    /// After this a leave that is not decided becomes a goodbye: up to [`MAX_LIMIT`].
    pub leave_limit: Duration,
    /// For how long a place may be held for who comes back: up to [`MAX_LIMIT`].
    pub max_hold: Duration,
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            version: 0,
            default_vote: DefaultVote::Reject,
            voted_joins: false,
            voted_leaves: false,
            voted_failures: false,
            phase_limit: Duration::from_secs(5),
            max_phases: MAX_PHASES,
            join_window: Duration::ZERO,
            leave_window: Duration::ZERO,
            collision: Collision::Queue,
            leave_limit: Duration::from_secs(30),
            max_hold: Duration::from_secs(300),
        }
    }
}

/// One of the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the attributes are")]
pub enum Field {
    Version,
    DefaultVote,
    VotedJoins,
    VotedLeaves,
    VotedFailures,
    PhaseLimit,
    MaxPhases,
    JoinWindow,
    LeaveWindow,
    Collision,
    LeaveLimit,
    MaxHold,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Field::Version => "version",
            Field::DefaultVote => "default_vote",
            Field::VotedJoins => "voted_joins",
            Field::VotedLeaves => "voted_leaves",
            Field::VotedFailures => "voted_failures",
            Field::PhaseLimit => "phase_limit",
            Field::MaxPhases => "max_phases",
            Field::JoinWindow => "join_window",
            Field::LeaveWindow => "leave_window",
            Field::Collision => "collision",
            Field::LeaveLimit => "leave_limit",
            Field::MaxHold => "max_hold",
        })
    }
}

/// An attribute that no group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is out of its range")]
pub struct OutOfRange(pub Field);

impl Attributes {
    /// Whether a group may have them; the first that is out of its range.
    ///
    /// # Errors
    /// Names the attribute.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let millisecond = Duration::from_millis(1);
        let in_range = [
            (
                Field::PhaseLimit,
                self.phase_limit >= millisecond && self.phase_limit <= MAX_LIMIT,
            ),
            (Field::MaxPhases, (1..=MAX_PHASES).contains(&self.max_phases)),
            (Field::JoinWindow, self.join_window <= MAX_WINDOW),
            (Field::LeaveWindow, self.leave_window <= MAX_WINDOW),
            (Field::LeaveLimit, self.leave_limit <= MAX_LIMIT),
            (Field::MaxHold, self.max_hold <= MAX_LIMIT),
        ];
        match in_range.into_iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(OutOfRange(field)),
            None => Ok(()),
        }
    }

    /// The first attribute in which they differ.
    pub fn difference(&self, other: &Attributes) -> Option<Field> {
        // Taken apart, so that an attribute that is added cannot be forgotten.
        let Attributes {
            version,
            default_vote,
            voted_joins,
            voted_leaves,
            voted_failures,
            phase_limit,
            max_phases,
            join_window,
            leave_window,
            collision,
            leave_limit,
            max_hold,
        } = self;
        let same = [
            (Field::Version, *version == other.version),
            (Field::DefaultVote, *default_vote == other.default_vote),
            (Field::VotedJoins, *voted_joins == other.voted_joins),
            (Field::VotedLeaves, *voted_leaves == other.voted_leaves),
            (Field::VotedFailures, *voted_failures == other.voted_failures),
            (Field::PhaseLimit, *phase_limit == other.phase_limit),
            (Field::MaxPhases, *max_phases == other.max_phases),
            (Field::JoinWindow, *join_window == other.join_window),
            (Field::LeaveWindow, *leave_window == other.leave_window),
            (Field::Collision, *collision == other.collision),
            (Field::LeaveLimit, *leave_limit == other.leave_limit),
            (Field::MaxHold, *max_hold == other.max_hold),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }

    /// Equal for equal attributes only: what the group's record in the directory says of them.
    pub fn digest(&self) -> [u8; 32] {
        // Nothing in it can fail to be written.
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        blake3::derive_key("fatebound process group attributes", &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each attribute by itself, changed.
    fn changed() -> Vec<(Field, Attributes)> {
        let second = Duration::from_secs(1);
        let with = |field, change: &dyn Fn(&mut Attributes)| {
            let mut attributes = Attributes::default();
            change(&mut attributes);
            (field, attributes)
        };
        vec![
            with(Field::Version, &|a| a.version = 1),
            with(Field::DefaultVote, &|a| a.default_vote = DefaultVote::Approve),
            with(Field::VotedJoins, &|a| a.voted_joins = true),
            with(Field::VotedLeaves, &|a| a.voted_leaves = true),
            with(Field::VotedFailures, &|a| a.voted_failures = true),
            with(Field::PhaseLimit, &|a| a.phase_limit = second),
            with(Field::MaxPhases, &|a| a.max_phases = 1),
            with(Field::JoinWindow, &|a| a.join_window = second),
            with(Field::LeaveWindow, &|a| a.leave_window = second),
            with(Field::Collision, &|a| a.collision = Collision::Refuse),
            with(Field::LeaveLimit, &|a| a.leave_limit = second),
            with(Field::MaxHold, &|a| a.max_hold = second),
        ]
    }

    #[test]
    fn every_difference_is_found_and_named() {
        let usual = Attributes::default();
        assert_eq!(usual.difference(&usual), None);
        for (field, attributes) in changed() {
            assert_eq!(usual.difference(&attributes), Some(field));
            assert_ne!(usual.digest(), attributes.digest(), "{field}");
            assert_eq!(attributes.check(), Ok(()), "{field}");
        }
    }

    #[test]
    fn what_is_out_of_its_range_is_named() {
        type Change = fn(&mut Attributes);
        let too_long = MAX_LIMIT + Duration::from_nanos(1);
        assert!(too_long > MAX_WINDOW);
        let changes: [(Field, Change); 8] = [
            (Field::PhaseLimit, |a| a.phase_limit = Duration::ZERO),
            (Field::PhaseLimit, |a| a.phase_limit = MAX_LIMIT * 2),
            (Field::MaxPhases, |a| a.max_phases = 0),
            (Field::MaxPhases, |a| a.max_phases = MAX_PHASES + 1),
            (Field::JoinWindow, |a| a.join_window = MAX_WINDOW * 2),
            (Field::LeaveWindow, |a| a.leave_window = MAX_WINDOW * 2),
            (Field::LeaveLimit, |a| a.leave_limit = MAX_LIMIT * 2),
            (Field::MaxHold, |a| a.max_hold = MAX_LIMIT * 2),
        ];
        for (field, change) in changes {
            let mut attributes = Attributes::default();
            change(&mut attributes);
            assert_eq!(attributes.check(), Err(OutOfRange(field)));
        }
        assert_eq!(Attributes::default().check(), Ok(()));
    }
}
