//! A network at one of its nodes: what is captured there and put there; and, while this node leads it, the conversation with the system leader.
//!
//! Whoever leads is in one of three states. *Silent*: not sure of its place; what is captured goes into the ring and waits. *Greeting*: a
//! hello is on its way; what is captured waits. *Open*: the system leader has taken it in; what is captured is sent at once. From greeting to open, what the
//! system leader lacks is sent first, in order, and then all that was captured since the hello: so nothing overtakes anything.

use std::collections::HashMap;
use std::time::Duration;

use fatebound_base::Time;
use serde_bytes::ByteBuf;

use crate::count::{Counts, Drop};
use crate::io::{Event, Output};
use crate::message::{Frame, KEYS_IN_PART, Keys, MAX_PARTS, Seat, Session};
use crate::network::NetworkId;
use crate::packet::{Key, Packet};
use crate::rate::Bucket;
use crate::ring::{Captured, MAX_ENTRIES, REMEMBERED, Seen};
use crate::roster::Role;
use crate::step::Step;

/// A hello that is not answered is said again after this long, then after twice that, and so on: an answer may be on a long way.
const REPEAT: Duration = Duration::from_millis(250);
/// … and after this long at the latest.
const LATEST: Duration = Duration::from_secs(8);
/// How often an open conversation is confirmed.
const BEAT: Duration = Duration::from_secs(1);
/// Datagrams a second that a network may send, whatever the rules say.
pub(crate) const DATAGRAMS_PER_SECOND: u64 = 10_000;
/// Bits a second, the same.
pub(crate) const BITS_PER_SECOND: u64 = 100_000_000;

/// How far the conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// This node does not lead, or is not sure of it.
    Silent,
    /// A hello was sent.
    Greeting {
        /// The number of the first packet that it offers.
        first: u64,
        /// The number of the first that it does not.
        next: u64,
        /// When it is said again.
        again: Time,
    },
    /// The system leader has answered.
    Open {
        /// When that is confirmed next.
        beat: Time,
    },
}

/// A network at a node.
#[derive(Debug)]
pub(crate) struct Spoke {
    network: NetworkId,
    seat: Seat,
    role: Role,
    captured: Captured,
    seen: Seen,
    /// What was overheard since the hello, which does not name it.
    late: HashMap<Key, (u32, Time)>,
    talk: Talk,
    /// With whom.
    hub: Option<Seat>,
    /// How long the next hello is waited for.
    pause: Duration,
    session: Session,
    sent: u64,
    taken: u64,
    datagrams: Bucket,
    bits: Bucket,
    /// By the place of their rule.
    rates: HashMap<usize, Bucket>,
    pub(crate) counts: Counts,
}

