//! How full everything about groups is.

use fatebound_overlay::Bounded;

use crate::groups::Groups;

impl Groups {
    /// Everything here that can grow, with its limit. Costs a walk over all groups.
    pub fn bounds(&self) -> Vec<Bounded> {
        let (table, config) = (&self.shared.table, &self.shared.config);
        let members = table.groups().map(|group| group.far.len() + 1);
        let far: usize = table.groups().map(|group| group.far.len()).sum();
        let others = self.as_member();
        let mut bounds = vec![
            Bounded::new("groups", table.len(), config.max_groups),
            Bounded::new(
                "groups of another root",
                table.most_of_a_root(),
                config.max_groups_per_peer,
            ),
            Bounded::fullest("members of a group", members, config.max_members),
            self.creations.bounds(table.roots()),
            self.inviting.bounds(),
            self.repairs.bounds(far),
            self.deaths.bounds(),
            self.lists.bounds(far),
            Bounded::new("timers of groups", self.shared.timers.len(), self.awaited()),
        ];
        bounds.extend(self.invitations.bounds());
        bounds.extend(self.words.bounds());
        bounds.extend(self.checks.bounds());
        bounds.extend(self.joins.bounds(others));
        bounds.extend(self.departures.bounds(others));
        bounds.extend(self.admissions.bounds(config, table.roots(), far));
        bounds.extend(self.inquiries.bounds());
        bounds.extend(table.bounds());
        bounds
    }

    /// What waits for a time: two for each inquiry, one for each of the others, one for all deaths.
    fn awaited(&self) -> usize {
        let of_roots = self.creations.len() + self.inviting.len() + self.admissions.asking() + self.lists.len();
        let of_members = self.invitations.waiting() + self.joins.len() + self.departures.len();
        let of_both = self.repairs.len() + 2 * self.inquiries.len() + self.inquiries.pairs() + self.words.silences();
        of_roots + of_members + of_both + 1
    }
}
