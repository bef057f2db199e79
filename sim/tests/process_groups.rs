//! Process groups in virtual time: founding, coming in, losing members, partitions, going, conflicts.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::process_groups::protocols::{
    self, Change, Exit, Notice, Order, Outcome, Proposal, ProviderId, Ticket, Verdict, Vote, Voting,
};
use fatebound_machine::process_groups::{Command as Word, Event as Of, GroupName, Seq, View};
use fatebound_machine::{Command, Event};
use fatebound_sim::{PeerIndex, Profile, World};

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> GroupName {
    GroupName::try_from(text).expect("a name")
}

fn order(world: &mut World, peer: PeerIndex, group: &str, order: Order) {
    let name = name(group);
    world.command(peer, Command::Cluster(Word::Order { name, order }));
}

fn join(world: &mut World, peer: PeerIndex, group: &str) {
    let seconds = 1_000 + u32::try_from(world.now().elapsed().as_secs()).expect("not that long");
    let join = Word::Join {
        name: name(group),
        seconds,
        ticket: Ticket(1),
        instance: format!("p{}", peer.0).into_bytes(),
        info: Vec::new(),
        attributes: Box::default(),
    };
    world.command(peer, Command::Cluster(join));
}

/// The last provider that a peer has had in any group.
fn provider(world: &World, peer: PeerIndex) -> ProviderId {
    let joining = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Provider { provider, .. }) => Some(*provider),
        _ => None,
    };
    world
        .events(peer)
        .iter()
        .rev()
        .find_map(joining)
        .expect("it has joined")
}

fn leave(world: &mut World, peer: PeerIndex, group: &str) {
    let goodbye = Order::Goodbye {
        provider: provider(world, peer),
        text: Vec::new(),
        hold: None,
    };
    order(world, peer, group, goodbye);
}

/// The messages that a peer was shown, in their order.
fn messages(world: &World, peer: PeerIndex) -> Vec<Vec<u8>> {
    let message = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Shown {
            notice: Notice::Message { body, .. },
            ..
        }) => Some(body.clone()),
        _ => None,
    };
    world.events(peer).iter().filter_map(message).collect()
}

/// The providers that are in a group, as a peer knows.
fn listed(world: &World, peer: PeerIndex, group: &str) -> Vec<ProviderId> {
    let status = world
        .machine(peer)
        .and_then(|machine| machine.process_groups().group(&name(group)));
    let state = status.and_then(|status| status.state);
    let providers = state.map(|state| state.providers().to_vec()).unwrap_or_default();
    providers.iter().map(|provider| provider.id).collect()
}

/// The view of a group in which a peer is, if it is in an open one.
fn view(world: &World, peer: PeerIndex, group: &str) -> Option<View> {
    let groups = world.machine(peer)?.process_groups();
    let status = groups.group(&name(group))?;
    let open = status.status == fatebound_machine::process_groups::views::Status::Normal;
    status.view.filter(|_| open)
}

/// Whether all these are in one open view, and it has nobody else.
fn together(world: &World, peers: &[PeerIndex], group: &str) -> bool {
    let views: Vec<Option<View>> = peers.iter().map(|peer| view(world, *peer, group)).collect();
    let lists: Vec<Vec<ProviderId>> = peers.iter().map(|peer| listed(world, *peer, group)).collect();
    let first = views.first().and_then(Option::as_ref);
    first.is_some_and(|first| first.voters.len() == peers.len())
        && views.iter().all(|view| view.as_ref() == first)
        && lists.iter().all(|list| list.len() == peers.len() && *list == lists[0])
}

fn members(world: &World, peers: &[PeerIndex], peer: PeerIndex, group: &str) -> Vec<PeerIndex> {
    let voters = view(world, peer, group).map(|view| view.voters).unwrap_or_default();
    let index = |id| peers.iter().copied().find(|peer| world.id(*peer) == id);
    voters.iter().filter_map(|voter| index(voter.node.peer)).collect()
}

