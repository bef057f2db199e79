//! What is approved becomes true.

use super::admit::is_same;
use super::{Change, GroupState, Notice, Proposal, Provider, ProviderId, Reason, Standing};
use crate::protocols::change::Joiner;
use crate::protocols::notice::Why;

impl GroupState {
    /// Everything but the state value. `gone` are joiners that do not come in any more.
    pub(super) fn take_effect(&mut self, change: &Change, gone: &[ProviderId], notices: &mut Vec<Notice>) {
        match change {
            Change::Failure { providers } => self.remove(providers, None, notices),
            Change::Leave { .. } => self.remove(&change.removed(), Some(Why::Left), notices),
            Change::Join { joiners } => {
                let here = |joiner: &&Joiner| !gone.contains(&joiner.by.provider);
                self.add(joiners.iter().filter(here), notices);
            }
            Change::Proposed { by, proposal } => match proposal {
                Proposal::Expel { providers, .. } => {
                    self.remove(providers, Some(Why::Expelled { by: by.provider }), notices);
                }
                Proposal::Message { body } => notices.push(Notice::Message {
                    from: by.provider,
                    body: body.clone(),
                }),
                Proposal::Attributes { attributes } => {
                    self.attributes = attributes.as_ref().clone();
                    notices.push(Notice::Attributes(attributes.clone()));
                }
                Proposal::State { .. } | Proposal::Barrier { .. } => {}
            },
        }
    }

    pub(super) fn set_value(&mut self, value: Vec<u8>, notices: &mut Vec<Notice>) {
        self.version = self.version.saturating_add(1);
        self.value.clone_from(&value);
        notices.push(Notice::State {
            value,
            version: self.version,
        });
    }

    /// Takes them out; who has failed meanwhile goes for what was agreed, if anything was.
    fn remove(&mut self, providers: &[ProviderId], why: Option<Why>, notices: &mut Vec<Notice>) {
        let mut left = Vec::new();
        self.providers.retain(|provider| {
            if !providers.contains(&provider.id) {
                return true;
            }
            let failed = provider.failed().unwrap_or(Reason::ProcessGone);
            left.push((provider.id, why.unwrap_or(Why::Failed(failed))));
            false
        });
        self.show(left, Vec::new(), notices);
    }

    /// At the end of the list, or in the place that was held.
    fn add<'a>(&mut self, joiners: impl Iterator<Item = &'a Joiner>, notices: &mut Vec<Notice>) {
        let (mut left, mut joined) = (Vec::new(), Vec::new());
        for joiner in joiners {
            let provider = Provider {
                id: joiner.by.provider,
                instance: joiner.instance.clone(),
                info: joiner.info.clone(),
                standing: Standing::Present,
                last: joiner.by.number,
            };
            joined.push(provider.id);
            match self.providers.iter_mut().find(|listed| is_same(listed, joiner)) {
                Some(held) => {
                    let hold = match held.standing {
                        Standing::Absent { hold } => hold,
                        _ => std::time::Duration::ZERO,
                    };
                    left.push((held.id, Why::Failed(Reason::Restart { hold })));
                    *held = provider;
                }
                None => self.providers.push(provider),
            }
        }
        self.show(left, joined, notices);
    }

    fn show(&self, left: Vec<(ProviderId, Why)>, joined: Vec<ProviderId>, notices: &mut Vec<Notice>) {
        notices.push(Notice::Providers {
            epoch: self.epoch,
            providers: self.providers.clone(),
            left,
            joined,
        });
    }
}
