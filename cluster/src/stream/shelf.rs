//! What the stream sees of agreement: the view, and the entries that are kept of it. Whoever decides membership owns both.

use crate::log::{Entry, Log};
use crate::numbers::Seq;
use crate::view::View;

/// Where entries lie. All of it is about the view in which the node is, but for [`Shelf::get`], which knows the end of the one before too.
pub trait Shelf {
    /// The view.
    fn view(&self) -> Option<&View>;

    /// Its entries.
    fn log(&self) -> Option<&Log>;

    /// Whether the view goes on here: entries are taken, acknowledged and delivered.
    fn open(&self) -> bool;

    /// Whether this node numbers entries: at the leader of an open view, until it has put the next view behind them.
    fn numbers(&self) -> bool;

    /// An entry of the view, or of the one before up to its cut.
    fn get(&self, seq: Seq) -> Option<&Entry>;

    /// Puts an entry behind the others; its number, or `None` if the view takes none.
    fn append(&mut self, entry: Entry) -> Option<Seq>;

    /// All entries up to this one are committed.
    fn commit(&mut self, seq: Seq);

    /// All entries up to this one may be forgotten: everybody in the view has them.
    fn forget(&mut self, seq: Seq);
}
