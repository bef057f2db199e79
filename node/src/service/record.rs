//! What a service's group has agreed on: its state value.

use fatebound_machine::process_groups::protocols::ProviderId;
use serde::{Deserialize, Serialize};

/// The first byte of every record: another one is not ours.
const FORMAT: u8 = 1;

/// What a provider is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It gets no checkpoints.
    Spare,
    /// It gets the primary's checkpoints, and is preferred to spares when there is none.
    Secondary,
    /// It serves.
    Primary,
}

impl Role {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Spare => "spare",
            Role::Secondary => "secondary",
            Role::Primary => "primary",
        }
    }
}

/// Who serves, and who is next. Everybody who is in neither place is a spare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) primary: Option<ProviderId>,
    pub(crate) secondaries: Vec<ProviderId>,
    /// The epoch of the primacy; zero in the record that begins it, whose own epoch it is.
    pub(crate) term: u64,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_stdvec(self).unwrap_or_default());
        bytes
    }

    /// `None`: somebody has written something else there. An empty value is a record of nobody.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
        match bytes.split_first() {
            None => Some(Record::default()),
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).ok(),
            Some(_) => None,
        }
    }

    pub(crate) fn role(&self, of: ProviderId) -> Role {
        if self.primary == Some(of) {
            Role::Primary
        } else if self.secondaries.contains(&of) {
            Role::Secondary
        } else {
            Role::Spare
        }
    }
}
