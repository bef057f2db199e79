//! Names, their keys, and the signed records that stand under them (protocol.md §3.1, D1 to D3).

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use crate::{Key, Rule};
use crate::{Scheme, Signer};

/// Bytes of a name's text at most.
pub const MAX_TEXT: usize = 128;
/// Bytes of a record's body at most.
pub const MAX_BODY: usize = 2048;
/// Who may replace a record, at most.
pub const MAX_SIGNERS: usize = 16;
/// Bytes of a `PeerId` at most, for the weights of records.
const PEER: usize = 44;
/// Bytes of everything in a record whose length does not vary, with its signature, at most.
const FIXED: usize = 160;
/// What the heaviest record weighs.
pub(crate) const MAX_WEIGHT: usize = MAX_TEXT + MAX_BODY + (MAX_SIGNERS + 1) * PEER + FIXED;

/// What the signature of a record covers besides the record, so that it cannot pass for anything else.
const CONTEXT: &[u8] = b"fatebound directory record 1";
/// Of the keys of names.
const KEY_CONTEXT: &str = "fatebound directory key 1";

/// What sort of thing a name names: names of different kinds have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind(pub u16);

impl Kind {
    /// A text that somebody published for others to read.
    pub const TEXT: Kind = Kind(0);
    /// Who leads the process group of this name.
    pub const PROCESS_GROUP: Kind = Kind(1);
}

/// A name in the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Of what.
    pub kind: Kind,
    /// 1 to [`MAX_TEXT`] bytes.
    pub text: String,
}

impl Name {
    /// A name of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Name {
        Name {
            kind,
            text: text.into(),
        }
    }

    /// Where it stands on the ring of this network.
    pub fn key(&self, network: &str) -> Key {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&self.kind.0.to_be_bytes());
        for part in [network, &self.text] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Key::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Whether its length is allowed.
    pub fn is_within_limits(&self) -> bool {
        (1..=MAX_TEXT).contains(&self.text.len())
    }
}

/// Which of two records of a name is later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Which founding of what the name names.
    pub incarnation: u32,
    /// Which state since then.
    pub view: u64,
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The name.
    pub name: Name,
    /// A later one is later.
    pub order: Order,
    /// Of one publisher's records of the same order the one with the larger number counts: it grows with each refresh.
    pub number: u64,
    /// Who says so.
    pub publisher: PeerId,
    /// Who may replace it, the publisher among them; at most [`MAX_SIGNERS`].
    pub signers: Vec<PeerId>,
    /// Milliseconds that it lasts unless it is refreshed.
    pub lifetime: u32,
    /// What the name named is dissolved.
    pub tombstone: bool,
    /// Of the layer above; at most [`MAX_BODY`] bytes.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What a record is to another one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It may replace it.
    Replaces,
    /// It is the same publication.
    Same,
    /// The other one may replace it, or has.
    Older,
    /// Neither may replace the other: a conflict.
    Stranger,
}

impl Record {
    /// Whether everything in it is within its limits.
    pub fn is_within_limits(&self) -> bool {
        self.name.is_within_limits()
            && self.signers.len() <= MAX_SIGNERS
            && self.signers.contains(&self.publisher)
            && self.body.len() <= MAX_BODY
            && self.lifetime > 0
    }

    /// Bytes that it takes, about and at least.
    pub(crate) fn weight(&self) -> usize {
        self.name.text.len() + self.body.len() + (self.signers.len() + 1) * PEER + FIXED
    }

    /// "◆ A later order, published by one of the signers of the record that is there; a larger number of the same publisher and order"
    /// (protocol.md §3.1, D3); "◆ anybody may replace [a tombstone], but only under a larger incarnation" (D10).
    pub(crate) fn relation(&self, other: &Record) -> Relation {
        if self.publisher == other.publisher && self.order == other.order {
            return match self.number.cmp(&other.number) {
                std::cmp::Ordering::Greater => Relation::Replaces,
                std::cmp::Ordering::Equal => Relation::Same,
                std::cmp::Ordering::Less => Relation::Older,
            };
        }
        if self.supersedes(other) {
            return Relation::Replaces;
        }
        if other.supersedes(self) {
            return Relation::Older;
        }
        Relation::Stranger
    }

    fn supersedes(&self, other: &Record) -> bool {
        let signed = other.signers.contains(&self.publisher) || !Rule::DirectorySigners.holds();
        let founded_anew =
            self.order.incarnation > other.order.incarnation || !Rule::DirectoryLargerIncarnation.holds();
        match other.tombstone {
            true => founded_anew,
            false => signed && self.order > other.order,
        }
    }
}

/// A [`Record`] with the signature of its publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    record: Record,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

impl Entry {
    /// Signs a record of our own. `record.publisher` must be the signer.
    pub fn sign(record: Record, network: &str, signer: &impl Signer) -> Entry {
        let signature = signer.sign_for(CONTEXT, &covered(&record, network));
        Entry { record, signature }
    }

    /// Whether the publisher has signed it, for this network.
    pub fn is_genuine(&self, network: &str, scheme: &dyn Scheme) -> bool {
        scheme.verify(
            &self.record.publisher,
            CONTEXT,
            &covered(&self.record, network),
            &self.signature,
        )
    }

    /// What it says.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record alone.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Tells publications of a name apart.
    pub(crate) fn digest(&self) -> u64 {
        let hash = blake3::hash(&covered(&self.record, ""));
        let mut head = [0; 8];
        head.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(head)
    }
}

