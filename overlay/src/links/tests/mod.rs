//! Links of a few peers wired together in virtual time.

mod breaks;
mod by_hand;
mod chaos;
mod crowded;
mod endings;
mod harness;
mod meetings;
mod monitoring;
mod orders;
mod silent_sessions;
