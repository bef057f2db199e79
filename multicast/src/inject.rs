//! Putting datagrams on a wire as they were: a raw socket takes the IP header from us, and with it source, port, DSCP and time to live.

use std::io;
use std::net::SocketAddrV4;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::buffers;
use crate::capture::MARK;
use crate::interfaces::Interface;
use crate::packet::Packet;

/// `IPPROTO_RAW`: the header is in the data.
const RAW: i32 = 255;
/// What the kernel holds while the wire is busy.
const BUFFER: usize = 4 * 1024 * 1024;

/// A socket that sends.
#[derive(Debug)]
pub(crate) struct Injector {
    socket: Socket,
    mtu: usize,
}

impl Injector {
    /// For this interface.
    pub(crate) fn open(interface: &Interface) -> io::Result<Injector> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        socket.bind_device(Some(interface.name.as_bytes()))?;
        socket.set_mark(MARK)?;
        // Applications on this host hear it, too.
        socket.set_multicast_loop_v4(true)?;
        buffers::send(&socket, BUFFER)?;
        socket.set_nonblocking(true)?;
        Ok(Injector {
            socket,
            mtu: interface.mtu,
        })
    }

    /// Sends a datagram, in fragments if it is longer than the wire takes.
    pub(crate) fn inject(&self, packet: &Packet) -> io::Result<()> {
        let to = SockAddr::from(SocketAddrV4::new(packet.destination(), 0));
        for piece in packet.cut(self.mtu) {
            self.socket.send_to(&piece, &to)?;
        }
        Ok(())
    }
}

/// Whether this process may capture and inject.
pub(crate) fn allowed() -> io::Result<()> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?.set_mark(MARK)
}
