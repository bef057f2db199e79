//! Hard failure: everybody is told, once, and nobody else can cause it.

use super::*;
use crate::message::{Answer, Notice};
use fatebound_overlay::{DeathProof, Ways};

#[test]
fn a_signal_of_any_member_reaches_everybody_once() {
    for by in 0..5 {
        let mut world = World::new(5);
        let group = world.group();
        world.signal(by, group);
        world.signal(by, group);
        world.run(3 * LATENCY);
        for peer in 0..5 {
            let text = "enough".to_owned();
            assert_eq!(
                world.reason(peer, group),
                Some(Reason::Signalled { by: id(by), text }),
                "{by} to {peer}"
            );
        }
        world.run(secs(60));
        world.assert_idle();
        assert_eq!(world.peers[by].groups.counters().failures["signalled"], 1);
    }
}

/// Its members have the list of all, so they can tell that it is a member's word; only where they have not does the root vouch for it.
#[test]
fn the_root_of_a_small_group_passes_a_members_word_on_as_it_is() {
    let mut world = World::new(3);
    let group = world.group();
    world.signal(1, group);
    world.run(3 * LATENCY);
    let told = world.peers[0]
        .posts
        .iter()
        .filter_map(|(_, to, request)| match request {
            Request::Fail(notice) => Some((*to, notice.originator)),
            _ => None,
        });
    assert_eq!(Vec::from_iter(told), [(id(2), id(1))]);
}

#[test]
fn signals_that_cross_are_told_once_each() {
    let mut world = World::new(4);
    let group = world.group();
    for peer in 0..4 {
        world.signal(peer, group);
    }
    world.run(secs(60));
    for peer in 0..4 {
        assert!(world.failed(peer, group).is_some());
    }
}

#[test]
fn only_the_signalled_group_fails() {
    let mut world = World::new(3);
    let groups: Vec<GroupId> = (0..1000).map(|_| world.create(0, &[1, 2], None)).collect();
    world.run(secs(1));
    world.signal(1, groups[500]);
    world.run(secs(60));
    for peer in 0..3 {
        assert!(world.failed(peer, groups[500]).is_some());
        assert_eq!(world.peers[peer].groups.views(usize::MAX).len(), 999);
    }
    let views = world.peers[2].groups.views(10);
    assert_eq!(
        views.iter().map(|view| view.group).collect::<Vec<_>>(),
        groups[..10],
        "the oldest first"
    );
}

#[test]
fn a_signal_whose_every_word_is_lost_is_heard_by_asking() {
    let mut world = World::new(3);
    let group = world.group();
    world.signal(0, group);
    world.queue.clear();
    for member in 1..3 {
        let (path, cause) = (world.path(group, member, 1), Cause::LinkDown);
        world.tree(member, fatebound_tree::Event::Broken { path, cause });
    }
    world.run(secs(1));
    for member in 1..3 {
        assert_eq!(world.reason(member, group), Some(Reason::FailedAtRoot { peer: id(0) }));
    }
}

#[test]
fn a_large_group_is_told_by_its_root() {
    let mut world = World::new(80);
    let group = world.group();
    assert_eq!(world.peers[7].groups.view(&group).unwrap().members, [id(0), id(7)]);
    world.signal(5, group);
    world.run(3 * LATENCY);
    for peer in 0..80 {
        assert!(
            matches!(world.reason(peer, group), Some(Reason::Signalled { .. })),
            "{peer}"
        );
    }
}

pub(super) fn forged(group: GroupId, forger: usize, originator: usize) -> Notice {
    let reason = Reason::Signalled {
        by: id(originator),
        text: "false".into(),
    };
    let mut notice = Notice::signed(group, reason, &keypair(forger));
    notice.originator = id(originator);
    notice
}

