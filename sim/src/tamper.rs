//! Peers with a planted bug: what goes into a machine or comes out of it is changed at its boundary.
//!
//! A checker that never finds anything may be blind. So each is shown a world in which one peer breaks its promise, and has to see it; the
//! whole chain is exercised, from the machine's outputs to the words of the violation.

use fatebound_machine::overlay::Bounded;
use fatebound_machine::{Input, Machine, Output};

use crate::{PeerIndex, World};

/// A bug at the boundary of a machine, in all its lives.
pub trait Tamper {
    /// Whether the machine gets to see this input.
    fn hears(&mut self, _input: &Input) -> bool {
        true
    }

    /// What comes out instead of this.
    fn says(&mut self, output: Output) -> Vec<Output> {
        vec![output]
    }

    /// What the machine says of a collection instead of this.
    fn shows(&self, bounded: Bounded) -> Bounded {
        bounded
    }
}

/// The bugs that were planted.
#[derive(Default)]
pub(crate) struct Tampered {
    bugs: Vec<(PeerIndex, Box<dyn Tamper>)>,
}

impl Tampered {
    fn of(&mut self, peer: PeerIndex) -> impl Iterator<Item = &mut Box<dyn Tamper>> {
        let bugs = self.bugs.iter_mut().filter(move |(whose, _)| *whose == peer);
        bugs.map(|(_, bug)| bug)
    }

    pub(crate) fn hears(&mut self, peer: PeerIndex, input: &Input) -> bool {
        self.of(peer).all(|bug| bug.hears(input))
    }

    pub(crate) fn says(&mut self, peer: PeerIndex, outputs: Vec<Output>) -> Vec<Output> {
        let says = |outputs: Vec<Output>, bug: &mut Box<dyn Tamper>| {
            outputs.into_iter().flat_map(|output| bug.says(output)).collect()
        };
        self.of(peer).fold(outputs, says)
    }
}

impl World {
    /// Everything in a peer that can grow, with its limit; nothing while no process runs.
    pub fn bounds(&self, peer: PeerIndex) -> Vec<Bounded> {
        let mut bounds = self.machine(peer).map(Machine::bounds).unwrap_or_default();
        for (_, bug) in self.tampered.bugs.iter().filter(|(whose, _)| *whose == peer) {
            bounds.iter_mut().for_each(|bounded| *bounded = bug.shows(*bounded));
        }
        bounds
    }

    /// Plants a bug in a peer.
    pub fn tamper(&mut self, peer: PeerIndex, bug: impl Tamper + 'static) {
        self.tampered.bugs.push((peer, Box::new(bug)));
    }
}
