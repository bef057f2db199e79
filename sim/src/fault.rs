//! Faults, as values: what can be done to a world, one line of text each.
//!
//! A fault names peers by their number and groups by the number they have in their schedule, so that a list of faults makes sense without
//! the run that it was drawn for: it can be saved, read by people, shortened by hand or by [`crate::shrink`], and played again.
//!
//! | text | meaning |
//! | --- | --- |
//! | `create g1 0 2,3` | peer 0 creates a group with 2 and 3; about others who want to come in its application decides |
//! | `create g1 0 2,3 open`, `… members`, `… listed 4,5` | anybody may come in, only former members, or these as well |
//! | `join 5 g1`, `observe 5 g1`, `leave 2 g1`, `close 0 g1` | a peer wants to be a member or an observer, or to go; the root closes |
//! | `signal 2 g1`, `silent 2 g1`, `check 2 g1` | a member signals, lets the group fail in silence, asks after it |
//! | `publish 2 n0`, `lookup n0` | peer 2 publishes a name; every running peer looks it up |
//! | `bodies 2>5 1 30000 4` | peer 2 sends peer 5 four bodies of so many bytes, at port 1; what comes at port 2 is not read by peers of odd numbers |
//! | `enter 3 pg0`, `say 3 pg0 4` | a process of peer 3 comes into a process group; it sends four messages |
//! | `propose 3 pg0`, `put 3 pg0`, `barrier 3 pg0` | it proposes a state value with a vote, without one, or a barrier |
//! | `retire 3 pg0`, `farewell 3 pg0`, `lose 3 pg0` | it goes if nobody minds, says goodbye, ends without a word |
//! | `crash 3`, `vanish 3`, `stop 3`, `restart 3` | the process dies, the host dies, the peer stops in an orderly way, a new life begins |
//! | `pause 2`, `resume 2` | SIGSTOP and SIGCONT |
//! | `cut 1 4`, `cut 1>4` | both directions between two hosts, or one |
//! | `partition 0,1\|2,3`, `heal` | every wire between two sets; every wire works again |
//! | `refuse 1>4`, `swallow 1>4` | a firewall refuses new connections in one direction, or swallows them; `heal` lets them pass again |
//! | `loss 0.25`, `loss 1>4 0.25` | packets are lost, everywhere or in one direction |
//! | `delay 1>4 0.300s`, `rate 1>4 10000` | packets take longer; so many bytes pass per second (`any`: as many as come) |
//! | `break 1 4`, `break-at 1 4`, `deaden 1 4` | every session between two peers breaks, and both notice, or the first, or nobody |
//! | `deaden 3` | every connection of a host goes silent, as when a NAT forgets them: nobody notices, new ones work |
//! | `slow 3 0.020s`, `starve 3 2.000s` | the process takes so long for each thing that reaches it; it gets no processor for so long |
//! | `drift 3 1.05`, `jump 3 10.000s` | the host's clock runs by this factor; it jumps ahead |
//! | `move 3` | the host gets another address; its connections hang |
//! | `float 3` | a virtual address comes to the host, besides its own, and leaves the one where it was |
//! | `adversary fail 0.9 break` | whenever such a message is sent, with this probability: `break`, `deaden`, `cut 2.000s`, `delay 0.500s`; `dismiss` ends it |
//! | `calm` | everything that can be mended is mended: wires, firewalls, adversaries, paused and slow processes |

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::PeerIndex;
use crate::adversary::{Adversary, MessageKind, Reaction};
use crate::deed::{Deed, ProcessGroup};
use crate::schedule::{Seconds, seconds};

/// The number of a group within its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupNumber(pub u32);

/// The number of a name within its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameNumber(pub u32);

/// Who may come into a group after its creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// The root's application decides: in a run, by chance.
    #[default]
    Ask,
    /// Anybody.
    Open,
    /// Former members.
    Members,
    /// Former members and these.
    Listed(Vec<PeerIndex>),
}

