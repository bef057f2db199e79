//! Rules of the overlay (protocol.md §3).
