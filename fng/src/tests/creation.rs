//! Creation: all accept, or the truth about who did not.

use super::*;
use crate::CreateError;
use crate::message::{MAX_LISTED, MAX_STATE, MAX_TAG, MAX_TEXT};

fn created(world: &World, group: GroupId) -> bool {
    let ticket = Ticket(7);
    world.events(0).contains(&&Event::Created { ticket, group })
}

#[test]
fn all_accept_and_their_paths_come_up() {
    let mut world = World::new(4);
    let group = world.group();
    assert!(created(&world, group));
    assert!(matches!(world.events(0)[0], Event::Creating { .. }), "first of all");
    let view = world.peers[0].groups.view(&group).unwrap();
    assert_eq!(view.hops, [Some(1); 3]);
    assert!(view.complete && view.root);
    assert_eq!(world.peers[0].groups.counters().created, 1);
    for member in 1..4 {
        assert_eq!(world.peers[member].groups.counters().joined, 1);
        assert!(world.events(member).contains(&&Event::Joined { group }));
        let view = world.peers[member].groups.view(&group).unwrap();
        assert_eq!(view.members, [id(0), id(1), id(2), id(3)]);
    }
    assert_eq!(
        (world.peers[0].groups.as_root(), world.peers[0].groups.as_member()),
        (1, 0)
    );
    assert_eq!(
        (world.peers[1].groups.as_root(), world.peers[1].groups.as_member()),
        (0, 1)
    );
}

/// "A group's own bound uses the hops that its `Confirm`s counted, plus detours", once all are counted; members do not know them.
#[test]
fn the_roots_bound_counts_the_hops_once_every_path_has_been_up() {
    let config = Config::lan();
    let bound = |world: &World, peer: usize, group| world.peers[peer].groups.view(&group).unwrap().notification_bound;
    let of_hops = |hops| config.timings.notification_bound(hops, config.tick);
    let mut world = World::new(3);
    let group = world.group();
    assert_eq!(bound(&world, 0, group), of_hops(1 + 3));
    assert_eq!(bound(&world, 1, group), of_hops(config.timings.hop_limit));
    let mut world = World::new(3);
    world.no_path.insert((0, 2));
    let group = world.group();
    assert_eq!(
        bound(&world, 0, group),
        of_hops(config.timings.hop_limit),
        "one is missing"
    );
}

#[test]
fn creation_does_not_wait_for_paths() {
    let mut world = World::new(2);
    world.no_path.insert((0, 1));
    let group = world.create(0, &[1], None);
    world.run(2 * LATENCY);
    assert!(created(&world, group));
}

#[test]
fn a_group_of_one_is_created_at_once_and_its_signal_works() {
    let mut world = World::new(1);
    let group = world.create(0, &[0, 0], None);
    assert!(created(&world, group));
    world.signal(0, group);
    assert!(world.reason(0, group).is_some());
    world.assert_idle();
}

#[test]
fn repeated_members_are_asked_once() {
    let mut world = World::new(2);
    world.create(0, &[1, 1, 0, 1], None);
    assert_eq!(world.posts(), 1);
}

#[test]
fn a_steady_group_has_no_timer_and_no_message() {
    let mut world = World::new(5);
    world.group();
    world.assert_idle();
    let posts = world.posts();
    world.run(secs(3600));
    assert_eq!(world.posts(), posts);
}

#[test]
fn every_refuser_is_named_and_everybody_else_is_told() {
    let mut world = World::new(4);
    world.command(2, Command::Shutdown);
    let group = world.create(0, &[1, 2, 3, 9], None);
    world.run(secs(1));
    let mut refusals = world.refusals(0).unwrap().to_vec();
    refusals.sort_by_key(|(peer, _)| *peer != id(2));
    assert_eq!(refusals, [(id(2), Refusal::Stopping), (id(9), Refusal::Unknown)]);
    assert!(matches!(world.reason(0, group), Some(Reason::CreationFailed { .. })));
    assert!(matches!(world.reason(1, group), Some(Reason::CreationFailed { .. })));
    assert!(matches!(world.reason(3, group), Some(Reason::CreationFailed { .. })));
    let order: Vec<_> = world.events(0).into_iter().rev().take(2).collect();
    assert!(matches!(order[..], [Event::Failed { .. }, Event::CreateFailed { .. }]));
    world.run(secs(60));
    world.assert_idle();
}