/// Bodies for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bodies {
    /// Who sends them.
    pub from: PeerIndex,
    /// To whom.
    pub to: PeerIndex,
    /// From this port to the same one there.
    pub port: u8,
    /// Of each.
    pub bytes: u32,
    /// How many.
    pub count: u8,
}

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
        /// Who may come in later.
        admit: Admission,
    },
    /// A peer wants to be a member.
    Join(PeerIndex, GroupNumber),
    /// A peer wants to be an observer.
    Observe(PeerIndex, GroupNumber),
    /// A member or an observer wants to go.
    Leave(PeerIndex, GroupNumber),
    /// The root ends the group, which is no failure.
    Close(PeerIndex, GroupNumber),
    /// A member signals.
    Signal(PeerIndex, GroupNumber),
    /// A member lets the group fail in silence.
    Silent(PeerIndex, GroupNumber),
    /// A member asks after the group.
    Check(PeerIndex, GroupNumber),
    /// A peer publishes a name, later than whatever was published before.
    Publish(PeerIndex, NameNumber),
    /// Every running peer looks a name up.
    Lookup(NameNumber),
    /// A peer sends another one bodies over their pipe.
    Bodies(Bodies),
    /// A process of a peer does something in a process group.
    Process(PeerIndex, ProcessGroup, Deed),
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
    /// New connections in this direction are refused.
    Refuse(PeerIndex, PeerIndex),
    /// New connections in this direction get no answer.
    Swallow(PeerIndex, PeerIndex),
    /// This share of all packets is lost.
    Loss(f64),
    /// This share of the packets in this direction is lost.
    LossOn(PeerIndex, PeerIndex, f64),
    /// Packets in this direction take longer.
    Delay(PeerIndex, PeerIndex, Duration),
    /// So many bytes per second pass in this direction; `None`: as many as come.
    Rate(PeerIndex, PeerIndex, Option<u64>),
    /// Every session between two peers breaks, and both notice.
    Break(PeerIndex, PeerIndex),
    /// Only the first notices.
    BreakAt(PeerIndex, PeerIndex),
    /// Nobody notices.
    Deaden(PeerIndex, PeerIndex),
    /// Every connection of a host goes silent, and nobody notices; new ones work.
    DeadenHost(PeerIndex),
    /// The process takes so long for each thing that reaches it.
    Slow(PeerIndex, Duration),
    /// The process gets no processor for so long.
    Starve(PeerIndex, Duration),
    /// The host's clock runs by this factor.
    Drift(PeerIndex, f64),
    /// The host's clock jumps ahead.
    Jump(PeerIndex, Duration),
    /// The host gets another address; its connections hang.
    Move(PeerIndex),
    /// The virtual address comes to this host.
    Float(PeerIndex),
    /// From now on something happens whenever such a message is sent.
    Adversary(Adversary),
    /// That ends.
    Dismiss,
    /// Everything that can be mended is mended: from now on the network works and no process is paused.
    Calm,
}

impl Fault {
    /// The word that its text begins with, for statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Create { .. } => "create",
            Fault::Join(..) => "join",
            Fault::Observe(..) => "observe",
            Fault::Leave(..) => "leave",
            Fault::Close(..) => "close",
            Fault::Signal(..) => "signal",
            Fault::Silent(..) => "silent",
            Fault::Check(..) => "check",
            Fault::Publish(..) => "publish",
            Fault::Lookup(_) => "lookup",
            Fault::Bodies(_) => "bodies",
            Fault::Process(_, _, deed) => deed.kind(),
            Fault::Crash(_) => "crash",
            Fault::Vanish(_) => "vanish",
            Fault::Stop(_) => "stop",
            Fault::Restart(_) => "restart",
            Fault::Pause(_) => "pause",
            Fault::Resume(_) => "resume",
            Fault::Cut(..) | Fault::CutOneWay(..) => "cut",
            Fault::Partition(..) => "partition",
            Fault::Heal => "heal",
            Fault::Refuse(..) => "refuse",
            Fault::Swallow(..) => "swallow",
            Fault::Loss(_) | Fault::LossOn(..) => "loss",
            Fault::Delay(..) => "delay",
            Fault::Rate(..) => "rate",
            Fault::Break(..) => "break",
            Fault::BreakAt(..) => "break-at",
            Fault::Deaden(..) | Fault::DeadenHost(_) => "deaden",
            Fault::Slow(..) => "slow",
            Fault::Starve(..) => "starve",
            Fault::Drift(..) => "drift",
            Fault::Jump(..) => "jump",
            Fault::Move(_) => "move",
            Fault::Float(_) => "float",
            Fault::Adversary(_) => "adversary",
            Fault::Dismiss => "dismiss",
            Fault::Calm => "calm",
        }
    }

    /// The largest number of a peer in it.
    pub fn largest_peer(&self) -> Option<PeerIndex> {
        match self {
            Fault::Create {
                root, members, admit, ..
            } => {
                let listed = match admit {
                    Admission::Listed(peers) => &peers[..],
                    _ => &[],
                };
                members.iter().chain([root]).chain(listed).max().copied()
            }
            Fault::Join(peer, _) | Fault::Observe(peer, _) | Fault::Leave(peer, _) | Fault::Close(peer, _) => {
                Some(*peer)
            }
            Fault::Signal(peer, _) | Fault::Silent(peer, _) | Fault::Check(peer, _) => Some(*peer),
            Fault::Publish(peer, _) | Fault::Process(peer, ..) => Some(*peer),
            Fault::Bodies(bodies) => Some(bodies.from.max(bodies.to)),
            Fault::Crash(peer) | Fault::Vanish(peer) | Fault::Stop(peer) | Fault::Restart(peer) => Some(*peer),
            Fault::Pause(peer)
            | Fault::Resume(peer)
            | Fault::Move(peer)
            | Fault::DeadenHost(peer)
            | Fault::Float(peer) => Some(*peer),
            Fault::Slow(peer, _) | Fault::Starve(peer, _) | Fault::Drift(peer, _) | Fault::Jump(peer, _) => Some(*peer),
            Fault::Cut(a, b) | Fault::CutOneWay(a, b) | Fault::Refuse(a, b) | Fault::Swallow(a, b) => Some(*a.max(b)),
            Fault::Break(a, b) | Fault::BreakAt(a, b) | Fault::Deaden(a, b) => Some(*a.max(b)),
            Fault::LossOn(a, b, _) | Fault::Delay(a, b, _) | Fault::Rate(a, b, _) => Some(*a.max(b)),
            Fault::Partition(one, other) => one.iter().chain(other).max().copied(),
            Fault::Heal | Fault::Calm | Fault::Loss(_) | Fault::Adversary(_) | Fault::Dismiss | Fault::Lookup(_) => {
                None
            }
        }
    }
}

