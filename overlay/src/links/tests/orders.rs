//! Orders one by one: what they make of the links, whom they dial and when, and what is left of a peer afterwards.

use std::time::Duration;

use multiaddr::Multiaddr;

use super::super::{Input, Output};
use super::by_hand::{connected, dials, failed, pings, verified, wake, want};
use super::harness::{Door, Net};
use crate::message::Message;
use crate::{Bounded, Config, DeathProof, DialFailure, DisconnectCause, Event, JointSet, LinkId, Opener, Session};

const SECOND: Duration = Duration::from_secs(1);

fn size(net: &Net, host: usize, what: &str) -> Bounded {
    let bounds = net.hosts[host].links.bounds();
    *bounds
        .iter()
        .find(|bounded| bounded.what == what)
        .expect("such a bound")
}

/// Peers that host 0 has something to do with.
fn remembered(net: &Net) -> usize {
    size(net, 0, "dials to come").limit
}

fn elsewhere() -> Multiaddr {
    "/ip4/10.9.9.9/tcp/1".parse().expect("an address")
}

#[test]
fn a_wanted_peer_is_dialled_once_at_a_time_and_again_after_a_pause() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    assert_eq!(dials(&net.outputs(0, want(&net, 1))), [(addresses.clone(), false)]);
    assert_eq!(dials(&net.outputs(0, want(&net, 1))), [], "it is being dialled");
    let out = net.outputs(0, failed(&net, 1, DialFailure::Refused));
    assert!(
        matches!(&out[..], [Output::Unreachable { peer: gone }] if *gone == peer),
        "{out:?}"
    );
    assert_eq!(dials(&net.outputs(0, want(&net, 1))), [], "not before its time");
    let before = net.now;
    assert_eq!(dials(&wake(&mut net)), [(addresses, false)]);
    let (first, _) = Config::lan().retry_pause;
    assert!((first / 2..=first).contains(&net.now.since(before)));
    assert_eq!(remembered(&net), 1);
    net.outputs(0, failed(&net, 1, DialFailure::Refused));
    net.outputs(0, Input::Unwant { peer });
    assert_eq!(remembered(&net), 0, "nothing is left to do with it");
}

#[test]
fn a_dial_that_never_ends_is_given_up_after_30_s() {
    for wanted in [true, false] {
        let mut net = Net::new(2, Config::lan());
        let (peer, addresses) = net.place(1);
        let order = match wanted {
            true => want(&net, 1),
            false => Input::Link { peer, addresses },
        };
        assert_eq!(dials(&net.outputs(0, order)).len(), 1);
        let before = net.now;
        assert_eq!(dials(&wake(&mut net)).len(), 1, "another one");
        assert_eq!(net.now.since(before), SECOND * 30);
        if wanted {
            net.outputs(0, Input::Unwant { peer });
            assert_eq!(remembered(&net), 1, "it is being dialled");
            assert_eq!(dials(&wake(&mut net)), [], "for nobody");
            assert_eq!(remembered(&net), 0);
        }
    }
}

#[test]
fn a_link_that_was_asked_for_once_fails_once() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    assert_eq!(dials(&net.outputs(0, Input::Link { peer, addresses })).len(), 1);
    let out = net.outputs(0, failed(&net, 1, DialFailure::Timeout));
    assert!(matches!(&out[..], [Output::Event(Event::LinkFailed { .. })]), "{out:?}");
    assert_eq!(remembered(&net), 0);
    let (ours, addresses) = net.place(0);
    let out = net.outputs(0, Input::Link { peer: ours, addresses });
    assert!(
        matches!(&out[..], [Output::Event(Event::LinkFailed { .. })]),
        "no link to oneself"
    );
    assert_eq!(net.outputs(0, want(&net, 0)).len(), 0);
    assert_eq!(remembered(&net), 0);
}

/// A failure at other addresses is about somebody else's dial of the same peer.
#[test]
fn only_its_own_failure_ends_a_dial() {
    let mut net = Net::new(2, Config::lan());
    net.outputs(0, want(&net, 1));
    let other = Input::DialFailed {
        peer: Some(net.hosts[1].peer),
        failures: vec![(elsewhere(), DialFailure::Timeout)],
    };
    assert_eq!(net.outputs(0, other).len(), 0);
    assert_eq!(net.outputs(0, failed(&net, 1, DialFailure::Timeout)).len(), 1);
    let nobody = Input::DialFailed {
        peer: None,
        failures: Vec::new(),
    };
    assert!(matches!(&net.outputs(0, nobody)[..], [Output::BootstrapFailed { .. }]));
}