#[test]
fn who_does_not_answer_is_unreachable_at_the_time_limit() {
    let mut world = World::new(3);
    world.cut(0, 2);
    let group = world.create(0, &[1, 2], None);
    world.run(Duration::from_millis(4999));
    assert_eq!(world.reason(0, group), None);
    world.run(Duration::from_millis(2));
    assert_eq!(world.refusals(0), Some(&[(id(2), Refusal::Unreachable)][..]));
    world.run(secs(1));
    assert!(world.reason(1, group).is_some());
    let invitations = world.peers[0]
        .posts
        .iter()
        .filter(|(_, to, request)| *to == id(2) && matches!(request, Request::Invite(_)));
    assert!((3..=8).contains(&invitations.count()), "repeated with back-off");
}

#[test]
fn after_a_refusal_the_others_have_one_patience() {
    let mut world = World::new(4);
    world.cut(0, 3);
    world.command(2, Command::Shutdown);
    let group = world.create(0, &[1, 2, 3], None);
    world.run(secs(2));
    let refusals = world.refusals(0).unwrap();
    assert_eq!(refusals, [(id(2), Refusal::Stopping), (id(3), Refusal::Unreachable)]);
    assert!(world.reason(0, group).is_some());
}

#[test]
fn a_lost_accept_is_given_again() {
    let mut world = World::new(2);
    world.deaf.insert((1, 0));
    let group = world.create(0, &[1], None);
    world.run(Duration::from_millis(100));
    world.deaf.clear();
    world.run(secs(2));
    assert!(created(&world, group));
    let joined = world
        .events(1)
        .into_iter()
        .filter(|event| matches!(event, Event::Joined { .. }));
    assert_eq!(joined.count(), 1);
}

#[test]
fn everything_may_arrive_three_times() {
    let mut world = World::new(4);
    world.copies = 3;
    let group = world.group();
    assert!(created(&world, group));
    world.signal(2, group);
    world.run(secs(1));
    for peer in 0..4 {
        assert!(world.failed(peer, group).is_some());
    }
}

#[test]
fn an_invitation_after_the_failure_is_refused() {
    let mut world = World::new(2);
    let group = world.group();
    let late = world.invitation(0);
    world.signal(1, group);
    world.run(secs(1));
    world.ask(0, 1, Request::Invite(Box::new(late)));
    assert_eq!(world.peers[1].groups.as_member(), 0);
    assert!(world.failed(1, group).is_some());
}

#[test]
fn a_failure_that_overtakes_its_invitation_forestalls_it() {
    let mut world = World::new(2);
    world.create(0, &[1], None);
    let group = world.invitation(0).group;
    world.queue.clear();
    let late = world.invitation(0);
    world.signal(0, group);
    world.run(secs(1));
    world.ask(0, 1, Request::Invite(Box::new(late)));
    assert_eq!(world.peers[1].groups.as_member(), 0);
}

/// A member's word, or a false one, about a group that is not here must not keep anybody from accepting it.
#[test]
fn only_the_roots_genuine_word_forestalls_an_invitation() {
    use super::failure::forged;
    let mut world = World::new(3);
    world.create(0, &[1], None);
    world.queue.clear();
    let late = world.invitation(0);
    let group = late.group;
    for (forger, originator) in [(2, 2), (2, 0)] {
        let word = forged(group, forger, originator);
        world.ask(2, 1, Request::Fail(Box::new(word)));
    }
    world.ask(0, 1, Request::Invite(Box::new(late)));
    assert_eq!(world.peers[1].groups.as_member(), 1);
}

#[test]
fn an_invitation_must_come_from_its_root_and_be_in_order() {
    let mut world = World::new(3);
    world.create(0, &[1], None);
    let good = world.invitation(0);
    world.queue.clear();
    let mut bad = [good.clone(), good.clone(), good.clone()];
    bad[0].state = vec![0; MAX_STATE + 1];
    bad[1].members = vec![id(0); MAX_LISTED + 1];
    bad[2].members = vec![id(0), id(2)];
    for invitation in bad {
        world.ask(0, 1, Request::Invite(Box::new(invitation)));
    }
    world.ask(2, 1, Request::Invite(Box::new(good.clone())));
    assert_eq!(world.peers[1].groups.as_member(), 0);
    world.ask(0, 1, Request::Invite(Box::new(good)));
    assert_eq!(world.peers[1].groups.as_member(), 1);
}

