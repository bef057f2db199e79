//! Who seeks a place, step by step: whom it dials when, who counts as the first, when the wait for the nearest leaves ends; and who looks for its
//! bootstrap peers again.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_overlay::message::OneShot;
use fatebound_overlay::{Command, Config, DialFailure, Event, Input, Key, PeerId, Routes, Time};

use crate::net::{LATENCY, Net, address};
use crate::{SECOND, formed};

/// When `at` dialled for a session, and the number of the node that should live there.
fn dials(net: &Net, at: usize) -> Vec<(Time, usize)> {
    let number = |wanted| (0..99).find(|number| address(*number) == wanted).expect("a node's");
    let ours = net.dials.iter().filter(|(_, from, _)| *from == at);
    ours.map(|(when, _, addresses)| (*when, number(addresses[0].clone())))
        .collect()
}

fn when(net: &Net, at: usize, what: impl Fn(&Event) -> bool) -> Option<Time> {
    net.nodes[at]
        .events
        .iter()
        .find(|(_, event)| what(event))
        .map(|(when, _)| *when)
}

fn joined(net: &Net, at: usize) -> Option<Time> {
    when(net, at, |event| matches!(event, Event::Joined))
}

/// "While we seek, the next address is tried at once; after the last one there is a pause", which grows.
#[test]
fn bootstrap_addresses_are_dialled_one_after_the_other_and_then_again_after_a_pause() {
    let mut net = Net::new(Config::local());
    for _ in 0..4 {
        net.add();
    }
    (1..4).for_each(|at| net.kill(at));
    net.join(0, &[1, 2, 3]);
    net.run(SECOND * 30);
    let dials = dials(&net, 0);
    let (first, last) = net.config.retry_pause;
    for (round, tries) in dials.chunks_exact(3).enumerate() {
        assert_eq!([1, 2, 3], [tries[0].1, tries[1].1, tries[2].1]);
        assert_eq!(tries[1].0, tries[0].0 + LATENCY, "as soon as the first has refused");
        assert_eq!(tries[2].0, tries[1].0 + LATENCY);
        let Some((next, _)) = dials.get(3 * round + 3) else {
            continue;
        };
        let pause = (first * (2 << round.min(9))).min(last);
        let took = next.since(tries[2].0);
        assert!(
            took >= pause.mul_f64(0.75) && took <= pause.mul_f64(1.25),
            "round {round}: {took:?} for {pause:?}"
        );
    }
    assert!(dials.len() > 20, "{dials:?}");
}

/// Only the failure of the dial under way brings the next one.
#[test]
fn the_failure_of_another_dial_hurries_nothing() {
    let mut net = Net::new(Config::local());
    for _ in 0..4 {
        net.add();
    }
    for at in 1..4 {
        net.cuts.insert((0, at));
    }
    net.join(0, &[1, 2, 3]);
    let fail = |net: &mut Net, peer: Option<PeerId>, at: usize| {
        let failures = vec![(address(at), DialFailure::Timeout)];
        net.input(0, Input::DialFailed { peer, failures });
        net.run(LATENCY / 5);
        dials(net, 0).len()
    };
    let somebody = net.nodes[2].peer;
    assert_eq!(fail(&mut net, None, 3), 1, "not its turn yet");
    assert_eq!(fail(&mut net, Some(somebody), 2), 1, "dialled for something else");
    assert_eq!(fail(&mut net, None, 1), 2);
    assert_eq!(fail(&mut net, None, 1), 2, "said twice");
    assert_eq!(fail(&mut net, None, 2), 3);
    assert_eq!(fail(&mut net, None, 3), 3, "the last one: a pause");
}

