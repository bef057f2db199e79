//! Receive windows: what a host keeps for a process that does not read, and where the rest waits.
//!
//! At first a host takes whatever comes, and it waits there until the process takes it. With a window its kernel keeps no more than so many bytes of each
//! connection: beyond that nothing more is sent, it waits in the sender's kernel, then in the queue of the sender's process, until that overflows. When
//! half of the window is free again, the sender hears so (a kernel also says no sooner that it has room; Clark, RFC 813). Probes of a closed window
//! and their answers keep the connection up without a limit (RFC 9293, §3.8.6.1), so they are left out. A message that has come in part does not count.

use fatebound_machine::overlay::Time;

use crate::PeerIndex;
use crate::connections::{At, Transit};
use crate::pipe::Later;
use crate::world::{Happening, World};

impl World {
    /// From now on the peer's kernel keeps so many bytes of each connection at most for its process; `None`: any number.
    pub fn set_window(&mut self, peer: PeerIndex, window: Option<usize>) {
        self.network_changes();
        self.peers[peer.0].host.window = window;
    }

    /// Bytes of this peer's fullest connection that its process has not taken.
    pub fn unread(&self, peer: PeerIndex) -> usize {
        let sides = self.peers[peer.0].host.connections.iter();
        let unread = sides.filter_map(|&(_, connection)| self.connections.side(self.end_at(peer, connection)?));
        unread.map(|side| side.unread).max().unwrap_or_default()
    }

    /// Bytes that wait at one peer for another: in queues of its process, and in its kernel until they are acknowledged. Of the fullest connection.
    pub fn unsent(&self, from: PeerIndex, to: PeerIndex) -> usize {
        let ends = self.ends_between(from, to).into_iter();
        ends.map(|at| self.connections.waiting(at)).max().unwrap_or_default()
    }

    /// What the other host would still take of this end now.
    pub(crate) fn room(&self, from: At) -> Option<usize> {
        let side = self.connections.side(from.other())?;
        let window = self.peers[side.peer.0].host.window?;
        Some(window.saturating_sub(side.unread))
    }

    /// A host keeps a message for a process that is busy.
    pub(crate) fn keep(&mut self, at: At, bytes: usize) {
        if let Some(side) = self.connections.side_mut(at) {
            side.unread += bytes;
        }
    }

    /// The process has taken it.
    pub(crate) fn took(&mut self, at: At, bytes: usize) {
        let Some(side) = self.connections.side_mut(at) else {
            return;
        };
        let before = side.unread;
        side.unread = before.saturating_sub(bytes);
        let (peer, after) = (side.peer, side.unread);
        let half = self.peers[peer.0].host.window.map(|window| window / 2);
        if let (Some(half), Some(sender)) = (half, self.other_peer(at))
            && before >= half
            && after < half
        {
            let when: Time = self.network.arrival(self.now, peer, sender, 0);
            let (from, later) = (at.other(), Later::Window);
            self.schedule(when, Happening::Transit(Transit::Pipe { from, later }));
        }
    }
}
