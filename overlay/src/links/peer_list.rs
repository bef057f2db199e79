//! A list of peers in few bytes: every link remembers who the other end's neighbours are, and a `PeerId` in memory has room for any hash.

use libp2p_identity::PeerId;

/// Peers, one after the other, each as the length of its name and the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerList(Box<[u8]>);

impl PeerList {
    /// The peers of the list, in its order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PeerId> {
        self.names().filter_map(|name| PeerId::from_bytes(name).ok())
    }

    /// Whether a peer is in the list.
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        let wanted = peer.to_bytes();
        self.names().any(|name| *name == wanted)
    }

    /// Whether nobody is in the list.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (&length, names) = rest.split_first()?;
            let (name, others) = names.split_at_checked(length.into())?;
            rest = others;
            Some(name)
        })
    }
}

impl<'a> FromIterator<&'a PeerId> for PeerList {
    fn from_iter<I: IntoIterator<Item = &'a PeerId>>(peers: I) -> PeerList {
        let mut bytes = Vec::new();
        for name in peers.into_iter().map(|peer| peer.to_bytes()) {
            // A `PeerId` has 66 bytes at most.
            bytes.push(name.len() as u8);
            bytes.extend(name);
        }
        PeerList(bytes.into())
    }
}

impl PeerList {
    pub(crate) fn len(&self) -> usize {
        self.names().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;

    #[test]
    fn whoever_is_put_in_is_found_again_in_order() {
        let peer = |n| Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id();
        let peers = [peer(3), peer(1), peer(2)];
        let list: PeerList = peers.iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), peers);
        assert!(list.contains(&peer(1)) && !list.contains(&peer(4)));
        assert!(!list.is_empty() && PeerList::default().is_empty());
        assert_eq!(list.0.len(), 3 * 39);
    }
}