/// A group of these, the first of them its leader.
fn group_of(world: &mut World, peers: &[PeerIndex], group: &str) {
    join(world, peers[0], group);
    assert!(
        world.run_until(60 * SECOND, |world| together(world, &peers[..1], group)),
        "founded"
    );
    for &peer in &peers[1..] {
        join(world, peer, group);
    }
    let all_in = world.run_until(20 * SECOND, |world| together(world, peers, group));
    assert!(
        all_in,
        "{:#?}",
        peers
            .iter()
            .map(|peer| world
                .machine(*peer)
                .expect("it runs")
                .process_groups()
                .group(&name(group)))
            .collect::<Vec<_>>()
    );
}

/// G1 and G2, from what each peer was told: one view per number and founding, and no gaps.
fn check_views(world: &World, peers: &[PeerIndex]) {
    let mut known: BTreeMap<(String, u64), View> = BTreeMap::new();
    for &peer in peers {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for (_, event) in world.events(peer) {
            match event {
                Event::Cluster(Of::Installed { name, founding, view }) => {
                    let lineage = format!("{name} {founding:?}");
                    let before = last.insert(lineage.clone(), view.number.0);
                    assert!(
                        before.is_none_or(|before| before + 1 == view.number.0),
                        "a gap at {peer:?}"
                    );
                    let other = known.entry((lineage, view.number.0)).or_insert_with(|| view.clone());
                    assert_eq!(other, view, "two views of one number");
                }
                // Out, or another life.
                Event::Cluster(Of::Removed { .. } | Of::Dissolved { .. }) | Event::Joined => last.clear(),
                _ => {}
            }
        }
    }
}

#[test]
fn the_first_to_join_founds_the_group_and_the_others_come_in() {
    let mut world = World::new(1, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    assert_eq!(
        members(&world, &peers, peers[3], "db")[0],
        peers[0],
        "the founder leads"
    );
    check_views(&world, &peers);
}

#[test]
fn ten_that_start_at_once_and_all_join_one_name_are_in_one_group() {
    for seed in 0..5 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(10);
        for &peer in &peers {
            join(&mut world, peer, "db");
        }
        assert!(
            world.run_until(60 * SECOND, |world| together(world, &peers, "db")),
            "seed {seed}"
        );
        check_views(&world, &peers);
    }
}

