//! Pings, doubt, suspicion, silence.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::{Input, Output};
use super::by_hand::{pings, wake};
use super::harness::Net;
use crate::message::{Message, Ping, Pong};
use crate::{Config, DownReason, Event, JointSet};

const SECOND: Duration = Duration::from_secs(1);

fn doubts(net: &Net, host: usize) -> usize {
    net.count(host, |event| matches!(event, Event::LinkDoubtful { .. }))
}

#[test]
fn a_silent_link_is_doubtful_soon_and_down_within_its_lifetime() {
    let mut net = Net::pair();
    let before = net.now;
    net.cut = vec![(1, 0), (0, 1)];
    net.run(SECOND * 3);
    assert_eq!(doubts(&net, 0), 1);
    assert!(!net.link(0, 1).unwrap().usable());
    net.run(SECOND * 19);
    assert_eq!(net.downs(0), [DownReason::Silent]);
    let &(at, _) = net.hosts[0].events.last().unwrap();
    let lifetime = Config::lan().link_lifetime();
    assert!(at.since(before) <= lifetime, "{at} after {before}");
    // The last proof was at most one round old.
    assert!(at.since(before) + SECOND * 2 >= lifetime, "{at} after {before}");
}

/// "It is pinged again at once, then after 1, 2, 4, 8 × `ping_timeout`", and each of these is a missed answer.
#[test]
fn a_doubtful_link_is_pinged_again_at_once_and_then_ever_more_rarely() {
    let mut net = Net::pair();
    net.cut = vec![(1, 0), (0, 1)];
    let missed = |net: &Net| net.hosts[0].links.counters().pings_missed;
    let before = missed(&net);
    let mut times = Vec::new();
    for _ in 0..20_000 {
        net.run(Duration::from_millis(1));
        if missed(&net) > before + times.len() as u64 {
            times.push(net.now);
        }
    }
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let timeout = Config::lan().ping_timeout;
    assert_eq!(
        pauses[..4],
        [timeout, timeout * 2, timeout * 4, timeout * 8],
        "{pauses:?}"
    );
    assert_eq!(net.hosts[0].links.counters().doubts, 1, "it is one doubt");
}

#[test]
fn what_is_received_proves_nothing() {
    let mut net = Net::pair();
    // Everything of host 1 still arrives, but host 0 is not heard.
    net.cut = vec![(0, 1)];
    net.run(SECOND * 22);
    assert!(net.downs(0).contains(&DownReason::Silent), "{:?}", net.downs(0));
}

/// Scenario 9: an answer proves life as of its ping, however late the backlog brings it.
#[test]
fn a_late_answer_proves_no_more_than_its_ping() {
    let mut net = Net::pair();
    net.cut = vec![(1, 0), (0, 1)];
    net.run(SECOND * 2);
    let number = net.hosts[0].pings.len() as u32;
    let session = net.link(0, 1).unwrap().session.unwrap();
    net.run(SECOND * 17);
    let (acknowledged, joint) = (0, JointSet::default());
    let message = Message::Pong(Pong {
        number,
        acknowledged,
        joint,
    });
    net.input(0, Input::Received { session, message });
    net.run(SECOND);
    assert_eq!(net.downs(0), [], "proven by a ping that was sent after the cut");
    net.run(SECOND * 4);
    assert_eq!(net.downs(0), [DownReason::Silent]);
}

/// Scenario 20: who wakes late accuses nobody before it has read what has arrived.
/// ◆ "After an answer the next outstanding ping has a whole time limit again: the answers of a backlog come one after the other."
#[test]
fn after_an_answer_of_a_backlog_the_next_one_has_a_whole_time_limit() {
    let mut net = Net::pair();
    let number = net.hosts[0].pings.len() as u32 + 1;
    net.cut = vec![(1, 0), (0, 1)];
    net.run(SECOND * 6);
    let session = net.link(0, 1).unwrap().session.unwrap();
    let missed = |net: &Net| net.hosts[0].links.counters().pings_missed;
    let before = missed(&net);
    assert!(before > 1, "several are not answered yet");
    let (acknowledged, joint) = (0, JointSet::default());
    let message = Message::Pong(Pong {
        number,
        acknowledged,
        joint,
    });
    net.input(0, Input::Received { session, message });
    net.run(Duration::from_millis(1));
    assert_eq!(missed(&net), before);
}

