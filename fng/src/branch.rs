//! A state of the groups as a value: for model checkers, which follow one state into many and have to know it again.
//!
//! Whatever decides how the groups go on is hashed, in an order that does not depend on how they came there: each part hashes its own state, the
//! context leaves out what does not count.

use rand::rngs::StdRng;

use crate::groups::Groups;

impl Groups {
    /// A copy that goes on by itself, with a generator of its own (they are not copied, on purpose).
    pub fn branch(&self, rng: StdRng) -> Groups {
        Groups {
            shared: self.shared.branch(rng),
            creations: self.creations.clone(),
            inviting: self.inviting.clone(),
            admissions: self.admissions.clone(),
            invitations: self.invitations.clone(),
            joins: self.joins.clone(),
            departures: self.departures.clone(),
            lists: self.lists.clone(),
            repairs: self.repairs.clone(),
            inquiries: self.inquiries.clone(),
            checks: self.checks.clone(),
            deaths: self.deaths.clone(),
            words: self.words.clone(),
        }
    }
}
