//! What waits for one peer from one port, or has left and is not known to have arrived.

use std::collections::VecDeque;

use super::io::Port;
use super::message::{OVERHEAD, Part, cost};

/// Bodies in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Not sent, or not sent to the end.
    bodies: VecDeque<Vec<u8>>,
    /// How much of the first has been sent, if it has been begun.
    begun: Option<usize>,
    /// Sent: where each ends on its pipe, and what it counts.
    flying: VecDeque<(u64, usize)>,
    /// What all of them count.
    cost: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, body: Vec<u8>) {
        self.cost += cost(&body);
        self.bodies.push_back(body);
    }

    /// The next part, of at most so many bytes, if so much credit is enough for it.
    pub(crate) fn next_part(&mut self, port: Port, room: usize, credit: u64) -> Option<Part> {
        let body = self.bodies.front()?;
        let (from, first) = (self.begun.unwrap_or(0), self.begun.is_none());
        let bytes = (body.len() - from).min(room);
        let needed = bytes + if first { OVERHEAD } else { 0 };
        if room == 0 || credit < needed as u64 {
            return None;
        }
        let part = Part {
            port,
            first,
            last: from + bytes == body.len(),
            bytes: body[from..from + bytes].to_vec(),
        };
        self.begun = Some(from + bytes);
        Some(part)
    }

    /// The last part of the first body has been sent, and ends here on its pipe.
    pub(crate) fn body_ends(&mut self, at: u64) {
        self.begun = None;
        if let Some(body) = self.bodies.pop_front() {
            self.flying.push_back((at, cost(&body)));
        }
    }

    /// All up to this byte of the pipe has arrived; returns what is freed by that.
    pub(crate) fn arrived(&mut self, up_to: u64) -> usize {
        let mut freed = 0;
        while let Some((_, cost)) = self.flying.pop_front_if(|(end, _)| *end <= up_to) {
            freed += cost;
        }
        self.cost -= freed;
        freed
    }

    /// Bodies that are not known to have arrived.
    pub(crate) fn len(&self) -> usize {
        self.bodies.len() + self.flying.len()
    }

    /// Whether something is still to be sent.
    pub(crate) fn waits(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// Whether something has left and is not known to have arrived.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun.is_some() || !self.flying.is_empty()
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Forgets what has not been sent to its end; returns what is freed by that.
    pub(crate) fn forget_unsent(&mut self) -> usize {
        let freed: usize = self.bodies.drain(..).map(|body| cost(&body)).sum();
        self.begun = None;
        self.cost -= freed;
        freed
    }
}
