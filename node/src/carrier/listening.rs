//! Where we can be dialled, as others are told: the useful addresses first, for a record holds a few only.

use std::time::Instant;

use fatebound_machine::Input;
use fatebound_machine::overlay::Multiaddr;

use super::{Carrier, Listening};
use crate::addresses::useful_first;

impl Carrier {
    pub(super) fn listening(&mut self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        if let Listening::Found(addresses) = &mut self.listening {
            change(addresses);
            let mut addresses = addresses.clone();
            useful_first(&mut addresses);
            self.warn_of_too_many(&addresses);
            self.tell(Input::Listening(addresses));
        }
    }

    pub(super) fn warn_of_too_many(&mut self, addresses: &[Multiaddr]) {
        let Some((told, [_, ..])) = addresses.split_at_checked(self.max_addresses) else {
            return;
        };
        let texts: Vec<String> = told.iter().map(ToString::to_string).collect();
        let told = texts.join(" ");
        if self.rarely.says(&told, Instant::now()) {
            tracing::warn!(
                told,
                "this node has more addresses than it tells others: name the right ones"
            );
        }
    }
}
