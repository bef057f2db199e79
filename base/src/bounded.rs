//! "Everything is bounded": what can grow says how much is in it and how much may be, so that a checker can hold it to that.

/// A collection, what is in it, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// Which.
    pub what: &'static str,
    /// What is in it; of several of the same kind the fullest.
    pub size: usize,
    /// What may be in it at most, between any two inputs.
    pub limit: usize,
}

impl Bounded {
    /// One collection.
    pub fn new(what: &'static str, size: usize, limit: usize) -> Bounded {
        Bounded { what, size, limit }
    }

    /// Of several collections with the same limit the fullest.
    pub fn fullest(what: &'static str, sizes: impl Iterator<Item = usize>, limit: usize) -> Bounded {
        Bounded::new(what, sizes.max().unwrap_or_default(), limit)
    }

    /// Whether the limit is kept.
    pub fn holds(&self) -> bool {
        self.size <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_up_to_its_limit_and_not_beyond() {
        assert!(Bounded::new("postings", 3, 4).holds());
        assert!(Bounded::new("postings", 4, 4).holds());
        assert!(!Bounded::new("postings", 5, 4).holds());
        assert_eq!(Bounded::fullest("waiters", [1, 5, 2].into_iter(), 4).size, 5);
    }
}
