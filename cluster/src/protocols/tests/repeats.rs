//! What is lost with a chair or on the way is said again, and counts once: X1, X3 and X4.

use std::time::Duration;

use super::handy::value;
use super::world::World;
use crate::protocols::{
    Attributes, ChairInput, Collision, DefaultVote, Ended, Entry, Event, Proposal, ProviderId, Refusal, Resolved,
    Verdict, Vote, Voting,
};

fn two(attributes: Attributes) -> (World, [ProviderId; 2]) {
    let mut world = World::new(2, attributes);
    let providers = [0, 1].map(|place| world.join(place, "x").0);
    (world, providers)
}

fn refusing() -> Attributes {
    Attributes {
        collision: Collision::Refuse,
        ..Attributes::default()
    }
}

#[test]
fn a_proposal_is_told_to_the_next_chair() {
    let (mut world, [_, b]) = two(Attributes::default());
    let ticket = world.propose(b, value("new"), Voting::OnePhase);
    world.change_chair();
    world.settle();
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn a_proposal_that_has_begun_is_not_begun_by_the_next_chair() {
    let (mut world, [a, b]) = two(Attributes::default());
    let ticket = world.propose(b, value("new"), Voting::VOTED);
    world.word(1);
    world.change_chair();
    world.settle();
    assert_eq!(world.open(0).map(|(_, phase)| phase), Some(1));
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.state().value().1, 1);
    world.at_rest();
}

#[test]
fn a_proposal_that_was_refused_is_not_begun_when_it_comes_again() {
    let (mut world, [a, b]) = two(refusing());
    let first = world.propose(a, value("a"), Voting::VOTED);
    world.settle();
    let ticket = world.propose(b, value("b"), Voting::OnePhase);
    world.word(1);
    // The way breaks and nothing is lost: both copies come, and one answer is on its way.
    world.break_way(1, 0);
    world.answer(1);
    assert_eq!(world.result(ticket), Some(&Resolved::Refused(Refusal::Collided)));
    world.votes(a, Verdict::Approve);
    // The second copy waits until the way is free.
    let late = world.hold_words(1);
    world.votes(b, Verdict::Approve);
    world.settle();
    assert!(world.approved(first));
    world.release_words(1, late);
    world.settle();
    assert_eq!(world.state().value(), (&b"a"[..], 1));
    world.at_rest();
}

