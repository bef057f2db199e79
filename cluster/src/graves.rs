//! Foundings that were given up for older ones, for those who have not heard of it.

use std::collections::VecDeque;

use fatebound_base::Bounded;

use crate::name::{Founding, GroupRef};

/// How many are remembered; whoever asks about one that is forgotten gets no answer, and is out of its group when its guard fails.
const MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Graves {
    graves: VecDeque<(GroupRef, Founding)>,
}

impl Graves {
    pub(crate) fn bury(&mut self, group: GroupRef, favour: Founding) {
        self.graves.push_back((group, favour));
        if self.graves.len() > MAX {
            self.graves.pop_front();
        }
    }

    /// For which founding this one was given up.
    pub(crate) fn favour(&self, group: &GroupRef) -> Option<Founding> {
        let found = self.graves.iter().rev().find(|(grave, _)| grave == group);
        found.map(|(_, favour)| *favour)
    }

    pub(crate) fn bounds(&self) -> Bounded {
        Bounded::new("foundings given up", self.graves.len(), MAX)
    }
}
