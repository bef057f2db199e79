//! The directory among overlays in virtual time: what is published is found, whoever comes and goes (protocol.md §3.1).

use std::time::Duration;

use fatebound_overlay::directory::message::{Aged, Question as Asked};
use fatebound_overlay::directory::{
    Claimed, Command as Order, Entry, Event as Told, Found, Kind, Name, NotPublished, Order as Later, Publication,
    Record, Ticket,
};
use fatebound_overlay::message::OneShot;
use fatebound_overlay::{Bounded, Command, Config, Event, Input, Key, PeerId, RequestId};

use crate::driver::{Alone, keypair, peer, question};
use crate::net::Net;
use crate::{SECOND, formed};

pub fn name(text: &str) -> Name {
    Name::new(Kind::TEXT, text)
}

/// What node `at` has to say under a name.
pub fn publication(text: &str, order: (u32, u64), body: &str) -> Publication {
    Publication {
        name: name(text),
        order: Later {
            incarnation: order.0,
            view: order.1,
        },
        signers: Vec::new(),
        tombstone: false,
        body: body.into(),
    }
}

fn told(net: &Net, at: usize) -> impl Iterator<Item = &Told> {
    net.events(at).filter_map(|event| match event {
        Event::Directory(told) => Some(told),
        _ => None,
    })
}

/// Kept by those who stand nearest, by four of the five if one of them cannot see the key between its leaves; and by nobody but the four on
/// either side of it.
fn assert_kept(net: &Net, text: &str) {
    let (keepers, nearest) = (keepers(net, text), nearest(net, text));
    let of_five = nearest.iter().filter(|at| keepers.contains(at)).count();
    assert!(of_five + 1 >= nearest.len(), "{keepers:?} of {nearest:?}");
    assert!(
        keepers.len() <= 2 * net.config.leaves_per_side,
        "{keepers:?}, not {nearest:?}"
    );
}

/// Gives an order and waits for the event that answers it.
fn answer<T>(
    net: &mut Net,
    at: usize,
    order: impl FnOnce(Ticket) -> Order,
    pick: impl Fn(&Told, Ticket) -> Option<T>,
) -> T {
    let ticket = Ticket(net.nodes[at].events.len() as u64 + 1000);
    let command = Command::Directory(order(ticket));
    net.command(at, command);
    let limit = net.config.ping_timeout * 10;
    let took = net.run_until(limit, |net| told(net, at).any(|told| pick(told, ticket).is_some()));
    assert!(took.is_some(), "no answer within {limit:?}: {}", net.describe());
    let found = told(net, at).find_map(|told| pick(told, ticket));
    found.expect("it was there")
}

pub fn publish(net: &mut Net, at: usize, publication: Publication) -> Result<(), NotPublished> {
    let order = |ticket| Order::Publish { ticket, publication };
    answer(net, at, order, |told, wanted| match told {
        Told::Published { ticket, .. } if *ticket == wanted => Some(Ok(())),
        Told::NotPublished { ticket, why, .. } if *ticket == wanted => Some(Err(why.clone())),
        _ => None,
    })
}

pub fn find(net: &mut Net, at: usize, text: &str) -> Found {
    let order = |ticket| Order::Find {
        ticket,
        name: name(text),
    };
    answer(net, at, order, |told, wanted| match told {
        Told::Found { ticket, outcome, .. } if *ticket == wanted => Some(outcome.clone()),
        _ => None,
    })
}

fn claim(net: &mut Net, at: usize, text: &str) -> Claimed {
    let order = |ticket| Order::Claim {
        ticket,
        name: name(text),
    };
    answer(net, at, order, claimed)
}

fn claimed(told: &Told, wanted: Ticket) -> Option<Claimed> {
    match told {
        Told::Claimed { ticket, outcome, .. } if *ticket == wanted => Some(outcome.clone()),
        _ => None,
    }
}

fn body(found: &Found) -> Option<String> {
    match found {
        Found::Record(entry) => Some(String::from_utf8_lossy(&entry.record().body).into_owned()),
        _ => None,
    }
}

/// Every living node finds this.
fn found_everywhere(net: &mut Net, text: &str, wanted: &str) {
    for at in net.everybody() {
        if net.nodes[at].alive {
            let found = find(net, at, text);
            assert_eq!(body(&found).as_deref(), Some(wanted), "{at} found {found:?}");
        }
    }
}

