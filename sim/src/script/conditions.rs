//! What a script may wait for, and what it may expect.

use std::collections::BTreeSet;

use fatebound_machine::fng;
use fatebound_machine::overlay::Key;
use fatebound_machine::{Event, Machine, PeerView};

use super::stage::{Record, group_numbered};
use super::words::Words;
use crate::trace::Tracer;
use crate::world::World;
use crate::{GroupId, PeerIndex};

/// Something about a world that holds or does not.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// `g1 failed at 0 3`: each of these was told, as far as it lives.
    Failed(GroupId, Vec<PeerIndex>),
    /// `g1 told once at 0 3`.
    ToldOnce(GroupId, Vec<PeerIndex>),
    /// `g1 lives at 0 3`: none was told, and each knows the group.
    Lives(GroupId, Vec<PeerIndex>),
    /// `g1 closed at 0 3`, `g1 left at 3`: the last word that each of these was told.
    Closed(GroupId, Vec<PeerIndex>),
    Left(GroupId, Vec<PeerIndex>),
    /// `g1 known as 0 3 5 at 0 3`: these are its members, to the knowledge of each of those.
    KnownAs(GroupId, Vec<PeerIndex>, Vec<PeerIndex>),
    /// `g1 untold at 4`: was told nothing, whether it knows the group or not.
    Untold(GroupId, Vec<PeerIndex>),
    /// `g1 whole`: at the root every path is up and none is being repaired.
    Whole(GroupId),
    /// `g1 hops 1 2`: so many links to each member, in the order of creation.
    Hops(GroupId, Vec<u8>),
    /// `no paths [at 0 3]`, `no paths of g1`.
    NoPaths(Vec<PeerIndex>),
    NoPathsOf(GroupId),
    /// `link 0 3 up|doubtful|none`, as p0 sees it.
    Link(PeerIndex, PeerIndex, LinkState),
    /// `one ring`: who comes next is known to each living peer with a place.
    OneRing,
    /// `joined 4`.
    Joined(Vec<PeerIndex>),
    /// `no disagreement`: no two ends of a link ever disagreed about its paths.
    NoDisagreement,
    /// `said TEXT`: a line of this block (`until`: of this command), shown or not, contains it. `unsaid TEXT`: none does.
    Said(String),
    Unsaid(String),
    /// The root has answered a creation.
    Answered {
        root: PeerIndex,
        ticket: u64,
    },
}

/// A link at one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Up,
    Doubtful,
    None,
}

const FORMS: &str = "`gN failed|told once|lives|untold|closed|left at P…`, `gN known as P… at P…`, `gN whole`, `gN hops N…`, `no paths [at P…|of gN]`, `no disagreement`, \
                     `link P P up|doubtful|none`, `one ring`, `joined P…`, `said TEXT` or `unsaid TEXT`";

impl Condition {
    pub(super) fn parse(words: &mut Words<'_>, tracer: &Tracer) -> Result<Condition, String> {
        let word = words.peek().unwrap_or_default();
        match word {
            "no" | "one" | "link" | "joined" | "said" | "unsaid" => {
                words.next(FORMS)?;
            }
            _ => return Condition::about_group(words, tracer),
        }
        match word {
            "no" if words.take("disagreement") => Ok(Condition::NoDisagreement),
            "no" => Condition::no_paths(words, tracer),
            "one" => words.keyword("ring").map(|()| Condition::OneRing),
            "link" => Ok(Condition::Link(words.peer()?, words.peer()?, link_state(words)?)),
            "joined" => words.peers().map(Condition::Joined),
            "said" => Ok(Condition::Said(words.rest())),
            _ => Ok(Condition::Unsaid(words.rest())),
        }
    }

    fn about_group(words: &mut Words<'_>, tracer: &Tracer) -> Result<Condition, String> {
        let found = words.found();
        let number = words.group().map_err(|_| format!("expected {FORMS}, found {found}"))?;
        let group = group_numbered(tracer, number)?;
        let word = words.next(FORMS)?;
        let at = |words: &mut Words<'_>| words.keyword("at").and_then(|()| words.peers());
        match word {
            "failed" => Ok(Condition::Failed(group, at(words)?)),
            "told" => words
                .keyword("once")
                .and_then(|()| Ok(Condition::ToldOnce(group, at(words)?))),
            "lives" => Ok(Condition::Lives(group, at(words)?)),
            "untold" => Ok(Condition::Untold(group, at(words)?)),
            "closed" => Ok(Condition::Closed(group, at(words)?)),
            "left" => Ok(Condition::Left(group, at(words)?)),
            "known" => {
                words.keyword("as")?;
                let members = words.peers()?;
                Ok(Condition::KnownAs(group, members, at(words)?))
            }
            "whole" => Ok(Condition::Whole(group)),
            "hops" => {
                let mut hops = Vec::new();
                while !words.is_empty() {
                    hops.push(words.number("a number of hops")?);
                }
                Ok(Condition::Hops(group, hops))
            }
            _ => Err(format!("expected {FORMS}, found `{word}`")),
        }
    }

