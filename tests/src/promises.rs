//! The promises, as a test asks real nodes for them.

use crate::{Cluster, Node, Watch};

/// Watches the nodes with these indices.
pub fn watch(cluster: &Cluster, indices: &[usize]) -> Vec<Watch> {
    indices.iter().map(|&index| cluster.nodes[index].watch()).collect()
}

/// Creates a group: the first index is its root.
#[track_caller]
pub fn create(cluster: &Cluster, indices: &[usize]) -> String {
    let others: Vec<&Node> = indices[1..].iter().map(|&index| &cluster.nodes[index]).collect();
    cluster.nodes[indices[0]].create(&others)
}

/// P1 and P2: every watch sees the failure within the bound, and then sees a later failure of another group, before which a second word
/// about the first would have come. The members have to be able to reach each other.
#[track_caller]
pub fn all_told_once(cluster: &Cluster, watches: &mut [Watch], members: &[usize], group: &str) {
    let bound = cluster.nodes[members[0]].bound();
    for watch in &mut *watches {
        watch.failed(bound, group);
    }
    let fence = create(cluster, members);
    if let Some(&first) = members.first() {
        let done = cluster.nodes[first].run(&["group", "signal", &fence]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    for watch in watches {
        watch.failed(bound, &fence);
        assert_eq!(watch.failures(group), 1, "told more than once");
    }
}

/// The group lives: every member answers end to end.
#[track_caller]
pub fn alive(node: &Node, group: &str) {
    let check = node.run(&["group", "check", group]);
    assert_eq!(check.code, 0, "{check:?}");
}

/// The indices of the nodes that merely carry paths of the group.
pub fn delegates(cluster: &Cluster, group: &str) -> Vec<usize> {
    let carries = |node: &Node| {
        let shown = node.run(&["group", "show", group, "--json"]);
        shown.code == 0 && shown.json()["role"] == "delegate"
    };
    (0..cluster.nodes.len())
        .filter(|&index| carries(&cluster.nodes[index]))
        .collect()
}

/// Waits until the root has no path left to repair.
///
/// # Panics
/// When that is not so within the bound.
#[track_caller]
pub fn repaired(root: &Node, group: &str) {
    let shown = || root.json(&["group", "show", group]);
    let end = std::time::Instant::now() + root.bound();
    while shown()["repairing"] != 0 {
        assert!(std::time::Instant::now() < end, "not repaired: {}", shown());
    }
}

/// P4: none of these has been told that the group failed.
#[track_caller]
pub fn nobody_was_told(watches: &mut [Watch], group: &str) {
    for watch in watches {
        assert_eq!(watch.failures(group), 0, "a false alarm");
    }
}

/// The group still is one on all sides: nobody has been told, and everybody in `members` is told of a signal, once.
#[track_caller]
pub fn still_works(cluster: &Cluster, watches: &mut [Watch], members: &[usize], group: &str) {
    nobody_was_told(watches, group);
    let signal = cluster.nodes[members[1]].run(&["group", "signal", group, "--reason", "enough"]);
    assert_eq!(signal.code, 0, "{signal:?}");
    all_told_once(cluster, watches, members, group);
}
