//! One multicast datagram as it travels: an IPv4 packet with UDP in it, whole, checked, and with a finished checksum.
//!
//! What is captured is not always fit to be sent again. A sender leaves the UDP checksum to its network card, and on a virtual one nobody ever
//! computes it: what is stored then is the sum of the pseudo header alone, and a receiver elsewhere would drop the datagram. It is completed here;
//! a checksum that is neither right nor unfinished is a damaged datagram, which goes no further.

use std::net::Ipv4Addr;

use thiserror::Error;

/// Bytes of an IPv4 header without options, the only one that is carried.
const HEADER: usize = 20;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// UDP's number among the protocols over IP.
const UDP: u8 = 17;
/// The flag "may not be cut", in the second half of the header's first two words.
const DO_NOT_FRAGMENT: u8 = 0x40;
/// Bytes of the longest packet that is carried: with its frame it has to fit a body of a pipe.
pub const MAX_PACKET: usize = 65_000;

/// What two copies of one datagram have in common: addresses, ports, payload. Neither the time to live, which every hop changes, nor the
/// identification, which the kernel may fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// Why a packet is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Reject {
    /// It is no whole UDP datagram over IPv4 to a multicast address.
    #[error("it is no whole UDP datagram over IPv4 to a group")]
    NotUdp,
    /// It has IP options.
    #[error("it has IP options")]
    Options,
    /// Its checksum is wrong.
    #[error("its checksum is wrong")]
    Damaged,
    /// It is longer than 65,000 bytes.
    #[error("it is longer than {MAX_PACKET} bytes")]
    TooLong,
}

/// A packet.
///
/// Invariants: 28 to [`MAX_PACKET`] bytes; an IPv4 header of 20 bytes whose length is that of the packet, not a fragment; UDP whose length is that of the
/// rest; to an address in 224/4; the UDP checksum is right, or zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Packet {
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = (self.source(), self.destination());
        let (sport, port, length) = (self.source_port(), self.port(), self.bytes.len());
        write!(
            f,
            "Packet({from}:{sport} > {to}:{port}, ttl {}, {length} bytes)",
            self.ttl()
        )
    }
}

impl Packet {
    /// Takes what was captured, or has come through a tunnel, if it can be carried.
    ///
    /// # Errors
    /// See [`Reject`].
    pub fn parse(mut bytes: Vec<u8>) -> Result<Packet, Reject> {
        if bytes.len() < HEADER + UDP_HEADER || bytes[0] >> 4 != 4 || bytes[9] != UDP {
            return Err(Reject::NotUdp);
        }
        if bytes[0] & 15 != 5 {
            return Err(Reject::Options);
        }
        let length = usize::from(u16_at(&bytes, 2));
        if length < HEADER + UDP_HEADER || length > bytes.len() {
            return Err(Reject::NotUdp);
        }
        if length > MAX_PACKET {
            return Err(Reject::TooLong);
        }
        // A short frame on a wire is filled up to the least that it may have.
        bytes.truncate(length);
        let fragment = u16_at(&bytes, 6) & 0x3fff != 0;
        let whole = usize::from(u16_at(&bytes, HEADER + 4)) == length - HEADER;
        if fragment || !whole || bytes[16] & 0xf0 != 0xe0 {
            return Err(Reject::NotUdp);
        }
        complete(&mut bytes)?;
        Ok(Packet { bytes })
    }

    /// The bytes, from the IP header on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who sent it.
    pub fn source(&self) -> Ipv4Addr {
        address_at(&self.bytes, 12)
    }

    /// Its group.
    pub fn destination(&self) -> Ipv4Addr {
        address_at(&self.bytes, 16)
    }

    /// The port that it was sent from.
    pub fn source_port(&self) -> u16 {
        u16_at(&self.bytes, HEADER)
    }

    /// The port that it is sent to.
    pub fn port(&self) -> u16 {
        u16_at(&self.bytes, HEADER + 2)
    }

    /// Over how many routers it may still go.
    pub fn ttl(&self) -> u8 {
        self.bytes[8]
    }

