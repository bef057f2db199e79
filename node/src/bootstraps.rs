//! Bootstrap addresses that lead to nobody: whoever operates this node has to hear which, and why.
//!
//! The machine goes on dialling them for as long as it takes and has no words for what happens there. The driver has, so it is here that they
//! are logged, each reason at once and then rarely, and kept for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fatebound_machine::overlay::Multiaddr;

use crate::dials::bare;
use crate::rarely::Rarely;

/// Addresses that are known at most, as in the machine; further ones are not dialled.
const MAX_ADDRESSES: usize = 64;

/// A bootstrap address, and what happened at the last dial there; `None`: nothing bad, or nothing yet.
type Known = (Multiaddr, Option<String>);

/// What is known of the bootstrap addresses; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bootstraps(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    known: Vec<Known>,
    rarely: Rarely,
}

impl Bootstraps {
    /// These are to be dialled from now on.
    pub(crate) fn add(&self, addresses: &[Multiaddr]) {
        let mut state = self.lock();
        for address in addresses.iter().map(bare) {
            let known = state.known.iter().any(|(known, _)| *known == address);
            if !known && state.known.len() < MAX_ADDRESSES {
                state.known.push((address, None));
            }
        }
    }

    /// A dial came to nothing; of no interest unless it went to one of these.
    pub(crate) fn failed(&self, address: &Multiaddr, reason: &str) {
        let address = bare(address);
        let mut state = self.lock();
        let Some((_, problem)) = state.known.iter_mut().find(|(known, _)| *known == address) else {
            return;
        };
        *problem = Some(reason.to_owned());
        if state.rarely.says(&format!("{address} {reason}"), Instant::now()) {
            tracing::warn!(%address, reason, "a bootstrap address is of no use: it will be tried again");
        }
    }

    /// A dial there succeeded.
    pub(crate) fn succeeded(&self, address: &Multiaddr) {
        let address = bare(address);
        for (known, problem) in &mut self.lock().known {
            if *known == address {
                *problem = None;
            }
        }
    }

    /// Those where the last dial came to nothing, and why.
    pub(crate) fn problems(&self) -> Vec<(Multiaddr, String)> {
        let of = |(address, problem): &Known| Some((address.clone(), problem.clone()?));
        self.lock().known.iter().filter_map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bootstrap_addresses_are_of_interest_and_only_while_they_lead_nowhere() {
        let address = |port: u16| -> Multiaddr { format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap() };
        let bootstraps = Bootstraps::default();
        bootstraps.add(&[address(1), address(2)]);
        bootstraps.failed(&address(1), "refused");
        bootstraps.failed(&address(3), "refused");
        assert_eq!(bootstraps.problems(), [(address(1), "refused".to_owned())]);
        bootstraps.succeeded(&address(1));
        assert_eq!(bootstraps.problems(), []);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let bootstraps = Bootstraps::default();
        let addresses: Vec<Multiaddr> = (1..100)
            .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
            .collect();
        bootstraps.add(&addresses);
        addresses
            .iter()
            .for_each(|address| bootstraps.failed(address, "refused"));
        assert_eq!(bootstraps.problems().len(), MAX_ADDRESSES);
    }
}
