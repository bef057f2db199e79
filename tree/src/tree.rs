//! The tree machine: dispatch, and the little that all of its ideas share.
//!
//! A path is a chain of segments, and every segment lives in the joint sets of its one or two links. So nearly every arm does the same
//! three things: it takes segments out of the store or puts them in, it records that in the joint sets, and it says so on the segments' other
//! links, in batches.

use std::collections::BTreeMap;

use fatebound_overlay::{Bounded, JointSet, Key, LinkId, PeerId, Routes, Tag, Time};
use indexmap::{IndexMap, IndexSet};

use crate::around::send_fails_around;
use crate::audit::Audit;
use crate::joint_set::Joint;
use crate::silence::MAX_SILENT;
use crate::store::{Segment, Store, ensure};
use crate::{Config, Event, GroupId, Input, Operation, Output, PathId};

/// Paths in one received operation or word at most, whatever the own configuration says: the ceiling of [`Config::batch`].
pub(crate) const MAX_BATCH: usize = 256;

/// What is to be said on several links, in the order in which the links first came up.
pub(crate) type Batches<T> = IndexMap<LinkId, Vec<T>>;

/// The paths of one peer: those that begin or end at it, and those that it carries for others.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) config: Config,
    pub(crate) peer: PeerId,
    pub(crate) tag: Tag,
    pub(crate) store: Store,
    /// In boxes: a map of few large things has room for many.
    pub(crate) links: BTreeMap<LinkId, Box<Link>>,
    /// Groups that this peer keeps silent about, the oldest first.
    pub(crate) silent: IndexSet<GroupId>,
    pub(crate) stopping: bool,
    pub(crate) mismatches: u64,
    /// Links whose joint set may have changed through this input.
    pub(crate) touched: Vec<LinkId>,
}

/// What is known about a link that is up.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    pub(crate) tag: Tag,
    pub(crate) joint: Joint,
    pub(crate) audit: Audit,
    /// The joint set as the overlay knows it.
    pub(crate) told: JointSet,
}