    fn no_paths(words: &mut Words<'_>, tracer: &Tracer) -> Result<Condition, String> {
        words.keyword("paths")?;
        if words.take("of") {
            return group_numbered(tracer, words.group()?).map(Condition::NoPathsOf);
        }
        let peers = if words.take("at") { words.peers()? } else { Vec::new() };
        Ok(Condition::NoPaths(peers))
    }

    /// Whether it holds; else what is in its way.
    pub(super) fn check(&self, world: &World, record: &Record) -> Result<(), String> {
        match self {
            Condition::Failed(group, peers) => all(peers, |peer| {
                let told = !world.notified(peer, group).is_empty();
                need(told, || format!("p{} was told nothing", peer.0))
            }),
            Condition::ToldOnce(group, peers) => all(peers, |peer| {
                let times = world.notified(peer, group).len();
                need(times == 1, || format!("p{} was told {times} times", peer.0))
            }),
            Condition::Untold(group, peers) => all(peers, |peer| untold(world, record, peer, group)),
            Condition::Closed(group, peers) => all(peers, |peer| {
                last_word(
                    world,
                    peer,
                    |event| matches!(event, fng::Event::Closed { group: of, .. } if of == group),
                )
            }),
            Condition::Left(group, peers) => all(peers, |peer| {
                last_word(
                    world,
                    peer,
                    |event| matches!(event, fng::Event::Left { group: of } if of == group),
                )
            }),
            Condition::KnownAs(group, members, peers) => all(peers, |peer| known_as(world, peer, group, members)),
            Condition::Lives(group, peers) => all(peers, |peer| {
                untold(world, record, peer, group)?;
                let known = world
                    .machine(peer)
                    .is_some_and(|machine| machine.group(group).is_some());
                need(known, || format!("p{} does not know the group", peer.0))
            }),
            Condition::Whole(group) => whole(world, group),
            Condition::Hops(group, wanted) => {
                let found = at_root(world, group)?.hops;
                let equal = found.iter().copied().eq(wanted.iter().map(|&hops| Some(hops)));
                need(equal, || format!("the hops are {found:?}"))
            }
            Condition::NoPaths(peers) => no_paths(world, peers),
            Condition::NoPathsOf(group) => all(&living(world), |peer| {
                let carries = world.machine(peer).is_some_and(|machine| machine.carries(group));
                need(!carries, || format!("p{} keeps a path of it", peer.0))
            }),
            Condition::Link(a, b, state) => {
                let found = link(world, *a, *b);
                need(found == *state, || {
                    format!("p{} sees the link to p{} {found:?}", a.0, b.0)
                })
            }
            Condition::OneRing => one_ring(world),
            Condition::Joined(peers) => all(peers, |peer| {
                let joined = world.machine(peer).is_some_and(|machine| machine.status().joined);
                need(joined, || format!("p{} has not joined", peer.0))
            }),
            Condition::NoDisagreement => all(&living(world), |peer| {
                let counters = world.machine(peer).map(|machine| machine.status().counters);
                let count = counters.map_or(0, |counters| counters.digest_mismatches);
                need(count == 0, || format!("p{} has seen {count} disagreements", peer.0))
            }),
            Condition::Said(text) => {
                let said = lines(record).any(|line| line.contains(text));
                need(said, || format!("nobody said `{text}`"))
            }
            Condition::Unsaid(text) => {
                let said = lines(record).find(|line| line.contains(text));
                said.map_or(Ok(()), |line| Err(format!("somebody said `{line}`")))
            }
            Condition::Answered { root, ticket } => {
                let answered = world.events(*root).iter().any(|(_, event)| answers(event, *ticket));
                need(answered, || format!("p{} has not answered", root.0))
            }
        }
    }
}

