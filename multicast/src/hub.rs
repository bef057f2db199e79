//! The system leader's side: one branch for each network, what came from it lately, and the relay between them.
//!
//! It remembers what has come from each network. When a leader greets it, it compares: what was captured there and has not come here is asked for, and what
//! has come here and was not delivered there is sent. That is all of a take-over, whoever has died, and whichever end is new.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use fatebound::PeerId;
use fatebound_base::Time;
use serde_bytes::ByteBuf;

use crate::count::{Counts, Drop};
use crate::io::Event;
use crate::message::{Frame, Keys, MAX_PARTS, MAX_RANGES, Seat, Session};
use crate::network::NetworkId;
use crate::packet::{Key, Packet};
use crate::rate::Bucket;
use crate::ring::{MAX_BYTES, MAX_ENTRIES, OFFERED, REMEMBERED, earlier};
use crate::spoke::{BITS_PER_SECOND, DATAGRAMS_PER_SECOND};
use crate::step::Step;

/// Two clocks, and the way between two nodes, may tell times apart by so much.
const SLACK: Duration = Duration::from_millis(500);
/// Hellos that wait because this node does not know their leader yet, at most; of others the leader says it again.
const MAX_WAITING: usize = 16;

/// A hello, as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) from: PeerId,
    pub(crate) network: NetworkId,
    pub(crate) seat: Seat,
    pub(crate) hub: Seat,
    pub(crate) session: Session,
    pub(crate) overheard: Duration,
    captured: Vec<Key>,
    delivered: Vec<Key>,
    parts: u16,
}

/// One part of it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) part: u16,
    pub(crate) last: bool,
    pub(crate) captured: Keys,
    pub(crate) delivered: Keys,
}

impl Greeting {
    /// Nothing of it yet.
    pub(crate) fn new(
        from: PeerId,
        network: NetworkId,
        (seat, hub): (Seat, Seat),
        session: Session,
        overheard: Duration,
    ) -> Greeting {
        Greeting {
            from,
            network,
            seat,
            hub,
            session,
            overheard,
            captured: Vec::new(),
            delivered: Vec::new(),
            parts: 0,
        }
    }
}

/// Something that came from a network.
#[derive(Debug)]
struct Heard {
    /// When it was captured, by this node's clock.
    at: Time,
    key: Key,
    /// Gone where there is no room for it.
    packet: Option<Packet>,
}

/// A conversation with a leader.
#[derive(Clone, Copy, Debug)]
struct Link {
    seat: Seat,
    session: Session,
    taken: u64,
    sent: u64,
}

/// One network.
#[derive(Debug)]
struct Branch {
    heard: VecDeque<Heard>,
    /// Entries at the front whose packets are gone.
    bare: usize,
    bytes: usize,
    link: Option<Link>,
    /// What was delivered there, as far as nothing here accounts for it.
    credit: HashMap<Key, u32>,
    /// From when on its leader knows what was delivered there.
    since: Time,
    datagrams: Bucket,
    bits: Bucket,
}

impl Branch {
    fn new(now: Time) -> Branch {
        Branch {
            heard: VecDeque::new(),
            bare: 0,
            bytes: 0,
            link: None,
            credit: HashMap::new(),
            since: now,
            datagrams: Bucket::new(DATAGRAMS_PER_SECOND, now),
            bits: Bucket::bits(BITS_PER_SECOND, now),
        }
    }

    fn push(&mut self, now: Time, at: Time, packet: Packet) {
        self.bytes += packet.bytes().len();
        let (key, packet) = (packet.key(), Some(packet));
        self.heard.push_back(Heard { at, key, packet });
        while let Some(heard) = self.heard.front() {
            if now.since(heard.at) <= REMEMBERED && self.heard.len() <= MAX_ENTRIES {
                break;
            }
            self.bytes -= heard.packet.as_ref().map_or(0, |packet| packet.bytes().len());
            self.bare = self.bare.saturating_sub(1);
            self.heard.pop_front();
        }
        // The keys stay: whoever offers these packets again is not to be believed that they are new.
        while self.bytes > MAX_BYTES
            && let Some(heard) = self.heard.get_mut(self.bare)
        {
            self.bytes -= heard.packet.take().map_or(0, |packet| packet.bytes().len());
            self.bare += 1;
        }
    }

    /// Which of these have not come here: ranges of places.
    fn lacking(&self, captured: &[Key], now: Time) -> Vec<(u32, u32)> {
        let recent = self.heard.iter().filter(|heard| now.since(heard.at) <= OFFERED + SLACK);
        let mut known: HashMap<Key, u32> = HashMap::new();
        for heard in recent {
            *known.entry(heard.key).or_default() += 1;
        }
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (place, key) in (0..).zip(captured) {
            if let Some(count) = known.get_mut(key).filter(|count| **count > 0) {
                *count -= 1;
                continue;
            }
            let full = ranges.len() == MAX_RANGES;
            match ranges.last_mut() {
                Some((from, count)) if *from + *count == place => *count += 1,
                _ if full => break,
                _ => ranges.push((place, 1)),
            }
        }
        ranges
    }

