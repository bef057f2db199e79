//! Rounds of maintenance: who is asked what, who is believed, and what we answer.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_overlay::message::{Answer, Message, OneShot};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{Config, Event, Input, Key, Multiaddr, Output, PeerId, RequestId};

use crate::SECOND;
use crate::driver::{Alone, asked_for_leaves, dials, hello, key, keypair, peer, question, record};
use crate::net::address;

/// Questions for leaves, and for rows.
fn asked(out: &[Output]) -> (usize, usize) {
    let bodies: Vec<OneShot> = out.iter().filter_map(question).map(|question| question.body).collect();
    let leaves = bodies.iter().filter(|body| matches!(body, OneShot::Leaves(_))).count();
    (leaves, bodies.len() - leaves)
}

/// A question of ours that this neighbour, 2, may answer with whatever it likes.
fn asked_by_us() -> (Alone, RequestId) {
    let mut alone = Alone::among(&Config::local(), &[]);
    let out = alone.neighbour(hello(2, true));
    let request = asked_for_leaves(&out, 2);
    (alone, request)
}

/// Our own record, as others are shown it.
fn own(alone: &mut Alone) -> SignedRecord {
    match alone.asked(OneShot::Leaves(record(2, 1, &[address(2)]))) {
        Answer::Records(records) => records[0].clone(),
        answer => panic!("{answer:?}"),
    }
}

/// "Every round compares notes with one leaf and one row; when nothing changes, one in four."
#[test]
fn a_quiet_peer_compares_notes_in_one_round_of_four() {
    let config = Config::local();
    let mut alone = Alone::among(&config, &[2, 3]);
    let mut busy = Vec::new();
    // Each question is answered with nothing new.
    let mut rounds = |alone: &mut Alone, count: u32| {
        busy.clear();
        let end = alone.now + config.maintenance_interval * count;
        while alone.now < end {
            let out = alone.run(Duration::from_millis(100));
            for asked in out.iter().filter_map(question) {
                alone.answer(asked.request, Vec::new());
            }
            busy.extend(out);
        }
        asked(&busy)
    };
    let (leaves, rows) = rounds(&mut alone, 3);
    assert!((2..=4).contains(&leaves), "{leaves} of 3 rounds");
    assert_eq!(leaves, rows);
    rounds(&mut alone, 10);
    let (leaves, rows) = rounds(&mut alone, 40);
    assert!((7..=13).contains(&leaves), "{leaves} of 40 rounds");
    assert_eq!(leaves, rows);
}

#[test]
fn a_bootstrap_peer_that_is_a_neighbour_is_not_looked_for() {
    let mut alone = Alone::among(&Config::local(), &[]);
    alone.join(&[address(2)]);
    alone.connect(2, Some(address(2)));
    alone.say(2, Message::Hello(Box::new(hello(2, true))));
    alone.neighbour(hello(3, true));
    let out = alone.run(Config::local().maintenance_interval * 40);
    let handed = alone.handed(&out);
    assert!(handed.iter().all(|(_, routed)| routed.target != peer(2)), "{handed:?}");
    assert_eq!(dials(&out), []);
}

/// Those who pass the word on may not have noticed yet.
#[test]
fn hearsay_does_not_bring_back_who_was_lost_for_two_lifetimes_of_a_link() {
    let config = Config::local();
    let mut alone = Alone::among(&config, &[2, 3]);
    alone.silent.insert(3);
    alone.wait_for(config.link_lifetime() * 2, |_, output| {
        matches!(output, Output::Event(Event::LinkDown { .. })).then_some(())
    });
    let lost = alone.now;
    while alone.now < lost + config.link_lifetime() * 3 {
        let out = alone.run(SECOND / 10);
        for asked in out.iter().filter_map(question).filter(|asked| asked.to == 2) {
            alone.answer(asked.request, vec![record(3, 1, &[address(3)])]);
            let barred = alone.now < lost + config.link_lifetime() * 2;
            assert_eq!(
                !alone.chosen().contains(&peer(3)),
                barred,
                "{:?}",
                alone.now.since(lost)
            );
        }
    }
    assert!(alone.chosen().contains(&peer(3)));
}

#[test]
fn a_record_that_its_peer_has_not_signed_or_that_is_too_long_is_garbage() {
    let forged = SignedRecord::sign(record(5, 1, &[address(5)]).record().clone(), &keypair(2));
    let many: Vec<Multiaddr> = (0..=Config::local().max_addresses).map(address).collect();
    for bad in [forged, record(5, 1, &many)] {
        let (mut alone, request) = asked_by_us();
        let (garbage, dropped) = alone.counted();
        alone.answer(request, vec![bad]);
        assert_eq!(alone.counted(), (garbage + 1, dropped));
        assert_eq!(alone.chosen(), BTreeSet::from([peer(2)]));
    }
}

/// It would pass for the newer one, of a life that is over.
#[test]
fn a_record_of_an_earlier_life_of_ours_is_outdone() {
    let aged = || {
        let (mut alone, request) = asked_by_us();
        // Its record is the fourth.
        for other in 3..6 {
            alone.give(Input::Listening(vec![address(other)]));
        }
        (alone, request)
    };
    let ours = own(&mut aged().0).record().sequence;
    let of_sequence =
        |sequence: u64, signer: u8| SignedRecord::sign(record(1, sequence, &[]).record().clone(), &keypair(signer));
    for (told, expected) in [
        (of_sequence(ours - 1, 1), ours),
        (of_sequence(ours + 5, 2), ours),
        (of_sequence(ours + 5, 1), ours + 6),
    ] {
        let (mut alone, request) = aged();
        alone.answer(request, vec![told]);
        assert_eq!(own(&mut alone).record().sequence, expected);
    }
    let (mut alone, request) = aged();
    let same = own(&mut alone);
    alone.answer(request, vec![same.clone()]);
    assert_eq!(own(&mut alone), same);
}

/// The answer to `Leaves`: ourselves, our leaf set, and of our neighbours with a place the `2 · leaves_per_side` that are nearest to the asker.
#[test]
fn an_asker_is_shown_our_leaves_and_those_of_our_neighbours_that_are_nearest_to_it() {
    let config = Config::local();
    let placed = || 10..=60;
    let mut alone = Alone::among(&config, &Vec::from_iter(placed()));
    for n in 61..=90 {
        alone.neighbour(hello(n, false));
    }
    let mut near: Vec<PeerId> = placed().map(peer).collect();
    near.sort_by_key(|other| Key::of(other).ring_distance(&key(2)));
    near.truncate(2 * config.leaves_per_side);
    let (below, above) = alone.overlay.leaf_set();
    let mut expected: BTreeSet<PeerId> = below.iter().chain(above).copied().collect();
    assert!(
        near.iter().any(|peer| !expected.contains(peer)),
        "the asker is far from us"
    );
    expected.extend(near);
    expected.insert(peer(1));
    let Answer::Records(records) = alone.asked(OneShot::Leaves(record(2, 1, &[]))) else {
        panic!("no records");
    };
    let shown: BTreeSet<PeerId> = records.iter().map(|record| record.record().peer).collect();
    assert_eq!(shown, expected);
}
