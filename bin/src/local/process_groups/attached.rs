//! Processes that are providers through the API: each for as long as its client holds its stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fatebound::process_group::{GroupName, Provider, ProviderEvent, ProviderHandle, ProviderId};

use super::{names, words};
use crate::api::process_groups::event::PgEvent;

type Handles = BTreeMap<(GroupName, ProviderId), ProviderHandle>;

/// Processes that were expelled and have not said how it went to end them, at most; beyond it the oldest is forgotten, and the group waits for it no longer
/// than it waits for a vote.
const MAX_EXPELLED: usize = 64;

/// All that are attached now, so that their orders find them.
#[derive(Clone, Debug, Default)]
pub struct Attached(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    handles: Handles,
    /// Those that were expelled and have one more word.
    expelled: VecDeque<ProviderHandle>,
}

impl Attached {
    /// A process has come in.
    pub fn admit(&self, provider: Provider) -> Attachment {
        let key = (provider.group().clone(), provider.id());
        self.lock().handles.insert(key.clone(), provider.handle());
        Attachment {
            provider,
            deactivating: false,
            place: Place {
                attached: self.clone(),
                key,
            },
        }
    }

    /// The orders of this one.
    pub fn handle(&self, group: &GroupName, provider: ProviderId) -> Option<ProviderHandle> {
        self.lock().handles.get(&(group.clone(), provider)).cloned()
    }

    /// The last word of one that was expelled: once.
    pub fn expelled(&self, group: &GroupName, provider: ProviderId) -> Option<ProviderHandle> {
        let expelled = &mut self.lock().expelled;
        let place = expelled
            .iter()
            .position(|handle| handle.group() == group && handle.id() == provider)?;
        expelled.remove(place)
    }

    /// The orders of the one that came into this group first.
    pub fn longest(&self, group: &GroupName) -> Option<ProviderHandle> {
        let known = self.lock();
        let here = known.handles.iter().filter(|((name, _), _)| name == group);
        here.min_by_key(|((_, id), _)| id.serial)
            .map(|(_, handle)| handle.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that is attached. When this is dropped, its process is gone.
#[derive(Debug)]
pub struct Attachment {
    provider: Provider,
    /// It was expelled, and the group wants to know how it went to end it.
    deactivating: bool,
    place: Place,
}

#[derive(Debug)]
struct Place {
    attached: Attached,
    key: (GroupName, ProviderId),
}

impl Attachment {
    /// Its first event.
    pub fn joined(&self) -> PgEvent {
        PgEvent::Joined {
            provider: names::provider(self.provider.id()),
            group: self.place.key.0.to_string(),
            epoch: self.epoch(),
        }
    }

    /// The epoch with which it came in.
    pub fn epoch(&self) -> String {
        names::epoch(self.provider.epoch())
    }

    /// Its next event; `None` after the last one.
    pub async fn next(&mut self) -> Option<PgEvent> {
        loop {
            let event = self.provider.next().await?;
            match event {
                ProviderEvent::Deactivate { .. } => self.deactivating = true,
                ProviderEvent::Ended(_) if self.deactivating => self.place.leave_a_word(),
                ProviderEvent::Ended(_) => self.place.leave(),
                _ => {}
            }
            if let Some(event) = words::event(event) {
                return Some(event);
            }
        }
    }
}

impl Place {
    fn leave(&self) {
        self.attached.lock().handles.remove(&self.key);
    }

    /// It is gone but for its last word.
    fn leave_a_word(&self) {
        let known = &mut *self.attached.lock();
        known.expelled.extend(known.handles.remove(&self.key));
        if known.expelled.len() > MAX_EXPELLED {
            known.expelled.pop_front();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
