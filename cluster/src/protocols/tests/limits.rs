//! What happens at each bound.

use std::time::Duration;

use super::handy::value;
use super::world::World;
use crate::numbers::Seq;
use crate::protocols::{
    Attributes, ChairInput, DeskInput, Event, MAX_INFO, MAX_INSTANCE, MAX_MESSAGE, MAX_NAMES, MAX_PROPOSALS,
    MAX_PROVIDERS, MAX_PROVIDERS_PER_NODE, MAX_STATE, MAX_TEXT, MAX_VOTE_MESSAGE, MAX_WAITING, Notice, Order, Proposal,
    Refusal, Remark, Resolved, Standing, Ticket, Verdict, Vote, Voting, Word, message_share,
};

fn refused(world: &World, ticket: Ticket) -> Option<Refusal> {
    match world.result(ticket) {
        Some(Resolved::Refused(why)) => Some(*why),
        _ => None,
    }
}

fn bound(max: usize) -> u32 {
    u32::try_from(max).expect("small")
}

/// A join with a text of so many bytes.
fn join(world: &mut World, place: usize, instance: &str, info: usize) -> Ticket {
    let ticket = world.ticket();
    let order = Order::Join {
        ticket,
        instance: instance.as_bytes().to_vec(),
        info: vec![0; info],
        attributes: world.state().attributes().clone(),
    };
    world.order(place, order);
    world.settle();
    ticket
}

#[test]
fn a_node_and_a_group_have_so_many_providers() {
    let mut world = World::new(3, Attributes::default());
    for number in 0..MAX_PROVIDERS {
        let place = number / MAX_PROVIDERS_PER_NODE;
        let ticket = join(&mut world, place, &format!("{number}"), 1);
        assert!(world.approved(ticket), "{number}");
    }
    let max = bound(MAX_PROVIDERS);
    let ticket = join(&mut world, 2, "one more", 1);
    assert_eq!(refused(&world, ticket), Some(Refusal::TooMany { max }));
    let max = bound(MAX_PROVIDERS_PER_NODE);
    let ticket = join(&mut world, 0, "one more", 1);
    assert_eq!(refused(&world, ticket), Some(Refusal::TooMany { max }));
    world.at_rest();
}

#[test]
fn names_and_texts_are_so_long_together() {
    let mut world = World::new(1, Attributes::default());
    let each = MAX_INFO + 2;
    for number in 0..MAX_NAMES / each {
        let ticket = join(&mut world, 0, &format!("{number:02}"), MAX_INFO);
        assert!(world.approved(ticket), "{number}");
    }
    let ticket = join(&mut world, 0, "xx", MAX_INFO);
    let max = bound(MAX_NAMES);
    assert_eq!(refused(&world, ticket), Some(Refusal::NamesFull { max }));
}

#[test]
fn what_is_too_long_is_refused_where_it_is_ordered() {
    let mut world = World::new(1, Attributes::default());
    let (a, _) = world.join(0, "a");
    let length = |max| Some(Refusal::Length { max: bound(max) });
    let long = "x".repeat(MAX_INSTANCE + 1);
    for (instance, info, max) in [
        ("", 0, MAX_INSTANCE),
        (&*long, 0, MAX_INSTANCE),
        ("b", MAX_INFO + 1, MAX_INFO),
    ] {
        let ticket = join(&mut world, 0, instance, info);
        assert_eq!(refused(&world, ticket), length(max));
    }
    let state = |length| Proposal::State {
        value: vec![0; length],
        expected: None,
    };
    let ticket = world.propose(a, state(MAX_STATE + 1), Voting::OnePhase);
    assert_eq!(refused(&world, ticket), length(MAX_STATE));
    let barrier = Proposal::Barrier {
        name: vec![0; MAX_TEXT + 1],
    };
    let ticket = world.propose(a, barrier, Voting::VOTED);
    assert_eq!(refused(&world, ticket), length(MAX_TEXT));
    let ticket = world.propose(a, state(MAX_STATE), Voting::OnePhase);
    world.settle();
    assert!(world.approved(ticket));
    for (length, sent) in [(MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)] {
        let body = vec![0; length];
        world.order(0, Order::Send { provider: a, body });
        world.settle();
        let last = matches!(world.shown(a).last(), Some(Notice::Message { body, .. }) if body.len() == length);
        let not_sent = matches!(world.events(a).last(), Some(Event::NotSent(Refusal::Length { .. })));
        assert_eq!((last, not_sent), (sent, !sent));
    }
}

#[test]
fn a_provider_has_so_many_proposals_in_hand() {
    let mut world = World::new(1, Attributes::default());
    let (a, _) = world.join(0, "a");
    let tickets: Vec<Ticket> = (0..=MAX_PROPOSALS)
        .map(|_| world.propose(a, value("x"), Voting::OnePhase))
        .collect();
    let max = bound(MAX_PROPOSALS);
    assert_eq!(
        refused(&world, tickets[MAX_PROPOSALS]),
        Some(Refusal::QueueFull { max })
    );
    world.settle();
    assert!(tickets[..MAX_PROPOSALS].iter().all(|ticket| world.approved(*ticket)));
}

