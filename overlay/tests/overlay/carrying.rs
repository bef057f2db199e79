//! What a carrier does with a question of somebody else, and with the answer on its way back.

use fatebound_overlay::message::{Answer, Message, OneShot, Routed, RoutedAnswer, Signed};
use fatebound_overlay::{Command, Config, Event, Key, Keypair, PeerId, Port, Routes, Tag, Ways};

use crate::net::{Net, posting};
use crate::{SECOND, formed};

fn nobody(n: u64) -> PeerId {
    let mut seed = [78; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    let keypair = Keypair::ed25519_from_bytes(seed).expect("32 bytes");
    keypair.public().to_peer_id()
}

fn tag(net: &Net, at: usize) -> Tag {
    Key::of(&net.nodes[at].peer).tag()
}

/// Somebody who is not there, and to whom `at` would be the nearest of all.
fn nobody_near(net: &Net, at: usize) -> PeerId {
    let distance = |node: usize, peer: &PeerId| Key::of(&net.nodes[node].peer).ring_distance(&Key::of(peer));
    let nearest = |peer: &PeerId| net.everybody().into_iter().min_by_key(|node| distance(*node, peer));
    (0..1000)
        .map(nobody)
        .find(|peer| nearest(peer) == Some(at))
        .expect("one of a thousand")
}

/// What the carrier 0 does with a question that peer 1 hands it: to whom it goes on, with how many credits, and what is answered.
fn carried(net: &mut Net, routed: Routed) -> (Vec<(usize, u8)>, Vec<Answer>) {
    net.routed.clear();
    net.answers.clear();
    net.inject(0, 1, Message::Routed(Box::new(routed)));
    let on = net.routed.iter().filter(|(_, from, ..)| *from == 0);
    let back = net.answers.iter().filter(|(from, to, _)| (*from, *to) == (0, 1));
    (
        on.map(|(_, _, to, routed)| (*to, routed.detours)).collect(),
        back.map(|(_, _, answer)| answer.body.body.clone()).collect(),
    )
}

fn counted(net: &Net) -> (u64, u64) {
    let counters = net.nodes[0].overlay.counters();
    (counters.garbage, counters.dropped)
}

fn above() -> OneShot {
    OneShot::Above {
        port: Port::GROUPS,
        body: vec![9],
    }
}

#[test]
fn a_search_is_answered_by_the_first_who_knows() {
    let mut net = formed(Config::local(), 3);
    let wanted = net.nodes[2].peer;
    let question = net.question(1, wanted, OneShot::Locate(wanted));
    let record = net.nodes[2].overlay.record().clone();
    assert_eq!(
        carried(&mut net, question),
        (vec![], vec![Answer::Records(vec![record])])
    );
}

#[test]
fn a_search_for_whom_nobody_knows_ends_at_the_nearest_peer() {
    let mut net = formed(Config::local(), 3);
    let here = nobody_near(&net, 0);
    let question = net.question(1, here, OneShot::Locate(here));
    let nothing = Answer::Records(Vec::new());
    assert_eq!(
        carried(&mut net, question.clone()),
        (vec![], vec![nothing]),
        "no credit is spent on it"
    );
    let there = nobody_near(&net, 2);
    let onwards = net.question(1, there, OneShot::Locate(there));
    let detours = net.config.detours;
    assert_eq!(carried(&mut net, onwards), (vec![(2, detours)], vec![]));
    let mut forged = question;
    forged.body.number += 1;
    let (garbage, dropped) = counted(&net);
    assert_eq!(carried(&mut net, forged), (vec![], vec![]));
    assert_eq!(counted(&net), (garbage + 1, dropped));
}

#[test]
fn a_question_that_comes_no_nearer_costs_a_credit_or_stops() {
    let mut net = formed(Config::local(), 3);
    let here = nobody_near(&net, 0);
    let question = net.question(1, here, above());
    let detours = net.config.detours;
    assert_eq!(carried(&mut net, question.clone()), (vec![(2, detours - 1)], vec![]));
    let greedy = Routed {
        detours: 200,
        ..question.clone()
    };
    assert_eq!(
        carried(&mut net, greedy),
        (vec![(2, detours - 1)], vec![]),
        "nobody has more than that"
    );
    let spent = Routed { detours: 0, ..question };
    let (garbage, dropped) = counted(&net);
    assert_eq!(carried(&mut net, spent), (vec![], vec![]));
    assert_eq!(counted(&net), (garbage, dropped + 1));
}

/// "A `Suspect` travels around the suspect."
#[test]
fn a_suspicion_is_not_handed_to_the_suspect() {
    let mut net = formed(Config::local(), 3);
    let (there, suspect) = (nobody_near(&net, 2), net.nodes[2].peer);
    let question = net.question(1, there, above());
    assert_eq!(carried(&mut net, question).0.len(), 1);
    let question = net.question(1, there, OneShot::Suspect(suspect));
    let dropped = counted(&net).1;
    assert_eq!(carried(&mut net, question), (vec![], vec![]));
    assert_eq!(counted(&net).1, dropped + 1);
}

#[test]
fn what_breaks_the_rules_is_garbage_and_what_went_too_far_is_dropped() {
    let mut net = formed(Config::local(), 3);
    let target = net.nodes[2].peer;
    let question = net.question(1, target, above());
    let (garbage, dropped) = counted(&net);
    for (number, visited) in (1..).zip([vec![], vec![tag(&net, 2)], vec![tag(&net, 1), tag(&net, 2)]]) {
        let bad = Routed {
            visited,
            ..question.clone()
        };
        assert_eq!(carried(&mut net, bad), (vec![], vec![]));
        assert_eq!(counted(&net), (garbage + number, dropped));
    }
    let hops = usize::from(net.config.hop_limit);
    let far = |net: &Net, hops: usize| {
        let mut visited: Vec<Tag> = (0..hops as u64).map(Tag).collect();
        visited[0] = tag(net, 1);
        visited[hops - 1] = tag(net, 1);
        Routed {
            visited,
            ..question.clone()
        }
    };
    let (last, one_more) = (far(&net, hops - 1), far(&net, hops));
    assert_eq!(carried(&mut net, last).0.len(), 1);
    assert_eq!(carried(&mut net, one_more), (vec![], vec![]));
    assert_eq!(counted(&net), (garbage + 3, dropped + 1));
}

#[test]
fn a_forged_question_to_ourselves_is_garbage_and_a_suspicion_has_no_answer() {
    let mut net = formed(Config::local(), 3);
    let ours = net.nodes[0].peer;
    let question = net.question(1, ours, above());
    assert_eq!(carried(&mut net, question.clone()).1, [Answer::Above(vec![9])]);
    assert_eq!(
        net.events(0)
            .filter(|event| matches!(event, Event::Asked { .. }))
            .count(),
        1
    );
    let mut forged = question;
    forged.body.number += 1;
    let garbage = counted(&net).0;
    assert_eq!(carried(&mut net, forged), (vec![], vec![]));
    assert_eq!(counted(&net).0, garbage + 1);
    let suspicion = net.question(1, ours, OneShot::Suspect(net.nodes[2].peer));
    assert_eq!(carried(&mut net, suspicion), (vec![], vec![]));
    let leaves = OneShot::Leaves(net.nodes[1].overlay.record().clone());
    let leaves = net.question(1, ours, leaves);
    assert!(matches!(&carried(&mut net, leaves).1[..], [Answer::Records(records)] if records.len() == 2));
}

#[test]
fn an_answer_goes_back_over_its_trail() {
    let mut net = formed(Config::local(), 3);
    let answer = |net: &Net, trail: Vec<Tag>| RoutedAnswer {
        trail,
        body: Signed {
            from: net.nodes[1].peer,
            to: net.nodes[2].peer,
            number: 7,
            body: Answer::Nothing,
            signature: vec![0; 64],
        },
    };
    let back = |net: &mut Net, answer: RoutedAnswer| {
        net.answers.clear();
        net.inject(0, 1, Message::RoutedAnswer(Box::new(answer)));
        let handed = net.answers.iter().map(|(_, to, answer)| (*to, answer.trail.clone()));
        handed.collect::<Vec<_>>()
    };
    let (here, there) = (tag(&net, 0), tag(&net, 2));
    let (garbage, dropped) = counted(&net);
    let good = answer(&net, vec![there, here]);
    assert_eq!(back(&mut net, good), [(2, vec![there])]);
    let astray = answer(&net, vec![Tag(1), here]);
    assert_eq!(back(&mut net, astray), []);
    assert_eq!(counted(&net), (garbage, dropped + 1), "its way back is gone");
    let strange = answer(&net, vec![there]);
    assert_eq!(back(&mut net, strange), []);
    assert_eq!(counted(&net), (garbage + 1, dropped + 1), "it did not come over us");
}

/// The answer to a question of ours has to be to us, from whom we asked, and signed.
#[test]
fn an_answer_that_is_not_to_the_point_is_garbage() {
    let mut net = formed(Config::local(), 3);
    net.nodes[1].mute = true;
    net.nodes[2].mute = true;
    let wanted = nobody(1);
    net.command(0, Command::Locate { peer: wanted });
    let number = net
        .routed
        .last()
        .map(|(.., routed)| routed.body.number)
        .expect("a question");
    let (garbage, dropped) = counted(&net);
    net.answer(1, 0, number + 1, Answer::Records(Vec::new()));
    assert_eq!(counted(&net), (garbage, dropped + 1), "no such question");
    net.answer(1, 0, number, Answer::Nothing);
    assert_eq!(counted(&net), (garbage + 1, dropped + 1), "no answer to a search");
    let forged = RoutedAnswer {
        trail: vec![tag(&net, 0)],
        body: Signed {
            from: net.nodes[1].peer,
            to: net.nodes[0].peer,
            number,
            body: Answer::Records(Vec::new()),
            signature: vec![1; 64],
        },
    };
    net.inject(0, 1, Message::RoutedAnswer(Box::new(forged)));
    assert_eq!(counted(&net), (garbage + 2, dropped + 1), "nobody has signed it");
}

/// Whoever carries a question knows its number; its answer counts only if the one who was asked has signed it.
#[test]
fn a_carrier_does_not_answer_for_the_target() {
    let mut net = formed(Config::local(), 3);
    net.nodes[1].mute = true;
    net.nodes[2].mute = true;
    let (to, posting, body) = (net.nodes[2].peer, posting(1), vec![1]);
    net.cuts.insert((0, 2));
    net.routed.clear();
    let ways = Ways::Every { round: 0 };
    net.command(
        0,
        Command::Post {
            posting,
            to,
            body,
            ways,
        },
    );
    let (_, _, carrier, copy) = net.routed.last().expect("a copy");
    let (carrier, number) = (*carrier, copy.body.number);
    assert_eq!(carrier, 1);
    let answers = |net: &Net| {
        net.events(0)
            .filter(|event| matches!(event, Event::Answered { .. }))
            .count()
    };
    let garbage = counted(&net).0;
    net.answer(1, 0, number, Answer::Above(vec![9]));
    assert_eq!((answers(&net), counted(&net).0), (0, garbage + 1));
    let genuine = net.signed_answer(2, 0, number, Answer::Above(vec![9]));
    net.inject(0, 1, Message::RoutedAnswer(Box::new(genuine)));
    assert_eq!((answers(&net), counted(&net).0), (1, garbage + 1));
}

/// "Copies also travel through half of the common neighbours, changing with each repetition": two of them reach all.
#[test]
fn two_repetitions_go_through_all_common_neighbours() {
    let mut net = formed(Config::local(), 16);
    net.run(SECOND * 3);
    let common = |net: &Net, to: usize| net.nodes[0].overlay.common_neighbours(&net.nodes[to].peer);
    let to = (1..16).max_by_key(|to| common(&net, *to).len()).expect("15 others");
    let mut links = common(&net, to);
    assert!(links.len() >= 4, "{links:?}");
    net.routed.clear();
    for round in 0..2 {
        let (to, posting, body) = (net.nodes[to].peer, posting(round.into()), vec![1]);
        let ways = Ways::Every { round };
        net.command(
            0,
            Command::Post {
                posting,
                to,
                body,
                ways,
            },
        );
    }
    let mut firsts: Vec<_> = net
        .routed
        .iter()
        .filter_map(|(_, from, first, _)| {
            (*from == 0)
                .then(|| net.nodes[0].overlay.link_to(&net.nodes[*first].peer))
                .flatten()
        })
        .collect();
    links.retain(|link| !firsts.contains(link));
    assert_eq!(links, [], "{firsts:?}");
    firsts.dedup();
    assert!(firsts.len() >= 4);
}

/// "A peer that misses an answer sends `Suspect` to the suspect's other neighbours", around the suspect.
#[test]
fn a_suspicion_goes_to_the_suspects_other_neighbours() {
    let mut net = formed(Config::local(), 8);
    net.run(SECOND * 3);
    let peer = net.nodes[1].peer;
    let link = net.nodes[0].overlay.link_to(&peer).expect("a small ring is linked");
    net.cuts.insert((0, 1));
    net.routed.clear();
    assert!(
        net.run_until(SECOND * 5, |net| net.nodes[0].overlay.is_doubtful(link))
            .is_some()
    );
    let told: Vec<(usize, PeerId)> = net
        .routed
        .iter()
        .filter(|(_, from, _, routed)| *from == 0 && routed.body.body == OneShot::Suspect(peer))
        .map(|(_, _, first, routed)| (*first, routed.target))
        .collect();
    assert!(told.len() >= 4, "{told:?}");
    assert!(
        told.iter().all(|(first, target)| *first != 1 && *target != peer),
        "{told:?}"
    );
}
