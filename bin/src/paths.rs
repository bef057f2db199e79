//! Where things live unless the user says otherwise.

use std::path::PathBuf;

use crate::exit::Failure;

/// `$XDG_RUNTIME_DIR/fatebound.sock`, else `/run/fatebound.sock`.
pub fn default_socket() -> PathBuf {
    socket_in(variable("XDG_RUNTIME_DIR"))
}

/// `$XDG_STATE_HOME/fatebound`, else `~/.local/state/fatebound`.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn default_data_dir() -> Result<PathBuf, Failure> {
    data_dir_in(variable("XDG_STATE_HOME"), variable("HOME"))
        .ok_or_else(|| Failure::error("no home directory is known: name a data directory with --data-dir"))
}

/// The XDG rules ignore what is empty or not absolute.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn socket_in(runtime: Option<PathBuf>) -> PathBuf {
    runtime.unwrap_or_else(|| PathBuf::from("/run")).join("fatebound.sock")
}

fn data_dir_in(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.or_else(|| home.map(|home| home.join(".local/state")));
    state.map(|state| state.join("fatebound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_contract() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            socket_in(path("/run/user/7")),
            PathBuf::from("/run/user/7/fatebound.sock")
        );
        assert_eq!(socket_in(None), PathBuf::from("/run/fatebound.sock"));
        assert_eq!(data_dir_in(path("/s"), path("/h")), path("/s/fatebound"));
        assert_eq!(data_dir_in(None, path("/h")), path("/h/.local/state/fatebound"));
        assert_eq!(data_dir_in(None, None), None);
    }
}
