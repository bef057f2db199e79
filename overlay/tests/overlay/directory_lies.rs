//! Hostile words about the directory: forged, foreign, too large, too many. Each is refused and counted, and changes nothing.

use fatebound_overlay::directory::message::{Aged, Question, Reply};
use fatebound_overlay::directory::{Entry, Found, Kind, Name, Order, Record, Refusal};
use fatebound_overlay::message::{Answer, OneShot};
use fatebound_overlay::{Bounded, Config, Input, Key, Keypair, Output, PeerId, RequestId};

use crate::directory::{find, name, publication, publish};
use crate::driver::{Alone, hello, keypair, peer};
use crate::net::Net;
use crate::{SECOND, formed};

/// The first of a ring, with two neighbours that have a place; settled.
fn keeper(config: &Config) -> Alone {
    let mut alone = Alone::among(config, &[2, 3]);
    alone.run(SECOND * 5);
    alone
}

fn record_of(publisher: PeerId, text: &str) -> Record {
    Record {
        name: name(text),
        order: Order {
            incarnation: 1,
            view: 1,
        },
        number: 1,
        publisher,
        signers: vec![publisher],
        lifetime: 600_000,
        tombstone: false,
        body: b"here".to_vec(),
    }
}

fn signed(keypair: &Keypair, record: Record) -> Entry {
    Entry::sign(record, &Config::local().network, keypair)
}

/// What the keeper answers when this peer asks it directly.
fn ask(alone: &mut Alone, from: PeerId, question: Question) -> Reply {
    let request = RequestId(99);
    let body = OneShot::Directory(Box::new(question));
    let peer = from;
    let out = alone.give(Input::Request { request, peer, body });
    let answer = out.into_iter().find_map(|output| match output {
        Output::Respond {
            body: Answer::Directory(reply),
            ..
        } => Some(*reply),
        _ => None,
    });
    answer.expect("an answer")
}

fn publish_to(alone: &mut Alone, from: PeerId, entry: Entry) -> Reply {
    ask(alone, from, Question::Publish(Box::new(entry)))
}

const MALFORMED: Reply = Reply::Refused(Refusal::Malformed);

#[test]
fn what_is_forged_foreign_or_too_large_is_refused_and_counted() {
    let mut alone = keeper(&Config::local());
    let good = record_of(peer(2), "db");
    let mut large = good.clone();
    large.body = vec![0; 2049];
    let mut crowded = good.clone();
    crowded.signers = vec![peer(2); 17];
    let mut foreign = good.clone();
    foreign.signers = vec![peer(3)];
    let mut nameless = good.clone();
    nameless.name = Name::new(Kind::TEXT, "");
    let hostile = [
        (peer(2), signed(&keypair(4), good.clone())),
        (peer(4), signed(&keypair(2), good.clone())),
        (peer(2), signed(&keypair(2), large)),
        (peer(2), signed(&keypair(2), crowded)),
        (peer(2), signed(&keypair(2), foreign)),
        (peer(2), signed(&keypair(2), nameless)),
        (peer(2), Entry::sign(good.clone(), "another network", &keypair(2))),
    ];
    let before = alone.counted().0;
    for (at, (from, entry)) in hostile.into_iter().enumerate() {
        assert_eq!(publish_to(&mut alone, from, entry), MALFORMED, "{at}");
        assert_eq!(alone.counted().0, before + at as u64 + 1, "{at}");
    }
    assert_eq!(alone.overlay.directory().records, 0);
    assert_eq!(
        publish_to(&mut alone, peer(2), signed(&keypair(2), good)),
        Reply::Stored
    );
}

/// Rule `directory-signers`.
#[test]
fn a_wrong_signer_replaces_nothing_however_late_it_says_it_is() {
    let mut alone = keeper(&Config::local());
    let first = signed(&keypair(2), record_of(peer(2), "db"));
    assert_eq!(publish_to(&mut alone, peer(2), first.clone()), Reply::Stored);
    let mut late = record_of(peer(4), "db");
    (late.order.incarnation, late.signers) = (u32::MAX, vec![peer(4), peer(2)]);
    let refused = Reply::Other(Box::new(first.clone()));
    assert_eq!(publish_to(&mut alone, peer(4), signed(&keypair(4), late)), refused);
    assert_eq!(
        ask(&mut alone, peer(4), Question::Find(name("db"))),
        Reply::Record(Box::new(first))
    );
}

