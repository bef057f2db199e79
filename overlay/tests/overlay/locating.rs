//! Searches for peers: three tries over three neighbours, bounded in number, and no answer that is not signed by whom it is about.

use fatebound_overlay::message::{Answer, Hello, OneShot};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{
    Bounded, Command, Config, DisconnectCause, Event, Keypair, Multiaddr, PeerId, Routes, Time, Ways,
};

use crate::driver::{Alone, asked_for_leaves, dials, has_event, hello, keypair, number, peer, record};
use crate::net::{Net, address, posting};
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

#[test]
fn an_ordered_link_is_dialled_without_a_search_where_an_address_is_known() {
    let mut alone = Alone::among(&Config::local(), &[2]);
    alone.introduce(5, &[address(5)]);
    let out = alone.command(Command::Link { peer: peer(5) });
    assert_eq!(dials(&out), [(Some(5), vec![address(5)])]);
    assert_eq!(alone.handed(&out), []);
}

#[test]
fn an_ordered_link_that_is_up_is_not_searched_for() {
    let mut alone = Alone::among(&Config::local(), &[]);
    alone.neighbour(Hello {
        record: record(2, 1, &[]),
        ..hello(2, true)
    });
    assert!(alone.overlay.link_to(&peer(2)).is_some() && alone.overlay.addresses(&peer(2)).is_empty());
    let out = alone.command(Command::Link { peer: peer(2) });
    assert_eq!(alone.handed(&out), []);
    assert!(!has_event(&out, |event| matches!(event, Event::LinkFailed { .. })));
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

/// Copies of a posting of ours that set out through others.
fn copies(net: &Net, at: usize, to: PeerId) -> usize {
    let copies = net.routed.iter().filter(|(_, from, _, routed)| {
        *from == at
            && routed.visited.len() == 1
            && routed.target == to
            && matches!(routed.body.body, OneShot::Above { .. })
    });
    copies.count()
}

fn post(net: &mut Net, at: usize, to: PeerId, post: u64, ways: Ways) {
    let (posting, body) = (posting(post), vec![1]);
    net.command(
        at,
        Command::Post {
            posting,
            to,
            body,
            ways,
        },
    );
}

/// "Without a connection, copies also travel through the overlay"; and who did not answer where it was may have moved.
#[test]
fn who_cannot_be_dialled_is_asked_through_others_and_located_once() {
    let mut net = formed(Config::local(), 32);
    let linked = |net: &Net, at: usize, to: usize| net.nodes[at].overlay.link_to(&net.nodes[to].peer).is_some();
    let at = (0..32)
        .max_by_key(|&at| (0..32).filter(|&to| to != at && !linked(&net, at, to)).count())
        .expect("32 peers");
    let strangers: Vec<usize> = (0..32)
        .filter(|&to| to != at && !linked(&net, at, to))
        .take(3)
        .collect();
    let [first, repeated, connected] = strangers[..] else {
        panic!("everybody is a neighbour: {strangers:?}")
    };
    for &to in &strangers {
        net.cuts.insert((at.min(to), at.max(to)));
    }
    net.break_cut_connections();
    let peers = [first, repeated, connected].map(|to| net.nodes[to].peer);
    post(&mut net, at, peers[0], 1, Ways::Direct);
    post(&mut net, at, peers[1], 2, Ways::Every { round: 1 });
    post(&mut net, at, peers[2], 3, Ways::Connected);
    assert_eq!(copies(&net, at, peers[0]), 0, "it is being dialled");
    let early = copies(&net, at, peers[1]);
    assert!(early >= 1, "a repetition takes every way at once");
    net.run(SECOND * 3);
    assert_eq!(copies(&net, at, peers[0]), 1);
    assert_eq!(asked(&net, at, peers[0]).len(), 1);
    assert_eq!(copies(&net, at, peers[1]), early, "not again when the dial has failed");
    assert_eq!(asked(&net, at, peers[1]).len(), 0);
    assert_eq!((copies(&net, at, peers[2]), asked(&net, at, peers[2]).len()), (0, 0));
}

#[test]
fn whose_address_is_to_be_proven_and_not_known_is_located_first() {
    let mut net = formed(Config::local(), 16);
    net.command(0, Command::ProveAddress { peer: nobody(1) });
    assert_eq!(asked(&net, 0, nobody(1)).len(), 1);
}

/// "When the direct link is doubtful" copies do not wait until the direct way has failed.
#[test]
fn over_a_doubtful_link_copies_go_at_once() {
    let mut net = formed(Config::local(), 16);
    let neighbour = |at: usize, net: &Net| net.nodes[0].overlay.link_to(&net.nodes[at].peer);
    let (to, link) = (1..16)
        .find_map(|at| Some((at, neighbour(at, &net)?)))
        .expect("a neighbour");
    let peer = net.nodes[to].peer;
    post(&mut net, 0, peer, 1, Ways::Direct);
    assert_eq!(copies(&net, 0, peer), 0);
    net.cuts.insert((0, to));
    net.run_until(SECOND * 3, |net| net.nodes[0].overlay.is_doubtful(link));
    post(&mut net, 0, peer, 2, Ways::Direct);
    assert_eq!(copies(&net, 0, peer), 1);
    post(&mut net, 0, peer, 3, Ways::Connected);
    assert_eq!(copies(&net, 0, peer), 1);
}

/// "Silence of all of them is no answer": the posting is lost, and may be repeated. Only a word that nobody knows the peer makes it unknown.
#[test]
fn only_a_word_makes_a_peer_unknown() {
    let verdict = |mute: fn(usize) -> bool| {
        let mut net = formed(Config::local(), 16);
        for (at, node) in net.nodes.iter_mut().enumerate().skip(1) {
            node.mute = mute(at);
        }
        post(&mut net, 0, nobody(1), 1, Ways::Direct);
        net.run(net.config.ping_timeout * 4);
        assert_eq!(asked(&net, 0, nobody(1)).len(), 3);
        let failed = net.events(0).find_map(|event| match event {
            Event::PostFailed { unknown, .. } => Some(*unknown),
            _ => None,
        });
        failed.expect("the search is over")
    };
    assert!(verdict(|_| false), "somebody has said so");
    assert!(!verdict(|_| true), "nobody has said anything");
}

/// All neighbours may be gone: there was nobody to ask, and nobody said anything either.
#[test]
fn who_doubts_all_its_neighbours_cannot_tell_who_is_unknown() {
    let mut net = formed(Config::local(), 2);
    let link = net.nodes[0].overlay.link_to(&net.nodes[1].peer).expect("neighbours");
    net.cuts.insert((0, 1));
    net.run_until(SECOND * 3, |net| net.nodes[0].overlay.is_doubtful(link));
    post(&mut net, 0, nobody(1), 1, Ways::Direct);
    net.run(net.config.ping_timeout / 4);
    assert_eq!(asked(&net, 0, nobody(1)).len(), 0);
    let failed: Vec<&Event> = net
        .events(0)
        .filter(|event| matches!(event, Event::PostFailed { .. }))
        .collect();
    assert!(
        matches!(failed[..], [Event::PostFailed { unknown: false, .. }]),
        "{failed:?}"
    );
}

/// Records beyond the leaf set and the table are verified when they are passed on, not when they are heard.
#[test]
fn a_searcher_is_not_shown_a_record_that_its_peer_has_not_signed() {
    let others = || 10..=60u8;
    let heard = |forged: Option<u8>| {
        let mut alone = Alone::among(&Config::local(), &[]);
        let out = alone.neighbour(hello(2, true));
        let said = |n: u8| match forged {
            Some(forged) if forged == n => SignedRecord::sign(record(n, 1, &[]).record().clone(), &keypair(2)),
            _ => record(n, 1, &[address(n.into())]),
        };
        alone.answer(asked_for_leaves(&out, 2), others().map(said).collect());
        alone
    };
    let mut alone = heard(None);
    let chosen = alone.chosen();
    let mut idle = others().filter(|n| !chosen.contains(&peer(*n)));
    let (genuine, forged) = (idle.next().expect("one of many"), idle.next().expect("one of many"));
    let known = Answer::Records(vec![record(forged, 1, &[address(forged.into())])]);
    assert_eq!(alone.asked(OneShot::Locate(peer(forged))), known);
    let mut alone = heard(Some(forged));
    let nothing = Answer::Records(Vec::new());
    assert_eq!(alone.asked(OneShot::Locate(peer(forged))), nothing);
    let known = Answer::Records(vec![record(genuine, 1, &[address(genuine.into())])]);
    assert_eq!(alone.asked(OneShot::Locate(peer(genuine))), known);
}

#[test]
fn a_searcher_is_not_shown_the_record_of_a_peer_that_was_lost() {
    let mut alone = Alone::among(&Config::local(), &[2, 3]);
    let wanted = OneShot::Locate(peer(3));
    assert_eq!(
        alone.asked(wanted.clone()),
        Answer::Records(vec![record(3, 1, &[address(3)])])
    );
    let out = alone.disconnect(3, DisconnectCause::Garbage);
    assert!(has_event(
        &out,
        |event| matches!(event, Event::LinkDown { peer, .. } if number(peer) == 3)
    ));
    assert_eq!(alone.asked(wanted), Answer::Records(Vec::new()));
}
