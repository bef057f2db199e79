//! Lives that end and begin, and members that signal.
//!
//! Lives are exponential: whoever has lived for an hour is as likely to die in the next minute as who has just come. So in each tick as many die
//! as chance has it, whoever they are. Half are processes that are killed: their host says so, and starts them again after a while, with the
//! same name. Half are hosts that go silent for ever; somebody new comes in their place.

use std::time::Duration;

use fatebound_machine::overlay::Time;
use rand::RngExt;

use super::ledger::Cause;
use super::stage::{Stage, TICK};
use crate::{PeerIndex, Traffic};

/// How long a killed process stays dead.
const RESTART: Duration = Duration::from_secs(5);

impl Stage<'_> {
    /// Deaths and births for as long as was wanted.
    pub(super) fn churn(&mut self) {
        self.set_stretch("churn");
        let (start, churn) = (self.world.now(), self.options.churn);
        let sent = self.all_sent();
        let repaired = self.repaired();
        let mut dead: Vec<(Time, PeerIndex)> = Vec::new();
        while self.world.now().since(start) < churn && !self.stopped() {
            let deaths = self.options.peers as f64 * TICK.as_secs_f64() / self.options.lifetime.as_secs_f64();
            for _ in 0..self.chance(deaths) {
                self.end_somebody(&mut dead);
            }
            self.start_again(&mut dead);
            let signals =
                self.options.groups as f64 * self.options.signalled * TICK.as_secs_f64() / churn.as_secs_f64().max(1.0);
            for _ in 0..self.chance(signals) {
                self.signal_somewhere();
            }
            self.pass(TICK);
        }
        let all = self.all_sent();
        self.report.churn = self.world.now().since(start);
        let peer_seconds = self.report.peers as f64 * self.report.churn.as_secs_f64().max(1.0);
        self.report.churn_messages = (all.messages - sent.messages) as f64 / peer_seconds;
        self.report.churn_bytes = (all.bytes - sent.bytes) as f64 / peer_seconds;
        // What the dead had repaired was counted when they died, what they had before all this twice.
        self.report.repairs = (self.report.repairs + self.repaired()).saturating_sub(repaired);
    }

    /// A whole number whose mean is `mean`.
    fn chance(&mut self, mean: f64) -> usize {
        let rest = self.rng.random_bool(mean.fract());
        mean as usize + usize::from(rest)
    }

    fn end_somebody(&mut self, dead: &mut Vec<(Time, PeerIndex)>) {
        let peer = self.anybody();
        let (now, life) = (self.world.now(), (peer, self.world.life(peer)));
        self.report.deaths += 1;
        self.report.repairs += self.repaired_by(peer);
        self.leave_ring(peer);
        if self.rng.random_bool(0.5) {
            self.ledger.ended(now, life, Cause::Crash);
            self.world.crash(peer);
            dead.push((now + RESTART, peer));
        } else {
            self.ledger.ended(now, life, Cause::Vanish);
            self.world.vanish(peer);
            self.newcomer();
        }
    }

    fn start_again(&mut self, dead: &mut Vec<(Time, PeerIndex)>) {
        let now = self.world.now();
        let (due, rest): (Vec<_>, Vec<_>) = dead.iter().partition(|(at, _)| *at <= now);
        *dead = rest;
        for (_, peer) in due {
            self.world.restart(peer);
            self.seeking.insert(peer, now);
        }
    }

    fn signal_somewhere(&mut self) {
        if self.ledger.len() == 0 {
            return;
        }
        let (group, which) = (
            self.rng.random_range(0..self.ledger.len()),
            self.rng.random_range(0..16),
        );
        if let Some((group, member)) = self.ledger.healthy_member(group, which) {
            self.ledger.signalled(self.world.now(), &group, member);
            self.world.signal(member, &group);
        }
    }

    fn all_sent(&self) -> Traffic {
        let mut all = Traffic::default();
        for peer in 0..self.world.len() {
            let sent = self.world.sent(PeerIndex(peer));
            all.messages += sent.messages;
            all.bytes += sent.bytes;
        }
        all
    }

    fn repaired(&self) -> u64 {
        self.joined.iter().map(|peer| self.repaired_by(*peer)).sum()
    }

    fn repaired_by(&self, peer: PeerIndex) -> u64 {
        let machine = self.world.machine(peer);
        machine.map_or(0, |machine| machine.status().counters.repairs)
    }
}
