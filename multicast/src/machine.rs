//! Multicast routing at one node, without clock and sockets: its networks, the system leader if it is that, and the fence before both.
//!
//! **The fence** (M8). A process that was stopped, swapped out or starved wakes up in the past: it takes itself for a leader while another one has long gone
//! on. So whoever has not run for longer than its lease believes nothing: it drops what waits, asks its group something, and routes again when it is shown
//! its own question; all that the group decided before has been shown by then. So does whoever hears that its group had no quorum.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fatebound::PeerId;
use fatebound_base::Time;

use crate::count::{Counts, Drop};
use crate::hub::{Greeting, Hub, Part, Up};
use crate::io::{Event, Input, Output};
use crate::message::{Frame, Seat};
use crate::network::NetworkId;
use crate::roster::{Role, Roster};
use crate::rules::Rules;
use crate::spoke::{Down, Spoke, Talk};
use crate::step::Step;

/// A question to the group that is not answered is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Whether this node is sure of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fence {
    Down,
    /// Up, until the group has shown this question.
    Up {
        nonce: u64,
        ask: Time,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Multicast {
    me: PeerId,
    rules: Rules,
    roster: Roster,
    spokes: BTreeMap<NetworkId, Spoke>,
    hub: Option<Hub>,
    quorate: bool,
    fence: Fence,
    last_nonce: u64,
    /// When it has run last.
    ran: Time,
    fences: u64,
}

impl Multicast {
    /// A node without networks.
    pub fn new(me: PeerId, rules: Rules, now: Time) -> Multicast {
        Multicast {
            me,
            rules,
            roster: Roster::default(),
            spokes: BTreeMap::new(),
            hub: None,
            quorate: true,
            fence: Fence::Down,
            last_nonce: 0,
            ran: now,
            fences: 0,
        }
    }

    /// When [`Input::Wake`] is wanted.
    pub fn deadline(&self) -> Option<Time> {
        let talks = self.spokes.values().filter_map(Spoke::deadline);
        let fence = match self.fence {
            Fence::Up { ask, .. } if self.quorate => Some(ask),
            _ => None,
        };
        // To know that it has run, it has to run.
        let run = self.routes().then(|| self.ran + self.rules.lease / 3);
        talks.chain(fence).chain(run).min()
    }

    /// Whether it leads anything, or is to know what its leader did when it is next.
    fn routes(&self) -> bool {
        let hears = |spoke: &Spoke| matches!(spoke.role(), Role::Leader | Role::Standby(_));
        self.hub.is_some() || self.spokes.values().any(hears)
    }

    fn is_running(&self) -> bool {
        self.quorate && self.fence == Fence::Down
    }

    /// Takes what has happened; what is to be done goes to `out`.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        // M8 "Whoever has not run for longer than its lease believes nothing": whatever this is, it may have waited.
        if now.since(self.ran) > self.rules.lease && self.routes() {
            self.raise_fence(now, out);
        }
        self.ran = now;
        let mut home = VecDeque::new();
        self.dispatch(now, input, out, &mut home);
        while let Some(frame) = home.pop_front() {
            let me = self.me;
            self.with(now, out, &mut home, |machine, step| machine.frame(me, frame, step));
        }
    }

    fn dispatch(&mut self, now: Time, input: Input, out: &mut Vec<Output>, home: &mut VecDeque<Frame>) {
        match input {
            Input::Seat { network, seat } => self.seat(network, seat, now, out),
            Input::List(list) => self.roster = Roster::new(&list),
            Input::Quorum(quorate) => return self.quorum(quorate, now, out),
            Input::Confirmed { nonce } => return self.confirmed(nonce, now, out, home),
            Input::Captured { network, bytes } => {
                return self.with(now, out, home, |machine, step| {
                    if let Some(spoke) = machine.spokes.get_mut(&network) {
                        spoke.captured(bytes, step);
                    }
                });
            }
            Input::Frame { peer, frame } => {
                return self.with(now, out, home, |machine, step| machine.frame(peer, frame, step));
            }
            Input::TunnelDown { peer } => {
                return self.with(now, out, home, |machine, step| machine.tunnel_down(peer, step));
            }
            Input::NotSent { network } => return self.count(network, Drop::NotSent, 1),
            Input::Backlog { network, count } => return self.count(network, Drop::Backlog, count),
            Input::Wake => return self.wake(now, out, home),
        }
        #[allow(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone is not general enough"
        )]
        self.with(now, out, home, |machine, step| machine.assign(step));
    }

    /// Lends out its parts, and what all of them stand on.
    fn with(
        &mut self,
        now: Time,
        out: &mut Vec<Output>,
        home: &mut VecDeque<Frame>,
        action: impl FnOnce(&mut Lent<'_>, &mut Step<'_>),
    ) {
        let running = self.is_running();
        let mut step = Step {
            now,
            me: self.me,
            rules: &self.rules,
            roster: &self.roster,
            running,
            out,
            home,
        };
        let mut lent = Lent {
            spokes: &mut self.spokes,
            hub: &mut self.hub,
        };
        action(&mut lent, &mut step);
    }

    fn seat(&mut self, network: NetworkId, seat: Option<Seat>, now: Time, out: &mut Vec<Output>) {
        let before = self.spokes.remove(&network);
        let hears = |spoke: &Spoke| matches!(spoke.role(), Role::Leader | Role::Standby(_));
        if before.as_ref().is_some_and(hears) {
            out.push(Output::Capture { network, on: false });
        }
        if let Some(seat) = seat {
            let mut spoke = Spoke::new(network, seat, now);
            spoke.counts = before.map(|before| before.counts).unwrap_or_default();
            self.spokes.insert(network, spoke);
        }
    }

    fn quorum(&mut self, quorate: bool, now: Time, out: &mut Vec<Output>) {
        if quorate == self.quorate {
            return;
        }
        self.quorate = quorate;
        self.raise_fence(now, out);
    }

    fn raise_fence(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.fence == Fence::Down {
            self.fences += 1;
            out.push(Output::Event(Event::Fenced));
        }
        self.last_nonce += 1;
        self.fence = Fence::Up {
            nonce: self.last_nonce,
            ask: now,
        };
        for spoke in self.spokes.values_mut() {
            spoke.silence();
        }
        if let Some(hub) = &mut self.hub {
            hub.silence();
        }
        self.ask(now, out);
    }

    fn ask(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Fence::Up { nonce, ask } = &mut self.fence
            && self.quorate
            && *ask <= now
        {
            *ask = now + ASK_AGAIN;
            out.push(Output::Confirm { nonce: *nonce });
        }
    }

    fn confirmed(&mut self, nonce: u64, now: Time, out: &mut Vec<Output>, home: &mut VecDeque<Frame>) {
        // The answer to an earlier question says nothing of what has happened since.
        let Fence::Up { nonce: asked, .. } = self.fence else {
            return;
        };
        if asked != nonce || !self.quorate {
            return;
        }
        self.fence = Fence::Down;
        out.push(Output::Event(Event::Unfenced));
        self.with(now, out, home, |machine, step| {
            machine.assign(step);
            if let Some(hub) = machine.hub {
                hub.resume(step);
            }
        });
    }

    fn wake(&mut self, now: Time, out: &mut Vec<Output>, home: &mut VecDeque<Frame>) {
        self.ask(now, out);
        self.with(now, out, home, |machine, step| {
            for spoke in machine.spokes.values_mut() {
                spoke.wake(step);
            }
        });
    }

    fn count(&mut self, network: NetworkId, why: Drop, count: u64) {
        let counts = match (self.spokes.get_mut(&network), &mut self.hub) {
            (Some(spoke), _) => &mut spoke.counts,
            (None, Some(hub)) => &mut hub.counts,
            (None, None) => return,
        };
        *counts.dropped.entry(why).or_default() += count;
    }

    /// The list as it is known here.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How it stands.
    pub fn view(&self) -> View {
        View {
            running: self.is_running(),
            quorate: self.quorate,
            fences: self.fences,
            networks: self
                .spokes
                .iter()
                .map(|(network, spoke)| of_spoke(*network, spoke))
                .collect(),
            hub: self.hub.as_ref().map(|hub| HubView {
                relayed: hub.relayed,
                counts: hub.counts.clone(),
                branches: hub.open().collect(),
            }),
        }
    }
}

