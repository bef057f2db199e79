//! Coming in later.

use super::comings::*;
use super::*;
use crate::admit::MAX_ASKING;
use crate::io::JoinError;
use crate::message::Asked;

#[test]
fn whoever_has_the_id_of_an_open_group_comes_in_and_counts() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.join(3, group);
    let ticket = Ticket(100);
    assert!(world.was_told(3, &Event::Joined { group }) && world.was_told(3, &Event::Admitted { ticket, group }));
    let came = Event::CameIn {
        group,
        peer: id(3),
        observer: false,
    };
    assert!(world.was_told(0, &came));
    world.run(SETTLED);
    for peer in 0..4 {
        assert_eq!(world.members(peer, group), ids(&[0, 1, 2, 3]), "at {peer}");
    }
    assert_alive(&world, group);
    world.crash(3);
    world.run(SETTLED);
    for peer in 0..3 {
        assert!(
            world.failed(peer, group).is_some(),
            "{peer} is told of the newcomer's death"
        );
    }
}

#[test]
fn a_newcomer_is_given_the_state_and_its_word_counts() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.join(3, group);
    let state = b"state".to_vec();
    assert!(
        world
            .events(3)
            .iter()
            .any(|event| matches!(event, Event::Invited { state: given, decide: false, .. } if *given == state))
    );
    world.run(SETTLED);
    world.signal(3, group);
    world.run(3 * LATENCY);
    for peer in 0..4 {
        let text = "enough".to_owned();
        assert_eq!(
            world.reason(peer, group),
            Some(Reason::Signalled { by: id(3), text }),
            "at {peer}"
        );
    }
}

#[test]
fn the_policy_decides_who_comes_in() {
    for (admit, in_the_end) in [
        (Admit::Open, true),
        (Admit::Members, false),
        (Admit::Listed([id(3)].into()), true),
        (Admit::Listed([id(2)].into()), false),
    ] {
        let mut world = World::new(4);
        let group = world.group_with(3, admit.clone());
        world.join(3, group);
        assert_eq!(world.is_in(3, group), in_the_end, "{admit:?}");
        let refused = JoinError::Refused(Refusal::NotAdmitted);
        assert_eq!(world.join_error(3), (!in_the_end).then_some(&refused), "{admit:?}");
        // Whoever was in it may come back.
        world.leave(1, group);
        world.run(SETTLED);
        assert!(world.left(1, group));
        world.join(1, group);
        assert!(world.is_in(1, group), "{admit:?}");
        world.run(SETTLED);
        assert_alive(&world, group);
    }
}

#[test]
fn the_application_decides_when_it_is_to_be_asked() {
    for refusal in [None, Some(Refusal::Declined { text: "no".into() })] {
        let mut world = World::new(4);
        let group = world.group_with(3, Admit::Ask);
        world.wish(3, group, false);
        world.run(secs(1));
        let asked = Event::Asked {
            group,
            peer: id(3),
            observe: false,
        };
        assert_eq!(
            world.events(0).iter().filter(|event| ***event == asked).count(),
            1,
            "once for all repetitions"
        );
        let peer = id(3);
        world.command(
            0,
            Command::Admit {
                group,
                peer,
                refusal: refusal.clone(),
            },
        );
        world.run(secs(1));
        assert_eq!(world.is_in(3, group), refusal.is_none());
        assert_eq!(world.join_error(3).cloned(), refusal.clone().map(JoinError::Refused));
        // A new wish is a new question; a repetition of the old one hears the same words.
        if refusal.is_some() {
            world.join(3, group);
            assert_eq!(world.events(0).iter().filter(|event| ***event == asked).count(), 2);
        }
        world.run(SETTLED);
        assert_alive(&world, group);
    }
}

#[test]
fn a_wish_that_nobody_decides_ends_with_its_time_and_is_forgotten() {
    let mut world = World::new(3);
    let group = world.group_with(2, Admit::Ask);
    world.wish(2, group, false);
    world.run(secs(4));
    assert_eq!(world.join_error(2), None);
    world.run(secs(60));
    assert_eq!(world.join_error(2), Some(&JoinError::Refused(Refusal::Unreachable)));
    let peer = id(2);
    world.command(
        0,
        Command::Admit {
            group,
            peer,
            refusal: None,
        },
    );
    world.run(secs(60));
    assert!(!world.is_in(2, group));
    assert_alive(&world, group);
}

#[test]
fn peers_that_wait_for_a_word_are_bounded() {
    let mut world = World::new(2);
    let group = world.group_with(1, Admit::Ask);
    let stranger = |n: usize| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&n.to_le_bytes());
        Keypair::ed25519_from_bytes(secret).unwrap().public().to_peer_id()
    };
    let wish = Request::Join {
        group,
        observe: false,
        number: 1,
    };
    for n in 0..=MAX_ASKING {
        let input = Input::Asked {
            from: stranger(n),
            way: Way::Direct(RequestId(n as u64)),
            request: wish.clone(),
        };
        let out = world.outputs(0, input);
        let busy = out.iter().any(|output| {
            matches!(
                output,
                Output::Reply {
                    answer: Answer::Decline(Refusal::Busy),
                    ..
                }
            )
        });
        assert_eq!(busy, n == MAX_ASKING);
    }
}

