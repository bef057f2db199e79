//! "At the second missed answer in a row an end opens another session beside the silent one; once that is there it closes the silent one,
//! and only then sends its `Hello`."

use super::super::Output;
use super::by_hand::{closed, connected, dials, hello, wake};
use super::harness::Net;
use crate::{Opener, Session};

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
fn the_second_missed_answer_in_a_row_opens_another_session_and_the_first_does_not() {
    let mut net = Net::pair();
    let (_, addresses) = net.place(1);
    assert_eq!(dials(&miss(&mut net)), []);
    assert_eq!(dials(&miss(&mut net)), [(addresses, true)]);
    assert_eq!(dials(&miss(&mut net)), [], "it is being dialled");
}

#[test]
fn the_session_that_we_open_in_place_of_a_silent_one_closes_that_before_its_hello() {
    let mut net = Net::pair();
    let silent = carrying(&net);
    miss(&mut net);
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
    miss(&mut net);
    let out = net.outputs(0, connected(&net, Session(900), 1, Opener::Them));
    assert_eq!(closed(&out), []);
    assert_eq!(hello(&out).expect("a Hello").open.len(), 1);
}

#[test]
fn a_session_that_we_open_beside_one_that_answers_or_missed_once_closes_nothing() {
    for misses in [0, 1] {
        let mut net = Net::pair();
        for _ in 0..misses {
            miss(&mut net);
        }
        let out = net.outputs(0, connected(&net, Session(900), 1, Opener::Us));
        assert_eq!(closed(&out), [], "{misses} missed");
        assert_eq!(hello(&out).expect("a Hello").open.len(), 1, "{misses} missed");
    }
}
