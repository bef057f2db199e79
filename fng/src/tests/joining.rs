//! Coming in later, observing, leaving, closing.

use super::*;
use crate::admit::MAX_ASKING;
use crate::io::{JoinError, LeaveError};
use crate::message::{Asked, MAX_LISTED, Notice};

/// So long after everything has settled: any question has had its answer, any list its acknowledgement.
const SETTLED: Duration = Duration::from_secs(60);

impl World {
    /// A group of peer 0 with the next ones, `members` in all, that others may come into.
    fn open_group(&mut self, members: usize) -> GroupId {
        self.group_with(members, Admit::Open)
    }

    fn group_with(&mut self, members: usize, admit: Admit) -> GroupId {
        self.admit = admit;
        let others: Vec<usize> = (1..members).collect();
        let group = self.create(0, &others, None);
        self.run(Duration::from_millis(100));
        group
    }

    fn wish(&mut self, peer: usize, group: GroupId, observe: bool) {
        let command = Command::Join {
            ticket: Ticket(100),
            group,
            observe,
            timeout: None,
        };
        self.command(peer, command);
    }

    fn join(&mut self, peer: usize, group: GroupId) {
        self.wish(peer, group, false);
        self.run(Duration::from_millis(100));
    }

    fn observe(&mut self, peer: usize, group: GroupId) {
        self.wish(peer, group, true);
        self.run(Duration::from_millis(100));
    }

    fn leave(&mut self, peer: usize, group: GroupId) {
        let ticket = Ticket(200);
        self.command(peer, Command::Leave { ticket, group });
    }

    fn members(&self, peer: usize, group: GroupId) -> Vec<PeerId> {
        let view = self.peers[peer].groups.view(&group);
        view.map(|view| view.members).unwrap_or_default()
    }

    fn is_in(&self, peer: usize, group: GroupId) -> bool {
        self.peers[peer].groups.view(&group).is_some()
    }

    fn join_error(&self, peer: usize) -> Option<&JoinError> {
        self.events(peer).into_iter().find_map(|event| match event {
            Event::JoinFailed { error, .. } => Some(error),
            _ => None,
        })
    }

    fn was_told(&self, peer: usize, what: &Event) -> bool {
        self.events(peer).contains(&what)
    }

    fn left(&self, peer: usize, group: GroupId) -> bool {
        self.was_told(peer, &Event::Left { group })
    }

    fn closed(&self, peer: usize, group: GroupId) -> bool {
        let by = group.root;
        self.was_told(peer, &Event::Closed { group, by })
    }
}

fn ids(peers: &[usize]) -> Vec<PeerId> {
    peers.iter().map(|peer| id(*peer)).collect()
}

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

/// ◆ lists-follow: the others do not know the newcomer yet, so the root vouches for its word.
#[test]
fn the_word_of_a_newcomer_that_the_lists_do_not_name_yet_is_the_roots() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.wish(3, group, false);
    world.run(6 * LATENCY);
    assert!(world.is_in(3, group));
    assert_eq!(world.members(1, group), ids(&[0, 1, 2]), "no list yet");
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
fn lists_that_are_lost_are_told_again() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.wish(3, group, false);
    world.run(6 * LATENCY);
    world.deaf.insert((0, 1));
    world.run(secs(1));
    assert_eq!(world.members(1, group), ids(&[0, 1, 2]));
    assert_eq!(world.members(2, group), ids(&[0, 1, 2, 3]));
    world.deaf.clear();
    world.run(SETTLED);
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
    world.assert_idle();
}

#[test]
fn an_older_list_that_comes_late_changes_nothing() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.join(3, group);
    world.run(SETTLED);
    let members = ids(&[0, 1, 2]);
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 1,
            members: members.clone(),
        },
    );
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
    // Nor do a stranger's, and one that is no list.
    world.ask(
        2,
        1,
        Request::Members {
            group,
            list: 9,
            members: members.clone(),
        },
    );
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 9,
            members: ids(&[1, 0]),
        },
    );
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 9,
            members: vec![id(0); MAX_LISTED + 1],
        },
    );
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
}

