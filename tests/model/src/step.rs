//! What can happen next, and when: the model of time.
//!
//! **Whatever is on its way arrives before time goes on**, in any order that the queues of the links allow; only a stalled link holds its
//! queue back, for less than `L`. So a time limit that runs out has waited for something that could not come: a message was lost
//! with its link or its peer, or is held back. Time then goes to the next moment at which anything is due: a peer's timer, the last moment for
//! an end of a broken link to notice, for a stalled link to be resumed, or the deadline of P1. At one moment, all that is due happens in any order
//! as well.

use fatebound_fng::Input as Above;
use fatebound_overlay::Time;
use fatebound_tree::Input as Below;

use crate::fault::Fault;
use crate::peer::Work;
use crate::state::{Letter, State};
use crate::wire::{Fate, Held, Wire};
use crate::world::{Number, World};

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The oldest item that this end of a link has sent arrives.
    Deliver {
        /// The link.
        wire: u32,
        /// Its sender.
        end: usize,
    },
    /// A one-shot message arrives.
    HandOver(Letter),
    /// What a dead peer sent last does not arrive.
    Lose(Letter),
    /// Likewise for what it sent on a link.
    LoseRest {
        /// The link.
        wire: u32,
        /// Its sender.
        end: usize,
    },
    /// An end of a troubled link misses an answer.
    Doubt {
        /// The link.
        wire: u32,
        /// Which end.
        end: usize,
    },
    /// An end of a broken link takes it for down.
    Notice {
        /// The link.
        wire: u32,
        /// Which end.
        end: usize,
    },
    /// A stalled link goes on.
    Resume {
        /// The link.
        wire: u32,
    },
    /// An end of a link shows its joint set to the other.
    Ping {
        /// The link.
        wire: u32,
        /// Which end.
        end: usize,
    },
    /// A peer's timer fires.
    Wake(Number),
    /// Time goes on to the next moment.
    Advance,
    /// Something goes wrong.
    Fault(Fault),
}

