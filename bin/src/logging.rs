//! Logs: to standard error, as much as `FATEBOUND_LOG` (or `RUST_LOG`) says.
//!
//! What peers and clients have written stands in a log as values of fields. Each value is made visible on its way; in JSON it stays exact.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, Write};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::cli::LogFormat;
use crate::shown::{self, shown};

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
    let builder = tracing_subscriber::fmt().with_env_filter(filter(default));
    match format {
        LogFormat::Text => builder
            .with_ansi(coloured())
            .fmt_fields(debug_fn(value).delimited(" "))
            .with_writer(io::stderr)
            .init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_writer(|| Exact(io::stderr()))
            .init(),
    }
}

/// Writes a field as people may see it.
fn value(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = shown(&value);
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => writer.write_str(&value),
        (name, false) => write!(writer, "{name}={value}"),
        (name, true) => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
    }
}

/// Writes JSON on, with the same meaning and without a character that a terminal obeys. It gets one object at a time.
struct Exact<W>(W);

impl<W: Write> Write for Exact<W> {
    fn write(&mut self, object: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(object);
        self.0.write_all(shown::json(&text).as_bytes())?;
        Ok(object.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(default: &str) -> EnvFilter {
    let set = ["FATEBOUND_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    EnvFilter::new(set.as_deref().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const FOREIGN: &str = "x\r\n\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What one warning about foreign text looks like.
    fn logged(subscriber: impl tracing::Subscriber + Send + Sync, kept: &Kept) -> String {
        tracing::subscriber::with_default(subscriber, || {
            let owned = FOREIGN.to_owned();
            tracing::warn!(text = FOREIGN, shown = %FOREIGN, ?owned, "about {FOREIGN}");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn foreign_text_cannot_speak_to_a_terminal_that_shows_the_log() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(debug_fn(value).delimited(" "))
            .with_writer(move || writer.clone())
            .finish();
        let log = logged(subscriber, &kept);
        assert_eq!(log.lines().count(), 1, "{log}");
        assert_eq!(shown(log.trim_end()), log.trim_end());
        assert!(log.contains(r"about x\r\n\u{1b}[2J"), "{log}");
    }

    #[test]
    fn a_log_in_json_is_exact() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || Exact(writer.clone()))
            .finish();
        let log = logged(subscriber, &kept);
        assert_eq!(shown(log.trim_end()), log.trim_end());
        let object: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(object["shown"], FOREIGN);
    }
}