impl Tree {
    /// The tree of this peer at the start of its life: no links, no paths.
    pub fn new(config: &Config, peer: PeerId) -> Tree {
        Tree {
            config: config.clone(),
            peer,
            tag: Key::of(&peer).tag(),
            store: Store::default(),
            links: BTreeMap::new(),
            silent: IndexSet::new(),
            stopping: false,
            mismatches: 0,
            touched: Vec::new(),
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`. Joint sets come last, after the operations that they count.
    pub fn handle(&mut self, now: Time, input: Input, routes: &dyn Routes, out: &mut Vec<Output>) {
        match input {
            Input::LinkUp { link, peer, key } => self.on_link_up(link, peer, key),
            Input::LinkDown { link, dead } => self.on_link_down(link, dead, out),
            Input::LinkDoubtful { link, unacknowledged } => {
                self.on_link_doubtful(link, out);
                send_fails_around(unacknowledged, out);
            }
            Input::Operation { link, operation } => self.on_operation(now, link, operation, routes, out),
            Input::Told { link, tell } => self.on_told(now, link, tell, out),
            Input::JointSetSeen { link, joint } => self.on_joint_set_seen(now, link, joint, out),
            Input::Construct { path, via } => self.start(path, via, routes, out),
            Input::Confirm { path } => self.confirm(&path, out),
            Input::Release { path, cause } => self.release(&path, cause, out),
            Input::Fail { group, notice } => self.fail(&group, &notice, routes, out),
            Input::Silence { group } => self.silence(group),
            Input::Unsilence { group } => self.unsilence(&group),
            Input::Shutdown => self.shut_down(out),
        }
        self.tell_joint_sets(out);
    }

    /// How many segments are kept: paths that begin or end here, and carried ones.
    pub fn paths(&self) -> usize {
        self.store.len()
    }

    /// How many of these are merely carried.
    pub fn paths_as_delegate(&self) -> usize {
        self.store.carried()
    }

    /// How many paths run over a link; 0 if it is not up.
    pub fn paths_on(&self, link: LinkId) -> usize {
        self.store.on(link).len()
    }

    /// How often a joint set was found to differ from its other end's, since the start.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// Whether any path of this group is here.
    pub fn carries(&self, group: &GroupId) -> bool {
        self.store.has_group(group)
    }

    /// Every path that has a segment here, in no particular but in a reproducible order: for checkers, it walks over all of them.
    pub fn path_ids(&self) -> impl Iterator<Item = PathId> + '_ {
        self.store.numbers().map(|number| self.store.get(number).path)
    }

    /// The paths on one link, likewise.
    pub fn path_ids_on(&self, link: LinkId) -> impl Iterator<Item = PathId> + '_ {
        let on_link = self.store.on(link).iter();
        on_link.map(|&number| self.store.get(number).path)
    }

    /// The joint set of a link as this end sees it now, if the link is up.
    pub fn joint_set(&self, link: LinkId) -> Option<JointSet> {
        let up = self.links.get(&link)?;
        Some(up.joint.now(self.paths_on(link)))
    }

    /// Everything here that can grow, with its limit. Costs a walk over the links.
    pub fn bounds(&self) -> Vec<Bounded> {
        let Config {
            max_paths,
            max_paths_per_link,
            ..
        } = self.config;
        let on_links = self.links.keys().map(|link| self.store.on(*link).len());
        let listed = self.links.values().map(|link| link.audit.listed_paths());
        let histories = self.links.values().map(|link| link.joint.history_len());
        vec![
            Bounded::new("paths", self.store.len(), max_paths),
            Bounded::fullest("paths on a link", on_links, max_paths_per_link),
            Bounded::fullest("paths of a list", listed, self.most_listed()),
            Bounded::fullest("history of a joint set", histories, self.max_history()),
            Bounded::new("silent groups of the tree", self.silent.len(), MAX_SILENT),
        ]
    }

    /// Twice the paths: each may have been constructed and released within the history.
    fn max_history(&self) -> usize {
        self.config.max_paths_per_link.saturating_mul(2)
    }

    /// Checks what must hold between any two inputs, in time proportional to all paths: for tests and checkers.
    ///
    /// 1. to 5.: see the store. Further:
    ///
    /// 6. Every segment's links are up.
    /// 7. A path has no `up` link exactly at its root and no `down` link exactly at its member, and is on no link twice.
    /// 8. Every link's digest is the XOR of its paths' hashes, and its history adds up.
    /// 9. No path of a silent group is kept.
    /// 10. No limit is exceeded.
    /// 11. The overlay knows every joint set as it is.
    ///
    /// # Errors
    /// The first invariant that does not hold, by its number. That is a bug in this crate.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.store.check_invariants()?;
        for number in self.store.numbers() {
            self.check_segment(&self.store.get(number))?;
        }
        for (&id, link) in &self.links {
            let paths = self.path_ids_on(id);
            ensure(link.joint.is_consistent(paths), 8, "a digest or a history is wrong")?;
            ensure(
                self.paths_on(id) <= self.config.max_paths_per_link,
                10,
                "too many paths on a link",
            )?;
            ensure(Some(link.told) == self.joint_set(id), 11, "a joint set was not told")?;
        }
        ensure(self.paths() <= self.config.max_paths, 10, "too many paths")
    }

    fn check_segment(&self, segment: &Segment) -> Result<(), String> {
        let up = segment.links().all(|link| self.links.contains_key(&link));
        ensure(up, 6, "a segment's link is not up")?;
        let at_root = segment.path.group.root == self.peer;
        let at_member = segment.path.member == self.peer;
        ensure(segment.up.is_none() == at_root, 7, "`up` is wrong")?;
        ensure(segment.down.is_none() == at_member, 7, "`down` is wrong")?;
        ensure(segment.up != segment.down, 7, "a path turns back")?;
        let silent = self.silent.contains(&segment.path.group);
        ensure(!silent, 9, "a silent group has a path")
    }

    fn on_link_up(&mut self, link: LinkId, peer: PeerId, key: [u8; 32]) {
        self.store.add_link(link);
        let max_history = self.max_history();
        self.links.entry(link).or_insert_with(|| {
            Box::new(Link {
                peer,
                tag: Key::of(&peer).tag(),
                joint: Joint::new(key, max_history),
                audit: Audit::default(),
                told: JointSet::default(),
            })
        });
    }

    /// An operation counts as received before anything else, whatever it says: both ends must number alike.
    fn on_operation(
        &mut self,
        now: Time,
        link: LinkId,
        operation: Operation,
        routes: &dyn Routes,
        out: &mut Vec<Output>,
    ) {
        let Some(up) = self.links.get_mut(&link) else { return };
        up.joint.receive();
        self.touched.push(link);
        match operation {
            Operation::Construct { path, visited, detours } => {
                self.on_construct(link, path, visited, detours, routes, out);
            }
            Operation::Confirm { path, hops } => self.on_confirm(link, &path, hops, out),
            Operation::Release { paths } => self.on_release(link, paths, out),
            Operation::Fail { paths, notice } => self.on_fail(link, &paths, &notice, routes, out),
        }
        self.on_caught_up(now, link, out);
    }

    /// Sends one operation. Its changes of the joint set are recorded by the caller, between this and the next one.
    pub(crate) fn operate(&mut self, link: LinkId, operation: Operation, out: &mut Vec<Output>) {
        if let Some(up) = self.links.get_mut(&link) {
            up.joint.send();
            self.touched.push(link);
            out.push(Output::Operate { link, operation });
        }
    }

    /// Takes the segment of a path that the other end of `link` has removed. Unknown paths are ignored, but for what they say about our own
    /// removals on their way.
    pub(crate) fn lose(&mut self, link: LinkId, path: &PathId) -> Option<Segment> {
        let number = self.store.find(path);
        let number = number.filter(|&number| self.store.get(number).links().any(|other| other == link));
        let joint = &mut self.links.get_mut(&link)?.joint;
        let hash = joint.hash(path);
        match number {
            Some(number) => {
                joint.remove_by_them(hash);
                Some(self.store.remove(number))
            }
            None => {
                joint.cancel(hash);
                None
            }
        }
    }

    /// A joint set changed without an operation.
    pub(crate) fn touch(&mut self, link: LinkId) {
        self.touched.push(link);
    }

    /// The other end broke the protocol: the overlay shall end the link, and `LinkDown` will clean up.
    pub(crate) fn violation(&self, link: LinkId, what: &'static str, out: &mut Vec<Output>) {
        tracing::debug!(?link, what, "the other end broke the protocol");
        out.push(Output::Violation { link, what });
    }

    /// Tells the overlay every joint set that has changed, in the order of the links.
    fn tell_joint_sets(&mut self, out: &mut Vec<Output>) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for link in touched.drain(..) {
            let paths = self.store.on(link).len();
            let Some(up) = self.links.get_mut(&link) else { continue };
            let joint = up.joint.now(paths);
            if joint != up.told {
                up.told = joint;
                out.push(Output::JointSet { link, joint });
            }
        }
        self.touched = touched;
    }
}

/// An event for the groups.
pub(crate) fn tell(event: Event, out: &mut Vec<Output>) {
    out.push(Output::Event(event));
}
