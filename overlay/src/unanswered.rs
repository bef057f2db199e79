//! Which question dials although a connection is up.
//!
//! A connection can be dead without anybody having been told: a NAT has forgotten it, an address has gone. Then questions on it get no answer,
//! although their target lives and a new connection would work at once. "◆ A question to a peer that has not answered the one before takes a
//! fresh connection as well" (protocol.md §3). To a peer that is merely slow, or gone, ever fewer are dialled; and after an answer over the
//! old connection, which was slow and not dead, the next ones wait longer before they distrust it.

use std::collections::HashMap;
use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;

use crate::{Bounded, Config, RequestId, Rule, Time};

/// Direct questions that wait for their answers, by peer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    by_peer: HashMap<PeerId, Asked>,
    /// When an answer last came over a connection beside which we had dialled.
    hasty: Option<Time>,
    /// An answer that takes less than this is not missed.
    least: Duration,
    ping_timeout: Duration,
    /// First and last pause between two fresh connections to a peer that does not answer.
    pauses: (Duration, Duration),
}

/// Questions to one peer.
#[derive(Debug)]
struct Asked {
    open: u32,
    /// Since when it has not answered.
    since: Time,
    /// How many have dialled since then, and the first of them.
    tries: u32,
    first: Option<RequestId>,
    /// No further one is dialled for before this.
    next: Time,
}

impl Unanswered {
    pub(crate) fn new(config: &Config) -> Unanswered {
        Unanswered {
            by_peer: HashMap::new(),
            hasty: None,
            least: config.ping_floor / 2,
            ping_timeout: config.ping_timeout,
            pauses: (config.ping_timeout / 2, config.link_interval),
        }
    }

    /// A question goes to this peer.
    pub(crate) fn ask(&mut self, now: Time, peer: PeerId) {
        let asked = self.by_peer.entry(peer).or_insert(Asked {
            open: 0,
            since: now,
            tries: 0,
            first: None,
            next: now,
        });
        asked.open += 1;
    }

    /// Whether this question, which goes over whatever is up, is to go over a fresh connection as well: another one has had no answer for half
    /// the time that a ping's may take. `round_trips` is what answers take on our links.
    pub(crate) fn distrusts(
        &mut self,
        now: Time,
        peer: &PeerId,
        request: RequestId,
        round_trips: Option<Duration>,
    ) -> bool {
        let misses = self.misses(now, peer, round_trips);
        let (first, last) = self.pauses;
        let Some(asked) = self.by_peer.get_mut(peer).filter(|asked| misses && now >= asked.next) else {
            return false;
        };
        asked.next = now + first.saturating_mul(1 << asked.tries.min(16)).min(last);
        asked.tries += 1;
        asked.first.get_or_insert(request);
        true
    }

    /// Whether a connection to this peer is not to be trusted: a question to it has waited too long.
    pub(crate) fn misses(&self, now: Time, peer: &PeerId, round_trips: Option<Duration>) -> bool {
        let limit = self.limit(now, round_trips);
        let asked = self.by_peer.get(peer);
        asked.is_some_and(|asked| asked.open > 1 && now.since(asked.since) >= limit) && Rule::FreshQuestion.holds()
    }

    fn limit(&self, now: Time, round_trips: Option<Duration>) -> Duration {
        let limit = self.least.max(round_trips.unwrap_or_default() / 2);
        let was_hasty = self.hasty.is_some_and(|at| now.since(at) < self.ping_timeout * 4);
        match was_hasty {
            true => limit.max(self.ping_timeout / 2),
            false => limit,
        }
    }

    /// It has answered this question: others that wait have not been given up.
    pub(crate) fn answered(&mut self, now: Time, peer: &PeerId, request: RequestId) {
        let Some(asked) = self.by_peer.get_mut(peer) else {
            return;
        };
        if asked.first.is_some_and(|first| request < first) {
            self.hasty = Some(now);
        }
        (asked.since, asked.tries, asked.first, asked.next) = (now, 0, None, now);
        self.over(peer);
    }

    /// A question to it is over, with or without an answer.
    pub(crate) fn over(&mut self, peer: &PeerId) {
        let Some(asked) = self.by_peer.get_mut(peer) else {
            return;
        };
        asked.open -= 1;
        if asked.open == 0 {
            self.by_peer.remove(peer);
            slim::map(&mut self.by_peer);
        }
    }

    /// No more peers than questions.
    pub(crate) fn bounds(&self, questions: usize) -> Bounded {
        Bounded::new("peers that are asked", self.by_peer.len(), questions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn peer(number: u8) -> PeerId {
        crate::Keypair::ed25519_from_bytes([number; 32])
            .unwrap()
            .public()
            .to_peer_id()
    }

    /// Whether this question to the first peer dials.
    fn ask(unanswered: &mut Unanswered, millis: u64, number: u64, round_trips: Option<Duration>) -> bool {
        unanswered.ask(at(millis), peer(1));
        unanswered.distrusts(at(millis), &peer(1), RequestId(number), round_trips)
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn the_second_question_without_an_answer_dials_and_those_at_the_same_time_do_not() {
        let mut unanswered = Unanswered::new(&Config::wan());
        let mut ask = |millis, number| ask(&mut unanswered, millis, number, None);
        assert_eq!([ask(0, 0), ask(0, 1), ask(249, 2)], [false; 3]);
        assert!(ask(400, 3));
        assert_eq!([ask(800, 4), ask(1200, 5)], [false; 2], "it is being dialled");
        assert!(ask(2400, 6), "after half of a ping_timeout");
        assert_eq!([ask(2800, 7), ask(6399, 8)], [false; 2], "then after twice as long");
        assert!(ask(6400, 9));
    }

    #[test]
    fn an_answer_begins_anew_and_each_peer_counts_for_itself() {
        let mut unanswered = Unanswered::new(&Config::lan());
        assert!(!ask(&mut unanswered, 0, 0, None));
        unanswered.ask(at(500), peer(2));
        assert!(
            !unanswered.distrusts(at(500), &peer(2), RequestId(1), None),
            "another peer"
        );
        assert!(!ask(&mut unanswered, 50, 2, None));
        unanswered.answered(at(450), &peer(1), RequestId(2));
        assert!(!ask(&mut unanswered, 500, 3, None));
        unanswered.answered(at(510), &peer(1), RequestId(0));
        unanswered.over(&peer(1));
        assert!(!ask(&mut unanswered, 9000, 4, None), "nothing is open");
        assert_eq!(unanswered.by_peer.len(), 2);
    }

    #[test]
    fn who_is_far_away_has_more_time() {
        let mut unanswered = Unanswered::new(&Config::lan());
        let far = Some(600 * MILLI);
        assert!(!ask(&mut unanswered, 0, 0, far));
        assert!(!ask(&mut unanswered, 299, 1, far));
        assert!(ask(&mut unanswered, 300, 2, far));
    }

    /// "Over the old connection": to a question from before the dial.
    #[test]
    fn who_was_wrong_lately_waits_longer() {
        for (answered, fresh) in [(0, false), (1, true)] {
            let mut unanswered = Unanswered::new(&Config::lan());
            assert!(!ask(&mut unanswered, 0, 0, None));
            assert!(ask(&mut unanswered, 400, 1, None));
            unanswered.answered(at(450), &peer(1), RequestId(answered));
            assert_eq!(ask(&mut unanswered, 850, 2, None), fresh, "{answered}");
            assert_eq!(ask(&mut unanswered, 1000, 3, None), !fresh, "{answered}");
        }
    }
}
