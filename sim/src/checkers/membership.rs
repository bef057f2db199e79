//! Who is in a process group, as its providers are told (the rules of membership): nobody goes who had not come, nobody comes twice before its
//! going was told, nobody changes its place in the list, and epochs grow. At one epoch all nodes have the same list, state value and attributes (G6).

use std::collections::{BTreeMap, BTreeSet};

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::protocols::{Attributes, Epoch, Notice, Provider, ProviderId};
use fatebound_machine::process_groups::{Event as Told, Founding, GroupName};

use super::{Book, Checker, Report};
use crate::observe::Observation;
use crate::{PeerIndex, World};

/// What a provider has been told of the list.
#[derive(Debug, Default)]
struct Heard {
    epoch: Option<Epoch>,
    ids: Vec<ProviderId>,
    gone: BTreeSet<ProviderId>,
}

/// What follows from the protocols that were approved.
type State = (Vec<ProviderId>, Vec<u8>, u64, Attributes);

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Membership {
    heard: BTreeMap<(GroupName, ProviderId), Heard>,
    states: BTreeMap<(GroupName, Founding, Epoch), (PeerIndex, State)>,
}

impl Checker for Membership {
    fn promise(&self) -> &'static str {
        "rules of membership"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, report: &mut Report) {
        let Some((peer, Told::Shown { name, to, notice })) = seen.of_process_groups() else {
            return;
        };
        if let Notice::Providers {
            epoch,
            providers,
            left,
            joined,
        } = notice
        {
            let left: Vec<ProviderId> = left.iter().map(|(provider, _)| *provider).collect();
            for provider in to {
                let heard = self.heard.entry((name.clone(), *provider)).or_default();
                if let Err(what) = heard.hears(*epoch, providers, &left, joined) {
                    report.broken(self.promise(), at, peer, format!("{name}: {what}"));
                }
            }
        }
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer) else { continue };
            for group in machine.process_groups().groups() {
                let (Some(founding), Some(state)) = (group.founding, group.state) else {
                    continue;
                };
                let (value, version) = state.value();
                let ids = state.providers().iter().map(|provider| provider.id).collect();
                let here = (ids, value.to_vec(), version, state.attributes().clone());
                let key = (group.name.clone(), founding, state.epoch());
                let (other, there) = self.states.entry(key).or_insert_with(|| (peer, here.clone()));
                if *there != here {
                    let what = format!(
                        "{}: knows {here:?} at {:?}, and peer {} {there:?}",
                        group.name,
                        state.epoch(),
                        other.0
                    );
                    report.broken(self.promise(), book.now, peer, what);
                }
            }
        }
    }
}

impl Heard {
    fn hears(
        &mut self,
        epoch: Epoch,
        providers: &[Provider],
        left: &[ProviderId],
        joined: &[ProviderId],
    ) -> Result<(), String> {
        let ids: Vec<ProviderId> = providers.iter().map(|provider| provider.id).collect();
        let names: BTreeSet<_> = providers
            .iter()
            .map(|provider| (provider.id.node.peer, &provider.instance))
            .collect();
        let before = std::mem::replace(&mut self.ids, ids.clone());
        let last = self.epoch.replace(epoch);
        if names.len() != ids.len() {
            return Err(format!("somebody is in the list twice: {ids:?}"));
        }
        if let Some(again) = joined.iter().find(|joined| self.gone.contains(joined)) {
            return Err(format!("{again:?} comes again"));
        }
        self.gone.extend(left);
        let Some(last) = last else {
            // Its first list: it may not know who was in the one before.
            return Ok(());
        };
        if last >= epoch {
            return Err(format!("{epoch:?} follows {last:?}"));
        }
        if let Some(unknown) = left.iter().find(|left| !before.contains(left)) {
            return Err(format!("{unknown:?} goes, and had not come"));
        }
        let stay = before.iter().filter(|id| !left.contains(id));
        let expected: Vec<ProviderId> = stay.chain(joined).copied().collect();
        let same = expected == ids;
        same.then_some(())
            .ok_or_else(|| format!("{ids:?} follow {before:?}, without {left:?} and with {joined:?}"))
    }
}
