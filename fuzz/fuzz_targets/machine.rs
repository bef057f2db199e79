//! One or two honest machines among hostile peers: whatever is said and done to them, in whatever order, they neither panic nor grow, keep
//! their invariants, tell of each failure once, and keep their own groups.

#![no_main]

use fatebound_fuzz::run::Run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|run: Run| run.play());