    /// The same with another time to live. The header's own checksum is the kernel's to compute.
    pub fn with_ttl(mut self, ttl: u8) -> Packet {
        self.bytes[8] = ttl;
        self
    }

    /// What it has in common with its copies.
    pub fn key(&self) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.bytes[12..HEADER + 4]);
        hasher.update(&self.bytes[HEADER + UDP_HEADER..]);
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Key(u64::from_be_bytes(first))
    }

    /// As it may be put on a wire whose packets have so many bytes at most: itself, or fragments of it. One that may not be cut is cut all the same: whoever
    /// sent it found no smaller wire on its way, and would not be told of this one.
    pub fn cut(&self, mtu: usize) -> Vec<Vec<u8>> {
        if self.bytes.len() <= mtu {
            return vec![self.bytes.clone()];
        }
        // Fragments begin at multiples of eight bytes.
        let step = (mtu.max(HEADER + UDP_HEADER) - HEADER) / 8 * 8;
        let payload = &self.bytes[HEADER..];
        let pieces = payload.chunks(step).enumerate();
        pieces
            .map(|(at, piece)| self.fragment(at * step, piece, (at + 1) * step < payload.len()))
            .collect()
    }

    fn fragment(&self, offset: usize, piece: &[u8], more: bool) -> Vec<u8> {
        let mut bytes = self.bytes[..HEADER].to_vec();
        bytes.extend_from_slice(piece);
        put_u16(&mut bytes, 2, HEADER + piece.len());
        if u16_at(&bytes, 4) == 0 {
            // The kernel would give each fragment an identification of its own.
            put_u16(&mut bytes, 4, usize::from(self.key().0 as u16 | 1));
        }
        bytes[6] &= !DO_NOT_FRAGMENT;
        put_u16(&mut bytes, 6, (offset / 8) | if more { 0x2000 } else { 0 });
        bytes
    }
}

/// Leaves a right checksum as it is, finishes one that was left to hardware.
fn complete(bytes: &mut [u8]) -> Result<(), Reject> {
    let stored = u16_at(bytes, HEADER + 6);
    if stored == 0 {
        return Ok(());
    }
    let length = u32::try_from(bytes.len() - HEADER).unwrap_or(u32::MAX);
    let pseudo = sum(&bytes[12..HEADER], u32::from(UDP) + length);
    if fold(sum(&bytes[HEADER..], pseudo)) == 0xffff {
        return Ok(());
    }
    if stored != fold(pseudo) {
        return Err(Reject::Damaged);
    }
    put_u16(bytes, HEADER + 6, 0);
    let whole = !fold(sum(&bytes[HEADER..], pseudo));
    put_u16(bytes, HEADER + 6, usize::from(if whole == 0 { 0xffff } else { whole }));
    Ok(())
}

fn sum(bytes: &[u8], start: u32) -> u32 {
    let mut pairs = bytes.chunks_exact(2);
    // At most 32,768 times 65,535: it does not overflow.
    let whole: u32 = pairs
        .by_ref()
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let last = pairs.remainder().first().map_or(0, |&last| u32::from(last) << 8);
    start + whole + last
}