#[test]
fn a_group_that_outgrows_lists_is_large_from_then_on() {
    let mut world = World::new(MAX_LISTED + 1);
    let group = world.open_group(MAX_LISTED);
    assert_eq!(world.members(1, group).len(), MAX_LISTED);
    world.join(MAX_LISTED, group);
    world.run(SETTLED);
    assert_eq!(world.members(0, group).len(), MAX_LISTED + 1, "the root knows");
    assert_eq!(world.members(1, group), ids(&[0, 1]), "others know no list any more");
    assert_eq!(world.members(MAX_LISTED, group), ids(&[0, MAX_LISTED]));
    let lists = world.posts();
    world.leave(MAX_LISTED, group);
    world.run(SETTLED);
    assert!(world.left(MAX_LISTED, group));
    assert_eq!(world.posts(), lists + 1, "the departure, and no list");
    world.signal(5, group);
    world.run(SETTLED);
    assert!((0..MAX_LISTED).all(|peer| world.failed(peer, group).is_some()));
    assert_eq!(world.failed(MAX_LISTED, group), None);
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

#[test]
fn an_observer_that_restarted_is_admitted_anew() {
    let mut world = World::new(3);
    let group = world.open_group(2);
    world.observe(2, group);
    world.restart(2);
    world.queue.clear();
    world.wish(2, group, true);
    world.run(secs(4));
    assert!(world.is_in(2, group));
    world.run(SETTLED);
    assert_alive(&world, group);
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

fn assert_alive_at(world: &World, peers: &[usize], group: GroupId) {
    for peer in peers {
        assert_eq!(world.reason(*peer, group), None, "at {peer}");
        assert!(world.is_in(*peer, group), "at {peer}");
    }
    world.assert_idle();
}

#[test]
fn an_observer_is_told_like_a_member() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    assert!(world.was_told(3, &Event::Observing { group }));
    world.run(SETTLED);
    assert_eq!(world.members(1, group), ids(&[0, 1, 2]), "it is on no list");
    let view = world.peers[0].groups.view(&group).unwrap();
    assert_eq!((view.members, view.observers), (ids(&[0, 1, 2]), ids(&[3])));
    world.crash(2);
    world.run(SETTLED);
    assert!(world.failed(3, group).is_some());
}

/// ◆ observer-is-nobody.
#[test]
fn the_end_of_an_observer_is_nobodys() {
    for how in 0..4 {
        let mut world = World::new(4);
        let group = world.open_group(3);
        world.observe(3, group);
        match how {
            0 => world.crash(3),
            1 => world.cut(0, 3),
            2 => world.restart(3),
            _ => {
                let proof = fatebound_overlay::DeathProof::Refused;
                world.peers[3].up = false;
                world.input(0, Input::PeerDead { peer: id(3), proof });
            }
        }
        world.run(SETTLED);
        assert_alive_at(&world, &[0, 1, 2], group);
        let went = Event::WentOut {
            group,
            peer: id(3),
            observer: true,
        };
        assert!(world.was_told(0, &went), "{how}");
        let alone = world.failed(3, group);
        assert_eq!(alone.is_some(), how == 1, "{how}: an observer without its root is told");
    }
}

#[test]
fn an_observer_has_no_word() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    world.signal(3, group);
    let by = id(3);
    let text = "a lie".to_owned();
    let notice = Notice::signed(group, Reason::Signalled { by, text }, &keypair(3));
    for to in [0, 1] {
        world.ask(3, to, Request::Fail(Box::new(notice.clone())));
    }
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1, 2, 3], group);
    world.command(3, Command::FallSilent { group });
    world.run(SETTLED);
    assert_eq!(world.reason(0, group), None);
    let observers = world.peers[0].groups.view(&group).map(|view| view.observers);
    assert_eq!(observers, Some(Vec::new()), "it keeps silent, so it is lost");
}

#[test]
fn whoever_leaves_is_out_by_its_roots_word_and_nobody_fails() {
    let mut world = World::new(4);
    let group = world.group();
    world.leave(2, group);
    assert!(
        !world.left(2, group) && world.is_in(2, group),
        "not before the root has said so"
    );
    world.run(3 * LATENCY);
    assert!(world.left(2, group) && !world.is_in(2, group));
    let (ticket, error) = (Ticket(200), None);
    assert!(world.was_told(2, &Event::LeaveEnded { ticket, group, error }));
    world.run(SETTLED);
    for peer in [0, 1, 3] {
        assert_eq!(world.members(peer, group), ids(&[0, 1, 3]));
    }
    assert_alive_at(&world, &[0, 1, 3], group);
    world.crash(2);
    world.signal(1, group);
    world.run(SETTLED);
    assert!(world.failed(0, group).is_some() && world.failed(3, group).is_some());
    assert_eq!(world.failed(2, group), None);
}

