//! Peers on the command line: what tables show of them fits a terminal, and can be pasted where a peer is expected.

use serde_json::Value;

use crate::groups::{Pair, parsed, text};
use crate::home::{code, error};

#[test]
fn neighbours_fit_a_terminal_and_have_addresses_where_they_are_wanted() {
    let pair = Pair::new();
    let narrow = text(&pair.root.run("peers"));
    assert!(narrow.contains(&pair.member_id()), "{narrow}");
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let wide = text(&pair.root.run("peers --wide"));
    assert!(
        wide.contains("ADDRESSES") && wide.contains("/ip4/127.0.0.1/tcp/"),
        "{wide}"
    );
    let peer: Value = parsed(&pair.root.run("peers --json"));
    let address = peer["addresses"][0].as_str().unwrap();
    assert!(address.starts_with("/ip4/127.0.0.1/tcp/"), "{peer}");
    let members = text(&pair.root.run("members --wide"));
    assert!(members.contains(address), "{members}");
}

#[test]
fn what_is_printed_of_a_peer_can_be_pasted() {
    let pair = Pair::new();
    let (root, member) = (text(&pair.root.run("id")), pair.member_id());
    let routes = text(&pair.root.run("routes"));
    let ending = &member[member.len() - 8..];
    assert!(routes.contains(ending), "{routes}");
    for name in [ending, &member[..20], &member] {
        let created = pair.root.run(&format!("group create {name} --json"));
        assert_eq!(code(&created), Some(0), "{name}: {}", error(&created));
        assert_eq!(parsed(&created)["members"], serde_json::json!([root, member]));
    }
    // Every id begins like this, and by now this node has heard of itself as well.
    let ambiguous = pair.root.run("group create 12D3KooW");
    assert_eq!(code(&ambiguous), Some(1), "{}", error(&ambiguous));
    assert!(
        error(&ambiguous).contains(&root) && error(&ambiguous).contains(&member),
        "{}",
        error(&ambiguous)
    );
    let unknown = pair.root.run("group create zzzzzzzz");
    assert_eq!(code(&unknown), Some(1));
    assert!(
        error(&unknown).contains("begins or ends with zzzzzzzz"),
        "{}",
        error(&unknown)
    );
}

#[test]
fn a_list_of_failed_groups_says_why() {
    let pair = Pair::new();
    let member = pair.member_id();
    let group = text(&pair.root.run(&format!("group create {member}")));
    let signalled = pair.member.run(&format!("group signal {group} --reason enough"));
    assert_eq!(code(&signalled), Some(0), "{}", error(&signalled));
    let shown = pair.root.run(&format!("group watch {group} --until-failed"));
    assert_eq!(code(&shown), Some(3));
    let listed = text(&pair.root.run("group list --all"));
    let (heading, row) = listed.split_once('\n').unwrap();
    assert!(heading.ends_with("REASON") && row.contains("enough"), "{listed}");
    assert!(
        !row.contains(&member) && row.contains(&member[member.len() - 8..]),
        "{listed}"
    );
    let living = pair.root.run(&format!("group create {member}"));
    assert_eq!(code(&living), Some(0));
    assert!(!text(&pair.root.run("group list")).contains("REASON"));
}