#[test]
fn absurd_timings_are_declined() {
    let mut config = Config::lan();
    config.timings.path_timeout = secs(7200);
    let mut world = World::with(2, &config);
    world.create(0, &[1], None);
    world.run(secs(1));
    assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::IncompatibleTimings)][..]));
}

#[test]
fn the_application_decides_on_tags() {
    for refusal in [
        None,
        Some(Refusal::Declined {
            text: "ä".repeat(1000)
        }),
    ] {
        let mut world = World::new(2);
        let group = world.create(0, &[1], Some("job"));
        world.run(secs(2));
        assert!(
            matches!(world.events(1)[..], [Event::Invited { decide: true, .. }]),
            "shown once"
        );
        let accepted = refusal.is_none();
        world.command(1, Command::Decide { group, refusal });
        world.run(secs(1));
        assert_eq!(created(&world, group), accepted);
        assert_eq!(world.peers[1].groups.as_member(), usize::from(accepted));
        if !accepted {
            let text = "ä".repeat(512);
            assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Declined { text })][..]));
        }
    }
}

#[test]
fn an_undecided_invitation_ends_with_its_group() {
    let mut world = World::new(2);
    let group = world.create(0, &[1], Some("job"));
    world.run(secs(10));
    assert!(matches!(world.reason(1, group), Some(Reason::CreationFailed { .. })));
    let undecided = Command::Decide { group, refusal: None };
    world.command(1, undecided);
    assert_eq!(world.peers[1].groups.as_member(), 0);
    world.assert_idle();
}

#[test]
fn an_undecided_invitation_ends_when_its_root_is_gone() {
    let mut world = World::new(2);
    let group = world.create(0, &[1], Some("job"));
    world.run(secs(1));
    world.crash(0);
    world.run(secs(10));
    assert!(matches!(world.reason(1, group), Some(Reason::RootUnreachable { .. })));
    world.assert_idle();
}

#[test]
fn what_is_out_of_bounds_is_refused_before_anything_happens() {
    let mut config = Config::lan();
    (config.max_members, config.max_groups) = (3, 1);
    let mut world = World::with(4, &config);
    let attempt = |world: &mut World, members: &[usize], state: usize| {
        let command = Command::Create {
            ticket: Ticket(1),
            members: members.iter().map(|n| id(*n)).collect(),
            tag: None,
            state: vec![0; state],
            timeout: None,
            admit: Admit::Ask,
        };
        let events = world.events(0).len();
        world.command(0, command);
        match world.events(0)[events..] {
            [Event::CreateFailed { group: None, error, .. }] => error.clone(),
            _ => None,
        }
    };
    assert_eq!(
        attempt(&mut world, &[1, 2, 3], 0),
        Some(CreateError::TooManyMembers { max: 3 })
    );
    assert_eq!(
        attempt(&mut world, &[1], MAX_STATE + 1),
        Some(CreateError::StateTooLarge { max: MAX_STATE })
    );
    assert_eq!(attempt(&mut world, &[1], 0), None);
    assert_eq!(
        attempt(&mut world, &[2], 0),
        Some(CreateError::TooManyGroups { max: 1 })
    );
    world.command(0, Command::Shutdown);
    assert_eq!(attempt(&mut world, &[2], 0), Some(CreateError::Stopping));
}

#[test]
fn what_just_keeps_the_bounds_is_created() {
    let mut config = Config::lan();
    (config.max_members, config.max_groups) = (2, 1);
    let mut world = World::with(2, &config);
    let attempt = |world: &mut World, tag: usize| {
        let command = Command::Create {
            ticket: Ticket(7),
            members: vec![id(1)],
            tag: Some("t".repeat(tag)),
            state: vec![0; MAX_STATE],
            timeout: None,
            admit: Admit::Ask,
        };
        world.command(0, command);
    };
    attempt(&mut world, MAX_TAG + 1);
    let error = Some(CreateError::TagTooLong { max: MAX_TAG });
    assert!(matches!(world.events(0)[..], [Event::CreateFailed { error: said, .. }] if *said == error));
    attempt(&mut world, MAX_TAG);
    world.run(Duration::from_millis(10));
    let group = world.invitation(0).group;
    world.command(1, Command::Decide { group, refusal: None });
    world.run(Duration::from_millis(10));
    assert!(created(&world, group));
}

