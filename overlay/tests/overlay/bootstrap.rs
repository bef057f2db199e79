//! Who seeks a place or a bootstrap peer, one question at a time: whom it asks over its links and whom directly, and who may answer.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_overlay::message::{Answer, Hello, Message, OneShot};
use fatebound_overlay::{Bounded, Config, DisconnectCause, Event, Multiaddr, Output};

use crate::SECOND;
use crate::driver::{Alone, Question, dials, has_event, hello, key, nearest_to_us, peer, question, record};
use crate::net::address;

fn at(n: u8) -> Multiaddr {
    address(n.into())
}

/// Somebody with a smaller key than ours: beside it we do not count as the first.
fn smaller() -> u8 {
    (2..=u8::MAX).find(|n| key(*n) < key(1)).expect("one of many")
}

fn directly_joining(output: &Output) -> Option<Question> {
    question(output).filter(|question| matches!(question.body, OneShot::Join { .. }))
}

fn joins(alone: &Alone, out: &[Output]) -> Vec<u8> {
    let handed = alone.handed(out).into_iter();
    handed
        .filter(|(_, routed)| matches!(routed.body.body, OneShot::Join { .. }))
        .map(|(carrier, _)| carrier)
        .collect()
}

#[test]
fn beyond_64_bootstrap_addresses_are_left_out() {
    let mut alone = Alone::new(&Config::local());
    let addresses: Vec<Multiaddr> = (2..67).map(at).collect();
    assert_eq!(addresses.len(), 65);
    alone.join(&addresses);
    let full = Bounded::new("bootstrap addresses", 64, 64);
    assert_eq!(alone.size("bootstrap addresses"), full);
}

/// A link that neither end wants would go after four `ping_timeout`s.
#[test]
fn a_neighbour_without_a_place_is_kept_while_we_seek_ours() {
    let config = Config::local();
    let mut alone = Alone::new(&config);
    let waiting = smaller();
    alone.join(&[at(waiting)]);
    alone.connect(waiting, Some(at(waiting)));
    let greeting = Hello {
        wanted: false,
        ..hello(waiting, false)
    };
    alone.say(waiting, Message::Hello(Box::new(greeting)));
    alone.run(config.ping_timeout * 8);
    assert!(!alone.overlay.joined());
    let neighbours = alone.overlay.neighbours();
    assert!(
        matches!(&neighbours[..], [neighbour] if neighbour.peer == peer(waiting) && neighbour.wanted),
        "{neighbours:?}"
    );
}

/// Its `Hello` may have crossed with ours, in which we had no place yet; and it may know whom we have not heard of.
#[test]
fn who_has_just_got_a_place_asks_every_new_neighbour_for_its_leaves() {
    let config = Config::local();
    let mut alone = Alone::new(&config);
    let asked = |out: &[Output], n: u8| {
        let mut questions = out.iter().filter_map(question);
        questions.any(|question| question.to == n && matches!(question.body, OneShot::Leaves(_)))
    };
    alone.connect(2, None);
    alone.join(&[]);
    let out = alone.say(2, Message::Hello(Box::new(hello(2, false))));
    assert_eq!(alone.overlay.leaf_set(), (&[][..], &[][..]));
    assert!(asked(&out, 2));
    alone.run(config.link_lifetime() + SECOND);
    let out = alone.neighbour(hello(3, false));
    assert!(!asked(&out, 3), "all have heard of it by now");
}

/// "A bootstrap peer that can bear no more links is asked directly, without a link, after one round without any." It can say who else is there.
#[test]
fn a_bootstrap_peer_that_takes_no_link_is_asked_directly_after_one_round() {
    let config = Config::local();
    let mut alone = Alone::new(&config);
    let named: Multiaddr = format!("{}/p2p/{}", at(2), peer(2)).parse().expect("an address");
    let out = alone.join(&[named]);
    assert_eq!(dials(&out), [(Some(2), vec![at(2)])]);
    assert_eq!(out.iter().find_map(directly_joining).map(|question| question.to), None);
    alone.connect(2, Some(at(2)));
    alone.say(2, Message::Hello(Box::new(hello(2, true))));
    alone.too_busy(2);
    assert_eq!(alone.overlay.neighbours().len(), 0);
    let question = alone.wait_for(config.ping_timeout * 2, |_, output| directly_joining(output));
    assert_eq!((question.to, question.addresses), (2, vec![at(2)]));
    let out = alone.answer(question.request, vec![record(3, 1, &[at(3)])]);
    assert!(dials(&out).contains(&(Some(3), vec![at(3)])), "{out:?}");
}

