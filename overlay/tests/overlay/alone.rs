//! One overlay, and the words of a driver: what fits nothing is counted, what is open is bounded and ends, and a peer that stops says no more.

use std::time::Duration;

use fatebound_overlay::message::{Answer, MAX_FRAME, OneShot, PeerRecord};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{
    Bounded, Command, Config, DialFailure, Event, Input, Keypair, Multiaddr, Output, RequestId, Routes, Time, Ways,
};

use crate::SECOND;
use crate::driver::{Alone, keypair, peer, record, requests};
use crate::net::{address, posting};

/// Postings that failed, and whether because nobody knows the peer.
fn failed(out: &[Output]) -> Vec<(u64, bool)> {
    let failed = |output: &Output| match output {
        Output::Event(Event::PostFailed { posting, unknown, .. }) => Some((posting.post.0, *unknown)),
        _ => None,
    };
    out.iter().filter_map(failed).collect()
}

/// How long a question may be open: "four `ping_timeout`s and a `link_interval`".
fn lifetime(config: &Config) -> Duration {
    config.ping_timeout * 4 + config.link_interval
}

#[test]
fn an_answer_that_fits_no_question_is_counted_and_a_posting_that_got_none_fails() {
    let mut alone = Alone::new(&Config::local());
    let request = requests(&alone.post(1, Ways::Connected))[0];
    let body = Answer::Records(Vec::new());
    let out = alone.give(Input::Response { request, body });
    assert_eq!((failed(&out), alone.counted()), (vec![(1, false)], (1, 0)));
    let body = Answer::Above(vec![]);
    let out = alone.give(Input::Response { request, body });
    assert_eq!((out.len(), alone.counted()), (0, (1, 1)), "it is answered already");
    alone.command(Command::Join { bootstrap: Vec::new() });
    let request = requests(&alone.post(2, Ways::Connected))[0];
    let body = Answer::Above(vec![9]);
    let out = alone.give(Input::Response { request, body });
    let [Output::Event(Event::Answered { posting: answered, .. })] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(*answered, posting(2));
    assert_eq!(alone.size("postings").size, 0);
}

#[test]
fn what_is_open_is_bounded_and_the_oldest_fails_for_it() {
    let config = Config {
        max_posts: 4,
        ..Config::local()
    };
    let mut alone = Alone::new(&config);
    for post in 1..=4 {
        assert_eq!(failed(&alone.post(post, Ways::Connected)), []);
    }
    assert_eq!(alone.size("postings"), Bounded::new("postings", 4, 4));
    assert_eq!(failed(&alone.post(5, Ways::Connected)), [(1, false)]);
    assert_eq!(alone.size("postings"), Bounded::new("postings", 4, 4));
    for post in 6..200 {
        alone.post(post, Ways::Connected);
        assert!(alone.overlay.bounds().iter().all(Bounded::holds), "{post}");
    }
}

/// A posting over every way has three ends: itself, its direct question and the number of its copies.
#[test]
fn room_is_made_for_all_that_a_posting_opens() {
    let config = Config {
        max_posts: 1,
        ..Config::local()
    };
    let mut alone = Alone::new(&config);
    for round in 0..4 {
        alone.post(round.into(), Ways::Every { round });
        assert!(alone.overlay.bounds().iter().all(Bounded::holds), "{round}");
    }
}

#[test]
fn a_posting_that_is_never_answered_fails_in_its_time() {
    let config = Config::local();
    let mut alone = Alone::new(&config);
    alone.post(1, Ways::Connected);
    assert_eq!(alone.overlay.deadline(), Some(Time::ZERO + lifetime(&config)));
    alone.now = Time::ZERO + SECOND;
    alone.post(2, Ways::Connected);
    assert_eq!(alone.overlay.deadline(), Some(Time::ZERO + lifetime(&config)));
    alone.now = Time::ZERO + (lifetime(&config) - Duration::from_millis(1));
    assert_eq!(failed(&alone.give(Input::Wake)), []);
    alone.now = Time::ZERO + lifetime(&config);
    assert_eq!(failed(&alone.give(Input::Wake)), [(1, false)]);
    assert_eq!(alone.overlay.deadline(), Some(Time::ZERO + SECOND + lifetime(&config)));
}

/// A posting over a connection that is not there fails at once; where others are dialled, it matters whether anybody knows the peer.
#[test]
fn a_posting_fails_as_unknown_only_if_nobody_has_an_address() {
    let mut alone = Alone::new(&Config::local());
    alone.command(Command::Join { bootstrap: Vec::new() });
    let request = requests(&alone.post(1, Ways::Direct))[0];
    let failures = Vec::new();
    let out = alone.give(Input::RequestFailed { request, failures });
    assert_eq!(
        failed(&out),
        [(1, true)],
        "there was nowhere to dial, and there is nobody to ask"
    );
    let addresses = vec![address(2)];
    alone.command(Command::Introduce {
        peer: peer(2),
        addresses,
    });
    let request = requests(&alone.post(2, Ways::Connected))[0];
    let failures = Vec::new();
    let out = alone.give(Input::RequestFailed { request, failures });
    assert_eq!(failed(&out), [(2, false)], "nobody is dialled for it");
    let request = requests(&alone.post(3, Ways::Direct))[0];
    let failures = vec![(address(2), DialFailure::Timeout)];
    let out = alone.give(Input::RequestFailed { request, failures });
    assert_eq!(
        failed(&out),
        [(3, false)],
        "it may have moved, and there is nobody to ask"
    );
}

