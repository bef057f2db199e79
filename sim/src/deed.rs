//! What the processes of a scenario do in process groups, one line of text each.

use std::fmt;

/// The number of a process group within its schedule: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessGroup(pub u32);

impl fmt::Display for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pg{}", self.0)
    }
}

/// What a process does. All but `Enter` is done by the provider of its peer that came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A process of the peer comes into the group.
    Enter,
    /// It sends so many messages.
    Say(u8),
    /// It proposes a state value, and all vote.
    Propose,
    /// It proposes a state value that nobody votes on.
    Put,
    /// It waits for all at a barrier.
    Barrier,
    /// It goes if nobody minds.
    Retire,
    /// It says goodbye.
    Farewell,
    /// Its process ends without a word.
    Lose,
}

/// All but `Say`, which has a number, with their words.
const WORDS: [(Deed, &str); 7] = [
    (Deed::Enter, "enter"),
    (Deed::Propose, "propose"),
    (Deed::Put, "put"),
    (Deed::Barrier, "barrier"),
    (Deed::Retire, "retire"),
    (Deed::Farewell, "farewell"),
    (Deed::Lose, "lose"),
];

impl Deed {
    /// The word that its text begins with.
    pub fn kind(&self) -> &'static str {
        match self {
            Deed::Say(_) => "say",
            deed => WORDS
                .iter()
                .find(|(named, _)| named == deed)
                .map_or("deed", |(_, word)| word),
        }
    }

    /// The deed that is written so, but for its group and who does it.
    pub(crate) fn parse(word: &str, count: Option<&str>) -> Option<Deed> {
        match (word, count) {
            ("say", Some(count)) => count.parse().ok().map(Deed::Say),
            (word, None) => WORDS.iter().find(|(_, named)| *named == word).map(|(deed, _)| *deed),
            _ => None,
        }
    }
}
