//! Words on their way to other nodes: all that is said to one node at a moment travels in one message.
//!
//! A thousand groups on the same five nodes change their views at the same instant when one of these dies; so words wait until the input that
//! caused them is followed to its end, and leave together (cluster.md §3).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fatebound_base::{Bounded, PeerId};
use fatebound_overlay::{PostId, Ways};

use crate::io::Output;
use crate::message::{Envelope, MAX_ENVELOPES, Packet, Words};
use crate::name::GroupRef;
use crate::numbers::Node;

/// Bytes of words in one message, about: a one-shot message has 64 KiB.
const FULL: usize = 40 * 1024;
/// Packets under way at most; beyond it the oldest is forgotten, and with it only what its receipt would have said.
const MAX_POSTS: usize = 8_192;

/// A packet without a receipt.
#[derive(Debug)]
struct Sent {
    to: PeerId,
    /// The lives that are meant in it; more than one only if the peer has started anew a moment ago.
    lives: BTreeSet<u64>,
}

/// The words that have not left yet, and the packets that have no receipt yet.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    waiting: BTreeMap<PeerId, Vec<Envelope>>,
    posts: BTreeMap<PostId, Sent>,
    next: u64,
}

impl Mail {
    pub(crate) fn say(&mut self, to: Node, group: GroupRef, words: Words) {
        self.say_to_peer(to.peer, Some(to.incarnation), group, words);
    }

    /// The same, to whichever life of a peer if `to` does not name one.
    pub(crate) fn say_to_peer(&mut self, peer: PeerId, to: Option<u64>, group: GroupRef, words: Words) {
        let envelope = Envelope { group, to, words };
        self.waiting.entry(peer).or_default().push(envelope);
    }

    /// Everything that waits leaves.
    pub(crate) fn flush(&mut self, incarnation: u64, out: &mut Vec<Output>) {
        for (to, envelopes) in std::mem::take(&mut self.waiting) {
            let mut rest = VecDeque::from(envelopes);
            while !rest.is_empty() {
                let envelopes = fitting(&mut rest);
                self.post(to, incarnation, envelopes, Ways::Direct, out);
            }
        }
    }

    /// Sends these in one message, over these ways.
    pub(crate) fn post(
        &mut self,
        to: PeerId,
        incarnation: u64,
        envelopes: Vec<Envelope>,
        ways: Ways,
        out: &mut Vec<Output>,
    ) -> PostId {
        let lives = envelopes.iter().filter_map(|envelope| envelope.to).collect();
        let post = self.number(Sent { to, lives });
        let packet = Packet { incarnation, envelopes };
        out.push(Output::Post { post, to, packet, ways });
        post
    }

    fn number(&mut self, sent: Sent) -> PostId {
        let post = PostId(self.next);
        self.next += 1;
        self.posts.insert(post, sent);
        if self.posts.len() > MAX_POSTS {
            self.posts.pop_first();
        }
        post
    }

    /// A packet was answered from this life, or will not be. Says which nodes were meant that are no more.
    pub(crate) fn over(&mut self, post: PostId, from: Option<(PeerId, u64)>) -> Vec<Node> {
        let (Some(sent), Some((peer, incarnation))) = (self.posts.remove(&post), from) else {
            return Vec::new();
        };
        let others = sent.lives.into_iter().filter(|life| *life != incarnation);
        let others = others.map(|incarnation| Node { peer, incarnation });
        others.filter(|_| sent.to == peer).collect()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 2] {
        [
            Bounded::new("packets under way", self.posts.len(), MAX_POSTS),
            Bounded::new("words that wait between inputs", self.waiting.len(), 0),
        ]
    }
}

/// As many as fit into one message, and one at least.
pub(crate) fn fitting(rest: &mut VecDeque<Envelope>) -> Vec<Envelope> {
    let mut fit = Vec::new();
    let mut bytes = 0usize;
    while fit.len() < MAX_ENVELOPES {
        let Some(envelope) = rest.pop_front_if(|next| fit.is_empty() || bytes.saturating_add(weight(next)) <= FULL)
        else {
            break;
        };
        bytes = bytes.saturating_add(weight(&envelope));
        fit.push(envelope);
    }
    fit
}

/// Bytes that an envelope takes, as encoded.
pub(crate) fn weight(envelope: &Envelope) -> usize {
    postcard::experimental::serialized_size(envelope).unwrap_or(FULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Founding, GroupName};

    fn node(n: u8) -> Node {
        let keypair = fatebound_base::Keypair::ed25519_from_bytes([n; 32]).unwrap();
        Node {
            peer: keypair.public().to_peer_id(),
            incarnation: u64::from(n),
        }
    }

    fn group() -> GroupRef {
        let founder = node(1).peer;
        let name = GroupName::try_from("db").unwrap();
        GroupRef::new(
            &name,
            &Founding {
                incarnation: 1,
                founder,
            },
        )
    }

    fn packets(mail: &mut Mail) -> Vec<(PeerId, usize)> {
        let mut out = Vec::new();
        mail.flush(9, &mut out);
        let count = |output: &Output| match output {
            Output::Post { to, packet, .. } => (*to, packet.envelopes.len()),
            other => panic!("{other:?}"),
        };
        out.iter().map(count).collect()
    }

    #[test]
    fn what_is_said_to_one_node_travels_together() {
        let mut mail = Mail::default();
        for _ in 0..3 {
            mail.say(node(1), group(), Words::Wait);
        }
        mail.say(node(2), group(), Words::Remove);
        let mut sent = packets(&mut mail);
        sent.sort_by_key(|(_, count)| *count);
        assert_eq!(sent, [(node(2).peer, 1), (node(1).peer, 3)]);
        assert_eq!(packets(&mut mail), []);
    }

    #[test]
    fn what_does_not_fit_travels_in_another_message() {
        let mut mail = Mail::default();
        let state = vec![0; FULL / 2 + 1];
        let install = Box::new(crate::views::Message::Behind { view: None });
        for _ in 0..2 {
            let (install, state) = (install.clone(), state.clone());
            mail.say(node(1), group(), Words::Welcome { install, state });
        }
        for _ in 0..=MAX_ENVELOPES {
            mail.say(node(2), group(), Words::Wait);
        }
        let mut counts: Vec<usize> = packets(&mut mail).into_iter().map(|(_, count)| count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 1, MAX_ENVELOPES]);
    }

    #[test]
    fn a_receipt_from_another_life_tells_that_the_one_that_was_meant_is_over() {
        let mut mail = Mail::default();
        for _ in 0..3 {
            mail.say(node(1), group(), Words::Wait);
            packets(&mut mail);
        }
        assert_eq!(mail.over(PostId(0), Some((node(1).peer, 1))), []);
        assert_eq!(mail.over(PostId(1), Some((node(1).peer, 7))), [node(1)]);
        assert_eq!(mail.over(PostId(1), Some((node(1).peer, 7))), [], "it is answered");
        assert_eq!(mail.over(PostId(2), None), []);
        assert_eq!(mail.bounds()[0].size, 0);
    }
}
