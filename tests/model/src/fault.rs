//! What can go wrong, and what the observer makes of it: what must lead to a notification (P1), and what may (P4).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fatebound_fng::{Command, Input as Above, Ticket};

use crate::peer::{Peer, Work};
use crate::state::{Body, Letter, State};
use crate::wire::{Fate, Wire};
use crate::world::{Kind, Number, World};

/// A stalled link is resumed so long before it would be down.
const MARGIN: Duration = Duration::from_millis(10);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process ends.
    Crash(Number),
    /// A host falls silent.
    Vanish(Number),
    /// It starts again.
    Restart(Number),
    /// A link is taken for down.
    Break(u32),
    /// A link carries nothing for a while.
    Stall(u32),
    /// Two peers cannot reach each other any more.
    Cut(Number, Number),
    /// A member says that the group has failed.
    Signal(Number),
    /// A member says nothing more about the group.
    Silence(Number),
    /// A message takes its time.
    Late(Letter),
    /// The guest wants to be a member.
    Join(Number),
    /// A member wants to go.
    Leave(Number),
}

impl State {
    /// Every fault that may happen now.
    pub fn possible_faults(&self, world: &World) -> Vec<Fault> {
        let mut faults = Vec::new();
        for number in 0..world.peers() {
            let member = world.may_be_member(number);
            let (crash, vanish) = match member {
                true => (Kind::MemberCrash, Kind::MemberVanish),
                false => (Kind::DelegateCrash, Kind::DelegateVanish),
            };
            let peer = &self.peers[usize::from(number)];
            let mut add = |may: bool, fault| faults.extend(may.then_some(fault));
            if self.alive(number) {
                add(world.allows(crash), Fault::Crash(number));
                add(world.allows(vanish), Fault::Vanish(number));
                let in_group = member && peer.joined && peer.told == 0;
                add(world.allows(Kind::Signal) && in_group, Fault::Signal(number));
                add(world.allows(Kind::Silence) && in_group, Fault::Silence(number));
                let outside = world.guest == Some(number) && !peer.joined && peer.told == 0 && peer.left == 0;
                add(world.allows(Kind::Join) && outside, Fault::Join(number));
                let inside = in_group && number != 0 && !peer.leaving;
                add(world.allows(Kind::Leave) && inside, Fault::Leave(number));
            } else {
                add(world.allows(Kind::Restart), Fault::Restart(number));
            }
        }
        if world.allows(Kind::Late) {
            let timely = self.mail.iter().filter(|letter| letter.until.is_none());
            faults.extend(timely.cloned().map(Fault::Late));
        }
        self.link_faults(world, &mut faults);
        self.cut_faults(world, &mut faults);
        faults
    }

    fn link_faults(&self, world: &World, faults: &mut Vec<Fault>) {
        for wire in self.wires.iter().filter(|wire| wire.fate == Fate::Sound) {
            let mut add = |kind, fault| faults.extend(world.allows(kind).then_some(fault));
            add(Kind::Break, Fault::Break(wire.number));
            add(Kind::Stall, Fault::Stall(wire.number));
        }
    }

    fn cut_faults(&self, world: &World, faults: &mut Vec<Fault>) {
        for a in 0..world.peers() {
            for b in a + 1..world.peers() {
                let ends = a == 0 && world.is_member(b);
                let delegate = !world.is_member(b);
                let kind = if ends { Kind::Cut } else { Kind::DelegateCut };
                if (ends || delegate) && world.allows(kind) && self.reachable(a, b) {
                    faults.push(Fault::Cut(a, b));
                }
            }
        }
    }

