//! What goes wrong again and again is said at once, and then rarely.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Between two times that the same is said.
pub(crate) const PAUSE: Duration = Duration::from_secs(5 * 60);
/// Things that are said in this time at most: beyond it nothing is, for others may make them up.
const MAX_SAID: usize = 256;

/// What was said lately. A thing is what it is about and what there is to say: when that changes, it is another thing.
#[derive(Debug, Default)]
pub(crate) struct Rarely(HashMap<String, Instant>);

impl Rarely {
    /// Whether this is to be said now.
    pub(crate) fn says(&mut self, what: &str, now: Instant) -> bool {
        self.0.retain(|_, said| now.duration_since(*said) < PAUSE);
        let news = !self.0.contains_key(what) && self.0.len() < MAX_SAID;
        if news {
            self.0.insert(what.to_owned(), now);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_at_once_and_then_rarely() {
        let mut rarely = Rarely::default();
        let start = Instant::now();
        assert!(rarely.says("refused", start));
        assert!(!rarely.says("refused", start));
        assert!(rarely.says("no answer", start), "something else is news");
        assert!(
            !rarely.says("refused", start + PAUSE / 2),
            "nor is it by going back and forth"
        );
        assert!(rarely.says("refused", start + PAUSE));
        assert!(!rarely.says("refused", start + PAUSE + PAUSE / 2));
    }

    #[test]
    fn so_much_is_said_in_a_while_whatever_there_is_to_say() {
        let mut rarely = Rarely::default();
        let start = Instant::now();
        let said = (0..10 * MAX_SAID).filter(|number| rarely.says(&number.to_string(), start));
        assert_eq!(said.count(), MAX_SAID);
        assert!(rarely.says("something new", start + PAUSE));
    }
}
