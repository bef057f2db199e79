//! Where no pipe can be had: what would go through it goes as one-shot messages, which find a way through the overlay (cluster.md §6, S8).
//!
//! A detour keeps what a pipe promises. One message is under way at a time, the rest waits behind it, so nothing is overtaken; each body has a number,
//! so nothing is taken twice; and when a message is lost for good, so is what waits, which is told like the end of a pipe.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fatebound_base::{Bounded, PeerId, Time};
use fatebound_overlay::{PostId, Ways};

use crate::floor::Carried;
use crate::io::Output;
use crate::mail::{self, Mail};
use crate::message::{Envelope, Words};
use crate::name::GroupRef;
use crate::numbers::Node;

/// Peers to whom there is a detour, at most: as many as there may be pipes. Beyond it the one that has had nothing to do for longest gives way; if all
/// are busy there is none for a further peer, whose frames are lost until there is.
const MAX_PEERS: usize = 128;
/// Bytes that wait for one peer or are under way to it: as many as in a pipe.
const QUEUE: usize = 128 * 1024;
/// What a body counts beside its bytes.
const OVERHEAD: usize = 64;
/// A message without a receipt goes again after this time, doubled up to sixteen times as much.
const AGAIN: Duration = Duration::from_millis(500);
/// So many times at most; then all is lost.
const TRIES: u32 = 6;
/// A pipe is tried again after this time, doubled up to sixteen times as much, when there is something to send.
const PROBE: Duration = Duration::from_secs(30);
/// Nodes of which the last number is remembered, at most; beyond it the one not heard for longest is forgotten, whose bodies may come twice.
const MAX_HEARD: usize = 4096;

/// All detours of a peer.
#[derive(Debug, Default)]
pub(crate) struct Detours {
    peers: BTreeMap<PeerId, Detour>,
    heard: BTreeMap<Node, Heard>,
    /// The last number that a body got: it only grows, whatever becomes of detours.
    number: u64,
    /// Counts what is heard.
    clock: u64,
}

/// The last number of a node, and when that was.
#[derive(Clone, Copy, Debug)]
struct Heard {
    number: u64,
    at: u64,
}

#[derive(Debug)]
struct Detour {
    waiting: VecDeque<Envelope>,
    bytes: usize,
    under_way: Option<UnderWay>,
    /// Something was turned away and nobody was told of room since.
    full: bool,
    used: Time,
    probe: (Time, Duration),
    /// A pipe is being tried, with an empty body.
    probing: bool,
    /// There is a pipe: nothing more goes this way.
    ends: bool,
}

#[derive(Debug)]
struct UnderWay {
    envelopes: Vec<Envelope>,
    /// All its copies.
    posts: Vec<PostId>,
    again: Time,
}

/// What is to be told of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// There is room again.
    Room(PeerId),
    /// What was under way, and what waited, is lost.
    Lost(PeerId),
}

impl Detour {
    fn new(now: Time) -> Detour {
        Detour {
            waiting: VecDeque::new(),
            bytes: 0,
            under_way: None,
            full: false,
            used: now,
            probe: (now + PROBE, PROBE),
            probing: false,
            ends: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.under_way = None;
        self.bytes = 0;
        self.full = false;
    }

    /// What is under way has arrived.
    fn arrived(&mut self) -> bool {
        let arrived = self.under_way.take().map(|under_way| under_way.envelopes);
        let bytes: usize = arrived.iter().flatten().map(weight).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.full && self.bytes <= QUEUE / 2 && std::mem::replace(&mut self.full, false)
    }
}

fn weight(envelope: &Envelope) -> usize {
    mail::weight(envelope).saturating_add(OVERHEAD)
}

impl Detours {
    /// A pipe to this peer could not be had. Says whether this is the answer to a mere try, with which nothing is lost.
    pub(crate) fn begin(&mut self, now: Time, peer: PeerId) -> bool {
        if let Some(detour) = self.peers.get_mut(&peer) {
            let (_, pause) = detour.probe;
            let pause = (pause * 2).min(PROBE * 16);
            detour.probe = (now + pause, pause);
            return std::mem::replace(&mut detour.probing, false);
        }
        if self.peers.len() >= MAX_PEERS {
            let idle = self.peers.iter().filter(|(_, detour)| detour.is_idle());
            let Some(oldest) = idle.min_by_key(|(_, detour)| detour.used).map(|(peer, _)| *peer) else {
                return false;
            };
            self.peers.remove(&oldest);
        }
        self.peers.insert(peer, Detour::new(now));
        false
    }

