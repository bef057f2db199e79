//! The worlds that are explored: a few shapes, and what may go wrong in each. 0 is the root, then come the members, then the delegates.

use Kind::{
    Break, Cut, DelegateCrash, DelegateCut, DelegateVanish, Join, Late, Leave, MemberCrash, MemberVanish, Restart,
    Signal, Silence, Stall,
};

use crate::world::{Begin, Kind, World};

/// Root and two members with direct links.
pub fn direct(name: &str) -> World {
    World::new(&format!("direct: {name}"), 3, 0, &[(0, 1), (0, 2)])
}

/// Root and two members, all behind one delegate.
pub fn star(name: &str) -> World {
    World::new(&format!("star: {name}"), 3, 1, &[(0, 3), (1, 3), (2, 3)])
}

/// Root and one member with one delegate between them.
pub fn short(name: &str) -> World {
    World::new(&format!("short: {name}"), 2, 1, &[(0, 2), (2, 1)])
}

/// Root and one member with two delegates between them.
pub fn line(name: &str) -> World {
    World::new(&format!("line: {name}"), 2, 2, &[(0, 2), (2, 3), (3, 1)])
}

/// Root and one member, each linked to both of two delegates.
pub fn square(name: &str) -> World {
    World::new(&format!("square: {name}"), 2, 2, &[(0, 2), (2, 1), (0, 3), (3, 1)])
}

/// Root and two members, each linked to both of two delegates.
pub fn pair(name: &str) -> World {
    let links = [(0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4)];
    World::new(&format!("pair: {name}"), 3, 2, &links)
}

/// Root and one member, and a third peer that may come in, all linked.
pub fn open(name: &str) -> World {
    World::new(&format!("open: {name}"), 2, 1, &[(0, 1), (0, 2), (1, 2)]).with_guest(2)
}

/// From the first invitation on.
fn creating(mut world: World) -> World {
    world.begin = Begin::Creating;
    world
}

/// Worlds that are explored within seconds, for every test run.
pub fn small() -> Vec<World> {
    vec![
        direct("a member is lost or signals").with_faults(1, &[MemberCrash, MemberVanish, Signal, Cut]),
        direct("a member starts again").with_faults(2, &[MemberCrash, Restart]),
        creating(direct("while it is being created")).with_faults(1, &[MemberCrash, Signal, Break]),
        star("a member is lost or signals").with_faults(1, &[MemberCrash, MemberVanish, Signal]),
        star("a stranger fails").with_faults(1, &[DelegateCrash, DelegateVanish, Break, Stall]),
        line("a stranger fails").with_faults(1, &[DelegateCrash, DelegateVanish, Break, Stall]),
        square("cut").with_faults(1, &[Cut, DelegateCut]),
        short("a member falls silent").with_faults(1, &[Silence]).with_pings(),
        short("pings while a link breaks").with_faults(1, &[Break]).with_pings(),
        short("doubts")
            .with_faults(2, &[Stall, Cut, MemberVanish])
            .with_doubts(),
        creating(short("links fail while it is being created")).with_faults(1, &[Break, Stall]),
        short("nothing is measured")
            .with_faults(2, &[MemberVanish, DelegateVanish, Cut])
            .without_samples(),
        creating(short("late messages while it is being created")).with_faults(2, &[Late, Signal]),
        line("a late message in a repair").with_faults(2, &[Late, DelegateVanish]),
        line("a late message in a failure").with_faults(2, &[Late, MemberVanish, Cut]),
        open("a third peer comes in").with_faults(2, &[Join, Late, MemberCrash]),
        open("it comes in and signals").with_faults(2, &[Join, Signal]),
        direct("a member leaves").with_faults(2, &[Leave, Late, MemberCrash, Signal]),
    ]
}

/// Worlds that take minutes.
pub fn large() -> Vec<World> {
    vec![
        direct("a member falls silent").with_faults(1, &[Silence]).with_pings(),
        line("a member falls silent").with_faults(1, &[Silence]).with_pings(),
        line("pings while a stranger fails")
            .with_faults(1, &[DelegateVanish, Break])
            .with_pings(),
        creating(direct("late messages while it is being created")).with_faults(2, &[Late, Signal, MemberCrash]),
        square("three faults").with_faults(3, &[Cut, DelegateVanish]),
        line("a signal meets a stranger's failure").with_faults(2, &[Signal, DelegateCrash, Break]),
        short("two links fail").with_faults(2, &[Break, Stall]),
        short("a signal meets a broken link").with_faults(2, &[Signal, Break, Stall]),
        direct("two faults").with_faults(2, &[MemberVanish, Signal, Break]),
        creating(star("while it is being created")).with_faults(1, &[MemberVanish, DelegateVanish]),
        star("two faults").with_faults(2, &[MemberVanish, DelegateVanish, Signal]),
        square("two faults").with_faults(2, &[Cut, DelegateVanish, DelegateCut]),
        line("two faults").with_faults(2, &[MemberVanish, DelegateVanish, Break, Stall]),
        pair("a stranger fails").with_faults(1, &[DelegateVanish, Break]),
        pair("two faults").with_faults(2, &[Cut, DelegateVanish, Signal]),
        short("a member leaves, and a link breaks").with_faults(2, &[Leave, Break]),
        open("a third peer comes and goes").with_faults(3, &[Join, Leave, Late]),
    ]
}

/// All of them.
pub fn all() -> Vec<World> {
    small().into_iter().chain(large()).collect()
}
