//! Whether this host can route multicast, and what would be in the way.

use std::io;

use crate::capture::Capture;
use crate::inject::{Injector, allowed};
use crate::interfaces::{Interface, scan};
use crate::rules::Rules;

/// One network of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub network: String,
    /// Through which interface.
    pub interface: String,
    /// With which address.
    pub address: String,
    /// Why it cannot be captured or injected there, if it cannot.
    pub obstacle: Option<String>,
    /// What people should know.
    pub warning: Option<String>,
}

/// Opens all that routing by these rules would, and closes it again; without rules nothing is joined. Within a runtime.
///
/// # Errors
/// No raw sockets may be had, or the interfaces cannot be read.
pub fn check(rules: Option<&Rules>) -> io::Result<Vec<Checked>> {
    allowed()?;
    let interfaces = scan(rules.map_or(&[], |rules| rules.interfaces.as_slice()))?;
    let several = interfaces.len() > 1;
    let groups = rules.map(Rules::groups).unwrap_or_default();
    let look = |(network, interface): (&_, &Interface)| {
        let opened = Injector::open(interface).and_then(|_| Capture::open(interface, &groups));
        Checked {
            network: ToString::to_string(network),
            interface: interface.name.clone(),
            address: interface.address.to_string(),
            obstacle: opened.err().map(|error| error.to_string()),
            warning: strict(interface, several),
        }
    };
    Ok(interfaces.iter().map(look).collect())
}

/// What a strict check of reverse paths means on a host that is on several networks.
pub(crate) fn strict(interface: &Interface, several: bool) -> Option<String> {
    let filter = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"));
        text.ok().and_then(|text| text.trim().parse::<u8>().ok()).unwrap_or(0)
    };
    let name = &interface.name;
    // The kernel goes by the larger one.
    let strict = filter("all").max(filter(name)) == 1;
    (several && strict).then(|| {
        format!("{name}: rp_filter is 1: this host does not hear what comes in there with a source in another network (2 would do)")
    })
}
