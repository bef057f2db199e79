//! docs/rules.md, the switches in the sources, and the ◆ of both specifications speak of the same rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fatebound_machine::overlay::Rule;

/// A row of the table.
struct Row {
    name: String,
    /// How the rule begins in its specification, after its ◆.
    opening: String,
    test: String,
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(project().join(path)).expect("a file of the project")
}

fn rows() -> Vec<Row> {
    let table = text("docs/rules.md");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, rule, test, _] = cells[..] else {
            panic!("not a row of four cells: {line}");
        };
        let (opening, _) = rule
            .split_once(": ")
            .expect("how the rule begins, a colon, what it is good for");
        Row {
            name: name.trim_matches('`').into(),
            opening: opening.into(),
            test: test.trim_matches('`').into(),
        }
    };
    rows.map(row).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every rule that some source can leave out.
fn switches() -> BTreeSet<String> {
    let mut files = Vec::new();
    for package in ["overlay", "tree", "fng", "cluster", "machine"] {
        rust_files(&project().join(package).join("src"), &mut files);
    }
    let names = |path: &PathBuf| {
        let source = fs::read_to_string(path).expect("a source");
        let asked = |rule: &&Rule| source.contains(&format!("Rule::{rule:?}.holds()"));
        Rule::ALL
            .iter()
            .filter(asked)
            .map(|rule| rule.name().to_owned())
            .collect::<Vec<_>>()
    };
    files.iter().flat_map(names).collect()
}

/// The text after each ◆ that marks a rule, in one line. Not the one in the preface, which explains the mark, nor those of paragraphs that
/// are specified and not built yet.
fn marked() -> Vec<String> {
    ["docs/protocol.md", "docs/cluster.md"]
        .into_iter()
        .flat_map(marked_in)
        .collect()
}

fn marked_in(specification: &str) -> Vec<String> {
    let page = text(specification);
    let rules = page.split("\n## 1.").nth(1).expect("§1");
    let built = rules
        .split("\n\n")
        .filter(|paragraph| !paragraph.contains("** (*later*)"));
    let one_line = |rule: &str| rule.split_whitespace().collect::<Vec<_>>().join(" ");
    built
        .flat_map(|paragraph| paragraph.split('◆').skip(1))
        .map(one_line)
        .collect()
}

#[test]
fn the_table_lists_the_switches_of_the_sources() {
    let listed: BTreeSet<String> = rows().into_iter().map(|row| row.name).collect();
    assert_eq!(listed.len(), rows().len(), "a rule is listed twice");
    assert_eq!(listed, switches());
    let named: BTreeSet<String> = Rule::ALL.iter().map(|rule| rule.name().to_owned()).collect();
    assert_eq!(listed, named, "a rule that no source asks about");
}

#[test]
fn the_table_lists_the_marked_rules_of_the_specification() {
    let (rows, marked) = (rows(), marked());
    for row in rows.iter().filter(|row| row.opening != "no ◆") {
        let begins = |rule: &&String| rule.starts_with(&row.opening);
        assert_eq!(
            marked.iter().filter(begins).count(),
            1,
            "of {}: {}",
            row.name,
            row.opening
        );
    }
    let missing = |rule: &&String| !rows.iter().any(|row| rule.starts_with(&row.opening));
    let missing: Vec<&String> = marked.iter().filter(missing).collect();
    assert!(missing.is_empty(), "no row for {missing:#?}");
}

#[test]
fn a_rule_and_its_test_have_one_name() {
    for Row { name, test, .. } in rows() {
        let Some(inside) = test.strip_prefix("rules::") else {
            continue;
        };
        let (module, function) = inside.split_once("::").expect("module and test");
        assert_eq!(function, name.replace('-', "_"));
        let source = text(&format!("sim/tests/rules/{module}.rs"));
        assert!(source.contains(&format!("fn {function}()")), "{test}");
    }
}
