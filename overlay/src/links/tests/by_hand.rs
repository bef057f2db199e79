//! One host without anybody who carries out what it says: what goes in, and what came out of it.

use multiaddr::Multiaddr;

use super::super::{Input, Output};
use super::harness::Net;
use crate::message::{Hello, Message};
use crate::{DialFailure, Opener, Session};

/// Where each dial goes, and whether it has to be a new connection.
pub(super) fn dials(out: &[Output]) -> Vec<(Vec<Multiaddr>, bool)> {
    let dial = |output: &Output| match output {
        Output::Connect { addresses, fresh, .. } => Some((addresses.clone(), *fresh)),
        _ => None,
    };
    out.iter().filter_map(dial).collect()
}

pub(super) fn verified(out: &[Output]) -> Vec<Multiaddr> {
    let verify = |output: &Output| match output {
        Output::Verify { address, .. } => Some(address.clone()),
        _ => None,
    };
    out.iter().filter_map(verify).collect()
}

/// The sessions that are closed from this end.
pub(super) fn closed(out: &[Output]) -> Vec<Session> {
    let close = |output: &Output| match output {
        Output::Disconnect { session } => Some(*session),
        _ => None,
    };
    out.iter().filter_map(close).collect()
}

fn sent(out: &[Output]) -> impl Iterator<Item = &Message> {
    out.iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    })
}

pub(super) fn pings(out: &[Output]) -> usize {
    sent(out).filter(|message| matches!(message, Message::Ping(_))).count()
}

/// The `Hello` that was sent.
pub(super) fn hello(out: &[Output]) -> Option<Box<Hello>> {
    sent(out).find_map(|message| match message {
        Message::Hello(hello) => Some(hello.clone()),
        _ => None,
    })
}

pub(super) fn want(net: &Net, other: usize) -> Input {
    let (peer, addresses) = net.place(other);
    Input::Want { peer, addresses }
}

pub(super) fn failed(net: &Net, other: usize, failure: DialFailure) -> Input {
    let (peer, addresses) = net.place(other);
    let failures = addresses.into_iter().map(|address| (address, failure)).collect();
    Input::DialFailed {
        peer: Some(peer),
        failures,
    }
}

/// A session with the other host is there.
pub(super) fn connected(net: &Net, session: Session, other: usize, opener: Opener) -> Input {
    let (peer, address) = (net.hosts[other].peer, None);
    Input::Connected {
        session,
        peer,
        opener,
        address,
    }
}

/// The next wake-up of host 0, when its time has come.
pub(super) fn wake(net: &mut Net) -> Vec<Output> {
    net.now = net.hosts[0].links.deadline().expect("something to come");
    net.outputs(0, Input::Wake)
}