#[test]
fn a_forged_notice_causes_a_repair_and_no_failure() {
    for (forger, originator) in [(2, 0), (2, 2)] {
        let mut world = World::new(3);
        let group = world.create(0, &[1], None);
        world.run(secs(1));
        let notice = forged(group, forger, originator);
        for peer in [0, 1] {
            world.ask(2, peer, Request::Fail(Box::new(notice.clone())));
        }
        let path = world.path(group, 1, 1);
        world.paths.remove(&path);
        for peer in [0, 1] {
            let notice = notice.encoded();
            world.tree(peer, fatebound_tree::Event::Failed { path, notice });
        }
        world.run(secs(60));
        for peer in [0, 1] {
            assert_eq!(world.reason(peer, group), None, "forged by {forger} as {originator}");
        }
        assert_eq!(world.peers[0].groups.counters().repairs_ended, 1);
        world.assert_idle();
    }
}

#[test]
fn a_notice_of_another_group_is_false() {
    let mut world = World::new(2);
    let (one, other) = (world.group(), world.group());
    let notice = forged(other, 1, 1).encoded();
    let path = world.path(one, 1, 1);
    world.tree(0, fatebound_tree::Event::Failed { path, notice });
    world.run(secs(1));
    assert_eq!((world.reason(0, one), world.reason(0, other)), (None, None));
}

#[test]
fn a_dead_member_fails_its_groups_at_once_and_no_others() {
    let mut world = World::new(3);
    let (with, without) = (world.create(0, &[1, 2], None), world.create(0, &[2], None));
    world.run(secs(1));
    world.crash(1);
    let proof = DeathProof::Refused;
    world.input(0, Input::PeerDead { peer: id(1), proof });
    assert_eq!(world.reason(0, with), Some(Reason::MemberDied { peer: id(1) }));
    world.run(secs(60));
    assert_eq!(world.reason(2, with), Some(Reason::MemberDied { peer: id(1) }));
    assert_eq!((world.reason(0, without), world.reason(2, without)), (None, None));
}

#[test]
fn the_groups_of_a_dead_peer_fail_in_batches() {
    let mut world = World::new(2);
    for _ in 0..600 {
        world.create(0, &[1], None);
    }
    world.run(secs(1));
    world.crash(1);
    let failed = |world: &World| {
        let events = world.events(0).into_iter();
        events.filter(|event| matches!(event, Event::Failed { .. })).count()
    };
    let proof = DeathProof::Refused;
    world.input(0, Input::PeerDead { peer: id(1), proof });
    for expected in [256, 512, 600] {
        assert_eq!(failed(&world), expected);
        world.input(0, Input::Wake);
    }
    world.assert_idle();
}

/// Their groups are worked off in turns; the second death does not push out the first.
#[test]
fn of_two_deaths_neither_is_forgotten() {
    let mut world = World::new(3);
    for member in [1, 2] {
        for _ in 0..300 {
            world.create(0, &[member], None);
        }
    }
    world.run(secs(1));
    world.crash(1);
    world.crash(2);
    for peer in [1, 2] {
        let proof = DeathProof::Refused;
        world.input(0, Input::PeerDead { peer: id(peer), proof });
    }
    world.run(LATENCY);
    assert_eq!(world.peers[0].groups.as_root(), 0);
    world.assert_idle();
}

/// "Groups that come after the proof of death belong to a new life": even in the place of one that was still to be told.
#[test]
fn a_group_that_comes_while_a_death_is_worked_off_lives() {
    let mut world = World::new(2);
    let groups: Vec<GroupId> = (0..600).map(|_| world.create(0, &[1], None)).collect();
    world.run(secs(1));
    let proof = DeathProof::Refused;
    world.input(0, Input::PeerDead { peer: id(1), proof });
    assert_eq!(world.reason(0, groups[500]), None, "its turn comes later");
    world.signal(0, groups[500]);
    let later = world.create(0, &[1], None);
    let (post, from) = (PostId(world.peers[0].groups.shared.next_post() - 1), id(1));
    let answer = Answer::Accept;
    world.input(0, Input::Answered { post, from, answer });
    world.run(secs(60));
    assert_eq!(world.peers[0].groups.as_root(), 1);
    assert_eq!((world.reason(0, later), world.reason(1, later)), (None, None));
}