#[test]
fn a_starved_peer_accuses_nobody() {
    let mut net = triangle();
    let (from, peer) = (net.hosts[2].peer, net.hosts[1].peer);
    net.input(0, Input::Suspected { from, peer });
    net.now += SECOND * 5;
    net.input(0, Input::Wake);
    net.run(SECOND * 5);
    assert_eq!((doubts(&net, 0), suspicions(&net, 0)), (0, 0));
    net.cut = vec![(1, 0)];
    net.run(SECOND * 5);
    assert_eq!(doubts(&net, 0), 1);
}

/// ... and then waits for a whole time limit, not for the next ping's.
#[test]
fn a_starved_peer_doubts_one_time_limit_later_who_is_silent_indeed() {
    let mut net = Net::pair();
    while pings(&wake(&mut net)) == 0 {}
    // The answer is missed when the floor has passed: its round trips are short.
    let floor = Config::lan().ping_floor;
    let late = net.now + floor * 2 + Duration::from_millis(1);
    net.now = late;
    assert_eq!(net.outputs(0, Input::Wake).len(), 0);
    let doubt = |output: &Output| matches!(output, Output::Event(Event::LinkDoubtful { .. }));
    let mut out = wake(&mut net);
    while !out.iter().any(doubt) {
        assert_eq!(pings(&out), 0, "{} after {late}", net.now);
        out = wake(&mut net);
    }
    assert_eq!(net.now, late + floor);
}

/// Its ping is under way when this peer finds out how late it is.
#[test]
fn a_ping_has_the_grace_that_is_granted_after_it_was_sent() {
    let mut net = Net::pair();
    while pings(&wake(&mut net)) == 0 {}
    let (sent, grace) = (net.now, Duration::from_millis(300));
    net.hosts[0].links.grant(grace);
    let doubt = |output: &Output| matches!(output, Output::Event(Event::LinkDoubtful { .. }));
    while !wake(&mut net).iter().any(doubt) {}
    assert_eq!(net.now, sent + Config::lan().ping_floor + grace);
}

#[test]
fn any_answer_clears_the_doubt() {
    let mut net = Net::pair();
    net.cut = vec![(1, 0)];
    net.run(SECOND * 5);
    net.heal();
    net.run(SECOND * 10);
    assert_eq!(doubts(&net, 0), 1);
    assert_eq!(net.count(0, |event| matches!(event, Event::LinkCleared { .. })), 1);
    assert!(net.agree(0, 1));
    assert_eq!(net.downs(0), []);
}

fn triangle() -> Net {
    let mut net = Net::new(3, Config::lan());
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        net.want(a, b);
        net.run(SECOND / 10);
    }
    net.run(SECOND * 5);
    assert!(net.agree(0, 1) && net.agree(1, 2) && net.agree(2, 0));
    net
}

fn suspicions(net: &Net, host: usize) -> usize {
    let others = net.hosts[host].others.iter();
    others.filter(|output| matches!(output, Output::Suspect { .. })).count()
}

#[test]
fn a_suspicion_goes_to_the_suspects_other_neighbours_and_no_further() {
    let mut net = triangle();
    let suspect = net.hosts[1].peer;
    net.cut = vec![(1, 0), (1, 2)];
    let from = net.hosts[0].peer;
    net.input(2, Input::Suspected { from, peer: suspect });
    net.run(SECOND * 2);
    assert_eq!(suspicions(&net, 0), 1);
    let told = net.hosts[2].peer;
    assert!(net.hosts[0].others.iter().any(|output| {
        matches!(output, Output::Suspect { to, suspect: about } if *to == told && *about == suspect)
    }));
    // Host 2 was told: it doubts on its own evidence, and tells nobody.
    assert_eq!(doubts(&net, 2), 1);
    assert_eq!(suspicions(&net, 2), 0);
}

#[test]
fn a_told_peer_pings_at_once_and_believes_its_own_evidence() {
    let mut net = triangle();
    let before = net.hosts[2].pings.len();
    let suspect = net.hosts[1].peer;
    let from = net.hosts[0].peer;
    net.input(2, Input::Suspected { from, peer: suspect });
    assert_eq!(net.hosts[2].pings.len(), before + 1);
    net.run(SECOND * 5);
    assert_eq!(doubts(&net, 2), 0);
}

