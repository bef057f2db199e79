//! One-shot messages arrive over the ways that are left, and nothing false does.

use fatebound_overlay::message::{Answer, Message, OneShot, Routed, RoutedAnswer, Signed};
use fatebound_overlay::{Command, Config, Event, Key, Port, Routes, Ways};

use crate::net::{LATENCY, Net, address, posting};
use crate::{SECOND, formed};

#[test]
fn everybody_is_located_from_everywhere() {
    let mut net = formed(Config::local(), 16);
    for asker in net.everybody() {
        for whom in net.everybody() {
            let peer = net.nodes[whom].peer;
            net.command(asker, Command::Locate { peer });
        }
    }
    net.run(SECOND * 5);
    for asker in net.everybody() {
        for whom in net.everybody() {
            let wanted = net.nodes[whom].peer;
            let found = |event: &Event| matches!(event, Event::Located { peer, addresses } if *peer == wanted && addresses == &[address(whom)]);
            assert_eq!(
                net.events(asker).filter(|event| found(event)).count(),
                1,
                "{asker} locates {whom}"
            );
        }
    }
}

#[test]
fn a_peer_that_has_proven_an_address_is_not_lost_with_its_record() {
    let config = Config {
        max_records: 64,
        ..Config::local()
    };
    let mut net = formed(config, 100);
    let known = |net: &Net, asker: usize, whom: usize| net.nodes[asker].overlay.addresses(&net.nodes[whom].peer);
    let unknown = |net: &Net, asker: usize| {
        let everybody = net.everybody().into_iter();
        everybody
            .filter(|&whom| known(net, asker, whom).is_empty())
            .collect::<Vec<_>>()
    };
    let asker = net
        .everybody()
        .into_iter()
        .max_by_key(|&asker| unknown(&net, asker).len());
    let asker = asker.expect("100 peers");
    let stranger = unknown(&net, asker)[1];
    let peer = net.nodes[stranger].peer;
    net.command(asker, Command::Link { peer });
    net.run(SECOND);
    assert!(
        net.nodes[asker].overlay.link_to(&peer).is_some(),
        "located, then linked"
    );
    let stranger = unknown(&net, asker)[0];
    let peer = net.nodes[stranger].peer;
    net.command(asker, Command::ProveAddress { peer });
    net.run(SECOND);
    assert_eq!(
        known(&net, asker, stranger),
        [address(stranger)],
        "located, then dialled"
    );
    for whom in net
        .everybody()
        .into_iter()
        .filter(|whom| ![asker, stranger].contains(whom))
    {
        let peer = net.nodes[whom].peer;
        net.command(asker, Command::Locate { peer });
    }
    net.run(SECOND * 5);
    assert!(unknown(&net, asker).len() > 20, "records are forgotten again");
    assert_eq!(known(&net, asker, stranger), [address(stranger)]);
}

#[test]
fn what_is_forged_or_goes_in_circles_is_dropped() {
    let mut net = formed(Config::local(), 3);
    let tag = |n: usize| Key::of(&net.nodes[n].peer).tag();
    let (to, body) = (
        net.nodes[0].peer,
        OneShot::Above {
            port: Port::GROUPS,
            body: vec![9],
        },
    );
    let forged = Signed {
        from: net.nodes[1].peer,
        to,
        number: 1,
        body,
        signature: vec![0; 64],
    };
    let routed = Routed {
        target: to,
        visited: vec![tag(1)],
        detours: 3,
        body: forged,
    };
    let circle = Routed {
        visited: vec![tag(1), tag(0), tag(1)],
        ..routed.clone()
    };
    let lost = RoutedAnswer {
        trail: vec![tag(0)],
        body: Signed {
            from: net.nodes[1].peer,
            to,
            number: 5,
            body: Answer::Nothing,
            signature: Vec::new(),
        },
    };
    let before = net.nodes[0].overlay.counters();
    net.inject(0, 1, Message::Routed(Box::new(routed)));
    net.inject(0, 1, Message::Routed(Box::new(circle)));
    net.inject(0, 1, Message::RoutedAnswer(Box::new(lost)));
    let after = net.nodes[0].overlay.counters();
    assert_eq!((after.garbage - before.garbage, after.dropped - before.dropped), (1, 2));
    assert!(!net.events(0).any(|event| matches!(event, Event::Asked { .. })));
}

fn post(net: &mut Net, from: usize, to: usize, post: u64, ways: Ways) {
    let to = net.nodes[to].peer;
    let body = vec![post as u8];
    net.command(
        from,
        Command::Post {
            posting: posting(post),
            to,
            body,
            ways,
        },
    );
}

fn answers(net: &Net, at: usize, wanted: u64) -> usize {
    net.events(at)
        .filter(|event| matches!(event, Event::Answered { posting, .. } if posting.post.0 == wanted))
        .count()
}

/// `Some(unknown)` if the posting failed.
fn failure(net: &Net, at: usize, wanted: u64) -> Option<bool> {
    net.events(at).find_map(|event| match event {
        Event::PostFailed { posting, unknown, .. } if posting.post.0 == wanted => Some(*unknown),
        _ => None,
    })
}

#[test]
fn a_message_is_answered_directly_and_over_the_connection_that_is_there() {
    let mut net = formed(Config::local(), 16);
    for to in 1..16 {
        post(&mut net, 0, to, to as u64, Ways::Direct);
    }
    net.run(LATENCY * 12);
    for to in 1..16 {
        assert_eq!(answers(&net, 0, to), 1, "from {to}");
        post(&mut net, 0, to as usize, 100 + to, Ways::Connected);
    }
    net.run(LATENCY * 3);
    assert!(
        (1..16).all(|to| answers(&net, 0, 100 + to) == 1),
        "connections are up now"
    );
}