impl fmt::Display for GroupNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

impl fmt::Display for NameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
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

/// What follows the members of a group.
impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Admission::Ask => Ok(()),
            Admission::Open => f.write_str(" open"),
            Admission::Members => f.write_str(" members"),
            Admission::Listed(peers) => write!(f, " listed {}", List(peers)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Fault::Create {
                group,
                root,
                members,
                admit,
            } => write!(f, "{kind} {group} {} {}{admit}", root.0, List(members)),
            Fault::Join(peer, group)
            | Fault::Observe(peer, group)
            | Fault::Leave(peer, group)
            | Fault::Close(peer, group)
            | Fault::Signal(peer, group)
            | Fault::Silent(peer, group)
            | Fault::Check(peer, group) => write!(f, "{kind} {} {group}", peer.0),
            Fault::Publish(peer, name) => write!(f, "{kind} {} {name}", peer.0),
            Fault::Lookup(name) => write!(f, "{kind} {name}"),
            Fault::Process(peer, group, Deed::Say(count)) => write!(f, "{kind} {} {group} {count}", peer.0),
            Fault::Process(peer, group, _) => write!(f, "{kind} {} {group}", peer.0),
            Fault::Bodies(of) => {
                write!(
                    f,
                    "{kind} {}>{} {} {} {}",
                    of.from.0, of.to.0, of.port, of.bytes, of.count
                )
            }
            Fault::Crash(peer)
            | Fault::Vanish(peer)
            | Fault::Stop(peer)
            | Fault::Restart(peer)
            | Fault::Pause(peer)
            | Fault::Move(peer)
            | Fault::DeadenHost(peer)
            | Fault::Float(peer)
            | Fault::Resume(peer) => write!(f, "{kind} {}", peer.0),
            Fault::Cut(a, b) | Fault::Break(a, b) | Fault::BreakAt(a, b) | Fault::Deaden(a, b) => {
                write!(f, "{kind} {} {}", a.0, b.0)
            }
            Fault::CutOneWay(a, b) | Fault::Refuse(a, b) | Fault::Swallow(a, b) => write!(f, "{kind} {}>{}", a.0, b.0),
            Fault::Loss(share) => write!(f, "{kind} {share}"),
            Fault::LossOn(a, b, share) => write!(f, "{kind} {}>{} {share}", a.0, b.0),
            Fault::Delay(a, b, time) => write!(f, "{kind} {}>{} {}", a.0, b.0, Seconds(*time)),
            Fault::Rate(a, b, Some(rate)) => write!(f, "{kind} {}>{} {rate}", a.0, b.0),
            Fault::Rate(a, b, None) => write!(f, "{kind} {}>{} any", a.0, b.0),
            Fault::Slow(peer, time) | Fault::Starve(peer, time) | Fault::Jump(peer, time) => {
                write!(f, "{kind} {} {}", peer.0, Seconds(*time))
            }
            Fault::Drift(peer, rate) => write!(f, "{kind} {} {rate}", peer.0),
            Fault::Adversary(adversary) => {
                let message = message_name(adversary.kind);
                write!(f, "{kind} {message} {} ", adversary.share)?;
                match adversary.reaction {
                    Reaction::BreakSession => f.write_str("break"),
                    Reaction::BreakSilently => f.write_str("deaden"),
                    Reaction::CutLink(time) => write!(f, "cut {}", Seconds(time)),
                    Reaction::Delay(time) => write!(f, "delay {}", Seconds(time)),
                }
            }
            Fault::Partition(one, other) => write!(f, "{kind} {}|{}", List(one), List(other)),
            Fault::Heal | Fault::Calm | Fault::Dismiss => f.write_str(kind),
        }
    }
}