/// The living nodes that keep a record, the nearest to its key first.
fn keepers(net: &Net, text: &str) -> Vec<usize> {
    let name = name(text);
    let key = name.key(&net.config.network);
    let keeps = |at: &usize| net.nodes[*at].alive && net.nodes[*at].overlay.directory_record(&name).is_some();
    let mut found: Vec<usize> = net.everybody().into_iter().filter(keeps).collect();
    found.sort_by_key(|at| Key::of(&net.nodes[*at].peer).ring_distance(&key));
    found
}

/// The five living nodes that stand nearest to a name.
fn nearest(net: &Net, text: &str) -> Vec<usize> {
    let key = name(text).key(&net.config.network);
    let mut living: Vec<usize> = net.everybody().into_iter().filter(|at| net.nodes[*at].alive).collect();
    living.sort_by_key(|at| Key::of(&net.nodes[*at].peer).ring_distance(&key));
    living.truncate(net.config.directory.keepers);
    living
}

fn settled(config: Config, count: usize) -> Net {
    let mut net = formed(config, count);
    net.run(net.config.maintenance_interval * 3);
    net
}

fn is_whole(net: &Net) -> bool {
    let everybody = net.everybody();
    net.all_joined() && net.is_ring(&everybody)
}

fn until_whole(net: &mut Net) {
    let took = net.run_until(SECOND * 60, is_whole);
    assert!(took.is_some(), "{}", net.describe());
    // Offers wait for half a time limit, then for two answers.
    net.run(net.config.ping_timeout);
}