    /// A pipe that was tried came to nothing for another reason than that there can be none: it is tried again after the same pause. Says whether there was a
    /// try at all; nothing is lost with it.
    pub(crate) fn tried_in_vain(&mut self, now: Time, peer: &PeerId) -> bool {
        let Some(detour) = self.peers.get_mut(peer).filter(|detour| detour.probing) else {
            return false;
        };
        detour.probing = false;
        detour.probe.0 = now + detour.probe.1;
        true
    }

    /// Whether what is for this peer goes this way.
    pub(crate) fn leads_to(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// The peer is gone, and all that was for it.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
        self.heard.retain(|node, _| node.peer != *peer);
    }

    /// Takes a body for this node; gives it back when as much waits as may.
    pub(crate) fn send(
        &mut self,
        now: Time,
        to: Node,
        group: GroupRef,
        carried: Carried,
        out: &mut Vec<Output>,
    ) -> Option<Carried> {
        let Some(detour) = self.peers.get_mut(&to.peer) else {
            return Some(carried);
        };
        detour.used = now;
        if detour.probe.0 <= now && !detour.probing && !detour.ends {
            detour.probing = true;
            let body = Vec::new();
            out.push(Output::PipeSend { peer: to.peer, body });
        }
        self.number += 1;
        let number = self.number;
        let carried = Box::new(carried);
        let envelope = Envelope {
            group,
            to: Some(to.incarnation),
            words: Words::Carried { number, carried },
        };
        let bytes = weight(&envelope);
        if detour.bytes > 0 && detour.bytes.saturating_add(bytes) > QUEUE {
            detour.full = true;
            return match envelope.words {
                Words::Carried { carried, .. } => Some(*carried),
                _ => None,
            };
        }
        detour.bytes = detour.bytes.saturating_add(bytes);
        detour.waiting.push_back(envelope);
        None
    }

    /// Whether a body that comes this way is to be taken: not if it has come before, or was overtaken.
    pub(crate) fn hear(&mut self, from: Node, number: u64) -> bool {
        let at = self.clock;
        self.clock += 1;
        if self.heard.get(&from).is_some_and(|heard| heard.number >= number) {
            return false;
        }
        if self.heard.len() >= MAX_HEARD && !self.heard.contains_key(&from) {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.at);
            oldest.map(|(node, _)| *node).map(|node| self.heard.remove(&node));
        }
        self.heard.insert(from, Heard { number, at });
        true
    }

    /// Whatever can leave does.
    pub(crate) fn flush(&mut self, now: Time, incarnation: u64, mail: &mut Mail, out: &mut Vec<Output>) {
        for (peer, detour) in &mut self.peers {
            if detour.under_way.is_some() || detour.waiting.is_empty() {
                continue;
            }
            let envelopes = mail::fitting(&mut detour.waiting);
            let post = mail.post(*peer, incarnation, envelopes.clone(), Ways::Every { round: 0 }, out);
            detour.under_way = Some(UnderWay {
                envelopes,
                posts: vec![post],
                again: now + AGAIN,
            });
        }
    }

    /// When `wake` is wanted.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let under_way = self.peers.values().filter_map(|detour| detour.under_way.as_ref());
        under_way.map(|under_way| under_way.again).min()
    }

    /// What has no receipt goes again, or is lost.
    pub(crate) fn wake(&mut self, now: Time, incarnation: u64, mail: &mut Mail, out: &mut Vec<Output>) -> Vec<News> {
        let mut news = Vec::new();
        for (peer, detour) in &mut self.peers {
            let Some(under_way) = detour.under_way.as_mut().filter(|under_way| under_way.again <= now) else {
                continue;
            };
            let tries = u32::try_from(under_way.posts.len()).unwrap_or(TRIES);
            if tries >= TRIES {
                detour.clear();
                news.push(News::Lost(*peer));
                continue;
            }
            let envelopes = under_way.envelopes.clone();
            let post = mail.post(*peer, incarnation, envelopes, Ways::Every { round: tries }, out);
            under_way.posts.push(post);
            under_way.again = now + AGAIN * 2u32.pow(tries).min(16);
        }
        news
    }

    /// A message has arrived.
    pub(crate) fn answered(&mut self, peer: &PeerId, post: PostId) -> Option<News> {
        let detour = self.peers.get_mut(peer)?;
        let is_its = |under_way: &UnderWay| under_way.posts.contains(&post);
        if !detour.under_way.as_ref().is_some_and(is_its) {
            return None;
        }
        let room = detour.arrived();
        room.then_some(News::Room(*peer))
    }

    /// There is a pipe with this peer: as soon as nothing is under way that it could overtake, all goes there.
    pub(crate) fn pipe_is_up(&mut self, peer: &PeerId) {
        if let Some(detour) = self.peers.get_mut(peer) {
            detour.ends = true;
        }
    }

    /// There is none any more.
    pub(crate) fn pipe_is_down(&mut self, peer: &PeerId) {
        if let Some(detour) = self.peers.get_mut(peer) {
            detour.ends = false;
        }
    }

    /// Detours that are needed no more, with what waited in them, and whether somebody waits for room.
    pub(crate) fn ended(&mut self) -> Vec<(PeerId, Vec<Envelope>, bool)> {
        let over = |detour: &Detour| detour.ends && detour.under_way.is_none();
        let peers: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, detour)| over(detour))
            .map(|(peer, _)| *peer)
            .collect();
        let ended = peers.into_iter().filter_map(|peer| {
            let detour = self.peers.remove(&peer)?;
            Some((peer, detour.waiting.into(), detour.full))
        });
        ended.collect()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        let most = self.peers.values().map(|detour| detour.bytes).max().unwrap_or_default();
        [
            Bounded::new("peers to whom there is a detour", self.peers.len(), MAX_PEERS),
            // One body of any size is always taken.
            Bounded::new("bytes in a detour", most, 2 * QUEUE),
            Bounded::new("nodes heard without a pipe", self.heard.len(), MAX_HEARD),
        ]
    }
}

