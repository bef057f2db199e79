//! Around a doubtful link: the word that a group has failed does not wait for a neighbour that may be gone.
//!
//! When a host that merely carries a path goes silent, its neighbours keep the path for as long as its link may live, `L`. Whatever they hand it
//! meanwhile is lost, and a repair can wait, but a `Fail` must not: the end behind the silent host would go on believing in its group for all of
//! that time. "◆ Before a doubtful link a `Fail` also goes around it" (protocol.md §6). It is signed by its originator, so it does not matter
//! who brings it.

use fatebound_base::Rule;

use crate::{Operation, Output, PathId};

/// Operations of a link that are looked through when it becomes doubtful, the newest: 1024. What is older has most likely arrived.
pub const LOOKED_THROUGH: usize = 1024;

/// Groups whose `Fail` goes around a link when it becomes doubtful: 64. The others wait, at most until the link is down.
const GROUPS: usize = 64;

/// A link has become doubtful: of what was handed to it and not acknowledged, the newest first, the words that groups have failed may be lost.
pub(crate) fn send_fails_around(unacknowledged: Vec<Operation>, out: &mut Vec<Output>) {
    let fail = |operation| match operation {
        Operation::Fail { paths, notice } => Some((paths, notice)),
        _ => None,
    };
    let newest = unacknowledged.into_iter().take(LOOKED_THROUGH);
    for (paths, notice) in newest.filter_map(fail).take(GROUPS) {
        send_around(paths, notice, out);
    }
}

/// A doubtful link is handed such a word, or was.
pub(crate) fn send_around(paths: Vec<PathId>, notice: Vec<u8>, out: &mut Vec<Output>) {
    if Rule::FailAroundDoubt.holds() {
        out.push(Output::FailStuck { paths, notice });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_64_fails_of_the_newest_1024_operations() {
        let fail = Operation::Fail {
            paths: Vec::new(),
            notice: b"so it is".to_vec(),
        };
        let other = Operation::Release { paths: Vec::new() };
        let behind = |others: usize, fails: usize| {
            let operations = [vec![other.clone(); others], vec![fail.clone(); fails]].concat();
            let mut out = Vec::new();
            send_fails_around(operations, &mut out);
            out.len()
        };
        assert_eq!((behind(0, 64), behind(0, 65)), (64, 64));
        assert_eq!((behind(1023, 9), behind(1024, 9)), (1, 0));
    }
}
