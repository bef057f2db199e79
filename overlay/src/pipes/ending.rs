//! How pipes end: nobody uses them, they break, or this peer stops. Nothing is replayed; what may be lost is said.

use libp2p_identity::PeerId;

use super::inbox::Inbox;
use super::io::{Cause, Event, PipeId};
use super::message::{Farewell, Frame};
use super::outbox::Outbox;
use super::{Ours, Pipes, Role, Timer};
use crate::{Rule, Time};

/// How long a word of rest waits for an answer, in `ping_timeout`s.
const REST: u32 = 3;

/// What the other end's last word means here.
pub(super) fn cause(why: &Farewell) -> Cause {
    match why {
        Farewell::OtherNetwork(_) => Cause::OtherNetwork,
        Farewell::NoSharedVersion(_) => Cause::NoSharedVersion,
        Farewell::OldLife => Cause::OldLife,
        Farewell::Busy => Cause::Busy,
        Farewell::Stopping => Cause::Stopped,
        Farewell::Violation => Cause::Violation,
    }
}

impl Pipes {
    /// Nothing was heard for a while, perhaps.
    pub(super) fn idle(&mut self, now: Time, peer: PeerId) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let waits = far.outbox.values().any(Outbox::waits);
        let Some(line) = far.line.as_mut() else { return };
        let due = line.last + self.config.idle;
        if now < due {
            self.deadlines.set(Timer::Idle(peer), due);
        } else if line.resting {
            self.deadlines.set(Timer::Idle(peer), now + self.config.idle);
        } else if !line.flight.is_empty() {
            self.end(peer, Cause::Lost);
        } else if waits {
            // The other end does not read. Should it be gone, its kernel says so when something is sent.
            line.last = now;
            line.owes_taken = true;
            self.deadlines.set(Timer::Idle(peer), now + self.config.idle);
            self.pump(now, peer);
        } else if Rule::PipeRests.holds() {
            self.rest(now, peer);
        } else {
            self.end(peer, Cause::Idle);
        }
    }

    /// "An end that has been idle says so, and sends no body until it has heard more" (protocol.md §3.2, L8).
    fn rest(&mut self, now: Time, peer: PeerId) {
        let Some(line) = self.peers.get_mut(&peer).and_then(|far| far.line.as_mut()) else {
            return;
        };
        line.resting = true;
        line.last = now;
        line.unwritten += 1;
        let pipe = line.pipe;
        self.say(pipe, Frame::Rest);
        self.deadlines.set(Timer::Idle(peer), now + self.config.idle);
        self.deadlines.set(Timer::Rest(peer), now + self.ping_timeout * REST);
    }

    pub(super) fn rest_unanswered(&mut self, peer: PeerId) {
        let line = self.peers.get(&peer).and_then(|far| far.line.as_ref());
        if line.is_some_and(|line| line.resting) {
            self.end(peer, Cause::Lost);
        }
    }

    pub(super) fn on_rest(&mut self, now: Time, peer: PeerId) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let waits = far.outbox.values().any(Outbox::waits);
        let Some(line) = far.line.as_mut() else { return };
        if line.resting {
            self.end(peer, Cause::Idle);
        } else if waits || !line.flight.is_empty() {
            line.owes_taken = true;
            self.pump(now, peer);
        } else {
            self.rest(now, peer);
        }
    }

    /// The other end's stream is gone.
    pub(super) fn closed(&mut self, now: Time, pipe: PipeId) {
        let Some((peer, role)) = self.streams.remove(&pipe) else {
            return;
        };
        self.deadlines.cancel(Timer::Coming(pipe));
        match role {
            Role::Coming => {}
            Role::Held => self.let_go(peer, pipe),
            Role::Asked => self.asked_in_vain(now, peer, Cause::Unreachable),
            Role::Up => {
                let line = self.peers.get(&peer).and_then(|far| far.line.as_ref());
                let rested = line.is_some_and(|line| line.resting);
                let cause = if rested { Cause::Idle } else { Cause::Lost };
                self.end_line(peer, cause);
            }
        }
    }

    fn let_go(&mut self, peer: PeerId, pipe: PipeId) {
        if let Some(far) = self.peers.get_mut(&peer) {
            far.held.take_if(|(held, _)| *held == pipe);
            self.forget(peer);
        }
    }

    /// A stream that came to nothing.
    pub(super) fn drop_stream(&mut self, pipe: PipeId) {
        if let Some(&(peer, role)) = self.streams.get(&pipe) {
            self.shut(pipe, None);
            if role == Role::Held {
                self.let_go(peer, pipe);
            }
        }
    }

    /// Bytes that are no frame, or a frame out of place.
    pub(super) fn violated(&mut self, now: Time, pipe: PipeId) {
        let Some(&(peer, role)) = self.streams.get(&pipe) else {
            return;
        };
        match role {
            Role::Up => self.violated_by(peer),
            Role::Asked => {
                self.counters.garbage += 1;
                self.denied(now, pipe, peer, Cause::Violation);
            }
            Role::Coming | Role::Held => {
                self.counters.garbage += 1;
                self.drop_stream(pipe);
            }
        }
    }

    /// Closes a pipe that is up, if there is one.
    pub(super) fn end(&mut self, peer: PeerId, cause: Cause) {
        let line = self.peers.get(&peer).and_then(|far| far.line.as_ref());
        if let Some(pipe) = line.map(|line| line.pipe) {
            self.shut(pipe, None);
            self.end_line(peer, cause);
        }
    }

    fn end_line(&mut self, peer: PeerId, cause: Cause) {
        self.deadlines.cancel(Timer::Idle(peer));
        self.deadlines.cancel(Timer::Rest(peer));
        if let Some(far) = self.peers.get_mut(&peer) {
            far.line = None;
            far.inbox.values_mut().for_each(Inbox::pipe_ended);
            far.inbox.retain(|_, inbox| inbox.held() > 0);
        }
        if cause == Cause::Idle {
            self.rested(peer);
        } else {
            self.counters.broken += u64::from(cause != Cause::Stopped);
            self.give_up(peer, cause, true);
        }
    }

    /// What came to be sent while the ends agreed to close has not been begun, so it is not lost: it takes the next pipe.
    fn rested(&mut self, peer: PeerId) {
        let lost = self.unfinished(peer);
        self.tell(Event::Down {
            peer,
            cause: Cause::Idle,
            lost,
        });
        match self.peers.get(&peer).is_some_and(|far| !far.outbox.is_empty()) {
            true => self.want(peer),
            false => self.forget(peer),
        }
    }

    /// Of each port the bodies that have been begun and are not known to have arrived: none, but by a mistake of the other end's. They are
    /// forgotten with all behind them.
    fn unfinished(&mut self, peer: PeerId) -> Vec<(super::Port, usize)> {
        let Some(far) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        let mut lost = Vec::new();
        for (port, outbox) in far.outbox.extract_if(.., |_, outbox| outbox.is_begun()) {
            self.queued -= outbox.cost();
            lost.push((port, outbox.len()));
        }
        lost
    }

    /// "Nothing is replayed" (L7): whatever waits for the peer comes to nothing too, or a later body would arrive where an earlier one did not.
    pub(super) fn give_up(&mut self, peer: PeerId, cause: Cause, was_up: bool) {
        let mut lost = Vec::new();
        if let Some(far) = self.peers.get_mut(&peer) {
            for (port, outbox) in std::mem::take(&mut far.outbox) {
                self.queued -= outbox.cost();
                lost.push((port, outbox.len()));
            }
        }
        if was_up || !lost.is_empty() {
            self.tell(Event::Down { peer, cause, lost });
        }
        self.forget(peer);
    }

    /// "Pipes close in order" (L9).
    pub(super) fn stop(&mut self, now: Time) {
        self.stopped = true;
        for (pipe, (peer, role)) in self.streams.clone() {
            match role {
                Role::Up => {
                    self.say(pipe, Frame::Farewell(Farewell::Stopping));
                    self.end(peer, Cause::Stopped);
                }
                Role::Asked => {
                    if let Some(far) = self.peers.get_mut(&peer) {
                        far.held = None;
                    }
                    self.denied(now, pipe, peer, Cause::Stopped);
                }
                Role::Coming | Role::Held => self.drop_stream(pipe),
            }
        }
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            if let Some(far) = self.peers.get_mut(&peer) {
                far.inbox.clear();
                if let Ours::Opening { needed } = &mut far.ours {
                    *needed = false;
                }
            }
            self.give_up(peer, Cause::Stopped, false);
        }
        self.ports.clear();
    }
}