/// "After two rounds a neighbour with a place is asked directly (a `Join` may always be lost at the same peer)."
#[test]
fn a_neighbour_with_a_place_is_asked_directly_after_two_rounds() {
    let config = Config::local();
    let mut alone = Alone::new(&config);
    alone.join(&[at(2)]);
    alone.connect(2, Some(at(2)));
    let out = alone.say(2, Message::Hello(Box::new(hello(2, true))));
    assert_eq!(joins(&alone, &out), [2]);
    let first = |alone: &Alone, output: &Output| match directly_joining(output) {
        Some(question) => Some(Some(question)),
        None => (!joins(alone, std::slice::from_ref(output)).is_empty()).then_some(None),
    };
    let round = alone.wait_for(SECOND, first);
    assert!(round.is_none(), "one round: the Join is repeated, no more: {round:?}");
    let question = alone.wait_for(SECOND * 2, first).expect("two rounds");
    assert_eq!((question.to, question.addresses.len()), (2, 0));
    let out = alone.answer(question.request, vec![record(2, 1, &[at(2)])]);
    assert!(has_event(&out, |event| matches!(event, Event::Joined)), "{out:?}");
}

/// Who has no place is no next hop. Whether a neighbour has one, its `Hello` says, or a later ping.
#[test]
fn a_join_is_repeated_over_all_neighbours_with_a_place_and_no_other() {
    let mut alone = Alone::new(&Config::local());
    alone.join(&[at(9)]);
    alone.neighbour(hello(2, true));
    alone.neighbour(hello(3, false));
    alone.neighbour(hello(4, false));
    alone.ping_with_a_place(3);
    let out = alone.run(SECOND * 20);
    let carriers: BTreeSet<u8> = joins(&alone, &out).into_iter().collect();
    assert_eq!(carriers, BTreeSet::from([2, 3]));
}

/// A ring of us and peer 3; a bootstrap peer of which it has not heard, and the question to that one, which leaves by a detour.
fn looking_for_a_bootstrap_peer() -> (Alone, u8, u64) {
    let (mut alone, lost) = with_a_lost_bootstrap_peer(&Config::local());
    let asked = |alone: &Alone, output: &Output| {
        let handed = alone.handed(std::slice::from_ref(output)).pop();
        handed
            .filter(|(_, routed)| routed.target == peer(lost) && matches!(routed.body.body, OneShot::Leaves(_)))
            .map(|(carrier, routed)| (carrier, routed.body.number))
    };
    let (carrier, number) = alone.wait_for(rounds(10), asked);
    assert_eq!(carrier, 3);
    (alone, lost, number)
}

fn with_a_lost_bootstrap_peer(config: &Config) -> (Alone, u8) {
    let lost = nearest_to_us(&[3]);
    let mut alone = Alone::among(config, &[]);
    alone.join(&[at(lost)]);
    alone.connect(lost, Some(at(lost)));
    alone.disconnect(lost, DisconnectCause::Lost);
    alone.neighbour(hello(3, true));
    (alone, lost)
}

/// So many rounds of maintenance, however long each is.
fn rounds(count: u32) -> Duration {
    Config::local().maintenance_interval.mul_f64(1.25) * count
}

fn dials_for(out: &[Output], n: u8) -> usize {
    dials(out).iter().filter(|(_, addresses)| *addresses == [at(n)]).count()
}

/// "One round in eight asks, through the overlay, for a bootstrap peer, and dials it if it does not answer."
#[test]
fn a_bootstrap_peer_that_does_not_answer_through_the_overlay_is_dialled_in_the_next_round() {
    let (mut alone, lost, _) = looking_for_a_bootstrap_peer();
    assert_eq!(alone.overlay.neighbours().len(), 1, "it is not alone");
    let out = alone.run(rounds(1));
    assert_eq!(dials_for(&out, lost), 1);
}

#[test]
fn a_bootstrap_peer_that_answers_through_the_overlay_is_not_dialled() {
    let (mut alone, lost, number) = looking_for_a_bootstrap_peer();
    let counted = alone.counted();
    alone.answer_routed((lost, 3), number, Answer::Records(Vec::new()));
    assert_eq!(alone.counted(), counted);
    let out = alone.run(rounds(2));
    assert_eq!(dials_for(&out, lost), 0);
}

#[test]
fn nobody_else_answers_for_a_bootstrap_peer() {
    let (mut alone, lost, number) = looking_for_a_bootstrap_peer();
    let (garbage, dropped) = alone.counted();
    alone.answer_routed((3, 3), number, Answer::Records(Vec::new()));
    assert_eq!(alone.counted(), (garbage + 1, dropped));
    let out = alone.run(rounds(1));
    assert_eq!(dials_for(&out, lost), 1);
}

#[test]
fn without_detours_a_bootstrap_peer_is_not_asked_by_one() {
    let config = Config {
        detours: 0,
        ..Config::local()
    };
    let (mut alone, lost) = with_a_lost_bootstrap_peer(&config);
    let out = alone.run(rounds(10));
    assert!(alone.handed(&out).iter().all(|(_, routed)| routed.target != peer(lost)));
    assert!(dials_for(&out, lost) >= 1, "it is dialled instead");
}
