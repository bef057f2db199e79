//! Phases and votes: X4 to X8, and what each voter may say.

use std::time::Duration;

use super::handy::value;
use super::world::World;
use crate::numbers::Seq;
use crate::protocols::{
    Attributes, ByDefault, DefaultVote, Event, MAX_VOTE_MESSAGE, Notice, Order, Outcome, Proposal, ProviderId, Refusal,
    Remark, Resolved, Verdict, Vote, VoteRefused, Voting, message_share,
};

const LIMIT: Duration = Duration::from_secs(5);

/// Three nodes with a provider each.
fn three(attributes: Attributes) -> (World, [ProviderId; 3]) {
    let mut world = World::new(3, attributes);
    let names = ["a", "b", "c"];
    let providers = [0, 1, 2].map(|place| world.join(place, names[place]).0);
    assert_eq!(world.listed(), providers);
    (world, providers)
}

fn consenting() -> Attributes {
    Attributes {
        default_vote: DefaultVote::Approve,
        ..Attributes::default()
    }
}

fn with_state(verdict: Verdict, state: &str) -> Vote {
    Vote {
        state: Some(state.as_bytes().to_vec()),
        ..Vote::new(verdict)
    }
}

#[test]
fn a_value_is_changed_by_everybodys_approval() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(b, value("new"), Voting::VOTED);
    world.settle();
    for provider in [a, b, c] {
        assert_eq!(world.state().value(), (&b""[..], 0));
        world.votes(provider, Verdict::Approve);
        world.settle();
    }
    assert_eq!(world.state().value(), (&b"new"[..], 1));
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn what_nobody_votes_upon_comes_true_at_once() {
    let (mut world, [a, _, c]) = three(Attributes::default());
    let before = world.state().epoch();
    let ticket = world.propose(a, value("new"), Voting::OnePhase);
    let message = world.propose(
        c,
        Proposal::Message {
            body: b"hello".to_vec(),
        },
        Voting::OnePhase,
    );
    world.settle();
    assert!(world.approved(ticket) && world.approved(message));
    assert_eq!(world.state().epoch().count(), before.count() + 2);
    let heard = |notice: &&Notice| matches!(notice, Notice::Message { from, body } if *from == c && body == b"hello");
    assert!(world.shown(a).iter().any(heard));
}

#[test]
fn voters_decide_how_many_phases_there_are() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    for phase in 1..=3 {
        assert_eq!(world.open(0).map(|(_, phase)| phase), Some(phase));
        world.votes(a, Verdict::Approve);
        world.votes(b, Verdict::Approve);
        world.votes(c, if phase < 3 { Verdict::Continue } else { Verdict::Approve });
        world.settle();
    }
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn a_rejection_waits_for_everybody() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(b, Verdict::Reject);
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.open(0).is_some(), "a phase is a barrier also when it fails");
    world.votes(c, Verdict::Approve);
    world.settle();
    assert!(world.rejected(ticket));
    assert_eq!(world.state().value().1, 0);
}

#[test]
fn whoever_continues_for_ever_is_stopped() {
    let attributes = Attributes {
        max_phases: 3,
        ..Attributes::default()
    };
    let (mut world, providers) = three(attributes);
    let ticket = world.propose(providers[0], value("new"), Voting::VOTED);
    world.settle();
    for _ in 0..3 {
        for provider in providers {
            world.votes(provider, Verdict::Continue);
        }
        world.settle();
    }
    assert_eq!(world.result(ticket), Some(&Resolved::TooManyPhases));
    assert_eq!((world.state().value().1, world.open(0)), (0, None));
    world.at_rest();
}

#[test]
fn the_default_is_counted_for_the_silent_at_the_limit_and_they_are_named() {
    let (mut world, [a, b, c]) = three(consenting());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.pass(LIMIT - Duration::from_millis(1));
    assert_eq!(world.result(ticket), None);
    assert_eq!(world.chair.awaited(world.state()), [c]);
    world.pass(Duration::from_millis(1));
    let Some(Resolved::Approved { votes, .. }) = world.result(ticket) else {
        panic!("approved by default");
    };
    let by_default = votes
        .iter()
        .filter(|ballot| ballot.counted.by_default == Some(ByDefault::Silent));
    assert_eq!(by_default.map(|ballot| ballot.provider).collect::<Vec<_>>(), [c]);
    let remark = Remark::DidNotVote;
    assert!(world.shown(a).contains(&&Notice::Announced { provider: c, remark }));
    world.at_rest();
}

