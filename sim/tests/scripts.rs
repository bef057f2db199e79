//! Plays `tests/scripts/*.txt` and compares the traces with the ones that were reviewed.
//!
//! `REGENERATE=1 cargo test -p fatebound-sim --test scripts` writes the new traces instead; the difference is then for somebody to read.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use fatebound_sim::Script;

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts");
    let entries = std::fs::read_dir(&directory).expect("the directory of scripts");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    paths.sort();
    paths
}

/// What is wrong with this script, if anything.
fn problem(path: &Path, regenerate: bool) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let old = std::fs::read_to_string(path).expect("a script is text");
    match Script::parse(&old).run() {
        Err(error) => Some(format!("{name}, {error}")),
        Ok(new) if new == old => None,
        Ok(new) if regenerate => {
            std::fs::write(path, new).expect("a script can be written");
            None
        }
        Ok(new) => Some(format!("{name}: the trace has changed\n{}", difference(&old, &new))),
    }
}

/// What is wrong with any of them; each is played by whichever thread is free.
fn problems(paths: &[PathBuf], regenerate: bool) -> Vec<String> {
    let next = Mutex::new(paths.iter());
    let take = || next.lock().ok()?.next();
    let work = || {
        let mut found = Vec::new();
        while let Some(path) = take() {
            found.extend(problem(path, regenerate));
        }
        found
    };
    let mut problems = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = workers
            .into_iter()
            .map(|worker| worker.join().expect("no script panics"));
        found.flatten().collect::<Vec<String>>()
    });
    problems.sort();
    problems
}

/// As `diff` shows it, around the lines that changed.
fn difference(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .to_string()
}

#[test]
fn every_script_plays_as_it_was_reviewed() {
    let regenerate = std::env::var_os("REGENERATE").is_some();
    let wanted = std::env::var("SCRIPT").unwrap_or_default();
    let chosen = |path: &PathBuf| path.to_string_lossy().contains(&wanted);
    let paths: Vec<PathBuf> = scripts().into_iter().filter(chosen).collect();
    let problems = problems(&paths, regenerate);
    assert!(
        problems.is_empty(),
        "{} of {} scripts (if the change is meant: REGENERATE=1, and read the difference)\n\n{}",
        problems.len(),
        paths.len(),
        problems.join("\n\n")
    );
}
