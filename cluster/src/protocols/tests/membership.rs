//! Coming in and going: X2 and X9 to X14, and who has failed.

use std::time::Duration;

use super::handy::value;
use super::world::World;
use crate::protocols::{
    Attributes, Ended, Event, Field, Notice, Outcome, Proposal, ProviderId, Reason, Refusal, Resolved, Standing,
    Verdict, Voting, Why,
};

const WINDOW: Duration = Duration::from_millis(50);

pub(super) fn voted_joins() -> Attributes {
    Attributes {
        voted_joins: true,
        ..Attributes::default()
    }
}

fn protocols(world: &World) -> usize {
    world.checks.outcomes.len()
}

pub(super) fn left(world: &World, watcher: ProviderId, who: ProviderId) -> Option<Why> {
    world.shown(watcher).into_iter().find_map(|notice| match notice {
        Notice::Providers { left, .. } => left.iter().find(|(id, _)| *id == who).map(|(_, why)| *why),
        _ => None,
    })
}

#[test]
fn the_first_comes_in_and_later_ones_are_voted_upon() {
    let mut world = World::new(2, voted_joins());
    let (a, first) = world.join(0, "a");
    assert!(world.approved(first), "there was nobody to ask");
    let (b, second) = world.join(1, "b");
    assert_eq!(world.listed(), [a]);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(second));
    assert_eq!(world.listed(), [a, b]);
    world.at_rest();
}

#[test]
fn whoever_wants_to_come_in_sees_its_own_vote_and_its_rejection_last() {
    let mut world = World::new(2, voted_joins());
    let (a, _) = world.join(0, "a");
    let (b, ticket) = world.join(1, "b");
    world.votes(a, Verdict::Reject);
    world.settle();
    assert!(world.rejected(ticket));
    assert_eq!(world.listed(), [a]);
    let seen = world.shown(b);
    assert!(
        matches!(seen.first(), Some(Notice::Opened { phase: 1, .. })),
        "{seen:?}"
    );
    let rejected = |notice: &&Notice| {
        matches!(
            notice,
            Notice::Outcome {
                outcome: Outcome::Rejected,
                ..
            }
        )
    };
    assert!(seen.last().is_some_and(rejected));
    assert_eq!(world.events(b).last(), Some(&&Event::Ended(Ended::NotJoined)));
    world.at_rest();
}

#[test]
fn other_attributes_are_refused_and_the_first_that_differs_is_named() {
    let mut world = World::new(2, voted_joins());
    world.join(0, "a");
    let attributes = Attributes {
        version: 2,
        phase_limit: Duration::from_secs(9),
        ..voted_joins()
    };
    let (b, ticket) = world.ask_to_join(1, "b", attributes);
    world.settle();
    let difference = Refusal::Difference(Field::Version);
    assert_eq!(world.result(ticket), Some(&Resolved::Refused(difference)));
    assert_eq!(world.open(0), None, "nobody is asked");
    assert_eq!(world.events(b).last(), Some(&&Event::Ended(Ended::NotJoined)));
}

#[test]
fn attributes_are_changed_by_a_protocol_and_joins_that_wait_are_screened_again() {
    let attributes = Attributes {
        join_window: WINDOW,
        ..Attributes::default()
    };
    let mut world = World::new(2, attributes.clone());
    let (a, _) = world.join(0, "a");
    world.pass(WINDOW);
    let (_, ticket) = world.ask_to_join(1, "b", attributes.clone());
    world.settle();
    let newer = Box::new(Attributes {
        version: 1,
        ..attributes
    });
    let proposal = Proposal::Attributes { attributes: newer };
    world.propose(a, proposal, Voting::OnePhase);
    world.pass(WINDOW);
    let difference = Refusal::Difference(Field::Version);
    assert_eq!(world.result(ticket), Some(&Resolved::Refused(difference)));
}

#[test]
fn joins_of_one_window_are_one_protocol() {
    let attributes = Attributes {
        join_window: WINDOW,
        ..voted_joins()
    };
    let mut world = World::new(3, attributes);
    let (a, _) = world.join(0, "a");
    world.pass(WINDOW);
    let before = protocols(&world);
    let (b, first) = world.join(1, "b");
    let (c, second) = world.join(2, "c");
    let (d, third) = world.join(1, "d");
    assert_eq!(world.open(0), None, "they are collected");
    world.pass(WINDOW);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.listed(), [a, b, c, d]);
    assert_eq!(protocols(&world), before + 1);
    assert!([first, second, third].into_iter().all(|ticket| world.approved(ticket)));
    world.at_rest();
}

#[test]
fn leaves_of_one_window_are_one_protocol_and_others_need_not_wait_for_it() {
    let attributes = Attributes {
        leave_window: WINDOW,
        voted_leaves: true,
        ..Attributes::default()
    };
    let mut world = World::new(3, attributes);
    let [a, b, c] = [0, 1, 2].map(|place| world.join(place, "x").0);
    let before = protocols(&world);
    let leaves = [world.leave(b), world.leave(c)];
    let other = world.propose(a, value("new"), Voting::OnePhase);
    world.settle();
    assert!(world.approved(other));
    world.pass(WINDOW);
    assert_eq!(world.state().voters(), [a], "who leaves is not asked");
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!((world.listed(), protocols(&world)), (vec![a], before + 2));
    assert!(leaves.into_iter().all(|ticket| world.approved(ticket)));
    assert_eq!(left(&world, a, b), Some(Why::Left));
    world.at_rest();
}