impl State {
    /// All that can happen.
    pub fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.arrivals(false, actions);
        self.losses(actions);
        self.dues(world, actions);
        actions.extend(self.next_moment(world).map(|_| Action::Advance));
        self.troubles(world, actions);
        if self.budget > 0 && !self.over(world) {
            actions.extend(self.possible_faults(world).into_iter().map(Action::Fault));
        }
    }

    /// What can arrive; `pressed`: what has to, before time goes on.
    fn arrivals(&self, pressed: bool, actions: &mut Vec<Action>) {
        for wire in &self.wires {
            for end in 0..2 {
                if self.head(wire.number, end).is_some() {
                    let wire = wire.number;
                    actions.push(Action::Deliver { wire, end });
                }
            }
        }
        let pressing = |letter: &&Letter| !pressed || letter.until.is_none_or(|until| until <= self.now);
        actions.extend(self.mail.iter().filter(pressing).cloned().map(Action::HandOver));
    }

    fn losses(&self, actions: &mut Vec<Action>) {
        let last_words = self.mail.iter().filter(|letter| !self.alive(letter.from));
        actions.extend(last_words.cloned().map(Action::Lose));
        for wire in self.wires.iter().filter(|wire| !wire.lasts()) {
            let unsaid = (0..2).filter(|end| !wire.queues[*end].is_empty());
            actions.extend(unsaid.map(|end| Action::LoseRest { wire: wire.number, end }));
        }
    }

    fn dues(&self, world: &World, actions: &mut Vec<Action>) {
        for peer in &self.peers {
            if self.alive(peer.number) && peer.deadline(world).is_some_and(|at| at <= self.now) {
                actions.push(Action::Wake(peer.number));
            }
        }
    }

    /// What may happen at any time while a link is in trouble.
    fn troubles(&self, world: &World, actions: &mut Vec<Action>) {
        for wire in &self.wires {
            let number = wire.number;
            for end in 0..2 {
                if !self.holds(wire, end) || wire.fate == Fate::Sound {
                    continue;
                }
                if world.doubts && wire.held[end] == Held::Up {
                    actions.push(Action::Doubt { wire: number, end });
                }
                if !wire.lasts() {
                    actions.push(Action::Notice { wire: number, end });
                }
            }
            if matches!(wire.fate, Fate::Stalled(_)) {
                actions.push(Action::Resume { wire: number });
            }
        }
        let pings = self.unseen().into_iter();
        actions.extend(pings.map(|(wire, end)| Action::Ping { wire, end }));
    }

    /// Whether a living end, in the life that founded it, holds this link.
    pub fn holds(&self, wire: &Wire, end: usize) -> bool {
        let peer = wire.ends[end];
        wire.holds(end) && self.alive(peer) && self.peers[usize::from(peer)].life == wire.lives[end]
    }

    /// Whether something has to happen before time goes on.
    fn pressing(&self, world: &World) -> bool {
        let mut now = Vec::new();
        self.arrivals(true, &mut now);
        self.dues(world, &mut now);
        !now.is_empty() || self.limits(world).any(|at| at <= self.now)
    }

    /// When a troubled link has to change at the latest.
    fn limit(&self, wire: &Wire) -> Option<Time> {
        match wire.fate {
            Fate::Sound => None,
            Fate::Stalled(until) => Some(until),
            Fate::Broken(by) => (0..2).any(|end| self.holds(wire, end)).then_some(by),
        }
    }

    /// The last moments for what may happen at any time before.
    fn limits<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Time> + 'a {
        let troubles = self.wires.iter().filter_map(|wire| self.limit(wire));
        let late = self.mail.iter().filter_map(|letter| letter.until);
        let pings = self.unseen().into_iter();
        let pings = pings.filter_map(move |(wire, end)| self.wire(wire)?.shown[end].1);
        troubles
            .chain(late)
            .chain(pings.map(move |since| since + world.link_lifetime()))
    }

    /// When the next thing is due, if nothing is now.
    pub fn next_moment(&self, world: &World) -> Option<Time> {
        let timers = self.peers.iter().filter(|peer| self.alive(peer.number));
        let timers = timers.filter_map(|peer| peer.deadline(world));
        let next = timers.chain(self.limits(world)).chain(self.deadline(world)).min();
        next.filter(|at| *at > self.now && !self.pressing(world))
    }

    /// When every live member must have been told, as long as one has not.
    pub fn deadline(&self, world: &World) -> Option<Time> {
        let waiting = self.trigger.filter(|_| !self.all_told(world));
        waiting
            .map(|trigger| trigger + world.bound())
            .filter(|at| *at > self.now)
    }

    /// Whether nothing is on its way, in trouble or waited for: from here on only faults happen.
    pub fn quiet(&self, world: &World) -> bool {
        !self.pressing(world) && self.next_moment(world).is_none()
    }

    /// The state after an action.
    pub fn after(&self, world: &World, action: &Action) -> State {
        let mut next = self.clone();
        match action {
            Action::Deliver { wire, end } => next.deliver(world, *wire, *end),
            Action::HandOver(letter) => next.hand_over(world, letter),
            Action::Lose(letter) => drop(next.mail.remove(letter)),
            Action::LoseRest { wire, end } => next.lose_rest(*wire, *end),
            Action::Doubt { wire, end } => next.doubt(world, *wire, *end),
            Action::Notice { wire, end } => next.link_down(world, *wire, *end),
            Action::Resume { wire } => next.resume(*wire),
            Action::Ping { wire, end } => next.ping(world, *wire, *end),
            Action::Wake(peer) => next.input(world, *peer, vec![Work::Groups(Above::Wake)]),
            Action::Advance => next.now = self.next_moment(world).unwrap_or(self.now),
            Action::Fault(fault) => next.suffer(world, fault),
        }
        next.tidy(world);
        next.judge(world);
        next
    }

    fn lose_rest(&mut self, number: u32, end: usize) {
        if let Some(wire) = self.wire_mut(number) {
            wire.queues[end].clear();
        }
    }

    fn doubt(&mut self, world: &World, number: u32, end: usize) {
        let Some(wire) = self.wire_mut(number) else { return };
        wire.held[end] = Held::Doubtful;
        let (us, link) = (wire.ends[end], wire.link(end));
        self.input(
            world,
            us,
            vec![Work::Tree(Below::LinkDoubtful {
                link,
                unacknowledged: Vec::new(),
            })],
        );
    }

    fn resume(&mut self, number: u32) {
        let Some(wire) = self.wire_mut(number) else { return };
        wire.fate = Fate::Sound;
        for held in &mut wire.held {
            if *held == Held::Doubtful {
                *held = Held::Up;
            }
        }
    }
}
