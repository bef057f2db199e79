//! Buffers in the kernel of a size that is meant: an ordinary request is cut, silently, to `net.core.rmem_max` and `wmem_max`, often 208 KiB.

use std::io;

use rustix::net::sockopt;
use socket2::Socket;

/// As much as this for what comes; as much as the system gives to anybody without CAP_NET_ADMIN.
pub(crate) fn receive(socket: &Socket, bytes: usize) -> io::Result<()> {
    match sockopt::set_socket_recv_buffer_size_force(socket, bytes) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_recv_buffer_size(bytes),
    }
}

/// The same for what goes.
pub(crate) fn send(socket: &Socket, bytes: usize) -> io::Result<()> {
    match sockopt::set_socket_send_buffer_size_force(socket, bytes) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_send_buffer_size(bytes),
    }
}