/// Lines with single spaces, as a script writes them.
fn lines(record: &Record) -> impl Iterator<Item = String> {
    let lines = record.recent().iter().filter(|line| !line.arrival);
    lines.map(|line| line.text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn link_state(words: &mut Words<'_>) -> Result<LinkState, String> {
    match words.next("`up`, `doubtful` or `none`")? {
        "up" => Ok(LinkState::Up),
        "doubtful" => Ok(LinkState::Doubtful),
        "none" => Ok(LinkState::None),
        word => Err(format!("expected `up`, `doubtful` or `none`, found `{word}`")),
    }
}

fn need(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn all(peers: &[PeerIndex], check: impl Fn(PeerIndex) -> Result<(), String>) -> Result<(), String> {
    peers.iter().try_for_each(|&peer| check(peer))
}

fn living(world: &World) -> Vec<PeerIndex> {
    let peers = (0..world.peers.len()).map(PeerIndex);
    peers.filter(|&peer| world.machine(peer).is_some()).collect()
}

fn untold(world: &World, record: &Record, peer: PeerIndex, group: &GroupId) -> Result<(), String> {
    match world.notified(peer, group).first() {
        None => Ok(()),
        Some((_, reason)) => {
            let reason = record.tracer.rename(&reason.to_string());
            Err(format!("p{} was told: {reason}", peer.0))
        }
    }
}

/// Whether this is the last of all that the peer was told of the ends of groups.
fn last_word(world: &World, peer: PeerIndex, wanted: impl Fn(&fng::Event) -> bool) -> Result<(), String> {
    let of_groups = |event: &Event| match event {
        Event::Group(event @ (fng::Event::Failed { .. } | fng::Event::Closed { .. } | fng::Event::Left { .. })) => {
            Some(event.clone())
        }
        _ => None,
    };
    let last = world.events(peer).iter().rev().find_map(|(_, event)| of_groups(event));
    match last {
        Some(last) if wanted(&last) => Ok(()),
        Some(last) => Err(format!("p{} was told {last:?}", peer.0)),
        None => Err(format!("p{} was told nothing", peer.0)),
    }
}

fn known_as(world: &World, peer: PeerIndex, group: &GroupId, members: &[PeerIndex]) -> Result<(), String> {
    let view = world.machine(peer).and_then(|machine| machine.group(group));
    let view = view.ok_or_else(|| format!("p{} does not know the group", peer.0))?;
    let known: BTreeSet<PeerIndex> = view
        .members
        .iter()
        .filter_map(|id| world.by_id.get(id).copied())
        .collect();
    let wanted: BTreeSet<PeerIndex> = members.iter().copied().collect();
    need(known == wanted, || {
        format!(
            "p{} knows {:?}",
            peer.0,
            known.iter().map(|peer| peer.0).collect::<Vec<_>>()
        )
    })
}

fn at_root(world: &World, group: &GroupId) -> Result<fng::GroupView, String> {
    let root = world.by_id.get(&group.root).and_then(|&root| world.machine(root));
    root.and_then(|machine| machine.group(group))
        .ok_or_else(|| "its root does not know the group".to_owned())
}

fn whole(world: &World, group: &GroupId) -> Result<(), String> {
    let view = at_root(world, group)?;
    let up = view.hops.iter().all(Option::is_some);
    need(up && view.repairing == 0, || {
        format!("hops {:?}, {} paths under repair", view.hops, view.repairing)
    })
}

fn no_paths(world: &World, peers: &[PeerIndex]) -> Result<(), String> {
    let peers = if peers.is_empty() {
        living(world)
    } else {
        peers.to_vec()
    };
    all(&peers, |peer| {
        let paths = world.machine(peer).map_or(0, |machine| machine.status().paths);
        need(paths == 0, || format!("p{} keeps {paths} paths", peer.0))
    })
}

fn link(world: &World, a: PeerIndex, b: PeerIndex) -> LinkState {
    let neighbours = world.machine(a).map_or(Vec::new(), Machine::peers);
    let id = world.id(b);
    match neighbours.iter().find(|neighbour| neighbour.peer == id) {
        None => LinkState::None,
        Some(PeerView { doubtful: true, .. }) => LinkState::Doubtful,
        Some(_) => LinkState::Up,
    }
}

fn one_ring(world: &World) -> Result<(), String> {
    let mut ring = living(world);
    ring.retain(|&peer| world.machine(peer).is_some_and(|machine| machine.status().joined));
    ring.sort_by_key(|&peer| Key::of(&world.id(peer)));
    for (at, &peer) in ring.iter().enumerate() {
        let Some(machine) = world.machine(peer) else { continue };
        let next = world.id(ring[(at + 1) % ring.len()]);
        let found = machine.routes().above.first().copied();
        let near = ring.len() < 2 || found == Some(next);
        need(near, || format!("p{} does not know who is next on the ring", peer.0))?;
    }
    Ok(())
}

fn answers(event: &Event, wanted: u64) -> bool {
    match event {
        Event::Group(fng::Event::Created { ticket, .. } | fng::Event::CreateFailed { ticket, .. }) => {
            ticket.0 == wanted
        }
        _ => false,
    }
}
