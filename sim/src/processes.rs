//! Processes: what reaches one, when it takes it, and those that are slow, starved, stopped, or mistaken about the time.
//!
//! A process takes one thing after the other. While it is busy, or stopped, what arrives waits in its host, in order, wakes included; so a
//! slow process also wakes late.

use std::time::Duration;

use fatebound_machine::overlay::Time;
use fatebound_machine::{Input, Machine};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::connections::At;
use crate::observe::{Disturbance, Observation};
use crate::world::{Happening, State, World};

/// What a process has to take.
#[derive(Debug)]
pub(crate) enum Work {
    Input(Input),
    Cargo { at: At, cargo: Cargo },
}

impl World {
    /// The process takes so long for each thing that reaches it, from now on; zero: no time, as at first.
    pub fn set_slow(&mut self, peer: PeerIndex, each: Duration) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        self.peers[peer.0].host.slow = each;
    }

    /// The process gets no processor for so long; then it goes on with what has waited.
    pub fn starve(&mut self, peer: PeerIndex, duration: Duration) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        let until = self.now + duration;
        let host = &mut self.peers[peer.0].host;
        host.busy = host.busy.max(until);
        self.call(peer);
    }

    /// The host's clock runs by this factor from now on, also for later lives of the process.
    ///
    /// # Panics
    /// When the factor is no positive number.
    pub fn set_drift(&mut self, peer: PeerIndex, rate: f64) {
        assert!(rate.is_finite() && rate > 0.0, "a clock cannot run by {rate}");
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        let now = self.now;
        self.peers[peer.0].host.clock.set_rate(now, rate);
        self.wind(peer);
    }

    /// The monotonic clock jumps forward: the host was suspended, and its clock counts that time.
    pub fn jump_clock(&mut self, peer: PeerIndex, by: Duration) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        self.peers[peer.0].host.clock.jump(by);
        self.wind(peer);
    }

    /// After a change of its clock the peer's deadline comes at another time.
    fn wind(&mut self, index: PeerIndex) {
        let peer = &mut self.peers[index.0];
        peer.wake = None;
        let deadline = peer.machine.as_deref().and_then(Machine::deadline);
        let deadline = deadline.map(|at| peer.host.clock.when(at));
        let life = peer.life;
        self.set_wake(index, life, deadline);
    }

    /// Stops the process without killing it.
    pub fn pause(&mut self, peer: PeerIndex) {
        if self.peers[peer.0].state == State::Running {
            self.peers[peer.0].state = State::Paused;
            self.saw(|| Observation::Disturbed(Disturbance::Paused(peer)));
        }
    }

    /// Lets a paused process go on: it first takes what has waited.
    pub fn resume(&mut self, peer: PeerIndex) {
        if self.peers[peer.0].state != State::Paused {
            return;
        }
        self.peers[peer.0].state = State::Running;
        self.saw(|| Observation::Disturbed(Disturbance::Resumed(peer)));
        self.go_on(peer);
        self.give_wake(peer);
    }

    /// Hands an input to a peer, which takes it when it can.
    pub(crate) fn input(&mut self, index: PeerIndex, input: Input) {
        self.give(index, Work::Input(input));
    }

    /// A wake, unless one waits already.
    pub(crate) fn give_wake(&mut self, index: PeerIndex) {
        if self.is_free(index) {
            self.perform(index, Work::Input(Input::Wake));
        } else if !std::mem::replace(&mut self.peers[index.0].host.wake_waits, true) {
            self.give(index, Work::Input(Input::Wake));
        }
    }

    pub(crate) fn give(&mut self, index: PeerIndex, work: Work) {
        if self.peers[index.0].machine.is_none() {
            return;
        }
        if self.is_free(index) {
            self.perform(index, work);
        } else {
            if let Work::Cargo { at, cargo } = &work {
                self.keep(*at, cargo.bytes());
            }
            self.peers[index.0].inbox.push_back(work);
            self.call(index);
        }
    }

    fn is_free(&self, index: PeerIndex) -> bool {
        let peer = &self.peers[index.0];
        let host = &peer.host;
        peer.state == State::Running && peer.inbox.is_empty() && host.busy <= self.now && host.slow.is_zero()
    }

    /// Sees to it that a busy process goes on.
    fn call(&mut self, index: PeerIndex) {
        let peer = &mut self.peers[index.0];
        if peer.state == State::Running && !std::mem::replace(&mut peer.host.called, true) {
            let (at, life) = (peer.host.busy.max(self.now) + peer.host.slow, peer.life);
            self.schedule(at, Happening::GoesOn { peer: index, life });
        }
    }

    pub(crate) fn on_goes_on(&mut self, index: PeerIndex, life: u32) {
        if self.peers[index.0].life == life {
            self.peers[index.0].host.called = false;
            self.go_on(index);
        }
    }

    /// Takes what has waited, as long as there is time.
    fn go_on(&mut self, index: PeerIndex) {
        loop {
            let now = self.now;
            let peer = &mut self.peers[index.0];
            if peer.state != State::Running || peer.inbox.is_empty() {
                return;
            }
            if peer.host.busy > now {
                return self.call(index);
            }
            let (next, slow) = (peer.inbox.pop_front(), !peer.host.slow.is_zero());
            if let Some(work) = next {
                if let Work::Cargo { at, cargo } = &work {
                    self.took(*at, cargo.bytes());
                }
                self.perform(index, work);
            }
            if slow {
                return self.call_if_waiting(index);
            }
        }
    }

    fn perform(&mut self, index: PeerIndex, work: Work) {
        match work {
            Work::Input(input) => self.feed(index, input),
            Work::Cargo { at, cargo } => self.on_cargo(at, cargo),
        }
    }

    /// The machine takes an input now, and what comes of it is carried out.
    pub(crate) fn feed(&mut self, index: PeerIndex, input: Input) {
        let now = self.now;
        let peer = &mut self.peers[index.0];
        let Some(machine) = peer.machine.as_mut() else { return };
        if matches!(input, Input::Wake) {
            peer.host.wake_waits = false;
        }
        if !self.tampered.hears(index, &input) {
            return;
        }
        let mut outputs = Vec::new();
        machine.handle(peer.host.clock.shows(now), input, &mut outputs);
        let deadline = machine.deadline().map(|at| peer.host.clock.when(at));
        let life = peer.life;
        for output in self.tampered.says(index, outputs) {
            self.peers[index.0].sent.count(&output);
            self.carry_out(index, output);
        }
        self.set_wake(index, life, deadline);
    }

    fn set_wake(&mut self, index: PeerIndex, life: u32, deadline: Option<Time>) {
        let peer = &mut self.peers[index.0];
        let Some(at) = deadline.map(|at| at.max(self.now)) else {
            return;
        };
        if peer.life == life && peer.wake.is_none_or(|wake| at < wake) {
            peer.wake = Some(at);
            self.schedule(at, Happening::Wake { peer: index, life });
        }
    }

    pub(crate) fn wake(&mut self, index: PeerIndex, life: u32) {
        let now = self.now;
        let peer = &mut self.peers[index.0];
        if peer.life != life || peer.wake.is_none_or(|wake| wake > now) {
            return;
        }
        peer.wake = None;
        let deadline = peer.machine.as_deref().and_then(Machine::deadline);
        match deadline.map(|at| peer.host.clock.when(at)) {
            // What it was to wake for has been put off, or called off, since.
            Some(at) if at > now => self.set_wake(index, life, Some(at)),
            Some(_) if peer.state == State::Running => self.give_wake(index),
            _ => {}
        }
    }

    fn call_if_waiting(&mut self, index: PeerIndex) {
        if !self.peers[index.0].inbox.is_empty() {
            self.call(index);
        }
    }
}
