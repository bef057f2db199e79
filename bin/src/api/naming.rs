//! How users name groups: by their id, or by its beginning where that is long enough for what they want.

use fatebound::{GroupId, GroupPrefix};

/// What a group is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at.
    Look,
    /// To be ended, for its user or for all: a slip must not name another one.
    End,
}

impl Purpose {
    /// So many characters of an id it takes at least.
    fn characters(self) -> usize {
        match self {
            Purpose::Look => 4,
            Purpose::End => 8,
        }
    }
}

/// What somebody called a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Its id.
    Whole(GroupId),
    /// The beginning of its id.
    Beginning(GroupPrefix),
}

/// Reads a name.
///
/// # Errors
/// One line, if it cannot name a group, or not for this purpose.
pub fn name(text: &str, purpose: Purpose) -> Result<Name, String> {
    if let Ok(group) = text.parse() {
        return Ok(Name::Whole(group));
    }
    let prefix = text
        .parse()
        .map_err(|error| format!("no group id, nor the beginning of one: {error}"))?;
    let (given, least) = (text.len(), purpose.characters());
    if given >= least {
        return Ok(Name::Beginning(prefix));
    }
    let what = match purpose {
        Purpose::Look => "name",
        Purpose::End => "end",
    };
    Err(format!(
        "{text:?} is too short to {what} a group: at least {least} characters of its id"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = include_str!("../../../tree/src/group_id.golden");

    #[test]
    fn a_whole_id_names_its_group_for_anything() {
        for purpose in [Purpose::Look, Purpose::End] {
            assert!(matches!(name(GROUP.trim(), purpose), Ok(Name::Whole(_))));
        }
    }

    #[test]
    fn a_beginning_has_to_be_long_enough_for_what_it_is_for() {
        for (purpose, least) in [(Purpose::Look, 4), (Purpose::End, 8)] {
            for length in 0..12 {
                let named = name(&GROUP[..length], purpose);
                assert_eq!(named.is_ok(), length >= least, "{length}: {named:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_an_id_says_why() {
        for text in ["a/bc", "../node", "ämter", "0OIl"] {
            assert!(
                name(text, Purpose::Look).unwrap_err().contains("outside of base58"),
                "{text}"
            );
        }
        assert!(
            name(&"z".repeat(1_000_000), Purpose::Look)
                .unwrap_err()
                .contains("too long")
        );
    }
}