/// A path that is live brings the word itself; a member has no path to the other members, and its own may be the reason.
#[test]
fn who_has_no_live_path_is_told_by_every_way() {
    let every = Ways::Every { round: 0 };
    let mut world = World::new(3);
    world.no_path.insert((0, 2));
    let group = world.group();
    world.signal(0, group);
    assert_eq!(world.fails_posted(0), [(id(1), Ways::Connected), (id(2), every)]);
    let mut world = World::new(3);
    let group = world.group();
    world.signal(1, group);
    assert_eq!(world.fails_posted(1), [(id(0), every), (id(2), Ways::Connected)]);
}

#[test]
fn who_knows_already_is_not_told() {
    let told = |world: &World, peer| -> Vec<PeerId> {
        let fails = world.fails_posted(peer).into_iter();
        fails.map(|(to, _)| to).collect()
    };
    // The root does not tell the member who told it.
    let mut world = World::new(3);
    let group = world.group();
    world.signal(1, group);
    world.run(secs(1));
    assert_eq!(told(&world, 0), [id(2)]);
    // Nor a dead one, whether as root or among members.
    for (dead, by) in [(1, 0), (0, 1)] {
        let mut world = World::new(3);
        world.group();
        world.crash(dead);
        let proof = DeathProof::Refused;
        world.input(by, Input::PeerDead { peer: id(dead), proof });
        assert_eq!(told(&world, by), [id(2)]);
    }
    // Nor does a member tell the root what the root has just told it.
    let mut world = World::new(3);
    let group = world.group();
    world.signal(0, group);
    world.queue.clear();
    world.peers[0].posts.clear();
    let (path, cause) = (world.path(group, 1, 1), Cause::LinkDown);
    world.tree(1, fatebound_tree::Event::Broken { path, cause });
    world.run(secs(1));
    assert_eq!(world.reason(1, group), Some(Reason::FailedAtRoot { peer: id(0) }));
    assert_eq!(told(&world, 1), [id(2)]);
}

#[test]
fn a_dead_root_fails_its_groups_at_once_for_those_who_know() {
    let mut world = World::new(3);
    let group = world.group();
    world.crash(0);
    let proof = DeathProof::Refused;
    world.input(1, Input::PeerDead { peer: id(0), proof });
    assert_eq!(world.reason(1, group), Some(Reason::RootDied { peer: id(0) }));
    world.run(2 * LATENCY);
    assert_eq!(
        world.reason(2, group),
        Some(Reason::RootDied { peer: id(0) }),
        "told by the other member"
    );
}

#[test]
fn a_root_that_vanishes_is_given_up_within_patience() {
    let mut world = World::new(3);
    let group = world.group();
    world.deaf.extend([(1, 2), (2, 1)]);
    let begin = world.now;
    world.crash(0);
    world.run(secs(10));
    for member in 1..3 {
        let (at, reason) = world.failed(member, group).unwrap();
        assert_eq!(reason, Reason::RootUnreachable { peer: id(0) });
        assert_eq!(at.since(begin), Config::lan().timings.patience_floor);
    }
}

#[test]
fn both_sides_of_a_partition_are_told_within_the_bound() {
    for round_trips in [None, Some(LATENCY)] {
        let mut world = World::new(4);
        world.round_trips = round_trips;
        let group = world.group();
        let begin = world.now;
        for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            world.cut(a, b);
        }
        world.run(secs(60));
        let bound = Config::lan().timings.notification_bound(1, Duration::ZERO);
        for peer in 0..4 {
            let (at, _) = world.failed(peer, group).unwrap();
            assert!(at.since(begin) <= bound, "{peer}: {at}");
        }
        world.assert_idle();
    }
}

#[test]
fn a_restarted_member_is_found_out_by_the_repair() {
    for told in [false, true] {
        let mut world = World::new(3);
        let group = world.group();
        world.restart(1);
        if told {
            let proof = DeathProof::Restarted;
            world.input(0, Input::PeerDead { peer: id(1), proof });
        }
        world.run(5 * LATENCY);
        for peer in [0, 2] {
            assert_eq!(
                world.reason(peer, group),
                Some(Reason::MemberForgot { peer: id(1) }),
                "{peer}, {told}"
            );
        }
        world.run(secs(60));
        assert_eq!(world.reason(1, group), None, "P6: nothing is remembered");
        world.assert_idle();
    }
}

