//! Which entry is delivered when, and forgotten when. All are delivered in their order: an entry that has to wait holds those behind it.

use fatebound_base::Rule;

use super::message::{Class, Item};
use super::{Output, Role, Step, Stream};
use crate::log::Log;
use crate::numbers::Seq;

impl Stream {
    /// What has come is looked at, what may be is delivered, what everybody has is forgotten.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        self.notice_own(step);
        let marks = match &mut self.role {
            Role::None => return,
            Role::Leading(leading) => leading.count(step.shelf.log()),
            Role::Following(following) => following.marks,
        };
        step.shelf.commit(marks.committed);
        self.deliver(step, None);
        let committed = step.shelf.log().map(Log::committed);
        self.tell_committed(step, committed.unwrap_or_default());
        // S4 ◆ "An entry is kept until every voter is known to have it."
        let kept_until = match Rule::StreamKeptUntilStable.holds() {
            true => marks.stable.min(self.delivered),
            false => self.delivered,
        };
        step.shelf.forget(kept_until);
    }

    /// Whether an entry may be delivered in a view that is open.
    ///
    /// S2 ◆ "A safe entry is delivered when it is committed", and S3 ◆ "its leader waits like everybody else".
    fn may_deliver(&self, class: Class, seq: Seq, committed: Seq) -> bool {
        let waits = match self.role {
            Role::Leading(_) => Rule::StreamLeaderWaits.holds(),
            _ => Rule::StreamSafeWaits.holds(),
        };
        class == Class::Agreed || seq <= committed || !waits
    }

    /// Delivers what may be, in an open view; or, of a view that is over, all up to its cut.
    pub(super) fn deliver(&mut self, step: &mut Step<'_>, cut: Option<Seq>) {
        let committed = step.shelf.log().map(Log::committed).unwrap_or_default();
        loop {
            let seq = self.delivered.next();
            if cut.is_some_and(|cut| seq > cut) {
                return;
            }
            let Some(entry) = step.shelf.get(seq) else { return };
            // What no stream has written is nobody's, for everybody alike.
            let Some(item) = Item::of(entry) else {
                self.delivered = seq;
                continue;
            };
            if cut.is_none() && !self.may_deliver(item.class, seq, committed) {
                return;
            }
            if item.origin == self.me {
                if self.own.log(item.number) {
                    let number = item.number;
                    step.out.push(Output::Logged { number, seq });
                }
                self.own.delivered(item.number, seq);
            }
            self.lasts.insert(item.origin, item.number);
            step.out.push(Output::Deliver {
                seq,
                origin: item.origin,
                number: item.number,
                class: item.class,
                body: item.body.to_vec(),
            });
            self.delivered = seq;
        }
    }

    /// Own submissions that have come to their place.
    fn notice_own(&mut self, step: &mut Step<'_>) {
        let have = step.shelf.log().map(Log::have).unwrap_or_default();
        while self.seen < have {
            let seq = self.seen.next();
            self.seen = seq;
            let item = step.shelf.get(seq).and_then(Item::of);
            if let Some(item) = item.filter(|item| item.origin == self.me) {
                let number = item.number;
                if self.own.log(number) {
                    step.out.push(Output::Logged { number, seq });
                }
            }
        }
    }

    /// Own submissions that are committed.
    pub(super) fn tell_committed(&mut self, step: &mut Step<'_>, up_to: Seq) {
        while let Some((number, seq)) = self.own.next_committed(up_to) {
            step.out.push(Output::Committed { number, seq });
        }
    }
}
