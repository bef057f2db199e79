//! Goodbyes, violations, limits.

use std::time::Duration;

use super::super::{Input, Output};
use super::harness::{Door, Net};
use crate::message::{Answer, Message, RoutedAnswer, Signed};
use crate::{Config, DeathProof, DisconnectCause, DownReason, Event, JointSet, Session};

const SECOND: Duration = Duration::from_secs(1);

fn inject(net: &mut Net, host: usize, message: Message) {
    let session = net.link(host, 1 - host).unwrap().session.unwrap();
    net.input(host, Input::Received { session, message });
}

#[test]
fn an_unneeded_link_is_closed_and_a_pinned_one_stays() {
    let mut net = Net::pair();
    let (here, there) = (net.hosts[0].peer, net.hosts[1].peer);
    let link = net.id(0, 1);
    let joint = JointSet {
        paths: 1,
        ..JointSet::default()
    };
    net.input(0, Input::JointSet { link, joint });
    net.input(0, Input::Unwant { peer: there });
    net.input(1, Input::Unwant { peer: here });
    net.run(SECOND * 30);
    assert!(net.agree(0, 1), "a path pins it, at either end");
    net.input(
        0,
        Input::JointSet {
            link,
            joint: JointSet::default(),
        },
    );
    net.run(SECOND * 3);
    assert!(net.agree(0, 1), "there is a grace");
    net.run(SECOND * 5);
    let mut downs = [net.downs(0), net.downs(1)].concat();
    downs.sort_by_key(|reason| *reason == DownReason::Closed);
    assert_eq!(downs, [DownReason::Unneeded, DownReason::Closed]);
    assert_eq!(net.open_streams(), 0);
    net.run(SECOND * 60);
    assert_eq!((net.ups(0), net.ups(1)), (1, 1));
}

#[test]
fn a_link_that_one_end_wants_stays() {
    let mut net = Net::new(2, Config::lan());
    net.want(0, 1);
    net.run(SECOND * 60);
    assert!(net.agree(0, 1));
    assert!(net.link(1, 0).unwrap().wanted() && !net.link(1, 0).unwrap().wanted_by_us);
}

#[test]
fn shutdown_says_goodbye_and_then_nothing() {
    let mut net = Net::pair();
    net.input(0, Input::Shutdown);
    assert_eq!(net.downs(0), [DownReason::Shutdown]);
    assert!(matches!(net.hosts[0].events.last(), Some((_, Event::Stopped))));
    net.run(SECOND);
    assert_eq!(net.proofs(1), [DeathProof::Goodbye]);
    assert_eq!(net.downs(1), [DownReason::Dead(DeathProof::Goodbye)]);
    assert_eq!(net.count(0, |_| true), net.hosts[0].events.len());
    assert!(net.hosts[0].links.deadline().is_none());
}

#[test]
fn what_the_protocol_does_not_allow_ends_the_link() {
    let gap = Message::Operation {
        number: 2,
        body: vec![],
    };
    let never_sent = Message::Acknowledge { received: 1 };
    for message in [gap, never_sent] {
        let mut net = Net::pair();
        inject(&mut net, 0, message);
        net.run(SECOND / 10);
        assert_eq!(net.downs(0), [DownReason::Violation]);
        assert_eq!(net.downs(1), [DownReason::Closed]);
    }
}

#[test]
fn a_violation_seen_above_ends_the_link_and_is_not_forgiven_soon() {
    let mut net = Net::pair();
    let link = net.id(0, 1);
    let what = "said the layer above";
    net.input(0, Input::Violation { link, what });
    net.run(SECOND * 5);
    assert_eq!((net.downs(0), net.ups(0)), (vec![DownReason::Violation], 1));
    net.run(SECOND * 20);
    assert!(net.agree(0, 1), "the rings still want each other");
}

#[test]
fn words_and_routed_messages_pass_while_there_is_a_session() {
    let mut net = Net::pair();
    let link = net.id(0, 1);
    net.input(0, Input::Tell { link, body: vec![9] });
    let trail = Vec::new();
    let (from, to) = (net.hosts[0].peer, net.hosts[1].peer);
    let signature = Vec::new();
    let body = Answer::Nothing;
    let body = Signed {
        from,
        to,
        number: 1,
        body,
        signature,
    };
    let message = Message::RoutedAnswer(Box::new(RoutedAnswer { trail, body }));
    net.input(0, Input::Pass { link, message });
    net.run(SECOND);
    assert_eq!(
        net.count(1, |event| matches!(event, Event::Told { body, .. } if *body == [9])),
        1
    );
    let passed = |output: &&Output| matches!(output, Output::Passed { peer, .. } if *peer == from);
    assert_eq!(net.hosts[1].others.iter().filter(passed).count(), 1);
    net.break_at(0);
    net.input(0, Input::Tell { link, body: vec![8] });
    net.run(SECOND);
    assert_eq!(
        net.count(1, |event| matches!(event, Event::Told { .. })),
        1,
        "lost with its session"
    );
    assert_eq!(net.hosts[0].links.counters().dropped, 1);
}

