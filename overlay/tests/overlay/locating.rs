//! Searches for peers: three tries over three neighbours, bounded in number, and no answer that is not signed by whom it is about.

use fatebound_overlay::message::{Answer, OneShot};
use fatebound_overlay::{Bounded, Command, Config, Event, Keypair, Multiaddr, PeerId, Routes, Time};

use crate::net::{Net, address};
use crate::{SECOND, formed};

/// Somebody who is not there.
fn nobody(n: u64) -> PeerId {
    let mut seed = [77; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    let keypair = Keypair::ed25519_from_bytes(seed).expect("32 bytes");
    keypair.public().to_peer_id()
}

/// What the searches of `at` for `wanted` have come to.
fn found(net: &Net, at: usize, wanted: PeerId) -> Vec<Vec<Multiaddr>> {
    let located = |event: &Event| match event {
        Event::Located { peer, addresses } if *peer == wanted => Some(addresses.clone()),
        _ => None,
    };
    net.events(at).filter_map(located).collect()
}

/// When `at` asked for `wanted`, and which neighbours.
fn asked(net: &Net, at: usize, wanted: PeerId) -> Vec<(Time, usize)> {
    let searches = net.routed.iter().filter(|(_, from, _, routed)| {
        *from == at
            && routed.visited.len() == 1
            && routed.target == wanted
            && matches!(routed.body.body, OneShot::Locate(peer) if peer == wanted)
    });
    searches.map(|(when, _, to, _)| (*when, *to)).collect()
}

fn size_of(net: &Net, at: usize, what: &str) -> Bounded {
    let bounds = net.nodes[at].overlay.bounds();
    *bounds
        .iter()
        .find(|bounded| bounded.what == what)
        .expect("such a bound")
}

#[test]
fn who_is_known_is_located_at_once_and_without_a_question() {
    let mut net = formed(Config::local(), 3);
    for whom in 0..3 {
        let peer = net.nodes[whom].peer;
        net.command(0, Command::Locate { peer });
        assert_eq!(found(&net, 0, peer), [vec![address(whom)]]);
        assert_eq!(asked(&net, 0, peer), []);
    }
}

#[test]
fn a_search_takes_three_tries_over_three_neighbours() {
    let mut net = formed(Config::local(), 16);
    for node in &mut net.nodes[1..] {
        node.mute = true;
    }
    let (peer, start) = (nobody(1), net.now);
    net.command(0, Command::Locate { peer });
    net.run(net.config.ping_timeout * 4);
    let tries = asked(&net, 0, peer);
    let pause = net.config.ping_timeout * 2 / 3;
    let times: Vec<Time> = tries.iter().map(|(when, _)| *when).collect();
    assert_eq!(times, [start, start + pause, start + pause * 2]);
    let mut neighbours: Vec<usize> = tries.iter().map(|(_, to)| *to).collect();
    neighbours.sort_unstable();
    neighbours.dedup();
    assert_eq!(neighbours.len(), 3, "{tries:?}");
    assert_eq!(found(&net, 0, peer), [Vec::<Multiaddr>::new()]);
    assert_eq!(size_of(&net, 0, "searches").size, 0);
}

#[test]
fn who_has_asked_everybody_gives_up_and_who_is_alone_waits() {
    let mut net = formed(Config::local(), 2);
    net.nodes[1].mute = true;
    net.command(0, Command::Locate { peer: nobody(1) });
    net.run(net.config.ping_timeout);
    assert_eq!(asked(&net, 0, nobody(1)).len(), 1, "there is nobody else");
    assert_eq!(found(&net, 0, nobody(1)).len(), 1);
    let lonely = net.add();
    net.command(lonely, Command::Locate { peer: nobody(2) });
    assert_eq!(found(&net, lonely, nobody(2)).len(), 0, "it may still meet somebody");
    net.run(net.config.ping_timeout * 3);
    assert_eq!(found(&net, lonely, nobody(2)).len(), 1);
}

/// It may listen nowhere, and yet know best; but if it does not answer, others are asked.
#[test]
fn a_neighbour_is_asked_itself_where_it_lives_and_only_once() {
    let mut net = Net::new(Config::local());
    for at in 0..6 {
        net.add();
        net.join(at, if at == 0 { &[] } else { &[0] });
    }
    net.listen(5, &[]);
    net.run(SECOND * 5);
    let (silent, peer) = (5, net.nodes[5].peer);
    assert!(net.nodes[0].overlay.link_to(&peer).is_some() && net.nodes[0].overlay.addresses(&peer).is_empty());
    for node in &mut net.nodes[1..] {
        node.mute = true;
    }
    net.command(0, Command::Locate { peer });
    net.run(net.config.ping_timeout * 3);
    let tries: Vec<usize> = asked(&net, 0, peer).iter().map(|(_, to)| *to).collect();
    assert_eq!((tries.len(), tries[0]), (3, silent));
    assert!(!tries[1..].contains(&silent), "{tries:?}");
}

#[test]
fn searches_and_who_waits_for_them_are_bounded() {
    let config = Config {
        max_posts: 2,
        ..Config::local()
    };
    let mut net = formed(config, 3);
    for node in &mut net.nodes[1..] {
        node.mute = true;
    }
    for _ in 0..2 {
        net.command(0, Command::Locate { peer: nobody(0) });
    }
    assert_eq!(found(&net, 0, nobody(0)).len(), 0);
    net.command(0, Command::Locate { peer: nobody(0) });
    assert_eq!(found(&net, 0, nobody(0)).len(), 1, "a third one is told at once");
    assert_eq!(
        size_of(&net, 0, "waiters of a search"),
        Bounded::new("waiters of a search", 2, 2)
    );
    for n in 1..1024 {
        net.command(0, Command::Locate { peer: nobody(n) });
    }
    assert_eq!(found(&net, 0, nobody(1023)).len(), 0);
    net.command(0, Command::Locate { peer: nobody(1024) });
    assert_eq!(found(&net, 0, nobody(1024)).len(), 1, "the 1025th search ends at once");
    assert_eq!(size_of(&net, 0, "searches"), Bounded::new("searches", 1024, 1024));
    net.run(net.config.ping_timeout * 3);
    assert_eq!(size_of(&net, 0, "searches").size, 0);
    assert_eq!(found(&net, 0, nobody(0)).len(), 3);
}

#[test]
fn a_link_to_whom_nobody_knows_fails_and_to_a_stranger_is_made() {
    let mut net = formed(Config::local(), 32);
    let linked = |net: &Net, at: usize, to: usize| net.nodes[at].overlay.link_to(&net.nodes[to].peer).is_some();
    let pairs = (0..32).flat_map(|at| (0..32).map(move |to| (at, to)));
    let (at, stranger) = pairs
        .filter(|(at, to)| at != to)
        .find(|(at, to)| !linked(&net, *at, *to))
        .expect("strangers");
    let failed = |net: &Net, wanted: PeerId| {
        net.events(at)
            .any(|event| matches!(event, Event::LinkFailed { peer } if *peer == wanted))
    };
    let peer = net.nodes[stranger].peer;
    net.command(at, Command::Link { peer });
    net.command(at, Command::Link { peer: nobody(1) });
    net.run(net.config.ping_timeout * 3);
    assert!(linked(&net, at, stranger) && !failed(&net, peer));
    assert!(failed(&net, nobody(1)));
}

/// Whoever carries a search can answer it; only the wanted peer can sign where it lives.
#[test]
fn a_record_of_somebody_else_is_no_answer() {
    let mut net = formed(Config::local(), 16);
    for node in &mut net.nodes[1..] {
        node.mute = true;
    }
    let peer = nobody(1);
    net.command(0, Command::Locate { peer });
    let (_, _, carrier, routed) = net.routed.last().cloned().expect("a question");
    let other = net.nodes[carrier].overlay.record().clone();
    let before = net.nodes[0].overlay.counters().garbage;
    net.answer(carrier, 0, routed.body.number, Answer::Records(vec![other]));
    assert_eq!(net.nodes[0].overlay.counters().garbage, before + 1);
    assert_eq!(found(&net, 0, peer).len(), 0, "the search goes on");
    net.answer(carrier, 0, routed.body.number, Answer::Records(Vec::new()));
    assert_eq!(
        asked(&net, 0, peer).len(),
        2,
        "who knows nothing is the last word of this neighbour, not of the next"
    );
}
