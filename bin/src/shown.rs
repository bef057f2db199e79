//! Foreign text made visible: what a peer or a client has written never speaks to the terminal that shows it.
//!
//! Reasons, tags, states, names and addresses come from others, and a terminal obeys what it is sent. So every way out of this program
//! for people (tables, lines, complaints, the log) writes such characters as their numbers: control characters (escape sequences begin with
//! one), marks that turn the direction of writing, and all that has no shape of its own. What is readable stays as it is, in any
//! script. Showing what was shown already changes nothing, so nobody has to know whether somebody else has done it.
//!
//! JSON is exact: there the same characters are written as JSON's own escapes, which every reader turns back into what they were.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text as people may see it, on one line: what is not printable is written as `\n`, `\u{1b}` and the like.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if harmless(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    Cow::Owned(shown)
}

/// The same JSON, with every character that is not printable as `\uXXXX`. In JSON such characters stand in strings only, and those below
/// U+0020 are escaped already.
pub fn json(text: &str) -> Cow<'_, str> {
    let raw = |character: char| !character.is_ascii_control() && harmless(character) || character == '\n';
    if text.chars().all(raw) {
        return Cow::Borrowed(text);
    }
    let mut exact = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if raw(character) {
            exact.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(exact, "\\u{unit:04x}");
        }
    }
    Cow::Owned(exact)
}

/// Whether a terminal merely prints it. The standard library knows what is printable: it escapes everything else for `Debug`. Marks that
/// join the letter before them are, so a letter stands before the character that is looked at.
fn harmless(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let mut buffer = [b'a'; 5];
    let length = 1 + character.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_text_of_any_script_stays() {
        for text in [
            "",
            "disk full: \"/var\" is at 100 % \\o/ it's so",
            "grüße, 你好, مرحبا, e\u{301}, 🎉",
        ] {
            assert!(matches!(shown(text), Cow::Borrowed(same) if same == text));
            assert!(matches!(json(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_written_as_its_number() {
        let shown = |text: &str| shown(text).into_owned();
        assert_eq!(shown("x\r\n\t\u{0}\u{8}\u{7f}"), r"x\r\n\t\0\u{8}\u{7f}");
        assert_eq!(shown("\u{1b}[2J\u{1b}]0;title\u{7}"), r"\u{1b}[2J\u{1b}]0;title\u{7}");
        assert_eq!(shown("C1: \u{9b}2J\u{90}\u{85}"), r"C1: \u{9b}2J\u{90}\u{85}");
        assert_eq!(
            shown("\u{202e}txt.exe\u{2066}\u{200f}\u{61c}"),
            r"\u{202e}txt.exe\u{2066}\u{200f}\u{61c}"
        );
        assert_eq!(
            shown("a\u{200b}\u{feff}\u{2028}\u{2029}\u{e0041}\u{ad}"),
            r"a\u{200b}\u{feff}\u{2028}\u{2029}\u{e0041}\u{ad}"
        );
    }

    #[test]
    fn every_control_and_every_mark_of_direction_is_escaped() {
        let controls = (0..0x20).chain(0x7f..0xa0);
        let directions = [0x61c, 0x200e, 0x200f]
            .into_iter()
            .chain(0x202a..=0x202e)
            .chain(0x2066..=0x2069);
        for number in controls.chain(directions) {
            let character = char::from_u32(number).unwrap();
            assert!(!harmless(character), "U+{number:04X}");
            assert!(shown(&character.to_string()).chars().all(harmless), "U+{number:04X}");
        }
    }

    #[test]
    fn shown_twice_is_shown_once() {
        let once = shown("a\u{1b}[2J\\\u{202e}\"").into_owned();
        assert_eq!(shown(&once), once);
    }

    #[test]
    fn json_says_the_same_without_a_character_that_a_terminal_obeys() {
        let text = "x\u{1b}\u{9b}\u{7f}\u{202e}\u{e0041}é🎉\"\\";
        let plain = serde_json::to_string(text).unwrap();
        let exact = json(&plain);
        assert!(exact.chars().all(harmless), "{exact}");
        assert_eq!(serde_json::from_str::<String>(&exact).unwrap(), text);
        assert!(exact.contains("é🎉") && exact.contains(r"\udb40\udc41"), "{exact}");
    }
}
