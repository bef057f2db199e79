//! The entries of the view as the stream sees them.

use super::Views;
use super::state::{Member, Standing};
use crate::log::{Entry, Log};
use crate::numbers::Seq;
use crate::stream::Shelf;
use crate::view::View;

impl Views {
    /// The view in which this node is, as long as it is open.
    fn open_member(&mut self) -> Option<&mut Member> {
        match &mut self.standing {
            Standing::Member(member) if member.is_normal() => Some(member),
            _ => None,
        }
    }
}

impl Shelf for Views {
    fn view(&self) -> Option<&View> {
        Views::view(self)
    }

    fn log(&self) -> Option<&Log> {
        Views::log(self)
    }

    fn open(&self) -> bool {
        self.member().is_some_and(Member::is_normal)
    }

    fn numbers(&self) -> bool {
        Views::numbers(self)
    }

    fn get(&self, seq: Seq) -> Option<&Entry> {
        let now = Views::log(self).and_then(|log| log.get(seq));
        now.or_else(|| self.past_log().and_then(|(_, log)| log.get(seq)))
    }

    fn append(&mut self, entry: Entry) -> Option<Seq> {
        let member = self.open_member()?;
        if member.place == 0 && member.sealed() {
            return None;
        }
        let seq = member.log.have().next();
        member.log.append(seq, entry).then_some(seq)
    }

    fn commit(&mut self, seq: Seq) {
        if let Some(member) = self.open_member() {
            member.log.commit(seq);
        }
    }

    fn forget(&mut self, seq: Seq) {
        if let Some(member) = self.open_member() {
            member.log.forget(seq);
        }
    }
}
