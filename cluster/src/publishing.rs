//! The record of a group in the directory, at the node that leads it (protocol.md §3.1).

use std::time::Duration;

use fatebound_base::{PeerId, Time};
use fatebound_overlay::directory::{MAX_SIGNERS, Order, Publication};

use crate::name::{Founding, GroupName};
use crate::numbers::Node;
use crate::view::View;
use crate::way_in::Listing;

/// What a leader publishes, and how far that has come.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    current: Option<Publication>,
    again: Option<Time>,
}

impl Publisher {
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.again
    }

    /// The incarnation under which the group is published.
    pub(crate) fn incarnation(&self) -> Option<u32> {
        self.current.as_ref().map(|publication| publication.order.incarnation)
    }

    /// This node leads this view, and the group has this incarnation by now. Says what is to be published.
    pub(crate) fn lead(
        &mut self,
        name: &GroupName,
        founding: Founding,
        incarnation: u32,
        leader: Node,
        view: &View,
    ) -> Publication {
        let signers: Vec<PeerId> = view.voters.iter().map(|voter| voter.node.peer).collect();
        let listing = Listing {
            founding,
            view: view.number,
            leader,
            voters: u32::try_from(view.voters.len()).unwrap_or(u32::MAX),
        };
        let publication = Publication {
            name: name.in_directory(),
            order: Order {
                incarnation: incarnation.max(founding.incarnation),
                view: view.number.0,
            },
            signers: signers.into_iter().take(MAX_SIGNERS).collect(),
            tombstone: false,
            body: postcard::to_stdvec(&listing).unwrap_or_default(),
        };
        self.again = None;
        self.current = Some(publication.clone());
        publication
    }

    /// The group is dissolved, by its last member or for another founding. Says what is to be published instead.
    ///
    /// N4: "the last one to go leaves a tombstone with that of its group"; N5: so does the leader of a founding that gives way.
    pub(crate) fn bury(&mut self, incarnation: u32) -> Option<Publication> {
        let mut publication = self.current.take()?;
        publication.order.incarnation = publication.order.incarnation.max(incarnation);
        self.again = None;
        publication.tombstone = true;
        publication.order.view = publication.order.view.saturating_add(1);
        publication.body = Vec::new();
        Some(publication)
    }

    /// This node leads no more. Says whether there is something to be published no more.
    pub(crate) fn stop(&mut self) -> bool {
        self.again = None;
        self.current.take().is_some()
    }

    /// It could not be published.
    pub(crate) fn not_published(&mut self, now: Time, pause: Duration) {
        if self.current.is_some() {
            self.again = Some(now + pause);
        }
    }

    /// What is to be published again by now.
    pub(crate) fn due(&mut self, now: Time) -> Option<Publication> {
        self.again.take_if(|at| *at <= now)?;
        self.current.clone()
    }
}
