//! Application state on the command line: what a group's creator wanted its members to know.

use data_encoding::BASE64;

use crate::api::model::Application;
use crate::exit::Failure;

/// Characters that a line has room for; `group show --raw` writes all.
const BRIEF: usize = 200;

/// The state itself; `None`: the node told none.
///
/// # Errors
/// It came in a form that is none.
pub fn bytes(application: &Application) -> Result<Option<Vec<u8>>, Failure> {
    match (&application.application_state, &application.application_state_base64) {
        (Some(text), _) => Ok(Some(text.clone().into_bytes())),
        (None, Some(text)) => BASE64
            .decode(text.as_bytes())
            .map(Some)
            .map_err(|error| Failure::error(format!("the node told a state that is no Base64: {error}"))),
        (None, None) => Ok(None),
    }
}

/// The state in a few words, for a line.
pub fn brief(application: &Application) -> Option<String> {
    match (&application.application_state, &application.application_state_base64) {
        (Some(text), _) => Some(shortened(text)),
        (None, Some(text)) => Some(format!("{} bytes that are no text", decoded(text))),
        (None, None) => None,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(BRIEF) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// How many bytes this Base64 stands for.
fn decoded(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_itself_and_anything_else_a_number_of_bytes() {
        let text = Application::of("größe 7".as_bytes());
        assert_eq!(brief(&text).unwrap(), "größe 7");
        assert_eq!(bytes(&text).unwrap().unwrap(), "größe 7".as_bytes());
        for state in [&[255][..], &[255, 0], &[255, 0, 1], &[255; 1000]] {
            let binary = Application::of(state);
            assert_eq!(
                brief(&binary).unwrap(),
                format!("{} bytes that are no text", state.len())
            );
            assert_eq!(bytes(&binary).unwrap().unwrap(), state);
        }
        assert_eq!(brief(&Application::of(b"")), None);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let words = brief(&Application::of("ä".repeat(201).as_bytes())).unwrap();
        assert_eq!(words, format!("{}… (402 bytes)", "ä".repeat(200)));
    }
}
