//! How full everything about groups is.

use std::collections::BTreeSet;

use fatebound_overlay::Bounded;

use crate::admit::{MAX_ANSWERED, MAX_ASKING};
use crate::check::MAX_CHECKS;
use crate::deaths::MAX_DEATHS;
use crate::groups::Groups;
use crate::join::{MAX_JOINS, MAX_TICKETS};
use crate::member::{MAX_DECLINED, MAX_WAITING};
use crate::remembered::MAX_REMEMBERED;
use crate::silence::MAX_SILENT;
use crate::telling::MAX_TELLING;

impl Groups {
    /// Everything here that can grow, with its limit. Costs a walk over all groups.
    pub fn bounds(&self) -> Vec<Bounded> {
        let members = self.shared.table.groups().map(|group| group.far.len() + 1);
        let checks = self.checks.values().map(Vec::len);
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
            Bounded::new("silent groups", self.silent.len(), MAX_SILENT),
            Bounded::new("words on their way", self.telling.len(), MAX_TELLING),
            Bounded::new("groups that are checked", self.checks.len(), MAX_CHECKS),
            Bounded::fullest("checks of a group", checks, MAX_CHECKS),
            Bounded::new("deaths", self.deaths.len(), MAX_DEATHS),
            Bounded::new("creations", self.creations.len(), self.shared.table.roots()),
            Bounded::new("joins", self.joins.len(), MAX_JOINS),
            Bounded::new("callers of a join", self.joins.most_tickets(), MAX_TICKETS),
            Bounded::new("callers of a departure", self.departures.most_tickets(), MAX_TICKETS),
            Bounded::new("departures", self.departures.len(), self.as_member()),
            Bounded::new("closed groups", self.closed.len(), MAX_REMEMBERED),
            Bounded::new("groups left without a word", self.left.len(), MAX_REMEMBERED),
            Bounded::new(
                "state for those who come later",
                self.admissions.kept(),
                self.shared.config.max_kept_state,
            ),
        ];
        bounds.extend(self.bounds_of_doors());
        bounds.extend(self.bounds_of_work());
        bounds.extend(self.shared.table.bounds());
        bounds.extend(self.prober.bounds());
        bounds
    }

    /// Doors and lists belong to groups of our own, invitations to those who come in to far ends of them.
    fn bounds_of_doors(&self) -> [Bounded; 7] {
        let [asking, answered, under_way] = self.admissions.sizes();
        let [telling, posts] = self.lists.sizes();
        let far: usize = self.shared.table.groups().map(|group| group.far.len()).sum();
        [
            Bounded::new("doors", self.admissions.doors(), self.shared.table.roots()),
            Bounded::new("peers that ask to come in", asking, MAX_ASKING),
            Bounded::new("words on such peers", answered, MAX_ANSWERED),
            Bounded::new("admissions", under_way, far),
            Bounded::new("peers that came later", self.admissions.joined(), far),
            Bounded::new("groups come into later", self.joins.joined(), self.as_member()),
            Bounded::new("lists on their way", telling.max(posts), far),
        ]
    }

    /// What is under way belongs to far ends, pairs of peers, creations, invitations and silences; nothing of it outlives these.
    fn bounds_of_work(&self) -> [Bounded; 3] {
        let far = || self.shared.table.groups().flat_map(|group| &group.far);
        let work = || far().filter_map(|far| far.work.as_ref());
        let invites = work().map(|work| work.invites.len()).sum();
        let links = self.links.values().map(BTreeSet::len).sum();
        // Four for each far end that something is under way for, one for each of the others, one for all deaths.
        let others = self.prober.len() + self.creations.len() + self.waiting.len() + self.silent.len() + 1;
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
