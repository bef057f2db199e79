//! How many connections this process can bear: each takes a file descriptor, and the system says how many there are.
//!
//! Links come first. So connections in all stay below what there is, with some left for everything else, above all for clients of the node; and
//! dials for questions, which links can do without, stop well before that.

use std::error::Error;
use std::io;

/// Descriptors that are kept for everything but connections: the runtime, listeners, names, files, and clients.
const RESERVED: usize = 24;
/// Where nothing is said, or more than that: nobody needs more.
const MOST: usize = 65_536;
/// A node that cannot bear so many connections is none.
const LEAST: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// In all.
    pub(crate) connections: usize,
    /// With so many, no further ones are made for questions and proofs.
    pub(crate) questions: usize,
}

impl Budget {
    /// What the system's limit leaves.
    pub(crate) fn of_process() -> Budget {
        Budget::of(limit().unwrap_or(MOST))
    }

    fn of(descriptors: usize) -> Budget {
        let connections = descriptors.saturating_sub(RESERVED).clamp(LEAST, MOST);
        Budget {
            connections,
            questions: connections - connections / 4,
        }
    }
}

/// Descriptors that this process may have open, where the system tells.
pub(crate) fn limit() -> Option<usize> {
    of_limits(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn of_limits(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether this error says that no descriptor was left, in this process or in the whole system.
pub(crate) fn are_used_up(error: &(dyn Error + 'static)) -> bool {
    crate::dials::chain(error)
        .filter_map(|link| link.downcast_ref::<io::Error>())
        .any(|io| matches!(io.raw_os_error(), Some(EMFILE | ENFILE)))
}

/// The same numbers on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_limit_is_read_and_some_is_left_for_others() {
        let text = "Limit    Soft Limit   Hard Limit   Units\n\
                    Max processes             100          100          processes\n\
                    Max open files            48           4096         files\n";
        assert_eq!(of_limits(text), Some(48));
        assert_eq!(of_limits("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(of_limits(""), None);
        let budget = |descriptors| {
            let Budget { connections, questions } = Budget::of(descriptors);
            (connections, questions)
        };
        assert_eq!(budget(48), (24, 18));
        assert_eq!(budget(1024), (1000, 750));
        assert_eq!(budget(0), (LEAST, LEAST - LEAST / 4));
        assert_eq!(budget(usize::MAX).0, MOST);
    }

    #[test]
    fn no_descriptor_is_told_from_other_errors() {
        let used_up = io::Error::from_raw_os_error(EMFILE);
        assert!(are_used_up(&io::Error::other(io::Error::other(used_up))));
        assert!(!are_used_up(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
