//! Construct and confirm: how a path comes up.
//!
//! A `Construct` walks greedily from the root towards the member and leaves a segment at every peer; a `Confirm` walks back along the `up` links.
//! Whoever cannot go on says so at once: "a delegate never holds a half-made path in silence" (protocol.md §5).

use fatebound_overlay::{Key, LinkId, Routes, Rule, Tag};

use crate::store::Segment;
use crate::tree::{Batches, Tree, tell};
use crate::{Cause, Event, Operation, Output, PathId, Via};

/// Peers in a `visited` list at most: the ceiling of [`crate::Config::hop_limit`].
const MAX_VISITED: usize = 64;

/// Where a `Construct` goes from here.
enum Step {
    /// This peer is the member.
    Arrived,
    /// Over this link, with these peers visited and these credits left.
    Onward {
        link: LinkId,
        visited: Vec<Tag>,
        detours: u8,
    },
}

impl Tree {
    /// "For a member `m`, the root picks a new epoch `e` and routes `Construct { group, member, epoch, visited, detours }` towards
    /// `key(m)`" (protocol.md §5). A path that is up already, or on its way, needs no second answer.
    pub(crate) fn start(&mut self, path: PathId, via: Via, routes: &dyn Routes, out: &mut Vec<Output>) {
        if self.silent.contains(&path.group) || self.store.find(&path).is_some() {
            return;
        }
        match self.first_step(&path, via, routes) {
            Ok((link, detours)) => {
                self.hand_on(link, None, path, vec![self.tag], detours, out);
            }
            Err(cause) => tell(Event::Broken { path, cause }, out),
        }
    }

    fn first_step(&self, path: &PathId, via: Via, routes: &dyn Routes) -> Result<(LinkId, u8), Cause> {
        if path.group.root != self.peer || path.member == self.peer {
            return Err(Cause::Disagreed);
        }
        if self.store.len() >= self.config.max_paths {
            return Err(Cause::Busy);
        }
        let by_choice = match via {
            Via::Overlay => None,
            Via::Direct => Some(routes.link_to(&path.member).ok_or(Cause::NoRoute)?),
            Via::CommonNeighbour(n) => {
                let common = routes.common_neighbours(&path.member);
                let n = (n as usize).checked_rem(common.len());
                n.map(|n| common[n])
            }
        };
        match by_choice {
            Some(link) => Ok((self.usable(link)?, self.config.detours)),
            None => self.routed(path, &[self.tag], self.config.detours, routes),
        }
    }

    /// "A peer `v` that receives `Construct` from link `u` records `up = u` … If it is not `m`: it picks `w = next_hop`, records `down = w`
    /// (tentative) and forwards; without a next hop, over a limit, or overloaded it answers `Release { path, cause }` and forgets the
    /// path" (protocol.md §5). One of a silent group is neither
    /// recorded nor answered: the digests differ, and the other end learns it by lists.
    pub(crate) fn on_construct(
        &mut self,
        link: LinkId,
        path: PathId,
        visited: Vec<Tag>,
        detours: u8,
        routes: &dyn Routes,
        out: &mut Vec<Output>,
    ) {
        if let Some(what) = self.lie_about(link, &path, &visited) {
            return self.violation(link, what, out);
        }
        if self.silent.contains(&path.group) {
            return;
        }
        if let Some(up) = self.links.get_mut(&link) {
            let hash = up.joint.hash(&path);
            up.joint.add_by_them(hash);
        }
        match self.next_step(link, &path, visited, detours, routes) {
            Ok(Step::Arrived) => {
                self.store.insert(&Segment {
                    path,
                    up: Some(link),
                    down: None,
                    handed_on: 0,
                    confirmed: false,
                });
                tell(Event::Arrived { path }, out);
            }
            Ok(Step::Onward {
                link: down,
                visited,
                detours,
            }) => {
                self.hand_on(down, Some(link), path, visited, detours, out);
            }
            Err(Cause::Disagreed) if !Rule::LieOfAStranger.holds() => {
                self.violation(link, "a path that cannot be", out);
            }
            Err(cause) => self.send_releases(Batches::from_iter([(link, vec![(path, cause)])]), out),
        }
    }

