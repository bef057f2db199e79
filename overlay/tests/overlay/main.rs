//! The overlay in virtual time.

mod alone;
mod bootstrap;
mod carrying;
mod directory;
mod directory_lies;
mod driver;
mod joining;
mod locating;
mod losing;
mod lying;
mod mail;
mod net;
mod news;
mod placing;
mod posting;
mod random;
mod ring;
mod seeking;
mod upkeep;

use std::time::Duration;

use fatebound_overlay::Config;
use net::Net;

const SECOND: Duration = Duration::from_secs(1);

/// A ring of `count`, all of them started at the same instant, through node 0.
fn started_together(config: Config, count: usize) -> Net {
    let mut net = Net::new(config);
    for _ in 0..count {
        net.add();
    }
    for at in 0..count {
        net.join(at, if at == 0 { &[] } else { &[0] });
    }
    net
}

fn formed(config: Config, count: usize) -> Net {
    let mut net = started_together(config, count);
    let everybody = net.everybody();
    let took = net.run_until(SECOND * 60, |net| net.all_joined() && net.is_ring(&everybody));
    assert!(took.is_some(), "no ring of {count}: {}", net.describe());
    net
}
