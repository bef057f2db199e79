//! A scenario: everything that a run needs, as a text that people can read, change and play again.
//!
//! A few lines say how the world is made, the others when which [`Fault`] happens, counted from the moment when all peers have joined:
//!
//! ```text
//! # what comes after a number sign is a remark
//! seed 17
//! peers 8
//! profile sparse
//! until 60.000s
//!
//! 0.000s create g0 0 1,2
//! 12.350s crash 2
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::fault::{Fault, ParseFaultError};
use crate::setting::Setting;

/// A world and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What all its randomness comes from.
    pub seed: u64,
    /// So many peers join.
    pub peers: usize,
    /// With this configuration.
    pub setting: Setting,
    /// The run ends so long after all have joined.
    pub until: Duration,
    /// What happens, in the order of its times.
    pub schedule: Vec<(Duration, Fault)>,
}

/// The most peers of a scenario; larger worlds are not for checkers that compare every pair.
pub const MAX_PEERS: usize = 1000;

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong there.
    pub what: What,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The fault is none.
    #[error(transparent)]
    Fault(#[from] ParseFaultError),
    /// Not a time.
    #[error("{0:?} is not a time: times are written 12.350s")]
    Time(String),
    /// Not a number.
    #[error("{0:?} is not a number")]
    Number(String),
    /// Too few peers, or too many.
    #[error("a scenario has 2 to {MAX_PEERS} peers")]
    Peers,
    /// No such configuration.
    #[error("{0}")]
    Setting(String),
    /// A fault of a peer that there is not.
    #[error("there is no peer {0}")]
    NoPeer(usize),
    /// A line without anything to read it by.
    #[error("expected `seed`, `peers`, `profile`, `until`, or a time and a fault")]
    Line,
    /// A necessary line is not there.
    #[error("there is no line `{0}`")]
    Missing(&'static str),
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "peers {}", self.peers)?;
        writeln!(f, "profile {}", self.setting)?;
        writeln!(f, "until {}", Seconds(self.until))?;
        writeln!(f)?;
        for (at, fault) in &self.schedule {
            writeln!(f, "{} {fault}", Seconds(*at))?;
        }
        Ok(())
    }
}

/// A duration as it is written in scenarios: `12.350s`, to the millisecond.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// Reads what [`Seconds`] writes; fewer digits will do.
pub(crate) fn seconds(word: &str) -> Option<Duration> {
    let (whole, part) = {
        let number = word.strip_suffix('s')?;
        number.split_once('.').unwrap_or((number, "0"))
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 || whole.len() > 9 {
        return None;
    }
    let millis: u64 = format!("{part:0<3}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_millis(millis))
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    seed: Option<u64>,
    peers: Option<usize>,
    setting: Option<Setting>,
    until: Option<Duration>,
    /// With the line of each.
    schedule: Vec<(usize, Duration, Fault)>,
}

impl Reading {
    fn line(&mut self, number: usize, line: &str) -> Result<(), What> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "seed" => self.seed = Some(rest.parse().map_err(|_| What::Number(rest.into()))?),
            "peers" => {
                let peers = rest.parse().map_err(|_| What::Number(rest.into()))?;
                self.peers = Some(peers).filter(|peers| (2..=MAX_PEERS).contains(peers));
                self.peers.ok_or(What::Peers)?;
            }
            "profile" => self.setting = Some(rest.parse().map_err(What::Setting)?),
            "until" => self.until = Some(seconds(rest).ok_or_else(|| What::Time(rest.into()))?),
            _ if word.starts_with(|first: char| first.is_ascii_digit()) => {
                let at = seconds(word).ok_or_else(|| What::Time(word.into()))?;
                self.schedule.push((number, at, rest.parse()?));
            }
            _ => return Err(What::Line),
        }
        Ok(())
    }

    fn finish(self, lines: usize) -> Result<Scenario, ParseError> {
        let missing = |what| ParseError {
            line: lines + 1,
            what: What::Missing(what),
        };
        let peers = self.peers.ok_or_else(|| missing("peers"))?;
        let mut schedule = Vec::new();
        for (line, at, fault) in self.schedule {
            if let Some(peer) = fault.largest_peer().filter(|peer| peer.0 >= peers) {
                let what = What::NoPeer(peer.0);
                return Err(ParseError { line, what });
            }
            schedule.push((at, fault));
        }
        schedule.sort_by_key(|(at, _)| *at);
        Ok(Scenario {
            seed: self.seed.ok_or_else(|| missing("seed"))?,
            peers,
            setting: self.setting.ok_or_else(|| missing("profile"))?,
            until: self.until.ok_or_else(|| missing("until"))?,
            schedule,
        })
    }
}

impl FromStr for Scenario {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Scenario, ParseError> {
        let mut reading = Reading::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() {
                let number = at + 1;
                let read = reading.line(number, line);
                read.map_err(|what| ParseError { line: number, what })?;
            }
        }
        reading.finish(text.lines().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "seed 17\npeers 8\nprofile sparse\nuntil 60.000s\n\n0.000s create g0 0 1,2\n12.350s crash 2\n";

    #[test]
    fn a_scenario_prints_as_it_was_written() {
        let scenario: Scenario = TEXT.parse().unwrap();
        assert_eq!(scenario.to_string(), TEXT);
        assert_eq!(scenario.schedule.len(), 2);
    }

    #[test]
    fn remarks_order_and_short_times_do_not_matter() {
        let other =
            "# a remark\n12.35s crash 2 # another\n0s create g0 0 1,2\nuntil 60s\nprofile sparse\npeers 8\nseed 17";
        assert_eq!(other.parse::<Scenario>(), TEXT.parse());
    }

    #[test]
    fn errors_name_their_line() {
        let refused = |from: &str, to: &str| TEXT.replace(from, to).parse::<Scenario>().unwrap_err().to_string();
        assert_eq!(refused("crash 2", "crash 8"), "line 7: there is no peer 8");
        assert_eq!(refused("crash 2", "crush 2"), r#"line 7: there is no fault "crush""#);
        assert_eq!(
            refused("12.350s", "12,350s"),
            r#"line 7: "12,350s" is not a time: times are written 12.350s"#
        );
        assert_eq!(refused("peers 8", "peers 1"), "line 2: a scenario has 2 to 1000 peers");
        assert_eq!(refused("seed 17", ""), "line 8: there is no line `seed`");
        assert_eq!(refused("seed 17", "seed x"), r#"line 1: "x" is not a number"#);
        assert_eq!(
            refused("until", "till"),
            "line 4: expected `seed`, `peers`, `profile`, `until`, or a time and a fault"
        );
        assert!(refused("sparse", "dense").starts_with("line 3: unknown profile"));
    }
}
