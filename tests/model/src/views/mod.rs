//! Agreement on views: the real `fatebound_cluster::Views` of a few nodes, under every order of events, and under random ones in larger worlds.
//!
//! Messages are a set: what was said once may arrive at any time, in any order, any number of times, or never. Timers may fire whenever they
//! are set. Around the machines stand a stream of a few entries, a failure notification group that fails for everybody, and an observer
//! that notes what was installed and delivered. docs/model.md says what is left out.

pub mod explore;
pub mod observer;
pub mod random;
pub mod scene;
pub mod world;
