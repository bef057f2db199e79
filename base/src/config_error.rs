//! A configuration is checked rule by rule before anything is built on it.

use thiserror::Error;

/// A configuration that breaks this rule was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the configuration breaks the rule `{0}`")]
pub struct ConfigError(pub &'static str);

impl ConfigError {
    /// Refuses unless the rule of this name holds.
    ///
    /// # Errors
    /// The name, if it does not.
    pub fn unless(holds: bool, name: &'static str) -> Result<(), ConfigError> {
        if holds { Ok(()) } else { Err(ConfigError(name)) }
    }
}
