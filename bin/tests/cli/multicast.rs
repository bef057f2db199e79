//! `fatebound multicast …` and `fatebound node --multicast`, where no network has to be routed: what is said when it cannot be.

use crate::home::{Home, code, error};

fn rules(home: &Home, text: &str) -> String {
    let path = home.path().join("rules.toml");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn a_file_of_rules_is_read_and_what_is_wrong_has_its_line() {
    let home = Home::new();
    let file = rules(
        &home,
        "[[rule]]\ngroups = \"239.5.5.0/30\"\n[[rule]]\npreset = \"mdns\"\n",
    );
    let output = home.run(&format!("multicast rules {file}"));
    assert_eq!(code(&output), Some(0), "{}", error(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 rules for 5 groups\n");
    let file = rules(&home, "[[rule]]\ngroups = \"239.5.5.5\"\nttl = \"more\"\n");
    let said = format!("fatebound: {file}: line 3: expected \"decrement\", \"keep\" or a number from 1 to 255\n");
    let output = home.run(&format!("multicast rules {file}"));
    assert_eq!((code(&output), error(&output)), (Some(2), said.clone()));
    // A node that would not do what its user wants does not start.
    let output = home.run(&format!("node --multicast {file}"));
    assert_eq!((code(&output), error(&output)), (Some(2), said));
    let output = home.run("multicast rules /nowhere");
    assert_eq!(code(&output), Some(2));
}

#[test]
fn a_node_that_routes_nothing_says_so() {
    let home = Home::new();
    let mut node = home.node("");
    node.ready();
    for command in ["status", "networks", "tunnels"] {
        let output = home.run(&format!("multicast {command}"));
        assert_eq!(code(&output), Some(1), "{}", error(&output));
        assert!(error(&output).contains("--multicast"), "{}", error(&output));
    }
}
