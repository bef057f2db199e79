//! Rules of the protocol that can be taken out, one at a time, to see which test notices.
//!
//! A rule marked ◆ in protocol.md is there because its obvious form broke. Built with the environment variable `FATEBOUND_UNDO` set to
//! a rule's name, the code takes the obvious form again, and a scenario has to turn red. Built with `*`, it is the same variable at run time
//! that names the rule, so that one build serves all. Without it, [`undone`] is `false` at compile time and costs nothing; the crate that
//! people embed refuses to be built with it. docs/rules.md lists the rules, tests/undo takes them out.

use std::sync::OnceLock;

/// The rule that this build leaves out, if any; `*` if that is said at run time.
pub const UNDONE: Option<&str> = option_env!("FATEBOUND_UNDO");

/// Whether the rule of this name is left out.
#[inline]
pub fn undone(rule: &str) -> bool {
    match UNDONE {
        None => false,
        Some("*") => said_at_run_time() == Some(rule),
        Some(name) => name == rule,
    }
}

#[cold]
fn said_at_run_time() -> Option<&'static str> {
    static SAID: OnceLock<Option<String>> = OnceLock::new();
    SAID.get_or_init(|| std::env::var("FATEBOUND_UNDO").ok()).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_name_is_undone() {
        assert!(!undone("no-such-rule"));
        if let Some(name) = UNDONE.filter(|name| *name != "*") {
            assert!(undone(name));
        }
    }
}
