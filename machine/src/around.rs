//! Around a doubtful link: the word that a group has failed does not wait for a neighbour that may be gone.
//!
//! When a host that merely carries a path goes silent, its neighbours keep the path for as long as its link may live, `L`. Whatever they hand it
//! meanwhile is lost, and a repair can wait, but a `Fail` must not: the end behind the silent host would go on believing in its group for all of
//! that time. "◆ Before a doubtful link a `Fail` also goes around it" (protocol.md §6). It is signed by its originator, so it does not matter
//! who brings it.

use fatebound_overlay::{LinkId, Rule};
use fatebound_tree::Operation;

use crate::machine::Machine;
use crate::wire;

/// Operations of a link that are looked through when it becomes doubtful, the newest: 1024. What is older has most likely arrived.
const LOOKED_THROUGH: usize = 1024;

/// Groups whose `Fail` goes around a link when it becomes doubtful: 64. The others wait, at most until the link is down.
const GROUPS: usize = 64;

impl Machine {
    /// A link has become doubtful: what was handed to it and not acknowledged may be lost.
    pub(crate) fn send_fails_around(&mut self, link: LinkId) {
        for fail in newest_fails(self.overlay.unacknowledged(link)) {
            self.send_around(fail);
        }
    }

    /// A doubtful link was handed this operation.
    pub(crate) fn send_around(&mut self, operation: Operation) {
        if let Operation::Fail { paths, notice } = operation
            && Rule::FailAroundDoubt.holds()
        {
            self.groups_input(fatebound_fng::Input::FailStuck { paths, notice });
        }
    }
}

/// Of these operations, the newest first, those that say that a group has failed.
fn newest_fails<'a>(operations: impl Iterator<Item = &'a [u8]>) -> Vec<Operation> {
    let operations = operations.take(LOOKED_THROUGH);
    let operations = operations.filter_map(|body| wire::decode(body).ok());
    let fails = operations.filter(|operation| matches!(operation, Operation::Fail { .. }));
    fails.take(GROUPS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;

    #[test]
    fn at_most_64_fails_of_the_newest_1024_operations() {
        let fail = encode(&Operation::Fail {
            paths: Vec::new(),
            notice: b"so it is".to_vec(),
        });
        let other = encode(&Operation::Release { paths: Vec::new() });
        let behind = |others: usize, fails: usize| {
            let operations = std::iter::repeat_n(&*other, others).chain(std::iter::repeat_n(&*fail, fails));
            newest_fails(operations).len()
        };
        assert_eq!((behind(0, 64), behind(0, 65)), (64, 64));
        assert_eq!((behind(1023, 9), behind(1024, 9)), (1, 0));
        assert!(newest_fails(std::iter::once(&b"nonsense"[..])).is_empty());
    }
}
