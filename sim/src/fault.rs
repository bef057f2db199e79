//! Faults, as values: what can be done to a world, one line of text each.
//!
//! A fault names peers by their number and groups by the number they have in their schedule, so that a list of faults makes sense without
//! the run that it was drawn for: it can be saved, read by people, shortened by hand or by [`crate::shrink`], and played again.
//!
//! | text | meaning |
//! | --- | --- |
//! | `create g1 0 2,3` | peer 0 creates a group with 2 and 3 |
//! | `signal 2 g1`, `silent 2 g1`, `check 2 g1` | a member signals, lets the group fail in silence, asks after it |
//! | `crash 3`, `vanish 3`, `stop 3`, `restart 3` | the process dies, the host dies, the peer stops in an orderly way, a new life begins |
//! | `pause 2`, `resume 2` | SIGSTOP and SIGCONT |
//! | `cut 1 4`, `cut 1>4` | both directions between two hosts, or one |
//! | `partition 0,1\|2,3`, `heal` | every wire between two sets; every wire works again |
//! | `break 1 4` | every session between two peers breaks, and both notice |
//! | `calm` | heals, and lets every paused process go on |

use std::fmt;
use std::str::FromStr;

use crate::PeerIndex;

/// The number of a group within its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupNumber(pub u32);

/// Something that happens to a world from outside. Whatever makes no sense at its moment (to crash a dead peer) does nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A peer creates a group.
    Create {
        /// Its number from now on.
        group: GroupNumber,
        /// Who creates it.
        root: PeerIndex,
        /// The other members.
        members: Vec<PeerIndex>,
    },
    /// A member signals.
    Signal(PeerIndex, GroupNumber),
    /// A member lets the group fail in silence.
    Silent(PeerIndex, GroupNumber),
    /// A member asks after the group.
    Check(PeerIndex, GroupNumber),
    /// The process dies; its host says so.
    Crash(PeerIndex),
    /// The host dies; nobody says so.
    Vanish(PeerIndex),
    /// The peer shuts down in an orderly way; its process ends with its next fault, or stays as it is.
    Stop(PeerIndex),
    /// A dead peer starts again, in a new life.
    Restart(PeerIndex),
    /// The process is stopped.
    Pause(PeerIndex),
    /// It goes on.
    Resume(PeerIndex),
    /// Nothing passes between two hosts.
    Cut(PeerIndex, PeerIndex),
    /// Nothing passes from the first host to the second.
    CutOneWay(PeerIndex, PeerIndex),
    /// Nothing passes between two sets of hosts.
    Partition(Vec<PeerIndex>, Vec<PeerIndex>),
    /// Every wire works again.
    Heal,
    /// Every session between two peers breaks.
    Break(PeerIndex, PeerIndex),
    /// Everything that can be mended is mended: from now on the network works and no process is paused.
    Calm,
}

impl Fault {
    /// The word that its text begins with, for statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Create { .. } => "create",
            Fault::Signal(..) => "signal",
            Fault::Silent(..) => "silent",
            Fault::Check(..) => "check",
            Fault::Crash(_) => "crash",
            Fault::Vanish(_) => "vanish",
            Fault::Stop(_) => "stop",
            Fault::Restart(_) => "restart",
            Fault::Pause(_) => "pause",
            Fault::Resume(_) => "resume",
            Fault::Cut(..) | Fault::CutOneWay(..) => "cut",
            Fault::Partition(..) => "partition",
            Fault::Heal => "heal",
            Fault::Break(..) => "break",
            Fault::Calm => "calm",
        }
    }

    /// The largest number of a peer in it.
    pub fn largest_peer(&self) -> Option<PeerIndex> {
        match self {
            Fault::Create { root, members, .. } => members.iter().chain([root]).max().copied(),
            Fault::Signal(peer, _) | Fault::Silent(peer, _) | Fault::Check(peer, _) => Some(*peer),
            Fault::Crash(peer) | Fault::Vanish(peer) | Fault::Stop(peer) | Fault::Restart(peer) => Some(*peer),
            Fault::Pause(peer) | Fault::Resume(peer) => Some(*peer),
            Fault::Cut(a, b) | Fault::CutOneWay(a, b) | Fault::Break(a, b) => Some(*a.max(b)),
            Fault::Partition(one, other) => one.iter().chain(other).max().copied(),
            Fault::Heal | Fault::Calm => None,
        }
    }
}

impl fmt::Display for GroupNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// Numbers of peers, with commas.
struct List<'a>(&'a [PeerIndex]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, peer) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "," }, peer.0)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Fault::Create { group, root, members } => write!(f, "{kind} {group} {} {}", root.0, List(members)),
            Fault::Signal(peer, group) | Fault::Silent(peer, group) | Fault::Check(peer, group) => {
                write!(f, "{kind} {} {group}", peer.0)
            }
            Fault::Crash(peer)
            | Fault::Vanish(peer)
            | Fault::Stop(peer)
            | Fault::Restart(peer)
            | Fault::Pause(peer)
            | Fault::Resume(peer) => write!(f, "{kind} {}", peer.0),
            Fault::Cut(a, b) | Fault::Break(a, b) => write!(f, "{kind} {} {}", a.0, b.0),
            Fault::CutOneWay(a, b) => write!(f, "{kind} {}>{}", a.0, b.0),
            Fault::Partition(one, other) => write!(f, "{kind} {}|{}", List(one), List(other)),
            Fault::Heal | Fault::Calm => f.write_str(kind),
        }
    }
}

