//! Release: how a path ends, softly.
//!
//! "A peer that loses a segment, because a link went down, because of a digest difference, or because it received `Release`, removes it and
//! sends `Release` on the segment's other link. Releases for many paths travel in one batch." (protocol.md §5) Where there is no other link,
//! the path ends here, and the groups are told.

use fatebound_overlay::{LinkId, Rule};

use crate::store::Segment;
use crate::tree::{Batches, MAX_BATCH, Tree, tell};
use crate::{Cause, Event, Operation, Output, PathId};

impl Tree {
    /// Root or member: ends, or refuses, a path of its own. Others' paths are not touched.
    pub(crate) fn release(&mut self, path: &PathId, cause: Cause, out: &mut Vec<Output>) {
        let Some(number) = self.store.find(path) else { return };
        if self.store.get(number).is_carried() {
            return;
        }
        let segment = self.store.remove(number);
        let releases = segment.links().map(|link| (link, vec![(*path, cause)]));
        self.send_releases(releases.collect(), out);
    }

    /// The other end has removed these paths, by path and never by group.
    pub(crate) fn on_release(&mut self, link: LinkId, paths: Vec<(PathId, Cause)>, out: &mut Vec<Output>) {
        if paths.len() > MAX_BATCH {
            return self.violation(link, "too many paths in one release", out);
        }
        let paths = match Rule::ReleaseByPath.holds() {
            false => self.whole_groups(link, paths),
            true => paths,
        };
        let mut releases = Batches::new();
        for (path, cause) in paths {
            if let Some(segment) = self.lose(link, &path) {
                pass_on(&segment, link, cause, &mut releases, out);
            }
        }
        self.send_releases(releases, out);
    }

    /// These paths, and all others of their groups on this link.
    fn whole_groups(&self, link: LinkId, mut paths: Vec<(PathId, Cause)>) -> Vec<(PathId, Cause)> {
        for (path, cause) in paths.clone() {
            let on_link = self.path_ids_on(link);
            let others = on_link.filter(|other| other.group == path.group && *other != path);
            paths.extend(others.map(|other| (other, cause)));
        }
        paths
    }

    /// Everything on a link is gone with it; nothing more is said there.
    pub(crate) fn on_link_down(&mut self, link: LinkId, dead: bool, out: &mut Vec<Output>) {
        let Some(gone) = self.links.remove(&link) else { return };
        let mut releases = Batches::new();
        for segment in self.store.take_link(link) {
            let end_is_gone = dead && segment.end_towards(link) == gone.peer;
            let cause = if end_is_gone { Cause::Gone } else { Cause::LinkDown };
            pass_on(&segment, link, cause, &mut releases, out);
        }
        self.send_releases(releases, out);
    }

    /// "A peer that stops in an orderly way releases the paths it merely carries ahead of closing, so that they are repaired while it still
    /// works" (protocol.md §6). It takes no new ones; paths that end here are the groups' business.
    pub(crate) fn shut_down(&mut self, out: &mut Vec<Output>) {
        self.stopping = true;
        let carried: Vec<u32> = self.store.numbers().collect();
        let mut releases = Batches::new();
        for number in carried {
            if self.store.get(number).is_carried() {
                let segment = self.store.remove(number);
                for link in segment.links() {
                    push(&mut releases, link, (segment.path, Cause::Shutdown));
                }
            }
        }
        self.send_releases(releases, out);
    }

    /// Sends releases in batches; each removes its paths from the joint set of its link.
    pub(crate) fn send_releases(&mut self, releases: Batches<(PathId, Cause)>, out: &mut Vec<Output>) {
        for (link, paths) in releases {
            for batch in paths.chunks(self.config.batch.clamp(1, MAX_BATCH)) {
                let paths = batch.to_vec();
                self.operate(link, Operation::Release { paths }, out);
                self.remove_by_us(link, batch.iter().map(|(path, _)| path));
            }
        }
    }

    /// Records what the operation just sent has removed.
    pub(crate) fn remove_by_us<'a>(&mut self, link: LinkId, paths: impl Iterator<Item = &'a PathId>) {
        let Some(up) = self.links.get_mut(&link) else { return };
        for path in paths {
            let hash = up.joint.hash(path);
            up.joint.remove_by_us(hash);
        }
    }
}

/// What becomes of a removed segment that was lost on the side of `link`.
pub(crate) fn pass_on(
    segment: &Segment,
    link: LinkId,
    cause: Cause,
    releases: &mut Batches<(PathId, Cause)>,
    out: &mut Vec<Output>,
) {
    let path = segment.path;
    match segment.other(link) {
        Some(other) => push(releases, other, (path, cause)),
        None => tell(Event::Broken { path, cause }, out),
    }
}

/// Adds one path to what is said on a link.
pub(crate) fn push<T>(batches: &mut Batches<T>, link: LinkId, what: T) {
    batches.entry(link).or_default().push(what);
}