#[test]
fn when_the_leader_is_killed_the_next_oldest_leads() {
    let mut world = World::new(2, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let second = members(&world, &peers, peers[0], "db")[1];
    let left: Vec<PeerIndex> = peers[1..5].to_vec();
    let before = world.now();
    world.crash(peers[0]);
    assert!(world.run_until(10 * SECOND, |world| together(world, &left, "db")));
    let took = world.now().since(before);
    assert!(took < SECOND, "{took:?}: a killed process is refused at once");
    assert_eq!(members(&world, &peers, left[0], "db")[0], second);
    check_views(&world, &peers);
}

#[test]
fn leader_and_next_vanish_together_and_one_view_removes_both() {
    let mut world = World::new(3, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let order = members(&world, &peers, peers[0], "db");
    world.vanish(order[0]);
    world.vanish(order[1]);
    assert!(world.run_until(30 * SECOND, |world| together(world, &order[2..], "db")));
    check_views(&world, &peers);
}

#[test]
fn a_member_leaves_and_the_last_one_takes_the_group_with_it() {
    let mut world = World::new(4, Profile::Lan);
    let peers = world.spawn_overlay(5);
    group_of(&mut world, &peers[..3], "db");
    leave(&mut world, peers[1], "db");
    let rest = [peers[0], peers[2]];
    assert!(world.run_until(10 * SECOND, |world| together(world, &rest, "db")));
    // The leader goes, and the next oldest leads.
    leave(&mut world, peers[0], "db");
    assert!(world.run_until(10 * SECOND, |world| together(world, &rest[1..], "db")));
    leave(&mut world, peers[2], "db");
    world.run_for(5 * SECOND);
    for &peer in &peers[..3] {
        let left = |(_, event): &&(_, Event)| matches!(event, Event::Cluster(Of::Left { .. }));
        assert_eq!(world.events(peer).iter().filter(left).count(), 1, "{peer:?}");
    }
    // Whoever joins now founds it anew, and epochs do not go back.
    group_of(&mut world, &[peers[3], peers[4]], "db");
    check_views(&world, &peers);
    let foundings: Vec<u32> = world
        .events(peers[3])
        .iter()
        .chain(world.events(peers[0]))
        .filter_map(|(_, event)| match event {
            Event::Cluster(Of::Installed { founding, .. }) => Some(founding.incarnation),
            _ => None,
        })
        .collect();
    assert!(foundings[0] > *foundings.last().unwrap(), "{foundings:?}");
}

#[test]
fn everybody_sees_the_same_messages_in_the_same_order_though_the_leader_is_killed() {
    let mut world = World::new(5, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let send = |world: &mut World, peer: PeerIndex, number: usize| {
        let body = format!("{} of {peer:?}", number).into_bytes();
        let provider = provider(world, peer);
        order(world, peer, "db", Order::Send { provider, body });
    };
    for number in 0..20 {
        for &peer in &peers[..5] {
            send(&mut world, peer, number);
        }
        world.run_for(Duration::from_millis(2));
    }
    world.crash(peers[0]);
    for number in 20..40 {
        for &peer in &peers[1..5] {
            send(&mut world, peer, number);
        }
        world.run_for(Duration::from_millis(2));
    }
    assert!(world.run_until(10 * SECOND, |world| together(world, &peers[1..5], "db")));
    world.run_for(5 * SECOND);
    let first = messages(&world, peers[1]);
    for &peer in &peers[2..5] {
        assert_eq!(messages(&world, peer), first, "{peer:?}");
    }
    for &peer in &peers[1..5] {
        let own: Vec<Vec<u8>> = (0..40)
            .map(|number| format!("{number} of {peer:?}").into_bytes())
            .collect();
        let end = format!("of {peer:?}").into_bytes();
        let seen: Vec<Vec<u8>> = first.iter().filter(|body| body.ends_with(&end)).cloned().collect();
        assert_eq!(seen, own, "each once, and in its order");
    }
    check_views(&world, &peers);
}

/// All these are asked to leave at the same instant; nobody is left to plan for, and the leader goes last.
#[test]
fn when_all_that_are_left_go_at_once_nothing_of_the_group_remains() {
    let mut world = World::new(6, Profile::Lan);
    let peers = world.spawn_overlay(5);
    group_of(&mut world, &peers[..3], "db");
    for &peer in &peers[..3] {
        leave(&mut world, peer, "db");
    }
    world.run_for(10 * SECOND);
    for &peer in &peers[..3] {
        let left = |(_, event): &&(_, Event)| matches!(event, Event::Cluster(Of::Left { .. }));
        assert_eq!(world.events(peer).iter().filter(left).count(), 1, "{peer:?}");
    }
    world.run_for(60 * SECOND);
    for &peer in &peers[..3] {
        let machine = world.machine(peer).unwrap();
        assert_eq!(machine.process_groups().groups().count(), 0, "{peer:?} keeps the group");
        assert_eq!(machine.groups(100).len(), 0, "{peer:?} keeps a guard");
    }
}

/// Whether a peer is told that there is no quorum.
fn blocked(world: &World, peer: PeerIndex) -> bool {
    let said = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Blocked { .. }) => Some(true),
        Event::Cluster(Of::Unblocked { .. } | Of::Removed { .. }) => Some(false),
        _ => None,
    };
    world.events(peer).iter().rev().find_map(said).unwrap_or(false)
}

fn removed(world: &World, peer: PeerIndex) -> bool {
    let removed = |(_, event): &(_, Event)| matches!(event, Event::Cluster(Of::Removed { .. }));
    world.events(peer).iter().any(removed)
}

fn put_out(world: &World, peer: PeerIndex) -> bool {
    let out = |(_, event): &(_, Event)| {
        matches!(
            event,
            Event::Cluster(Of::Provider {
                event: protocols::Event::Ended(protocols::Ended::PutOut),
                ..
            })
        )
    };
    world.events(peer).iter().any(out)
}

/// Five in a group of a world of nine: the two that are cut off say so, are told what has become of them after the healing, and come in anew.
fn a_minority_is_blocked_and_told(seed: u64, with_leader: bool) {
    let mut world = World::new(seed, Profile::Lan);
    let peers = world.spawn_overlay(9);
    group_of(&mut world, &peers[..5], "db");
    let order = members(&world, &peers, peers[0], "db");
    let (minority, majority) = match with_leader {
        true => (order[..2].to_vec(), order[2..].to_vec()),
        false => (order[3..].to_vec(), order[..3].to_vec()),
    };
    let others: Vec<PeerIndex> = peers.iter().copied().filter(|peer| !minority.contains(peer)).collect();
    world.partition(&minority, &others);
    assert!(world.run_until(60 * SECOND, |world| together(world, &majority, "db")));
    let all_blocked = |world: &World| minority.iter().any(|peer| blocked(world, *peer));
    assert!(world.run_until(30 * SECOND, all_blocked), "the minority says so");
    for &peer in &minority {
        assert_eq!(view(&world, peer, "db"), None, "{peer:?} is open");
        assert!(!removed(&world, peer), "{peer:?} knows nothing of the others");
    }
    world.heal();
    let told = |world: &World| {
        minority
            .iter()
            .all(|peer| removed(world, *peer) && put_out(world, *peer))
    };
    assert!(world.run_until(90 * SECOND, told), "the ousted know it");
    for &peer in &minority {
        join(&mut world, peer, "db");
    }
    let again: Vec<PeerIndex> = majority.iter().chain(&minority).copied().collect();
    assert!(world.run_until(60 * SECOND, |world| together(world, &again, "db")));
    let last = members(&world, &peers, majority[0], "db");
    assert_eq!(last[..3], majority, "whoever comes anew is at the end of the list");
    check_views(&world, &peers);
}

#[test]
fn a_minority_with_the_leader_is_blocked_and_told() {
    a_minority_is_blocked_and_told(7, true);
}

#[test]
fn a_minority_without_the_leader_is_blocked_and_told() {
    a_minority_is_blocked_and_told(8, false);
}

#[test]
fn a_leader_that_was_stopped_for_half_a_minute_knows_that_it_is_out() {
    let mut world = World::new(9, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    world.pause(peers[0]);
    let rest = &peers[1..5];
    assert!(world.run_until(30 * SECOND, |world| together(world, rest, "db")));
    world.run_for(20 * SECOND);
    world.resume(peers[0]);
    let before = world.now();
    assert!(world.run_until(30 * SECOND, |world| put_out(world, peers[0])));
    let took = world.now().since(before);
    assert!(took < 10 * SECOND, "{took:?} until it knew");
    join(&mut world, peers[0], "db");
    let again: Vec<PeerIndex> = rest.iter().copied().chain([peers[0]]).collect();
    assert!(world.run_until(30 * SECOND, |world| together(world, &again, "db")));
    check_views(&world, &peers);
}

/// Whoever comes in may die at any moment of it: the group goes on, and the others never list it for good.
#[test]
fn a_joiner_dies_at_each_moment_of_its_joining() {
    for late in 0..24 {
        let mut world = World::new(100 + late, Profile::Lan);
        let peers = world.spawn_overlay(8);
        group_of(&mut world, &peers[..3], "db");
        join(&mut world, peers[3], "db");
        world.run_for(Duration::from_micros(250 * late));
        if late % 2 == 0 {
            world.crash(peers[3]);
        } else {
            world.vanish(peers[3]);
        }
        world.run_for(Duration::from_millis(50));
        let rest = &peers[..3];
        assert!(
            world.run_until(60 * SECOND, |world| together(world, rest, "db")),
            "{late}"
        );
        join(&mut world, peers[4], "db");
        let all = [peers[0], peers[1], peers[2], peers[4]];
        assert!(
            world.run_until(60 * SECOND, |world| together(world, &all, "db")),
            "{late}"
        );
        check_views(&world, &peers);
    }
}

#[test]
fn killed_one_after_the_other_the_oldest_of_the_last_two_goes_on() {
    let mut world = World::new(10, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    for last in (1..5).rev() {
        let victim = members(&world, &peers, peers[0], "db")[last];
        world.crash(victim);
        let rest = members(&world, &peers, peers[0], "db")[..last].to_vec();
        assert!(
            world.run_until(30 * SECOND, |world| together(world, &rest, "db")),
            "{last}"
        );
    }
    check_views(&world, &peers);
}

#[test]
fn killed_all_at_once_the_last_one_is_blocked_and_names_who_is_missing() {
    let mut world = World::new(11, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let order = members(&world, &peers, peers[0], "db");
    for &peer in &order[..4] {
        world.crash(peer);
    }
    assert!(world.run_until(30 * SECOND, |world| blocked(world, order[4])));
    world.run_for(60 * SECOND);
    let group = world.machine(order[4]).unwrap().process_groups().group(&name("db"));
    let blocked = group.unwrap().blocked.unwrap();
    assert_eq!((blocked.have, blocked.need, blocked.missing.len()), (1, 3, 4));
}

/// A peer starts again at once, and asks to come in before anybody has missed its earlier life.
#[test]
fn a_member_starts_again_before_anybody_has_missed_it() {
    for (seed, victim) in [(12, 0), (13, 1), (14, 4)] {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(8);
        group_of(&mut world, &peers[..5], "db");
        let victim = members(&world, &peers, peers[0], "db")[victim];
        let old = provider(&world, victim);
        world.crash(victim);
        world.restart(victim);
        world.run_for(Duration::from_millis(10));
        join(&mut world, victim, "db");
        let all = &peers[..5];
        let again = |world: &World| together(world, all, "db") && !listed(world, victim, "db").contains(&old);
        assert!(world.run_until(60 * SECOND, again), "seed {seed}");
        let others: Vec<PeerIndex> = all.iter().copied().filter(|peer| *peer != victim).collect();
        let last = *members(&world, &peers, peers[1], "db").last().unwrap();
        assert_eq!(last, victim, "it is a newcomer");
        assert!(!listed(&world, peers[1], "db").contains(&old));
        check_views(&world, &others);
    }
}

#[test]
fn who_cannot_reach_each_other_but_both_the_leader_stay_together() {
    let mut world = World::new(15, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let order = members(&world, &peers, peers[0], "db");
    world.cut(order[3], order[4]);
    world.run_for(40 * SECOND);
    assert!(together(&world, &peers[..5], "db"), "nobody needs that way");
    world.crash(order[0]);
    assert!(world.run_until(60 * SECOND, |world| together(world, &order[1..], "db")));
    check_views(&world, &peers);
}

#[test]
fn many_groups_lose_their_common_leader_at_once() {
    let mut world = World::new(16, Profile::Lan);
    let peers = world.spawn_overlay(8);
    let names: Vec<String> = (0..40).map(|number| format!("db {number}")).collect();
    for name in &names {
        join(&mut world, peers[0], name);
    }
    let led = |world: &World| names.iter().all(|name| together(world, &peers[..1], name));
    assert!(world.run_until(60 * SECOND, led));
    for name in &names {
        peers[1..5].iter().for_each(|peer| join(&mut world, *peer, name));
    }
    let full = |world: &World| names.iter().all(|name| together(world, &peers[..5], name));
    assert!(world.run_until(60 * SECOND, full));
    let before = world.now();
    world.crash(peers[0]);
    let open = |world: &World| names.iter().all(|name| together(world, &peers[1..5], name));
    assert!(world.run_until(60 * SECOND, open));
    let took = world.now().since(before);
    assert!(took < 3 * SECOND, "{took:?}");
    check_views(&world, &peers);
}

/// N5: in a partition the name is founded twice; afterwards the older founding remains, and those of the other come into it.
#[test]
fn two_foundings_of_a_partition_become_one() {
    let mut world = World::new(17, Profile::Lan);
    let peers = world.spawn_overlay(12);
    world.partition(&peers[..6], &peers[6..]);
    // Until both parts have forgotten what the other one may have known.
    world.run_for(4_000 * SECOND);
    join(&mut world, peers[0], "db");
    assert!(world.run_until(900 * SECOND, |world| together(world, &peers[..1], "db")));
    world.run_for(5 * SECOND);
    join(&mut world, peers[6], "db");
    assert!(world.run_until(900 * SECOND, |world| together(world, &peers[6..7], "db")));
    world.heal();
    let dissolved = |world: &World| {
        let gave_up = |(_, event): &(_, Event)| matches!(event, Event::Cluster(Of::Dissolved { .. }));
        world.events(peers[6]).iter().any(gave_up)
    };
    assert!(world.run_until(900 * SECOND, dissolved), "the younger one gives way");
    join(&mut world, peers[6], "db");
    let both = [peers[0], peers[6]];
    let met = world.run_until(60 * SECOND, |world| together(world, &both, "db"));
    let status = |peer: PeerIndex| {
        let group = world.machine(peer).unwrap().process_groups().group(&name("db"));
        group.map(|group| (group.status, group.view, group.doing, group.own))
    };
    assert!(
        met,
        "{:#?}\n{:?}",
        both.map(status),
        world.events(peers[6]).iter().rev().take(12).collect::<Vec<_>>()
    );
    assert_eq!(members(&world, &peers, peers[0], "db")[0], peers[0]);
    check_views(&world, &peers);
}

fn propose(world: &mut World, peer: PeerIndex, group: &str, value: &[u8]) {
    let propose = Order::Propose {
        ticket: Ticket(77),
        provider: provider(world, peer),
        proposal: Proposal::State {
            value: value.to_vec(),
            expected: None,
        },
        voting: Voting::VOTED,
    };
    order(world, peer, group, propose);
}

/// The phase that a peer was last told of: of which protocol, which one.
fn open_phase(world: &World, peer: PeerIndex) -> Option<(Seq, u32)> {
    let opened = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Shown {
            notice: Notice::Opened { protocol, phase, .. },
            ..
        }) => Some(Some((*protocol, *phase))),
        Event::Cluster(Of::Shown {
            notice: Notice::Outcome { .. },
            ..
        }) => Some(None),
        _ => None,
    };
    world.events(peer).iter().rev().find_map(opened).flatten()
}

fn vote(world: &mut World, peer: PeerIndex, group: &str, verdict: Verdict) {
    let (protocol, phase) = open_phase(world, peer).expect("a phase is open");
    let vote = Order::Vote {
        provider: provider(world, peer),
        protocol,
        phase,
        vote: Vote::new(verdict),
    };
    order(world, peer, group, vote);
}

/// The leader dies during the second phase of a vote: the votes that were cast count, and nobody is asked twice.
#[test]
fn the_leader_dies_during_the_second_phase_of_a_vote() {
    let mut world = World::new(18, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..5], "db");
    let rest = peers[1..5].to_vec();
    propose(&mut world, peers[1], "db", b"new");
    assert!(world.run_until(SECOND, |world| {
        peers[..5].iter().all(|peer| open_phase(world, *peer).is_some())
    }));
    for &peer in &peers[..5] {
        vote(&mut world, peer, "db", Verdict::Continue);
    }
    let second = |world: &World, peer: PeerIndex| open_phase(world, peer).is_some_and(|(_, phase)| phase == 2);
    assert!(world.run_until(SECOND, |world| peers[..5].iter().all(|peer| second(world, *peer))));
    for &peer in &rest[..3] {
        vote(&mut world, peer, "db", Verdict::Approve);
    }
    world.run_for(Duration::from_micros(300));
    world.crash(peers[0]);
    assert!(world.run_until(10 * SECOND, |world| {
        rest.iter()
            .all(|peer| view(world, *peer, "db").is_some_and(|view| view.voters.len() == 4))
    }));
    assert!(second(&world, rest[3]), "the phase is still open");
    vote(&mut world, rest[3], "db", Verdict::Approve);
    // The dead one's vote is the default, which is to reject.
    let outcome = |world: &World, peer: PeerIndex| {
        let outcome = |(_, event): &(_, Event)| match event {
            Event::Cluster(Of::Shown {
                notice:
                    Notice::Outcome {
                        change: Change::Proposed { .. },
                        outcome,
                        votes,
                        ..
                    },
                ..
            }) => Some((
                *outcome,
                votes.iter().filter(|vote| vote.counted.by_default.is_some()).count(),
            )),
            _ => None,
        };
        world.events(peer).iter().find_map(outcome)
    };
    assert!(world.run_until(10 * SECOND, |world| {
        rest.iter().all(|peer| outcome(world, *peer).is_some())
    }));
    for &peer in &rest {
        let (how, by_default) = outcome(&world, peer).unwrap();
        assert_eq!(
            (how, by_default),
            (Outcome::Rejected, 1),
            "only the dead one is counted by default"
        );
    }
    assert!(world.run_until(10 * SECOND, |world| together(world, &rest, "db")));
    check_views(&world, &peers);
}

/// Whoever does not vote in time is counted by default, is told so when its vote comes, and stays in the group.
#[test]
fn a_slow_voter_is_counted_by_default() {
    let mut world = World::new(19, Profile::Lan);
    let peers = world.spawn_overlay(8);
    group_of(&mut world, &peers[..3], "db");
    propose(&mut world, peers[1], "db", b"new");
    assert!(world.run_until(SECOND, |world| {
        peers[..3].iter().all(|peer| open_phase(world, *peer).is_some())
    }));
    let (protocol, phase) = open_phase(&world, peers[2]).unwrap();
    vote(&mut world, peers[0], "db", Verdict::Approve);
    vote(&mut world, peers[1], "db", Verdict::Approve);
    world.run_for(4 * SECOND);
    assert!(open_phase(&world, peers[0]).is_some(), "it is waited for");
    world.run_for(2 * SECOND);
    assert_eq!(open_phase(&world, peers[0]), None, "five seconds are over");
    let late = Order::Vote {
        provider: provider(&world, peers[2]),
        protocol,
        phase,
        vote: Vote::new(Verdict::Approve),
    };
    order(&mut world, peers[2], "db", late);
    world.run_for(SECOND);
    let refused = |(_, event): &(_, Event)| {
        let Event::Cluster(Of::Provider { event, .. }) = event else {
            return false;
        };
        matches!(
            event,
            protocols::Event::VoteRefused { .. } | protocols::Event::TooLate { .. }
        )
    };
    assert!(
        world.events(peers[2]).iter().any(refused),
        "its vote does not count, and it is told"
    );
    assert!(together(&world, &peers[..3], "db"));
}

/// All who are in the group go while somebody comes in: the group is handed over, and not left to a newcomer that does not know it yet.
#[test]
fn all_go_while_somebody_comes_in() {
    for seed in 20..30 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(5);
        group_of(&mut world, &peers[..2], "db");
        join(&mut world, peers[2], "db");
        world.run_for(Duration::from_micros(200 * (seed - 20)));
        leave(&mut world, peers[1], "db");
        leave(&mut world, peers[0], "db");
        assert!(
            world.run_until(30 * SECOND, |world| together(world, &peers[2..3], "db")),
            "seed {seed}"
        );
    }
}

/// S8: the leader and one of the others cannot connect. They are sent messages of any size all the same, and those that are waiting go through a pipe once
/// there can be one.
#[test]
fn two_that_cannot_connect_are_in_one_group_and_get_a_pipe_when_they_can() {
    for seed in 0..5 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(8);
        world.cut(peers[0], peers[1]);
        group_of(&mut world, &peers[..5], "db");
        let send = |world: &mut World, number: u8| {
            for &peer in &peers[..5] {
                let provider = provider(world, peer);
                let body = vec![number; 50_000];
                order(world, peer, "db", Order::Send { provider, body });
            }
        };
        let shown = |world: &World, count: usize| peers[..5].iter().all(|peer| messages(world, *peer).len() == count);
        for number in 0..10 {
            send(&mut world, number);
            world.run_for(SECOND);
        }
        assert!(world.run_until(60 * SECOND, |world| shown(world, 50)), "seed {seed}");
        // Longer than the longest pause between two tries of a pipe; there is always something to send.
        world.heal();
        for number in 10..30 {
            send(&mut world, number);
            world.run_for(30 * SECOND);
        }
        assert!(world.run_until(60 * SECOND, |world| shown(world, 150)), "seed {seed}");
        for &peer in &peers[1..5] {
            assert!(
                messages(&world, peer) == messages(&world, peers[0]),
                "{peer:?} of seed {seed}"
            );
            assert!(!removed(&world, peer), "{peer:?} of seed {seed}");
        }
        let detours = world.machine(peers[0]).expect("it runs").process_groups().bounds();
        let detours = detours
            .iter()
            .find(|bound| bound.what == "peers to whom there is a detour");
        assert_eq!(detours.expect("it is bounded").size, 0, "seed {seed}: there is a pipe");
        check_views(&world, &peers);
    }
}

