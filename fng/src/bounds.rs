//! How full everything about groups is.

use std::collections::BTreeSet;

use fatebound_overlay::Bounded;

use crate::admit::{MAX_ANSWERED, MAX_ASKING};
use crate::groups::Groups;
use crate::member::{MAX_DECLINED, MAX_WAITING};

impl Groups {
    /// Everything here that can grow, with its limit. Costs a walk over all groups.
    pub fn bounds(&self) -> Vec<Bounded> {
        let members = self.shared.table.groups().map(|group| group.far.len() + 1);
        let mut bounds = vec![
            Bounded::new("groups", self.shared.table.len(), self.shared.config.max_groups),
            Bounded::new(
                "groups of another root",
                self.shared.table.most_of_a_root(),
                self.shared.config.max_groups_per_peer,
            ),
            Bounded::fullest("members of a group", members, self.shared.config.max_members),
            Bounded::new("invitations that wait", self.waiting.len(), MAX_WAITING),
            Bounded::new("invitations declined", self.declined.len(), MAX_DECLINED),
            Bounded::new("creations", self.creations.len(), self.shared.table.roots()),
            Bounded::new(
                "state for those who come later",
                self.admissions.kept(),
                self.shared.config.max_kept_state,
            ),
        ];
        let far = self.shared.table.groups().map(|group| group.far.len()).sum();
        bounds.extend(self.words.bounds());
        bounds.extend(self.checks.bounds());
        bounds.push(self.deaths.bounds());
        bounds.extend(self.joins.bounds(self.as_member()));
        bounds.extend(self.departures.bounds(self.as_member()));
        bounds.push(self.lists.bounds(far));
        bounds.extend(self.bounds_of_doors());
        bounds.extend(self.bounds_of_work());
        bounds.extend(self.shared.table.bounds());
        bounds.extend(self.prober.bounds());
        bounds
    }

    /// Doors and lists belong to groups of our own, invitations to those who come in to far ends of them.
    fn bounds_of_doors(&self) -> [Bounded; 5] {
        let [asking, answered, under_way] = self.admissions.sizes();
        let far: usize = self.shared.table.groups().map(|group| group.far.len()).sum();
        [
            Bounded::new("doors", self.admissions.doors(), self.shared.table.roots()),
            Bounded::new("peers that ask to come in", asking, MAX_ASKING),
            Bounded::new("words on such peers", answered, MAX_ANSWERED),
            Bounded::new("admissions", under_way, far),
            Bounded::new("peers that came later", self.admissions.joined(), far),
        ]
    }

    /// What is under way belongs to far ends, pairs of peers, creations, invitations and silences; nothing of it outlives these.
    fn bounds_of_work(&self) -> [Bounded; 3] {
        let far = || self.shared.table.groups().flat_map(|group| &group.far);
        let work = || far().filter_map(|far| far.work.as_ref());
        let invites = work().map(|work| work.invites.len()).sum();
        let links = self.links.values().map(BTreeSet::len).sum();
        // Four for each far end that something is under way for, one for each of the others, one for all deaths.
        let others = self.prober.len() + self.creations.len() + self.waiting.len() + self.words.silences() + 1;
        let others = others + self.joins.len() + self.departures.len() + self.lists.len() + self.admissions.sizes()[0];
        [
            Bounded::new("invitations under way", self.invites.len(), invites),
            Bounded::new("attempts that wait for a link", links, far().count()),
            Bounded::new(
                "timers of groups",
                self.shared.timers.len(),
                4 * work().count() + others,
            ),
        ]
    }
}
