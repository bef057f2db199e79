//! Questions to a far end: what proves that it lives, what proves nothing, and when patience ends.

use super::*;
use crate::message::Answer;

#[test]
fn a_member_that_cannot_be_reached_fails_the_group_after_patience() {
    for (round_trips, millis) in [(None, 6000), (Some(LATENCY), 1800), (Some(secs(1)), 3000)] {
        let mut world = World::new(3);
        world.round_trips = round_trips;
        let group = world.group();
        let begin = world.now;
        world.crash(1);
        world.run(secs(20));
        let (at, reason) = world.failed(0, group).unwrap();
        assert_eq!(reason, Reason::MemberUnreachable { peer: id(1) });
        assert_eq!(at.since(begin), Duration::from_millis(millis));
        assert_eq!(world.reason(2, group), Some(reason));
    }
}

/// For a moment a new link has no samples, and patience is the ceiling. Whatever was decided in that moment must not outlast it.
#[test]
fn a_moment_without_samples_does_not_end_the_questions() {
    // A member asks every half second, and a quarter of the ceiling is longer than its patience.
    let mut config = Config::wan();
    config.timings.patience_floor = secs(2);
    let mut world = World::with(2, &config);
    let group = world.group();
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(Duration::from_millis(499));
    world.round_trips = None;
    world.run(Duration::from_millis(2));
    world.round_trips = Some(LATENCY);
    world.run(secs(20));
    assert_eq!((world.reason(0, group), world.reason(1, group)), (None, None));
}

/// Nor must it lengthen anybody's patience: whoever dies, the other end is as quick as if all links had had their samples.
#[test]
fn a_moment_without_samples_does_not_make_patience_longer() {
    for (dead, other) in [(1, 0), (0, 1)] {
        let mut world = World::new(2);
        let group = world.group();
        let begin = world.now;
        world.crash(dead);
        world.round_trips = None;
        world.run(secs(1));
        world.round_trips = Some(LATENCY);
        world.run(secs(20));
        let (at, _) = world.failed(other, group).unwrap();
        let floor = Config::lan().timings.patience_floor;
        // The floor, and what is left of a pause between two questions.
        assert!(at.since(begin) <= floor + floor / 4, "{:?}", at.since(begin));
    }
}

/// Its process slept, or its clock jumped, and the network comes back half a second after it: the answers may lie there unread, or be still to come.
#[test]
fn who_slept_while_it_asked_has_patience_again() {
    for asker in [0, 1] {
        let mut world = World::with(2, &Config::wan());
        let group = world.group();
        let path = world.path(group, 1, 1);
        world.deaf.extend([(0, 1), (1, 0)]);
        world.tree(asker, fatebound_tree::Event::Suspected { path });
        world.run(Duration::from_millis(2900));
        world.now += secs(5);
        world.input(asker, Input::Wake);
        assert_eq!(world.reason(asker, group), None, "not before it has asked again");
        world.run(Duration::from_millis(500));
        world.deaf.clear();
        world.run(secs(60));
        assert_alive(&world, group);
    }
}

/// Once for sending and once for reading, and as much for the other end; whatever the links say.
#[test]
fn who_was_late_by_a_tenth_of_a_second_has_half_a_second_more() {
    let mut world = World::new(2);
    let group = world.group();
    let begin = world.now;
    world.crash(1);
    world.run(secs(1));
    let late = Duration::from_millis(100);
    world.now = world.peers[0].groups.deadline().unwrap() + late;
    world.input(0, Input::Wake);
    world.run(secs(20));
    let (at, _) = world.failed(0, group).unwrap();
    assert_eq!(at.since(begin), Config::lan().timings.patience_floor + late + 4 * late);
}

/// It is slow, and accuses nobody for what it was late itself; what it has run counts.
#[test]
fn who_sleeps_again_and_again_counts_the_time_in_which_it_ran() {
    let mut world = World::with(2, &Config::wan());
    let group = world.group();
    world.cut(0, 1);
    world.run(LATENCY);
    for _ in 0..20 {
        world.now += secs(2);
        world.input(0, Input::Wake);
        assert_eq!(world.failed(0, group), None);
    }
    let awake = world.now;
    world.run(secs(60));
    let (at, _) = world.failed(0, group).expect("it is given up");
    let took = at.since(awake);
    assert!(took <= Config::wan().timings.probe_timeout, "{took:?}");
}

/// The verdict follows the links: who is slow now has not been patient for long enough.
#[test]
fn patience_that_grows_while_it_runs_puts_the_verdict_off() {
    let mut world = World::new(2);
    let group = world.group();
    let begin = world.now;
    world.crash(1);
    world.run(secs(1));
    world.round_trips = Some(secs(1));
    world.run(secs(10));
    let (at, _) = world.failed(0, group).unwrap();
    assert_eq!(at.since(begin), secs(3), "three round trips");
}