#[test]
fn a_former_member_has_no_word() {
    let mut world = World::new(4);
    let group = world.group();
    world.leave(2, group);
    world.run(SETTLED);
    let text = "a lie".to_owned();
    let notice = Notice::signed(group, Reason::Signalled { by: id(2), text }, &keypair(2));
    for to in [0, 1, 3] {
        world.ask(2, to, Request::Fail(Box::new(notice.clone())));
    }
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1, 3], group);
}

#[test]
fn everybody_may_leave_and_the_root_stays_until_it_closes() {
    let mut world = World::new(3);
    let group = world.open_group(3);
    for peer in [1, 2] {
        world.leave(peer, group);
    }
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0]));
    world.join(1, group);
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0, 1]));
    world.leave(0, group);
    world.run(SETTLED);
    assert!(world.closed(0, group) && world.closed(1, group) && !world.closed(2, group));
    world.assert_idle();
}

#[test]
fn a_departure_is_asked_for_again_until_it_is_acknowledged() {
    for lost in [(2, 0), (0, 2)] {
        let mut world = World::new(3);
        let group = world.group();
        world.deaf.insert(lost);
        world.leave(2, group);
        world.run(Duration::from_millis(500));
        assert!(world.is_in(2, group));
        world.deaf.clear();
        world.run(SETTLED);
        assert!(world.left(2, group), "{lost:?}");
        assert_alive_at(&world, &[0, 1], group);
    }
}

#[test]
fn a_departure_that_races_a_failure_hears_of_the_failure() {
    let mut world = World::new(3);
    let group = world.group();
    // The failure is on its way to the root when the departure begins.
    world.signal(1, group);
    world.leave(2, group);
    world.run(SETTLED);
    assert!(world.failed(2, group).is_some() && !world.left(2, group));
    let over = |event: &&Event| {
        matches!(
            event,
            Event::LeaveEnded {
                error: Some(LeaveError::Over(Reason::Signalled { .. })),
                ..
            }
        )
    };
    assert!(world.events(2).iter().any(over), "{:?}", world.events(2));
    world.assert_idle();
}

#[test]
fn a_departure_whose_word_is_lost_hears_unknown_of_a_group_that_failed_meanwhile() {
    let mut world = World::new(3);
    let group = world.group();
    world.cut(1, 2);
    world.cut(0, 2);
    world.signal(1, group);
    world.leave(2, group);
    world.run(secs(1));
    assert!(world.failed(0, group).is_some());
    world.deaf.clear();
    world.run(SETTLED);
    assert_eq!(world.reason(2, group), Some(Reason::FailedAtRoot { peer: id(0) }));
    assert!(!world.left(2, group));
}

/// ◆ leaver-is-mute and ◆ left-is-no-failure.
#[test]
fn a_leaver_that_cannot_reach_its_root_has_left_and_fails_nobody() {
    let mut world = World::new(3);
    let group = world.group();
    world.leave(2, group);
    world.queue.clear();
    world.deaf.extend([(0, 2), (2, 0)]);
    world.signal(2, group);
    world.run(secs(2));
    assert!(world.left(2, group), "its patience is over");
    assert_eq!(world.failed(2, group), None);
    world.deaf.clear();
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1], group);
    assert_eq!(
        world.members(0, group),
        ids(&[0, 1]),
        "the root has found out, and nobody failed"
    );
}

#[test]
fn leaving_while_a_repair_runs() {
    for after in [0, 1, 20, 500] {
        let mut world = World::new(3);
        let group = world.group();
        world.no_path.insert((0, 2));
        world.break_paths(0, 2);
        world.run(Duration::from_millis(after));
        world.leave(2, group);
        world.run(secs(2));
        assert!(world.left(2, group), "after {after} ms");
        world.run(SETTLED);
        assert_alive_at(&world, &[0, 1], group);
    }
}

