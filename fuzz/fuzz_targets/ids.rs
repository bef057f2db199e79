//! What people type and paste: the text forms of groups, peers, addresses and presets.

#![no_main]

use fatebound_fuzz::texts::Texts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: Texts<'_>| texts.check());
