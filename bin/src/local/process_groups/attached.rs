//! Processes that are providers through the API: each for as long as its client holds its stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fatebound::process_group::{GroupName, Provider, ProviderEvent, ProviderHandle, ProviderId};

use super::{names, words};
use crate::api::process_groups::event::PgEvent;

type Handles = BTreeMap<(GroupName, ProviderId), ProviderHandle>;

/// All that are attached now, so that their orders find them.
#[derive(Clone, Debug, Default)]
pub struct Attached(Arc<Mutex<Handles>>);

impl Attached {
    /// A process has come in.
    pub fn admit(&self, provider: Provider) -> Attachment {
        let key = (provider.group().clone(), provider.id());
        self.lock().insert(key.clone(), provider.handle());
        Attachment {
            provider,
            place: Place {
                attached: self.clone(),
                key,
            },
        }
    }

    /// The orders of this one.
    pub fn handle(&self, group: &GroupName, provider: ProviderId) -> Option<ProviderHandle> {
        self.lock().get(&(group.clone(), provider)).cloned()
    }

    /// The orders of the one that came into this group first.
    pub fn longest(&self, group: &GroupName) -> Option<ProviderHandle> {
        let handles = self.lock();
        let here = handles.iter().filter(|((name, _), _)| name == group);
        here.min_by_key(|((_, id), _)| id.serial)
            .map(|(_, handle)| handle.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Handles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that is attached. When this is dropped, its process is gone.
#[derive(Debug)]
pub struct Attachment {
    provider: Provider,
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
            if matches!(event, ProviderEvent::Ended(_)) {
                self.place.leave();
            }
            if let Some(event) = words::event(event) {
                return Some(event);
            }
        }
    }
}

impl Place {
    fn leave(&self) {
        self.attached.lock().remove(&self.key);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
