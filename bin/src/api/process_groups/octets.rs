//! Bytes in JSON: a string where they are text, `{"base64": "…"}` where they are not. What is written is exact either way.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Any bytes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Octets(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a string, or {\"base64\": \"…\"} for bytes that are no text"
)]
enum Written {
    Text(String),
    Base64 { base64: String },
}

impl Octets {
    /// As people may read them; what is no text becomes `�`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Written> for Octets {
    type Error = String;

    fn try_from(written: Written) -> Result<Octets, String> {
        match written {
            Written::Text(text) => Ok(Octets(text.into_bytes())),
            Written::Base64 { base64 } => match BASE64.decode(base64.as_bytes()) {
                Ok(bytes) => Ok(Octets(bytes)),
                Err(error) => Err(format!("base64: {error}")),
            },
        }
    }
}

impl From<Octets> for Written {
    fn from(octets: Octets) -> Written {
        match String::from_utf8(octets.0) {
            Ok(text) => Written::Text(text),
            Err(error) => Written::Base64 {
                base64: BASE64.encode(error.as_bytes()),
            },
        }
    }
}

impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Octets {
        Octets(bytes.to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_string_and_everything_else_base64() {
        for (bytes, json) in [
            (&b"\xc3\xa9\n"[..], r#""é\n""#),
            (b"", r#""""#),
            (b"\x00\xff", r#"{"base64":"AP8="}"#),
        ] {
            let octets = Octets::from(bytes);
            assert_eq!(serde_json::to_string(&octets).unwrap(), json);
            assert_eq!(serde_json::from_str::<Octets>(json).unwrap(), octets);
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for json in ["7", r#"{"base64":"%"}"#, r#"{"base64":"AP8=","more":1}"#, "null"] {
            assert!(serde_json::from_str::<Octets>(json).is_err(), "{json}");
        }
    }
}