#[test]
fn a_closed_group_is_over_without_a_failure() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    world.leave(0, group);
    world.run(3 * LATENCY);
    for peer in 0..4 {
        assert!(
            world.closed(peer, group) && world.failed(peer, group).is_none(),
            "at {peer}"
        );
        assert!(world.peers[peer].groups.counters().failures.is_empty());
        assert_eq!(world.peers[peer].groups.counters().closed, 1);
    }
    world.run(SETTLED);
    world.assert_idle();
}

/// ◆ closed-is-remembered.
#[test]
fn whoever_lost_the_word_hears_that_the_group_was_closed() {
    let mut world = World::new(3);
    let group = world.group();
    world.deaf.insert((0, 2));
    world.paths.retain(|path| path.member != id(2));
    world.leave(0, group);
    world.run(Duration::from_millis(100));
    assert!(world.closed(1, group) && !world.closed(2, group));
    world.deaf.clear();
    let path = world.path(group, 2, 1);
    world.tree(
        2,
        fatebound_tree::Event::Broken {
            path,
            cause: Cause::LinkDown,
        },
    );
    world.run(SETTLED);
    assert!(world.closed(2, group), "{:?}", world.events(2));
    assert_eq!(world.failed(2, group), None);
}

#[test]
fn only_the_root_can_close() {
    let mut world = World::new(3);
    let group = world.group();
    for by in [id(0), id(1)] {
        let notice = Notice::signed(group, Reason::Closed { by }, &keypair(1));
        for to in [0, 2] {
            world.ask(1, to, Request::Fail(Box::new(notice.clone())));
        }
    }
    world.run(SETTLED);
    assert_alive(&world, group);
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
fn a_full_group_takes_nobody_until_somebody_leaves() {
    let mut config = Config::lan();
    config.max_members = 3;
    let mut world = World::with(5, &config);
    let group = world.open_group(3);
    world.join(3, group);
    assert_eq!(world.join_error(3), Some(&JoinError::Refused(Refusal::Full)));
    world.leave(1, group);
    world.run(SETTLED);
    world.join(3, group);
    assert!(world.is_in(3, group), "in the place of the one that left");
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 2, 3], group);
    world.leave(2, group);
    world.run(SETTLED);
    world.join(1, group);
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1, 3], group);
    let paths: Vec<PathId> = world.constructs.iter().map(|(path, _)| *path).collect();
    assert_eq!(
        paths.iter().collect::<BTreeSet<_>>().len(),
        paths.len(),
        "a path crosses a link at most once in its life"
    );
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
fn a_check_asks_members_and_waits_for_nobody_who_leaves() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    world.deaf.insert((2, 0));
    world.command(
        0,
        Command::Check {
            ticket: Ticket(1),
            group,
        },
    );
    world.run(secs(1));
    world.deaf.clear();
    world.leave(2, group);
    world.run(3 * LATENCY);
    let checked = |event: &&Event| matches!(event, Event::Checked { alive: Some(true), members, .. } if *members == [(id(1), true)]);
    assert!(world.events(0).iter().any(checked), "{:?}", world.events(0));
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

/// ◆ leave-names-its-join: "one that came late does not put out somebody who has come back".
#[test]
fn a_late_departure_does_not_put_out_whoever_has_come_back() {
    let mut world = World::new(3);
    let group = world.open_group(3);
    world.leave(2, group);
    world.run(SETTLED);
    world.join(2, group);
    world.ask(2, 0, Request::Leave { group, came: 0 });
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0, 1, 2]));
    assert_alive_at(&world, &[0, 1, 2], group);
}

/// ◆ list-missed: others may have come or gone while its acceptance was on its way.
#[test]
fn whoever_was_invited_with_an_older_list_is_told_the_newest() {
    let mut world = World::new(5);
    let group = world.open_group(3);
    world.wish(3, group, true);
    world.run(LATENCY);
    world.deaf.insert((3, 0));
    world.run(LATENCY);
    assert!(world.is_in(3, group), "it has accepted, and the root has not heard so");
    world.join(4, group);
    world.run(secs(1));
    world.deaf.clear();
    world.run(SETTLED);
    for peer in [0, 1, 2, 3, 4] {
        assert_eq!(world.members(peer, group), ids(&[0, 1, 2, 4]), "at {peer}");
    }
}
