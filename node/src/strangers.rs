//! Addresses where somebody else answered than was looked for.
//!
//! Hosts with the same private networks, of containers above all, tell the same addresses: dialled from another one, they lead to whoever
//! has them there. Each such dial is a handshake in vain, and ends the attempts at the peer's other addresses that go beside it.

use std::collections::HashMap;
use std::time::Duration;

use fatebound_machine::overlay::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::dials::bare;

/// So long such an address is left out.
const LEFT_OUT: Duration = Duration::from_secs(120);
/// Kept at most; further ones are dialled in vain again.
const MAX: usize = 1024;

/// Who does not live where.
#[derive(Debug, Default)]
pub(crate) struct Strangers(HashMap<(PeerId, Multiaddr), Instant>);

impl Strangers {
    /// Somebody else than this peer answered there.
    pub(crate) fn met(&mut self, wanted: PeerId, address: &Multiaddr) {
        self.0.retain(|_, met| met.elapsed() < LEFT_OUT);
        if self.0.len() < MAX {
            self.0.insert((wanted, bare(address)), Instant::now());
        }
    }

    /// Takes the addresses out where lately somebody else answered, unless no other one would be left: that one may be right by now.
    pub(crate) fn leave_out(&self, wanted: &PeerId, addresses: &mut Vec<Multiaddr>) -> Vec<Multiaddr> {
        let lately = |address: &Multiaddr| {
            let met = self.0.get(&(*wanted, bare(address)));
            met.is_some_and(|met| met.elapsed() < LEFT_OUT)
        };
        if addresses.iter().all(lately) {
            return Vec::new();
        }
        addresses.extract_if(.., |address| lately(address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_of_somebody_else_is_left_out_for_a_while_if_there_is_another() {
        let address = |port: u16| -> Multiaddr { format!("/ip4/172.17.0.1/tcp/{port}").parse().unwrap() };
        let (wanted, other) = (PeerId::random(), PeerId::random());
        let mut strangers = Strangers::default();
        strangers.met(wanted, &address(1));
        let left = |strangers: &Strangers, peer: &PeerId, ports: &[u16]| {
            let mut addresses: Vec<_> = ports.iter().map(|port| address(*port)).collect();
            strangers.leave_out(peer, &mut addresses);
            addresses.len()
        };
        assert_eq!(left(&strangers, &wanted, &[1, 2]), 1);
        assert_eq!(
            left(&strangers, &other, &[1, 2]),
            2,
            "it may be right for somebody else"
        );
        assert_eq!(left(&strangers, &wanted, &[1]), 1, "better than none");
        tokio::time::advance(LEFT_OUT).await;
        assert_eq!(left(&strangers, &wanted, &[1, 2]), 2);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let mut strangers = Strangers::default();
        let address: Multiaddr = "/ip4/172.17.0.1/tcp/1".parse().unwrap();
        for _ in 0..2 * MAX {
            strangers.met(PeerId::random(), &address);
        }
        assert_eq!(strangers.0.len(), MAX);
    }
}
