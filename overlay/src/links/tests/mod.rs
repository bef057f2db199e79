//! Links of a few peers wired together in virtual time.

mod breaks;
mod chaos;
mod endings;
mod harness;
mod monitoring;
mod orders;
