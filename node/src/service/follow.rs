//! What a provider makes of what its group tells it.

use fatebound_machine::process_groups::protocols::{
    Change, Ended, Notice, Outcome, Proposal, Provider as Listed, ProviderId, Why,
};

use super::message::{ServiceProvider, Word, decode};
use super::record::Role;
use super::runner::{Runner, Seat};
use crate::process_group::ProviderEvent;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    PutOut,
    Left,
    Expelled,
}

impl Runner {
    pub(crate) fn follow(&mut self, seat: &mut Seat, event: ProviderEvent) -> Option<End> {
        match event {
            ProviderEvent::Shown(notice) => self.shown(seat, notice),
            ProviderEvent::Blocked(_) => {
                seat.blocked = true;
                // The others may go on without this node: nothing is done any more in the name of a primacy.
                if let Some(primacy) = seat.primacy.as_mut() {
                    primacy.pause();
                }
            }
            ProviderEvent::Unblocked => {
                seat.blocked = false;
                self.release(seat);
            }
            ProviderEvent::Ended(Ended::Left(Why::Expelled { .. })) => return Some(End::Expelled),
            ProviderEvent::Ended(Ended::Left(_)) if seat.leaving => return Some(End::Left),
            ProviderEvent::Ended(_) | ProviderEvent::Removed { .. } | ProviderEvent::Dissolved(_) => {
                return Some(End::PutOut);
            }
            _ => {}
        }
        None
    }

    fn shown(&mut self, seat: &mut Seat, notice: Notice) {
        match notice {
            Notice::Providers {
                epoch,
                providers,
                joined,
                ..
            } => {
                let came = (!joined.is_empty()).then(|| epoch.number());
                seat.names = providers
                    .iter()
                    .map(|provider| (provider.id, named(provider)))
                    .collect();
                let present = providers
                    .iter()
                    .filter(|provider| provider.is_present())
                    .map(|provider| provider.id);
                seat.selection.listed(present.collect(), came);
                self.release(seat);
            }
            Notice::Failed(failure) => {
                let others = seat.selection.present().iter().filter(|id| **id != failure.provider);
                let present = others.copied().collect();
                seat.selection.listed(present, None);
            }
            Notice::State { value, version } => seat.sealing = Some((version, self.read(&value))),
            Notice::Outcome {
                change, outcome, epoch, ..
            } => {
                let sealed = seat.sealing.take();
                if let (Some((version, record)), Outcome::Approved) = (sealed, outcome)
                    && matches!(
                        change,
                        Change::Proposed {
                            proposal: Proposal::State { .. },
                            ..
                        }
                    )
                {
                    let term = if record.term == 0 { epoch.number() } else { record.term };
                    if seat.selection.sealed(version, record) {
                        seat.epoch = term;
                        self.has_changed(seat);
                    } else if seat.epoch == 0 && version == seat.selection.version() {
                        // Known from the state that this provider found, which does not say in which epoch it was decided.
                        seat.epoch = term;
                    }
                }
            }
            Notice::Message { from, body } => match decode(&body) {
                Some(word) => self.heard(seat, from, word),
                None => tracing::debug!(
                    service = self.settings.service,
                    "a message in the service's group that is none of a service's"
                ),
            },
            _ => {}
        }
    }

    /// Another record.
    fn has_changed(&mut self, seat: &mut Seat) {
        if seat.selection.record().role(seat.me) == Role::Spare {
            seat.store.clear();
        }
        self.release(seat);
    }

    fn heard(&mut self, seat: &mut Seat, from: ProviderId, word: Word) {
        let primary = seat.selection.record().primary;
        match word {
            Word::Rank(tag, rank) => seat.selection.heard(from, tag, rank),
            // At this place in the order somebody else is the primary: an older primacy's checkpoint is refused, by everybody alike.
            Word::Part(_) if primary != Some(from) => {
                tracing::debug!(
                    service = self.settings.service,
                    ?from,
                    "a checkpoint of a primacy that is over"
                );
            }
            Word::Part(part) => {
                let (number, last) = (part.number, part.is_last());
                if seat.selection.record().role(seat.me) != Role::Spare {
                    seat.store.take(part);
                }
                if last && from == seat.me {
                    self.delivered(seat, number);
                }
            }
            Word::HandOver { of, to } if of == seat.me && primary == Some(of) => {
                if let Some(primacy) = seat.primacy.as_mut() {
                    primacy.hand_over(to);
                }
            }
            Word::HandOver { .. } => {}
        }
    }
}

fn named(listed: &Listed) -> ServiceProvider {
    ServiceProvider {
        peer: listed.id.node.peer,
        instance: String::from_utf8_lossy(&listed.instance).into_owned(),
        address: String::from_utf8_lossy(&listed.info).into_owned(),
    }
}
