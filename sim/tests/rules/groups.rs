//! Rules of groups (protocol.md §6, §8).