    /// Whether this was delivered there before the leader there greeted, as far as is known.
    fn has(&mut self, at: Time, key: Key) -> bool {
        if at < self.since {
            return true;
        }
        let Some(count) = self.credit.get_mut(&key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.credit.remove(&key);
        }
        true
    }
}

/// The system leader.
#[derive(Debug)]
pub(crate) struct Hub {
    seat: Seat,
    branches: BTreeMap<NetworkId, Branch>,
    /// Hellos of which not all parts have come.
    partial: BTreeMap<NetworkId, Greeting>,
    /// Hellos of leaders whom this node does not know as such yet.
    waiting: BTreeMap<NetworkId, Greeting>,
    pub(crate) counts: Counts,
    pub(crate) relayed: u64,
}

impl Hub {
    pub(crate) fn new(seat: Seat) -> Hub {
        Hub {
            seat,
            branches: BTreeMap::new(),
            partial: BTreeMap::new(),
            waiting: BTreeMap::new(),
            counts: Counts::default(),
            relayed: 0,
        }
    }

    pub(crate) fn seat(&self) -> Seat {
        self.seat
    }

    /// The networks whose leaders were taken in.
    pub(crate) fn open(&self) -> impl Iterator<Item = (NetworkId, Seat, u64, u64)> {
        let link = |(network, branch): (&NetworkId, &Branch)| Some((*network, branch.link?));
        let open = self.branches.iter().filter_map(link);
        open.map(|(network, link)| (network, link.seat, link.taken, link.sent))
    }

    /// The list of the group says something else.
    pub(crate) fn assign(&mut self, step: &mut Step<'_>) {
        self.branches.retain(|network, _| step.roster.has(*network));
        for (network, branch) in &mut self.branches {
            branch.link = branch
                .link
                .filter(|link| step.roster.leader(*network) == Some(link.seat));
        }
        self.look_again(step);
        // Nothing begun by whoever leads no more is kept, or it would take the place of others.
        let leads = |greeting: &Greeting| step.roster.leader(greeting.network) == Some(greeting.seat);
        self.partial.retain(|_, greeting| leads(greeting));
        self.waiting.retain(|network, _| step.roster.has(*network));
    }

    /// This node is not sure of its place: nothing is relayed before the leaders have greeted anew.
    pub(crate) fn silence(&mut self) {
        for branch in self.branches.values_mut() {
            branch.link = None;
        }
    }

    /// This node is sure again.
    pub(crate) fn resume(&mut self, step: &mut Step<'_>) {
        self.look_again(step);
        let unheard = step
            .roster
            .networks()
            .filter_map(|(network, seats)| Some((network, *seats.first()?)));
        let unheard: Vec<(NetworkId, Seat)> = unheard.filter(|(network, _)| !self.is_open(*network)).collect();
        for (network, leader) in unheard {
            step.send(leader.node.peer, Frame::Again { network });
        }
    }

    fn is_open(&self, network: NetworkId) -> bool {
        self.branches.get(&network).is_some_and(|branch| branch.link.is_some())
    }

    fn look_again(&mut self, step: &mut Step<'_>) {
        for greeting in std::mem::take(&mut self.waiting).into_values() {
            self.greeted(greeting, step);
        }
    }

    /// A tunnel has broken: what was on its way there is missing, and its leader will greet anew.
    pub(crate) fn tunnel_down(&mut self, peer: PeerId) {
        for branch in self.branches.values_mut() {
            branch.link = branch.link.filter(|link| link.seat.node.peer != peer);
        }
    }

    /// A part of a hello has come; parts come in order, or the hello is begun anew.
    pub(crate) fn hello(&mut self, head: Greeting, part: &Part, step: &mut Step<'_>) {
        let network = head.network;
        let is_known = |seat: &Seat| seat.node.peer == head.from;
        if !step.roster.networks().any(|(_, seats)| seats.iter().any(is_known)) {
            // Whoever has just come in says it again when this node has been told.
            return;
        }
        let mut greeting = match self.partial.remove(&network) {
            _ if part.part == 0 => head,
            Some(begun) if begun.from == head.from && begun.session == head.session => begun,
            _ => return,
        };
        if part.part != greeting.parts || usize::from(greeting.parts) >= MAX_PARTS {
            return;
        }
        greeting.parts += 1;
        greeting.captured.extend(part.captured.iter());
        greeting.delivered.extend(part.delivered.iter());
        if part.last {
            self.greeted(greeting, step);
        } else if self.partial.len() < MAX_WAITING {
            self.partial.insert(network, greeting);
        }
    }

