//! What has to hold in every run: the promises P1 to P7 of protocol.md §1, and a few things that would break them sooner or later.
//!
//! Each checker is one small file and one idea. It sees everything that crosses a peer's boundary, in order, and gets a look at the world
//! at chosen moments: after every fault, and a few times within every `link_interval`. What all of them need to know about a run (who
//! lives, who is a member of what since when) stands in the [`Book`].

mod agreement;
mod audit;
mod bodies;
mod book;
mod bounds;
mod creation;
mod gatherings;
mod leftovers;
mod lists;
mod membership;
mod memory;
mod minorities;
mod names;
mod nobody;
mod once;
mod reach;
mod remains;
mod routing;
mod sequences;
mod silence;
mod stranger;
mod views;
mod wishes;

use std::fmt;

use fatebound_machine::overlay::Time;

use crate::observe::Observation;
use crate::schedule::Seconds;
use crate::{GroupId, PeerIndex, World};

pub(crate) use bodies::numbered;
pub use book::{Book, GroupRecord, Membership, PeerRecord};
pub(crate) use gatherings::patience;
pub(crate) use reach::works;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which checker says so.
    pub promise: &'static str,
    /// When it was seen.
    pub at: Time,
    /// Whose.
    pub peer: Option<PeerIndex>,
    /// In words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.promise, Seconds(self.at.elapsed()))?;
        if let Some(peer) = self.peer {
            write!(f, ", peer {}", peer.0)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What checkers have found.
#[derive(Debug, Default)]
pub struct Report {
    /// Every broken promise, in the order of finding.
    pub violations: Vec<Violation>,
    /// How long each notification took after what caused it, as a share of the bound.
    pub shares: Vec<f64>,
    /// Groups that failed although nothing happened to a member, while P4 did not hold its hand over them.
    pub unlucky: u64,
    /// Lookups of names that had to succeed.
    pub lookups: u64,
    /// Views of process groups that were installed, at every node once.
    pub views: u64,
    /// Messages that providers of process groups were shown.
    pub messages: u64,
    /// Process groups that had to be together, and open, in the end.
    pub gatherings: u64,
}

/// One thing that has to hold.
pub trait Checker {
    /// Its name.
    fn promise(&self) -> &'static str;

    /// Something happened; the book does not know of it yet.
    fn see(&mut self, _at: Time, _seen: &Observation, _book: &Book, _report: &mut Report) {}

    /// A moment to look at the machines; the book is up to date.
    fn look(&mut self, _world: &World, _book: &Book, _report: &mut Report) {}

    /// The run is over; the last look has been taken.
    fn end(&mut self, _world: &World, _book: &Book, _report: &mut Report) {}
}

/// Every checker, and the book that they share.
pub struct Checkers {
    /// What is known of the run.
    pub book: Book,
    /// What was found.
    pub report: Report,
    all: Vec<Box<dyn Checker>>,
}

impl Checkers {
    /// Checkers of everything, for a world in which every peer has joined.
    pub fn new(world: &World) -> Checkers {
        Checkers {
            book: Book::new(world),
            report: Report::default(),
            all: vec![
                Box::new(agreement::Agreement::default()),
                Box::new(once::Once::default()),
                Box::new(stranger::Stranger::default()),
                Box::new(nobody::Nobody),
                Box::new(creation::Creation),
                Box::new(wishes::Wishes::default()),
                Box::new(lists::Lists),
                Box::new(memory::Memory::default()),
                Box::new(silence::Silence),
                Box::new(leftovers::Leftovers),
                Box::new(routing::Routing::default()),
                Box::new(audit::Audit::default()),
                Box::new(bounds::Bounds),
                Box::new(names::Names::default()),
                Box::new(bodies::Bodies::default()),
                Box::new(views::Views::default()),
                Box::new(sequences::Sequences::default()),
                Box::new(membership::Membership::default()),
                Box::new(minorities::Minorities::default()),
                Box::new(gatherings::Gatherings::default()),
                Box::new(remains::Remains::default()),
            ],
        }
    }

    /// Takes what the world has seen since the last call.
    pub fn follow(&mut self, world: &World, observations: &[(Time, Observation)]) {
        for (at, seen) in observations {
            for checker in &mut self.all {
                checker.see(*at, seen, &self.book, &mut self.report);
            }
            self.book.take(*at, seen);
        }
        self.book.now = world.now();
    }

    /// Lets every checker look at the world.
    pub fn look(&mut self, world: &World) {
        for checker in &mut self.all {
            checker.look(world, &self.book, &mut self.report);
        }
    }

    /// Lets every checker have its last word.
    pub fn end(&mut self, world: &World) {
        for checker in &mut self.all {
            checker.end(world, &self.book, &mut self.report);
        }
    }
}

impl Report {
    fn broken(&mut self, promise: &'static str, at: Time, peer: impl Into<Option<PeerIndex>>, what: String) {
        self.violations.push(Violation {
            promise,
            at,
            peer: peer.into(),
            what,
        });
    }
}

/// The short form of a group's name in messages: who created it, and its number there.
pub(crate) fn name(book: &Book, group: &GroupId) -> String {
    let record = book.groups.get(group);
    match record.and_then(|record| record.number) {
        Some(number) => number.to_string(),
        None => format!("group {} of {}", group.sequence, group.root),
    }
}