#[cfg(test)]
mod tests {
    use fatebound_base::Keypair;

    use super::*;
    use crate::name::{Founding, GroupName};
    use crate::numbers::{Seq, ViewNumber};
    use crate::stream::Frame;

    fn node(n: u32) -> Node {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let keypair = Keypair::ed25519_from_bytes(seed).unwrap();
        Node {
            peer: keypair.public().to_peer_id(),
            incarnation: u64::from(n),
        }
    }

    fn group() -> GroupRef {
        let founder = node(1).peer;
        let founding = Founding {
            incarnation: 1,
            founder,
        };
        GroupRef::new(&GroupName::try_from("db").unwrap(), &founding)
    }

    fn frame(bytes: usize, seq: u64) -> Carried {
        Carried::Stream(Frame::Submit {
            view: ViewNumber(1),
            have: Seq(seq),
            number: seq,
            class: crate::stream::Class::Safe,
            body: vec![0; bytes],
        })
    }

    /// The detours of one peer, and what they have sent.
    struct Bench {
        detours: Detours,
        mail: Mail,
        out: Vec<Output>,
        now: Time,
    }

    impl Bench {
        fn new() -> Bench {
            let mut detours = Detours::default();
            assert!(!detours.begin(Time::ZERO, node(2).peer));
            Bench {
                detours,
                mail: Mail::default(),
                out: Vec::new(),
                now: Time::ZERO,
            }
        }

        fn send(&mut self, bytes: usize, seq: u64) -> Option<Carried> {
            let taken = self
                .detours
                .send(self.now, node(2), group(), frame(bytes, seq), &mut self.out);
            self.detours.flush(self.now, 1, &mut self.mail, &mut self.out);
            taken
        }

        /// The messages since the last time, and how many bodies are in each.
        fn sent(&mut self) -> Vec<(PostId, usize)> {
            let sent = self.out.drain(..).filter_map(|output| match output {
                Output::Post { post, packet, .. } => Some((post, packet.envelopes.len())),
                _ => None,
            });
            sent.collect()
        }

        fn answered(&mut self, post: PostId) -> Option<News> {
            let news = self.detours.answered(&node(2).peer, post);
            self.detours.flush(self.now, 1, &mut self.mail, &mut self.out);
            news
        }

        fn wake(&mut self) -> Vec<News> {
            self.now = self.detours.deadline().expect("something is under way");
            self.detours.wake(self.now, 1, &mut self.mail, &mut self.out)
        }
    }

    #[test]
    fn one_message_is_under_way_and_the_rest_follows_its_receipt() {
        let mut bench = Bench::new();
        for seq in 1..=3 {
            assert_eq!(bench.send(10, seq), None);
        }
        let [(first, 1)] = bench.sent()[..] else {
            panic!("the first body, alone")
        };
        assert_eq!(bench.answered(first), None);
        let [(second, 2)] = bench.sent()[..] else {
            panic!("the others, together")
        };
        assert_eq!(bench.answered(first), None, "it was answered");
        bench.answered(second);
        assert_eq!(bench.sent(), []);
        assert_eq!(bench.detours.deadline(), None, "no timer without need");
    }