/// "The first dial for a broken link goes to the proven addresses alone", over a new connection; later ones go everywhere.
#[test]
fn a_broken_link_is_dialled_first_where_its_peer_has_answered() {
    let mut net = Net::pair();
    let proven = net.hosts[1].address.clone();
    let hearsay = Input::Want {
        peer: net.hosts[1].peer,
        addresses: vec![elsewhere()],
    };
    assert_eq!(dials(&net.outputs(0, hearsay)), []);
    let session = net.link(0, 1).unwrap().session.unwrap();
    let cause = DisconnectCause::Lost;
    let out = net.outputs(0, Input::Disconnected { session, cause });
    assert_eq!(dials(&out), [(vec![proven.clone()], true)]);
    let out = net.outputs(0, failed(&net, 1, DialFailure::Timeout));
    assert_eq!(dials(&out), []);
    let missed = net.hosts[0].links.counters().pings_missed;
    assert!(missed > 0, "a dial that failed counts as a missed answer");
    let again = (0..20).map(|_| dials(&wake(&mut net))).find(|dials| !dials.is_empty());
    assert_eq!(again, Some(vec![(vec![proven, elsewhere()], true)]));
    let missed = net.hosts[0].links.counters().pings_missed;
    let failed = Input::DialFailed {
        peer: Some(net.hosts[1].peer),
        failures: vec![(elsewhere(), DialFailure::Timeout)],
    };
    net.outputs(0, failed);
    assert_eq!(net.hosts[0].links.counters().pings_missed, missed + 1);
}

/// "Or the other end might say goodbye to a link that it thinks nobody wants."
#[test]
fn who_is_wanted_now_hears_it_at_once_and_only_once() {
    let mut net = Net::pair();
    let peer = net.hosts[1].peer;
    assert_eq!(pings(&net.outputs(0, want(&net, 1))), 0, "it was wanted before");
    net.outputs(0, Input::Unwant { peer });
    assert_eq!(pings(&net.outputs(0, want(&net, 1))), 1);
    assert_eq!(pings(&net.outputs(0, want(&net, 1))), 0);
}

#[test]
fn addresses_are_verified_one_after_the_other() {
    let mut net = Net::new(2, Config::lan());
    let (peer, mut addresses) = net.place(1);
    let prove = |addresses: &[Multiaddr]| Input::ProveAddress {
        peer,
        addresses: addresses.to_vec(),
    };
    assert_eq!(net.outputs(0, prove(&[])).len(), 0);
    let ours = Input::ProveAddress {
        peer: net.hosts[0].peer,
        addresses: addresses.clone(),
    };
    assert_eq!(net.outputs(0, ours).len(), 0);
    addresses.push(elsewhere());
    assert_eq!(verified(&net.outputs(0, prove(&addresses))), addresses[..1]);
    assert_eq!(verified(&net.outputs(0, prove(&addresses))), [], "it is under way");
    assert_eq!(
        verified(&net.outputs(0, failed(&net, 1, DialFailure::Timeout))),
        addresses[1..]
    );
    let last = Input::DialFailed {
        peer: Some(peer),
        failures: vec![(elsewhere(), DialFailure::Timeout)],
    };
    assert_eq!(net.outputs(0, last).len(), 0);
    assert_eq!(
        verified(&net.outputs(0, prove(&addresses))),
        addresses[..1],
        "from the beginning"
    );
}