    /// What only the sender itself can have made up. Whatever an earlier peer may have made up instead is answered by a `Release`.
    fn lie_about(&self, link: LinkId, path: &PathId, visited: &[Tag]) -> Option<&'static str> {
        let from = self.links.get(&link)?;
        if visited.len() > MAX_VISITED {
            return Some("too many peers visited");
        }
        if visited.last() != Some(&from.tag) {
            return Some("the sender is not the last of the peers visited");
        }
        let known = self.store.find(path)?;
        let again = self.store.get(known).up == Some(link);
        again.then_some("the same path was constructed twice")
    }

    fn next_step(
        &self,
        link: LinkId,
        path: &PathId,
        mut visited: Vec<Tag>,
        detours: u8,
        routes: &dyn Routes,
    ) -> Result<Step, Cause> {
        let been_here = visited.contains(&self.tag) || self.store.find(path).is_some();
        let false_start = visited.first() != Some(&Key::of(&path.group.root).tag());
        if been_here || false_start || path.group.root == self.peer {
            return Err(Cause::Disagreed);
        }
        if self.store.len() >= self.config.max_paths {
            return Err(Cause::Busy);
        }
        self.usable(link).map_err(|_| Cause::Busy)?;
        if path.member == self.peer {
            return Ok(Step::Arrived);
        }
        if self.stopping {
            return Err(Cause::Shutdown);
        }
        if visited.len() >= usize::from(self.config.hop_limit) {
            return Err(Cause::HopLimit);
        }
        visited.push(self.tag);
        let detours = detours.min(self.config.detours);
        let (down, detours) = self.routed(path, &visited, detours, routes)?;
        if down == link {
            return Err(Cause::NoRoute);
        }
        Ok(Step::Onward {
            link: down,
            visited,
            detours,
        })
    }

    /// The next hop, and the detour credits that are left behind it.
    fn routed(&self, path: &PathId, visited: &[Tag], detours: u8, routes: &dyn Routes) -> Result<(LinkId, u8), Cause> {
        let hop = routes.next_hop(&path.member, visited, detours > 0);
        let hop = hop.ok_or(Cause::NoRoute)?;
        let link = self.usable(hop.link)?;
        Ok((link, detours.saturating_sub(u8::from(hop.detour))))
    }

    /// A link that is up here, too, and has room for another path.
    fn usable(&self, link: LinkId) -> Result<LinkId, Cause> {
        if !self.links.contains_key(&link) {
            return Err(Cause::NoRoute);
        }
        if self.store.on(link).len() >= self.config.max_paths_per_link {
            return Err(Cause::Busy);
        }
        Ok(link)
    }

    /// "The path is in the joint set of a link from the moment `Construct` crosses it" (protocol.md §5).
    fn hand_on(
        &mut self,
        down: LinkId,
        up: Option<LinkId>,
        path: PathId,
        visited: Vec<Tag>,
        detours: u8,
        out: &mut Vec<Output>,
    ) {
        let operation = Operation::Construct { path, visited, detours };
        self.operate(down, operation, out);
        let Some(below) = self.links.get_mut(&down) else { return };
        let hash = below.joint.hash(&path);
        below.joint.add_by_us(hash);
        self.store.insert(&Segment {
            path,
            up,
            down: Some(down),
            handed_on: below.joint.sent(),
            confirmed: false,
        });
    }

    /// Member: "it answers `Confirm` on `u` when it knows the group and `e` is newer than what it has" (protocol.md §5).
    pub(crate) fn confirm(&mut self, path: &PathId, out: &mut Vec<Output>) {
        let Some(number) = self.store.find(path) else { return };
        let segment = self.store.get(number);
        let (Some(up), None, false) = (segment.up, segment.down, segment.confirmed) else {
            return;
        };
        self.store.confirm(number);
        let operation = Operation::Confirm { path: *path, hops: 0 };
        self.operate(up, operation, out);
    }

    /// "`Confirm` travels back along `up` links; each hop marks its `down` pointer confirmed; it counts the hops. At the root the path is
    /// *live*" (protocol.md §5). For a path that is not here, from the wrong side, or a second time: ignored.
    pub(crate) fn on_confirm(&mut self, link: LinkId, path: &PathId, hops: u8, out: &mut Vec<Output>) {
        let Some(number) = self.store.find(path) else { return };
        let segment = self.store.get(number);
        if segment.down != Some(link) || segment.confirmed {
            return;
        }
        self.store.confirm(number);
        let (path, hops) = (*path, hops.saturating_add(1).min(self.config.hop_limit));
        match segment.up {
            Some(up) => self.operate(up, Operation::Confirm { path, hops }, out),
            None => tell(Event::Live { path, hops }, out),
        }
    }
}