    #[test]
    fn what_has_no_receipt_goes_again_and_is_lost_with_what_waits() {
        let mut bench = Bench::new();
        bench.send(10, 1);
        bench.send(10, 2);
        let first = bench.sent()[0].0;
        for _ in 1..TRIES {
            assert_eq!(bench.wake(), []);
            assert_eq!(bench.sent().len(), 1);
        }
        assert_eq!(bench.wake(), [News::Lost(node(2).peer)]);
        assert_eq!((bench.sent(), bench.detours.deadline()), (vec![], None));
        assert_eq!(bench.answered(first), None, "too late");
        bench.send(10, 3);
        assert_eq!(bench.sent().len(), 1, "and the next one goes");
    }

    #[test]
    fn as_much_waits_as_in_a_pipe_and_then_there_is_room_again() {
        let mut bench = Bench::new();
        let taken = (1..).take_while(|seq| bench.send(60_000, *seq).is_none()).count();
        assert_eq!(taken, 2);
        assert!(bench.detours.bounds().iter().all(|bound| bound.size <= bound.limit));
        let first = bench.sent()[0].0;
        assert_eq!(bench.answered(first), Some(News::Room(node(2).peer)));
        assert_eq!(bench.send(60_000, 9), None);
    }

    #[test]
    fn what_was_overtaken_or_comes_twice_is_not_taken() {
        let mut bench = Bench::new();
        let heard = |bench: &mut Bench, n, number| bench.detours.hear(node(n), number);
        assert!(heard(&mut bench, 3, 1));
        assert!(heard(&mut bench, 3, 4));
        assert!(!heard(&mut bench, 3, 4) && !heard(&mut bench, 3, 2));
        assert!(heard(&mut bench, 4, 2), "another node");
        for n in 10..10 + u32::try_from(MAX_HEARD).unwrap() {
            assert!(heard(&mut bench, n, 1));
        }
        assert_eq!(bench.detours.bounds()[2].size, MAX_HEARD);
        assert!(heard(&mut bench, 3, 1), "forgotten");
    }

    #[test]
    fn a_pipe_takes_over_when_nothing_is_under_way_that_it_could_overtake() {
        let mut bench = Bench::new();
        bench.send(10, 1);
        bench.send(10, 2);
        bench.detours.pipe_is_up(&node(2).peer);
        assert!(bench.detours.ended().is_empty());
        assert!(bench.detours.leads_to(&node(2).peer));
        let first = bench.sent()[0].0;
        bench.detours.answered(&node(2).peer, first);
        let ended = bench.detours.ended();
        assert_eq!((ended.len(), ended[0].1.len()), (1, 1), "what waits goes there");
        assert!(!bench.detours.leads_to(&node(2).peer));
    }

    #[test]
    fn a_pipe_is_tried_again_and_nothing_is_lost_with_a_mere_try() {
        let mut bench = Bench::new();
        let tried = |bench: &mut Bench| {
            let tries = |output: &Output| matches!(output, Output::PipeSend { body, .. } if body.is_empty());
            bench.out.drain(..).filter(tries).count()
        };
        bench.send(10, 1);
        assert_eq!(tried(&mut bench), 0);
        bench.now = Time::ZERO + PROBE;
        bench.send(10, 2);
        bench.send(10, 3);
        assert_eq!(tried(&mut bench), 1);
        assert!(bench.detours.begin(bench.now, node(2).peer), "only a try");
        assert!(!bench.detours.begin(bench.now, node(2).peer), "something was sent");
        bench.now += PROBE;
        bench.send(10, 4);
        assert_eq!(tried(&mut bench), 0, "the pause is longer each time");
        bench.now += PROBE * 8;
        bench.send(10, 5);
        assert_eq!(tried(&mut bench), 1);
        // It ended for a reason that says nothing of the next one.
        assert!(bench.detours.tried_in_vain(bench.now, &node(2).peer));
        assert!(!bench.detours.tried_in_vain(bench.now, &node(2).peer), "once");
        bench.now += PROBE * 8;
        bench.send(10, 6);
        assert_eq!(tried(&mut bench), 1, "and it is tried again");
    }

    #[test]
    fn an_idle_detour_gives_way_to_a_further_one_and_a_busy_one_does_not() {
        let mut bench = Bench::new();
        bench.send(10, 1);
        for n in 10..10 + u32::try_from(MAX_PEERS).unwrap() {
            bench.now += Duration::from_secs(1);
            bench.detours.begin(bench.now, node(n).peer);
        }
        assert_eq!(bench.detours.bounds()[0].size, MAX_PEERS);
        assert!(bench.detours.leads_to(&node(2).peer));
        assert!(!bench.detours.leads_to(&node(10).peer));
    }
}