/// Messages that adversaries look for, by their names. Scenarios draw from the first [`OLD_MESSAGES`]; what came later is drawn by itself, or
/// every seed would mean something else.
pub(crate) const MESSAGES: [(&str, MessageKind); 27] = [
    ("hello", MessageKind::Hello),
    ("ping", MessageKind::Ping),
    ("pong", MessageKind::Pong),
    ("operation", MessageKind::Operation),
    ("construct", MessageKind::Construct),
    ("confirm", MessageKind::Confirm),
    ("release", MessageKind::Release),
    ("fail", MessageKind::Fail),
    ("acknowledge", MessageKind::Acknowledge),
    ("suspected", MessageKind::Suspected),
    ("list", MessageKind::List),
    ("routed", MessageKind::Routed),
    ("goodbye", MessageKind::Goodbye),
    ("join", MessageKind::Join),
    ("suspect", MessageKind::Suspect),
    ("invite", MessageKind::Invite),
    ("accept", MessageKind::Accept),
    ("probe", MessageKind::Probe),
    ("need-repair", MessageKind::NeedRepair),
    ("status", MessageKind::Status),
    ("records", MessageKind::Records),
    ("directory", MessageKind::Directory),
    ("views", MessageKind::Views),
    ("join-group", MessageKind::JoinGroup),
    ("leave-group", MessageKind::LeaveGroup),
    ("left", MessageKind::Left),
    ("members", MessageKind::Members),
];

/// Messages about overlay, links, paths, and groups that stay as they were created.
pub(crate) const OLD_MESSAGES: usize = 21;

fn message_name(kind: MessageKind) -> &'static str {
    let named = MESSAGES.iter().find(|(_, named)| *named == kind);
    named.map_or("message", |(name, _)| name)
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
    /// A word that is no process group.
    #[error("{0:?} is not a process group: these are written pg0, pg1, …")]
    ProcessGroup(String),
    /// A word that is no name.
    #[error("{0:?} is not a name: names are written n0, n1, …")]
    Name(String),
    /// A word that is no time.
    #[error("{0:?} is not a time: times are written 12.350s")]
    Time(String),
    /// A word that is no share, factor or rate.
    #[error("{0:?} is not a number that makes sense here")]
    Number(String),
    /// A word that is no message.
    #[error("there is no message {0:?}")]
    Message(String),
    /// A word that is no direction.
    #[error("{0:?} is no direction: directions are written 1>4")]
    Direction(String),
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

fn process_group(word: &str) -> Result<ProcessGroup, ParseFaultError> {
    let number = word.strip_prefix("pg").and_then(|number| number.parse().ok());
    number
        .map(ProcessGroup)
        .ok_or_else(|| ParseFaultError::ProcessGroup(word.into()))
}

fn name(word: &str) -> Result<NameNumber, ParseFaultError> {
    let number = word.strip_prefix('n').and_then(|number| number.parse().ok());
    number.map(NameNumber).ok_or_else(|| ParseFaultError::Name(word.into()))
}

fn time(word: &str) -> Result<Duration, ParseFaultError> {
    seconds(word).ok_or_else(|| ParseFaultError::Time(word.into()))
}

/// A number within these limits.
fn number<T: FromStr + PartialOrd>(word: &str, limits: &RangeInclusive<T>) -> Result<T, ParseFaultError> {
    let number = word.parse().ok().filter(|number| limits.contains(number));
    number.ok_or_else(|| ParseFaultError::Number(word.into()))
}