#[test]
fn a_restarted_root_knows_none_of_its_groups() {
    let mut world = World::new(3);
    let group = world.group();
    world.restart(0);
    world.run(5 * LATENCY);
    for member in 1..3 {
        assert_eq!(world.reason(member, group), Some(Reason::FailedAtRoot { peer: id(0) }));
    }
}

#[test]
fn a_peer_that_stops_fails_all_its_groups() {
    let mut world = World::new(3);
    let (rooted, joined) = (world.create(0, &[1, 2], None), world.create(1, &[0, 2], None));
    world.run(secs(1));
    world.command(0, Command::Shutdown);
    world.run(3 * LATENCY);
    for group in [rooted, joined] {
        for peer in 0..3 {
            assert_eq!(world.reason(peer, group), Some(Reason::Shutdown { by: id(0) }));
        }
    }
    world.run(secs(60));
    world.assert_idle();
}

/// What a peer answers to a question about this group.
fn answer_about(world: &mut World, group: GroupId, from: usize, to: usize) -> Option<Answer> {
    let question = match group.root == id(from) {
        true => Request::Probe { groups: vec![group] },
        false => Request::NeedRepair {
            groups: vec![(group, None)],
        },
    };
    let (from, way) = (id(from), Way::Direct(RequestId(0)));
    let out = world.outputs(
        to,
        Input::Asked {
            from,
            way,
            request: question,
        },
    );
    out.into_iter().find_map(|output| match output {
        Output::Reply { answer, .. } => Some(answer),
        _ => None,
    })
}

#[test]
fn unknown_does_not_overtake_the_word_that_says_why() {
    let unknown = Some(status(Vec::new(), vec![0]));
    for (teller, asker) in [(1, 0), (0, 1)] {
        // The word arrives; it is lost, and that is noticed; it is lost, and only time tells.
        for fate in ["arrives", "fails", "is lost"] {
            let mut world = World::new(3);
            let group = world.group();
            world.break_paths(0, 1);
            if fate != "arrives" {
                world.deaf.insert((teller, asker));
            }
            let text = "no space left".to_owned();
            world.command(teller, Command::Signal { group, text });
            assert_eq!(answer_about(&mut world, group, asker, teller), None, "on its way");
            world.run(LATENCY * 2);
            match fate {
                "arrives" => assert!(matches!(world.reason(asker, group), Some(Reason::Signalled { .. }))),
                "fails" => {
                    assert_eq!(
                        answer_about(&mut world, group, asker, teller),
                        None,
                        "not known to be lost"
                    );
                    for post in 1..world.peers[teller].groups.shared.next_post() {
                        let (post, unknown) = (PostId(post), false);
                        world.input(teller, Input::PostFailed { post, unknown });
                    }
                    assert_eq!(world.peers[teller].groups.words.on_their_way(), 0);
                }
                _ => world.now += Config::lan().timings.patience_floor / 2,
            }
            assert_eq!(answer_about(&mut world, group, asker, teller), unknown, "{fate}");
        }
    }
}

/// Whom a peer posts this word to when its neighbour on the paths to 1 and 2 may be gone.
fn sent_around(at: usize, by: usize, reason: Reason) -> Vec<usize> {
    let mut world = World::new(4);
    let group = world.create(0, &[1, 2], None);
    world.run(secs(1));
    let paths = [1, 2].map(|member| world.path(group, member, 1)).to_vec();
    let notice = Notice::signed(group, reason, &keypair(by)).encoded();
    let before = world.fails_posted(at).len();
    world.input(at, Input::FailStuck { paths, notice });
    let posted = world.fails_posted(at).split_off(before);
    assert!(posted.iter().all(|(_, ways)| *ways == Ways::Every { round: 0 }));
    let mut told: Vec<usize> = posted.iter().filter_map(|(to, _)| world.index(to)).collect();
    told.sort_unstable();
    told
}

