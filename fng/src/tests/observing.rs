//! Observers: told like members, and nobody's failure.

use super::comings::*;
use super::*;
use crate::message::Notice;

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
