//! Rules of the protocol that can be taken out, one at a time, to see which test notices.
//!
//! A rule marked ◆ in protocol.md is there because its obvious form broke. Built with the environment variable `FATEBOUND_UNDO` set to
//! a rule's name, the code takes the obvious form again, and a scenario has to turn red. Without it, [`undone`] is `false` at compile
//! time and costs nothing; the crate that people embed refuses to be built with it.

/// The rule that this build leaves out, if any.
pub const UNDONE: Option<&str> = option_env!("FATEBOUND_UNDO");

/// Whether this build leaves out the rule of this name.
pub const fn undone(rule: &str) -> bool {
    match UNDONE {
        Some(name) => equal(name.as_bytes(), rule.as_bytes()),
        None => false,
    }
}

/// `==` of slices is not const yet.
const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_name_is_undone() {
        assert!(equal(b"rota-margin", b"rota-margin"));
        assert!(!equal(b"rota-margin", b"rota-margins"));
        assert!(!equal(b"rota-margin", b"rota-margim"));
        assert_eq!(undone("rota-margin"), UNDONE == Some("rota-margin"));
    }
}
