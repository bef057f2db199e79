//! Suspicion: a neighbour did not answer, and the peers whom that concerns are told before it is certain.
//!
//! "◆ On its own miss each of them tells, along the paths that end *or begin* at the suspect, the peer at the other end: root and
//! member then start to probe each other; no path is rebuilt for a suspicion" (protocol.md §4). Paths that merely pass through the suspect
//! are not spoken of: their ends are alive.

use fatebound_overlay::{LinkId, Rule};

use crate::release::push;
use crate::store::Segment;
use crate::tree::{Batches, MAX_BATCH, Tree, tell};
use crate::{Event, Output, PathId, Tell};

impl Tree {
    /// Our own miss.
    pub(crate) fn on_link_doubtful(&mut self, link: LinkId, out: &mut Vec<Output>) {
        if !Rule::ToldFarEnds.holds() {
            return;
        }
        let Some(suspect) = self.links.get(&link) else { return };
        let mut tells = Batches::new();
        for &number in self.store.on(link) {
            let segment = self.store.get(number);
            if segment.end_towards(link) == suspect.peer {
                suspect_on(&segment, link, &mut tells, out);
            }
        }
        self.send_suspicions(tells, out);
    }

    /// Somebody else's, on its way along the paths. Of no path is more said than was heard.
    pub(crate) fn on_suspected(&mut self, link: LinkId, paths: &[PathId], out: &mut Vec<Output>) {
        if paths.len() > MAX_BATCH {
            return self.violation(link, "too many paths in one suspicion", out);
        }
        let mut tells = Batches::new();
        for path in paths {
            let Some(number) = self.store.find(path) else { continue };
            let segment = self.store.get(number);
            if segment.links().any(|other| other == link) {
                suspect_on(&segment, link, &mut tells, out);
            }
        }
        self.send_suspicions(tells, out);
    }

    fn send_suspicions(&self, tells: Batches<PathId>, out: &mut Vec<Output>) {
        for (link, paths) in tells {
            for batch in paths.chunks(self.config.batch.clamp(1, MAX_BATCH)) {
                let paths = batch.to_vec();
                let tell = Tell::Suspected { paths };
                out.push(Output::Tell { link, tell });
            }
        }
    }
}

/// Away from the suspect, who is in the direction of `link`.
fn suspect_on(segment: &Segment, link: LinkId, tells: &mut Batches<PathId>, out: &mut Vec<Output>) {
    let path = segment.path;
    match segment.other(link) {
        Some(other) => push(tells, other, path),
        None => tell(Event::Suspected { path }, out),
    }
}