fn covered(record: &Record, network: &str) -> Vec<u8> {
    postcard::to_stdvec(&(network, record)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Ed25519, Keypair};

    pub(crate) fn keypair(n: u8) -> Keypair {
        Keypair::ed25519_from_bytes([n; 32]).unwrap()
    }

    pub(crate) fn peer(n: u8) -> PeerId {
        keypair(n).public().to_peer_id()
    }

    pub(crate) fn name(text: &str) -> Name {
        Name::new(Kind::TEXT, text)
    }

    /// Published by peer `n`, who alone may replace it.
    pub(crate) fn record(n: u8, incarnation: u32, view: u64) -> Record {
        Record {
            name: name("db"),
            order: Order { incarnation, view },
            number: 1,
            publisher: peer(n),
            signers: vec![peer(n)],
            lifetime: 60_000,
            tombstone: false,
            body: b"here".to_vec(),
        }
    }

    #[test]
    fn a_name_has_one_key_in_each_network_and_for_each_kind() {
        let db = name("db");
        assert_eq!(db.key("a"), name("db").key("a"));
        assert_ne!(db.key("a"), db.key("b"));
        assert_ne!(db.key("a"), Name::new(Kind::PROCESS_GROUP, "db").key("a"));
        assert_ne!(name("bc").key("a"), name("c").key("ab"), "no text runs into the next");
        assert!(!name("").is_within_limits() && name(&"x".repeat(128)).is_within_limits());
        assert!(!name(&"x".repeat(129)).is_within_limits());
    }

    #[test]
    fn a_record_is_genuine_only_as_its_publisher_signed_it() {
        let entry = Entry::sign(record(1, 1, 1), "net", &keypair(1));
        assert!(entry.is_genuine("net", &Ed25519) && !entry.is_genuine("other", &Ed25519));
        let mut changed = entry.clone();
        changed.record.body = b"there".to_vec();
        assert!(!changed.is_genuine("net", &Ed25519));
        assert!(!Entry::sign(record(1, 1, 1), "net", &keypair(2)).is_genuine("net", &Ed25519));
        assert_ne!(entry.digest(), changed.digest());
    }

    #[test]
    fn what_is_beyond_a_limit_is_seen() {
        let broken = |change: fn(&mut Record)| {
            let mut record = record(1, 1, 1);
            change(&mut record);
            !record.is_within_limits()
        };
        assert!(!broken(|_| {}));
        assert!(broken(|record| record.body = vec![0; MAX_BODY + 1]));
        assert!(broken(|record| record.signers = vec![peer(2)]));
        assert!(broken(|record| record.signers = vec![peer(1); MAX_SIGNERS + 1]));
        assert!(broken(|record| record.lifetime = 0));
        assert!(broken(|record| record.name.text.clear()));
    }

    /// The heaviest record, as it travels, is no longer than its weight says.
    #[test]
    fn no_record_is_heavier_than_the_heaviest() {
        let heaviest = Record {
            name: name(&"x".repeat(MAX_TEXT)),
            order: Order {
                incarnation: u32::MAX,
                view: u64::MAX,
            },
            number: u64::MAX,
            signers: vec![peer(1); MAX_SIGNERS],
            lifetime: u32::MAX,
            body: vec![0; MAX_BODY],
            ..record(1, 1, 1)
        };
        assert!(heaviest.is_within_limits());
        assert_eq!(heaviest.weight(), MAX_WEIGHT);
        let entry = Entry::sign(heaviest, "net", &keypair(1));
        let bytes = postcard::to_stdvec(&entry).unwrap().len();
        assert!(bytes <= MAX_WEIGHT, "{bytes} of {MAX_WEIGHT}");
    }

    #[test]
    fn a_record_is_replaced_by_its_signers_alone() {
        let first = record(1, 1, 1);
        assert_eq!(record(1, 1, 2).relation(&first), Relation::Replaces);
        assert_eq!(
            record(1, 2, 0).relation(&first),
            Relation::Replaces,
            "a later founding by the same"
        );
        assert_eq!(record(2, 9, 9).relation(&first), Relation::Stranger, "however late");
        assert_eq!(record(2, 0, 0).relation(&first), Relation::Stranger, "however early");
        let mut shared = first.clone();
        shared.signers.push(peer(2));
        assert_eq!(record(2, 1, 2).relation(&shared), Relation::Replaces);
        assert_eq!(shared.relation(&record(2, 1, 2)), Relation::Older, "it was replaced");
        assert_eq!(record(2, 1, 1).relation(&shared), Relation::Stranger, "not later");
    }

    #[test]
    fn of_one_publisher_and_order_the_larger_number_counts() {
        let first = record(1, 1, 1);
        let mut second = first.clone();
        second.number = 2;
        assert_eq!(second.relation(&first), Relation::Replaces);
        assert_eq!(first.relation(&second), Relation::Older);
        assert_eq!(first.relation(&first), Relation::Same);
    }

    #[test]
    fn a_tombstone_gives_way_to_any_larger_incarnation_and_to_nothing_else() {
        let mut grave = record(1, 5, 7);
        grave.tombstone = true;
        assert_eq!(record(2, 6, 0).relation(&grave), Relation::Replaces);
        assert_eq!(record(2, 5, 9).relation(&grave), Relation::Stranger);
        assert_eq!(
            record(1, 5, 8).relation(&grave),
            Relation::Stranger,
            "not even to its publisher"
        );
        assert_eq!(grave.relation(&record(1, 5, 6)), Relation::Replaces);
        assert_eq!(record(1, 5, 6).relation(&grave), Relation::Older);
    }
}