#[test]
fn the_first_question_takes_the_direct_way_and_repetitions_all_of_them() {
    for (by, to) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        let group = world.group();
        world.deaf.insert((to, by));
        let before = world.peers[by].posts.len();
        let path = world.path(group, 1, 1);
        world.tree(by, fatebound_tree::Event::Suspected { path });
        world.run(Duration::from_millis(1500));
        let ways = &world.peers[by].sent_by[before..];
        assert_eq!(ways[..2], [Ways::Direct, Ways::Every { round: 1 }], "by {by}");
        assert!(ways.len() > 3 && !ways[1..].contains(&Ways::Direct), "{ways:?}");
    }
}

/// "It counts from its arrival": unlike a member's.
#[test]
fn a_roots_patience_begins_anew_when_a_proof_arrives() {
    let mut world = World::new(2);
    let group = world.group();
    world.deaf.extend([(0, 1), (1, 0)]);
    world.no_path.insert((0, 1));
    let begin = world.now;
    world.break_paths(0, 1);
    world.run(Duration::from_millis(200));
    let asked = PostId(world.peers[0].groups.shared.next_post() - 1);
    world.run(Duration::from_millis(1500));
    let (alive, unknown) = (vec![0], Vec::new());
    let answer = status(alive, unknown);
    let (post, from) = (asked, id(1));
    world.input(0, Input::Answered { post, from, answer });
    world.run(secs(10));
    let (at, reason) = world.failed(0, group).unwrap();
    assert_eq!(reason, Reason::MemberUnreachable { peer: id(1) });
    assert_eq!(at.since(begin), Duration::from_millis(1700 + 1800));
}

#[test]
fn a_suspected_member_that_answers_is_cleared_and_its_path_stays() {
    let mut world = World::new(2);
    let group = world.group();
    for (peer, constructs) in [(0, 1), (1, 1)] {
        let path = world.path(group, 1, 1);
        world.tree(peer, fatebound_tree::Event::Suspected { path });
        world.run(Duration::from_millis(10));
        assert_eq!(world.constructs.len(), constructs);
        assert_eq!(probes(&world, peer), 1);
        assert_alive(&world, group);
    }
}

#[test]
fn a_suspected_member_that_is_silent_fails_the_group() {
    let mut world = World::new(2);
    let group = world.group();
    world.deaf.extend([(1, 0)]);
    let path = world.path(group, 1, 1);
    let begin = world.now;
    world.tree(0, fatebound_tree::Event::Suspected { path });
    world.run(secs(10));
    let (at, reason) = world.failed(0, group).unwrap();
    assert_eq!(reason, Reason::MemberUnreachable { peer: id(1) });
    assert_eq!(at.since(begin), Duration::from_millis(1800));
}

#[test]
fn answers_of_an_older_repair_prove_nothing() {
    let mut world = World::new(2);
    let group = world.group();
    let path = world.path(group, 1, 1);
    world.tree(0, fatebound_tree::Event::Suspected { path });
    world.run(Duration::from_millis(10));
    world.crash(1);
    world.run(secs(1));
    for post in 0..3 {
        let (alive, unknown) = (vec![0], Vec::new());
        let answer = status(alive, unknown);
        let (post, from) = (PostId(post), id(1));
        world.input(0, Input::Answered { post, from, answer });
    }
    world.run(secs(1));
    assert!(world.failed(0, group).is_some(), "within patience of the crash");
}

#[test]
fn an_answer_from_before_the_newest_suspicion_does_not_clear_it() {
    let mut world = World::new(2);
    let group = world.group();
    let path = world.path(group, 1, 1);
    world.tree(0, fatebound_tree::Event::Suspected { path });
    world.run(LATENCY);
    world.tree(0, fatebound_tree::Event::Suspected { path });
    world.run(2 * LATENCY);
    assert!(
        world.peers[0].groups.deadline().is_some(),
        "one answer has come, and does not do"
    );
    world.run(secs(1));
    assert_alive(&world, group);
    assert_eq!(probes(&world, 0), 2);
}

#[test]
fn an_answer_to_a_question_of_long_ago_proves_nothing() {
    let mut world = World::new(2);
    let group = world.group();
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(Duration::from_millis(200));
    let old = PostId(world.peers[0].groups.shared.next_post() - 1);
    world.run(secs(10));
    world.deaf.extend([(0, 1), (1, 0)]);
    for _ in 0..20 {
        let (alive, unknown) = (vec![0], Vec::new());
        let answer = status(alive, unknown);
        let (post, from) = (old, id(1));
        world.input(0, Input::Answered { post, from, answer });
        world.run(Duration::from_millis(100));
    }
    assert_eq!(world.reason(0, group), Some(Reason::MemberUnreachable { peer: id(1) }));
}