fn of_spoke(network: NetworkId, spoke: &Spoke) -> NetworkView {
    NetworkView {
        network,
        seat: spoke.seat(),
        role: spoke.role(),
        talk: spoke.talk(),
        counts: spoke.counts.clone(),
    }
}

/// The parts of the machine, lent out.
struct Lent<'a> {
    spokes: &'a mut BTreeMap<NetworkId, Spoke>,
    hub: &'a mut Option<Hub>,
}

impl Lent<'_> {
    /// M2 "The oldest seat of a network leads it, the oldest of all is the system leader": the list or this node's own seats are others.
    fn assign(&mut self, step: &mut Step<'_>) {
        let mine = |seat: &Seat| self.spokes.values().any(|spoke| spoke.seat() == *seat);
        let wanted = step.roster.hub().filter(mine);
        let had = self.hub.as_ref().map(Hub::seat);
        if wanted != had {
            *self.hub = wanted.map(Hub::new);
            if wanted.is_some() != had.is_some() {
                step.tell(Event::Hub(wanted.is_some()));
            }
        }
        if let Some(hub) = self.hub {
            hub.assign(step);
        }
        for spoke in self.spokes.values_mut() {
            spoke.assign(step);
        }
    }

    fn tunnel_down(&mut self, peer: PeerId, step: &mut Step<'_>) {
        if let Some(hub) = self.hub {
            hub.tunnel_down(peer);
        }
        if step.roster.hub().is_some_and(|hub| hub.node.peer == peer) {
            for spoke in self.spokes.values_mut() {
                spoke.interrupted(step);
            }
        }
    }

    fn frame(&mut self, from: PeerId, frame: Frame, step: &mut Step<'_>) {
        match frame {
            Frame::Hello {
                network,
                seat,
                hub,
                session,
                overheard_ms,
                part,
                last,
                captured,
                delivered,
            } => {
                let overheard = Duration::from_millis(overheard_ms.into());
                let head = Greeting::new(from, network, (seat, hub), session, overheard);
                let part = Part {
                    part,
                    last,
                    captured,
                    delivered,
                };
                // A leader may know sooner than this node that this node is the system leader: it greets again.
                if let Some(hub) = self.hub {
                    hub.hello(head, &part, step);
                }
            }
            Frame::Up {
                network,
                session,
                number,
                age_ms,
                packet,
            } => {
                let up = Up {
                    network,
                    session,
                    number,
                    age: age_ms.map(|age| Duration::from_millis(age.into())),
                    packet: packet.into_vec(),
                };
                if let Some(hub) = self.hub {
                    hub.up(from, up, step);
                }
            }
            Frame::Beat { network, session } => {
                if let Some(hub) = self.hub {
                    hub.beat(from, network, session, step);
                }
            }
            // The rest is for a leader, and comes from its system leader or means nothing.
            frame if step.roster.hub().is_some_and(|hub| hub.node.peer == from) => self.word_of_hub(frame, step),
            _ => {}
        }
    }

    fn word_of_hub(&mut self, frame: Frame, step: &mut Step<'_>) {
        match frame {
            Frame::Welcome {
                network,
                session,
                wanted,
            } => {
                if let Some(spoke) = self.spokes.get_mut(&network) {
                    spoke.welcomed(session, &wanted, step);
                }
            }
            Frame::Again { network } => {
                if let Some(spoke) = self.spokes.get_mut(&network) {
                    spoke.interrupted(step);
                }
            }
            Frame::Down {
                network,
                session,
                number,
                origin,
                again,
                packet,
            } => {
                let down = Down {
                    session,
                    number,
                    origin,
                    again,
                    packet: packet.into_vec(),
                };
                if let Some(spoke) = self.spokes.get_mut(&network) {
                    spoke.down(down, step);
                }
            }
            _ => {}
        }
    }
}

/// How the machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether it is sure of its place.
    pub running: bool,
    /// Whether its group has a quorum.
    pub quorate: bool,
    /// How often it was not sure.
    pub fences: u64,
    /// Its networks.
    pub networks: Vec<NetworkView>,
    /// If it is the system leader.
    pub hub: Option<HubView>,
}

/// One of its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkView {
    /// Which.
    pub network: NetworkId,
    /// Its seat there.
    pub seat: Seat,
    /// What it is there.
    pub role: Role,
    /// As its leader: how far the conversation has come.
    pub talk: Talk,
    /// What was counted.
    pub counts: Counts,
}

/// The system leader's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubView {
    /// Datagrams that it has sent to leaders.
    pub relayed: u64,
    /// What was counted.
    pub counts: Counts,
    /// Networks whose leaders were taken in: their seats, and how many datagrams came and went in these conversations.
    pub branches: Vec<(NetworkId, Seat, u64, u64)>,
}
