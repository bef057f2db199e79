//! "An end opens another session, on a fresh connection, beside one that is silent; once that is there it closes the silent one, and only then
//! sends its `Hello`." "It does so at the first missed answer that raises a doubt." "Sessions go silent together."

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Output;
use super::by_hand::{closed, connected, dials, failed, hello, wake};
use super::harness::Net;
use crate::{Config, DialFailure, Opener, Session};

/// What host 0, whom nobody answers, makes of its next missed answer.
fn miss(net: &mut Net) -> Vec<Output> {
    let missed = |net: &Net| net.hosts[0].links.counters().pings_missed;
    let before = missed(net);
    loop {
        let out = wake(net);
        if missed(net) > before {
            return out;
        }
    }
}

fn carrying(net: &Net) -> Session {
    net.link(0, 1)
        .and_then(|link| link.session)
        .expect("a link with a session")
}

#[test]
fn the_first_missed_answer_opens_another_session() {
    let mut net = Net::pair();
    let (_, addresses) = net.place(1);
    assert_eq!(dials(&miss(&mut net)), [(addresses, true)]);
    assert_eq!(dials(&miss(&mut net)), [], "it is being dialled");
}

/// "Once in a `ping_timeout`", whatever becomes of the sessions that are opened.
#[test]
fn new_sessions_that_are_silent_too_are_no_storm() {
    let mut net = Net::pair();
    let (_, addresses) = net.place(1);
    let begin = net.now;
    let mut dialled = Vec::new();
    for _ in 0..4 {
        let out = miss(&mut net);
        dialled.extend(dials(&out).iter().map(|_| net.now));
        let failed = failed(&net, 1, DialFailure::Timeout);
        net.outputs(0, failed);
    }
    assert!(dialled.len() >= 2 && net.now.since(begin) > Config::lan().ping_timeout);
    assert!(
        dialled
            .windows(2)
            .all(|two| two[1].since(two[0]) >= Config::lan().ping_timeout),
        "{dialled:?} {addresses:?}"
    );
}

/// Host 0 has three neighbours, and its session with the first is replaced, by whichever end.
#[test]
fn who_has_replaced_a_silent_session_pings_all_others_at_once() {
    let mut net = Net::new(4, Config::lan());
    for other in 1..4 {
        net.want(0, other);
    }
    net.run(Duration::from_secs(3));
    let carrying = |net: &Net, other| net.link(0, other).and_then(|link| link.session);
    let silent = carrying(&net, 1);
    net.deaden(0, 1);
    let replaced = |net: &Net| carrying(net, 1).is_some_and(|session| Some(session) != silent);
    let mut before = 0;
    for _ in 0..10_000 {
        if !replaced(&net) {
            before = net.hosts[0].pings.len();
            net.run(Duration::from_millis(1));
        }
    }
    assert!(replaced(&net));
    let pinged: BTreeSet<Session> = net.hosts[0].pings[before..]
        .iter()
        .map(|(_, session)| *session)
        .collect();
    let all = [1, 2, 3].map(|other| carrying(&net, other).expect("a session"));
    assert_eq!(pinged, BTreeSet::from(all));
}

#[test]
fn the_session_that_we_open_in_place_of_a_silent_one_closes_that_before_its_hello() {
    let mut net = Net::pair();
    let silent = carrying(&net);
    miss(&mut net);
    let out = net.outputs(0, connected(&net, Session(900), 1, Opener::Us));
    assert!(
        matches!(out[..], [Output::Disconnect { .. }, Output::Send { .. }]),
        "{out:?}"
    );
    assert_eq!(closed(&out), [silent]);
    assert_eq!(hello(&out).expect("a Hello").open, []);
}

/// Whether ours is dead at the other end is not known then: it may as well be the other end that cannot hear us.
#[test]
fn a_session_that_the_other_end_opens_beside_a_silent_one_closes_nothing() {
    let mut net = Net::pair();
    miss(&mut net);
    let out = net.outputs(0, connected(&net, Session(900), 1, Opener::Them));
    assert_eq!(closed(&out), []);
    assert_eq!(hello(&out).expect("a Hello").open.len(), 1);
}

#[test]
fn a_session_that_we_open_beside_one_that_answers_closes_nothing() {
    let mut net = Net::pair();
    let out = net.outputs(0, connected(&net, Session(900), 1, Opener::Us));
    assert_eq!(closed(&out), []);
    assert_eq!(hello(&out).expect("a Hello").open.len(), 1);
}