/// Up to 64 know each other; of more only the root knows all, and passes a member's word on under its own name.
#[test]
fn a_group_of_64_has_a_list_and_one_of_65_has_none() {
    for peers in [MAX_LISTED, MAX_LISTED + 1] {
        let mut world = World::new(peers);
        let group = world.group();
        assert!(created(&world, group), "{peers}");
        let known = world.peers[7].groups.view(&group).unwrap().members.len();
        assert_eq!(known, if peers == MAX_LISTED { MAX_LISTED } else { 2 });
        world.signal(7, group);
        world.run(3 * LATENCY);
        for peer in 0..peers {
            assert!(world.failed(peer, group).is_some(), "{peer} of {peers}");
        }
    }
}

/// 10,000 invitations at once would keep their root from its links for as long as these can be silent.
#[test]
fn many_members_are_invited_in_turns() {
    let mut world = World::new(201);
    let command = Command::Create {
        ticket: Ticket(7),
        members: (1..201).map(id).collect(),
        tag: None,
        state: Vec::new(),
        timeout: None,
        admit: Admit::Ask,
    };
    let mut invited = Vec::new();
    let mut outputs = world.outputs(0, Input::Command(command));
    loop {
        invited.push(
            outputs
                .iter()
                .filter(|output| matches!(output, Output::Post { .. }))
                .count(),
        );
        if invited.iter().sum::<usize>() == 200 {
            break;
        }
        world.now += Config::lan().tick;
        outputs = world.outputs(0, Input::Wake);
    }
    assert_eq!(invited, [64, 64, 64, 8]);
}

#[test]
fn an_invitation_whose_posting_failed_is_repeated_and_leaves_nothing_behind() {
    let mut world = World::new(2);
    world.deaf.insert((0, 1));
    let group = world.create(0, &[1], None);
    while world.posts() < 2 {
        world.run(LATENCY);
    }
    let (post, unknown) = (PostId(world.peers[0].groups.shared.next_post() - 1), false);
    world.input(0, Input::PostFailed { post, unknown });
    world.deaf.clear();
    world.run(secs(3));
    assert!(created(&world, group));
    world.assert_idle();
}

#[test]
fn a_member_at_its_limit_is_busy() {
    let mut config = Config::lan();
    config.max_groups = 1;
    let mut world = World::with(3, &config);
    world.create(2, &[1], None);
    world.run(secs(1));
    world.create(0, &[1], None);
    world.run(secs(1));
    assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Busy)][..]));
}

#[test]
fn no_root_alone_uses_up_a_members_room() {
    let mut config = Config::lan();
    config.max_groups_per_peer = 1;
    let mut world = World::with(3, &config);
    let first = world.create(0, &[1], None);
    let undecided = world.create(2, &[1], Some("job"));
    let decided = world.create(2, &[1], Some("job"));
    world.run(Duration::from_millis(10));
    world.create(0, &[1], None);
    for group in [decided, undecided] {
        world.command(1, Command::Decide { group, refusal: None });
    }
    world.run(secs(1));
    assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Busy)][..]));
    assert_eq!(world.refusals(2), Some(&[(id(1), Refusal::Busy)][..]));
    assert_eq!((world.failed(0, first), world.failed(2, decided)), (None, None));
    world.signal(0, first);
    world.run(secs(1));
    let again = world.create(0, &[1], None);
    world.run(secs(1));
    assert_eq!(world.failed(0, again), None, "room again");
}

#[test]
fn an_accepted_member_that_dies_fails_the_creation_and_is_named() {
    let mut world = World::new(3);
    world.cut(0, 2);
    let group = world.create(0, &[1, 2], None);
    world.run(Duration::from_millis(100));
    let proof = fatebound_overlay::DeathProof::Refused;
    world.input(0, Input::PeerDead { peer: id(1), proof });
    let refusals = world.refusals(0).unwrap();
    assert_eq!(refusals, [(id(2), Refusal::Overtaken), (id(1), Refusal::Unreachable)]);
    assert_eq!(world.reason(0, group), Some(Reason::MemberDied { peer: id(1) }));
}

#[test]
fn a_member_that_restarted_elsewhere_while_it_was_asked_may_still_accept() {
    let mut world = World::new(2);
    world.deaf.insert((0, 1));
    let group = world.create(0, &[1], None);
    world.run(Duration::from_millis(100));
    let proof = fatebound_overlay::DeathProof::Refused;
    world.input(0, Input::PeerDead { peer: id(1), proof });
    assert_eq!(world.failed(0, group), None);
    world.deaf.clear();
    world.run(secs(3));
    assert!(matches!(world.events(0).last(), Some(Event::Created { .. })));
}

