//! Fail: how the word that a group has failed runs along its paths.
//!
//! "`Fail` goes … down and up the paths, hop by hop (it lists the paths; each peer drops them and forwards on its other segments of the
//! group)" (protocol.md §6). Delegates believe nothing and verify nothing: the worst that a false `Fail` does is what a `Release` does.

use fatebound_overlay::{LinkId, Routes, Rule};

use crate::around::send_around;
use crate::release::push;
use crate::tree::{Batches, MAX_BATCH, Tree, tell};
use crate::{Event, GroupId, Operation, Output, PathId};

/// Bytes of a notice at most, 4 KiB: a text of 1 KiB, names, a signature; so a `Fail` with a full batch of paths fits into a frame.
const MAX_NOTICE: usize = 4096;

impl Tree {
    /// Root or member: the group has failed here.
    pub(crate) fn fail(&mut self, group: &GroupId, notice: &[u8], routes: &dyn Routes, out: &mut Vec<Output>) {
        let mut fails = Batches::new();
        for number in self.store.of_group(group) {
            self.drop_failed(number, &mut fails);
        }
        self.send_fails(fails, notice, routes, out);
    }

    /// The other end says that the group of these paths has failed. Whose root or member this peer is, it leaves to the groups whether that
    /// is true, for they can verify the notice and then order [`crate::Input::Fail`]; what it carries, it forwards unseen, on all
    /// other segments of the group as well. Unknown paths are ignored: whoever has none of the group's paths with us has no say in it.
    pub(crate) fn on_fail(
        &mut self,
        link: LinkId,
        paths: &[PathId],
        notice: &[u8],
        routes: &dyn Routes,
        out: &mut Vec<Output>,
    ) {
        if let Some(what) = malformed(paths, notice) {
            return self.violation(link, what, out);
        }
        let mut fails = Batches::new();
        for path in paths {
            let Some(segment) = self.lose(link, path) else { continue };
            match segment.other(link) {
                Some(other) => push(&mut fails, other, *path),
                None => failed(*path, notice, out),
            }
        }
        let carries = !fails.is_empty() && Rule::CarrierFailsTheRest.holds();
        if let (Some(path), true) = (paths.first(), carries || !Rule::EndsAskTheirGroups.holds()) {
            self.drop_rest(&path.group, notice, &mut fails, out);
        }
        self.send_fails(fails, notice, routes, out);
    }

    /// "Each peer drops them and forwards on its other segments of the group"; those that end here are told to the groups.
    fn drop_rest(&mut self, group: &GroupId, notice: &[u8], fails: &mut Batches<PathId>, out: &mut Vec<Output>) {
        for number in self.store.of_group(group) {
            let segment = self.store.get(number);
            if !segment.is_carried() {
                failed(segment.path, notice, out);
            }
            self.drop_failed(number, fails);
        }
    }

    /// Drops a segment; all of its links will be told.
    fn drop_failed(&mut self, number: u32, fails: &mut Batches<PathId>) {
        let segment = self.store.remove(number);
        for link in segment.links() {
            push(fails, link, segment.path);
        }
    }

    fn send_fails(&mut self, fails: Batches<PathId>, notice: &[u8], routes: &dyn Routes, out: &mut Vec<Output>) {
        for (link, paths) in fails {
            for batch in paths.chunks(self.config.batch.clamp(1, MAX_BATCH)) {
                let operation = Operation::Fail {
                    paths: batch.to_vec(),
                    notice: notice.to_vec(),
                };
                self.operate(link, operation, out);
                if routes.is_doubtful(link) {
                    send_around(batch.to_vec(), notice.to_vec(), out);
                }
                self.remove_by_us(link, batch.iter());
            }
        }
    }
}

fn failed(path: PathId, notice: &[u8], out: &mut Vec<Output>) {
    let notice = notice.to_vec();
    tell(Event::Failed { path, notice }, out);
}

fn malformed(paths: &[PathId], notice: &[u8]) -> Option<&'static str> {
    if paths.len() > MAX_BATCH {
        return Some("too many paths in one fail");
    }
    if notice.len() > MAX_NOTICE {
        return Some("a notice is too long");
    }
    let same = paths.windows(2).all(|two| two[0].group == two[1].group);
    (!same).then_some("a fail of several groups")
}