#[test]
fn a_group_that_is_over_says_so_to_whoever_wants_to_come_in() {
    let mut world = World::new(4);
    let [failed, closed] = [world.open_group(3), world.open_group(3)];
    world.signal(1, failed);
    world.leave(0, closed);
    world.run(secs(5));
    world.join(3, failed);
    let over = JoinError::Over(Reason::FailedAtRoot { peer: id(0) });
    assert_eq!(world.join_error(3), Some(&over));
    world.peers[3].events.clear();
    world.join(3, closed);
    assert_eq!(
        world.join_error(3),
        Some(&JoinError::Over(Reason::Closed { by: id(0) }))
    );
    world.peers[3].events.clear();
    let root = id(0);
    let never = GroupId {
        root,
        incarnation: 9,
        sequence: 9,
    };
    world.join(3, never);
    assert_eq!(world.join_error(3), Some(&over));
    world.run(SETTLED);
    world.assert_idle();
}

#[test]
fn a_root_that_cannot_be_asked_is_named() {
    let mut world = World::new(3);
    let group = world.open_group(2);
    world.deaf.insert((2, 0));
    world.wish(2, group, false);
    world.run(secs(10));
    assert_eq!(world.join_error(2), Some(&JoinError::Refused(Refusal::Unreachable)));
    world.peers[2].events.clear();
    let unknown = GroupId { root: id(99), ..group };
    world.join(2, unknown);
    assert_eq!(world.join_error(2), Some(&JoinError::Refused(Refusal::Unknown)));
    world.peers[2].events.clear();
    world.wish(2, group, false);
    let input = Input::PeerDead {
        peer: id(0),
        proof: fatebound_overlay::DeathProof::Goodbye,
    };
    world.input(2, input);
    assert_eq!(
        world.join_error(2),
        Some(&JoinError::Over(Reason::RootDied { peer: id(0) }))
    );
}

#[test]
fn joining_twice_is_joining_once() {
    let mut world = World::new(3);
    let group = world.open_group(2);
    world.wish(2, group, false);
    world.wish(2, group, false);
    world.wish(2, group, true);
    assert_eq!(world.join_error(2), Some(&JoinError::OtherRole));
    world.run(secs(1));
    world.wish(2, group, false);
    let admitted = |event: &&&Event| matches!(event, Event::Admitted { .. });
    assert_eq!(world.events(2).iter().filter(admitted).count(), 3, "each is told");
    let joined = world
        .events(2)
        .iter()
        .filter(|event| matches!(event, Event::Joined { .. }))
        .count();
    assert_eq!(joined, 1);
    world.wish(1, group, false);
    world.wish(0, group, false);
    assert!(
        world.events(1).iter().any(|event| admitted(&event)) && world.events(0).iter().any(|event| admitted(&event))
    );
    world.run(SETTLED);
    assert_alive(&world, group);
}

#[test]
fn everything_about_coming_and_going_may_arrive_three_times() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.copies = 3;
    world.join(3, group);
    world.run(SETTLED);
    assert_alive(&world, group);
    world.leave(3, group);
    world.run(SETTLED);
    assert!(world.left(3, group));
    world.join(3, group);
    world.run(SETTLED);
    assert!(world.is_in(3, group));
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
    world.leave(0, group);
    world.run(SETTLED);
    assert!((0..4).all(|peer| world.closed(peer, group) && world.failed(peer, group).is_none()));
    world.assert_idle();
}

/// ◆ second-join-asks: the first life's end would otherwise be told to nobody.
#[test]
fn a_member_that_restarted_and_asks_to_come_in_fails_the_group() {
    let mut world = World::new(3);
    let group = world.open_group(3);
    world.restart(2);
    world.queue.clear();
    world.wish(2, group, false);
    world.run(secs(1));
    assert_eq!(world.reason(1, group), Some(Reason::MemberForgot { peer: id(2) }));
    world.run(SETTLED);
    assert!(!world.is_in(2, group) && world.join_error(2).is_some());
}

/// ◆ asked-for: "a late one revives nothing".
#[test]
fn an_invitation_that_nobody_waits_for_any_more_is_refused() {
    let mut world = World::new(3);
    let group = world.open_group(2);
    world.join(2, group);
    let invitation = world.invitation(0);
    assert_eq!(invitation.asked.map(|asked| asked.observe), Some(false));
    world.leave(2, group);
    world.run(SETTLED);
    assert!(world.left(2, group));
    world.ask(0, 2, Request::Invite(Box::new(invitation.clone())));
    assert!(!world.is_in(2, group), "it was left");
    let number = invitation.asked.unwrap().number + 1;
    let asked = Some(Asked { number, observe: false });
    world.ask(0, 2, Request::Invite(Box::new(Invitation { asked, ..invitation })));
    assert!(!world.is_in(2, group), "it was never asked for");
}

