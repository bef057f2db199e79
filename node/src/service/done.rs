//! What was done already, so that nothing is done twice: a part of every checkpoint.
//!
//! A client numbers its requests, and sends one again until it has an answer; with each it says below which number it has all answers. The primary remembers
//! the answers above. What cannot be remembered any more is never done again: whoever asks for it is told that it is not known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Clients that are remembered at most; beyond them the one is forgotten that has been silent longest.
const MAX_CLIENTS: usize = 1024;
/// Requests of one client that may be under way.
pub(crate) const MAX_OPEN: u64 = 16;
/// Requests of one client that are remembered at most, by their answers or by their numbers; beyond them those with the lowest numbers count as answered.
const MAX_OF_CLIENT: usize = 1024;
/// Bytes of answers that are remembered at most; beyond them the oldest are forgotten, but not that they were given.
const MAX_ANSWERS: usize = 1024 * 1024;

/// A request's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RequestId {
    pub(crate) client: u128,
    pub(crate) number: u64,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is to be done.
    New,
    /// It was done, and this was the answer.
    Answer(Vec<u8>),
    /// It was done, or may have been: the answer is gone.
    Forgotten,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    /// It has all answers below.
    low: u64,
    /// The others, by number; `None`: forgotten.
    answers: BTreeMap<u64, Option<Vec<u8>>>,
    /// When it last asked.
    used: u64,
}

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    clients: BTreeMap<u128, Client>,
    /// Counts requests.
    clock: u64,
    /// Whether a client was ever forgotten: then one that is not known may have been here.
    forgotten: bool,
    #[serde(skip)]
    bytes: usize,
}

impl Done {
    /// After it was read from a checkpoint.
    pub(crate) fn recount(mut self) -> Done {
        let answers = self
            .clients
            .values()
            .flat_map(|client| client.answers.values().flatten());
        self.bytes = answers.map(Vec::len).sum();
        self
    }

    /// What is known of this request. `low`: its client has all answers below; `again`: it was sent before.
    pub(crate) fn ask(&mut self, id: RequestId, low: u64, again: bool) -> Known {
        let Some(client) = self.clients.get_mut(&id.client) else {
            return if again && self.forgotten {
                Known::Forgotten
            } else {
                Known::New
            };
        };
        client.low = client.low.max(low);
        let kept = client.answers.split_off(&client.low);
        let dropped = std::mem::replace(&mut client.answers, kept);
        self.bytes -= dropped.values().flatten().map(Vec::len).sum::<usize>();
        match client.answers.get(&id.number) {
            Some(Some(answer)) => Known::Answer(answer.clone()),
            Some(None) => Known::Forgotten,
            None if id.number < client.low => Known::Forgotten,
            None => Known::New,
        }
    }

    /// It was done, with this answer.
    pub(crate) fn done(&mut self, id: RequestId, low: u64, answer: &[u8]) {
        self.clock += 1;
        let client = self.clients.entry(id.client).or_default();
        client.low = client.low.max(low);
        client.used = self.clock;
        client.answers.insert(id.number, Some(answer.to_vec()));
        self.bytes += answer.len();
        while client.answers.len() > MAX_OF_CLIENT
            && let Some((number, answer)) = client.answers.pop_first()
        {
            self.bytes -= answer.map_or(0, |answer| answer.len());
            client.low = client.low.max(number + 1);
        }
        while self.clients.len() > MAX_CLIENTS {
            self.forget_client();
        }
        while self.bytes > MAX_ANSWERS {
            self.forget_answers();
        }
    }

    fn forget_client(&mut self) {
        let silent = self.clients.iter().min_by_key(|(_, client)| client.used);
        if let Some(id) = silent.map(|(id, _)| *id)
            && let Some(client) = self.clients.remove(&id)
        {
            self.bytes -= client.answers.values().flatten().map(Vec::len).sum::<usize>();
            self.forgotten = true;
        }
    }

    /// All answers of the client that has been silent longest and has any.
    fn forget_answers(&mut self) {
        let with_answers = self
            .clients
            .values_mut()
            .filter(|client| client.answers.values().any(Option::is_some));
        let Some(client) = with_answers.min_by_key(|client| client.used) else {
            self.bytes = 0;
            return;
        };
        for answer in client.answers.values_mut() {
            self.bytes -= answer.take().map_or(0, |answer| answer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: u128, number: u64) -> RequestId {
        RequestId { client, number }
    }

    #[test]
    fn a_request_that_comes_again_gets_the_answer_that_it_got() {
        let mut done = Done::default();
        assert_eq!(done.ask(id(1, 1), 1, false), Known::New);
        done.done(id(1, 1), 1, b"a");
        assert_eq!(done.ask(id(1, 1), 1, true), Known::Answer(b"a".to_vec()));
        assert_eq!(done.ask(id(1, 2), 2, false), Known::New);
        assert_eq!(done.ask(id(1, 1), 1, true), Known::Forgotten, "it said that it has it");
        assert_eq!(done.bytes, 0);
    }

    #[test]
    fn what_is_forgotten_is_never_done_again() {
        let mut done = Done::default();
        let answer = vec![0; 60_000];
        for number in 1..=40u64 {
            done.done(id(u128::from(number), 1), 1, &answer);
        }
        assert!(done.bytes <= MAX_ANSWERS);
        assert_eq!(done.ask(id(1, 1), 1, true), Known::Forgotten);
        assert_eq!(done.ask(id(40, 1), 1, true), Known::Answer(answer));
        assert_eq!(done.ask(id(999, 1), 1, true), Known::New, "nobody was forgotten yet");
        for client in 0..=MAX_CLIENTS as u128 {
            done.done(id(10_000 + client, 1), 1, b"");
        }
        assert_eq!(done.clients.len(), MAX_CLIENTS);
        assert_eq!(done.ask(id(40, 1), 1, true), Known::Forgotten);
        assert_eq!(done.ask(id(5, 1), 1, false), Known::New, "it was never sent before");
    }

    #[test]
    fn the_bytes_are_counted_right_whatever_happens() {
        let mut done = Done::default();
        for step in 0..5_000u64 {
            let (client, number) = (u128::from(step % 1_300), step / 7);
            let low = number.saturating_sub(step % 5);
            if done.ask(id(client, number), low, step % 3 == 0) == Known::New {
                done.done(id(client, number), low, &vec![1; (step % 4_000) as usize]);
            }
            let bytes: usize = done
                .clients
                .values()
                .flat_map(|client| client.answers.values().flatten())
                .map(Vec::len)
                .sum();
            assert_eq!(bytes, done.bytes);
            assert!(bytes <= MAX_ANSWERS && done.clients.len() <= MAX_CLIENTS);
        }
    }
}
