//! A state of the groups as a value: for model checkers, which follow one state into many and have to know it again.
//!
//! Whatever decides how the groups go on is hashed, in an order that does not depend on how they came there. Every field is named, so that a
//! new one has to be judged here as well. Left out: what never changes, what is only counted, what an index repeats, and the generator.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use rand::rngs::StdRng;

use crate::groups::Groups;

/// Hashes a map without an order by its keys.
pub(crate) fn hash_map<K: Hash + Ord, V: Hash, H: Hasher>(map: &HashMap<K, V>, hasher: &mut H) {
    map.iter().collect::<BTreeMap<_, _>>().hash(hasher);
}

impl Groups {
    /// A copy that goes on by itself, with a generator of its own (they are not copied, on purpose).
    pub fn branch(&self, rng: StdRng) -> Groups {
        Groups {
            shared: self.shared.branch(rng),
            prober: self.prober.clone(),
            invites: self.invites.clone(),
            creations: self.creations.clone(),
            waiting: self.waiting.clone(),
            declined: self.declined.clone(),
            words: self.words.clone(),
            checks: self.checks.clone(),
            links: self.links.clone(),
            deaths: self.deaths.clone(),
            joins: self.joins.clone(),
            admissions: self.admissions.clone(),
            departures: self.departures.clone(),
            lists: self.lists.clone(),
            sequence: self.sequence,
            invitations: self.invitations,
        }
    }
}

impl Hash for Groups {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Groups {
            shared,
            prober,
            invites,
            creations,
            waiting,
            declined,
            words,
            checks,
            links,
            deaths,
            joins,
            admissions,
            departures,
            lists,
            sequence,
            invitations,
        } = self;
        (shared, prober, words).hash(hasher);
        hash_map(invites, hasher);
        hash_map(creations, hasher);
        hash_map(links, hasher);
        waiting.as_slice().hash(hasher);
        declined.as_slice().hash(hasher);
        (checks, deaths).hash(hasher);
        (joins, admissions, departures, lists).hash(hasher);
        (sequence, invitations).hash(hasher);
    }
}