fn wire(word: &str) -> Result<(PeerIndex, PeerIndex), ParseFaultError> {
    let ends = word.split_once('>');
    let (from, to) = ends.ok_or_else(|| ParseFaultError::Direction(word.into()))?;
    Ok((peer(from)?, peer(to)?))
}

fn adversary(message: &str, share: &str, reaction: Reaction) -> Result<Fault, ParseFaultError> {
    let named = MESSAGES.iter().find(|(name, _)| *name == message);
    let (_, kind) = named.ok_or_else(|| ParseFaultError::Message(message.into()))?;
    Ok(Fault::Adversary(Adversary {
        kind: *kind,
        share: number(share, &(0.0..=1.0))?,
        reaction,
    }))
}

/// How each fault is written, for errors: the same examples as above.
const SHAPES: [(&str, &str); 45] = [
    (
        "create",
        "create g1 0 2,3` or `create g1 0 2,3 open` or `create g1 0 2,3 members` or `create g1 0 2,3 listed 4,5",
    ),
    ("join", "join 5 g1"),
    ("observe", "observe 5 g1"),
    ("leave", "leave 2 g1"),
    ("close", "close 0 g1"),
    ("signal", "signal 2 g1"),
    ("silent", "silent 2 g1"),
    ("check", "check 2 g1"),
    ("publish", "publish 2 n0"),
    ("lookup", "lookup n0"),
    ("enter", "enter 3 pg0"),
    ("say", "say 3 pg0 4"),
    ("propose", "propose 3 pg0"),
    ("put", "put 3 pg0"),
    ("barrier", "barrier 3 pg0"),
    ("retire", "retire 3 pg0"),
    ("farewell", "farewell 3 pg0"),
    ("lose", "lose 3 pg0"),
    ("crash", "crash 3"),
    ("vanish", "vanish 3"),
    ("stop", "stop 3"),
    ("restart", "restart 3"),
    ("pause", "pause 2"),
    ("resume", "resume 2"),
    ("cut", "cut 1 4` or `cut 1>4"),
    ("partition", "partition 0,1|2,3"),
    ("heal", "heal"),
    ("refuse", "refuse 1>4"),
    ("swallow", "swallow 1>4"),
    ("loss", "loss 0.25` or `loss 1>4 0.25"),
    ("bodies", "bodies 2>5 1 30000 4"),
    ("delay", "delay 1>4 0.300s"),
    ("rate", "rate 1>4 10000` or `rate 1>4 any"),
    ("break", "break 1 4"),
    ("break-at", "break-at 1 4"),
    ("deaden", "deaden 1 4` or `deaden 3"),
    ("slow", "slow 3 0.020s"),
    ("starve", "starve 3 2.000s"),
    ("drift", "drift 3 1.05"),
    ("jump", "jump 3 10.000s"),
    ("move", "move 3"),
    ("float", "float 3"),
    (
        "adversary",
        "adversary fail 0.9 break` or `adversary fail 1 deaden` or `adversary pong 0.5 cut 2.000s` or `adversary status 0.25 delay 0.500s",
    ),
    ("dismiss", "dismiss"),
    ("calm", "calm"),
];

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Fault, ParseFaultError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fault = match words[..] {
            ["create", number, root, members] => create(number, root, members, Admission::Ask)?,
            ["create", number, root, members, "open"] => create(number, root, members, Admission::Open)?,
            ["create", number, root, members, "members"] => create(number, root, members, Admission::Members)?,
            ["create", number, root, members, "listed", listed] => {
                create(number, root, members, Admission::Listed(peers(listed)?))?
            }
            ["join", who, of] => Fault::Join(peer(who)?, group(of)?),
            ["observe", who, of] => Fault::Observe(peer(who)?, group(of)?),
            ["leave", who, of] => Fault::Leave(peer(who)?, group(of)?),
            ["close", who, of] => Fault::Close(peer(who)?, group(of)?),
            ["signal", who, of] => Fault::Signal(peer(who)?, group(of)?),
            ["silent", who, of] => Fault::Silent(peer(who)?, group(of)?),
            ["check", who, of] => Fault::Check(peer(who)?, group(of)?),
            ["publish", who, what] => Fault::Publish(peer(who)?, name(what)?),
            ["lookup", what] => Fault::Lookup(name(what)?),
            ["bodies", wire, port, bytes, count] => bodies(wire, port, bytes, count)?,
            ["crash", who] => Fault::Crash(peer(who)?),
            ["vanish", who] => Fault::Vanish(peer(who)?),
            ["stop", who] => Fault::Stop(peer(who)?),
            ["restart", who] => Fault::Restart(peer(who)?),
            ["pause", who] => Fault::Pause(peer(who)?),
            ["resume", who] => Fault::Resume(peer(who)?),
            _ => return deed(&words).unwrap_or_else(|| network_fault(&words)),
        };
        Ok(fault)
    }
}