#[test]
fn news_of_joining_and_records_reach_the_other_end() {
    let mut net = Net::pair();
    assert!(!net.link(1, 0).unwrap().joined());
    net.input(0, Input::Joined(true));
    net.run(SECOND / 50);
    assert!(net.link(1, 0).unwrap().joined());
    let keypair = crate::Keypair::ed25519_from_bytes([1; 32]).unwrap();
    let (peer, addresses) = net.place(0);
    let record = crate::message::PeerRecord {
        peer,
        addresses,
        sequence: 99,
    };
    net.input(0, Input::Record(crate::record::SignedRecord::sign(record, &keypair)));
    net.break_both();
    net.run(SECOND);
    assert!(
        net.hosts[1]
            .others
            .iter()
            .any(|output| { matches!(output, Output::Met { record, joined: true } if record.record().sequence == 99) })
    );
}

#[test]
fn garbage_ends_the_link() {
    let mut net = Net::pair();
    let session = net.link(0, 1).unwrap().session.unwrap();
    let cause = DisconnectCause::Garbage;
    net.input(0, Input::Disconnected { session, cause });
    assert_eq!(net.downs(0), [DownReason::Violation]);
}

/// What host 0 sends to host 1 on opening a session, handed to `spoil` before host 1 gets it in place of the real one.
fn with_hello(spoil: impl Fn(&mut crate::message::Hello)) -> Net {
    let mut net = Net::new(2, Config::lan());
    let (peer, opener) = (net.hosts[1].peer, crate::Opener::Us);
    let mut out = Vec::new();
    let connected = Input::Connected {
        session: Session(900),
        peer,
        opener,
        address: None,
    };
    let mut twin = Net::new(2, Config::lan());
    twin.hosts[0].links.handle(net.now, connected, &mut out);
    let [
        Output::Send {
            message: Message::Hello(hello),
            ..
        },
    ] = &mut out[..]
    else {
        panic!("{out:?}");
    };
    spoil(hello);
    net.open(0, 1, None);
    net.cut = vec![(0, 1)];
    net.run(SECOND / 100);
    net.input(
        1,
        Input::Received {
            session: Session(1),
            message: Message::Hello(hello.clone()),
        },
    );
    net
}

#[test]
fn only_a_proper_hello_of_the_same_network_founds_a_link() {
    let net = with_hello(|_| {});
    assert_eq!(net.ups(1), 1);
    let net = with_hello(|hello| hello.network = "another".into());
    assert_eq!((net.ups(1), net.open_streams()), (0, 1));
    let stranger = Net::new(3, Config::lan());
    let (peer, _) = stranger.place(2);
    let net = with_hello(|hello| {
        let record = crate::message::PeerRecord {
            peer,
            addresses: vec![],
            sequence: 1,
        };
        let keypair = crate::Keypair::ed25519_from_bytes([3; 32]).unwrap();
        hello.record = crate::record::SignedRecord::sign(record, &keypair);
    });
    assert_eq!(net.ups(1), 0);
    let net = with_hello(|hello| hello.open = (0..100).collect());
    assert_eq!(net.ups(1), 0);
}

#[test]
fn nothing_is_taken_before_a_hello_nor_a_second_one() {
    let mut net = with_hello(|_| {});
    let hello = with_hello(|_| {});
    drop(hello);
    net.input(
        1,
        Input::Received {
            session: Session(1),
            message: Message::Tell(vec![1]),
        },
    );
    assert_eq!(net.count(1, |event| matches!(event, Event::Told { .. })), 1);

    let mut net = Net::new(2, Config::lan());
    net.open(0, 1, None);
    net.cut = vec![(0, 1)];
    net.run(SECOND / 100);
    net.input(
        1,
        Input::Received {
            session: Session(1),
            message: Message::Tell(vec![1]),
        },
    );
    assert_eq!(net.hosts[1].events.len(), 0);
    net.cut.clear();
    net.run(SECOND);
    assert_eq!(net.open_streams(), 0, "host 1 closed its end, and host 0 has heard it");
}

#[test]
fn a_session_without_a_hello_is_closed() {
    let mut net = Net::new(2, Config::lan());
    net.cut = vec![(0, 1)];
    net.open(0, 1, None);
    net.run(SECOND * 2);
    assert_eq!(net.open_streams(), 1);
    net.run(SECOND * 2);
    assert_eq!(net.open_streams(), 0);
}

#[test]
fn sessions_of_one_peer_are_bounded() {
    let mut net = Net::new(2, Config::lan());
    net.cut = vec![(0, 1), (1, 0)];
    for _ in 0..10 {
        net.open(0, 1, None);
    }
    net.run(SECOND / 10);
    net.heal();
    assert!(net.open_streams() <= 6, "three at each end");
}

