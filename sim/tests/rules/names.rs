//! Rules about the names of process groups.

use fatebound_machine::process_groups::protocols::Ticket;
use fatebound_machine::process_groups::{Command as Word, Event as Of, GroupName};
use fatebound_machine::{Command, Event};
use fatebound_sim::{PeerIndex, Profile, World};

use crate::common::{SECOND, overlay};

fn join(world: &mut World, peer: PeerIndex) {
    let seconds = 1_000 + u32::try_from(world.now().elapsed().as_secs()).expect("not for ever");
    let join = Word::Join {
        name: GroupName::try_from("db").expect("a name"),
        seconds,
        ticket: Ticket(1),
        instance: b"process".to_vec(),
        info: Vec::new(),
        attributes: Box::default(),
    };
    world.command(peer, Command::Cluster(join));
}

fn told(world: &World, peer: PeerIndex, what: fn(&Of) -> bool) -> bool {
    let told = |(_, event): &(_, Event)| matches!(event, Event::Cluster(told) if what(told));
    world.events(peer).iter().any(told)
}

/// Founded in both parts of a network, a name is one group again when they have met.
#[test]
fn names_older_remains() {
    let (mut world, peers) = overlay(17, 12, Profile::Lan);
    world.partition(&peers[..6], &peers[6..]);
    // Until both parts have forgotten what the other one may have known.
    world.run_for(4_000 * SECOND);
    for founder in [peers[0], peers[6]] {
        join(&mut world, founder);
        let founded = |world: &World| told(world, founder, |event| matches!(event, Of::Installed { .. }));
        assert!(world.run_until(120 * SECOND, founded), "{founder:?}");
        world.run_for(5 * SECOND);
    }
    world.heal();
    let dissolved = |world: &World| told(world, peers[6], |event| matches!(event, Of::Dissolved { .. }));
    assert!(world.run_until(900 * SECOND, dissolved), "the younger one gives way");
    assert!(!told(&world, peers[0], |event| matches!(event, Of::Dissolved { .. })));
}
