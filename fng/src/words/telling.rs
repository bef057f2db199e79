//! Words on their way: to whom this peer has posted that a group failed.
//!
//! The answer to a question about such a group may overtake the word. It would be *unknown*, and that is proof enough for the asker to fail
//! the group, but with the wrong reason, which everybody else would then hear. So the question gets no answer until the word is acknowledged,
//! or lost, or has had half a `patience_floor`: then the asker's patience still has room for another question. Bound: [`MAX_TELLING`] words;
//! beyond it the oldest counts as lost.

use std::collections::BTreeMap;

use fatebound_overlay::{PeerId, PostId, Time};
use fatebound_tree::GroupId;

/// Words on their way that hold back an answer: 4096.
pub(crate) const MAX_TELLING: usize = 4096;

/// Whom this peer is telling of which group.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Telling {
    /// Of these postings, the oldest first.
    posts: BTreeMap<PostId, (GroupId, PeerId)>,
    /// Until when each of them holds back an answer.
    words: BTreeMap<(GroupId, PeerId), Time>,
}

impl Telling {
    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    /// This posting is a word about the group, given time until `until`. A group fails once, so nobody is told twice.
    pub(crate) fn begin(&mut self, post: PostId, group: GroupId, to: PeerId, until: Time) {
        self.posts.insert(post, (group, to));
        self.words.insert((group, to), until);
        if self.posts.len() > MAX_TELLING
            && let Some((_, word)) = self.posts.pop_first()
        {
            self.words.remove(&word);
        }
    }

    /// The posting was answered, or nothing of it is under way any more.
    pub(crate) fn end(&mut self, post: PostId) {
        if let Some(word) = self.posts.remove(&post) {
            self.words.remove(&word);
        }
    }

    /// Whether this peer may expect a word about the group.
    pub(crate) fn tells(&self, now: Time, group: &GroupId, peer: &PeerId) -> bool {
        self.words.get(&(*group, *peer)).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fatebound_overlay::Keypair;

    use super::*;

    #[test]
    fn beyond_4096_words_the_oldest_counts_as_lost() {
        let peer = Keypair::ed25519_from_bytes([7; 32]).unwrap().public().to_peer_id();
        let group = |sequence| GroupId {
            root: peer,
            incarnation: 1,
            sequence,
        };
        let until = Time::ZERO + Duration::from_secs(1);
        let mut telling = Telling::default();
        for sequence in 1..=4097 {
            telling.begin(PostId(sequence), group(sequence), peer, until);
            assert_eq!(telling.tells(Time::ZERO, &group(1), &peer), sequence <= 4096);
        }
        assert_eq!((telling.posts.len(), telling.words.len()), (4096, 4096));
        assert!(telling.tells(Time::ZERO, &group(2), &peer));
        assert!(!telling.tells(until, &group(2), &peer), "its time is over");
        telling.end(PostId(2));
        assert!(!telling.tells(Time::ZERO, &group(2), &peer));
        assert_eq!((telling.posts.len(), telling.words.len()), (4095, 4095));
    }
}
