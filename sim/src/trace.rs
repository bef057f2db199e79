//! What was observed, as lines that a person can read.
//!
//! A [`Tracer`] gives every peer, life and group a short name and says each message in the words of protocol.md: `p0 > p3  Construct
//! g1/p3#1 visited p0`. Each line is of a [`Kind`], and a [`Filter`] chooses the kinds, so that a trace shows what it is about and hides
//! pings and the upkeep of the ring, which are most of what peers say.
//!
//! | form | what |
//! | --- | --- |
//! | `p0 > p3  …` | a frame on the session of their link |
//! | `p0 ? p3  …`, `p3 = p0  …` | a one-shot question over a direct connection, and its answer |
//! | `p0 : p3  …` | a frame of their pipe |
//! | `p0 ~ p3  …` | what their hosts do: dial, accept, refuse, close |
//! | `p2 !  …` | what a peer tells its application |
//! | `p2 *  …` | what was done to a peer, or what its application orders |

mod clusters;
mod directory;
mod names;
mod pipes;
mod telling;
mod wording;

use std::collections::BTreeSet;

use fatebound_machine::overlay::Time;

use crate::PeerIndex;
use crate::observe::{Observation, Signal, Words};
use crate::trace::names::Names;
use crate::world::World;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Pings, answers and acknowledgements.
    Pings,
    /// The upkeep of the ring: `Join`, `Leaves`, `Row`, `Locate`, `Neighbours`.
    Upkeep,
    /// Dials, sessions and their `Hello`s.
    Sessions,
    /// Links: up, doubtful, down; suspicions and goodbyes.
    Links,
    /// Operations, lists, repairs.
    Paths,
    /// Questions about groups, and their answers.
    Groups,
    /// Questions of the directory, their answers, and what applications are told of names.
    Names,
    /// Pipes: their frames, and what applications are told of them.
    Pipes,
    /// Words about process groups, and their receipts.
    Views,
    /// What applications are told of groups.
    Told,
    /// What was done to peers, and what applications order.
    Orders,
    /// Not a word of its own: the moment at which a message arrives, shown besides the moment at which it was sent.
    Arrivals,
}

impl Kind {
    /// All of them, by the names that scripts use.
    pub const ALL: [(&str, Kind); 12] = [
        ("pings", Kind::Pings),
        ("upkeep", Kind::Upkeep),
        ("sessions", Kind::Sessions),
        ("links", Kind::Links),
        ("paths", Kind::Paths),
        ("groups", Kind::Groups),
        ("names", Kind::Names),
        ("pipes", Kind::Pipes),
        ("views", Kind::Views),
        ("told", Kind::Told),
        ("orders", Kind::Orders),
        ("arrivals", Kind::Arrivals),
    ];
}

/// Which lines are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Kinds that are shown.
    pub kinds: BTreeSet<Kind>,
    /// Only lines that concern one of these peers, and only messages between two of them if there are at least two; empty: all.
    pub peers: BTreeSet<PeerIndex>,
}

impl Default for Filter {
    /// Links, paths, groups, names and what applications are told, of all peers.
    fn default() -> Filter {
        Filter {
            kinds: BTreeSet::from([Kind::Links, Kind::Paths, Kind::Groups, Kind::Names, Kind::Told]),
            peers: BTreeSet::new(),
        }
    }
}

impl Filter {
    /// Whether this line is shown.
    pub fn shows(&self, line: &Line) -> bool {
        let arrivals = !line.arrival || self.kinds.contains(&Kind::Arrivals);
        arrivals && self.kinds.contains(&line.kind) && self.concerns(line)
    }

    fn concerns(&self, line: &Line) -> bool {
        let named = |peer: PeerIndex| self.peers.contains(&peer);
        match line.to {
            _ if self.peers.is_empty() => true,
            Some(to) if self.peers.len() > 1 => named(line.from) && named(to),
            Some(to) => named(line.from) || named(to),
            None => named(line.from),
        }
    }
}

/// One observation in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Time,
    /// What it is about.
    pub kind: Kind,
    /// Whether it is the arrival of a message.
    pub arrival: bool,
    /// Who sent, or whom it concerns.
    pub from: PeerIndex,
    /// To whom.
    pub to: Option<PeerIndex>,
    /// The words, without the time.
    pub text: String,
}

/// Turns observations into lines.
#[derive(Clone, Debug)]
pub struct Tracer {
    names: Names,
    filter: Filter,
    origin: Time,
}

impl Tracer {
    /// A tracer that knows the peers of this world, and counts time from its start.
    pub fn new(world: &World, filter: Filter) -> Tracer {
        let mut names = Names::default();
        names.meet(world);
        Tracer {
            names,
            filter,
            origin: Time::ZERO,
        }
    }