#[test]
fn a_vote_that_comes_too_late_is_told_so() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let (protocol, phase) = world.open(0).expect("open");
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.settle();
    // Its word is on the way when the limit is over.
    world.votes(c, Verdict::Approve);
    world.break_way(2, 1);
    world.break_way(2, 1);
    world.now += LIMIT;
    world.wake_chair();
    world.apply_next(0);
    world.settle();
    assert!(world.events(c).contains(&&Event::TooLate { protocol, phase }));
    // And one that is ordered later is refused.
    world.vote_in(c, (protocol, phase), Vote::new(Verdict::Approve));
    let why = VoteRefused::NotOpen;
    assert!(world.events(c).contains(&&Event::VoteRefused { protocol, phase, why }));
}

#[test]
fn nobody_waits_for_the_dead() {
    let (mut world, [a, b, c]) = three(consenting());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.gone(b);
    world.settle();
    world.lose(2);
    world.settle();
    assert!(world.approved(ticket), "without time passing");
    assert_eq!(world.listed(), [a]);
    assert!(!world.listed().contains(&c));
    world.at_rest();
}

#[test]
fn the_vote_of_whoever_dies_afterwards_stands() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(b, Verdict::Approve);
    world.gone(b);
    world.votes(a, Verdict::Approve);
    world.votes(c, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket), "the default would be a rejection");
    world.at_rest();
}

#[test]
fn who_has_failed_is_announced_while_a_vote_goes_on() {
    let (mut world, [a, b, _]) = three(consenting());
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.gone(b);
    world.settle();
    let told = |notice: &&Notice| matches!(notice, Notice::Failed(failure) if failure.provider == b);
    assert!(world.shown(a).iter().any(told));
    assert!(world.listed().contains(&b), "it is removed by a protocol of its own");
    world.pass(LIMIT);
    assert!(!world.listed().contains(&b));
    world.at_rest();
}

#[test]
fn the_removal_of_who_has_failed_cannot_be_rejected() {
    let attributes = Attributes {
        voted_failures: true,
        ..Attributes::default()
    };
    let (mut world, [a, b, c]) = three(attributes);
    world.gone(c);
    world.settle();
    world.vote(a, with_state(Verdict::Approve, "without c"));
    world.votes(b, Verdict::Reject);
    world.settle();
    assert_eq!(world.listed(), [a, b]);
    assert_eq!(world.state().value().1, 0, "what came along is rejected");
    assert_eq!(world.checks.outcomes.last(), Some(&Outcome::Rejected));
    world.at_rest();
}

#[test]
fn of_several_proposed_values_the_oldest_voters_counts_and_later_phases_override() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(c, value("first"), Voting::VOTED);
    world.settle();
    world.vote(c, with_state(Verdict::Continue, "c"));
    world.vote(b, with_state(Verdict::Approve, "b"));
    world.votes(a, Verdict::Approve);
    world.settle();
    let proposed =
        |notice: &&Notice| matches!(notice, Notice::Opened { phase: 2, state: Some(state), .. } if state == b"b");
    assert!(world.shown(a).iter().any(proposed));
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.vote(c, with_state(Verdict::Approve, "last"));
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.state().value(), (&b"last"[..], 1));
}

#[test]
fn a_value_may_be_proposed_with_a_vote_on_anything() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let name = b"loaded".to_vec();
    world.propose(a, Proposal::Barrier { name }, Voting::VOTED);
    world.settle();
    world.vote(b, with_state(Verdict::Approve, "seen"));
    world.votes(a, Verdict::Approve);
    world.votes(c, Verdict::Approve);
    world.settle();
    assert_eq!(world.state().value(), (&b"seen"[..], 1));
}

#[test]
fn a_value_is_only_changed_from_the_version_that_is_expected() {
    let (mut world, [a, b, _]) = three(Attributes::default());
    let from = |expected, text: &str| Proposal::State {
        value: text.as_bytes().to_vec(),
        expected: Some(expected),
    };
    let first = world.propose(a, from(0, "a"), Voting::OnePhase);
    let second = world.propose(b, from(0, "b"), Voting::OnePhase);
    world.settle();
    assert!(world.approved(first));
    let stale = Resolved::Refused(Refusal::Stale { version: 1 });
    assert_eq!(world.result(second), Some(&stale));
    assert_eq!(world.state().value(), (&b"a"[..], 1));
}

