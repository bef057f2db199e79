//! A list of peers in few bytes: every link remembers who the other end's neighbours are, and a `PeerId` in memory has room for any hash.

use libp2p_identity::PeerId;

/// How the name of an Ed25519 key begins (an identity multihash of 36 bytes, an encoded key of type 1 with 32): all but the key itself.
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Peers, one after the other, each as its key behind a zero, or as the length of its name and the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerList(Box<[u8]>);

impl PeerList {
    /// The peers of the list, in its order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PeerId> {
        self.entries().filter_map(|entry| {
            let name = match entry.split_first()? {
                (0, key) => &[&ED25519, key].concat(),
                (_, name) => name,
            };
            PeerId::from_bytes(name).ok()
        })
    }

    /// Whether a peer is in the list.
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        let mut wanted = Vec::new();
        put(&mut wanted, peer);
        self.entries().any(|entry| *entry == wanted)
    }

    /// Whether nobody is in the list.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries().count()
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let length = match *rest.first()? {
                0 => 32,
                length => usize::from(length),
            };
            let (entry, others) = rest.split_at_checked(1 + length)?;
            rest = others;
            Some(entry)
        })
    }
}

fn put(bytes: &mut Vec<u8>, peer: &PeerId) {
    let name = peer.to_bytes();
    match name.strip_prefix(&ED25519) {
        Some(key) if key.len() == 32 => {
            bytes.push(0);
            bytes.extend(key);
        }
        _ => {
            // A `PeerId` has 66 bytes at most.
            bytes.push(name.len() as u8);
            bytes.extend(name);
        }
    }
}

impl<'a> FromIterator<&'a PeerId> for PeerList {
    fn from_iter<I: IntoIterator<Item = &'a PeerId>>(peers: I) -> PeerList {
        let mut bytes = Vec::new();
        peers.into_iter().for_each(|peer| put(&mut bytes, peer));
        PeerList(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;

    #[test]
    fn whoever_is_put_in_is_found_again_in_order() {
        let peer = |n| Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id();
        let hashed = multiaddr::multihash::Multihash::<64>::wrap(0x12, &[9; 32]).unwrap();
        let other = PeerId::from_multihash(hashed).unwrap();
        let peers = [peer(3), other, peer(1), peer(2)];
        let list: PeerList = peers.iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), peers);
        assert!(peers.iter().all(|peer| list.contains(peer)) && !list.contains(&peer(4)));
        assert!(!list.is_empty() && PeerList::default().is_empty());
        assert_eq!(list.0.len(), 3 * 33 + 35);
    }
}
