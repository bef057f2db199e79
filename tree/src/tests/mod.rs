//! Several trees in one world: whole paths, crossings, lies, random runs.

mod audits;
mod fails;
mod lies;
mod paths;
mod properties;
mod random;
mod scale;
mod world;

use fatebound_overlay::{Key, PeerId, Tag};

pub(crate) use world::World;

use crate::{GroupId, PathId};

/// A peer id without the cost of a key pair: the identity multihash of an Ed25519 public key.
pub(crate) fn peer(number: u8) -> PeerId {
    let mut bytes = vec![0x00, 36, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([number; 32]);
    PeerId::from_bytes(&bytes).expect("the shape of a peer id")
}

pub(crate) fn tag(number: u8) -> Tag {
    Key::of(&peer(number)).tag()
}

pub(crate) fn group(root: u8, sequence: u64) -> GroupId {
    GroupId {
        root: peer(root),
        incarnation: 77,
        sequence,
    }
}

/// A path of the root's first group.
pub(crate) fn path(root: u8, member: u8, epoch: u32) -> PathId {
    path_of(group(root, 1), member, epoch)
}

pub(crate) fn path_of(group: GroupId, member: u8, epoch: u32) -> PathId {
    PathId {
        group,
        member: peer(member),
        epoch,
    }
}
