//! `directory get` and `directory publish`, as a user runs them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{Home, code, error};

/// A node alone knows that nobody has a name once it has had its place for twice its `maintenance_interval`.
const SETTLED: Duration = Duration::from_secs(60);

#[test]
fn a_name_is_published_looked_up_and_taken() {
    let (home, other) = (Home::new(), Home::new());
    let mut node = home.node("");
    node.ready();
    let mut second = other.node(&format!("--bootstrap {}", node.address()));
    second.ready();
    let end = Instant::now() + SETTLED;
    let nobody = loop {
        let output = other.run("directory get db");
        assert_eq!(code(&output), Some(1), "{}", error(&output));
        assert!(output.stdout.is_empty());
        if error(&output).contains("nobody knows db") || Instant::now() > end {
            break error(&output);
        }
        assert!(error(&output).contains("ask again"), "{}", error(&output));
    };
    assert_eq!(nobody, "fatebound: nobody knows db\n");

    let published = home.run("directory publish db 10.0.0.7:5432");
    assert_eq!(code(&published), Some(0), "{}", error(&published));
    assert_eq!(published.stdout, b"published db\n");
    let found = other.run("directory get db --json");
    assert_eq!(code(&found), Some(0), "{}", error(&found));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(
        (&found["name"], &found["text"]),
        (&Value::from("db"), &Value::from("10.0.0.7:5432"))
    );
    assert!(node.address().ends_with(found["publisher"].as_str().unwrap()));

    let taken = other.run("directory publish db elsewhere");
    assert_eq!(code(&taken), Some(1));
    assert!(error(&taken).contains("db is taken"), "{}", error(&taken));
    let again = home.run("directory publish db 10.0.0.8:5432");
    assert_eq!(code(&again), Some(0), "{}", error(&again));
    let table = String::from_utf8(other.run("directory get db").stdout).unwrap();
    assert!(table.contains("10.0.0.8:5432"), "{table}");
}

#[test]
fn a_name_that_is_none_is_bad_usage_and_a_long_text_is_refused() {
    let home = Home::new();
    let mut node = home.node("");
    node.ready();
    assert_eq!(code(&home.run(&format!("directory get {}", "x".repeat(129)))), Some(2));
    let long = home.run(&format!("directory publish db {}", "x".repeat(2049)));
    assert_eq!(code(&long), Some(1));
    assert!(error(&long).contains("at most 2048 bytes"), "{}", error(&long));
}