#[test]
fn a_newcomer_whose_acceptance_is_lost_costs_nobody_anything_and_is_told() {
    let mut config = Config::lan();
    config.create_timeout = secs(1);
    let mut world = World::with(3, &config);
    let group = world.open_group(2);
    world.wish(2, group, false);
    world.run(LATENCY);
    // Its acceptance, and every one that follows.
    world.deaf.insert((2, 0));
    world.run(Duration::from_millis(1900));
    world.deaf.clear();
    assert!(world.is_in(2, group), "it believes to be a member");
    world.run(SETTLED);
    assert_eq!(world.reason(2, group), Some(Reason::NotMember { by: id(0) }));
    assert_alive_at(&world, &[0, 1], group);
}

#[test]
fn a_join_while_the_root_fails_ends_one_way_or_the_other() {
    for after in 0..8 {
        let mut world = World::new(3);
        let group = world.open_group(2);
        world.wish(2, group, false);
        world.run(Duration::from_millis(after));
        world.crash(0);
        world.run(SETTLED);
        let was_in = world.was_told(2, &Event::Joined { group });
        assert_eq!(world.failed(2, group).is_some(), was_in, "after {after} ms");
        assert_eq!(world.join_error(2).is_some(), !was_in, "after {after} ms");
        assert!(!world.is_in(2, group));
    }
}

#[test]
fn a_join_that_races_a_failure_ends_one_way_or_the_other() {
    for after in 0..8 {
        let mut world = World::new(3);
        let group = world.open_group(2);
        world.wish(2, group, false);
        world.run(Duration::from_millis(after));
        world.signal(1, group);
        world.run(SETTLED);
        let was_in = world.was_told(2, &Event::Joined { group });
        assert_eq!(world.failed(2, group).is_some(), was_in, "after {after} ms");
        assert_eq!(world.join_error(2).is_some(), !was_in, "after {after} ms");
        world.assert_idle();
    }
}

#[test]
fn a_join_waits_until_the_group_is_created() {
    let mut world = World::new(3);
    world.admit = Admit::Open;
    world.deaf.insert((1, 0));
    let group = world.create(0, &[1], None);
    world.wish(2, group, false);
    world.run(secs(1));
    assert!(!world.is_in(2, group));
    world.deaf.clear();
    world.run(secs(4));
    assert!(world.is_in(2, group));
    world.run(SETTLED);
    assert_alive(&world, group);
}

#[test]
fn two_hundred_joins_at_once() {
    let mut world = World::new(201);
    let group = world.open_group(1);
    for peer in 1..=200 {
        world.wish(peer, group, peer % 3 == 0);
    }
    world.run(SETTLED);
    let view = world.peers[0].groups.view(&group).unwrap();
    assert_eq!((view.members.len(), view.observers.len()), (135, 66));
    assert_alive(&world, group);
    world.signal(1, group);
    world.run(SETTLED);
    assert!((0..=200).all(|peer| world.failed(peer, group).is_some()));
}

#[test]
fn a_peer_that_stops_ends_its_wishes() {
    let mut world = World::new(3);
    let group = world.group_with(2, Admit::Ask);
    world.wish(2, group, false);
    world.run(secs(1));
    world.command(2, Command::Shutdown);
    assert_eq!(world.join_error(2), Some(&JoinError::Stopping));
    world.peers[2].events.clear();
    world.wish(2, group, false);
    assert_eq!(world.join_error(2), Some(&JoinError::Stopping));
}

#[test]
fn joins_under_way_are_bounded() {
    let mut world = World::new(1);
    let root = id(50);
    for sequence in 0..=crate::join::MAX_JOINS as u64 {
        let group = GroupId {
            root,
            incarnation: 1,
            sequence,
        };
        let command = Command::Join {
            ticket: Ticket(sequence),
            group,
            observe: false,
            timeout: None,
        };
        world.command(0, command);
        let refused = matches!(world.join_error(0), Some(JoinError::TooMany { .. }));
        assert_eq!(refused, sequence == crate::join::MAX_JOINS as u64);
    }
}

#[test]
fn state_for_those_who_come_later_is_bounded_and_given_back() {
    let mut config = Config::lan();
    config.max_kept_state = 12;
    let mut world = World::with(1, &config);
    let first = world.open_group(1);
    world.create(0, &[], None);
    let command = |admit| Command::Create {
        ticket: Ticket(9),
        members: Vec::new(),
        tag: None,
        state: b"state".to_vec(),
        timeout: None,
        admit,
    };
    let refused = |world: &World| {
        world.events(0).iter().any(|event| {
            matches!(
                event,
                Event::CreateFailed {
                    error: Some(crate::CreateError::TooMuchState { max: 12 }),
                    ..
                }
            )
        })
    };
    world.command(0, command(Admit::Members));
    assert!(!refused(&world), "nothing is kept where nobody may come");
    world.command(0, command(Admit::Open));
    assert!(refused(&world));
    world.peers[0].events.clear();
    world.leave(0, first);
    world.command(0, command(Admit::Open));
    assert!(!refused(&world));
}