/// "◆ Peers that only know each other agree who is the first": whoever has the smallest key, after two rounds through the addresses.
#[test]
fn of_peers_that_wait_for_each_other_the_smallest_key_is_first() {
    for count in 2..5 {
        let mut net = Net::new(Config::local());
        for _ in 0..count {
            net.add();
        }
        for at in 0..count {
            let others: Vec<usize> = (0..count).filter(|other| *other != at).collect();
            net.join(at, &others);
        }
        assert!(net.run_until(SECOND * 30, Net::all_joined).is_some(), "{count}");
        let smallest = (0..count).min_by_key(|at| Key::of(&net.nodes[*at].peer));
        let mut order: Vec<(Option<Time>, usize)> = (0..count).map(|at| (joined(&net, at), at)).collect();
        order.sort_unstable();
        assert_eq!(Some(order[0].1), smallest, "{order:?}");
        assert!(order[1].0 > order[0].0, "one alone is the first: {order:?}");
        let (first, _) = net.config.retry_pause;
        assert!(order[0].0 >= Some(Time::ZERO + first.mul_f64(0.75)), "{order:?}");
    }
}

/// A ring of five and a sixth that cannot reach its nearest leaf there; its number.
fn beside_a_cut() -> (Net, usize) {
    let mut net = formed(Config::local(), 5);
    let joiner = net.add();
    let key = Key::of(&net.nodes[joiner].peer);
    let nearest = (1..5)
        .min_by_key(|at| Key::of(&net.nodes[*at].peer).ring_distance(&key))
        .expect("four peers");
    net.cuts.insert((nearest, joiner));
    net.routed.clear();
    net.answers.clear();
    net.join(joiner, &[0]);
    (net, joiner)
}

/// The wait for the nearest leaves ends two `ping_timeout`s after the answer, if there is a link into the ring by then.
#[test]
fn who_cannot_reach_its_nearest_leaf_has_a_place_two_time_limits_later() {
    let (mut net, joiner) = beside_a_cut();
    let (start, wait) = (net.now, net.config.ping_timeout * 2);
    net.run(wait * 2);
    let took = joined(&net, joiner).expect("it has a place").since(start);
    assert!(took >= wait && took <= wait + LATENCY * 10, "{took:?}");
}

#[test]
fn who_has_lost_all_links_meanwhile_has_no_place() {
    let (mut net, joiner) = beside_a_cut();
    let answered = |net: &Net| net.answers.iter().any(|(_, to, _)| *to == joiner);
    assert!(net.run_until(SECOND, answered).is_some());
    net.run(LATENCY * 4);
    (0..joiner).for_each(|at| {
        net.cuts.insert((at, joiner));
    });
    net.break_sessions(joiner);
    net.run(net.config.ping_timeout * 3);
    assert_eq!(joined(&net, joiner), None);
    assert!(!net.nodes[joiner].overlay.joined());
}

/// The `Join` goes out with the link, not with the next try.
#[test]
fn a_new_link_is_asked_for_our_place_at_once() {
    let mut net = formed(Config::local(), 5);
    let joiner = net.add();
    net.routed.clear();
    net.join(joiner, &[0]);
    net.run(SECOND);
    let up = when(&net, joiner, |event| matches!(event, Event::LinkUp { .. }));
    let asked = net
        .routed
        .iter()
        .find(|(_, from, _, routed)| *from == joiner && matches!(routed.body.body, OneShot::Join { .. }));
    assert_eq!(asked.map(|(when, ..)| *when), up);
}

/// Whose link went down in silence leaves the leaf set in that moment, not when a dial has failed as well.
#[test]
fn a_leaf_is_lost_with_its_link() {
    let mut net = formed(Config::local(), 8);
    let leaf = net.nodes[0].overlay.leaf_set().1[0];
    let victim = (0..8).find(|at| net.nodes[*at].peer == leaf).expect("a node");
    (0..8).filter(|at| *at != victim).for_each(|at| {
        net.cuts.insert((at.min(victim), at.max(victim)));
    });
    let down = |net: &Net| {
        let of_leaf = |event: &Event| matches!(event, Event::LinkDown { peer, .. } if *peer == leaf);
        net.events(0).any(of_leaf)
    };
    let is_leaf = |net: &Net| {
        let (below, above) = net.nodes[0].overlay.leaf_set();
        below.contains(&leaf) || above.contains(&leaf)
    };
    assert!(is_leaf(&net));
    while !down(&net) {
        net.run(Duration::from_millis(1));
        assert!(net.now < Time::ZERO + SECOND * 120);
    }
    assert!(!is_leaf(&net));
}