fn within_bounds(net: &Net) {
    for node in net.live() {
        let broken: Vec<Bounded> = node
            .overlay
            .bounds()
            .into_iter()
            .filter(|bound| !bound.holds())
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

#[test]
fn what_one_publishes_every_peer_finds() {
    let mut net = settled(Config::local(), 16);
    assert_eq!(publish(&mut net, 3, publication("db", (1, 0), "node 3")), Ok(()));
    assert_kept(&net, "db");
    found_everywhere(&mut net, "db", "node 3");
    assert_eq!(find(&mut net, 5, "another"), Found::Nobody);
    within_bounds(&net);
}

#[test]
fn a_peer_alone_and_two_peers_have_a_directory_as_well() {
    for count in [1, 2] {
        let mut net = Net::new(Config::local());
        for at in 0..count {
            net.add();
            net.join(at, if at == 0 { &[] } else { &[0] });
        }
        net.run(SECOND * 20);
        assert_eq!(publish(&mut net, 0, publication("db", (1, 0), "here")), Ok(()));
        found_everywhere(&mut net, "db", "here");
        assert_eq!(find(&mut net, 0, "another"), Found::Nobody);
        assert_eq!(claim(&mut net, 0, "third"), Claimed::Granted { incarnation: None });
    }
}

#[test]
fn who_stands_nearest_is_told() {
    let mut net = settled(Config::local(), 16);
    let key = name("db").key(&net.config.network);
    let order = |ticket| Order::Nearest { ticket, key };
    let peers: Vec<PeerId> = answer(&mut net, 2, order, |told, wanted| match told {
        Told::Nearest { ticket, peers } if *ticket == wanted => Some(peers.clone()),
        _ => None,
    });
    let wanted: Vec<PeerId> = nearest(&net, "db").iter().map(|at| net.nodes[*at].peer).collect();
    assert_eq!(peers, wanted);
}

/// Rule `directory-handover`: all who kept it at first are dead in the end, and nobody has published anew.
#[test]
fn keepers_die_one_after_the_other_and_the_record_stays() {
    let mut net = settled(Config::local(), 16);
    publish(&mut net, 0, publication("db", (1, 0), "here")).expect("published");
    let mut killed = 0;
    for _ in 0..8 {
        let Some(at) = keepers(&net, "db").into_iter().find(|at| *at != 0) else {
            break;
        };
        net.kill(at);
        killed += 1;
        until_whole(&mut net);
        assert_kept(&net, "db");
    }
    assert_eq!(killed, 8);
    found_everywhere(&mut net, "db", "here");
}

/// Rule `directory-offered-on`: whoever brings a record may not know all who keep the one that it replaces.
#[test]
fn what_is_handed_over_is_offered_on() {
    let mut alone = Alone::among(&Config::local(), &[2, 3]);
    alone.run(SECOND * 5);
    let record = Record {
        name: name("db"),
        order: Later {
            incarnation: 1,
            view: 1,
        },
        number: 1,
        publisher: peer(9),
        signers: vec![peer(9)],
        lifetime: 600_000,
        tombstone: false,
        body: Vec::new(),
    };
    let entry = Entry::sign(record, &Config::local().network, &keypair(9));
    let handed = Asked::Handover(vec![Aged { entry, age: 5 }]);
    let hand = |alone: &mut Alone| {
        let body = OneShot::Directory(Box::new(handed.clone()));
        let (request, peer) = (RequestId(7), peer(2));
        alone.give(Input::Request { request, peer, body });
        let out = alone.run(SECOND / 4);
        let offer = |body: &OneShot| matches!(body, OneShot::Directory(asked) if matches!(**asked, Asked::Offer(_)));
        let offers = out.iter().filter_map(question).filter(|asked| offer(&asked.body));
        offers.map(|asked| asked.to).collect::<Vec<u8>>()
    };
    assert_eq!(hand(&mut alone), [3], "not to whoever brought it");
}

#[test]
fn newcomers_take_over_and_who_is_no_keeper_any_more_forgets() {
    let mut net = settled(Config::local(), 4);
    for n in 0..10 {
        publish(&mut net, 0, publication(&format!("db {n}"), (1, 0), "here")).expect("published");
    }
    for _ in 0..20 {
        let at = net.add();
        net.join(at, &[0]);
        net.run(SECOND);
    }
    until_whole(&mut net);
    net.run(net.config.ping_timeout * 4);
    for n in 0..10 {
        let text = format!("db {n}");
        assert_kept(&net, &text);
    }
    found_everywhere(&mut net, "db 7", "here");
    within_bounds(&net);
}

/// Records that do not fit in one message are handed over all the same.
#[test]
fn many_names_are_handed_over() {
    let mut net = settled(Config::local(), 3);
    let large = "x".repeat(2000);
    for publisher in 0..3 {
        for n in 0..40 {
            let text = format!("db {publisher} {n}");
            publish(&mut net, publisher, publication(&text, (1, 0), &large)).expect("published");
        }
    }
    let at = net.add();
    net.join(at, &[0]);
    until_whole(&mut net);
    net.run(net.config.ping_timeout * 4);
    assert_eq!(net.nodes[at].overlay.directory().records, 120);
    let now = net.now;
    let messages = net
        .of_directory
        .iter()
        .filter(|(when, _)| now.since(*when) < SECOND * 30);
    assert!(messages.count() < 400, "not one message for each record and peer");
    within_bounds(&net);
}

/// N7: "Losing all five replicas loses only the way in". Rule `directory-all-keepers-lost`: meanwhile nobody says that there is nobody.
#[test]
fn when_all_keepers_are_lost_it_is_not_known_until_the_publisher_publishes_again() {
    let mut config = Config::local();
    config.directory.refresh = SECOND * 60;
    let mut net = settled(config, 24);
    let publisher = *nearest_first(&net, "db").last().expect("the farthest");
    publish(&mut net, publisher, publication("db", (1, 0), "here")).expect("published");
    for at in keepers(&net, "db") {
        net.kill(at);
    }
    until_whole(&mut net);
    assert_eq!(keepers(&net, "db"), []);
    net.run(net.config.maintenance_interval * 3);
    let asker = nearest_first(&net, "db")[8];
    let found = find(&mut net, asker, "db");
    assert!(matches!(found, Found::Unsettled | Found::Record(_)), "{found:?}");
    let claimed = claim(&mut net, asker, "db");
    assert!(!matches!(claimed, Claimed::Granted { .. }), "{claimed:?}");
    net.run(SECOND * 60);
    found_everywhere(&mut net, "db", "here");
}

fn nearest_first(net: &Net, text: &str) -> Vec<usize> {
    let key = name(text).key(&net.config.network);
    let mut living: Vec<usize> = net.everybody().into_iter().filter(|at| net.nodes[*at].alive).collect();
    living.sort_by_key(|at| Key::of(&net.nodes[*at].peer).ring_distance(&key));
    living
}

/// Rule `directory-settled`: the newcomers that are all keepers now have not been handed the record yet.
#[test]
fn who_has_just_come_does_not_know_yet() {
    let mut net = Net::new(Config::local());
    net.add();
    net.join(0, &[]);
    assert_eq!(find(&mut net, 0, "db"), Found::Unsettled);
    net.run(net.config.maintenance_interval * 2);
    assert_eq!(find(&mut net, 0, "db"), Found::Nobody);
}

#[test]
fn a_record_whose_publisher_is_gone_expires() {
    let mut config = Config::local();
    config.directory.refresh = SECOND * 10;
    let mut net = settled(config, 12);
    let publisher = *nearest_first(&net, "db").last().expect("the farthest");
    publish(&mut net, publisher, publication("db", (1, 0), "here")).expect("published");
    let lifetime = net.config.directory.lifetime();
    net.run(lifetime * 3);
    let asker = nearest_first(&net, "db")[7];
    assert_eq!(
        body(&find(&mut net, asker, "db")).as_deref(),
        Some("here"),
        "it is refreshed"
    );
    net.kill(publisher);
    // Rule `directory-age`: that it is handed over again and again makes it no younger.
    for _ in 0..4 {
        let at = net.add();
        net.join(at, &[0]);
        net.run(lifetime / 4);
    }
    until_whole(&mut net);
    assert_eq!(keepers(&net, "db"), []);
    assert_eq!(find(&mut net, asker, "db"), Found::Nobody);
}

/// "in a new life of its publisher, too": its number starts anew, and what is there of the earlier life has the larger one.
#[test]
fn a_new_life_outdoes_the_record_of_the_one_before() {
    let mut net = settled(Config::local(), 8);
    for n in 0..3 {
        publish(&mut net, 5, publication("db", (1, 0), &format!("life 1, {n}"))).expect("published");
    }
    net.kill(5);
    net.run(SECOND * 5);
    net.restart(5);
    net.join(5, &[0]);
    until_whole(&mut net);
    assert_eq!(publish(&mut net, 5, publication("db", (1, 0), "life 2")), Ok(()));
    found_everywhere(&mut net, "db", "life 2");
}

/// Rule `directory-signers`: who is first keeps the name, and both hear of it.
#[test]
fn a_name_that_somebody_else_has_is_taken() {
    let mut net = settled(Config::local(), 12);
    publish(&mut net, 3, publication("db", (1, 0), "first")).expect("published");
    let refused = publish(&mut net, 4, publication("db", (9, 9), "second"));
    let Err(NotPublished::Taken(theirs)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(theirs.record().publisher, net.nodes[3].peer);
    found_everywhere(&mut net, "db", "first");
}

#[test]
fn a_signer_replaces_it_and_the_replaced_one_is_told() {
    let mut config = Config::local();
    config.directory.refresh = SECOND * 20;
    let mut net = settled(config, 12);
    let mut first = publication("db", (1, 0), "first");
    first.signers = vec![net.nodes[4].peer];
    publish(&mut net, 3, first).expect("published");
    publish(&mut net, 4, publication("db", (1, 1), "second")).expect("published");
    found_everywhere(&mut net, "db", "second");
    let superseded = |net: &Net| told(net, 3).any(|told| matches!(told, Told::Superseded { .. }));
    assert!(net.run_until(SECOND * 25, superseded).is_some());
    net.run(SECOND * 30);
    assert_eq!(net.nodes[3].overlay.directory().published, 0);
    found_everywhere(&mut net, "db", "second");
}

/// Rule `directory-larger-incarnation`: N4, "epochs must not go back".
#[test]
fn a_tombstone_gives_way_to_a_larger_incarnation_alone() {
    let mut net = settled(Config::local(), 12);
    publish(&mut net, 3, publication("db", (7, 4), "here")).expect("published");
    let mut grave = publication("db", (7, 5), "");
    grave.tombstone = true;
    publish(&mut net, 3, grave).expect("published");
    assert_eq!(net.nodes[3].overlay.directory().published, 0, "nothing to refresh");
    let Found::Record(entry) = find(&mut net, 6, "db") else {
        panic!("no tombstone");
    };
    assert!(entry.record().tombstone);
    let refused = publish(&mut net, 5, publication("db", (7, 9), "anew"));
    assert!(matches!(refused, Err(NotPublished::Taken(_))), "{refused:?}");
    assert_eq!(claim(&mut net, 5, "db"), Claimed::Granted { incarnation: Some(7) });
    publish(&mut net, 5, publication("db", (8, 0), "anew")).expect("published");
    found_everywhere(&mut net, "db", "anew");
}

#[test]
fn of_claims_at_the_same_time_at_most_one_is_granted() {
    let mut net = settled(Config::local(), 16);
    for at in 2..6 {
        let (ticket, name) = (Ticket(7), name("db"));
        net.command(at, Command::Directory(Order::Claim { ticket, name }));
    }
    net.run(net.config.ping_timeout * 10);
    let outcomes: Vec<Claimed> = (2..6)
        .filter_map(|at| told(&net, at).find_map(|told| claimed(told, Ticket(7))))
        .collect();
    assert_eq!(outcomes.len(), 4);
    let granted = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Claimed::Granted { .. }));
    assert!(granted.count() <= 1, "{outcomes:?}");
}

#[test]
fn a_claim_keeps_others_from_being_first_and_expires() {
    let mut net = settled(Config::local(), 16);
    assert_eq!(claim(&mut net, 2, "db"), Claimed::Granted { incarnation: None });
    let claimant = net.nodes[2].peer;
    assert_eq!(claim(&mut net, 3, "db"), Claimed::Taken(claimant));
    assert_eq!(find(&mut net, 4, "db"), Found::Claimed(claimant));
    assert!(publish(&mut net, 3, publication("db", (1, 0), "third")).is_err());
    net.run(net.config.directory.claim);
    assert_eq!(claim(&mut net, 3, "db"), Claimed::Granted { incarnation: None });
    assert_eq!(publish(&mut net, 3, publication("db", (1, 0), "third")), Ok(()));
    assert!(matches!(claim(&mut net, 2, "db"), Claimed::Exists(_)));
    within_bounds(&net);
}

/// Each half of a partition has a record of its own; when it heals, both publishers hear of the other's, and neither is replaced.
#[test]
fn two_records_that_meet_are_a_conflict_for_both_publishers() {
    let mut config = Config::local();
    config.directory.refresh = SECOND * 20;
    let mut net = settled(config, 16);
    for at in 0..8 {
        net.side[at] = 1;
    }
    net.break_cut_connections();
    net.run(SECOND * 60);
    publish(&mut net, 3, publication("db", (1, 0), "one half")).expect("published");
    publish(&mut net, 12, publication("db", (2, 0), "other half")).expect("published");
    net.side.fill(0);
    let took = net.run_until(SECOND * 240, is_whole);
    assert!(took.is_some(), "{}", net.describe());
    net.run(SECOND * 25);
    let conflict = |at: usize, other: usize| {
        told(&net, at).any(|told| {
            let theirs = |entry: &Entry| entry.record().publisher == net.nodes[other].peer;
            matches!(told, Told::Conflict { theirs: entry } if theirs(entry))
        })
    };
    assert!(conflict(3, 12) || conflict(12, 3), "somebody hears of it");
    within_bounds(&net);
}

/// "Who publishes, keeps, searches nothing sends nothing for the directory, and has no timer for it."
#[test]
fn an_idle_directory_is_silent() {
    let mut net = settled(Config::local(), 16);
    let routed = |net: &Net| {
        let nearest = |body: &OneShot| matches!(body, OneShot::Nearest { .. } | OneShot::Directory(_));
        net.routed
            .iter()
            .filter(|(.., routed)| nearest(&routed.body.body))
            .count()
    };
    net.run(SECOND * 60);
    assert_eq!((routed(&net), net.of_directory.len()), (0, 0));
    publish(&mut net, 3, publication("db", (1, 0), "here")).expect("published");
    net.run(SECOND);
    let before = (routed(&net), net.of_directory.len());
    net.run(Duration::from_secs(400));
    assert_eq!(
        (routed(&net), net.of_directory.len()),
        before,
        "nothing between two refreshes"
    );
    net.run(Duration::from_secs(300));
    let refreshed = net.of_directory.len() - before.1;
    assert!((1..=8).contains(&refreshed), "{refreshed}");
    assert!(
        net.of_directory.iter().all(|(_, from)| *from == 3),
        "keepers are silent"
    );
}