    /// Shows other lines from now on.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// What is shown.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Counts time from here.
    pub fn set_origin(&mut self, origin: Time) {
        self.origin = origin;
    }

    /// The lines of these observations that the filter shows. Notes on what does not get through are as of now.
    pub fn lines(&mut self, world: &World, observations: &[(Time, Observation)]) -> Vec<String> {
        let lines = observations.iter().filter_map(|(at, seen)| self.line(world, *at, seen));
        let lines: Vec<Line> = lines.collect();
        let shown = lines.iter().filter(|line| self.filter.shows(line));
        shown.map(|line| self.stamp(line)).collect()
    }

    /// A line with its time, in seconds.
    pub fn stamp(&self, line: &Line) -> String {
        let text = if line.arrival {
            format!("  {}", line.text)
        } else {
            line.text.clone()
        };
        format!("{:>8.3}  {text}", line.at.since(self.origin).as_secs_f64())
    }

    /// One observation in words, whatever the filter; `None` for what is never worth a line.
    pub fn line(&mut self, world: &World, at: Time, seen: &Observation) -> Option<Line> {
        self.names.meet(world);
        let line = |kind, from, to, arrival, text| Line {
            at,
            kind,
            arrival,
            from,
            to,
            text,
        };
        match seen {
            Observation::Sent { from, to, words } => {
                let (kind, mut text) = self.words(*from, *to, words);
                let to_a_host = matches!(words, Words::Host(_));
                if let Some(note) = obstacle(world, *from, *to, to_a_host) {
                    text = format!("{text}  [{note}]");
                }
                Some(line(kind, *from, Some(*to), false, text))
            }
            Observation::Arrived { from, to, words } => {
                let (kind, text) = self.words(*from, *to, words);
                Some(line(kind, *from, Some(*to), true, format!("{text}  (arrives)")))
            }
            Observation::Told { peer, event } => {
                let (kind, told) = telling::event(&mut self.names, event)?;
                Some(line(kind, *peer, None, false, format!("p{} !  {told}", peer.0)))
            }
            Observation::Ordered { peer, command } => {
                let order = telling::command(&mut self.names, command);
                Some(line(
                    Kind::Orders,
                    *peer,
                    None,
                    false,
                    format!("p{} *  {order}", peer.0),
                ))
            }
            Observation::Disturbed(disturbance) => {
                let (peer, what) = telling::disturbance(*disturbance);
                Some(line(Kind::Orders, peer, None, false, what))
            }
        }
    }

    fn words(&mut self, from: PeerIndex, to: PeerIndex, words: &Words) -> (Kind, String) {
        let (sign, (kind, text)) = match words {
            Words::Frame(frame) => ('>', wording::frame(&mut self.names, from, frame)),
            Words::Request(body) => ('?', wording::question(&mut self.names, (from, to), body)),
            Words::Response(body) => ('=', wording::answer(&mut self.names, (to, from), body)),
            Words::Pipe(frame) => (':', (Kind::Pipes, pipes::frame(frame))),
            Words::Host(signal @ (Signal::OpenPipe | Signal::ClosePipe)) => {
                ('~', (Kind::Pipes, signal_word(*signal).to_owned()))
            }
            Words::Host(signal) => ('~', (Kind::Sessions, signal_word(*signal).to_owned())),
        };
        (kind, format!("p{} {sign} p{}  {text}", from.0, to.0))
    }

    /// The n-th group, counted from 1, if there were so many.
    pub fn group(&self, number: usize) -> Option<crate::GroupId> {
        self.names.group_numbered(number)
    }

    /// How many groups have a name.
    pub fn groups(&self) -> usize {
        self.names.groups()
    }

    /// A group's name; only groups that were in a trace have one.
    pub fn group_name(&self, group: &crate::GroupId) -> String {
        self.names.known_group(group)
    }

    /// Text with the identities of peers replaced by their names.
    pub fn rename(&self, text: &str) -> String {
        self.names.rename(text)
    }
}

/// Why something that is sent now will not be read, or not soon.
fn obstacle(world: &World, from: PeerIndex, to: PeerIndex, to_a_host: bool) -> Option<&'static str> {
    if world.network.is_cut(from, to) {
        Some("cut")
    } else if world.machine(to).is_none() && !to_a_host {
        Some("nobody there")
    } else {
        None
    }
}

fn signal_word(signal: Signal) -> &'static str {
    match signal {
        Signal::Dial => "dials",
        Signal::Open => "opens a session",
        Signal::Verify => "dials to prove the address",
        Signal::Accept => "accepts",
        Signal::Refuse => "refuses",
        Signal::Close => "closes a session",
        Signal::OpenPipe => "opens a pipe",
        Signal::ClosePipe => "closes a pipe",
        Signal::HangUp => "hangs up",
        Signal::Reset => "resets the connection",
    }
}
