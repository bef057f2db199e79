//! Whoever wants to come into a group or to go out of it is answered: a join within `create_timeout`, a leaver when its patience is over at the
//! latest (protocol.md §6).

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::Command;
use fatebound_machine::fng::{Command as Order, Event as Of, Ticket};
use fatebound_machine::overlay::Time;

use super::book::Doing;
use super::{Book, Checker, Report, name};
use crate::observe::Observation;
use crate::{GroupId, PeerIndex, World};

/// A wish that has not been answered.
#[derive(Debug)]
struct Wish {
    life: u32,
    at: Time,
    limit: Duration,
    group: GroupId,
}

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    open: BTreeMap<(PeerIndex, Ticket), Wish>,
}

impl Checker for Wishes {
    fn promise(&self) -> &'static str {
        "every wish is answered"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, _report: &mut Report) {
        match seen {
            Observation::Ordered {
                peer,
                command: Command::Group(order),
            } => {
                let (ticket, group, limit) = match order {
                    Order::Join { ticket, group, .. } => (ticket, group, book.create_timeout),
                    Order::Leave { ticket, group } => (ticket, group, book.member_timeout),
                    _ => return,
                };
                let wish = Wish {
                    life: book.peer(*peer).life,
                    at,
                    limit,
                    group: *group,
                };
                self.open.insert((*peer, *ticket), wish);
            }
            _ => {
                let Some((peer, event)) = seen.of_groups() else { return };
                if let Of::Admitted { ticket, .. } | Of::JoinFailed { ticket, .. } | Of::LeaveEnded { ticket, .. } =
                    event
                {
                    self.open.remove(&(peer, *ticket));
                }
            }
        }
    }

    fn look(&mut self, _world: &World, book: &Book, report: &mut Report) {
        let lives =
            |peer: PeerIndex, wish: &Wish| book.peer(peer).life == wish.life && book.peer(peer).doing != Doing::Over;
        self.open.retain(|(peer, _), wish| lives(*peer, wish));
        for ((peer, _), wish) in &self.open {
            let idle = book.idle_within(*peer, wish.at, book.now);
            let limit = wish.limit.mul_f64(book.slowness()) + idle + book.link_interval;
            if book.peer(*peer).doing == Doing::Runs && book.now > wish.at + limit {
                let what = format!(
                    "its wish about {} has not been answered in time",
                    name(book, &wish.group)
                );
                report.broken(self.promise(), book.now, *peer, what);
            }
        }
    }
}