/// Scenario 30: all start at the same instant and want the same peer, which is nevertheless pinged evenly.
#[test]
fn rotas_of_peers_started_together_stay_apart() {
    let config = Config::lan();
    let count = 9;
    let mut net = Net::new(count, config.clone());
    for host in 0..count {
        for other in 0..count {
            if host != other {
                net.want(host, other);
            }
        }
    }
    net.run(SECOND * 30);
    let start = net.now;
    net.run(SECOND * 100);
    for host in 0..count {
        // One ping per interval, whatever the number of links, and hardly more for announcements that passed.
        let pings = net.hosts[host].pings.iter().filter(|(at, _)| *at > start).count();
        assert!((95..=130).contains(&pings), "{pings} pings of {host}");
        assert_eq!(doubts(&net, host), 0);
        for other in (0..count).filter(|other| *other != host) {
            let session = net.link(host, other).unwrap().session.unwrap();
            let times = net.hosts[host]
                .pings
                .iter()
                .filter(|(at, to)| *at > start && *to == session);
            let times: Vec<_> = times.map(|(at, _)| *at).collect();
            let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
            assert!(longest <= config.link_interval, "{longest:?}");
        }
    }
}

#[test]
fn round_trips_are_known_once_every_link_has_samples() {
    let mut net = Net::pair();
    let measured = net.hosts[0].links.round_trips().unwrap();
    assert!(measured >= SECOND / 100 && measured < SECOND / 10, "{measured:?}");
    assert!(Net::new(2, Config::lan()).hosts[0].links.round_trips().is_none());
    net.run(SECOND * 5);
    assert!(net.hosts[0].links.round_trips().unwrap() <= measured);
}

/// The mean over all links: two of 10 ms are not twice as long as one.
#[test]
fn round_trips_are_a_mean() {
    let mut net = triangle();
    net.run(SECOND * 30);
    let (one, two) = (Net::pair(), net.hosts[0].links.round_trips().unwrap());
    let one = one.hosts[0].links.round_trips().unwrap();
    assert!(
        two <= one,
        "{two:?} of two links, {one:?} of one that was measured less often"
    );
}

#[test]
fn what_waits_on_a_link_can_be_read_the_newest_first() {
    let mut net = Net::pair();
    let link = net.id(0, 1);
    net.cut = vec![(0, 1)];
    for body in [1, 2, 3] {
        net.operate(0, 1, body);
    }
    let links = &net.hosts[0].links;
    let bodies: Vec<&[u8]> = links.unacknowledged(link).collect();
    assert_eq!(bodies, [&[3][..], &[2], &[1]]);
    assert_eq!(links.operations_waiting(), 3);
    assert_eq!(
        links.proven(&net.hosts[1].peer),
        std::slice::from_ref(&net.hosts[1].address)
    );
    net.heal();
    net.run(SECOND * 2);
    assert_eq!(net.operations(1), [1, 2, 3]);
    let links = &net.hosts[0].links;
    assert_eq!((links.unacknowledged(link).count(), links.operations_waiting()), (0, 0));
}

