//! Short names: peers by the order of spawning, groups by the order of their appearance, lives by theirs.

use std::collections::BTreeMap;

use fatebound_machine::overlay::{Key, PeerId, Tag};
use fatebound_machine::tree::{GroupId, PathId};
use indexmap::IndexSet;

use crate::PeerIndex;
use crate::world::World;

/// Of a long list so many are named.
pub(super) const SHOWN: usize = 6;

/// Who and what has been met so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    peers: BTreeMap<PeerId, usize>,
    tags: BTreeMap<Tag, usize>,
    groups: IndexSet<GroupId>,
    lives: BTreeMap<usize, Vec<u64>>,
    /// The groups of the last question that one peer asked another: answers speak of them by their place in it.
    asked: BTreeMap<(PeerId, PeerId), Vec<GroupId>>,
}

impl Names {
    /// Names the peers that are new in this world.
    pub(super) fn meet(&mut self, world: &World) {
        for at in self.peers.len()..world.peers.len() {
            let id = world.id(PeerIndex(at));
            self.peers.insert(id, at);
            self.tags.insert(Key::of(&id).tag(), at);
        }
    }

    pub(super) fn peer(&self, peer: &PeerId) -> String {
        match self.peers.get(peer) {
            Some(at) => format!("p{at}"),
            None => "stranger".to_owned(),
        }
    }

    pub(super) fn peers<'a>(&self, peers: impl IntoIterator<Item = &'a PeerId>) -> String {
        join(peers.into_iter().map(|peer| self.peer(peer)))
    }

    pub(super) fn tags(&self, tags: &[Tag]) -> String {
        let name = |tag: &Tag| match self.tags.get(tag) {
            Some(at) => format!("p{at}"),
            None => "stranger".to_owned(),
        };
        join(tags.iter().map(name))
    }

    pub(super) fn group(&mut self, group: &GroupId) -> String {
        let (at, _) = self.groups.insert_full(*group);
        format!("g{}", at + 1)
    }

    /// The name of a group that was met, without meeting it.
    pub(super) fn known_group(&self, group: &GroupId) -> String {
        match self.groups.get_index_of(group) {
            Some(at) => format!("g{}", at + 1),
            None => "unknown group".to_owned(),
        }
    }

    pub(super) fn group_numbered(&self, number: usize) -> Option<GroupId> {
        self.groups.get_index(number.checked_sub(1)?).copied()
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn path(&mut self, path: &PathId) -> String {
        format!("{}/{}#{}", self.group(&path.group), self.peer(&path.member), path.epoch)
    }

    pub(super) fn paths(&mut self, paths: &[PathId]) -> String {
        let names: Vec<String> = paths.iter().take(SHOWN).map(|path| self.path(path)).collect();
        some_of(&names, " ", paths.len())
    }

    /// The first life of a peer needs no mention.
    pub(super) fn life(&mut self, peer: PeerIndex, incarnation: u64) -> String {
        let lives = self.lives.entry(peer.0).or_default();
        if !lives.contains(&incarnation) {
            lives.push(incarnation);
        }
        match lives.iter().position(|&life| life == incarnation) {
            Some(0) | None => String::new(),
            Some(at) => format!(" life {}", at + 1),
        }
    }

    pub(super) fn remember_question(&mut self, asker: PeerId, asked: PeerId, groups: Vec<GroupId>) {
        self.asked.insert((asker, asked), groups);
    }

    /// The groups at these places of the last question that `asker` asked.
    pub(super) fn places(&mut self, asker: PeerId, asked: PeerId, places: &[u16]) -> String {
        let groups = self.asked.get(&(asker, asked)).cloned().unwrap_or_default();
        let names: Vec<String> = places
            .iter()
            .take(SHOWN)
            .map(|&place| match groups.get(usize::from(place)) {
                Some(group) => self.group(group),
                None => format!("the group at {place}"),
            })
            .collect();
        some_of(&names, " ", places.len())
    }

    pub(super) fn id(&self, peer: PeerIndex) -> Option<PeerId> {
        self.peers.iter().find(|(_, at)| **at == peer.0).map(|(id, _)| *id)
    }

    /// Every identity of a peer, wherever it stands in a text, becomes a name.
    pub(super) fn rename(&self, text: &str) -> String {
        let word = |word: &str| match word.parse::<PeerId>() {
            Ok(peer) => self.peer(&peer),
            Err(_) => word.to_owned(),
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// The first of many, and how many more there are.
pub(super) fn some_of(names: &[String], between: &str, all: usize) -> String {
    let text = names.join(between);
    if all > SHOWN {
        format!("{text} and {} more", all - SHOWN)
    } else {
        text
    }
}

pub(super) fn join(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}
