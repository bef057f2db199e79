//! A group whose nodes run the real machines of agreement and of the stream. Guards are played perfectly: one fails when one of its members
//! dies, is cut off or ends it, and then everybody in it is told, sooner or later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

use fatebound_base::Keypair;
use fatebound_cluster::stream::{self, Class, Frame, Stream};
use fatebound_cluster::views::{self, Context, Event, GuardRequest, Message, Status};
use fatebound_cluster::{GroupId, Node, Policy, Seq, Time, View, ViewNumber, Views, Voter};

use crate::observer::Observer;

/// A node, by its place in the world.
pub type Number = usize;

/// Nodes of a world at most.
pub const MOST: usize = 7;

/// The nodes of all worlds.
pub fn nodes() -> &'static [Node] {
    static NODES: OnceLock<Vec<Node>> = OnceLock::new();
    NODES.get_or_init(|| {
        let node = |number: u8| {
            let keypair = Keypair::ed25519_from_bytes([number + 1; 32]).expect("32 bytes");
            Node {
                peer: keypair.public().to_peer_id(),
                incarnation: 1,
            }
        };
        (0..MOST as u8).map(node).collect()
    })
}

/// Which of them.
pub fn number(node: Node) -> Number {
    nodes().iter().position(|other| *other == node).expect("one of ours")
}

/// A node and its two machines.
pub struct Peer {
    pub views: Views,
    pub stream: Stream,
    pub alive: bool,
}

/// One direction of a pipe: in order, of so many frames at most.
#[derive(Default)]
pub struct Line {
    pub frames: VecDeque<Frame>,
    refused: bool,
}

/// A failure notification group.
struct Guard {
    id: GroupId,
    members: BTreeSet<Number>,
    failed: bool,
    told: BTreeSet<Number>,
}

/// A guard that is to be created.
struct Order {
    root: Number,
    request: GuardRequest,
    members: Vec<Number>,
}

/// The state of everything.
pub struct World {
    pub now: Time,
    pub peers: Vec<Peer>,
    /// Messages of agreement: in no order.
    pub mail: Vec<(Number, Number, Message)>,
    pub lines: BTreeMap<(Number, Number), Line>,
    /// Frames that one direction of a pipe bears.
    pub capacity: usize,
    /// Who has not been told yet that its pipe with whom is down.
    pub downs: Vec<(Number, Number)>,
    guards: Vec<Guard>,
    orders: Vec<Order>,
    pub cut: BTreeSet<Number>,
    pub observer: Observer,
    /// How many frames were sent.
    pub sent: usize,
}

impl World {
    /// So many in the first view; the others wait to be taken in.
    pub fn new(members: usize, joiners: usize, config: &stream::Config) -> World {
        let view = View {
            number: ViewNumber(0),
            voters: nodes()[..members].iter().map(|node| Voter::new(*node)).collect(),
            policy: Policy::Majority,
            cut: Seq(0),
            guard: GroupId {
                root: nodes()[0].peer,
                incarnation: 1,
                sequence: 0,
            },
        };
        let peer = |number: Number| Peer {
            views: match number < members {
                true => Views::founding(nodes()[number], view.clone(), views::Config::default()).expect("a member"),
                false => Views::joining(nodes()[number], views::Config::default()),
            },
            stream: Stream::new(nodes()[number], config.clone()),
            alive: true,
        };
        let guard = Guard {
            id: view.guard,
            members: (0..members).collect(),
            failed: false,
            told: BTreeSet::new(),
        };
        let mut world = World {
            now: Time::ZERO,
            peers: (0..members + joiners).map(peer).collect(),
            mail: Vec::new(),
            lines: BTreeMap::new(),
            capacity: usize::MAX,
            downs: Vec::new(),
            guards: vec![guard],
            orders: Vec::new(),
            cut: BTreeSet::new(),
            observer: Observer::new(config),
            sent: 0,
        };
        for number in 0..members {
            world.installed(number, &view);
        }
        world
    }

    pub fn reach(&self, a: Number, b: Number) -> bool {
        self.peers[a].alive && self.peers[b].alive && self.cut.contains(&a) == self.cut.contains(&b)
    }