/// "What a peer proved with whom we have neither link nor session may be about a life that is over."
#[test]
fn what_a_stranger_has_proven_is_proven_again_once_in_a_while() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    let prove = || Input::ProveAddress {
        peer,
        addresses: addresses.clone(),
    };
    let answers = |net: &mut Net| {
        let address = addresses[0].clone();
        net.outputs(0, Input::Verified { peer, address });
    };
    assert_eq!(verified(&net.outputs(0, prove())).len(), 1);
    answers(&mut net);
    assert_eq!(verified(&net.outputs(0, prove())).len(), 1, "it may be another life");
    answers(&mut net);
    assert_eq!(verified(&net.outputs(0, prove())).len(), 0, "that was a moment ago");
    net.now += Config::lan().link_interval;
    assert_eq!(verified(&net.outputs(0, prove())).len(), 1);
    let mut pair = Net::pair();
    pair.now += Config::lan().link_interval;
    let (peer, addresses) = pair.place(1);
    let out = pair.outputs(0, Input::ProveAddress { peer, addresses });
    assert_eq!(verified(&out), [], "a link knows whose life it is");
}

/// One failure ends one of them.
#[test]
fn a_dial_goes_on_when_the_verification_of_the_same_address_fails() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    let link = Input::Link {
        peer,
        addresses: addresses.clone(),
    };
    assert_eq!(dials(&net.outputs(0, link)).len(), 1);
    assert_eq!(
        verified(&net.outputs(0, Input::ProveAddress { peer, addresses })).len(),
        1
    );
    assert_eq!(net.outputs(0, failed(&net, 1, DialFailure::Timeout)).len(), 0);
    let out = net.outputs(0, failed(&net, 1, DialFailure::Timeout));
    assert!(matches!(&out[..], [Output::Event(Event::LinkFailed { .. })]), "{out:?}");
}

/// Its life is known, whatever carries the link at the moment.
#[test]
fn what_a_peer_has_proven_stays_while_there_is_a_link_or_a_session() {
    let prove = |net: &Net| {
        let (peer, addresses) = net.place(1);
        Input::ProveAddress { peer, addresses }
    };
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    let address = addresses[0].clone();
    net.outputs(0, Input::Verified { peer, address });
    net.outputs(0, connected(&net, Session(9), 1, Opener::Them));
    assert_eq!(verified(&net.outputs(0, prove(&net))), [], "a session and no link");

    let mut net = Net::pair();
    let session = net.link(0, 1).unwrap().session.unwrap();
    let cause = DisconnectCause::Lost;
    net.outputs(0, Input::Disconnected { session, cause });
    assert_eq!(verified(&net.outputs(0, prove(&net))), [], "a link and no session");
    let out = net.outputs(0, failed(&net, 1, DialFailure::Refused));
    let dead = |output: &Output| {
        let proof = DeathProof::Refused;
        matches!(output, Output::Event(Event::PeerDead { proof: found, .. }) if *found == proof)
    };
    assert!(out.iter().any(dead), "{out:?}");
}

#[test]
fn orders_for_what_is_gone_are_counted() {
    let mut net = Net::pair();
    let link = LinkId(4711);
    let (body, joint) = (vec![1], JointSet::default());
    let before = net.hosts[0].links.counters().dropped;
    let orders = [
        Input::Operate {
            link,
            body: body.clone(),
        },
        Input::Tell { link, body },
        Input::JointSet { link, joint },
        Input::GiveUp { link },
        Input::Received {
            session: Session(4711),
            message: Message::Tell(vec![1]),
        },
    ];
    for (number, order) in (1..).zip(orders) {
        assert_eq!(net.outputs(0, order.clone()).len(), 0, "{order:?}");
        assert_eq!(net.hosts[0].links.counters().dropped, before + number, "{order:?}");
    }
}

/// "The two ends do not agree above: the link is down as if it were silent", for both, and is founded anew.
#[test]
fn a_link_that_is_given_up_is_down_for_both_and_comes_back() {
    let mut net = Net::pair();
    let link = net.id(0, 1);
    net.input(0, Input::GiveUp { link });
    net.run(SECOND * 5);
    assert_eq!(net.downs(0), [crate::DownReason::Silent]);
    assert_eq!(net.downs(1), [crate::DownReason::Closed]);
    assert_eq!((net.ups(0), net.ups(1)), (2, 2));
    assert!(net.agree(0, 1));
    assert_eq!(net.hosts[0].links.counters().links_lost, 1);
}

/// What is proven of a life goes with it.
#[test]
fn a_dead_peer_has_proven_nothing() {
    let mut net = Net::pair();
    assert_eq!(net.hosts[0].links.proven(&net.hosts[1].peer).len(), 1);
    net.input(1, Input::Shutdown);
    net.run(SECOND);
    assert_eq!(net.proofs(0).len(), 1);
    assert_eq!(net.hosts[0].links.proven(&net.hosts[1].peer).len(), 0);
}

