//! What goes to standard output: aligned tables for people, one JSON object per line for programs.
//!
//! Results go to standard output and nothing else does. A reader that has had enough (`| head -1`) is no error: writing then
//! fails with [`Failure::unread`], and the command cleans up and ends quietly. Every text that goes out for people goes through [`shown`]; colours are added afterwards.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use crate::exit::Failure;
use crate::shown::{self, shown};

/// A colour of the terminal's own palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// Well.
    Green,
    /// Doubtful.
    Yellow,
    /// Failed.
    Red,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Bold => "\x1b[1m",
            Style::Dim => "\x1b[2m",
            Style::Green => "\x1b[32m",
            Style::Yellow => "\x1b[33m",
            Style::Red => "\x1b[31m",
        }
    }
}

/// Where results go, and how.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    /// Standard output; colour only on a terminal whose user does not forbid it.
    pub fn new(json: bool) -> Output {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Output {
            json,
            colour: !json && !forbidden && io::stdout().is_terminal(),
        }
    }

    /// Whether the reader is a program.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// `text`, which is shown already, in this style, if colours are wanted.
    fn paint(self, style: Style, text: &str) -> String {
        if !self.colour || style == Style::Plain {
            return text.to_owned();
        }
        format!("{}{text}\x1b[0m", style.code())
    }

    /// One line of text.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        write_out(format!("{}\n", shown(text)).as_bytes())
    }

    /// Several lines of our own making.
    pub fn lines(&self, text: &str) -> Result<(), Failure> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// One line of cells in columns of these widths: a row of a table that has no end.
    pub fn row(&self, cells: &[Cell], widths: &[usize]) -> Result<(), Failure> {
        write_out(render_line(cells, widths, *self).as_bytes())
    }

    /// One JSON object on one line.
    pub fn object<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(Failure::error)?;
        write_out(format!("{}\n", shown::json(&line)).as_bytes())
    }

    /// These bytes, exactly and on demand only: whoever asks for them knows where they go.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        write_out(bytes)
    }

    /// A table, aligned.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        write_out(table.render(*self).as_bytes())
    }
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::unread()),
        Err(error) => Err(Failure::error(format!("cannot write to standard output: {error}"))),
    }
}

/// One cell: its text and its style, which takes no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell in this style.
    pub fn styled(style: Style, text: impl Into<String>) -> Cell {
        Cell {
            text: shown(&text.into()).into_owned(),
            style,
            right: false,
        }
    }

    /// A number: aligned to the right.
    pub fn number(text: impl Into<String>) -> Cell {
        Cell {
            right: true,
            ..Cell::styled(Style::Plain, text)
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(Style::Plain, text)
    }
}

/// Rows under a heading, columns two spaces apart: readable, and still easy to cut with awk.
#[derive(Clone, Debug, Default)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with this heading; without any, its rows alone.
    pub fn new(heading: &[&str]) -> Table {
        Table {
            heading: heading.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn render(&self, output: Output) -> String {
        let right: Vec<bool> = self
            .rows
            .first()
            .map_or_else(Vec::new, |row| row.iter().map(|cell| cell.right).collect());
        let heading = self.heading.iter().enumerate().map(|(column, text)| Cell {
            text: text.clone(),
            style: Style::Bold,
            right: right.get(column).copied().unwrap_or(false),
        });
        let heading: Vec<Cell> = heading.collect();
        let lines: Vec<&Vec<Cell>> = (!heading.is_empty())
            .then_some(&heading)
            .into_iter()
            .chain(&self.rows)
            .collect();
        let widths = widths(&lines);
        lines.iter().map(|line| render_line(line, &widths, output)).collect()
    }
}

fn widths(lines: &[&Vec<Cell>]) -> Vec<usize> {
    let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.text.chars().count())
            .max()
    };
    (0..columns).map(|column| width(column).unwrap_or(0)).collect()
}

fn render_line(cells: &[Cell], widths: &[usize], output: Output) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        let painted = output.paint(cell.style, &cell.text);
        let last = at + 1 == cells.len();
        let _ = match (cell.right, last) {
            (true, true) => write!(line, "{gap}{painted}"),
            (true, false) => write!(line, "{gap}{painted}  "),
            (false, true) => write!(line, "{painted}"),
            (false, false) => write!(line, "{painted}{gap}  "),
        };
    }
    // An empty last cell leaves no blanks behind.
    line.truncate(line.trim_end_matches(' ').len());
    line.push('\n');
    line
}

/// Milliseconds as people read them: three significant digits or so, seconds from one second on.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// A duration in milliseconds, with three decimals: what the API speaks.
pub fn as_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// So many things, in words: one is not many.
pub fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

/// The first characters of an id: enough to recognise it in a table, and good as a prefix on most nodes.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The last characters of a `PeerId`: its first ones are the same for all.
pub fn short_peer(peer: &str) -> &str {
    peer.get(peer.len().saturating_sub(8)..).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output {
        json: false,
        colour: false,
    };

    #[test]
    fn columns_align_and_lines_do_not_trail() {
        let mut table = Table::new(&["PEER", "PATHS"]);
        table.row(["a".into(), Cell::number("7")]);
        table.row(["b".into(), Cell::number("")]);
        table.row(["long name".into(), Cell::number("12")]);
        assert_eq!(
            table.render(PLAIN),
            "PEER       PATHS\na              7\nb\nlong name     12\n"
        );
    }

    #[test]
    fn colour_takes_no_room() {
        let mut table = Table::new(&[]);
        table.row([Cell::styled(Style::Red, "x"), "y".into()]);
        table.row(["long".into(), "y".into()]);
        let coloured = Output {
            json: false,
            colour: true,
        };
        assert_eq!(table.render(coloured), "\x1b[31mx\x1b[0m     y\nlong  y\n");
    }

    #[test]
    fn foreign_text_in_a_cell_is_shown_and_takes_the_room_that_it_takes() {
        let mut table = Table::new(&[]);
        table.row([Cell::styled(Style::Red, "\u{1b}[2J"), "y".into()]);
        table.row(["a name".into(), "y\r\n".into()]);
        assert_eq!(table.render(PLAIN), "\\u{1b}[2J  y\na name     y\\r\\n\n");
        let line = render_line(&["\u{9b}m".into(), "b".into()], &[3, 1], PLAIN);
        assert_eq!(line, "\\u{9b}m  b\n");
    }

    #[test]
    fn milliseconds_read_well() {
        let texts = [0.123, 3.456, 45.67, 456.7, 1234.5, 113_184.0].map(millis);
        assert_eq!(texts, ["0.12 ms", "3.46 ms", "45.7 ms", "457 ms", "1.23 s", "113.2 s"]);
    }

    #[test]
    fn short_forms_survive_short_texts() {
        assert_eq!(short("abc"), "abc");
        assert_eq!(short("abcdefghijklmnop"), "abcdefghijkl");
        assert_eq!(short_peer("abc"), "abc");
        assert_eq!(short_peer("12D3KooWabcdefgh"), "abcdefgh");
    }
}
