//! A posting whose target cannot be dialled, step by step: which copies leave, who is searched for, and what a search that found it leads to.

use fatebound_overlay::message::{Answer, OneShot, Routed};
use fatebound_overlay::{Config, DialFailure, Multiaddr, Output, Port, Ways};

use crate::driver::{Alone, nearest_to_us, peer, question, record, requests};
use crate::net::address;

const EVERY: Ways = Ways::Every { round: 0 };

/// What leaves through the overlay: copies of a posting, and searches with their numbers.
fn left(alone: &Alone, out: &[Output]) -> (usize, Vec<u64>) {
    let handed: Vec<Routed> = alone.handed(out).into_iter().map(|(_, routed)| routed).collect();
    let copies = handed
        .iter()
        .filter(|routed| matches!(routed.body.body, OneShot::Above { .. }));
    let searches = handed
        .iter()
        .filter(|routed| matches!(routed.body.body, OneShot::Locate(_)));
    (copies.count(), searches.map(|routed| routed.body.number).collect())
}

fn timeout(addresses: &[Multiaddr]) -> Vec<(Multiaddr, DialFailure)> {
    let addresses = addresses.iter();
    addresses
        .map(|address| (address.clone(), DialFailure::Timeout))
        .collect()
}

/// All its copies are under way already, and nobody searches for whom a repetition may reach.
#[test]
fn when_the_dial_of_a_repetition_fails_nothing_more_leaves() {
    let mut alone = Alone::among(&Config::local(), &[2, 3]);
    alone.introduce(5, &[address(5)]);
    let out = alone.post_to(5, 1, EVERY);
    assert_eq!(left(&alone, &out), (1, vec![]));
    let out = alone.fail(requests(&out)[0], &timeout(&[address(5)]));
    assert_eq!(left(&alone, &out), (0, vec![]));
}

/// Who did not answer where it was known to live may have moved.
#[test]
fn who_has_moved_is_searched_for_once_and_asked_where_it_lives_now() {
    let mut alone = Alone::among(&Config::local(), &[2]);
    let (before, now) = (address(5), address(55));
    alone.introduce(5, std::slice::from_ref(&before));
    let out = alone.post_to(5, 1, Ways::Direct);
    let out = alone.fail(requests(&out)[0], &timeout(std::slice::from_ref(&before)));
    let (copies, searches) = left(&alone, &out);
    assert_eq!((copies, searches.len()), (1, 1));
    let found = record(5, 1, std::slice::from_ref(&now));
    let out = alone.answer_routed((2, 2), searches[0], Answer::Records(vec![found]));
    let questions: Vec<_> = out.iter().filter_map(question).collect();
    let [asked] = &questions[..] else {
        panic!("one more direct question: {questions:?}")
    };
    assert_eq!(
        (asked.to, asked.body.clone()),
        (
            5,
            OneShot::Above {
                port: Port::GROUPS,
                body: vec![1]
            }
        )
    );
    assert_eq!(asked.addresses, [now, before], "its own word comes first");
    assert_eq!(left(&alone, &out), (0, vec![]), "its copy is under way");
    let out = alone.fail(asked.request, &timeout(&asked.addresses));
    assert_eq!(left(&alone, &out), (0, vec![]), "no second search");
}

/// It listens nowhere, but others are linked to it.
#[test]
fn who_is_found_without_an_address_is_asked_through_the_overlay() {
    let mut alone = Alone::among(&Config::local(), &[2]);
    let out = alone.post_to(5, 1, Ways::Direct);
    let out = alone.fail(requests(&out)[0], &[]);
    let (copies, searches) = left(&alone, &out);
    assert_eq!((copies, searches.len()), (0, 1), "nobody may know it");
    let found = record(5, 1, &[]);
    let out = alone.answer_routed((2, 2), searches[0], Answer::Records(vec![found]));
    assert_eq!(left(&alone, &out), (1, vec![]));
    assert!(alone.handed(&out).iter().all(|(_, routed)| routed.target == peer(5)));
}

#[test]
fn without_detours_no_copy_leaves_where_nobody_is_nearer_to_the_target() {
    let copies = |detours: u8| {
        let config = Config {
            detours,
            ..Config::local()
        };
        let mut alone = Alone::among(&config, &[2]);
        let out = alone.post_to(nearest_to_us(&[2]), 1, EVERY);
        left(&alone, &out).0
    };
    assert_eq!(copies(1), 1);
    assert_eq!(copies(0), 0);
}
