//! Going, otherwise than by leaving: expulsions, places that are held, lost nodes.

use std::time::Duration;

use super::handy::value;
use super::membership::{left, voted_joins};
use super::world::World;
use crate::protocols::{
    Attributes, ChairInput, DefaultVote, Exit, Notice, Order, Proposal, Reason, Remark, Resolved, Standing, Verdict,
    Voting, Why,
};

#[test]
fn the_expelled_are_out_before_their_command_is_run_and_its_exit_is_told() {
    let mut world = World::new(3, Attributes::default());
    let [a, b, c] = [0, 1, 2].map(|place| world.join(place, "x").0);
    let expel = Proposal::Expel {
        providers: vec![b, c],
        deactivate: Some(b"now".to_vec()),
    };
    let ticket = world.propose(a, expel, Voting::OnePhase);
    let other = world.propose(a, value("new"), Voting::OnePhase);
    world.settle();
    assert_eq!(world.listed(), [a]);
    assert_eq!(left(&world, a, b), Some(Why::Expelled { by: a }));
    let (provider, protocol) = world.members[1].deactivate[0];
    assert_eq!((provider, world.result(ticket), world.result(other)), (b, None, None));
    let exit = Exit::Status(3);
    world.order(
        1,
        Order::Deactivated {
            provider,
            protocol,
            exit,
        },
    );
    // A new chair hears of it again.
    world.change_chair();
    world.settle();
    assert_eq!(world.result(ticket), None, "the other one has not ended");
    world.pass(Duration::from_secs(5));
    let Some(Resolved::Approved { exits, .. }) = world.result(ticket) else {
        panic!("not run is not not expelled");
    };
    assert_eq!(*exits, [Exit::Status(3), Exit::Late]);
    assert!(world.approved(other));
    world.at_rest();
}

#[test]
fn nobody_waits_for_a_command_on_a_node_that_is_gone() {
    let mut world = World::new(2, Attributes::default());
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    let expel = Proposal::Expel {
        providers: vec![b],
        deactivate: Some(Vec::new()),
    };
    let ticket = world.propose(a, expel, Voting::OnePhase);
    world.settle();
    world.lose(1);
    world.settle();
    assert!(matches!(world.result(ticket), Some(Resolved::Approved { exits, .. }) if *exits == [Exit::NodeGone]));
}

#[test]
fn a_place_is_held_for_who_comes_back_and_not_for_ever() {
    let mut world = World::new(3, Attributes::default());
    let [a, b, c] = [0, 1, 2].map(|place| world.join(place, "x").0);
    let hold = Duration::from_secs(60);
    world.goodbye(b, Some(hold));
    world.settle();
    assert_eq!(
        world.state().provider(b).map(|listed| listed.standing),
        Some(Standing::Absent { hold })
    );
    let (back, ticket) = world.join(1, "x");
    assert!(world.approved(ticket));
    assert_eq!(world.listed(), [a, back, c], "in its place");
    world.goodbye(back, Some(hold));
    world.pass(hold - Duration::from_millis(1));
    assert!(world.listed().contains(&back));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.listed(), [a, c]);
    assert_eq!(left(&world, a, back), Some(Why::Failed(Reason::HoldOver)));
    world.at_rest();
}

#[test]
fn a_held_place_survives_its_node_and_votes_by_default() {
    let attributes = Attributes {
        default_vote: DefaultVote::Approve,
        ..Attributes::default()
    };
    let mut world = World::new(2, attributes);
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    world.goodbye(b, Some(Duration::from_secs(3600)));
    world.settle();
    world.lose(1);
    world.settle();
    assert_eq!(world.listed(), [a, b]);
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket), "without time passing");
    // No longer than the group allows.
    world.pass(Attributes::default().max_hold);
    assert_eq!(world.listed(), [a]);
    world.at_rest();
}

#[test]
fn a_place_is_not_taken_away_from_who_is_just_coming_back() {
    let mut world = World::new(2, voted_joins());
    let (a, _) = world.join(0, "x");
    let (b, _) = world.join(1, "x");
    world.votes(a, Verdict::Approve);
    world.settle();
    world.goodbye(b, Some(Duration::from_secs(2)));
    world.settle();
    let (back, ticket) = world.join(1, "x");
    world.pass(Duration::from_secs(3));
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.listed(), [a, back]);
    world.at_rest();
}

#[test]
fn a_lost_node_loses_all_its_providers_in_one_announcement() {
    let mut world = World::new(2, Attributes::default());
    let (a, _) = world.join(0, "a");
    let lost = ["b", "c", "d"].map(|name| world.join(1, name).0);
    world.lose(1);
    world.settle();
    let failed = world.shown(a).into_iter().filter_map(|notice| match notice {
        Notice::Failed(failure) => Some((failure.provider, failure.reason)),
        _ => None,
    });
    assert_eq!(
        failed.collect::<Vec<_>>(),
        lost.map(|provider| (provider, Reason::NodeGone))
    );
    assert_eq!(world.listed(), [a]);
    world.at_rest();
}

#[test]
fn remarks_and_a_larger_incarnation_are_entries_too() {
    let mut world = World::new(2, Attributes::default());
    let (a, _) = world.join(0, "a");
    let remark = Remark::Unresponsive;
    world.tell_chair(ChairInput::Announce { provider: a, remark });
    world.tell_chair(ChairInput::Raise { incarnation: 9 });
    world.settle();
    assert!(world.shown(a).contains(&&Notice::Announced { provider: a, remark }));
    assert_eq!(
        (world.state().epoch().incarnation(), world.state().epoch().count()),
        (9, 0)
    );
    world.tell_chair(ChairInput::Raise { incarnation: 8 });
    world.settle();
    assert_eq!(world.state().epoch().incarnation(), 9);
}
