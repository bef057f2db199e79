//! `Hello`s one by one: in the wrong order, late, of another life, twice; and which session a link is founded on.

use std::time::Duration;

use super::super::{Input, Output};
use super::by_hand::{closed, connected, hello};
use super::harness::Net;
use crate::message::{Farewell, Hello, Message};
use crate::{Config, DeathProof, Event, Opener, Session};

const FIRST: Session = Session(1);
const SECOND: Session = Session(2);

/// The one of hosts 0 and 1 whose sessions stay.
fn smaller(net: &Net) -> usize {
    usize::from(net.hosts[1].peer < net.hosts[0].peer)
}

fn larger(net: &Net) -> usize {
    1 - smaller(net)
}

/// A session between hosts 0 and 1 is there at both ends, dialled by one of them; the `Hello` that host 1 sends.
fn meet(net: &mut Net, session: Session, dialler: usize) -> Box<Hello> {
    let opener = |host| if host == dialler { Opener::Us } else { Opener::Them };
    net.outputs(0, connected(net, session, 1, opener(0)));
    let out = net.outputs(1, connected(net, session, 0, opener(1)));
    hello(&out).expect("a Hello")
}

/// Host 0 receives a message of host 1.
fn receive(net: &mut Net, session: Session, message: Message) -> Vec<Output> {
    net.outputs(0, Input::Received { session, message })
}

fn greet(net: &mut Net, session: Session, hello: Box<Hello>) -> Vec<Output> {
    receive(net, session, Message::Hello(hello))
}

/// What carries host 0's link to host 1.
fn carrying(net: &Net) -> Option<Session> {
    net.link(0, 1)?.session
}

fn restarted(out: &[Output]) -> bool {
    let proof = |output: &Output| match output {
        Output::Event(Event::PeerDead { proof, .. }) => Some(*proof),
        _ => None,
    };
    out.iter().filter_map(proof).any(|proof| proof == DeathProof::Restarted)
}

/// "A session that would win but has no `Hello` yet is waited for."
#[test]
fn a_link_waits_for_the_hello_of_a_better_session_and_for_no_other() {
    let mut net = Net::new(2, Config::lan());
    let (better, worse) = (smaller(&net), larger(&net));
    let late = meet(&mut net, FIRST, better);
    let early = meet(&mut net, SECOND, worse);
    greet(&mut net, SECOND, early);
    assert_eq!(carrying(&net), None);
    greet(&mut net, FIRST, late);
    assert_eq!(carrying(&net), Some(FIRST));

    let mut net = Net::new(2, Config::lan());
    meet(&mut net, FIRST, worse);
    let hello = meet(&mut net, SECOND, better);
    greet(&mut net, SECOND, hello);
    assert_eq!(carrying(&net), Some(SECOND));
}

/// "A session that a later `Hello` does not list is closed at its sender", also when its own `Hello` comes after that one.
#[test]
fn a_hello_that_comes_after_a_later_one_counts_if_that_one_lists_its_session() {
    for listed in [true, false] {
        let mut net = Net::new(2, Config::lan());
        let (better, worse) = (smaller(&net), larger(&net));
        let older = meet(&mut net, FIRST, better);
        let mut newer = meet(&mut net, SECOND, worse);
        assert_eq!(newer.open, [older.number]);
        if !listed {
            newer.open.clear();
        }
        greet(&mut net, SECOND, newer);
        let out = greet(&mut net, FIRST, older);
        let (kept, other) = if listed { (FIRST, SECOND) } else { (SECOND, FIRST) };
        assert_eq!((carrying(&net), closed(&out)), (Some(kept), vec![other]), "{out:?}");
    }
}

#[test]
fn a_late_hello_of_an_earlier_life_closes_its_session_and_nothing_else() {
    let mut net = Net::new(2, Config::lan());
    let (better, worse) = (smaller(&net), larger(&net));
    let old = meet(&mut net, FIRST, worse);
    net.restart(1, true);
    let new = meet(&mut net, SECOND, better);
    assert_ne!(old.incarnation, new.incarnation);
    greet(&mut net, SECOND, new);
    let link = net.id(0, 1);
    let out = greet(&mut net, FIRST, old);
    assert!(matches!(out[..], [Output::Disconnect { session: FIRST }]), "{out:?}");
    assert_eq!((carrying(&net), net.id(0, 1)), (Some(SECOND), link));
}

#[test]
fn the_hello_of_another_session_is_a_violation_and_one_of_another_life_with_its_number_is_not() {
    for restarts in [false, true] {
        let mut net = Net::new(2, Config::lan());
        let (better, worse) = (smaller(&net), larger(&net));
        let mut hello = meet(&mut net, FIRST, better);
        meet(&mut net, SECOND, worse);
        greet(&mut net, FIRST, hello.clone());
        assert_eq!(carrying(&net), Some(FIRST));
        hello.incarnation += u64::from(restarts);
        let out = greet(&mut net, SECOND, hello);
        let violation = |output: &Output| {
            let message = Message::Goodbye(Farewell::Violation);
            matches!(output, Output::Send { message: sent, .. } if *sent == message)
        };
        assert_eq!(out.iter().any(violation), !restarts, "{out:?}");
        assert_eq!(restarted(&out), restarts, "{out:?}");
        assert_eq!(carrying(&net), restarts.then_some(SECOND));
    }
}

/// Only who says so belongs to another network.
#[test]
fn a_peer_that_gives_up_a_session_without_a_link_is_no_foreigner() {
    for (farewell, foreign) in [
        (Farewell::GaveUp, false),
        (Farewell::WrongNetwork, true),
        (Farewell::NoSharedVersion, true),
    ] {
        let mut net = Net::new(2, Config::lan());
        let (better, worse) = (smaller(&net), larger(&net));
        meet(&mut net, FIRST, better);
        let hello = meet(&mut net, SECOND, worse);
        greet(&mut net, SECOND, hello);
        let out = receive(&mut net, SECOND, Message::Goodbye(farewell));
        assert_eq!((carrying(&net), closed(&out)), (None, vec![SECOND]));
        let peer = net.hosts[1].peer;
        let links = &net.hosts[0].links;
        assert_eq!(links.remotes[&peer].tries > 0, foreign, "{farewell:?}");
    }
}

/// Who has seen the share for one peer knows neither that for another nor that of another life.
#[test]
fn shares_of_keys_are_one_for_each_peer_and_life() {
    let share = |net: &mut Net, session: Session, other: usize| {
        let out = net.outputs(0, connected(net, session, other, Opener::Them));
        hello(&out).expect("a Hello").share
    };
    let mut net = Net::new(3, Config::lan());
    let first = share(&mut net, FIRST, 1);
    assert_eq!(share(&mut net, SECOND, 1), first, "the same peer");
    assert_ne!(share(&mut net, Session(3), 2), first, "another peer");
    net.restart(0, true);
    assert_ne!(share(&mut net, FIRST, 1), first, "another life");
}

/// Nodes of different profiles: both ends say so, once.
#[test]
fn a_peer_of_other_times_is_counted_once_at_both_ends() {
    let mut net = Net::new(2, Config::lan());
    net.lives_by(1, &Config::wan());
    net.want(0, 1);
    net.run(Duration::from_secs(2));
    net.break_both();
    net.run(Duration::from_secs(20));
    for host in [0, 1] {
        assert_eq!(net.hosts[host].links.counters().unlike, 1, "{host}");
    }
    assert_eq!(Net::pair().hosts[0].links.counters().unlike, 0);
}
