//! Hearing what is sent to the carried groups on one interface: a raw socket that has joined them.
//!
//! The kernel puts fragments together, and switches that watch for joins see one. A filter keeps out what this node has put on the wire itself:
//! that carries a mark (M4).

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::buffers;
use crate::interfaces::Interface;

/// On all that is injected: the letters "fb", and nothing of meaning to anybody else.
pub(crate) const MARK: u32 = 0x6662;
/// Groups that one socket may join: `net.ipv4.igmp_max_memberships`.
const JOINS: usize = 20;
/// What the kernel holds for this node while it does something else.
const BUFFER: usize = 4 * 1024 * 1024;
/// Packets that are handed on together at most.
const BATCH: usize = 64;
/// The longest packet there is.
const LONGEST: usize = 65_535;

/// A socket that hears.
pub(crate) struct Capture {
    /// Raw, whatever its type says: the runtime knows how to wait for a datagram socket, and reading is the same.
    socket: UdpSocket,
    /// They only hold memberships.
    _joined: Vec<Socket>,
    buffer: Vec<u8>,
}

impl Capture {
    /// Begins to hear.
    pub(crate) fn open(interface: &Interface, groups: &BTreeSet<Ipv4Addr>) -> io::Result<Capture> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
        socket.attach_filter(&filter())?;
        socket.bind_device(Some(interface.name.as_bytes()))?;
        buffers::receive(&socket, BUFFER)?;
        socket.set_nonblocking(true)?;
        let groups: Vec<Ipv4Addr> = groups.iter().copied().collect();
        let on = InterfaceIndexOrAddress::Index(interface.index);
        let mut joined = Vec::new();
        for some in groups.chunks(JOINS) {
            let holder = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            for group in some {
                holder.join_multicast_v4_n(group, &on)?;
            }
            joined.push(holder);
        }
        Ok(Capture {
            socket: UdpSocket::from_std(socket.into())?,
            _joined: joined,
            buffer: vec![0; LONGEST],
        })
    }

    /// What has come, as soon as something has. Giving up on it loses nothing.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<Vec<u8>>> {
        loop {
            self.socket.readable().await?;
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                match self.socket.try_recv(&mut self.buffer) {
                    Ok(length) => batch.push(self.buffer[..length].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if batch.is_empty() => return Err(error),
                    Err(_) => break,
                }
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }
}

/// "Not with our mark, and to 224/4", for the kernel: classic BPF, as in `linux/filter.h`.
fn filter() -> [SockFilter; 7] {
    /// `SKF_AD_OFF + SKF_AD_MARK`.
    const MARK_OF_PACKET: u32 = 0xffff_f000 + 20;
    const LOAD_WORD: u16 = 0x20;
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_WORD, 0, 0, MARK_OF_PACKET),
        SockFilter::new(IF_EQUAL, 3, 0, MARK),
        SockFilter::new(LOAD_BYTE, 0, 0, 16),
        SockFilter::new(AND, 0, 0, 0xf0),
        SockFilter::new(IF_EQUAL, 1, 0, 0xe0),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, LONGEST as u32),
    ]
}