/// X12: the only process of a node is expelled and takes its time to end. The group is told how that went, and only then is its node out.
#[test]
fn the_node_of_an_expelled_process_stays_until_the_group_knows_its_exit() {
    let mut world = World::new(22, Profile::Lan);
    let peers = world.spawn_overlay(5);
    group_of(&mut world, &peers[..3], "db");
    let expelled = provider(&world, peers[1]);
    let expel = Order::Propose {
        ticket: Ticket(78),
        provider: provider(&world, peers[0]),
        proposal: Proposal::Expel {
            providers: vec![expelled],
            deactivate: Some(b"enough".to_vec()),
        },
        voting: Voting::OnePhase,
    };
    order(&mut world, peers[0], "db", expel);
    let asked = |world: &World| {
        world.events(peers[1]).iter().find_map(|(_, event)| match event {
            Event::Cluster(Of::Deactivate { protocol, .. }) => Some(*protocol),
            _ => None,
        })
    };
    assert!(world.run_until(5 * SECOND, |world| asked(world).is_some()));
    // Less than a phase waits.
    world.run_for(3 * SECOND);
    assert!(view(&world, peers[1], "db").is_some(), "it has not gone yet");
    let deactivated = Order::Deactivated {
        provider: expelled,
        protocol: asked(&world).expect("it is"),
        exit: Exit::Status(7),
    };
    order(&mut world, peers[1], "db", deactivated);
    let exits = |world: &World| {
        world.events(peers[0]).iter().find_map(|(_, event)| match event {
            Event::Cluster(Of::Shown {
                notice: Notice::Outcome { exits, .. },
                ..
            }) if !exits.is_empty() => Some(exits.clone()),
            _ => None,
        })
    };
    assert!(world.run_until(2 * SECOND, |world| exits(world).is_some()));
    assert_eq!(exits(&world), Some(vec![Exit::Status(7)]));
    let rest = [peers[0], peers[2]];
    assert!(world.run_until(10 * SECOND, |world| together(world, &rest, "db")));
}
