//! What goes over pipes arrives in order, whole and once at most, and what is lost is told (protocol.md §3.2): within the life of a pipe
//! no body is missing between two that arrive; each `Up` has its `Down`, at every end that lives; and nobody keeps a pipe that it does not need.
//!
//! A body begins with its number, see [`numbered`]. Numbers grow over a whole run.

use std::collections::BTreeMap;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::Time;
use fatebound_machine::overlay::pipes::{Command as Order, Event as Told, Port};
use fatebound_machine::{Command, Event};

use super::{Book, Checker, Report};
use crate::observe::{Disturbance, Observation};
use crate::world::State;
use crate::{PeerIndex, World};

/// A pipe may be idle for so many times as long as it should, before it is one too many: clocks run differently, and ends are slow.
const PATIENCE: u32 = 4;

/// A body of so many bytes, with this number.
pub(crate) fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(8), number as u8);
    body
}

/// The number, if the body is as it was made.
pub(super) fn number(body: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(body.get(..8)?.try_into().ok()?);
    body[8..].iter().all(|byte| *byte == number as u8).then_some(number)
}

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// What was sent from one peer to another and port, by number.
    sent: BTreeMap<(PeerId, PeerId, Port), Vec<u64>>,
    /// The pipes that are up at an end, and the last body of each port there.
    up: BTreeMap<(PeerIndex, PeerId), BTreeMap<Port, u64>>,
    /// The last body that a life has received, whatever became of the pipe.
    last: BTreeMap<(PeerIndex, PeerId, Port), u64>,
    /// When something was last sent or heard between two peers.
    used: BTreeMap<(PeerIndex, PeerId), Time>,
    ids: Vec<PeerId>,
}

impl Checker for Bodies {
    fn promise(&self) -> &'static str {
        "pipes keep order"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, report: &mut Report) {
        let found = match seen {
            Observation::Ordered {
                peer,
                command: Command::Pipe(Order::Send { port, peer: to, body }),
            } => self.ordered(at, *peer, *to, *port, body),
            Observation::Told {
                peer,
                event: Event::Pipe(told),
            } => self.told(at, *peer, told),
            Observation::Disturbed(Disturbance::Ended(peer)) => {
                self.ended(*peer);
                Ok(())
            }
            _ => Ok(()),
        };
        if let (Err(what), Observation::Told { peer, .. }) = (found, seen) {
            report.broken("pipes keep order", at, *peer, what);
        }
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        if self.ids.len() != book.peers.len() {
            self.ids = (0..book.peers.len()).map(|peer| world.id(PeerIndex(peer))).collect();
        }
        let limit = world.config.overlay.pipes.idle * PATIENCE + world.config.overlay.ping_timeout * 20;
        for (peer, far) in self.up.keys() {
            let used = self.used.get(&(*peer, *far)).copied().unwrap_or(Time::ZERO);
            // Process groups use the same pipe, and nobody is told when.
            let serves = |peer: &PeerIndex| {
                world
                    .machine(*peer)
                    .is_some_and(|machine| machine.process_groups().groups().next().is_some())
            };
            let other = world.by_id.get(far);
            if serves(peer) || other.is_some_and(serves) {
                self.used.insert((*peer, *far), book.now);
                continue;
            }
            let runs = world.peers[peer.0].state == State::Running;
            let machine = world.machine(*peer).filter(|_| runs && book.now.since(used) > limit);
            let Some(machine) = machine else { continue };
            let waits = |world: &World| {
                let other = world.by_id.get(far).and_then(|other| world.machine(*other));
                other.is_some_and(|other| other.pipes().view().queued > 0)
            };
            if machine.pipes().view().queued == 0 && !waits(world) && machine.pipes().is_up(far) {
                let what = "keeps a pipe that nobody uses".to_owned();
                report.broken("pipes keep order", book.now, *peer, what);
            }
        }
    }
}

impl Bodies {
    fn ordered(&mut self, at: Time, from: PeerIndex, to: PeerId, port: Port, body: &[u8]) -> Result<(), String> {
        let Some(id) = self.ids.get(from.0).copied() else {
            return Ok(());
        };
        self.sent.entry((id, to, port)).or_default().extend(number(body));
        self.used.insert((from, to), at);
        Ok(())
    }

    fn told(&mut self, at: Time, peer: PeerIndex, told: &Told) -> Result<(), String> {
        match told {
            Told::Up { peer: far, .. } => {
                self.used.insert((peer, *far), at);
                match self.up.insert((peer, *far), BTreeMap::new()) {
                    Some(_) => Err("was told twice that a pipe is up".to_owned()),
                    None => Ok(()),
                }
            }
            Told::Down { peer: far, lost, .. } => match self.up.remove(&(peer, *far)) {
                None if lost.is_empty() => Err("was told that a pipe is down that was not up".to_owned()),
                _ => Ok(()),
            },
            Told::NotTaken {
                port, peer: to, body, ..
            } => {
                let key = self.ids.get(peer.0).map(|id| (*id, *to, *port));
                if let Some(sent) = key.and_then(|key| self.sent.get_mut(&key)) {
                    sent.retain(|sent| Some(*sent) != number(body));
                }
                Ok(())
            }
            Told::Received { port, peer: from, body } => {
                self.used.insert((peer, *from), at);
                self.received(peer, *from, *port, body)
            }
            _ => Ok(()),
        }
    }

    fn received(&mut self, peer: PeerIndex, from: PeerId, port: Port, body: &[u8]) -> Result<(), String> {
        let number = number(body).ok_or("received a body that nobody sent so")?;
        let pipe = self.up.get_mut(&(peer, from)).ok_or("received a body without a pipe")?;
        let to = self.ids.get(peer.0).ok_or("is nobody")?;
        let sent = self.sent.get(&(from, *to, port)).map_or(&[][..], Vec::as_slice);
        let place = sent.iter().position(|sent| *sent == number);
        let place = place.ok_or_else(|| format!("received body {number}, which was not sent to it"))?;
        if let Some(before) = self.last.insert((peer, from, port), number)
            && before >= number
        {
            return Err(format!("received body {number} after {before}"));
        }
        // Those that nobody was there for are lost between others, and told by the refusal.
        if let Some(before) = pipe.insert(port, number) {
            let missing = place.checked_sub(1).and_then(|place| sent.get(place)) != Some(&before);
            if missing {
                return Err(format!("received body {number} next after {before} on the same pipe"));
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: PeerIndex) {
        self.up.retain(|(peer, _), _| *peer != ended);
        self.last.retain(|(peer, ..), _| *peer != ended);
    }
}
