//! What tests of coming and going order, and look at.

use super::*;
use crate::io::JoinError;

/// So long after everything has settled: any question has had its answer, any list its acknowledgement.
pub(super) const SETTLED: Duration = Duration::from_secs(60);

impl World {
    /// A group of peer 0 with the next ones, `members` in all, that others may come into.
    pub(super) fn open_group(&mut self, members: usize) -> GroupId {
        self.group_with(members, Admit::Open)
    }

    pub(super) fn group_with(&mut self, members: usize, admit: Admit) -> GroupId {
        self.admit = admit;
        let others: Vec<usize> = (1..members).collect();
        let group = self.create(0, &others, None);
        self.run(Duration::from_millis(100));
        group
    }

    pub(super) fn wish(&mut self, peer: usize, group: GroupId, observe: bool) {
        let command = Command::Join {
            ticket: Ticket(100),
            group,
            observe,
            timeout: None,
        };
        self.command(peer, command);
    }

    pub(super) fn join(&mut self, peer: usize, group: GroupId) {
        self.wish(peer, group, false);
        self.run(Duration::from_millis(100));
    }

    pub(super) fn observe(&mut self, peer: usize, group: GroupId) {
        self.wish(peer, group, true);
        self.run(Duration::from_millis(100));
    }

    pub(super) fn leave(&mut self, peer: usize, group: GroupId) {
        let ticket = Ticket(200);
        self.command(peer, Command::Leave { ticket, group });
    }

    pub(super) fn members(&self, peer: usize, group: GroupId) -> Vec<PeerId> {
        let view = self.peers[peer].groups.view(&group);
        view.map(|view| view.members).unwrap_or_default()
    }

    pub(super) fn is_in(&self, peer: usize, group: GroupId) -> bool {
        self.peers[peer].groups.view(&group).is_some()
    }

    pub(super) fn join_error(&self, peer: usize) -> Option<&JoinError> {
        self.events(peer).into_iter().find_map(|event| match event {
            Event::JoinFailed { error, .. } => Some(error),
            _ => None,
        })
    }

    pub(super) fn was_told(&self, peer: usize, what: &Event) -> bool {
        self.events(peer).contains(&what)
    }

    pub(super) fn left(&self, peer: usize, group: GroupId) -> bool {
        self.was_told(peer, &Event::Left { group })
    }

    pub(super) fn closed(&self, peer: usize, group: GroupId) -> bool {
        let by = group.root;
        self.was_told(peer, &Event::Closed { group, by })
    }
}

pub(super) fn ids(peers: &[usize]) -> Vec<PeerId> {
    peers.iter().map(|peer| id(*peer)).collect()
}

pub(super) fn assert_alive_at(world: &World, peers: &[usize], group: GroupId) {
    for peer in peers {
        assert_eq!(world.reason(*peer, group), None, "at {peer}");
        assert!(world.is_in(*peer, group), "at {peer}");
    }
    world.assert_idle();
}
