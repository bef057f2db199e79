//! The moment of an input, and where its consequences go.

use std::collections::VecDeque;

use fatebound::PeerId;
use fatebound_base::Time;

use crate::io::{Event, Output};
use crate::message::Frame;
use crate::roster::Roster;
use crate::rules::Rules;

pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) me: PeerId,
    pub(crate) rules: &'a Rules,
    pub(crate) roster: &'a Roster,
    /// Whether this node is sure of its place: it has run all the time, and the group has a quorum.
    pub(crate) running: bool,
    pub(crate) out: &'a mut Vec<Output>,
    /// Words of this node to itself: a system leader also leads a network.
    pub(crate) home: &'a mut VecDeque<Frame>,
}

impl Step<'_> {
    pub(crate) fn send(&mut self, peer: PeerId, frame: Frame) {
        if peer == self.me {
            self.home.push_back(frame);
        } else {
            self.out.push(Output::Send { peer, frame });
        }
    }

    pub(crate) fn send_hub(&mut self, frame: Frame) {
        if let Some(hub) = self.roster.hub() {
            self.send(hub.node.peer, frame);
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }
}