#[test]
fn with_the_direct_way_cut_the_overlay_carries_question_and_answer() {
    let mut net = formed(Config::local(), 16);
    let leaf = net.nodes[0].overlay.leaf_set().1[0];
    let neighbour = net.nodes.iter().position(|node| node.peer == leaf).unwrap();
    let stranger = (1..16).find(|at| net.nodes[0].overlay.link_to(&net.nodes[*at].peer).is_none());
    for to in [Some(neighbour), stranger].into_iter().flatten() {
        net.cuts.insert((0, to));
        for round in 0..3 {
            post(
                &mut net,
                0,
                to,
                10 * to as u64 + u64::from(round),
                Ways::Every { round },
            );
        }
        net.run(LATENCY * 20);
        for round in 0..3 {
            assert!(answers(&net, 0, 10 * to as u64 + round) >= 1, "{to} round {round}");
        }
    }
    let direct = stranger.unwrap_or(neighbour);
    net.run(SECOND * 4);
    post(&mut net, 0, direct, 500, Ways::Direct);
    net.run(SECOND * 3);
    assert_eq!(
        answers(&net, 0, 500),
        1,
        "when the dial has failed, or the link is doubtful, copies go through the overlay"
    );
}

#[test]
fn nobody_is_unknown_soon_and_who_is_not_connected_fails_at_once() {
    let mut net = formed(Config::local(), 16);
    let nobody = fatebound_overlay::Keypair::ed25519_from_bytes([77; 32])
        .unwrap()
        .public()
        .to_peer_id();
    for (number, ways) in [(1, Ways::Direct), (2, Ways::Every { round: 0 })] {
        net.command(
            0,
            Command::Post {
                posting: posting(number),
                to: nobody,
                body: vec![],
                ways,
            },
        );
    }
    net.command(
        0,
        Command::Post {
            posting: posting(3),
            to: nobody,
            body: vec![],
            ways: Ways::Connected,
        },
    );
    net.run(LATENCY * 2);
    assert_eq!(failure(&net, 0, 3), Some(false));
    net.run(SECOND);
    assert_eq!(failure(&net, 0, 1), Some(true));
    assert_eq!(failure(&net, 0, 2), Some(true));
}

#[test]
fn a_dead_target_ends_as_a_failed_posting_and_nothing_stays_open() {
    let mut net = formed(Config::local(), 8);
    net.kill(3);
    post(&mut net, 0, 3, 1, Ways::Direct);
    post(&mut net, 0, 3, 2, Ways::Every { round: 0 });
    net.run(SECOND * 4);
    assert!(failure(&net, 0, 1).is_some() && failure(&net, 0, 2).is_some());
    assert_eq!(answers(&net, 0, 1) + answers(&net, 0, 2), 0);
}

/// Common neighbours are those that say themselves that they are linked to the target, and that are not in doubt.
#[test]
fn common_neighbours_are_linked_to_both() {
    let mut net = formed(Config::local(), 32);
    net.run(SECOND * 5);
    let linked = |net: &Net, at: usize, to: usize| net.nodes[at].overlay.link_to(&net.nodes[to].peer).is_some();
    let common = |net: &Net, to: usize| {
        let overlay = &net.nodes[0].overlay;
        let links = overlay.common_neighbours(&net.nodes[to].peer);
        let peers = links.into_iter().filter_map(|link| overlay.peer_of(link));
        let mut found: Vec<usize> = peers
            .filter_map(|peer| net.nodes.iter().position(|node| node.peer == peer))
            .collect();
        found.sort_unstable();
        found
    };
    let mut some = 0;
    for to in 1..32 {
        let expected: Vec<usize> = (1..32)
            .filter(|&at| at != to && linked(&net, 0, at) && linked(&net, at, to))
            .collect();
        assert_eq!(common(&net, to), expected, "with {to}");
        some += usize::from(!expected.is_empty() && expected.len() < 20);
    }
    assert!(
        some > 5,
        "a world in which everybody is everybody's neighbour shows nothing"
    );
    let (to, gone) = (1..32)
        .find_map(|to| Some((to, *common(&net, to).first()?)))
        .expect("one with a common neighbour");
    let link = net.nodes[0].overlay.link_to(&net.nodes[gone].peer).expect("a link");
    assert!(!net.nodes[0].overlay.is_doubtful(link));
    net.cuts.insert((0, gone));
    let doubtful = net.run_until(SECOND * 3, |net| net.nodes[0].overlay.is_doubtful(link));
    assert!(
        doubtful.is_some() && net.nodes[0].overlay.peer_of(link).is_some(),
        "in doubt, but not down"
    );
    assert!(!common(&net, to).contains(&gone));
}

#[test]
fn a_hop_is_never_one_that_was_visited() {
    let net = formed(Config::local(), 16);
    let overlay = &net.nodes[0].overlay;
    for node in &net.nodes[1..] {
        let direct = overlay.link_to(&node.peer);
        let hop = overlay.next_hop(&node.peer, &[], true).expect("a hop");
        assert!(direct.is_none_or(|direct| direct == hop.link && !hop.detour));
        let next = overlay.peer_of(hop.link).expect("a link");
        let visited = [Key::of(&next).tag()];
        let other = overlay.next_hop(&node.peer, &visited, true);
        assert!(other.is_some_and(|other| other.link != hop.link));
    }
    let measured = overlay.round_trips().expect("samples of every link");
    assert!(measured >= LATENCY * 2 && measured < SECOND, "{measured:?}");
}
