//! What a command finds in its environment about its group.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use super::hold::Held;
use crate::api::address::ApiAddress;

/// The variables, and the file that one of them names.
#[derive(Debug)]
pub struct Environment {
    /// Names and values.
    pub variables: Vec<(&'static str, OsString)>,
    file: Option<TempPath>,
}

impl Environment {
    /// What a command without a group finds.
    pub fn alone() -> Environment {
        Environment {
            variables: Vec::new(),
            file: None,
        }
    }

    /// What the command of this hold finds: always the same names, so that nothing is left over from an `exec` around this one. (The token's file of that one
    /// is that of this one as well, unless this one has another.)
    pub fn of(held: &Held, api: &ApiAddress, token: Option<&Path>) -> io::Result<Environment> {
        let file = held.state().as_deref().map(write).transpose()?;
        let api = match api {
            // Which need not be readable as text.
            ApiAddress::Unix(path) => {
                let mut api = OsString::from("unix:");
                api.push(absolute(path));
                api
            }
            ApiAddress::Tcp { .. } => api.to_string().into(),
        };
        let number =
            |number: Option<usize>| OsString::from(number.map(|number| number.to_string()).unwrap_or_default());
        let path = file.as_ref().map(|file| file.as_os_str().to_owned());
        let mut variables = vec![
            ("FATEBOUND_GROUP", held.group.clone().into()),
            ("FATEBOUND_PEER", held.peer.clone().into()),
            ("FATEBOUND_API", api),
            ("FATEBOUND_TAG", held.tag.clone().unwrap_or_default().into()),
            ("FATEBOUND_RANK", number(held.rank())),
            (
                "FATEBOUND_SIZE",
                number((!held.members.is_empty()).then_some(held.members.len())),
            ),
            ("FATEBOUND_MEMBERS", held.members.join(" ").into()),
            ("FATEBOUND_STATE", path.unwrap_or_default()),
        ];
        // Without a value it would name a file without a name.
        if let Some(token) = token {
            variables.push(("FATEBOUND_API_TOKEN_FILE", absolute(token).into_os_string()));
        }
        Ok(Environment { variables, file })
    }

    /// The file of the state, which goes with the command.
    pub fn file(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.to_path_buf())
    }
}

/// The command may go to another directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A file for this user alone.
fn write(state: &[u8]) -> io::Result<TempPath> {
    let mut file = Builder::new().prefix("fatebound-state-").tempfile()?;
    file.write_all(state)?;
    file.flush()?;
    Ok(file.into_temp_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_knows_its_place_and_the_group_s_state() {
        let held = serde_json::json!({
            "hold": "h", "group": "g", "root": "a", "peer": "b", "members": ["a", "b", "c"], "tag": "t", "state_base64": "AP8="
        });
        let held: Held = serde_json::from_value(held).unwrap();
        let environment = Environment::of(&held, &"unix:/run/x.sock".parse().unwrap(), None).unwrap();
        let value = |name: &str| {
            let mut all = environment.variables.iter();
            all.find(|(other, _)| *other == name)
                .unwrap()
                .1
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(value("FATEBOUND_RANK"), "1");
        assert_eq!(value("FATEBOUND_SIZE"), "3");
        assert_eq!(value("FATEBOUND_MEMBERS"), "a b c");
        assert_eq!(value("FATEBOUND_API"), "unix:/run/x.sock");
        let file = environment.file().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), [0, 255]);
        drop(environment);
        assert!(!file.exists());
    }

    #[test]
    fn places_are_named_as_seen_from_anywhere() {
        let held = serde_json::json!({ "hold": "h", "group": "g", "root": "a", "peer": "b" });
        let held: Held = serde_json::from_value(held).unwrap();
        let here = std::env::current_dir().unwrap();
        let value = |environment: &Environment, name: &str| {
            let mut all = environment.variables.iter();
            all.find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let environment = Environment::of(&held, &"unix:x.sock".parse().unwrap(), None).unwrap();
        let mut api = OsString::from("unix:");
        api.push(here.join("x.sock"));
        assert_eq!(value(&environment, "FATEBOUND_API"), Some(api));
        assert_eq!(value(&environment, "FATEBOUND_API_TOKEN_FILE"), None);
        let tcp: ApiAddress = "127.0.0.1:80".parse().unwrap();
        let environment = Environment::of(&held, &tcp, Some(Path::new("token"))).unwrap();
        let token = here.join("token").into_os_string();
        assert_eq!(value(&environment, "FATEBOUND_API_TOKEN_FILE"), Some(token));
    }
}
