//! How the API names nodes and providers of process groups.

use fatebound::PeerId;
use fatebound::process_group::{Epoch, GroupNode, ProviderId};

/// `<PeerId>.<incarnation>.<serial>`, fit for a path.
pub fn provider(id: ProviderId) -> String {
    format!("{}.{:016x}.{}", id.node.peer, id.node.incarnation, id.serial)
}

/// The provider that is named so.
pub fn parse_provider(text: &str) -> Option<ProviderId> {
    let mut parts = text.split('.');
    let (peer, incarnation, serial) = (parts.next()?, parts.next()?, parts.next()?);
    let node = GroupNode {
        peer: peer.parse::<PeerId>().ok()?,
        incarnation: u64::from_str_radix(incarnation, 16).ok()?,
    };
    let serial = serial.parse().ok()?;
    parts.next().is_none().then_some(ProviderId { node, serial })
}

/// A node, by its peer: no view has two lives of one.
pub fn node(node: GroupNode) -> String {
    node.peer.to_string()
}

/// An epoch as the decimal number that it is.
pub fn epoch(epoch: Epoch) -> String {
    epoch.number().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_named_and_found_by_its_name() {
        let peer = fatebound::Keypair::ed25519_from_bytes([1; 32])
            .unwrap()
            .public()
            .to_peer_id();
        let node = GroupNode {
            peer,
            incarnation: 0xab,
        };
        let id = ProviderId { node, serial: 7 };
        let name = provider(id);
        assert_eq!(name, format!("{peer}.00000000000000ab.7"));
        assert_eq!(parse_provider(&name), Some(id));
        for wrong in ["", "a.b.c", "7", &format!("{name}.1"), &format!("{peer}.ab")] {
            assert_eq!(parse_provider(wrong), None, "{wrong}");
        }
    }
}
