//! Audits find nothing: "with ordered sessions and replay [a digest] can only differ through a bug or a lie" (protocol.md §4), and nobody
//! lies here. But for one thing: "a peer that wants one group to die in silence takes its paths out of the joint set", and tells no one. So for
//! a bound after somebody fell silent differences are what is to be expected.

use std::collections::BTreeMap;

use fatebound_machine::Command;
use fatebound_machine::fng::Command as Order;
use fatebound_machine::overlay::Time;

use super::{Book, Checker, Report};
use crate::observe::Observation;
use crate::{PeerIndex, World};

/// The checker: differences that each peer has counted.
#[derive(Debug, Default)]
pub(super) struct Audit {
    counted: BTreeMap<(PeerIndex, u32), u64>,
    /// When somebody last fell silent.
    silence: Option<Time>,
}

impl Checker for Audit {
    fn promise(&self) -> &'static str {
        "audits agree"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, _report: &mut Report) {
        if let Observation::Ordered {
            command: Command::Group(Order::FallSilent { .. }),
            ..
        } = seen
        {
            self.silence = Some(at);
        }
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer) else { continue };
            let counters = machine.status().counters;
            let found = counters.digest_mismatches + counters.garbage;
            let expected = self.silence.is_some_and(|at| book.now <= at + book.bound);
            let counted = self.counted.entry((peer, book.peer(peer).life)).or_default();
            if found > *counted {
                *counted = found;
                if expected {
                    continue;
                }
                let what = format!(
                    "counts {} differing digests, {} messages that broke a rule",
                    counters.digest_mismatches, counters.garbage
                );
                report.broken(self.promise(), book.now, peer, what);
            }
        }
    }
}