/// Why a line is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultError {
    /// There is no such fault.
    #[error("there is no fault {0:?}")]
    Unknown(String),
    /// Something is missing, or there is too much.
    #[error("`{0}` is written like `{1}`")]
    Shape(&'static str, &'static str),
    /// A word that is no peer.
    #[error("{0:?} is not the number of a peer")]
    Peer(String),
    /// A word that is no group.
    #[error("{0:?} is not a group: groups are written g0, g1, …")]
    Group(String),
}

fn peer(word: &str) -> Result<PeerIndex, ParseFaultError> {
    let number: Option<u16> = word.parse().ok();
    number
        .map(|number| PeerIndex(number.into()))
        .ok_or_else(|| ParseFaultError::Peer(word.into()))
}

fn peers(word: &str) -> Result<Vec<PeerIndex>, ParseFaultError> {
    word.split(',').map(peer).collect()
}

fn group(word: &str) -> Result<GroupNumber, ParseFaultError> {
    let number = word.strip_prefix('g').and_then(|number| number.parse().ok());
    number
        .map(GroupNumber)
        .ok_or_else(|| ParseFaultError::Group(word.into()))
}

/// How each fault is written, for errors: the same examples as above.
const SHAPES: [(&str, &str); 15] = [
    ("create", "create g1 0 2,3"),
    ("signal", "signal 2 g1"),
    ("silent", "silent 2 g1"),
    ("check", "check 2 g1"),
    ("crash", "crash 3"),
    ("vanish", "vanish 3"),
    ("stop", "stop 3"),
    ("restart", "restart 3"),
    ("pause", "pause 2"),
    ("resume", "resume 2"),
    ("cut", "cut 1 4` or `cut 1>4"),
    ("partition", "partition 0,1|2,3"),
    ("heal", "heal"),
    ("break", "break 1 4"),
    ("calm", "calm"),
];

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Fault, ParseFaultError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fault = match words[..] {
            ["create", number, root, members] => Fault::Create {
                group: group(number)?,
                root: peer(root)?,
                members: peers(members)?,
            },
            ["signal", who, of] => Fault::Signal(peer(who)?, group(of)?),
            ["silent", who, of] => Fault::Silent(peer(who)?, group(of)?),
            ["check", who, of] => Fault::Check(peer(who)?, group(of)?),
            ["crash", who] => Fault::Crash(peer(who)?),
            ["vanish", who] => Fault::Vanish(peer(who)?),
            ["stop", who] => Fault::Stop(peer(who)?),
            ["restart", who] => Fault::Restart(peer(who)?),
            ["pause", who] => Fault::Pause(peer(who)?),
            ["resume", who] => Fault::Resume(peer(who)?),
            ["cut", one, other] => Fault::Cut(peer(one)?, peer(other)?),
            ["cut", wire] if wire.contains('>') => one_way(wire)?,
            ["partition", sides] if sides.contains('|') => partition(sides)?,
            ["heal"] => Fault::Heal,
            ["break", one, other] => Fault::Break(peer(one)?, peer(other)?),
            ["calm"] => Fault::Calm,
            _ => return Err(misshapen(words.first().unwrap_or(&""))),
        };
        Ok(fault)
    }
}

fn one_way(wire: &str) -> Result<Fault, ParseFaultError> {
    let (from, to) = wire.split_once('>').unwrap_or((wire, ""));
    Ok(Fault::CutOneWay(peer(from)?, peer(to)?))
}

fn partition(sides: &str) -> Result<Fault, ParseFaultError> {
    let (one, other) = sides.split_once('|').unwrap_or((sides, ""));
    Ok(Fault::Partition(peers(one)?, peers(other)?))
}

fn misshapen(word: &str) -> ParseFaultError {
    let shape = SHAPES.iter().find(|(kind, _)| *kind == word);
    shape.map_or_else(
        || ParseFaultError::Unknown(word.into()),
        |(kind, example)| ParseFaultError::Shape(kind, example),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_fault_and_prints_as_it_was_written() {
        for (kind, examples) in SHAPES {
            for example in examples.split("` or `") {
                let fault: Fault = example.parse().expect(example);
                assert_eq!(fault.to_string(), example);
                assert_eq!(fault.kind(), kind);
            }
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_a_reason() {
        let refused = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(refused("explode 3"), r#"there is no fault "explode""#);
        assert_eq!(refused("cut 3"), "`cut` is written like `cut 1 4` or `cut 1>4`");
        assert_eq!(refused("crash x"), r#""x" is not the number of a peer"#);
        assert_eq!(refused("crash 70000"), r#""70000" is not the number of a peer"#);
        assert_eq!(
            refused("signal 1 2"),
            r#""2" is not a group: groups are written g0, g1, …"#
        );
        assert_eq!(refused("partition 1|"), r#""" is not the number of a peer"#);
        assert_eq!(refused(""), r#"there is no fault """#);
    }
}