    /// It happens.
    pub fn suffer(&mut self, world: &World, fault: &Fault) {
        self.budget -= 1;
        match fault.clone() {
            Fault::Crash(number) => self.fall(world, number, Body::Crashed),
            Fault::Vanish(number) => self.fall(world, number, Body::Vanished),
            Fault::Restart(number) => self.restart(world, number),
            Fault::Break(number) => self.break_wires(world, |wire| wire.number == number),
            Fault::Stall(number) => {
                let until = self.now + world.link_lifetime().saturating_sub(MARGIN);
                if let Some(wire) = self.wire_mut(number) {
                    wire.fate = Fate::Stalled(until);
                }
            }
            Fault::Cut(a, b) => self.cut(world, a, b),
            Fault::Signal(number) => {
                self.excused = true;
                let (group, text) = (State::group(world), "enough".to_owned());
                let signal = Command::Signal { group, text };
                self.input(world, number, vec![Work::Groups(Above::Command(signal))]);
            }
            Fault::Silence(number) => {
                self.excused = true;
                let group = State::group(world);
                let silence = Command::FallSilent { group };
                self.input(world, number, vec![Work::Groups(Above::Command(silence))]);
            }
            Fault::Join(number) => {
                let (ticket, group) = (Ticket(2), State::group(world));
                let join = Command::Join {
                    ticket,
                    group,
                    observe: false,
                    timeout: None,
                };
                self.input(world, number, vec![Work::Groups(Above::Command(join))]);
            }
            Fault::Leave(number) => {
                self.begin_to_leave(number);
                let (ticket, group) = (Ticket(3), State::group(world));
                let leave = Command::Leave { ticket, group };
                self.input(world, number, vec![Work::Groups(Above::Command(leave))]);
            }
            Fault::Late(mut letter) => {
                self.mail.remove(&letter);
                letter.until = Some(self.now + world.lateness());
                self.mail.insert(letter);
            }
        }
    }

    /// What it had sent may still arrive; what was for it will not.
    fn fall(&mut self, world: &World, number: Number, body: Body) {
        self.bodies[usize::from(number)] = body;
        self.mail
            .retain(|letter| letter.to != number && letter.via != Some(number));
        let (now, lifetime) = (self.now, world.link_lifetime());
        for wire in &mut self.wires {
            if let Some(end) = wire.end_of(number) {
                wire.queues[1 - end].clear();
                wire.break_at(now, lifetime);
            }
        }
        if world.may_be_member(number) {
            self.excused = true;
            if self.counts(world, number) {
                self.trigger.get_or_insert(self.now);
            }
        }
    }

    /// Whether this peer's end has to fail the group: whoever came later counts when the root says so, and of a leaver either is right.
    fn counts(&self, world: &World, number: Number) -> bool {
        let peer = &self.peers[usize::from(number)];
        let known = || {
            let view = self.peers[0].groups.view(&State::group(world));
            view.is_some_and(|view| view.members.contains(&world.roles[usize::from(number)].id))
        };
        peer.joined && !peer.leaving && (world.is_member(number) || known())
    }

    /// A new life: it joins the overlay again, and knows nothing.
    fn restart(&mut self, world: &World, number: Number) {
        let at = usize::from(number);
        self.bodies[at] = Body::Alive;
        self.peers[at] = Arc::new(Peer::new(world, number, self.peers[at].life + 1));
        for (a, b) in &world.links {
            if *a == number || *b == number {
                self.connect(*a, *b);
            }
        }
    }

    fn break_wires(&mut self, world: &World, which: impl Fn(&Wire) -> bool) {
        let (now, lifetime) = (self.now, world.link_lifetime());
        for wire in self.wires.iter_mut().filter(|wire| which(wire) && wire.lasts()) {
            wire.queues.iter_mut().for_each(VecDeque::clear);
            wire.break_at(now, lifetime);
        }
    }

    fn cut(&mut self, world: &World, a: Number, b: Number) {
        self.cuts.insert((a.min(b), a.max(b)));
        self.break_wires(world, |wire| wire.end_of(a).is_some() && wire.end_of(b).is_some());
        let unpassable = |letter: &&Letter| !self.passable(letter);
        let lost: Vec<Letter> = self.mail.iter().filter(unpassable).cloned().collect();
        for letter in &lost {
            self.mail.remove(letter);
        }
    }

    /// What the observer notes after every step.
    pub fn judge(&mut self, world: &World) {
        if self.cuts.is_empty() {
            return;
        }
        for member in 1..world.members {
            if self.reachable(0, member) || !self.alive(0) || !self.alive(member) {
                continue;
            }
            // "As long as root and member have a working direct connection, or a working path through one neighbour common to both."
            self.excused |= self.carrier(world, 0, member).is_none();
            // "Root and member can no longer reach each other": nobody could hand anything on, whatever links were made.
            if !self.joined_by_others(world, member) && self.peers[usize::from(member)].joined {
                self.trigger.get_or_insert(self.now);
            }
        }
    }

    /// Whether any chain of peers leads from the root to this member.
    fn joined_by_others(&self, world: &World, member: Number) -> bool {
        let mut reached = vec![0];
        let mut at = 0;
        while at < reached.len() {
            let from = reached[at];
            let fresh = |to: &Number| !reached.contains(to) && self.reachable(from, *to);
            let next: Vec<Number> = (0..world.peers()).filter(fresh).collect();
            reached.extend(next);
            at += 1;
        }
        reached.contains(&member)
    }
}