/// "Who has lost one looks for all bootstrap peers": one per round, through the overlay or by a dial; not so for any other neighbour.
#[test]
fn who_has_lost_a_bootstrap_peer_looks_for_all_of_them() {
    const COUNT: usize = 24;
    let looked_for = |lost_is_bootstrap: bool| {
        let mut net = Net::new(Config::local());
        for at in 0..COUNT {
            net.add();
            net.join(at, &[0, 1, 2][..at.min(3)]);
            net.run(SECOND / 5);
        }
        net.run(SECOND * 20);
        let linked = |net: &Net, a: usize, b: usize| net.nodes[a].overlay.link_to(&net.nodes[b].peer).is_some();
        let (at, lost) = (3..COUNT)
            .flat_map(|at| (0..COUNT).map(move |lost| (at, lost)))
            .find(|&(at, lost)| {
                let strangers = (0..3).filter(|boot| *boot != lost && !linked(&net, at, *boot)).count();
                at != lost && linked(&net, at, lost) && (lost < 3) == lost_is_bootstrap && strangers == 2
            })
            .expect("somebody with one bootstrap peer for a neighbour, or none");
        net.kill(lost);
        net.routed.clear();
        net.dials.clear();
        net.run(net.config.maintenance_interval * 5);
        let asked = net.routed.iter().filter_map(|(_, from, _, routed)| {
            let leaves = *from == at && routed.visited.len() == 1 && matches!(routed.body.body, OneShot::Leaves(_));
            leaves
                .then(|| (0..3).find(|boot| net.nodes[*boot].peer == routed.target))
                .flatten()
        });
        let dialled = dials(&net, at)
            .into_iter()
            .map(|(_, boot)| boot)
            .filter(|boot| *boot < 3 && *boot != lost);
        asked.chain(dialled).collect::<BTreeSet<usize>>().len()
    };
    assert!(looked_for(true) >= 2);
    assert!(looked_for(false) <= 1, "one in eight rounds looks for one");
}

/// A known address is proven without a search.
#[test]
fn an_address_that_is_known_is_proven_at_once() {
    let mut net = formed(Config::local(), 3);
    let stranger = net.add();
    let peer = net.nodes[stranger].peer;
    let addresses = vec![address(stranger)];
    net.command(0, Command::Introduce { peer, addresses });
    net.routed.clear();
    net.verified.clear();
    net.command(0, Command::ProveAddress { peer });
    assert_eq!(net.verified, [(0, address(stranger))]);
    assert_eq!(net.routed.len(), 0);
}

/// The answer to the `Join` itself gives the place; nobody has to be asked directly.
#[test]
fn the_answer_to_a_join_gives_a_place_within_a_few_round_trips() {
    let mut net = formed(Config::local(), 8);
    let joiner = net.add();
    let start = net.now;
    net.join(joiner, &[0]);
    net.run(SECOND);
    let took = joined(&net, joiner).map(|when| when.since(start));
    assert!(took.is_some_and(|took| took <= LATENCY * 20), "{took:?}");
}

/// "Who has lost all its links" tries a bootstrap address every quarter of the longest pause.
#[test]
fn who_is_alone_dials_its_bootstrap_address_four_times_per_longest_pause() {
    let mut net = formed(Config::local(), 2);
    net.kill(0);
    net.run(SECOND * 20);
    net.dials.clear();
    net.run(SECOND * 20);
    let (_, last) = net.config.retry_pause;
    let expected = SECOND.as_millis() * 20 * 4 / last.as_millis();
    let dials = dials(&net, 1).len() as u128;
    assert!(
        dials >= expected * 3 / 4 && dials <= expected * 2,
        "{dials}, {expected} expected"
    );
}
