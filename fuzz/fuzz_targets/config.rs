//! Any configuration is refused, or two machines live with it for a virtual minute; and any timings of an invitation are declined, or kept.

#![no_main]

use fatebound_fuzz::settings::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|settings: Settings| settings.try_out());