fn fold(mut sum: u32) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put_u16(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

fn address_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a sender's kernel makes of a payload; the checksum is left to hardware.
    pub(crate) fn raw(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), ttl: u8, payload: &[u8]) -> Vec<u8> {
        let length = HEADER + UDP_HEADER + payload.len();
        let mut bytes = vec![0; HEADER + UDP_HEADER];
        bytes[0] = 0x45;
        put_u16(&mut bytes, 2, length);
        bytes[6] = DO_NOT_FRAGMENT;
        bytes[8] = ttl;
        bytes[9] = UDP;
        bytes[12..16].copy_from_slice(&from.0.octets());
        bytes[16..20].copy_from_slice(&to.0.octets());
        put_u16(&mut bytes, HEADER, from.1.into());
        put_u16(&mut bytes, HEADER + 2, to.1.into());
        put_u16(&mut bytes, HEADER + 4, length - HEADER);
        bytes.extend_from_slice(payload);
        let pseudo = sum(&bytes[12..HEADER], u32::from(UDP) + (length - HEADER) as u32);
        put_u16(&mut bytes, HEADER + 6, fold(pseudo).into());
        bytes
    }

    fn example(payload: &[u8]) -> Vec<u8> {
        let from = (Ipv4Addr::new(10, 1, 0, 1), 4444);
        raw(from, (Ipv4Addr::new(239, 5, 5, 5), 5000), 7, payload)
    }

    #[test]
    fn an_unfinished_checksum_is_completed_and_a_right_one_stays() {
        let unfinished = example(b"hello");
        let packet = Packet::parse(unfinished.clone()).unwrap();
        assert_ne!(packet.bytes()[26..28], unfinished[26..28]);
        let again = Packet::parse(packet.bytes().to_vec()).unwrap();
        assert_eq!(again, packet);
    }

    #[test]
    fn no_checksum_is_right_and_a_wrong_one_is_not() {
        let mut bytes = example(b"hello");
        put_u16(&mut bytes, 26, 0);
        assert!(Packet::parse(bytes.clone()).is_ok());
        put_u16(&mut bytes, 26, 0x1234);
        assert_eq!(Packet::parse(bytes), Err(Reject::Damaged));
    }

    #[test]
    fn what_is_in_it_is_read() {
        let packet = Packet::parse(example(b"x")).unwrap();
        assert_eq!(packet.source(), Ipv4Addr::new(10, 1, 0, 1));
        assert_eq!(packet.destination(), Ipv4Addr::new(239, 5, 5, 5));
        assert_eq!((packet.source_port(), packet.port(), packet.ttl()), (4444, 5000, 7));
    }

    #[test]
    fn copies_have_one_key_whatever_their_time_to_live_and_others_have_another() {
        let packet = Packet::parse(example(b"x")).unwrap();
        assert_eq!(packet.clone().with_ttl(3).key(), packet.key());
        assert_ne!(Packet::parse(example(b"y")).unwrap().key(), packet.key());
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let changed = |at: usize, value: u8| {
            let mut bytes = example(b"hello");
            bytes[at] = value;
            Packet::parse(bytes)
        };
        assert_eq!(changed(0, 0x65), Err(Reject::NotUdp));
        assert_eq!(changed(0, 0x46), Err(Reject::Options));
        assert_eq!(changed(9, 6), Err(Reject::NotUdp));
        assert_eq!(changed(6, 0x20), Err(Reject::NotUdp));
        assert_eq!(changed(16, 10), Err(Reject::NotUdp));
        assert_eq!(changed(3, 200), Err(Reject::NotUdp));
        assert_eq!(changed(25, 200), Err(Reject::NotUdp));
        assert_eq!(Packet::parse(example(&vec![0; MAX_PACKET])), Err(Reject::TooLong));
        assert_eq!(Packet::parse(Vec::new()), Err(Reject::NotUdp));
    }

    proptest! {
        /// Whatever bytes come, nothing panics, and what is taken is taken again unchanged.
        #[test]
        fn what_is_taken_once_is_taken_again(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(bytes) {
                prop_assert_eq!(Packet::parse(packet.bytes().to_vec()), Ok(packet));
            }
        }

        #[test]
        fn fragments_fit_and_make_the_whole(size in 0usize..9000, mtu in 68usize..2000) {
            let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let packet = Packet::parse(example(&payload)).unwrap();
            let pieces = packet.cut(mtu);
            let mut whole = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                prop_assert!(piece.len() <= mtu);
                prop_assert_eq!(usize::from(u16_at(piece, 2)), piece.len());
                if pieces.len() > 1 {
                    prop_assert_eq!(usize::from(u16_at(piece, 6) & 0x1fff) * 8, whole.len());
                    prop_assert_eq!(u16_at(piece, 6) & 0x2000 != 0, at + 1 < pieces.len());
                    prop_assert_eq!(u16_at(piece, 4), u16_at(&pieces[0], 4));
                    prop_assert_ne!(u16_at(piece, 4), 0);
                }
                whole.extend_from_slice(&piece[HEADER..]);
            }
            prop_assert_eq!(&whole, &packet.bytes()[HEADER..]);
        }
    }
}
