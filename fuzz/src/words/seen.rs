//! Groups and paths that a hostile peer speaks of: those it has seen, or others.

use arbitrary::Arbitrary;
use fatebound_machine::overlay::message::Routed;
use fatebound_machine::overlay::{PeerId, Tag};
use fatebound_machine::tree::{GroupId, PathId};

use crate::cast::Who;

/// What hostile peers have seen so far, to say again.
#[derive(Debug, Default)]
pub struct Seen {
    /// Groups that anybody spoke of.
    pub groups: Vec<GroupId>,
    /// Paths that came over a link.
    pub paths: Vec<PathId>,
    /// Routed questions: who asked, and with what number.
    pub questions: Vec<(PeerId, u64, Vec<Tag>)>,
}

/// More is forgotten.
const REMEMBERED: usize = 32;

impl Seen {
    /// A group was named.
    pub fn group(&mut self, group: GroupId) {
        remember(&mut self.groups, group);
    }

    /// A path was named.
    pub fn path(&mut self, path: PathId) {
        self.group(path.group);
        remember(&mut self.paths, path);
    }

    /// A question passed.
    pub fn question(&mut self, routed: &Routed) {
        remember(
            &mut self.questions,
            (routed.body.from, routed.body.number, routed.visited.clone()),
        );
    }
}

fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        if list.len() == REMEMBERED {
            list.remove(0);
        }
        list.push(item);
    }
}

/// A group that was seen, or one made up.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Group {
    /// One of the seen ones.
    Seen(u8),
    /// One of this root.
    Of(Who, u8, u64),
}

impl Group {
    /// Which.
    pub fn of(self, seen: &Seen) -> GroupId {
        match self {
            Group::Seen(at) if !seen.groups.is_empty() => seen.groups[usize::from(at) % seen.groups.len()],
            Group::Seen(at) => Group::Of(HOSTILE_ROOT, 1, at.into()).of(seen),
            Group::Of(root, incarnation, sequence) => GroupId {
                root: root.peer(),
                incarnation: incarnation.into(),
                sequence,
            },
        }
    }
}

/// Any invented group's root when nothing was seen: unimportant, it only has to be somebody.
const HOSTILE_ROOT: Who = Who::FIRST_HOSTILE;

/// A path that was seen, or one made up.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Path {
    /// One of the seen ones.
    Seen(u8),
    /// One of the seen ones with another epoch.
    Again(u8, i8),
    /// This one.
    Of(Group, Who, u8),
    /// With an epoch of any size.
    Late(Group, Who, u32),
}

impl Path {
    pub(super) fn of(self, seen: &Seen) -> PathId {
        let known = |at: u8| seen.paths.get(usize::from(at) % seen.paths.len().max(1)).copied();
        match self {
            Path::Seen(at) => known(at).unwrap_or_else(|| Path::Of(Group::Seen(at), HOSTILE_ROOT, 1).of(seen)),
            Path::Again(at, off) => {
                let path = Path::Seen(at).of(seen);
                let epoch = path.epoch.wrapping_add_signed(off.into());
                PathId { epoch, ..path }
            }
            Path::Of(group, member, epoch) => Path::Late(group, member, epoch.into()).of(seen),
            Path::Late(group, member, epoch) => PathId {
                group: group.of(seen),
                member: member.peer(),
                epoch,
            },
        }
    }
}