/// "Numbers of different lives are far apart": 32 bits of them are drawn.
#[test]
fn each_life_begins_its_numbers_elsewhere() {
    let mut rng = StdRng::seed_from_u64(1);
    let numbers: Vec<u64> = (0..4).map(|_| super::super::first_number(&mut rng)).collect();
    assert!(
        numbers
            .iter()
            .all(|number| *number >= 1 << 32 && number.trailing_zeros() >= 32),
        "{numbers:?}"
    );
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn joint_sets_travel_in_pings_and_neighbours_are_known() {
    let mut net = triangle();
    let joint = JointSet {
        digest: [7; 8],
        paths: 3,
        sent: 2,
        received: 1,
    };
    let link = net.id(0, 1);
    net.input(0, Input::JointSet { link, joint });
    net.run(SECOND * 3);
    assert!(
        net.count(
            1,
            |event| matches!(event, Event::JointSetSeen { joint: seen, .. } if *seen == joint)
        ) > 0
    );
    let neighbours = net.link(0, 1).unwrap().neighbours();
    assert_eq!(neighbours.iter().count(), 2);
    assert!(neighbours.contains(&net.hosts[2].peer));
}

/// Who is no neighbour of the suspect cannot keep us from telling its neighbours.
#[test]
fn a_stranger_that_tells_us_silences_nobody() {
    let mut net = triangle();
    let (suspect, other) = (net.hosts[1].peer, net.hosts[2].peer);
    let from = Net::new(4, Config::lan()).hosts[3].peer;
    net.cut = vec![(1, 0)];
    net.input(0, Input::Suspected { from, peer: suspect });
    net.run(SECOND * 2);
    assert_eq!(suspicions(&net, 0), 1);
    net.input(
        0,
        Input::Suspected {
            from: other,
            peer: suspect,
        },
    );
    assert!(net.link(0, 1).unwrap().told);
}

#[test]
fn a_suspect_that_answers_now_and_then_does_not_have_its_neighbours_flooded() {
    let mut net = triangle();
    let neighbours = vec![net.hosts[2].peer; 100];
    let session = net.link(0, 1).unwrap().session.unwrap();
    let message = Message::Neighbours(neighbours);
    net.input(0, Input::Received { session, message });
    let id = net.id(0, 1);
    let mut out = Vec::new();
    for _ in 0..2 {
        let now = net.now;
        net.hosts[0].links.share_suspicion(now, id, &mut out);
        net.hosts[0].links.links.get_mut(&id).unwrap().shared = false;
    }
    assert_eq!(out.len(), 32);
    let timeout = Config::lan().ping_timeout;
    let soon = net.now + (timeout * 4 - Duration::from_millis(1));
    net.hosts[0].links.share_suspicion(soon, id, &mut out);
    assert_eq!(out.len(), 32);
    net.hosts[0].links.share_suspicion(net.now + timeout * 4, id, &mut out);
    assert_eq!(out.len(), 64);
}

/// Who answers pings must take operations as well.
#[test]
fn a_peer_that_answers_but_takes_no_operations_is_given_up() {
    let mut net = Net::pair();
    let link = net.id(0, 1);
    let mut operations = crate::links::operations::Operations::new(16, 16);
    operations.push(vec![1]);
    operations.next_to_send(net.now);
    net.hosts[0].links.links.get_mut(&link).unwrap().operations = operations;
    net.run(Config::lan().link_lifetime());
    assert_eq!(net.downs(0), []);
    net.run(SECOND * 3);
    assert_eq!(net.downs(0), [DownReason::Overflow]);
}

/// "◆ Who has lately taken an answer for missed that came after all doubts a link at the second miss only."
#[test]
fn who_was_wrong_lately_doubts_at_the_second_miss() {
    let mut net = triangle();
    net.cut = vec![(1, 0)];
    net.run(SECOND * 3);
    assert_eq!(doubts(&net, 0), 1, "it has not been wrong so far");
    net.heal();
    net.run(SECOND * 2);
    let timeout = net.hosts[0].links.config.ping_timeout;
    let missed = |net: &Net| net.hosts[0].links.counters().pings_missed;
    let (before, told) = (missed(&net), suspicions(&net, 0));
    net.cut = vec![(2, 0)];
    while missed(&net) == before {
        net.run(Duration::from_millis(1));
    }
    assert_eq!((doubts(&net, 0), suspicions(&net, 0)), (1, told));
    net.run(timeout);
    assert_eq!(missed(&net), before + 2);
    assert_eq!((doubts(&net, 0), suspicions(&net, 0)), (2, told + 1));
    net.heal();
    net.run(timeout * 16);
    let before = missed(&net);
    net.cut = vec![(1, 0)];
    while missed(&net) == before {
        net.run(Duration::from_millis(1));
    }
    assert_eq!(doubts(&net, 0), 3, "long ago");
}

/// "◆ If that passes, the receiver pings at once": what the other end announced counts, not only our own turns.
#[test]
fn an_announced_ping_that_does_not_come_is_asked_for() {
    let mut net = Net::pair();
    let pings = |net: &Net| net.hosts[0].pings.len();
    let turn = pings(&net);
    while pings(&net) == turn {
        net.run(Duration::from_millis(1));
    }
    let session = net.link(0, 1).unwrap().session.unwrap();
    let (acknowledged, joint) = (0, JointSet::default());
    let ping = Ping {
        number: u32::MAX / 2,
        next: 0,
        wanted: true,
        joined: false,
        acknowledged,
        joint,
    };
    net.run(SECOND / 20);
    let (before, turn) = (net.now, pings(&net));
    net.input(
        0,
        Input::Received {
            session,
            message: Message::Ping(ping),
        },
    );
    while pings(&net) == turn {
        net.run(Duration::from_millis(1));
    }
    let config = Config::lan();
    let took = net.now.since(before);
    assert!(took >= config.ping_floor && took <= config.ping_floor * 3, "{took:?}");
}