#[test]
fn everything_about_links_has_a_bound() {
    let names = |net: &Net| -> Vec<&str> { net.hosts[0].links.bounds().iter().map(|bounded| bounded.what).collect() };
    let always = [
        "links",
        "peers with nothing left to do",
        "peers of other times",
        "timers of links",
        "dials to come",
        "sessions",
        "sessions with a peer",
        "sessions that a Hello lists",
        "neighbours that a Hello lists",
        "contacts",
        "addresses of a contact",
        "peers whose life has changed",
        "lives of a peer that gave way",
    ];
    assert_eq!(names(&Net::new(1, Config::lan())), always);
    let mut net = Net::pair();
    let of_a_link = [
        "operations of a link",
        "bytes of operations of a link",
        "operations in flight on a link",
        "unanswered pings of a link",
        "neighbours of a neighbour",
    ];
    assert_eq!(names(&net), [&always[..], &of_a_link].concat());
    assert_eq!(
        size(&net, 0, "links").limit,
        Config::lan().max_links + 1,
        "wanted ones come on top"
    );
    assert_eq!(size(&net, 0, "peers with nothing left to do").size, 0);
    for _ in 0..3 {
        net.operate(0, 1, 7);
    }
    assert_eq!(size(&net, 0, "operations of a link").size, 3);
}

/// Three sessions more for each peer that we have something to do with: wanted, asked for, dialled or linked.
#[test]
fn sessions_are_bounded_by_who_is_expected() {
    let mut net = Net::new(3, Config::lan());
    let limit = |net: &Net| size(net, 0, "sessions").limit;
    let nobody = limit(&net);
    assert_eq!(
        nobody,
        2 * 256 + 64 + 3 * 64,
        "strangers, and three for each bootstrap address"
    );
    let (peer, addresses) = net.place(1);
    net.hosts[1].door = Door::BlackHole;
    net.outputs(0, Input::Link { peer, addresses });
    assert_eq!(limit(&net), nobody + 3, "asked for");
    net.outputs(0, want(&net, 2));
    assert_eq!(limit(&net), nobody + 6, "wanted");
    let peer = net.hosts[2].peer;
    net.outputs(0, Input::Unwant { peer });
    assert_eq!(limit(&net), nobody + 6, "dialled");
    net.outputs(0, failed(&net, 2, DialFailure::Timeout));
    assert_eq!(limit(&net), nobody + 3);
    let mut pair = Net::pair();
    let peer = pair.hosts[1].peer;
    pair.outputs(0, Input::Unwant { peer });
    assert_eq!(limit(&pair), nobody + 3, "linked");
}

/// "Once for all changes of two `ping_timeout`s."
#[test]
fn neighbours_hear_of_a_change_two_ping_timeouts_later() {
    let mut net = Net::new(3, Config::lan());
    net.want(0, 1);
    net.run(SECOND * 20);
    net.want(0, 2);
    net.run(SECOND / 2);
    assert!(net.agree(0, 2));
    let knows = |net: &Net| net.link(1, 0).unwrap().neighbours().contains(&net.hosts[2].peer);
    let told = Config::lan().ping_timeout * 2;
    net.run(told - SECOND * 6 / 10);
    assert!(!knows(&net), "too early");
    net.run(SECOND);
    assert!(knows(&net));
}

/// A bootstrap address that leads back to us is given up.
#[test]
fn a_connection_to_ourselves_is_closed_and_its_address_is_no_use() {
    let mut net = Net::new(1, Config::lan());
    let (peer, session, address) = (net.hosts[0].peer, Session(9), elsewhere());
    let connected = |address| Input::Connected {
        session,
        peer,
        opener: Opener::Us,
        address,
    };
    let out = net.outputs(0, connected(Some(address.clone())));
    let [
        Output::Disconnect { session: closed },
        Output::BootstrapFailed { failures },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(
        (*closed, &failures[..]),
        (session, &[(address, DialFailure::WrongPeer)][..])
    );
    assert!(matches!(
        net.outputs(0, connected(None))[..],
        [Output::Disconnect { .. }]
    ));
}
