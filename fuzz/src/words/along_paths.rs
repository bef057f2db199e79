//! What is said along a link about paths.

use arbitrary::Arbitrary;
use fatebound_machine::tree::{Cause, Operation, Tell};

use super::one_shot::Word;
use super::{Count, Footing, Path, Seen};
use crate::cast::Who;

/// An operation.
#[derive(Clone, Debug, Arbitrary)]
pub enum Deed {
    Construct { path: Path, visited: Vec<Who>, detours: u8 },
    Confirm { path: Path, hops: u8 },
    Release { paths: Vec<(Path, u8)> },
    Fail { paths: Vec<Path>, notice: Word },
}

impl Deed {
    pub(super) fn of(&self, seen: &Seen) -> Operation {
        match self {
            Deed::Construct { path, visited, detours } => Operation::Construct {
                path: path.of(seen),
                visited: visited.iter().map(|who| who.tag()).collect(),
                detours: *detours,
            },
            Deed::Confirm { path, hops } => Operation::Confirm {
                path: path.of(seen),
                hops: *hops,
            },
            Deed::Release { paths } => Operation::Release {
                paths: paths.iter().map(|(path, why)| (path.of(seen), cause(*why))).collect(),
            },
            Deed::Fail { paths, notice } => Operation::Fail {
                paths: paths.iter().map(|path| path.of(seen)).collect(),
                notice: notice.bytes(seen),
            },
        }
    }
}

fn cause(number: u8) -> Cause {
    match number % 10 {
        0 => Cause::Unknown,
        1 => Cause::Old,
        2 => Cause::NoRoute,
        3 => Cause::HopLimit,
        4 => Cause::Busy,
        5 => Cause::LinkDown,
        6 => Cause::Gone,
        7 => Cause::Abandoned,
        8 => Cause::Disagreed,
        _ => Cause::Shutdown,
    }
}

/// Unnumbered words about paths.
#[derive(Clone, Debug, Arbitrary)]
pub enum Rumour {
    Suspected(Vec<Path>),
    List {
        sent: Count,
        received: Count,
        part: u8,
        parts: Count,
        paths: Vec<Path>,
    },
}

impl Rumour {
    pub(super) fn of(&self, footing: &Footing, seen: &Seen) -> Tell {
        match self {
            Rumour::Suspected(paths) => Tell::Suspected {
                paths: paths.iter().map(|path| path.of(seen)).collect(),
            },
            Rumour::List {
                sent,
                received,
                part,
                parts,
                paths,
            } => Tell::List {
                sent: sent.of(footing.sent),
                received: received.of(footing.received),
                part: (*part).into(),
                parts: parts.of(1) as u32,
                paths: paths.iter().map(|path| path.of(seen)).collect(),
            },
        }
    }
}
