//! Process groups in virtual time: founding, coming in, losing members, partitions, going, conflicts.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::process_groups::protocols::{Notice, Order, ProviderId, Ticket};
use fatebound_machine::process_groups::{Command as Word, Event as Of, GroupName, View};
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
                Event::Cluster(Of::Removed { .. } | Of::Dissolved { .. }) => last.clear(),
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
