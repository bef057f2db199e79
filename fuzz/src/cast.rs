//! Who takes part: two honest peers, four hostile ones, and names that nobody answers to.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use fatebound_machine::overlay::{Key, Keypair, Multiaddr, PeerId, Tag};

/// Peers that are machines.
pub const HONEST: usize = 2;
/// Peers whose keys the harness holds; the honest ones come first.
const KNOWN: usize = 6;
/// All names, strangers included.
const ALL: usize = 8;

static KEYPAIRS: LazyLock<Vec<Keypair>> = LazyLock::new(|| {
    let keypair = |n| Keypair::ed25519_from_bytes([n; 32]).expect("32 bytes are an Ed25519 secret");
    (1..=ALL as u8).map(keypair).collect()
});

static PEERS: LazyLock<Vec<PeerId>> =
    LazyLock::new(|| KEYPAIRS.iter().map(|keypair| keypair.public().to_peer_id()).collect());

/// Any peer: honest, hostile, or a stranger.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Who(u8);

/// An honest one.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Honest(bool);

/// A hostile one.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Hostile(u8);

impl Who {
    /// The first of the hostile ones.
    pub const FIRST_HOSTILE: Who = Who(HONEST as u8);

    /// Its index in the cast.
    pub fn index(self) -> usize {
        usize::from(self.0) % ALL
    }

    /// Its name.
    pub fn peer(self) -> PeerId {
        peer(self.index())
    }

    /// Its key's short form.
    pub fn tag(self) -> Tag {
        Key::of(&self.peer()).tag()
    }
}

impl Honest {
    /// Its index in the cast.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Hostile {
    /// Its index in the cast.
    pub fn index(self) -> usize {
        HONEST + usize::from(self.0) % (KNOWN - HONEST)
    }
}

/// The key of somebody of the cast.
pub fn keypair(index: usize) -> &'static Keypair {
    &KEYPAIRS[index]
}

/// The name of somebody of the cast.
pub fn peer(index: usize) -> PeerId {
    PEERS[index]
}

/// Who has this name, if it is one of those who can be connected with.
pub fn index_of(peer: &PeerId) -> Option<usize> {
    PEERS[..KNOWN].iter().position(|other| other == peer)
}

/// The key with which a hostile peer signs in this name: its own if it is hostile, else a wrong one.
pub fn forger(index: usize) -> &'static Keypair {
    keypair(if (HONEST..KNOWN).contains(&index) {
        index
    } else {
        ALL - 1
    })
}

/// Where a peer lives.
pub fn address(index: usize) -> Multiaddr {
    format!("/ip4/10.0.0.{index}/tcp/4001").parse().expect("a multiaddress")
}