    /// Who lives.
    pub fn living(&self) -> impl Iterator<Item = Number> + '_ {
        (0..self.peers.len()).filter(|number| self.peers[*number].alive)
    }

    /// Something is submitted; says whether it was taken.
    pub fn submit(&mut self, number: Number, class: Class, padding: usize) -> bool {
        let mut out = Vec::new();
        let body = self.observer.body(padding);
        let Peer { views, stream, .. } = &mut self.peers[number];
        let answer = stream.submit(self.now, class, body.clone(), views, &mut out);
        if let Ok(submitted) = answer {
            self.observer.submits(number, submitted, class, &body);
        }
        self.follow(number, out);
        answer.is_ok()
    }

    /// One input for a stream, and everything that comes of it at once.
    pub fn stream(&mut self, number: Number, input: stream::Input) {
        let mut out = Vec::new();
        let Peer { views, stream, .. } = &mut self.peers[number];
        stream.handle(self.now, input, views, &mut out);
        self.follow(number, out);
    }

    fn follow(&mut self, number: Number, out: Vec<stream::Output>) {
        for output in out {
            match output {
                stream::Output::Send { to, frame } => self.send(number, crate::world::number(to), frame),
                output => self.observer.sees(number, &output, &self.peers[number].views),
            }
        }
        self.observer.looks(number, &self.peers[number]);
    }

    fn send(&mut self, from: Number, to: Number, frame: Frame) {
        self.sent += 1;
        if !self.reach(from, to) {
            self.down(from, to);
            return;
        }
        let line = self.lines.entry((from, to)).or_default();
        if line.frames.len() < self.capacity {
            line.frames.push_back(frame);
        } else {
            line.refused = true;
            let node = nodes()[to];
            self.stream(from, stream::Input::Full { node, frame });
        }
    }

    /// A frame arrives: the one at this place of the line, which stays there if it comes twice.
    pub fn arrive(&mut self, (from, to): (Number, Number), place: usize, twice: bool) {
        let Some(line) = self.lines.get_mut(&(from, to)) else {
            return;
        };
        let frame = match twice {
            true => line.frames.get(place).cloned(),
            false => line.frames.remove(place),
        };
        let room = line.refused && line.frames.len() <= self.capacity / 2;
        if room {
            line.refused = false;
            let node = nodes()[to];
            self.stream(from, stream::Input::Room { node });
        }
        if let Some(frame) = frame {
            let from = nodes()[from];
            self.stream(to, stream::Input::Received { from, frame });
        }
    }

    fn down(&mut self, number: Number, other: Number) {
        if self.peers[number].alive && !self.downs.contains(&(number, other)) {
            self.downs.push((number, other));
        }
    }

    /// A pipe breaks: what is in it is lost, and both ends are told some time.
    pub fn break_line(&mut self, a: Number, b: Number) {
        for (from, to) in [(a, b), (b, a)] {
            self.lines.remove(&(from, to));
            self.down(from, to);
        }
    }

    /// A node is told of a broken pipe.
    pub fn tell_down(&mut self, at: usize) {
        let (number, other) = self.downs.swap_remove(at);
        let node = nodes()[other];
        if self.peers[number].alive {
            self.stream(number, stream::Input::LineDown { node });
        }
    }

    /// Timers of a node that are due.
    pub fn wake(&mut self, number: Number) {
        let peer = &self.peers[number];
        let due = |at: Option<Time>| at.is_some_and(|at| at <= self.now);
        let (views, stream) = (due(peer.views.deadline()), due(peer.stream.deadline()));
        if views {
            self.views(number, views::Input::Wake);
        }
        if stream {
            self.stream(number, stream::Input::Wake);
        }
    }

    /// When a node wants to be woken.
    pub fn deadline(&self, number: Number) -> Option<Time> {
        let peer = &self.peers[number];
        let both = [peer.views.deadline(), peer.stream.deadline()];
        let soonest = both.into_iter().flatten().min();
        soonest.filter(|at| *at < Time::from_nanos(u64::MAX))
    }

    /// One input for agreement, and everything that comes of it at once.
    pub fn views(&mut self, number: Number, input: views::Input) {
        if let views::Input::Received { message, .. } = &input
            && let Message::Fill { view, .. } | Message::Promise { view, .. } = message
        {
            self.observer.fills(number, *view);
        }
        for output in self.outputs(number, input) {
            match output {
                views::Output::Send { to, message } => {
                    let to = crate::world::number(to);
                    if to != number && to < self.peers.len() {
                        self.mail.push((number, to, message));
                    }
                }
                views::Output::CreateGuard { request, members } => {
                    let members = members.iter().map(|node| crate::world::number(*node)).collect();
                    self.orders.push(Order {
                        root: number,
                        request,
                        members,
                    });
                }
                views::Output::EndGuard { guard } => {
                    for other in self.guards.iter_mut().filter(|other| other.id == guard) {
                        other.failed = true;
                        other.told.insert(number);
                    }
                }
                views::Output::Decide { .. } => {}
                views::Output::Event(event) => self.event(number, event),
            }
        }
        self.observer.looks(number, &self.peers[number]);
    }

    fn outputs(&mut self, number: Number, input: views::Input) -> Vec<views::Output> {
        let mut out = Vec::new();
        self.peers[number]
            .views
            .handle(self.now, input, Context::default(), &mut out);
        out
    }

    /// What agreement tells the stream.
    fn event(&mut self, number: Number, event: Event) {
        match event {
            Event::Wedged { .. } => self.stream(number, stream::Input::Wedged),
            Event::Deliver { view, up_to } => {
                self.stream(number, stream::Input::Ended { up_to });
                let lasts = self.peers[number].stream.lasts().clone();
                self.observer.ends(number, view, up_to, &lasts);
            }
            Event::Installed { view } => self.installed(number, &view),
            Event::Removed { .. } => {
                self.stream(number, stream::Input::Removed);
                self.observer.removed(number);
            }
            Event::Blocked(_) | Event::Unblocked | Event::ChangeRefused(_) => {}
        }
    }

    fn installed(&mut self, number: Number, view: &View) {
        let lasts = self.observer.installs(number, view);
        self.stream(number, stream::Input::Installed { lasts });
    }

    /// How many guards are to be created.
    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Everybody who lives and is invited says so; all have to accept.
    pub fn create(&mut self, order: usize) {
        let Order { root, request, members } = self.orders.remove(order);
        if !self.peers[root].alive {
            return;
        }
        let GuardRequest { view, ballot, number } = request;
        let sequence = ((view.0 * 100 + u64::from(ballot.round)) * 100 + u64::from(ballot.place)) * 100;
        let guard = GroupId {
            root: nodes()[root].peer,
            incarnation: 1,
            sequence: sequence + u64::from(number),
        };
        let invitation = || views::Input::Invited {
            guard,
            view: view.next(),
            ballot,
        };
        let mut refusals = Vec::new();
        for member in members.iter().copied().filter(|member| *member != root) {
            let accepted = views::Output::Decide { guard, accept: true };
            let reached = self.reach(root, member);
            if !reached || !self.outputs(member, invitation()).contains(&accepted) {
                refusals.push(nodes()[member]);
            }
        }
        let accepted = refusals.is_empty();
        self.guards.push(Guard {
            id: guard,
            members: members.into_iter().collect(),
            failed: !accepted,
            told: BTreeSet::from([root]).into_iter().filter(|_| !accepted).collect(),
        });
        let answer = match accepted {
            true => views::Input::GuardCreated { request, guard },
            false => views::Input::GuardRefused { request, refusals },
        };
        self.views(root, answer);
    }

    /// Who has to be told of a guard that has failed.
    pub fn alarms(&self) -> Vec<(Number, usize)> {
        let failed = self.guards.iter().enumerate().filter(|(_, guard)| guard.failed);
        let untold = failed.flat_map(|(at, guard)| {
            let untold = guard.members.difference(&guard.told);
            untold.map(move |number| (*number, at))
        });
        untold.filter(|(number, _)| self.peers[*number].alive).collect()
    }

    pub fn alarm(&mut self, number: Number, at: usize) {
        self.guards[at].told.insert(number);
        let guard = self.guards[at].id;
        self.views(number, views::Input::GuardFailed { guard });
    }

    /// The youngest guard fails without a reason.
    pub fn false_alarm(&mut self) {
        if let Some(guard) = self.guards.last_mut() {
            guard.failed = true;
        }
    }

    /// A node dies.
    pub fn crash(&mut self, number: Number) {
        self.peers[number].alive = false;
        self.mail.retain(|(_, to, _)| *to != number);
        for other in 0..self.peers.len() {
            self.break_line(number, other);
        }
        for guard in self.guards.iter_mut().filter(|guard| guard.members.contains(&number)) {
            guard.failed = true;
        }
        let node = nodes()[number];
        for other in self.living().collect::<Vec<_>>() {
            self.views(other, views::Input::Hint { node });
        }
    }

    /// Two parts cannot reach each other any more.
    pub fn part(&mut self, side: BTreeSet<Number>) {
        self.cut = side;
        for a in 0..self.peers.len() {
            for b in 0..a {
                if self.cut.contains(&a) != self.cut.contains(&b) {
                    self.break_line(a, b);
                }
            }
        }
        for guard in &mut self.guards {
            let inside = guard.members.intersection(&self.cut).count();
            guard.failed |= inside > 0 && inside < guard.members.len();
        }
    }

    /// The leader is told to plan a change.
    pub fn change(&mut self, leader: Number, insert: Option<Number>, remove: Option<Number>) {
        let change = views::Input::Change {
            insert: insert.map(|number| Voter::new(nodes()[number])).into_iter().collect(),
            remove: remove.map(|number| nodes()[number]).into_iter().collect(),
        };
        self.views(leader, change);
    }

    /// Lets everything arrive and nothing else go wrong. Says whether a quorum has ended in one view; `None` if there is none.
    pub fn settle(&mut self) -> Option<bool> {
        self.cut.clear();
        for round in 0..1_000 {
            self.exchange();
            if self.settled()
                && self
                    .living()
                    .all(|number| self.peers[number].stream.deadline().is_none())
            {
                return Some(true);
            }
            if round >= 20 && !self.quorum_lives() {
                return None;
            }
            let wakes = self
                .living()
                .filter_map(|number| Some((self.deadline(number)?, number)));
            let Some((at, number)) = wakes.min() else { break };
            self.now = self.now.max(at);
            self.wake(number);
        }
        self.quorum_lives().then_some(false)
    }

    /// Everything that is on its way, until nothing is.
    fn exchange(&mut self) {
        for _ in 0..10_000 {
            if let Some((from, to, message)) = self.mail.pop() {
                if self.reach(from, to) {
                    let from = nodes()[from];
                    self.views(to, views::Input::Received { from, message });
                }
            } else if let Some((number, at)) = self.alarms().first().copied() {
                self.alarm(number, at);
            } else if !self.orders.is_empty() {
                self.create(0);
            } else if !self.downs.is_empty() {
                self.tell_down(0);
            } else if let Some(pair) = self.busy().first().copied() {
                self.arrive(pair, 0, false);
            } else {
                return;
            }
        }
    }

    /// Lines with something on its way.
    pub fn busy(&self) -> Vec<(Number, Number)> {
        let busy = self.lines.iter().filter(|(_, line)| !line.frames.is_empty());
        busy.map(|(pair, _)| *pair).collect()
    }

    /// The view in which all have ended.
    pub fn view(&self) -> Option<&View> {
        let views = self.living().filter_map(|number| self.peers[number].views.view());
        views.max_by_key(|view| view.number)
    }

    /// Everybody who lives is in one open view, or knows that it is not, or waits outside.
    fn settled(&self) -> bool {
        let Some(view) = self.view() else { return false };
        let stands = |number: Number| {
            let views = &self.peers[number].views;
            match views.status() {
                Status::Normal => views.view() == Some(view),
                Status::Gone | Status::Joining => !view.contains(nodes()[number]),
                _ => false,
            }
        };
        self.living().all(stands) && view.voters.iter().all(|voter| self.peers[number(voter.node)].alive)
    }

    /// Whether those who live are a quorum of the last view in which any of them is. Whoever has not come to it does not count if the entries
    /// before its cut have died with those who had them: half of a view with its oldest decides, and the oldest of two is alone.
    fn quorum_lives(&self) -> bool {
        let Some(view) = self.view() else { return false };
        let logs = self.living().flat_map(|number| {
            let views = &self.peers[number].views;
            let now = views.view().map(|view| view.number).zip(views.log());
            now.into_iter().chain(views.past_log())
        });
        let before = logs.filter(|(of, _)| view.number.follows(*of));
        let all_there = before.map(|(_, log)| log.have()).max() >= Some(view.cut);
        let present = self.living().filter_map(|number| {
            let at = self.peers[number].views.view().map(|view| view.number);
            let comes = at == Some(view.number) || (at.is_some() && all_there);
            view.place(nodes()[number]).filter(|_| comes)
        });
        view.policy
            .is_quorum(&view.voters, &present.collect(), &BTreeSet::new())
    }
}