/// "Only answers to its own numbers count, from the time they were *sent*."
#[test]
fn a_members_patience_begins_with_the_question_that_was_answered() {
    let mut world = World::new(2);
    let group = world.group();
    world.deaf.extend([(0, 1), (1, 0)]);
    world.no_path.insert((0, 1));
    let begin = world.now;
    let asked = PostId(world.peers[1].groups.shared.next_post());
    world.break_paths(0, 1);
    world.run(Duration::from_millis(1700));
    let (alive, unknown) = (vec![0], Vec::new());
    let answer = status(alive, unknown);
    let (post, from) = (asked, id(0));
    world.input(1, Input::Answered { post, from, answer });
    world.run(secs(10));
    let (at, reason) = world.failed(1, group).unwrap();
    assert_eq!(reason, Reason::RootUnreachable { peer: id(0) });
    assert!(at.since(begin) < Duration::from_millis(1900), "{:?}", at.since(begin));
}

#[test]
fn an_answer_must_come_from_whom_was_asked() {
    let mut world = World::new(3);
    let group = world.create(0, &[1], None);
    world.run(secs(1));
    let path = world.path(group, 1, 1);
    world.deaf.insert((1, 0));
    world.tree(0, fatebound_tree::Event::Suspected { path });
    world.run(LATENCY);
    for post in 0..100 {
        let (alive, unknown) = (Vec::new(), vec![0, 9, 9]);
        let answer = status(alive, unknown);
        let (post, from) = (PostId(post), id(2));
        world.input(0, Input::Answered { post, from, answer });
    }
    assert_eq!(world.reason(0, group), None);
}

#[test]
fn a_thousand_groups_of_one_pair_share_their_questions() {
    let mut world = World::new(2);
    let groups: Vec<GroupId> = (0..1000).map(|_| world.create(0, &[1], None)).collect();
    world.run(secs(1));
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(Duration::from_millis(1050));
    // 1000 groups are four postings: 3 rounds of 400 ms at the root (after probe_delay), 3 of 450 ms at the member.
    assert!((8..=12).contains(&probes(&world, 0)), "{}", probes(&world, 0));
    assert!((8..=12).contains(&probes(&world, 1)), "{}", probes(&world, 1));
    for peer in [0, 1] {
        assert_eq!(
            world.peers[peer].groups.counters().questions,
            probes(&world, peer) as u64
        );
    }
    world.no_path.clear();
    world.run(secs(10));
    for group in groups {
        assert_alive(&world, group);
    }
}

/// Lets time pass in which no answer about groups arrives.
fn run_unanswered(world: &mut World, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.run(LATENCY / 4);
        let status = |input: &Input| {
            matches!(
                input,
                Input::Answered {
                    answer: Answer::Status(_),
                    ..
                }
            )
        };
        world.queue.retain(|_, (_, input)| !status(input));
    }
}

#[test]
fn a_groups_answer_does_not_speak_for_the_successor_in_its_slot() {
    let mut world = World::new(2);
    let (other, first) = (world.group(), world.group());
    for group in [other, first] {
        let path = world.path(group, 1, 1);
        world.tree(0, fatebound_tree::Event::Suspected { path });
        run_unanswered(&mut world, Duration::from_millis(60));
    }
    let asked = PostId(world.peers[0].groups.shared.next_post() - 1);
    let groups = vec![first];
    assert_eq!(world.peers[0].posts.last().unwrap().2, Request::Probe { groups });
    world.signal(0, first);
    let second = world.create(0, &[1], None);
    run_unanswered(&mut world, Duration::from_millis(60));
    let path = world.path(second, 1, 1);
    world.tree(0, fatebound_tree::Event::Suspected { path });
    let (alive, unknown) = (Vec::new(), vec![0]);
    let answer = status(alive, unknown);
    let (post, from) = (asked, id(1));
    world.input(0, Input::Answered { post, from, answer });
    assert_eq!(world.reason(0, second), None);
    world.run(secs(60));
    assert_alive(&world, second);
}

#[test]
fn a_check_asks_everybody() {
    for by in 0..3 {
        let mut world = World::new(3);
        let group = world.group();
        let ticket = Ticket(3);
        world.command(by, Command::Check { ticket, group });
        world.run(Duration::from_millis(10));
        let members = if by == 0 {
            vec![(id(1), true), (id(2), true)]
        } else {
            vec![(id(0), true)]
        };
        let alive = Some(true);
        assert_eq!(
            world.events(by).last(),
            Some(&&Event::Checked { ticket, alive, members })
        );
        assert_alive(&world, group);
    }
}

#[test]
fn a_check_of_a_member_that_does_not_answer_fails_the_group() {
    let mut world = World::new(3);
    let group = world.group();
    world.deaf.insert((2, 0));
    let ticket = Ticket(3);
    world.command(0, Command::Check { ticket, group });
    world.run(secs(2));
    let members = vec![(id(1), true), (id(2), false)];
    let alive = Some(false);
    assert!(world.events(0).contains(&&Event::Checked { ticket, alive, members }));
    assert_eq!(world.reason(0, group), Some(Reason::MemberUnreachable { peer: id(2) }));
    world.command(0, Command::Check { ticket, group });
    let (alive, members) = (None, Vec::new());
    assert_eq!(
        world.events(0).last(),
        Some(&&Event::Checked { ticket, alive, members })
    );
}
