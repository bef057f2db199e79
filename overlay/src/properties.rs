//! What holds of deadlines, logs, tables and routes whatever happens to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use libp2p_identity::PeerId;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::links::operations::{Arrival, Operations};
use crate::message::{Hello, Message, PeerRecord};
use crate::record::SignedRecord;
use crate::ring::Ring;
use crate::{Config, Deadlines, Identity, Input, Key, Keypair, Opener, Overlay, Routes, Session, Tag, Time};

/// Few cases, always the same, so that tests stay quick and repeatable; `PROPTEST_CASES` asks for more, drawn anew each time.
fn cases(few: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig {
        cases: few,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// Peers with their records, signed once.
static PEERS: LazyLock<Vec<(Keypair, SignedRecord)>> = LazyLock::new(|| (1..=24).map(signed).collect());

fn signed(number: u8) -> (Keypair, SignedRecord) {
    let keypair = Keypair::ed25519_from_bytes([number; 32]).expect("32 bytes");
    let record = PeerRecord {
        peer: keypair.public().to_peer_id(),
        addresses: Vec::new(),
        sequence: 1,
    };
    let record = SignedRecord::sign(record, &keypair);
    (keypair, record)
}

fn peer(at: usize) -> PeerId {
    PEERS[at].1.record().peer
}

fn key() -> impl Strategy<Value = Key> {
    // Few different bytes, so that long prefixes are shared.
    prop::array::uniform32(prop_oneof![Just(0_u8), Just(0xff), Just(0x40), any::<u8>()]).prop_map(Key::from_bytes)
}

#[derive(Clone, Debug)]
enum Timer {
    Set(u8, u64),
    Earlier(u8, u64),
    Cancel(u8),
    Pop(u64),
}

fn timer() -> impl Strategy<Value = Timer> {
    let (key, at) = (0_u8..6, 0_u64..20);
    prop_oneof![
        (key.clone(), at.clone()).prop_map(|(key, at)| Timer::Set(key, at)),
        (key.clone(), at.clone()).prop_map(|(key, at)| Timer::Earlier(key, at)),
        key.prop_map(Timer::Cancel),
        at.prop_map(Timer::Pop),
    ]
}

/// What happens on a link, from one end or the other.
#[derive(Clone, Debug)]
enum Wire {
    Push,
    Pump,
    Acknowledge,
    /// So many of what is under way arrive.
    Deliver(usize),
    Break,
}

fn wire() -> impl Strategy<Value = (bool, Wire)> {
    let wire = prop_oneof![
        4 => Just(Wire::Push),
        3 => Just(Wire::Pump),
        2 => Just(Wire::Acknowledge),
        4 => (1_usize..5).prop_map(Wire::Deliver),
        1 => Just(Wire::Break),
    ];
    (any::<bool>(), wire)
}

#[derive(Debug)]
enum Frame {
    Operation(u64, Vec<u8>),
    Acknowledge(u64),
}

/// One end of a link that numbers, replays and counts.
#[derive(Debug)]
struct End {
    log: Operations,
    pushed: Vec<Vec<u8>>,
    delivered: Vec<Vec<u8>>,
    /// Frames for this end, under way.
    arriving: VecDeque<Frame>,
}

#[derive(Debug)]
struct Line([End; 2]);

impl Line {
    fn new(window: usize) -> Line {
        let end = || End {
            log: Operations::new(window, 1000),
            pushed: Vec::new(),
            delivered: Vec::new(),
            arriving: VecDeque::new(),
        };
        Line([end(), end()])
    }

    fn step(&mut self, at: usize, step: &Wire) -> Result<(), TestCaseError> {
        match step {
            Wire::Push => {
                let end = &mut self.0[at];
                let body = vec![at as u8, end.pushed.len() as u8];
                prop_assert!(end.log.push(body.clone()));
                end.pushed.push(body);
            }
            Wire::Pump => {
                while let Some((number, body)) = self.0[at].log.next_to_send(Time::ZERO) {
                    self.0[1 - at].arriving.push_back(Frame::Operation(number, body));
                }
            }
            Wire::Acknowledge => {
                let received = self.0[at].log.tell_received();
                self.0[1 - at].arriving.push_back(Frame::Acknowledge(received));
            }
            Wire::Deliver(count) => {
                for _ in 0..*count {
                    self.0[at].deliver()?;
                }
            }
            Wire::Break => {
                let received = [0, 1].map(|at: usize| self.0[at].log.received());
                for at in [0, 1] {
                    self.0[at].arriving.clear();
                    prop_assert_eq!(self.0[at].log.resume(received[1 - at]), Ok(()));
                }
            }
        }
        Ok(())
    }

    /// One session that lasts long enough.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.step(0, &Wire::Break)?;
        while self.0.iter().any(|end| end.log.len() > 0) {
            for at in [0, 1] {
                self.step(at, &Wire::Pump)?;
                self.step(1 - at, &Wire::Deliver(1000))?;
                self.step(1 - at, &Wire::Acknowledge)?;
                self.step(at, &Wire::Deliver(1000))?;
            }
        }
        Ok(())
    }
}

impl End {
    fn deliver(&mut self) -> Result<(), TestCaseError> {
        match self.arriving.pop_front() {
            Some(Frame::Operation(number, body)) => match self.log.arrived(number) {
                Arrival::Next => self.delivered.push(body),
                Arrival::Known => {}
                Arrival::Gap => prop_assert!(false, "a gap before {number}"),
            },
            Some(Frame::Acknowledge(number)) => prop_assert_eq!(self.log.acknowledge(number), Ok(())),
            None => {}
        }
        Ok(())
    }
}

/// A peer with links to these others, up and pinged by nobody.
fn linked(own: usize, others: &BTreeMap<usize, bool>) -> Overlay {
    let rng = StdRng::seed_from_u64(1);
    let mut overlay = Overlay::new(&Config::lan(), &Identity::new(&PEERS[own].0), 7, rng);
    let mut out = Vec::new();
    for (&other, &joined) in others {
        let session = Session(other as u64);
        let connected = Input::Connected {
            session,
            peer: peer(other),
            opener: Opener::Them,
            address: None,
        };
        overlay.handle(Time::ZERO, connected, &mut out);
        let message = Message::Hello(Box::new(Hello {
            versions: crate::Versions::OURS,
            network: "fatebound".into(),
            incarnation: 9,
            number: 1 << 32,
            open: Vec::new(),
            resume: None,
            received: 0,
            share: [0; 16],
            wanted: true,
            joined,
            times: Default::default(),
            record: PEERS[other].1.clone(),
            neighbours: Vec::new(),
            more: Vec::new(),
        }));
        overlay.handle(Time::ZERO, Input::Received { session, message }, &mut out);
    }
    overlay
}

fn tag(at: usize) -> Tag {
    Key::of(&peer(at)).tag()
}

fn place(ring: &Ring) -> (Vec<PeerId>, Vec<PeerId>, Vec<PeerId>) {
    let (leaves, table) = (ring.leaves(), ring.table());
    (
        leaves.below().to_vec(),
        leaves.above().to_vec(),
        table.entries().copied().collect(),
    )
}

proptest! {
    #![proptest_config(cases(64))]

    /// Whichever row a stranger asks for.
    #[test]
    fn any_row_can_be_asked_for(row: u8, digit_bits in prop::sample::select(vec![1_u32, 2, 4])) {
        let mut ring = Ring::new(&Config { digit_bits, ..Config::lan() }, &Identity::new(&PEERS[0].0));
        ring.meet(PEERS[1].1.clone(), true);
        ring.settle();
        let records = ring.row_records(row.into(), &mut StdRng::seed_from_u64(1));
        prop_assert!(records.len() <= 1);
    }

    /// As a map that is searched: the earliest first, ties by key, at most one per key.
    #[test]
    fn deadlines_are_a_map_that_is_popped_in_order(timers in prop::collection::vec(timer(), 0..60)) {
        let mut deadlines = Deadlines::default();
        let mut model: BTreeMap<u8, u64> = BTreeMap::new();
        for timer in timers {
            match timer {
                Timer::Set(key, at) => {
                    deadlines.set(key, Time::from_nanos(at));
                    model.insert(key, at);
                }
                Timer::Earlier(key, at) => {
                    deadlines.set_earlier(key, Time::from_nanos(at));
                    model.entry(key).and_modify(|before| *before = at.min(*before)).or_insert(at);
                }
                Timer::Cancel(key) => prop_assert_eq!(deadlines.cancel(key), model.remove(&key).is_some()),
                Timer::Pop(now) => {
                    let due = model.iter().map(|(key, at)| (*at, *key)).min().filter(|(at, _)| *at <= now);
                    let popped = deadlines.pop_due(Time::from_nanos(now));
                    prop_assert_eq!(popped, due.map(|(_, key)| key));
                    popped.map(|key| model.remove(&key));
                }
            }
            prop_assert_eq!(deadlines.len(), model.len());
            prop_assert_eq!(deadlines.is_empty(), model.is_empty());
            prop_assert_eq!(deadlines.next(), model.values().min().copied().map(Time::from_nanos));
            for key in 0..6 {
                prop_assert_eq!(deadlines.get(key), model.get(&key).copied().map(Time::from_nanos));
            }
        }
    }

    /// "Each side replays its unacknowledged operations": each is delivered once and in order, whenever the sessions break.
    #[test]
    fn operations_arrive_once_and_in_order(window in 1_usize..6, steps in prop::collection::vec(wire(), 0..150)) {
        let mut line = Line::new(window);
        for (at, step) in &steps {
            line.step(usize::from(*at), step)?;
            for (end, other) in [(0, 1), (1, 0)] {
                let (delivered, pushed) = (&line.0[end].delivered, &line.0[other].pushed);
                prop_assert!(pushed.starts_with(delivered), "{delivered:?} of {pushed:?}");
            }
        }
        line.finish()?;
        let [a, b] = &line.0;
        prop_assert_eq!(&a.delivered, &b.pushed);
        prop_assert_eq!(&b.delivered, &a.pushed);
    }

    /// The digits of a key are the key, and what two keys share is what their digits say.
    #[test]
    fn digits_are_the_key(a in key(), b in key(), bits in prop::sample::select(vec![1_u32, 2, 4])) {
        let digits = |key: &Key| (0..256 / bits as usize).map(|row| key.digit(row, bits)).collect::<Vec<_>>();
        let shared = digits(&a).iter().zip(digits(&b)).take_while(|(a, b)| **a == *b).count();
        prop_assert_eq!(a.shared_digits(&b, bits), shared);
        prop_assert_eq!(digits(&a) == digits(&b), a == b);
        prop_assert!(digits(&a).iter().all(|digit| u32::from(*digit) < 1 << bits));
        prop_assert_eq!(a.cmp(&b), digits(&a).cmp(&digits(&b)));
    }

    /// The ring has no edge, and the way there is as long as the way back.
    #[test]
    fn distances_on_the_ring_are_symmetric(a in key(), b in key(), c in key()) {
        prop_assert_eq!(a.ring_distance(&b), b.ring_distance(&a));
        prop_assert!(a.ring_distance(&b) <= a.clockwise_to(&b));
        prop_assert_eq!(a.ring_distance(&a), a.clockwise_to(&a));
        // Nobody stands nearer to a than a itself.
        prop_assert!(a.ring_distance(&a) <= a.ring_distance(&c));
        // One of two peers is met first on the way up.
        prop_assert!(b == c || a.clockwise_to(&b) != a.clockwise_to(&c));
    }

    /// "Leaf set and table are a function of the peers known to have a place": whoever came and went before, and in whatever order.
    #[test]
    fn leaf_set_and_table_forget_how_they_came_about(
        news in prop::collection::vec((1_usize..24, any::<bool>(), any::<bool>()), 0..80),
        per_side in 1_usize..5,
        digit_bits in prop::sample::select(vec![1_u32, 2, 4]),
    ) {
        let config = Config { leaves_per_side: per_side, digit_bits, ..Config::lan() };
        let (mut ring, mut there) = (Ring::new(&config, &Identity::new(&PEERS[0].0)), BTreeSet::new());
        for (at, joined, settle) in news {
            ring.meet(PEERS[at].1.clone(), joined);
            if joined { there.insert(at) } else { there.remove(&at) };
            if settle {
                ring.settle();
            }
        }
        ring.settle();
        let mut fresh = Ring::new(&config, &Identity::new(&PEERS[0].0));
        for &at in there.iter().rev() {
            fresh.hear(Time::ZERO, &PEERS[at].1);
        }
        fresh.settle();
        prop_assert_eq!(place(&ring), place(&fresh));
        prop_assert!(!ring.settle(), "settled twice, and it changed");
        // The leaf set is what sorting by the way up gives, from either end.
        let own = *ring.key();
        let mut up: Vec<_> = there.iter().map(|&at| peer(at)).collect();
        up.sort_by_key(|peer| own.clockwise_to(&Key::of(peer)));
        prop_assert_eq!(ring.leaves().above(), &up[..per_side.min(up.len())]);
        up.reverse();
        prop_assert_eq!(ring.leaves().below(), &up[..per_side.min(up.len())]);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// "Each hop hands on to the target itself if it is a neighbour, else to a neighbour strictly closer to the target", or spends a credit;
    /// never to somebody without a place, never to somebody visited.
    #[test]
    fn a_hop_is_closer_or_paid_for(
        others in prop::collection::btree_map(1_usize..24, prop::bool::weighted(0.8), 0..10),
        target in 1_usize..24,
        visited in prop::collection::btree_set(0_usize..24, 0..6),
        allow_detour: bool,
    ) {
        let overlay = linked(0, &others);
        prop_assert_eq!(overlay.neighbours().len(), others.len());
        let tags: Vec<Tag> = visited.iter().map(|&at| tag(at)).collect();
        let hop = overlay.next_hop(&peer(target), &tags, allow_detour);
        let to = hop.map(|hop| overlay.peer_of(hop.link).expect("a link that is up"));
        let goal = Key::of(&peer(target));
        let distance = |peer: &PeerId| Key::of(peer).ring_distance(&goal);
        if others.contains_key(&target) && !visited.contains(&target) {
            prop_assert_eq!(to, Some(peer(target)));
        } else {
            let carriers = others.iter().filter(|(at, joined)| **joined && !visited.contains(at));
            let best = carriers.map(|(at, _)| peer(*at)).min_by_key(distance);
            let closer = best.filter(|best| distance(best) < distance(&peer(0)));
            prop_assert_eq!(to, closer.or(best.filter(|_| allow_detour)));
            prop_assert_eq!(hop.is_some_and(|hop| hop.detour), to.is_some() && closer.is_none());
        }
    }

    /// A message that carries whom it has been with comes to nobody twice, spends no more than it has, and ends.
    #[test]
    fn a_walk_never_comes_back(
        links in prop::collection::vec((0_usize..7, 0_usize..7), 4..16),
        target in 1_usize..7,
    ) {
        let mut others: Vec<BTreeMap<usize, bool>> = vec![BTreeMap::new(); 7];
        for (a, b) in links.into_iter().filter(|(a, b)| a != b) {
            others[a].insert(b, true);
            others[b].insert(a, true);
        }
        let (mut at, mut visited, mut credits) = (0, vec![0], 3);
        while at != target {
            let overlay = linked(at, &others[at]);
            let tags: Vec<Tag> = visited.iter().map(|&at| tag(at)).collect();
            let Some(hop) = overlay.next_hop(&peer(target), &tags, credits > 0) else { break };
            prop_assert!(!hop.detour || credits > 0);
            credits -= i32::from(hop.detour);
            let to = overlay.peer_of(hop.link).expect("a link that is up");
            at = (0..7).find(|&at| peer(at) == to).expect("one of the seven");
            prop_assert!(!visited.contains(&at));
            visited.push(at);
        }
    }
}