#[test]
fn a_flood_of_identities_fills_what_there_is_room_for_and_no_more() {
    let mut config = Config::local();
    config.directory.max_records = 50;
    config.directory.max_per_publisher = 3;
    config.directory.max_claims = 20;
    let mut alone = keeper(&config);
    let first = signed(&keypair(2), record_of(peer(2), "db"));
    assert_eq!(publish_to(&mut alone, peer(2), first.clone()), Reply::Stored);
    for n in 0..300_u32 {
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&(n / 5).to_be_bytes());
        let hostile = Keypair::ed25519_from_bytes(seed).expect("32 bytes");
        let from = hostile.public().to_peer_id();
        publish_to(&mut alone, from, signed(&hostile, record_of(from, &format!("{n}"))));
        let claim = Question::Claim {
            name: name(&format!("claim {n}")),
            nonce: n.into(),
        };
        ask(&mut alone, from, claim);
        let broken: Vec<Bounded> = alone
            .overlay
            .bounds()
            .into_iter()
            .filter(|bound| !bound.holds())
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
    assert_eq!(alone.size("directory records").size, 50);
    assert_eq!(alone.size("directory records of a publisher").size, 3);
    assert_eq!(alone.size("directory claims").size, 20);
    assert!(alone.counted().1 >= 400, "refused and counted: {:?}", alone.counted());
    let found = ask(&mut alone, peer(3), Question::Find(name("db")));
    assert_eq!(found, Reply::Record(Box::new(first)), "what is there stays");
    alone.run(config.directory.lifetime() * 3);
    assert_eq!(alone.overlay.directory().records, 0);
    assert_eq!(alone.size("timers of the directory").size, 0);
}

/// Rule `directory-leaves-hand-over`.
#[test]
fn only_a_leaf_hands_over() {
    let mut alone = keeper(&Config::local());
    let entry = signed(&keypair(9), record_of(peer(9), "db"));
    let handed = Question::Handover(vec![Aged { entry, age: 5 }]);
    let refused = Reply::Refused(Refusal::NotNear);
    assert_eq!(ask(&mut alone, peer(9), handed.clone()), refused);
    assert_eq!(ask(&mut alone, peer(9), Question::Offer(Vec::new())), refused);
    assert_eq!(alone.overlay.directory().records, 0);
    assert_eq!(ask(&mut alone, peer(2), handed), Reply::Handed(Vec::new()));
    assert_eq!(alone.overlay.directory().records, 1);
}

#[test]
fn a_leaf_that_lies_hands_over_nothing_that_is_not_signed() {
    let mut alone = keeper(&Config::local());
    let forged = signed(&keypair(2), record_of(peer(9), "db"));
    let before = alone.counted().0;
    let handed = Question::Handover(vec![Aged { entry: forged, age: 0 }]);
    assert_eq!(ask(&mut alone, peer(2), handed), Reply::Handed(Vec::new()));
    assert_eq!((alone.overlay.directory().records, alone.counted().0), (0, before + 1));
    let offered = vec![(name("x").key("y"), 1); 513];
    assert_eq!(ask(&mut alone, peer(2), Question::Offer(offered)), MALFORMED);
}

#[test]
fn who_has_no_place_keeps_nothing() {
    let mut alone = Alone::new(&Config::local());
    alone.neighbour(hello(2, true));
    let entry = signed(&keypair(2), record_of(peer(2), "db"));
    assert_eq!(publish_to(&mut alone, peer(2), entry), Reply::Refused(Refusal::NotNear));
}

/// What a keeper shows under a name counts if its publisher has signed it, for this name; and a liar that stands nearest keeps nobody from
/// asking the others.
#[test]
fn a_liar_that_stands_nearest_is_passed_over() {
    let mut net: Net = formed(Config::local(), 12);
    net.run(SECOND * 6);
    publish(&mut net, 1, publication("db", (1, 0), "here")).expect("published");
    let key = name("db").key(&net.config.network);
    let nearest = (0..12).min_by_key(|at| Key::of(&net.nodes[*at].peer).ring_distance(&key));
    let liar = nearest.expect("one of twelve");
    for lie in [
        signed(&keypair(9), record_of(peer(8), "db")),
        signed(&keypair(8), record_of(peer(8), "other")),
    ] {
        net.directory_lie = Some((liar, lie));
        let asker = (0..12).find(|at| *at != liar && *at != 1).expect("somebody");
        let garbage = net.nodes[asker].overlay.counters().garbage;
        let found = find(&mut net, asker, "db");
        let Found::Record(entry) = found else {
            panic!("{found:?}");
        };
        assert_eq!(entry.record().publisher, net.nodes[1].peer);
        assert!(
            net.nodes[asker].overlay.counters().garbage > garbage,
            "and it is counted"
        );
    }
}
