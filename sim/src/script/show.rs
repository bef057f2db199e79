//! `show …`: the state of a peer, as its own views tell it.

use fatebound_machine::Machine;
use fatebound_machine::overlay::{Key, directory};

use super::stage::{Record, group_numbered};
use super::words::Words;
use crate::PeerIndex;
use crate::trace::Tracer;
use crate::world::World;

/// `show neighbours [0 3]`, `show links 1 4`, `show paths 0`, `show groups 2`, `show counters 0`, `show hops g1`, `show keepers db`.
pub(super) fn show(world: &World, record: &Record, words: &mut Words<'_>) -> Result<Vec<String>, String> {
    let tracer = &record.tracer;
    let what = words.next("what to show")?;
    if what == "hops" {
        let group = group_numbered(tracer, words.group()?)?;
        return hops(world, tracer, &group);
    }
    if what == "keepers" {
        let name = directory::Name::new(directory::Kind::TEXT, words.next("a name")?);
        return Ok(vec![keepers(world, &name)]);
    }
    let peers = if words.is_empty() {
        (0..world.peers.len()).map(PeerIndex).collect()
    } else {
        words.peers()?
    };
    let lines = peers.iter().map(|&peer| match what {
        "neighbours" => Ok(vec![neighbours(world, tracer, peer)]),
        "links" => Ok(links(world, tracer, peer)),
        "paths" => Ok(vec![paths(world, peer)]),
        "groups" => Ok(groups(world, tracer, peer)),
        "counters" => Ok(vec![counters(world, peer)]),
        _ => Err(format!(
            "expected neighbours, links, paths, groups, counters, hops or keepers, found `{what}`"
        )),
    });
    let lines: Result<Vec<Vec<String>>, String> = lines.collect();
    lines.map(|lines| lines.concat())
}

/// `show keepers db`: those that keep it, the nearest first.
fn keepers(world: &World, name: &directory::Name) -> String {
    let key = name.key(&world.config.overlay.network);
    let all = (0..world.peers.len()).map(PeerIndex);
    let keeps = |peer: &PeerIndex| {
        let machine = world.machine(*peer);
        machine.is_some_and(|machine| machine.directory_record(name).is_some())
    };
    let mut keepers: Vec<PeerIndex> = all.filter(keeps).collect();
    keepers.sort_by_key(|peer| Key::of(&world.id(*peer)).ring_distance(&key));
    let each: Vec<String> = keepers.iter().map(|peer| format!("p{}", peer.0)).collect();
    format!("{} is kept by {}", name.text, each.join(" "))
}

fn neighbours(world: &World, tracer: &Tracer, peer: PeerIndex) -> String {
    let Some(machine) = world.machine(peer) else {
        return format!("p{} does not run", peer.0);
    };
    let mut names: Vec<String> = machine
        .peers()
        .iter()
        .map(|view| tracer.rename(&view.peer.to_string()))
        .collect();
    names.sort();
    format!("p{} has links to {}", peer.0, names.join(" "))
}

fn links(world: &World, tracer: &Tracer, peer: PeerIndex) -> Vec<String> {
    let views = world.machine(peer).map_or(Vec::new(), Machine::peers);
    let mut lines: Vec<String> = views
        .iter()
        .map(|view| {
            let state = if view.doubtful { "doubtful" } else { "alive" };
            let wanted = if view.wanted { "" } else { ", not wanted" };
            let other = tracer.rename(&view.peer.to_string());
            format!("p{} to {other}: {state}, paths {}{wanted}", peer.0, view.paths)
        })
        .collect();
    lines.sort();
    lines
}

fn paths(world: &World, peer: PeerIndex) -> String {
    match world.machine(peer).map(Machine::status) {
        Some(status) => format!(
            "p{}: {} paths, {} merely carried",
            peer.0, status.paths, status.paths_as_delegate
        ),
        None => format!("p{} does not run", peer.0),
    }
}

fn counters(world: &World, peer: PeerIndex) -> String {
    let Some(status) = world.machine(peer).map(Machine::status) else {
        return format!("p{} does not run", peer.0);
    };
    let counters = status.counters;
    // Not how many pings there were: that changes with every draw of chance, and nobody could review it.
    format!(
        "p{}: {} links lost, {} repairs, {} disagreements",
        peer.0, counters.links_lost, counters.repairs, counters.digest_mismatches
    )
}

fn groups(world: &World, tracer: &Tracer, peer: PeerIndex) -> Vec<String> {
    let views = world.machine(peer).map_or(Vec::new(), |machine| machine.groups(100));
    let line = |view: &fatebound_machine::fng::GroupView| {
        let role = if view.root { "root" } else { "member" };
        let group = tracer.group_name(&view.group);
        let members: Vec<String> = view.members.iter().map(|id| tracer.rename(&id.to_string())).collect();
        format!("p{}: {role} of {group}, of {}", peer.0, members.join(" "))
    };
    if views.is_empty() {
        vec![format!("p{}: no groups", peer.0)]
    } else {
        views.iter().map(line).collect()
    }
}

fn hops(world: &World, tracer: &Tracer, group: &crate::GroupId) -> Result<Vec<String>, String> {
    let root = world.by_id.get(&group.root).and_then(|&root| world.machine(root));
    let view = root
        .and_then(|machine| machine.group(group))
        .ok_or("its root does not know the group")?;
    let each = view.members.iter().skip(1).zip(&view.hops).map(|(member, hops)| {
        let hops = hops.map_or("not up".to_owned(), |hops| format!("{hops} hops"));
        format!("{}: {hops}", tracer.rename(&member.to_string()))
    });
    Ok(each.collect())
}
