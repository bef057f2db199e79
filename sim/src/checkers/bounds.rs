//! Everything is bounded: no queue, table or list in any peer ever holds more than its limit, whatever happens around it.
//!
//! Each layer says of everything that can grow how much is in it and how much may be ([`Machine::bounds`]). Some limits are numbers
//! (protocol.md §4, §6 and §8), some follow from what else is there: a timer belongs to something that is under way, so there are no more
//! timers than such things. The latter find what was left behind.
//!
//! [`Machine::bounds`]: fatebound_machine::Machine::bounds

use super::{Book, Checker, Report};
use crate::{PeerIndex, World};

/// The checker.
#[derive(Debug)]
pub(super) struct Bounds;

impl Checker for Bounds {
    fn promise(&self) -> &'static str {
        "everything is bounded"
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        for peer in (0..book.peers.len()).map(PeerIndex) {
            for bounded in world.bounds(peer).iter().filter(|bounded| !bounded.holds()) {
                let what = format!("{}: {} of at most {}", bounded.what, bounded.size, bounded.limit);
                report.broken(self.promise(), book.now, peer, what);
            }
        }
    }
}