#[test]
fn a_new_default_holds_from_the_next_phase_to_the_end_of_its_protocol() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let approving = Vote {
        default: Some(DefaultVote::Approve),
        ..Vote::new(Verdict::Continue)
    };
    world.vote(a, approving);
    world.votes(b, Verdict::Approve);
    world.votes(c, Verdict::Approve);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.pass(LIMIT);
    assert!(world.approved(ticket));
    let second = world.propose(a, value("newer"), Voting::VOTED);
    world.pass(LIMIT);
    assert!(world.rejected(second), "the group's default is what it was");
    world.at_rest();
}

#[test]
fn a_vote_carries_a_message_to_everybody() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let with_message = Vote {
        message: b"look".to_vec(),
        ..Vote::new(Verdict::Continue)
    };
    world.vote(b, with_message);
    world.votes(a, Verdict::Approve);
    world.votes(c, Verdict::Approve);
    world.settle();
    let heard = |notice: &&Notice| match notice {
        Notice::Opened { phase: 2, before, .. } => before.iter().any(|ballot| ballot.counted.message == b"look"),
        _ => false,
    };
    for provider in [a, b, c] {
        assert!(world.shown(provider).iter().any(heard));
    }
}

#[test]
fn only_those_who_are_asked_vote_once_and_briefly() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let why = |world: &World, provider: ProviderId| match world.events(provider).last() {
        Some(Event::VoteRefused { why, .. }) => Some(*why),
        _ => None,
    };
    world.vote_in(a, (Seq(1), 1), Vote::new(Verdict::Approve));
    assert_eq!(why(&world, a), Some(VoteRefused::NotOpen));
    let expel = Proposal::Expel {
        providers: vec![b],
        deactivate: None,
    };
    let ticket = world.propose(a, expel, Voting::VOTED);
    world.settle();
    world.votes(b, Verdict::Reject);
    assert_eq!(why(&world, b), Some(VoteRefused::NotAsked));
    let long = Vote {
        message: vec![0; MAX_VOTE_MESSAGE + 1],
        ..Vote::new(Verdict::Approve)
    };
    world.vote(a, long);
    let message = message_share(2);
    assert_eq!(why(&world, a), Some(VoteRefused::TooLong { message }));
    world.votes(a, Verdict::Approve);
    world.votes(a, Verdict::Reject);
    assert_eq!(why(&world, a), Some(VoteRefused::Twice));
    world.votes(c, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.listed(), [a, c]);
}

#[test]
fn a_barrier_ends_when_everybody_is_there_and_names_who_is_missing() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    let barrier = |name: &str| Proposal::Barrier {
        name: name.as_bytes().to_vec(),
    };
    let alone = world.propose(a, barrier("x"), Voting::OnePhase);
    world.settle();
    assert_eq!(world.result(alone), Some(&Resolved::Refused(Refusal::NoVote)));
    let ticket = world.propose(a, barrier("x"), Voting::VOTED);
    world.settle();
    for provider in [a, b, c] {
        world.votes(provider, Verdict::Approve);
    }
    world.settle();
    assert!(world.approved(ticket));
    let limit = Some(Duration::from_secs(1));
    let ticket = world.propose(b, barrier("y"), Voting::Voted { limit });
    world.settle();
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.pass(Duration::from_secs(1));
    let Some(Resolved::Rejected { votes }) = world.result(ticket) else {
        panic!("somebody is missing");
    };
    let missing = votes.iter().filter(|ballot| ballot.counted.by_default.is_some());
    assert_eq!(missing.map(|ballot| ballot.provider).collect::<Vec<_>>(), [c]);
}

#[test]
fn a_vote_of_an_earlier_order_is_not_counted_in_a_later_phase() {
    let (mut world, [a, b, c]) = three(Attributes::default());
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    for provider in [a, b, c] {
        world.votes(provider, Verdict::Continue);
    }
    world.settle();
    world.pass(LIMIT - Duration::from_millis(1));
    let order = Order::Vote {
        provider: a,
        protocol: world.open(0).expect("open").0,
        phase: 1,
        vote: Vote::new(Verdict::Approve),
    };
    world.order(0, order);
    world.settle();
    assert_eq!(world.chair.awaited(world.state()), [a, b, c]);
}
