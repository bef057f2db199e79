//! Rules of links (protocol.md §4, up to how a link goes down).