#[test]
fn a_record_that_is_not_the_askers_own_is_garbage() {
    let mut alone = Alone::new(&Config::local());
    alone.command(Command::Join { bootstrap: Vec::new() });
    let own = record(2, 1, &[address(2)]);
    assert!(matches!(alone.asked(OneShot::Leaves(own)), Answer::Records(records) if records.len() == 1));
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(2)]);
    let others = record(3, 1, &[address(3)]);
    assert_eq!(alone.asked(OneShot::Leaves(others)), Answer::Nothing);
    assert_eq!(alone.counted(), (1, 0));
    let forged = PeerRecord {
        peer: peer(2),
        addresses: vec![address(9)],
        sequence: 9,
    };
    let forged = SignedRecord::sign(forged, &keypair(3));
    assert_eq!(alone.asked(OneShot::Leaves(forged)), Answer::Nothing);
    assert_eq!(alone.counted(), (2, 0));
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(2)]);
}

#[test]
fn who_has_no_place_knows_no_leaves() {
    let mut alone = Alone::new(&Config::local());
    assert_eq!(
        alone.asked(OneShot::Leaves(record(2, 1, &[]))),
        Answer::Records(Vec::new())
    );
    assert_eq!(alone.asked(OneShot::Locate(peer(9))), Answer::Records(Vec::new()));
    let own = alone.overlay.record().clone();
    assert_eq!(alone.asked(OneShot::Locate(peer(1))), Answer::Records(vec![own]));
    assert_eq!(alone.asked(OneShot::Suspect(peer(9))), Answer::Nothing);
}

/// "Own word first, then hearsay", each address once, the newest told first, and `max_addresses` in all.
#[test]
fn told_addresses_come_after_a_peers_own_and_are_bounded() {
    let config = Config {
        max_addresses: 3,
        ..Config::local()
    };
    let mut alone = Alone::new(&config);
    let tell = |alone: &mut Alone, addresses: &[usize]| {
        let addresses = addresses.iter().map(|at| address(*at)).collect();
        alone.command(Command::Introduce {
            peer: peer(2),
            addresses,
        });
    };
    tell(&mut alone, &[1, 2]);
    tell(&mut alone, &[2, 3]);
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(3), address(2), address(1)]);
    tell(&mut alone, &[4]);
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(4), address(3), address(2)]);
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(2000)).parse().expect("an address");
    alone.command(Command::Introduce {
        peer: peer(2),
        addresses: vec![long],
    });
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(4), address(3), address(2)]);
    alone.asked(OneShot::Leaves(record(2, 1, &[address(9)])));
    assert_eq!(alone.overlay.addresses(&peer(2)), [address(9), address(4), address(3)]);
}

#[test]
fn beyond_the_limit_who_was_introduced_first_is_forgotten() {
    let mut alone = Alone::new(&Config::local());
    let stranger = |n: u64| {
        let mut seed = [5; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        Keypair::ed25519_from_bytes(seed)
            .expect("32 bytes")
            .public()
            .to_peer_id()
    };
    let introduce = |alone: &mut Alone, n: u64| {
        alone.command(Command::Introduce {
            peer: stranger(n),
            addresses: vec![address(1)],
        })
    };
    let known = |alone: &Alone, n: u64| !alone.overlay.addresses(&stranger(n)).is_empty();
    let limit = alone.size("introduced peers").limit as u64;
    for n in 0..limit {
        introduce(&mut alone, n);
    }
    introduce(&mut alone, limit - 1);
    assert!((0..limit).all(|n| known(&alone, n)), "one that is known needs no place");
    introduce(&mut alone, limit);
    assert!(!known(&alone, 0) && (1..=limit).all(|n| known(&alone, n)));
}

#[test]
fn a_peer_that_stops_answers_no_more() {
    let mut alone = Alone::new(&Config::local());
    alone.command(Command::Join { bootstrap: Vec::new() });
    alone.command(Command::Shutdown);
    assert_eq!(alone.overlay.deadline(), None);
    let out = alone.give(Input::Request {
        request: RequestId(1),
        peer: peer(2),
        body: OneShot::Row(0),
    });
    assert_eq!(out.len(), 0);
    assert_eq!(alone.post(1, Ways::Connected).len(), 0);
}

/// "Frame at most 64 KiB" (protocol.md §7).
#[test]
fn a_frame_has_64_kib() {
    assert_eq!(MAX_FRAME, 65_536);
}

/// Nothing that can grow is left out of what a checker looks at.
#[test]
fn every_collection_has_a_bound() {
    let alone = Alone::new(&Config::local());
    let bounds = alone.overlay.bounds();
    assert!(bounds.len() >= 20, "{bounds:?}");
    assert!(bounds.iter().all(Bounded::holds));
    assert_eq!(alone.size("timers of the overlay").limit, 3);
    assert!(alone.overlay.link_to(&peer(2)).is_none());
}

/// What a dial for a posting finds at a proven address counts like any other dial.
#[test]
fn a_posting_that_is_refused_at_a_proven_address_proves_a_death() {
    let mut alone = Alone::new(&Config::local());
    alone.command(Command::Join { bootstrap: Vec::new() });
    alone.give(Input::Verified {
        peer: peer(2),
        address: address(2),
    });
    let refuse = |alone: &mut Alone, at: usize, failures: bool| {
        let request = requests(&alone.post(at as u64, Ways::Connected))[0];
        let failures = match failures {
            true => vec![(address(at), DialFailure::Refused)],
            false => Vec::new(),
        };
        let out = alone.give(Input::RequestFailed { request, failures });
        out.iter()
            .any(|output| matches!(output, Output::Event(Event::PeerDead { peer: dead, .. }) if *dead == peer(2)))
    };
    assert!(!refuse(&mut alone, 2, false), "nobody was dialled");
    assert!(!refuse(&mut alone, 3, true), "nobody has answered there before");
    assert!(refuse(&mut alone, 2, true));
}
