//! Rules of joint sets and paths (protocol.md §4, §5).