impl Spoke {
    pub(crate) fn new(network: NetworkId, seat: Seat, now: Time) -> Spoke {
        Spoke {
            network,
            seat,
            role: Role::Outside,
            captured: Captured::default(),
            seen: Seen::new(now),
            late: HashMap::new(),
            talk: Talk::Silent,
            hub: None,
            pause: REPEAT,
            session: Session(0),
            sent: 0,
            taken: 0,
            datagrams: Bucket::new(DATAGRAMS_PER_SECOND, now),
            bits: Bucket::bits(BITS_PER_SECOND, now),
            rates: HashMap::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn seat(&self) -> Seat {
        self.seat
    }

    pub(crate) fn talk(&self) -> Talk {
        self.talk
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.talk {
            Talk::Silent => None,
            Talk::Greeting { again, .. } => Some(again),
            Talk::Open { beat } => Some(beat),
        }
    }

    /// The list of the group says something else.
    pub(crate) fn assign(&mut self, step: &mut Step<'_>) {
        let role = step.roster.role(self.network, self.seat, step.rules.standbys);
        let hears = |role: Role| matches!(role, Role::Leader | Role::Standby(_));
        if hears(role) != hears(self.role) {
            let (network, on) = (self.network, hears(role));
            step.out.push(Output::Capture { network, on });
            // What was heard before the gap is of no use after it.
            self.captured = Captured::default();
            self.seen = Seen::new(step.now);
        }
        if role != self.role {
            self.role = role;
            let network = self.network;
            step.tell(Event::Role { network, role });
        }
        let goes_on = self.talk != Talk::Silent && self.hub == step.roster.hub();
        if role != Role::Leader {
            self.silence();
        } else if !goes_on {
            self.pause = REPEAT;
            self.greet(step);
        }
    }

    /// This node is not sure of its place any more.
    pub(crate) fn silence(&mut self) {
        self.talk = Talk::Silent;
        self.late.clear();
    }

    /// M5 "A leader begins a new conversation whenever it is not sure that the last one is whole."
    pub(crate) fn greet(&mut self, step: &mut Step<'_>) {
        let (Role::Leader, Some(hub), true) = (self.role, step.roster.hub(), step.running) else {
            return self.silence();
        };
        self.hub = Some(hub);
        self.session.0 += 1;
        (self.sent, self.taken) = (0, 0);
        self.late.clear();
        let (first, captured) = self.captured.offer(step.now);
        let (watched, delivered) = self.seen.recent(step.now);
        let again = step.now + self.pause;
        self.pause = (self.pause * 2).min(LATEST);
        self.talk = Talk::Greeting {
            first,
            next: self.captured.next(),
            again,
        };
        let parts = captured
            .len()
            .max(delivered.len())
            .div_ceil(KEYS_IN_PART)
            .clamp(1, MAX_PARTS);
        for part in 0..parts {
            let piece = |keys: &[Key]| {
                let from = (part * KEYS_IN_PART).min(keys.len());
                let to = (from + KEYS_IN_PART).min(keys.len());
                Keys::of(&keys[from..to])
            };
            let hello = Frame::Hello {
                network: self.network,
                seat: self.seat,
                hub,
                session: self.session,
                overheard_ms: u32::try_from(watched.as_millis()).unwrap_or(u32::MAX),
                part: part as u16,
                last: part + 1 == parts,
                captured: piece(&captured),
                delivered: piece(&delivered),
            };
            step.send(hub.node.peer, hello);
        }
    }

    /// Time has passed.
    pub(crate) fn wake(&mut self, step: &mut Step<'_>) {
        match self.talk {
            Talk::Greeting { again, .. } if again <= step.now => self.greet(step),
            Talk::Open { beat } if beat <= step.now => {
                self.talk = Talk::Open { beat: step.now + BEAT };
                // Nobody offers it any more.
                self.late
                    .retain(|_, (count, at)| *count > 0 && step.now.since(*at) <= REMEMBERED);
                let (network, session) = (self.network, self.session);
                step.send_hub(Frame::Beat { network, session });
            }
            _ => {}
        }
    }

    /// A packet was on the wire.
    ///
    /// M4 "Only what comes from the network's own addresses is captured. All else was put there by somebody, and is remembered as delivered."
    pub(crate) fn captured(&mut self, bytes: Vec<u8>, step: &mut Step<'_>) {
        let leads = match self.role {
            Role::Leader => true,
            Role::Standby(_) => false,
            Role::Member | Role::Outside => return,
        };
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(why) => {
                return self.refuse(why);
            }
        };
        if !self.network.contains(packet.source()) {
            self.counts.overheard += 1;
            let key = packet.key();
            self.seen.push(step.now, key);
            if self.talk != Talk::Silent && self.late.len() < MAX_ENTRIES {
                let (count, at) = self.late.entry(key).or_default();
                (*count, *at) = (*count + 1, step.now);
            }
            return;
        }
        let Some((place, rule)) = step.rules.find(self.network, &packet) else {
            return self.refuse(Drop::NoRule);
        };
        let Some(ttl) = rule.ttl.after(packet.ttl()) else {
            return self.refuse(Drop::Ttl);
        };
        let packet = packet.with_ttl(ttl);
        if !self.within_rates(place, rule.rate, packet.bytes().len(), step.now) {
            return self.refuse(Drop::Rate);
        }
        let open = matches!(self.talk, Talk::Open { .. });
        if open {
            self.up(None, &packet, step);
        }
        if leads {
            self.counts.captured += 1;
        }
        self.captured.push(step.now, packet);
    }

    /// What the leader refuses is counted; standbys refuse the same.
    fn refuse(&mut self, why: impl Into<Drop>) {
        if self.role == Role::Leader {
            self.counts.drop(why);
        }
    }

    fn within_rates(&mut self, place: usize, rate: Option<u64>, bytes: usize, now: Time) -> bool {
        let bits = bytes as u64 * 8;
        let by_rule = rate.is_none_or(|rate| {
            let bucket = self.rates.entry(place).or_insert_with(|| Bucket::bits(rate, now));
            bucket.take(bits, now)
        });
        by_rule && self.bits.take(bits, now) && self.datagrams.take(1, now)
    }

    fn up(&mut self, age_ms: Option<u32>, packet: &Packet, step: &mut Step<'_>) {
        self.sent += 1;
        self.counts.sent += 1;
        self.counts.sent_again += u64::from(age_ms.is_some());
        step.send_hub(Frame::Up {
            network: self.network,
            session: self.session,
            number: self.sent,
            age_ms,
            packet: ByteBuf::from(packet.bytes()),
        });
    }

    /// The system leader answers a hello.
    pub(crate) fn welcomed(&mut self, session: Session, wanted: &[(u32, u32)], step: &mut Step<'_>) {
        let Talk::Greeting { first, next, .. } = self.talk else {
            return;
        };
        if session != self.session {
            return;
        }
        self.talk = Talk::Open { beat: step.now + BEAT };
        self.pause = REPEAT;
        let captured = std::mem::take(&mut self.captured);
        let mut ranges = wanted.iter().copied().peekable();
        let mut missing = 0;
        for (number, at, packet) in captured.from(first) {
            let place = number - first;
            while ranges
                .next_if(|&(from, count)| place >= u64::from(from) + u64::from(count))
                .is_some()
            {}
            let asked = ranges.peek().is_some_and(|&(from, _)| place >= u64::from(from));
            if number < next && !asked {
                continue;
            }
            missing += 1;
            let age = step.now.since(at).as_millis();
            self.up(Some(u32::try_from(age).unwrap_or(u32::MAX)), packet, step);
        }
        self.captured = captured;
        let network = self.network;
        step.tell(Event::Opened { network, missing });
    }

    /// The tunnel has broken, or the system leader does not know this conversation.
    pub(crate) fn interrupted(&mut self, step: &mut Step<'_>) {
        // A hello that is on its way is answered, or said again.
        if !matches!(self.talk, Talk::Greeting { .. }) {
            self.greet(step);
        }
    }

    /// A datagram for this network.
    ///
    /// M7 "A leader puts on its wire only what its system leader sends in the conversation that is open, and what its own rules let in."
    pub(crate) fn down(&mut self, word: Down, step: &mut Step<'_>) {
        let open = matches!(self.talk, Talk::Open { .. });
        if !open || word.session != self.session || word.number <= self.taken {
            return self.counts.drop(if step.running { Drop::Stale } else { Drop::Fenced });
        }
        self.counts.lost += word.number - self.taken - 1;
        self.taken = word.number;
        let packet = match Packet::parse(word.packet) {
            Ok(packet) => packet,
            Err(why) => return self.counts.drop(why),
        };
        if !word.origin.contains(packet.source()) || self.network.contains(packet.source()) {
            return self.counts.drop(Drop::ForeignSource);
        }
        if !step.rules.carry(word.origin, self.network, &packet) {
            return self.counts.drop(Drop::NoRule);
        }
        if packet.ttl() == 0 {
            return self.counts.drop(Drop::Ttl);
        }
        let key = packet.key();
        if word.again && self.was_overheard(key) {
            return self.counts.drop(Drop::Duplicate);
        }
        self.counts.injected += 1;
        self.counts.injected_again += u64::from(word.again);
        self.seen.push(step.now, key);
        let network = self.network;
        step.out.push(Output::Inject { network, packet });
    }

    /// Whether an earlier leader has put this on the wire after the hello.
    fn was_overheard(&mut self, key: Key) -> bool {
        let Some((count, _)) = self.late.get_mut(&key).filter(|(count, _)| *count > 0) else {
            return false;
        };
        *count -= 1;
        true
    }
}

/// A [`Frame::Down`].
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) session: Session,
    pub(crate) number: u64,
    pub(crate) origin: NetworkId,
    pub(crate) again: bool,
    pub(crate) packet: Vec<u8>,
}
