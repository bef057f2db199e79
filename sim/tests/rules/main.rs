//! One test for each rule of the protocol that is there because its obvious form broke (◆ in protocol.md).
//!
//! Every test is named as its rule, with `_` for `-`: a scenario, or a loop over listed seeds, that is green, and red when the rule is
//! taken out (`FATEBOUND_UNDO=rule`). docs/rules.md lists them all; tests/undo takes the rules out one by one and shows that each is missed.

mod comings;
mod common;
mod groups;
mod links;
mod mail;
mod names;
mod overlay;
mod scripts;
mod streams;
mod table;
mod tree;
