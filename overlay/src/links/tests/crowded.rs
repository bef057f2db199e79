//! Who gets in at a peer that strangers have crowded: whom it dials, wants, was asked for or is linked to.

use std::time::Duration;

use super::super::Input;
use super::by_hand::{closed, connected, hello, want};
use super::harness::Net;
use crate::{Config, Keypair, Opener, Session};

const SECOND: Duration = Duration::from_secs(1);

/// Room for one link: so for 66 sessions of strangers.
fn narrow() -> Net {
    let config = Config {
        max_links: 1,
        ..Config::lan()
    };
    Net::new(2, config)
}

/// Strangers open sessions with host 0 until it has as many as it takes of theirs.
fn crowd(net: &mut Net) {
    for number in 0..66 {
        if net.hosts[0].links.sessions.len() == 66 {
            break;
        }
        let stranger = Keypair::ed25519_from_bytes([100 + number; 32]).expect("a key");
        let connected = Input::Connected {
            session: Session(10_000 + u64::from(number)),
            peer: stranger.public().to_peer_id(),
            opener: Opener::Them,
            address: None,
        };
        let out = net.outputs(0, connected);
        assert_eq!(closed(&out), [], "stranger {number}");
    }
}

/// Whether host 1 gets a `Hello` from host 0, rather than the door shown.
fn comes_in(mut net: Net, opener: Opener) -> bool {
    crowd(&mut net);
    let session = Session(900);
    let out = net.outputs(0, connected(&net, session, 1, opener));
    let greeted = hello(&out).is_some();
    assert_eq!(closed(&out), if greeted { vec![] } else { vec![session] });
    greeted
}

#[test]
fn a_stranger_is_turned_away() {
    assert!(!comes_in(narrow(), Opener::Them));
}

/// It may be a bootstrap peer, of whom nothing was known but the address.
#[test]
fn a_stranger_whom_it_dials_comes_in() {
    assert!(comes_in(narrow(), Opener::Us));
}

#[test]
fn a_peer_that_it_wants_comes_in() {
    let mut net = narrow();
    net.outputs(0, want(&net, 1));
    assert!(comes_in(net, Opener::Them));
}

#[test]
fn a_peer_that_it_was_asked_to_link_to_comes_in() {
    let mut net = narrow();
    let (peer, addresses) = net.place(1);
    net.outputs(0, Input::Link { peer, addresses });
    assert!(comes_in(net, Opener::Them));
}

/// ... whoever of them wanted the link.
#[test]
fn a_peer_that_it_is_linked_to_comes_in() {
    let mut net = narrow();
    net.want(1, 0);
    net.run(SECOND);
    assert!(net.agree(0, 1));
    assert!(comes_in(net, Opener::Them));
}

#[test]
fn whom_it_comes_to_want_gets_a_link() {
    let mut net = narrow();
    crowd(&mut net);
    net.open(1, 0, None);
    net.run(SECOND / 10);
    assert_eq!(net.ups(0), 0, "a stranger");
    net.want(0, 1);
    net.run(SECOND / 10);
    assert_eq!(net.ups(0), 1);
}
