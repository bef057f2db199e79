//! Who gives a place to whom: contacts that are needed for joining only, answers to a `Join`, and who waits for one.

use std::time::Duration;

use fatebound_overlay::message::{Answer, Message, OneShot, Routed};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{Config, Event, Input, Multiaddr, Output};

use crate::SECOND;
use crate::driver::{Alone, dials, has_event, hello, key, keypair, nearest_to_us, peer, record};
use crate::net::{address, signed_question};

fn at(n: u8) -> Multiaddr {
    address(n.into())
}

fn dialled(out: &[Output], n: u8) -> bool {
    dials(out).iter().any(|(_, addresses)| *addresses == [at(n)])
}

/// The numbers of our own `Join`s, and over whom they go.
fn joins(alone: &Alone, out: &[Output]) -> Vec<(u8, u64)> {
    let handed = alone.handed(out).into_iter();
    handed
        .filter(|(_, routed)| routed.target == peer(1) && matches!(routed.body.body, OneShot::Join { .. }))
        .map(|(carrier, routed)| (carrier, routed.body.number))
        .collect()
}

/// Whose `Join`s are answered.
fn answered(out: &[Output]) -> Vec<u8> {
    let answer = |output: &Output| match output {
        Output::Send {
            message: Message::RoutedAnswer(answer),
            ..
        } => Some(crate::driver::number(&answer.body.to)),
        _ => None,
    };
    out.iter().filter_map(answer).collect()
}

/// The `Join` of a peer, carried by another; who carried it may have added records that are near.
fn carried_join(joiner: u8, carrier: u8, gathered: Vec<SignedRecord>) -> Routed {
    let joiner_record = record(joiner, 1, &[at(joiner)]);
    let asked = OneShot::Join {
        joiner: joiner_record.clone(),
        gathered: Vec::new(),
    };
    let mut body = signed_question(&keypair(joiner), peer(joiner), 7, asked);
    body.body = OneShot::Join {
        joiner: joiner_record,
        gathered,
    };
    Routed {
        target: peer(joiner),
        visited: vec![key(joiner).tag(), key(carrier).tag()],
        detours: 0,
        body,
    }
}

#[test]
fn who_seeks_does_not_dial_itself_nor_whom_it_is_linked_to() {
    let mut alone = Alone::new(&Config::local());
    let named: Multiaddr = format!("{}/p2p/{}", at(2), peer(2)).parse().expect("an address");
    alone.join(&[named, at(5), at(9)]);
    alone.connect(2, Some(at(2)));
    alone.say(2, Message::Hello(Box::new(hello(2, false))));
    // It learns only now that it lives there itself.
    alone.give(Input::Listening(vec![at(5)]));
    let out = alone.run(SECOND * 20);
    assert!(dialled(&out, 9));
    assert!(!dialled(&out, 2) && !dialled(&out, 5));
}

/// The address of a connection may be another than the one that was dialled: names are resolved.
#[test]
fn whoever_answers_the_dial_of_a_bootstrap_address_is_asked_for_our_place() {
    let mut alone = Alone::among(&Config::local(), &[3]);
    alone.join(&[at(9)]);
    let rounds = Config::local().maintenance_interval.mul_f64(1.25) * 20;
    alone.wait_for(rounds, |_, output| {
        dialled(std::slice::from_ref(output), 9).then_some(())
    });
    alone.connect(9, Some(at(77)));
    let out = alone.say(9, Message::Hello(Box::new(hello(9, true))));
    let carriers: Vec<u8> = joins(&alone, &out).into_iter().map(|(carrier, _)| carrier).collect();
    assert_eq!(carriers, [9]);
    let out = alone.neighbour(hello(4, true));
    assert_eq!(joins(&alone, &out), [], "it comes by itself");
}