#[test]
fn a_word_that_is_stuck_is_posted_to_whoever_may_lack_it() {
    let signalled = |by| Reason::Signalled {
        by: id(by),
        text: String::new(),
    };
    assert_eq!(
        sent_around(3, 0, signalled(0)),
        [1, 2],
        "a delegate, of the root's word"
    );
    assert_eq!(
        sent_around(3, 1, signalled(1)),
        [0, 2],
        "a delegate, of a member's word"
    );
    assert_eq!(sent_around(0, 1, signalled(1)), [2], "the root");
    assert_eq!(
        sent_around(2, 2, signalled(2)),
        [1],
        "a member leaves the root to its own posting"
    );
    for reason in [
        Reason::MemberDied { peer: id(2) },
        Reason::MemberUnreachable { peer: id(2) },
        Reason::MemberForgot { peer: id(2) },
    ] {
        assert_eq!(sent_around(3, 0, reason), [1]);
    }
    assert_eq!(sent_around(3, 1, Reason::RootUnreachable { peer: id(0) }), [2]);
}

#[test]
fn a_stuck_word_that_is_none_is_not_passed_on() {
    let mut world = World::new(2);
    let group = world.group();
    let (paths, notice) = (vec![world.path(group, 1, 1)], b"nonsense".to_vec());
    assert!(world.outputs(0, Input::FailStuck { paths, notice }).is_empty());
}

#[test]
fn silence_is_for_one_group_only() {
    for silent in [0, 1] {
        let mut world = World::new(3);
        let (one, other) = (world.create(0, &[1, 2], None), world.create(0, &[1, 2], None));
        world.run(secs(1));
        world.command(silent, Command::FallSilent { group: one });
        let posts = world.peers[silent].posts.len();
        world.break_paths(0, 1);
        world.run(secs(60));
        let told: Vec<_> = world.peers[silent].posts[posts..].iter().collect();
        assert!(
            told.iter().all(|(_, _, request)| !matches!(request, Request::Fail(_))),
            "{told:?}"
        );
        for peer in 0..3 {
            assert!(world.failed(peer, one).is_some(), "{silent}: {peer}");
            assert_eq!(world.reason(peer, other), None);
        }
        let unreachable = match silent {
            0 => Reason::RootUnreachable { peer: id(0) },
            _ => Reason::MemberUnreachable { peer: id(1) },
        };
        assert_eq!(world.reason(1 - silent, one), Some(unreachable));
        world.run(secs(3600));
        world.assert_idle();
    }
}

#[test]
fn silence_ends_with_the_groups_own_bound_each_by_itself() {
    let mut world = World::new(2);
    let groups = [world.group(), world.group()];
    let bound = world.peers[1].groups.view(&groups[0]).unwrap().notification_bound;
    for group in groups {
        world.command(1, Command::FallSilent { group });
        world.run(secs(1));
    }
    let unknown = |world: &mut World, group| {
        let (from, way) = (id(0), Way::Direct(RequestId(0)));
        let request = Request::Probe { groups: vec![group] };
        !world.outputs(1, Input::Asked { from, way, request }).is_empty()
    };
    world.run(bound - secs(3));
    assert_eq!(groups.map(|group| unknown(&mut world, group)), [false, false]);
    world.now += secs(1);
    let out = world.outputs(1, Input::Wake);
    assert!(
        matches!(out[..], [Output::Unsilence { group }] if group == groups[0]),
        "{out:?}"
    );
    assert_eq!(groups.map(|group| unknown(&mut world, group)), [true, false]);
    world.run(secs(2));
    assert_eq!(groups.map(|group| unknown(&mut world, group)), [true, true]);
    world.assert_idle();
}

#[test]
fn beyond_4096_silent_groups_the_oldest_is_remembered_no_longer() {
    let mut world = World::new(1);
    let mut groups = Vec::new();
    for _ in 0..4097 {
        let group = world.create(0, &[], None);
        world.peers[0].events.clear();
        world.command(0, Command::FallSilent { group });
        groups.push(group);
        let silent = &world.peers[0].groups.words;
        assert_eq!(silent.is_silent(&groups[0]), groups.len() <= 4096);
    }
    assert!(world.peers[0].groups.words.is_silent(&groups[1]));
}
