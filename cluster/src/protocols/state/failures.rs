//! Who has failed: marked at once, removed by a protocol of its own.

use super::{GroupState, Notice, ProviderId, Reason, Standing};
use crate::protocols::entry::Failure;
use crate::protocols::{MAX_BATCH, MAX_TEXT};

impl GroupState {
    /// Of several failures those count that fit; with none the entry does not.
    pub(super) fn on_failed(&mut self, failures: &[Failure], notices: &mut Vec<Notice>) -> Option<()> {
        if failures.len() > MAX_BATCH || failures.iter().any(|failure| failure.text.len() > MAX_TEXT) {
            return None;
        }
        for failure in failures {
            if self.joiners().contains(&failure.provider) {
                self.joiner_is_gone(failure.provider, notices);
            } else if self.mark(failure).is_some() {
                notices.push(Notice::Failed(failure.clone()));
            }
        }
        (!notices.is_empty()).then_some(())
    }

    fn joiner_is_gone(&mut self, joiner: ProviderId, notices: &mut Vec<Notice>) {
        if let Some(running) = &mut self.running {
            running.gone.push(joiner);
            notices.push(Notice::JoinerGone(joiner));
        }
    }

    fn mark(&mut self, failure: &Failure) -> Option<()> {
        let listed = self.provider(failure.provider)?;
        let standing = match (listed.standing, failure.reason) {
            (Standing::Present, Reason::Restart { hold }) => Standing::Absent {
                hold: hold.min(self.attributes.max_hold),
            },
            (Standing::Present, Reason::NodeGone | Reason::ProcessGone | Reason::Goodbye) => {
                Standing::Failed(failure.reason)
            }
            // Who is about to take the place may have it.
            (Standing::Absent { .. }, Reason::HoldOver) if !self.is_wanted(failure.provider) => {
                Standing::Failed(failure.reason)
            }
            _ => return None,
        };
        let listed = self.providers.iter_mut().find(|listed| listed.id == failure.provider)?;
        listed.standing = standing;
        Some(())
    }

    /// Whether the protocol that runs puts somebody into the place that is held for this one.
    pub(in crate::protocols) fn is_wanted(&self, held: ProviderId) -> bool {
        let change = self.running.as_ref().map(|running| &running.change);
        let held = self.provider(held);
        change
            .zip(held)
            .is_some_and(|(change, held)| self.is_replaced(held, change))
    }
}