#[test]
fn votes_are_told_to_the_next_chair() {
    let (mut world, [a, b]) = two(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.word(1);
    world.change_chair();
    world.settle();
    assert!(world.approved(ticket), "without time passing");
    world.at_rest();
}

#[test]
fn a_phase_has_a_fresh_limit_with_the_next_chair() {
    let attributes = Attributes {
        default_vote: DefaultVote::Approve,
        ..Attributes::default()
    };
    let (mut world, [a, b]) = two(attributes);
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    world.votes(b, Verdict::Approve);
    world.pass(Duration::from_secs(4));
    world.change_chair();
    world.pass(Duration::from_secs(4));
    assert_eq!(world.result(ticket), None);
    world.pass(Duration::from_secs(1));
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn an_entry_that_is_lost_with_its_view_is_numbered_again() {
    let (mut world, [_, b]) = two(Attributes::default());
    let ticket = world.propose(b, value("new"), Voting::OnePhase);
    world.word(1);
    assert!(matches!(world.log.pop(), Some(Entry::OnePhase { .. })));
    let present = world.members.iter().map(|member| member.node).collect();
    world.tell_chair(ChairInput::Nodes { present });
    world.settle();
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn a_goodbye_is_told_until_everybody_has_heard_it() {
    let (mut world, [a, b]) = two(Attributes::default());
    world.goodbye(b, None);
    world.break_way(1, 1);
    world.change_chair();
    world.settle();
    assert_eq!(world.listed(), [a]);
    world.at_rest();
}

#[test]
fn proposals_that_meet_are_refused_or_wait_as_the_group_likes() {
    let (mut world, [a, b]) = two(refusing());
    let first = world.propose(a, value("a"), Voting::VOTED);
    let second = world.propose(b, value("b"), Voting::OnePhase);
    let leave = world.leave(b);
    world.settle();
    let collided = Resolved::Refused(Refusal::Collided);
    assert_eq!(
        (world.result(second), world.result(leave)),
        (Some(&collided), Some(&collided))
    );
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.settle();
    assert!(world.approved(first));

    let (mut world, [a, b]) = two(Attributes::default());
    let tickets = [
        world.propose(a, value("a"), Voting::OnePhase),
        world.propose(b, value("b"), Voting::OnePhase),
    ];
    world.settle();
    assert!(tickets.into_iter().all(|ticket| world.approved(ticket)));
    world.at_rest();
}

#[test]
fn a_proposal_is_withdrawn_before_it_begins_and_not_after() {
    let (mut world, [a, b]) = two(Attributes::default());
    let running = world.propose(a, value("a"), Voting::VOTED);
    world.settle();
    let said = world.propose(b, value("b"), Voting::OnePhase);
    let unsaid = world.propose(b, value("c"), Voting::OnePhase);
    world.settle();
    for ticket in [unsaid, said] {
        world.withdraw(b, ticket);
    }
    world.withdraw(a, running);
    // Its word is lost with the chair, and told again.
    world.change_chair();
    world.settle();
    let withdrawn = Resolved::Refused(Refusal::Withdrawn);
    assert_eq!(
        (world.result(said), world.result(unsaid)),
        (Some(&withdrawn), Some(&withdrawn))
    );
    world.votes(a, Verdict::Approve);
    world.votes(b, Verdict::Approve);
    world.settle();
    assert!(world.approved(running));
    assert_eq!(world.state().value(), (&b"a"[..], 1));
    world.at_rest();
}

#[test]
fn a_withdrawal_that_crosses_the_beginning_is_too_late() {
    let (mut world, [_, b]) = two(Attributes::default());
    let ticket = world.propose(b, value("b"), Voting::OnePhase);
    world.word(1);
    world.withdraw(b, ticket);
    world.word(1);
    // An answer would be here before the entry.
    world.answer(1);
    world.settle();
    assert!(world.approved(ticket));
    world.at_rest();
}

#[test]
fn orders_of_one_provider_begin_in_their_order() {
    let (mut world, [_, b]) = two(Attributes::default());
    let tickets: Vec<_> = ["1", "2", "3"]
        .map(|text| world.propose(b, value(text), Voting::OnePhase))
        .into();
    let leave = world.leave(b);
    world.settle();
    assert!(tickets.into_iter().all(|ticket| world.approved(ticket)));
    assert!(world.approved(leave));
    assert_eq!(world.state().value(), (&b"3"[..], 3));
    world.at_rest();
}

#[test]
fn whoever_is_put_out_does_not_know_what_became_of_its_orders() {
    let (mut world, [_, b]) = two(Attributes::default());
    let ticket = world.propose(b, value("b"), Voting::OnePhase);
    let lost = world.put_out(1);
    let result = Resolved::Unknown;
    assert!(lost.events.contains(&(b, Event::Done { ticket, result })));
    assert_eq!(lost.events.last(), Some(&(b, Event::Ended(Ended::PutOut))));
    world.settle();
    assert!(!world.listed().contains(&b));
    world.at_rest();
}

#[test]
fn nobody_speaks_for_another_node() {
    use crate::protocols::{ProposalId, Word};
    let (mut world, [a, b]) = two(Attributes::default());
    world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let (protocol, phase) = world.open(0).expect("open");
    let words = [a, b].map(|provider| Word::Vote {
        provider,
        protocol,
        phase,
        vote: Vote::new(Verdict::Approve),
    });
    let by = ProposalId { provider: b, number: 9 };
    let proposal = Proposal::Message { body: Vec::new() };
    let voting = Voting::OnePhase;
    let ask = crate::protocols::Ask::Propose { proposal, voting };
    let forged = [words.to_vec(), vec![Word::Propose { by, ask }]].concat();
    // One that is in no view, and one that is.
    for from in [super::node(9), a.node] {
        world.tell_chair(ChairInput::Words {
            from,
            words: forged.clone(),
        });
    }
    world.settle();
    assert_eq!(world.chair.awaited(world.state()), [b]);
}

#[test]
fn the_first_vote_of_a_voter_counts_whatever_its_desk_says() {
    use crate::protocols::Word;
    let (mut world, [a, b]) = two(Attributes::default());
    let ticket = world.propose(a, value("new"), Voting::VOTED);
    world.settle();
    let (protocol, phase) = world.open(0).expect("open");
    world.votes(b, Verdict::Approve);
    world.settle();
    let other = Word::Vote {
        provider: b,
        protocol,
        phase,
        vote: Vote::new(Verdict::Reject),
    };
    world.tell_chair(ChairInput::Words {
        from: b.node,
        words: vec![other],
    });
    world.votes(a, Verdict::Approve);
    world.settle();
    assert!(world.approved(ticket));
}
