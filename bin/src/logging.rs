//! Logs: to standard error, as much as `FATEBOUND_LOG` (or `RUST_LOG`) says.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// What is logged unless somebody says otherwise: our own words, and warnings of everybody else.
const DEFAULT: &str = "warn,fatebound=info";
/// What a client logs: nothing but warnings.
const CLIENT: &str = "warn";

/// The node's log.
pub fn for_node(format: LogFormat) {
    start(format, DEFAULT);
}

/// A client's log.
pub fn for_client() {
    start(LogFormat::Text, CLIENT);
}

fn start(format: LogFormat, default: &str) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter(default));
    match format {
        LogFormat::Text => builder.with_ansi(coloured()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(default: &str) -> EnvFilter {
    let set = ["FATEBOUND_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    EnvFilter::new(set.as_deref().unwrap_or(default))
}