/// What a process does in a process group, if that is what these words say.
fn deed(words: &[&str]) -> Option<Result<Fault, ParseFaultError>> {
    let (word, who, of, count) = match *words {
        [word, who, of] => (word, who, of, None),
        [word, who, of, count] => (word, who, of, Some(count)),
        _ => return None,
    };
    let deed = Deed::parse(word, count)?;
    let fault = |who, of| Ok(Fault::Process(peer(who)?, process_group(of)?, deed));
    Some(fault(who, of))
}

fn create(number: &str, root: &str, members: &str, admit: Admission) -> Result<Fault, ParseFaultError> {
    Ok(Fault::Create {
        group: group(number)?,
        root: peer(root)?,
        members: peers(members)?,
        admit,
    })
}

/// What happens to wires, connections and hosts.
fn network_fault(words: &[&str]) -> Result<Fault, ParseFaultError> {
    let one_way = |word: &str, fault: fn(PeerIndex, PeerIndex) -> Fault| {
        let (from, to) = wire(word)?;
        Ok(fault(from, to))
    };
    let fault = match *words {
        ["cut", one, other] => Fault::Cut(peer(one)?, peer(other)?),
        ["cut", way] if way.contains('>') => one_way(way, Fault::CutOneWay)?,
        ["refuse", way] => one_way(way, Fault::Refuse)?,
        ["swallow", way] => one_way(way, Fault::Swallow)?,
        ["partition", sides] if sides.contains('|') => partition(sides)?,
        ["heal"] => Fault::Heal,
        ["loss", share] => Fault::Loss(number(share, &(0.0..=1.0))?),
        ["loss", way, share] => {
            let (from, to) = wire(way)?;
            Fault::LossOn(from, to, number(share, &(0.0..=1.0))?)
        }
        ["delay", way, extra] => {
            let (from, to) = wire(way)?;
            Fault::Delay(from, to, time(extra)?)
        }
        ["rate", way, rate] => {
            let (from, to) = wire(way)?;
            let rate = if rate == "any" {
                None
            } else {
                Some(number(rate, &(1..=u64::MAX))?)
            };
            Fault::Rate(from, to, rate)
        }
        ["break", one, other] => Fault::Break(peer(one)?, peer(other)?),
        ["break-at", one, other] => Fault::BreakAt(peer(one)?, peer(other)?),
        ["deaden", one, other] => Fault::Deaden(peer(one)?, peer(other)?),
        ["deaden", who] => Fault::DeadenHost(peer(who)?),
        ["slow", who, each] => Fault::Slow(peer(who)?, time(each)?),
        ["starve", who, how_long] => Fault::Starve(peer(who)?, time(how_long)?),
        ["drift", who, factor] => Fault::Drift(peer(who)?, number(factor, &(0.5..=2.0))?),
        ["jump", who, by] => Fault::Jump(peer(who)?, time(by)?),
        ["move", who] => Fault::Move(peer(who)?),
        ["float", who] => Fault::Float(peer(who)?),
        ["adversary", message, share, "break"] => adversary(message, share, Reaction::BreakSession)?,
        ["adversary", message, share, "deaden"] => adversary(message, share, Reaction::BreakSilently)?,
        ["adversary", message, share, "cut", long] => adversary(message, share, Reaction::CutLink(time(long)?))?,
        ["adversary", message, share, "delay", long] => adversary(message, share, Reaction::Delay(time(long)?))?,
        ["dismiss"] => Fault::Dismiss,
        ["calm"] => Fault::Calm,
        _ => return Err(misshapen(words.first().unwrap_or(&""))),
    };
    Ok(fault)
}

fn bodies(wire: &str, port: &str, bytes: &str, count: &str) -> Result<Fault, ParseFaultError> {
    let shape = || misshapen("bodies");
    let (from, to) = wire.split_once('>').ok_or_else(shape)?;
    Ok(Fault::Bodies(Bodies {
        from: peer(from)?,
        to: peer(to)?,
        port: port.parse().map_err(|_| shape())?,
        bytes: bytes.parse().map_err(|_| shape())?,
        count: count.parse().map_err(|_| shape())?,
    }))
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
