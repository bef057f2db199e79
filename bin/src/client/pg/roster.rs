//! Who is in the group, by the names that people gave them.

use std::collections::BTreeMap;

use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::ProviderInfo;
use crate::output::short_peer;

/// The list of providers as of the last event, and how to call them.
#[derive(Debug, Default)]
pub struct Roster {
    providers: Vec<ProviderInfo>,
    /// Those that were in the list before, too: news of them may follow.
    names: BTreeMap<String, String>,
}

impl Roster {
    /// Takes what an event says of the list.
    pub fn follow(&mut self, event: &PgEvent) {
        if let PgEvent::Providers { providers, left, .. } = event {
            // Whoever has just left is called by its name once more.
            let named = |name: &String| {
                providers.iter().any(|provider| provider.provider == *name)
                    || left.iter().any(|departure| departure.provider == *name)
            };
            self.names.retain(|name, _| named(name));
            self.take(providers.clone());
        }
    }

    /// Takes a list.
    pub fn take(&mut self, providers: Vec<ProviderInfo>) {
        for provider in &providers {
            self.names.insert(provider.provider.clone(), called(provider));
        }
        self.providers = providers;
    }

    /// The list, the oldest first.
    pub fn providers(&self) -> &[ProviderInfo] {
        &self.providers
    }

    /// What people call a provider.
    pub fn name(&self, provider: &str) -> String {
        self.names.get(provider).cloned().unwrap_or_else(|| bare(provider))
    }

    /// The same for several.
    pub fn names<'a>(&self, providers: impl IntoIterator<Item = &'a String>) -> String {
        let names: Vec<String> = providers.into_iter().map(|provider| self.name(provider)).collect();
        names.join(", ")
    }

    /// All of the list.
    pub fn all(&self) -> String {
        self.names(self.providers.iter().map(|provider| &provider.provider))
    }
}

/// An instance at the end of its peer's name.
pub fn called(provider: &ProviderInfo) -> String {
    format!("{}@{}", provider.instance.text(), short_peer(&provider.peer))
}

/// Of one that was never in the list.
fn bare(provider: &str) -> String {
    let mut parts = provider.split('.');
    let (peer, serial) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    format!("#{serial}@{}", short_peer(peer))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::api::process_groups::event::Departure;
    use crate::api::process_groups::octets::Octets;

    /// A provider of this name.
    pub fn provider(instance: &str) -> ProviderInfo {
        ProviderInfo {
            provider: format!("peer-{instance}.1.7"),
            peer: format!("peer-{instance}"),
            instance: Octets::from(instance.as_bytes()),
            info: Octets::default(),
            standing: "present".to_owned(),
            reason: None,
        }
    }

    #[test]
    fn who_has_just_left_still_has_a_name() {
        let mut roster = Roster::default();
        roster.take(vec![provider("a"), provider("b")]);
        assert_eq!(roster.all(), "a@peer-a, b@peer-b");
        let list = |left: &[&str]| PgEvent::Providers {
            epoch: "1".into(),
            providers: vec![provider("b")],
            left: left
                .iter()
                .map(|instance| Departure {
                    provider: provider(instance).provider,
                    why: "left".into(),
                    message: "it left".into(),
                })
                .collect(),
            joined: Vec::new(),
        };
        roster.follow(&list(&["a"]));
        assert_eq!(
            (roster.name("peer-a.1.7").as_str(), roster.all().as_str()),
            ("a@peer-a", "b@peer-b")
        );
        roster.follow(&list(&[]));
        assert_eq!(roster.name("peer-a.1.7"), "#7@peer-a");
    }
}