#[test]
fn too_many_waiting_operations_take_the_link_down() {
    let config = Config {
        max_operations: 32,
        operation_window: 16,
        ..Config::lan()
    };
    let mut net = Net::new(2, config);
    net.want(0, 1);
    net.run(SECOND);
    net.cut = vec![(0, 1), (1, 0)];
    for body in 0..32 {
        net.operate(0, 1, body);
    }
    assert_eq!(net.downs(0), []);
    net.operate(0, 1, 32);
    assert_eq!(net.downs(0), [DownReason::Overflow]);
}

#[test]
fn a_storm_of_operations_passes_the_window_without_waiting_for_pings() {
    let config = Config {
        operation_window: 16,
        ..Config::lan()
    };
    let mut net = Net::new(2, config);
    net.want(0, 1);
    net.run(SECOND);
    for body in 0..200 {
        net.operate(0, 1, body);
    }
    net.run(SECOND / 2);
    assert_eq!(net.operations(1), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_full_peer_turns_strangers_away() {
    let config = Config {
        max_links: 1,
        ..Config::lan()
    };
    let mut net = Net::new(3, config);
    net.want(1, 0);
    net.run(SECOND);
    let (peer, addresses) = net.place(0);
    net.input(2, Input::Link { peer, addresses });
    net.run(SECOND * 2);
    assert_eq!(net.ups(0), 1);
    assert!(net.link(2, 0).is_none());
    assert!(net.downs(2).iter().all(|reason| *reason == DownReason::Closed));
}

/// Who comes to stand next to us is wanted until somebody stands nearer: what is left of them must not add up.
#[test]
fn beyond_the_limit_a_link_goes_when_the_ring_wants_it_no_more() {
    let config = Config {
        max_links: 1,
        ..Config::lan()
    };
    let mut net = Net::new(4, config);
    for other in 1..4 {
        net.want(other, 0);
        net.want(0, other);
        net.run(SECOND);
        assert!(net.agree(0, other));
        let peer = net.hosts[other].peer;
        net.input(0, Input::Unwant { peer });
        net.run(SECOND);
        assert_eq!(
            net.hosts[0].links.iter().len(),
            1,
            "the other end wants it, and there is room for one"
        );
    }
    assert!(net.agree(0, 1));
    assert_eq!(net.downs(0), [DownReason::Unneeded; 2]);
    assert_eq!(net.downs(3), [DownReason::Closed]);
}

#[test]
fn a_link_asked_for_once_comes_or_fails() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    net.hosts[1].door = Door::Refuses;
    net.input(
        0,
        Input::Link {
            peer,
            addresses: addresses.clone(),
        },
    );
    net.run(SECOND);
    assert_eq!(net.count(0, |event| matches!(event, Event::LinkFailed { .. })), 1);
    net.hosts[1].door = Door::Open;
    net.input(0, Input::Link { peer, addresses });
    net.run(SECOND);
    assert_eq!(net.ups(0), 1);
}

#[test]
fn a_wanted_peer_is_tried_again_until_it_answers() {
    let mut net = Net::new(2, Config::lan());
    net.hosts[1].door = Door::BlackHole;
    net.want(0, 1);
    net.run(SECOND * 20);
    let unreachable = net.hosts[0]
        .others
        .iter()
        .filter(|output| matches!(output, Output::Unreachable { .. }));
    let rounds = unreachable.count();
    assert!((3..=10).contains(&rounds), "{rounds}");
    net.hosts[1].door = Door::Open;
    net.run(SECOND * 21);
    assert!(net.agree(0, 1));
}

#[test]
fn only_links_that_broke_count_as_lost() {
    let mut net = Net::pair();
    let (here, there) = (net.hosts[0].peer, net.hosts[1].peer);
    net.input(0, Input::Unwant { peer: there });
    net.input(1, Input::Unwant { peer: here });
    net.run(SECOND * 30);
    assert_eq!((net.downs(0).len(), net.downs(1).len()), (1, 1));
    let lost = |net: &Net, host: usize| net.hosts[host].links.counters().links_lost;
    assert_eq!((lost(&net, 0), lost(&net, 1)), (0, 0));
    let mut net = Net::pair();
    let link = net.id(0, 1);
    net.input(0, Input::Violation { link, what: "a test" });
    net.run(SECOND);
    assert_eq!((lost(&net, 0), lost(&net, 1)), (1, 1));
}

#[test]
fn a_peer_of_another_network_is_dialled_rarely() {
    let mut net = Net::new(2, Config::lan());
    net.hosts[1].links.config.network = "another".into();
    net.want(0, 1);
    net.run(SECOND * 7);
    let peer = net.hosts[1].peer;
    let foreign = |(_, event): &(crate::Time, Event)| matches!(event, Event::Foreigner { peer: of, theirs: crate::Foreign::Network(network), .. } if *of == peer && network == "another");
    assert!(net.hosts[0].events.iter().any(foreign));
    assert!(net.hosts[0].links.remotes[&peer].tries >= 6);
    let unreachable = |output: &&Output| matches!(output, Output::Unreachable { .. });
    assert_eq!(net.hosts[0].others.iter().filter(unreachable).count(), 1, "one dial");
}