/// A death ends what the dead peer has asked; a new life is no death of the invitation's root that anybody could be sure of.
#[test]
fn an_undecided_invitation_ends_with_the_proven_death_of_its_root_and_no_others() {
    use fatebound_overlay::DeathProof;
    let mut world = World::new(3);
    let (one, other) = (world.create(0, &[1], Some("job")), world.create(2, &[1], Some("job")));
    world.run(Duration::from_millis(10));
    let proof = DeathProof::Restarted;
    world.input(1, Input::PeerDead { peer: id(0), proof });
    assert_eq!(world.reason(1, one), None);
    let proof = DeathProof::Refused;
    world.input(1, Input::PeerDead { peer: id(0), proof });
    assert_eq!(world.reason(1, one), Some(Reason::RootDied { peer: id(0) }));
    assert_eq!(world.reason(1, other), None);
}

#[test]
fn each_undecided_invitation_has_its_own_time() {
    let mut world = World::new(3);
    let (one, other) = (world.create(0, &[1], Some("job")), world.create(2, &[1], Some("job")));
    world.run(Duration::from_millis(10));
    world.command(
        1,
        Command::Decide {
            group: one,
            refusal: None,
        },
    );
    world.crash(2);
    world.run(secs(10));
    assert_eq!(world.reason(1, one), None);
    assert_eq!(world.reason(1, other), Some(Reason::RootUnreachable { peer: id(2) }));
    world.assert_idle();
}

#[test]
fn a_peer_that_stops_declines_what_it_has_not_decided() {
    let mut world = World::new(2);
    let group = world.create(0, &[1], Some("job"));
    world.run(Duration::from_millis(10));
    world.command(1, Command::Shutdown);
    world.run(LATENCY);
    assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Stopping)][..]));
    assert_eq!(world.reason(1, group), Some(Reason::Shutdown { by: id(1) }));
}

#[test]
fn words_beyond_their_limits_come_to_the_creator_as_a_wordless_refusal() {
    let too_long = [
        Refusal::Declined {
            text: "x".repeat(MAX_TEXT + 1),
        },
        Refusal::NobodyWaits {
            tag: "x".repeat(MAX_TAG + 1),
        },
    ];
    for refusal in too_long {
        let mut world = World::new(2);
        world.create(0, &[1], None);
        let (post, from) = (PostId(world.peers[0].groups.shared.next_post() - 1), id(1));
        let answer = Answer::Decline(refusal);
        world.input(0, Input::Answered { post, from, answer });
        let text = String::new();
        assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Declined { text })][..]));
    }
}

#[test]
fn a_silent_member_does_not_answer_the_groups_invitation() {
    let mut world = World::new(2);
    let group = world.group();
    let request = Request::Invite(Box::new(world.invitation(0)));
    world.command(1, Command::FallSilent { group });
    let (from, way) = (id(0), Way::Direct(RequestId(0)));
    let answers = world.outputs(1, Input::Asked { from, way, request });
    assert!(answers.is_empty(), "{answers:?}");
}

#[test]
fn invitations_that_wait_are_bounded() {
    let mut world = World::new(2);
    let groups: Vec<GroupId> = (0..1025).map(|_| world.create(0, &[1], Some("job"))).collect();
    world.run(Duration::from_millis(3));
    assert_eq!(world.peers[1].groups.invitations.waiting(), 1024);
    assert_eq!(world.refusals(0), Some(&[(id(1), Refusal::Busy)][..]));
    assert!(world.failed(0, groups[1024]).is_some());
}

#[test]
fn declined_invitations_hear_the_same_words_again() {
    let mut world = World::new(2);
    let groups: Vec<GroupId> = (0..2).map(|_| world.create(0, &[1], Some("job"))).collect();
    world.run(Duration::from_millis(10));
    world.deaf.insert((1, 0));
    let refusal = |text: &str| Refusal::Declined { text: text.into() };
    for (group, text) in groups.iter().zip(["not", "now"]) {
        let (group, refusal) = (*group, Some(refusal(text)));
        world.command(1, Command::Decide { group, refusal });
    }
    world.deaf.clear();
    world.run(secs(1));
    for (group, text) in groups.iter().zip(["not", "now"]) {
        let heard = world.events(0).into_iter().find_map(|event| match event {
            Event::CreateFailed {
                group: of, refusals, ..
            } if *of == Some(*group) => Some(refusals.clone()),
            _ => None,
        });
        assert_eq!(heard, Some(vec![(id(1), refusal(text))]));
    }
}
