//! What the groups of one peer have in common while an input is followed to its end.

use std::collections::BTreeMap;

use fatebound_base::{Bounded, Time};
use fatebound_overlay::directory::{Command, Publication, Ticket};

use crate::config::Config;
use crate::floor::Carried;
use crate::graves::Graves;
use crate::io::{Context, Event, Output};
use crate::lines::Lines;
use crate::mail::Mail;
use crate::message::Words;
use crate::name::{GroupName, GroupRef};
use crate::numbers::Node;
use crate::views::GuardRequest;

/// The numbers of orders are the upper half of all: the lower one is the application's.
const UPPER_HALF: u64 = 1 << 63;

/// Orders of one group that are open at a time, at most.
const MAX_ORDERS: usize = 16;

/// A group, as a number that is never used again at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(pub(crate) u64);

/// What an order to the layers below was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Find,
    Claim,
    Publish,
    /// The guard of the first view.
    FirstGuard,
    /// The guard of another one, with these members.
    Guard {
        request: GuardRequest,
        members: Vec<Node>,
    },
}

/// Orders to the layers below that have not been answered; each is, once.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    open: BTreeMap<u64, (Place, Asked)>,
    next: u64,
}

impl Tickets {
    pub(crate) fn number(&mut self, place: Place, asked: Asked) -> u64 {
        let ticket = UPPER_HALF | self.next;
        self.next += 1;
        self.open.insert(ticket, (place, asked));
        ticket
    }

    /// Whose order it is.
    pub(crate) fn asked_by(&self, ticket: u64) -> Option<Place> {
        self.open.get(&ticket).map(|(place, _)| *place)
    }

    pub(crate) fn answered(&mut self, ticket: u64) -> Option<(Place, Asked)> {
        self.open.remove(&ticket)
    }

    /// Orders that are open, of so many groups at most: to the directory, and for guards.
    pub(crate) fn bounds(&self, groups: usize) -> Bounded {
        Bounded::new("orders of process groups", self.open.len(), MAX_ORDERS * groups)
    }

    /// Whether a ticket is one of these.
    pub(crate) fn is_ours(ticket: u64) -> bool {
        ticket >= UPPER_HALF
    }
}

/// One input, at one moment.
pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) me: Node,
    pub(crate) context: Context,
    pub(crate) config: &'a Config,
    pub(crate) mail: &'a mut Mail,
    pub(crate) tickets: &'a mut Tickets,
    pub(crate) graves: &'a mut Graves,
    pub(crate) lines: &'a mut Lines,
    pub(crate) out: &'a mut Vec<Output>,
}

impl Step<'_> {
    pub(crate) fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }

    pub(crate) fn say(&mut self, to: Node, group: GroupRef, words: Words) {
        self.mail.say(to, group, words);
    }

    pub(crate) fn send_through_pipe(&mut self, to: Node, group: GroupRef, carried: Carried) {
        self.lines.send(self.now, to, group, carried, self.out);
    }

    pub(crate) fn find(&mut self, place: Place, name: &GroupName) {
        let ticket = Ticket(self.tickets.number(place, Asked::Find));
        let name = name.in_directory();
        self.out.push(Output::Directory(Command::Find { ticket, name }));
    }

    pub(crate) fn claim(&mut self, place: Place, name: &GroupName) {
        let ticket = Ticket(self.tickets.number(place, Asked::Claim));
        let name = name.in_directory();
        self.out.push(Output::Directory(Command::Claim { ticket, name }));
    }

    pub(crate) fn publish(&mut self, place: Place, publication: Publication) {
        let ticket = Ticket(self.tickets.number(place, Asked::Publish));
        self.out
            .push(Output::Directory(Command::Publish { ticket, publication }));
    }

    pub(crate) fn forget(&mut self, name: &GroupName) {
        let name = name.in_directory();
        self.out.push(Output::Directory(Command::Forget { name }));
    }
}
