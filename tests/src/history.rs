//! What the providers of a process group were shown, laid side by side: all of it has to be windows of one history.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The events that all providers are shown in the same order, and of which no two are the same.
const ORDERED: [&str; 5] = ["message", "providers", "outcome", "state", "failed"];

/// What one provider was shown, from its coming in to its end.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The entries, each as its JSON.
    entries: Vec<String>,
    /// The bodies of its messages.
    bodies: HashSet<String>,
}

impl Shown {
    /// Of all events of a provider.
    pub fn of(events: &[Value]) -> Shown {
        let ordered = events
            .iter()
            .filter(|event| ORDERED.iter().any(|&name| event["event"] == name));
        let bodies = events.iter().filter(|event| event["event"] == "message");
        Shown {
            entries: ordered.map(Value::to_string).collect(),
            bodies: bodies
                .filter_map(|event| event["body"].as_str().map(String::from))
                .collect(),
        }
    }

    /// Whether a message with this body is among them.
    pub fn has(&self, body: &str) -> bool {
        self.bodies.contains(body)
    }

    /// So many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The one history of which all of these are windows: its entries in order.
///
/// # Errors
/// An entry was shown twice to somebody; two were shown different entries after the same one, or before it; or there are several histories, none of
/// which anybody has seen the end of and the beginning of the next.
pub fn one_history(all: &[Shown]) -> Result<Vec<String>, String> {
    let (mut next, mut previous) = (HashMap::new(), HashMap::new());
    let mut entries: Vec<&str> = Vec::new();
    let mut known = HashSet::new();
    for (index, shown) in all.iter().enumerate() {
        let mut own = HashSet::new();
        for entry in &shown.entries {
            if !own.insert(entry) {
                return Err(format!("provider {index} was shown this twice: {entry}"));
            }
            if known.insert(entry.as_str()) {
                entries.push(entry);
            }
        }
        for pair in shown.entries.windows(2) {
            let (first, second) = (pair[0].as_str(), pair[1].as_str());
            agree(&mut next, first, second).map_err(|other| differ(index, "after", first, second, other))?;
            agree(&mut previous, second, first).map_err(|other| differ(index, "before", second, first, other))?;
        }
    }
    let heads: Vec<&str> = entries
        .iter()
        .copied()
        .filter(|entry| !previous.contains_key(entry))
        .collect();
    match heads[..] {
        [] if entries.is_empty() => Ok(Vec::new()),
        [head] => Ok(std::iter::successors(Some(head), |entry| next.get(entry).copied())
            .map(String::from)
            .collect()),
        _ => Err(format!("there is not one beginning but {}: {heads:#?}", heads.len())),
    }
}

fn agree<'a>(known: &mut HashMap<&'a str, &'a str>, at: &'a str, is: &'a str) -> Result<(), &'a str> {
    match *known.entry(at).or_insert(is) {
        same if same == is => Ok(()),
        other => Err(other),
    }
}

fn differ(index: usize, where_: &str, at: &str, one: &str, other: &str) -> String {
    format!("{where_} {at}\nprovider {index} was shown {one}\nand somebody else    {other}")
}

/// Every sender's messages are in its order, and none is missing before one that is there. A message is `sender/number`, and numbers begin with 0.
///
/// # Errors
/// The first one that is out of place.
pub fn senders_in_order(history: &[String]) -> Result<(), String> {
    let mut due: HashMap<String, u64> = HashMap::new();
    for entry in history {
        let event: Value = serde_json::from_str(entry).map_err(|error| error.to_string())?;
        let Some((sender, number)) = event["body"].as_str().and_then(|body| body.rsplit_once('/')) else {
            continue;
        };
        let due = due.entry(sender.to_string()).or_default();
        if number.parse() != Ok(*due) {
            return Err(format!("{entry} is there, and number {due} of {sender} should be"));
        }
        *due += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(bodies: &[&str]) -> Shown {
        let message = |body: &&str| json!({"event": "message", "from": "x", "body": body});
        let mut events: Vec<Value> = bodies.iter().map(message).collect();
        // Which is nobody else's business.
        events.insert(events.len() / 2, json!({"event": "wedged", "view": 3}));
        Shown::of(&events)
    }

    #[test]
    fn windows_of_one_history_are_put_together() {
        let all = [
            shown(&["b", "c", "d"]),
            shown(&["a", "b"]),
            shown(&[]),
            shown(&["d", "e"]),
        ];
        let history = one_history(&all).unwrap();
        let bodies: Vec<String> = history
            .iter()
            .map(|entry| serde_json::from_str::<Value>(entry).unwrap()["body"].to_string())
            .collect();
        assert_eq!(bodies, ["\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"e\""]);
        assert_eq!(one_history(&[shown(&[])]), Ok(Vec::new()));
        assert!(all[0].has("c") && !all[0].has("a"));
    }

    #[test]
    fn what_is_lost_doubled_swapped_or_in_two_histories_is_found() {
        let whole = shown(&["a", "b", "c"]);
        for (wrong, words) in [
            (&["a", "c"][..], "after"),
            (&["a", "b", "a"], "twice"),
            (&["a", "c", "b"], "after"),
            (&["z", "b"], "before"),
            (&["x", "y"], "one beginning but 2"),
        ] {
            let error = one_history(&[whole.clone(), shown(wrong)]).unwrap_err();
            assert!(error.contains(words), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_senders_missing_message_is_found() {
        let history = |bodies: &[&str]| one_history(&[shown(bodies)]).unwrap();
        assert_eq!(senders_in_order(&history(&["a/0", "b/0", "a/1", "end"])), Ok(()));
        for wrong in [&["a/0", "a/2"][..], &["a/1"], &["a/0", "b/0", "b/2"]] {
            assert!(senders_in_order(&history(wrong)).is_err(), "{wrong:?}");
        }
    }
}