    /// M5 "The system leader takes in whom the list names as the leader, and nobody else. A hello that does not fit the list waits for the next one."
    fn greeted(&mut self, greeting: Greeting, step: &mut Step<'_>) {
        let network = greeting.network;
        let leads = step.roster.leader(network) == Some(greeting.seat) && greeting.seat.node.peer == greeting.from;
        let fits = leads && greeting.hub == self.seat && step.roster.hub() == Some(self.seat);
        if !fits || !step.running {
            if self.waiting.len() < MAX_WAITING || self.waiting.contains_key(&network) {
                self.waiting.insert(network, greeting);
            }
            return;
        }
        let now = step.now;
        let branch = self.branches.entry(network).or_insert_with(|| Branch::new(now));
        branch.credit.clear();
        for key in greeting.delivered {
            *branch.credit.entry(key).or_default() += 1;
        }
        branch.since = earlier(now, greeting.overheard) + SLACK;
        let (seat, session) = (greeting.seat, greeting.session);
        branch.link = Some(Link {
            seat,
            session,
            taken: 0,
            sent: 0,
        });
        let wanted = branch.lacking(&greeting.captured, now);
        step.send(
            seat.node.peer,
            Frame::Welcome {
                network,
                session,
                wanted,
            },
        );
        let missing = self.send_missing(network, step);
        let leader = seat.node.peer;
        step.tell(Event::Branch {
            network,
            leader,
            missing,
        });
    }

    /// M6 "What has come from the others and was not delivered there is sent, oldest first."
    fn send_missing(&mut self, to: NetworkId, step: &mut Step<'_>) -> u64 {
        let mut all: Vec<(Time, NetworkId, Key, Packet)> = Vec::new();
        for (from, branch) in self.branches.iter().filter(|(from, _)| **from != to) {
            let recent = branch.heard.iter().filter(|heard| step.now.since(heard.at) <= OFFERED);
            all.extend(recent.filter_map(|heard| Some((heard.at, *from, heard.key, heard.packet.clone()?))));
        }
        all.sort_by_key(|(at, from, ..)| (*at, *from));
        let before = self.relayed;
        for (at, from, key, packet) in &all {
            self.relay_to(to, *from, Some((*at, *key)), packet, step);
        }
        self.relayed - before
    }

    /// A datagram from a network.
    pub(crate) fn up(&mut self, from: PeerId, word: Up, step: &mut Step<'_>) {
        let network = word.network;
        let now = step.now;
        let branch = self.branches.get_mut(&network);
        let Some((branch, mut link)) = branch.and_then(|branch| branch.link.map(|link| (branch, link))) else {
            return self.counts.drop(if step.running { Drop::Stale } else { Drop::Fenced });
        };
        if link.seat.node.peer != from || link.session != word.session || word.number <= link.taken {
            return self.counts.drop(Drop::Stale);
        }
        self.counts.lost += word.number - link.taken - 1;
        link.taken = word.number;
        branch.link = Some(link);
        let packet = match Packet::parse(word.packet) {
            Ok(packet) => packet,
            Err(why) => return self.counts.drop(why),
        };
        if !network.contains(packet.source()) {
            return self.counts.drop(Drop::ForeignSource);
        }
        if step.rules.find(network, &packet).is_none() {
            return self.counts.drop(Drop::NoRule);
        }
        // What a take-over brings at once was within its rate when it was captured.
        let bits = packet.bytes().len() as u64 * 8;
        if word.age.is_none() && !(branch.bits.take(bits, now) && branch.datagrams.take(1, now)) {
            return self.counts.drop(Drop::Rate);
        }
        let at = earlier(now, word.age.unwrap_or_default());
        let again = word.age.map(|_| (at, packet.key()));
        branch.push(now, at, packet.clone());
        let others: Vec<NetworkId> = self.branches.keys().copied().filter(|to| *to != network).collect();
        for to in others {
            self.relay_to(to, network, again, &packet, step);
        }
    }

    /// Sends it to a network whose leader is there; to one whose leader is not, when that has greeted.
    fn relay_to(
        &mut self,
        to: NetworkId,
        from: NetworkId,
        again: Option<(Time, Key)>,
        packet: &Packet,
        step: &mut Step<'_>,
    ) {
        if !step.rules.carry(from, to, packet) {
            return;
        }
        let Some(branch) = self.branches.get_mut(&to) else {
            return;
        };
        let Some(mut link) = branch.link else {
            return;
        };
        if let Some((at, key)) = again
            && (step.now.since(at) > OFFERED || branch.has(at, key))
        {
            return;
        }
        link.sent += 1;
        branch.link = Some(link);
        self.relayed += 1;
        let down = Frame::Down {
            network: to,
            session: link.session,
            number: link.sent,
            origin: from,
            again: again.is_some(),
            packet: ByteBuf::from(packet.bytes()),
        };
        step.send(link.seat.node.peer, down);
    }

    /// A leader confirms its conversation.
    pub(crate) fn beat(&mut self, from: PeerId, network: NetworkId, session: Session, step: &mut Step<'_>) {
        let link = self.branches.get(&network).and_then(|branch| branch.link);
        let known = link.is_some_and(|link| link.seat.node.peer == from && link.session == session);
        // Strangers are not answered.
        let leads = step.roster.leader(network).is_some_and(|seat| seat.node.peer == from);
        if leads && !known && step.running {
            step.send(from, Frame::Again { network });
        }
    }
}

/// A [`Frame::Up`].
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) network: NetworkId,
    pub(crate) session: Session,
    pub(crate) number: u64,
    pub(crate) age: Option<Duration>,
    pub(crate) packet: Vec<u8>,
}