#[test]
fn so_many_proposals_of_a_kind_wait_at_the_chair() {
    let mut world = World::new(2, Attributes::default());
    let providers: Vec<_> = (0..MAX_PROVIDERS_PER_NODE)
        .map(|number| world.join(0, &format!("{number}")).0)
        .collect();
    let more = [0, 1].map(|number| world.join(1, &format!("{number}")).0);
    let running = world.propose(more[0], value("first"), Voting::VOTED);
    world.settle();
    let wait: Vec<Ticket> = providers
        .iter()
        .map(|by| world.propose(*by, value("x"), Voting::OnePhase))
        .collect();
    world.settle();
    assert_eq!(wait.len(), MAX_WAITING);
    let over = world.propose(more[1], value("x"), Voting::OnePhase);
    world.settle();
    let max = bound(MAX_WAITING);
    assert_eq!(refused(&world, over), Some(Refusal::QueueFull { max }));
    for provider in providers.into_iter().chain(more) {
        world.votes(provider, Verdict::Approve);
    }
    world.settle();
    assert!(world.approved(running) && wait.into_iter().all(|ticket| world.approved(ticket)));
    world.at_rest();
}

#[test]
fn remarks_beyond_the_bound_are_left_unsaid() {
    let mut world = World::new(1, Attributes::default());
    let providers: Vec<_> = (0..MAX_PROVIDERS_PER_NODE)
        .map(|number| world.join(0, &format!("{number}")).0)
        .collect();
    for provider in &providers {
        for remark in [Remark::Lagging, Remark::Unresponsive, Remark::Lagging] {
            let provider = *provider;
            world.tell_chair(ChairInput::Announce { provider, remark });
        }
    }
    world.settle();
    let shown = world.shown(providers[0]);
    let told = shown
        .iter()
        .filter(|notice| matches!(notice, Notice::Announced { .. }))
        .count();
    // One was under way.
    assert_eq!(told, 65);
}

#[test]
fn orders_of_unknown_providers_come_back() {
    let mut world = World::new(1, Attributes::default());
    let provider = super::provider(0, 9);
    let ticket = world.ticket();
    let order = Order::Leave { ticket, provider };
    world.order(0, order);
    assert_eq!(refused(&world, ticket), Some(Refusal::NotListed));
    world.order(0, Order::Gone { provider });
    world.withdraw(provider, ticket);
    let body = Vec::new();
    world.order(0, Order::Send { provider, body });
    assert_eq!(
        world.events(provider).last(),
        Some(&&Event::NotSent(Refusal::NotListed))
    );
    let mut out = Vec::new();
    let state = world.state().clone();
    world.members[0]
        .desk
        .handle(world.now, DeskInput::Again, &state, &mut out);
    assert!(out.is_empty());
}

#[test]
fn the_longest_votes_of_as_many_as_may_be_fit_one_entry() {
    let mut world = World::new(2, Attributes::default());
    let join = |world: &mut World, number: usize| world.join(number / MAX_PROVIDERS_PER_NODE, &format!("{number}")).0;
    let providers: Vec<_> = (0..MAX_PROVIDERS).map(|number| join(&mut world, number)).collect();
    let ticket = world.propose(providers[0], value("x"), Voting::VOTED);
    world.settle();
    for provider in providers {
        let vote = Vote {
            message: vec![1; message_share(MAX_PROVIDERS)],
            state: Some(vec![2; MAX_STATE]),
            ..Vote::new(Verdict::Approve)
        };
        world.vote(provider, vote);
    }
    world.settle();
    assert!(world.approved(ticket));
    assert_eq!(world.state().value(), (&[2; MAX_STATE][..], 1));
}

#[test]
fn a_vote_that_came_early_and_is_too_long_is_none() {
    let mut world = World::new(9, Attributes::default());
    let providers = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|place| world.join(place, "x").0);
    let protocol = Seq(world.log.len() as u64 + 1);
    // Nobody votes yet, so it has the longest share.
    let vote = Vote {
        message: vec![0; MAX_VOTE_MESSAGE],
        ..Vote::new(Verdict::Approve)
    };
    let early = Word::Vote {
        provider: providers[8],
        protocol,
        phase: 1,
        vote,
    };
    let from = providers[8].node;
    let words = vec![early];
    world.tell_chair(ChairInput::Words { from, words });
    let ticket = world.propose(providers[0], value("x"), Voting::VOTED);
    world.settle();
    assert_eq!(world.open(0), Some((protocol, 1)));
    for provider in &providers[..8] {
        world.votes(*provider, Verdict::Approve);
    }
    world.settle();
    assert_eq!(world.chair.awaited(world.state()), [providers[8]]);
    world.pass(Duration::from_secs(5));
    assert!(world.rejected(ticket), "by default");
    world.at_rest();
}

#[test]
fn a_place_is_held_no_longer_than_the_group_allows_by_then() {
    let mut world = World::new(2, Attributes::default());
    let [a, b] = [0, 1].map(|place| world.join(place, "x").0);
    let max_hold = Duration::from_secs(1);
    let attributes = Box::new(Attributes {
        max_hold,
        ..Attributes::default()
    });
    world.propose(a, Proposal::Attributes { attributes }, Voting::OnePhase);
    world.word(0);
    // The change is under way when this is heard.
    world.goodbye(b, Some(Duration::from_secs(200)));
    world.word(1);
    world.settle();
    let standing = world.state().provider(b).map(|listed| listed.standing);
    assert_eq!(standing, Some(Standing::Absent { hold: max_hold }));
    world.pass(max_hold);
    assert_eq!(world.listed(), [a]);
    world.at_rest();
}