#[test]
fn sixteen_neighbours_are_kept_for_joining() {
    let mut alone = Alone::new(&Config::local());
    alone.join(&[at(99)]);
    for n in 2..20 {
        alone.neighbour(hello(n, false));
    }
    let kept = alone.size("neighbours for joining");
    assert_eq!((kept.size, kept.limit), (16, 16));
    alone.silent.insert(5);
    alone.run(Config::local().link_lifetime() * 2);
    assert_eq!(alone.size("neighbours for joining").size, 15, "who is gone makes room");
}

#[test]
fn who_has_a_place_no_longer_wants_those_who_have_none() {
    let mut alone = Alone::new(&Config::local());
    alone.join(&[at(99)]);
    alone.neighbour(fatebound_overlay::message::Hello {
        wanted: false,
        ..hello(2, false)
    });
    let wanted = |alone: &Alone, n: u8| {
        let neighbours = alone.overlay.neighbours();
        neighbours
            .iter()
            .find(|view| view.peer == peer(n))
            .map(|view| view.wanted)
    };
    assert_eq!(wanted(&alone, 2), Some(true));
    let out = alone.neighbour(hello(3, true));
    let (carrier, number) = joins(&alone, &out)[0];
    let place = Answer::Records(vec![record(3, 1, &[at(3)])]);
    let out = alone.answer_routed((3, carrier), number, place);
    assert!(has_event(&out, |event| matches!(event, Event::Joined)), "{out:?}");
    assert_eq!(wanted(&alone, 2), Some(false));
}

/// Who answers without a place of its own knows none for us.
#[test]
fn only_who_has_a_place_gives_one_and_who_has_one_keeps_it() {
    let mut alone = Alone::new(&Config::local());
    alone.join(&[at(99)]);
    let out = alone.neighbour(hello(3, true));
    let (carrier, number) = joins(&alone, &out)[0];
    let nobody = Answer::Records(vec![record(4, 1, &[at(4)])]);
    alone.answer_routed((3, carrier), number, nobody);
    alone.run(Config::local().ping_timeout * 2);
    assert!(!alone.overlay.joined());

    let mut alone = Alone::among(&Config::local(), &[]);
    alone.join(&[at(99)]);
    let out = alone.neighbour(hello(3, true));
    let (carrier, number) = joins(&alone, &out)[0];
    let place = Answer::Records(vec![record(3, 1, &[at(3)])]);
    alone.answer_routed((3, carrier), number, place);
    assert!(alone.overlay.joined());
}

/// What carriers add is not what the joiner signed.
#[test]
fn a_join_is_genuine_by_what_its_joiner_signed() {
    let mut alone = Alone::among(&Config::local(), &[3]);
    let joiner = nearest_to_us(&[3]);
    let carried = carried_join(joiner, 3, vec![record(4, 1, &[at(4)])]);
    let out = alone.say(3, Message::Routed(Box::new(carried.clone())));
    assert_eq!(answered(&out), [joiner]);
    let (garbage, _) = alone.counted();
    let mut forged = carried;
    forged.body.number += 1;
    let out = alone.say(3, Message::Routed(Box::new(forged)));
    assert_eq!(answered(&out), [0_u8; 0]);
    assert_eq!(alone.counted().0, garbage + 1);
}

/// "Held here": whoever asks again is answered once, and nobody is forgotten for another.
#[test]
fn who_waits_for_our_place_is_answered_once_when_we_have_it() {
    let mut alone = Alone::new(&Config::local());
    alone.join(&[at(99)]);
    alone.neighbour(hello(2, false));
    for joiner in [50, 51, 50] {
        let out = alone.say(2, Message::Routed(Box::new(carried_join(joiner, 2, Vec::new()))));
        assert_eq!(answered(&out), [0_u8; 0]);
    }
    assert_eq!(alone.size("joins held").size, 2);
    let mut out = alone.join(&[]);
    out.extend(alone.run(Duration::from_secs(30)));
    let mut answered = answered(&out);
    answered.sort_unstable();
    assert_eq!(answered, [50, 51]);
}