#[test]
fn a_leave_may_be_rejected_and_a_goodbye_may_not() {
    let attributes = Attributes {
        voted_leaves: true,
        ..Attributes::default()
    };
    let mut world = World::new(2, attributes);
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    let ticket = world.leave(b);
    world.settle();
    world.votes(a, Verdict::Reject);
    world.settle();
    assert!(world.rejected(ticket));
    assert_eq!(world.listed(), [a, b]);
    world.goodbye(b, None);
    world.settle();
    assert_eq!(world.listed(), [a]);
    assert_eq!(left(&world, a, b), Some(Why::Failed(Reason::Goodbye)));
    let text = |notice: &&Notice| matches!(notice, Notice::Failed(failure) if failure.text == b"bye");
    assert!(world.shown(a).iter().any(text));
    assert_eq!(
        world.events(b).last(),
        Some(&&Event::Ended(Ended::Left(Why::Failed(Reason::Goodbye))))
    );
    world.at_rest();
}

#[test]
fn a_leave_that_is_not_decided_in_time_becomes_a_goodbye() {
    let attributes = Attributes {
        voted_leaves: true,
        phase_limit: Duration::from_secs(600),
        leave_limit: Duration::from_secs(30),
        ..Attributes::default()
    };
    let mut world = World::new(2, attributes);
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    // A vote that takes long is before it.
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let ticket = world.leave(b);
    world.pass(Duration::from_secs(30));
    let announced = world.state().provider(b).expect("listed").standing;
    assert_eq!(announced, Standing::Failed(Reason::Goodbye));
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.listed(), [a]);
    assert!(world.approved(ticket), "it is out, as it wished");
    world.at_rest();
}

#[test]
fn failures_come_before_joins_and_joins_before_the_rest() {
    let mut world = World::new(3, voted_joins());
    let (a, _) = world.join(0, "a");
    let (b, _) = world.join(1, "b");
    world.votes(a, Verdict::Approve);
    world.settle();
    world.propose(a, value("first"), Voting::VOTED);
    world.settle();
    // While that is voted upon, one of each kind comes, the least urgent first.
    let rest = world.propose(a, value("second"), Voting::OnePhase);
    let (_, join) = world.join(2, "c");
    world.gone(b);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.listed(), [a], "the failure");
    assert!(world.open(0).is_some(), "the join is voted upon");
    assert_eq!(world.result(rest), None);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(join) && world.approved(rest));
    world.at_rest();
}

#[test]
fn a_second_life_waits_for_the_end_of_the_first() {
    let mut world = World::new(2, Attributes::default());
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.goodbye(b, None);
    let (again, ticket) = world.join(1, "x");
    assert_eq!(world.result(ticket), None);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.listed(), [a, again]);
    assert_eq!(left(&world, a, b), Some(Why::Failed(Reason::Goodbye)));
    world.at_rest();
}

#[test]
fn one_name_is_one_process_at_a_node() {
    let mut world = World::new(2, Attributes::default());
    world.join(0, "x");
    let (_, ticket) = world.join(0, "x");
    let in_use = Resolved::Refused(Refusal::InstanceInUse);
    assert_eq!(world.result(ticket), Some(&in_use));
    let (_, elsewhere) = world.join(1, "x");
    assert!(world.approved(elsewhere));
}

#[test]
fn whoever_dies_while_it_is_voted_upon_comes_into_no_list() {
    let mut world = World::new(3, voted_joins());
    let (a, _) = world.join(0, "a");
    let (b, ticket) = world.join(1, "b");
    world.gone(b);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.result(ticket), Some(&Resolved::Refused(Refusal::Gone)));
    assert_eq!(world.checks.outcomes.last(), Some(&Outcome::JoinersGone));
    let (c, _) = world.join(2, "c");
    world.lose(2);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.listed(), [a]);
    assert!(
        !world
            .shown(a)
            .iter()
            .any(|notice| matches!(notice, Notice::Failed(failure) if failure.provider == c))
    );
    world.at_rest();
}

#[test]
fn whoever_dies_before_its_join_has_begun_was_never_there() {
    let mut world = World::new(2, voted_joins());
    let (a, _) = world.join(0, "a");
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let (b, ticket) = world.join(1, "b");
    world.gone(b);
    world.settle();
    assert_eq!(world.result(ticket), Some(&Resolved::Refused(Refusal::Gone)));
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!((world.listed(), world.open(0)), (vec![a], None));
    world.at_rest();
}

#[test]
fn of_a_batch_the_dead_do_not_come_in() {
    let attributes = Attributes {
        join_window: WINDOW,
        ..voted_joins()
    };
    let mut world = World::new(3, attributes);
    let (a, _) = world.join(0, "a");
    world.pass(WINDOW);
    let (b, dead) = world.join(1, "b");
    let (c, ticket) = world.join(2, "c");
    world.pass(WINDOW);
    world.gone(b);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.settle();
    assert_eq!(world.listed(), [a, c]);
    assert!(world.approved(ticket));
    assert_eq!(world.result(dead), Some(&Resolved::Refused(Refusal::Gone)));
    world.at_rest();
}
