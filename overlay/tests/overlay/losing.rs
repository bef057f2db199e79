//! What follows when a neighbour is lost: who is asked, who is told, and what a try to reach it again proves.

use fatebound_overlay::message::{Hello, Message, OneShot};
use fatebound_overlay::{Config, DeathProof, DialFailure, DisconnectCause, Event, Output, PeerId};

use crate::driver::{Alone, asked_for_leaves, dials, has_event, hello, nearest_to_us, number, peer, question, record};
use crate::net::address;

/// Rows of its table that somebody is asked for.
fn rows_asked_for(out: &[Output]) -> Vec<u8> {
    let row = |output: &Output| match question(output)?.body {
        OneShot::Row(row) => Some(row),
        _ => None,
    };
    out.iter().filter_map(row).collect()
}

/// The links have given it up long before; only the rounds of maintenance still try to reach it.
#[test]
fn a_peer_lost_in_silence_is_proven_dead_when_a_try_to_reach_it_is_refused() {
    let config = Config::local();
    let mut alone = Alone::among(&config, &[]);
    alone.connect(2, Some(address(2)));
    alone.say(2, Message::Hello(Box::new(hello(2, true))));
    alone.silent.insert(2);
    alone.wait_for(config.link_lifetime() * 2, |_, output| {
        matches!(output, Output::Event(Event::LinkDown { .. })).then_some(())
    });
    let tried = alone.wait_for(config.maintenance_interval * 4, |_, output| {
        question(output).filter(|question| question.to == 2)
    });
    assert_eq!(tried.addresses, [address(2)]);
    let out = alone.fail(tried.request, &[(address(2), DialFailure::Refused)]);
    let dead =
        |event: &Event| matches!(event, Event::PeerDead { peer, proof: DeathProof::Refused } if number(peer) == 2);
    assert!(has_event(&out, dead), "{out:?}");
}

/// A suspect that lists one other neighbour, which only a detour over peer 3 reaches; how often that one is told of the suspicion.
fn suspicions_told(detours: u8) -> usize {
    let config = Config {
        detours,
        ..Config::local()
    };
    let told = nearest_to_us(&[3]);
    let mut alone = Alone::among(&config, &[3]);
    alone.silent.insert(2);
    alone.neighbour(Hello {
        neighbours: vec![peer(told)],
        ..hello(2, true)
    });
    let out = alone.run(config.ping_timeout * 2);
    assert!(has_event(&out, |event| matches!(event, Event::LinkDoubtful { .. })));
    let handed = alone.handed(&out).into_iter();
    handed
        .filter(|(carrier, routed)| {
            *carrier == 3 && routed.target == peer(told) && routed.body.body == OneShot::Suspect(peer(2))
        })
        .count()
}

#[test]
fn a_suspicion_travels_by_a_detour_where_there_are_any() {
    assert_eq!(suspicions_told(3), 1);
    assert_eq!(suspicions_told(0), 0);
}

/// It may tell of a part of the ring that we do not know.
#[test]
fn the_first_neighbour_after_all_were_lost_is_asked_for_our_place_and_a_later_one_is_not() {
    let mut alone = Alone::among(&Config::local(), &[]);
    alone.join(&[address(9)]);
    alone.neighbour(hello(2, true));
    alone.disconnect(2, DisconnectCause::Garbage);
    assert_eq!(alone.overlay.neighbours().len(), 0);
    let asked = |alone: &mut Alone, n: u8| {
        let out = alone.neighbour(hello(n, true));
        let mut handed = alone.handed(&out).into_iter();
        handed.any(|(carrier, routed)| carrier == n && matches!(routed.body.body, OneShot::Join { .. }))
    };
    assert!(asked(&mut alone, 3));
    assert!(!asked(&mut alone, 4));
}

/// It does not wait for its next round of maintenance.
#[test]
fn who_has_lost_all_links_reaches_out_within_the_shortest_pause() {
    let config = Config::local();
    let mut alone = Alone::among(&config, &[]);
    alone.join(&[address(9)]);
    alone.neighbour(hello(2, true));
    alone.neighbour(hello(3, true));
    let soon = config.retry_pause.0.mul_f64(1.25);
    let tried = |out: &[Output]| dials(out).contains(&(None, vec![address(9)]));
    alone.disconnect(2, DisconnectCause::Garbage);
    assert!(!tried(&alone.run(soon)), "one link is left");
    alone.disconnect(3, DisconnectCause::Garbage);
    assert!(tried(&alone.run(soon)));
}

/// "A lost leaf or table entry is replaced from what the farthest leaf of that side, or a peer of that row, knows."
#[test]
fn the_row_of_a_lost_table_entry_is_asked_for_and_for_another_neighbour_none() {
    let config = Config {
        leaves_per_side: 1,
        ..Config::local()
    };
    let mut alone = Alone::among(&config, &[]);
    let out = alone.neighbour(hello(2, true));
    let records = (3..=60).map(|n| record(n, 1, &[address(n.into())])).collect();
    alone.answer(asked_for_leaves(&out, 2), records);
    let (below, above) = alone.overlay.leaf_set();
    let leaves: Vec<PeerId> = below.iter().chain(above).copied().collect();
    let rows = alone.overlay.rows();
    let entries: Vec<(u8, PeerId)> = (0..)
        .zip(&rows)
        .flat_map(|(row, entries)| entries.iter().map(move |(_, peer)| (row, *peer)))
        .collect();
    let is_entry = |n: u8| entries.iter().any(|(_, entry)| *entry == peer(n));
    let other = (2..=60)
        .find(|n| !is_entry(*n) && !leaves.contains(&peer(*n)))
        .expect("one of many");
    let (row, entry) = *entries
        .iter()
        .find(|(_, entry)| !leaves.contains(entry))
        .expect("an entry");
    let entry = number(&entry);
    for n in leaves.iter().map(number).chain([entry, other]) {
        if alone
            .overlay
            .neighbours()
            .iter()
            .all(|neighbour| neighbour.peer != peer(n))
        {
            alone.neighbour(hello(n, true));
        }
    }
    assert_eq!(rows_asked_for(&alone.disconnect(other, DisconnectCause::Garbage)), []);
    assert_eq!(
        rows_asked_for(&alone.disconnect(entry, DisconnectCause::Garbage)),
        [row]
    );
}
