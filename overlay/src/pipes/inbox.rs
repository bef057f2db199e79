//! What has come from one peer for one port and is not read, and how much more may come.

use std::collections::VecDeque;

use super::message::{MAX_BODY, Part, cost};

/// A part that nobody who keeps the rules sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// Bodies that were told and not read, the one that is arriving, and what was granted.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    unread: VecDeque<usize>,
    unread_cost: usize,
    arriving: Option<Vec<u8>>,
    arriving_cost: usize,
    /// Granted on this pipe and not used.
    outstanding: usize,
}

impl Inbox {
    /// A part has come; returns the body that ends with it. `heard`: somebody is at the port, else all of it is forgotten.
    pub(crate) fn take(&mut self, part: Part, heard: bool) -> Result<Option<Vec<u8>>, Violation> {
        let cost = part.cost();
        self.outstanding = self.outstanding.checked_sub(cost).ok_or(Violation)?;
        if part.first || !heard {
            self.forget_arriving();
        }
        if !heard {
            return Ok(None);
        }
        if part.first {
            self.arriving = Some(Vec::new());
        }
        // The beginning was for somebody who has left.
        let Some(arriving) = &mut self.arriving else {
            return Ok(None);
        };
        if arriving.len() + part.bytes.len() > MAX_BODY {
            return Err(Violation);
        }
        arriving.extend(part.bytes);
        self.arriving_cost += cost;
        if !part.last {
            return Ok(None);
        }
        Ok(self.complete())
    }

    fn complete(&mut self) -> Option<Vec<u8>> {
        let body = self.arriving.take()?;
        self.arriving_cost = 0;
        self.unread.push_back(cost(&body));
        self.unread_cost += cost(&body);
        Some(body)
    }

    /// The oldest has been read.
    pub(crate) fn read(&mut self) {
        if let Some(cost) = self.unread.pop_front() {
            self.unread_cost -= cost;
        }
    }

    /// All that was told counts as read.
    pub(crate) fn read_all(&mut self) {
        self.unread.clear();
        self.unread_cost = 0;
    }

    fn forget_arriving(&mut self) {
        self.arriving = None;
        self.arriving_cost = 0;
    }

    /// The pipe is gone, and what was granted on it.
    pub(crate) fn pipe_ended(&mut self) {
        self.forget_arriving();
        self.outstanding = 0;
    }

    /// How much more could be granted.
    pub(crate) fn grantable(&self, window: usize) -> usize {
        window.saturating_sub(self.held() + self.outstanding)
    }

    /// Grants all of that.
    pub(crate) fn grant(&mut self, window: usize) -> u32 {
        let bytes = self.grantable(window);
        self.outstanding += bytes;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// What is here.
    pub(crate) fn held(&self) -> usize {
        self.unread_cost + self.arriving_cost
    }
}
