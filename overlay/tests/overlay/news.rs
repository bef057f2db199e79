//! What a peer hears about its neighbours counts at once: that one lives elsewhere now, that one has a place.

use std::collections::BTreeSet;

use fatebound_overlay::message::OneShot;
use fatebound_overlay::{Config, DisconnectCause, PeerId, Routes};

use crate::driver::{Alone, asked_for_leaves, dials, hello, peer, record};
use crate::net::address;

/// Else whoever moves would be lost with its session: nobody answers where it was.
#[test]
fn a_neighbour_that_others_say_has_moved_is_dialled_at_its_new_address() {
    let mut alone = Alone::among(&Config::local(), &[2]);
    let out = alone.neighbour(hello(3, true));
    let moved = record(2, 2, &[address(22)]);
    alone.answer(asked_for_leaves(&out, 3), vec![moved]);
    let out = alone.disconnect(2, DisconnectCause::Lost);
    assert_eq!(dials(&out), [(Some(2), vec![address(22)])]);
}

#[test]
fn a_neighbour_that_says_itself_that_it_has_moved_is_dialled_at_its_new_address() {
    let mut alone = Alone::among(&Config::local(), &[2]);
    alone.asked(OneShot::Leaves(record(2, 2, &[address(22)])));
    let out = alone.disconnect(2, DisconnectCause::Lost);
    assert_eq!(dials(&out), [(Some(2), vec![address(22)])]);
}

/// It says so in a ping, or by asking for leaves, which only a peer with a place does.
#[test]
fn a_neighbour_carries_as_soon_as_it_says_in_any_way_that_it_has_a_place() {
    let way = |say: fn(&mut Alone)| {
        let mut alone = Alone::new(&Config::local());
        alone.neighbour(hello(2, false));
        assert_eq!(alone.overlay.next_hop(&peer(9), &[], true), None);
        say(&mut alone);
        let hop = alone.overlay.next_hop(&peer(9), &[], true).map(|hop| hop.link);
        (hop.is_some(), hop == alone.overlay.link_to(&peer(2)))
    };
    let by_ping = way(|alone| {
        alone.ping_with_a_place(2);
    });
    let by_question = way(|alone| {
        alone.asked(OneShot::Leaves(record(2, 1, &[address(2)])));
    });
    assert_eq!((by_ping, by_question), ((true, true), (true, true)));
}

/// Each neighbour is monitored, so there are few of them.
#[test]
fn of_all_that_are_heard_of_only_leaves_and_table_entries_are_dialled() {
    let mut alone = Alone::among(&Config::local(), &[]);
    let out = alone.neighbour(hello(2, true));
    let records = (10..=60).map(|n| record(n, 1, &[address(n.into())])).collect();
    let out = alone.answer(asked_for_leaves(&out, 2), records);
    let dialled: BTreeSet<PeerId> = dials(&out).iter().filter_map(|(n, _)| n.map(peer)).collect();
    let mut expected = alone.chosen();
    expected.remove(&peer(2));
    assert_eq!(dialled, expected);
    assert!(expected.len() < 30, "{}", expected.len());
    let moved = (10..=60).map(|n| record(n, 2, &[address(n.into())])).collect();
    let out = alone.neighbour(hello(3, true));
    let out = alone.answer(asked_for_leaves(&out, 3), moved);
    assert_eq!(
        dials(&out),
        [],
        "those are being dialled, and the others are not wanted"
    );
}
