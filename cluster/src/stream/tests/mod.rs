//! Some nodes in one view, whose entries lie on shelves of this test and whose frames it carries, or loses.

mod acknowledging;
mod changing;
mod delivering;
mod hostile;
mod numbering;
mod resuming;

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::time::Duration;

use fatebound_base::{Bounded, Keypair, Time};
use fatebound_tree::GroupId;

use super::{Class, Config, Frame, Input, Output, Refused, Shelf, Stream};
use crate::log::{Entry, Log};
use crate::numbers::{Node, Seq, ViewNumber};
use crate::quorum::Policy;
use crate::view::{View, Voter};

const MOST: usize = 8;

fn node(number: usize) -> Node {
    static NODES: OnceLock<Vec<Node>> = OnceLock::new();
    let nodes = NODES.get_or_init(|| {
        let keypair = |number: u8| Keypair::ed25519_from_bytes([number + 1; 32]).expect("32 bytes");
        let peers = (0..MOST as u8).map(|number| keypair(number).public().to_peer_id());
        peers.map(|peer| Node { peer, incarnation: 1 }).collect()
    });
    nodes[number]
}

fn place(of: Node) -> usize {
    (0..MOST).find(|number| node(*number) == of).expect("one of ours")
}

fn view(number: u64, members: &[usize], cut: u64) -> View {
    View {
        number: ViewNumber(number),
        voters: members.iter().map(|number| Voter::new(node(*number))).collect(),
        policy: Policy::Majority,
        cut: Seq(cut),
        guard: GroupId {
            root: node(members[0]).peer,
            incarnation: 1,
            sequence: number,
        },
    }
}

/// The entries of a node.
struct Board {
    view: View,
    log: Log,
    past: Log,
    open: bool,
    leads: bool,
    sealed: bool,
}

impl Shelf for Board {
    fn view(&self) -> Option<&View> {
        Some(&self.view)
    }

    fn log(&self) -> Option<&Log> {
        Some(&self.log)
    }

    fn open(&self) -> bool {
        self.open
    }

    fn numbers(&self) -> bool {
        self.open && self.leads && !self.sealed
    }

    fn get(&self, seq: Seq) -> Option<&Entry> {
        self.log.get(seq).or_else(|| self.past.get(seq))
    }

    fn append(&mut self, entry: Entry) -> Option<Seq> {
        let seq = self.log.have().next();
        (self.open && self.log.append(seq, entry)).then_some(seq)
    }

    fn commit(&mut self, seq: Seq) {
        self.log.commit(seq);
    }

    fn forget(&mut self, seq: Seq) {
        self.log.forget(seq);
    }
}

/// What a test says of a frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    /// Not taken.
    Full,
}

/// All nodes.
struct Net {
    now: Time,
    boards: BTreeMap<usize, Board>,
    streams: BTreeMap<usize, Stream>,
    /// What is on its way.
    wire: VecDeque<(usize, usize, Frame)>,
    /// To whom frames are lost, or not taken.
    fates: BTreeMap<usize, Fate>,
    /// Everything that was sent: from, to, at which time.
    sent: Vec<(usize, usize, Frame, Time)>,
    /// What each node was told.
    told: BTreeMap<usize, Vec<Output>>,
}

impl Net {
    /// So many nodes in their first view.
    fn new(members: usize) -> Net {
        Net::with(members, &Config::default())
    }

    fn with(members: usize, config: &Config) -> Net {
        let mut net = Net {
            now: Time::ZERO,
            boards: BTreeMap::new(),
            streams: BTreeMap::new(),
            wire: VecDeque::new(),
            fates: BTreeMap::new(),
            sent: Vec::new(),
            told: BTreeMap::new(),
        };
        let all: Vec<usize> = (0..members).collect();
        for number in &all {
            net.streams.insert(*number, Stream::new(node(*number), config.clone()));
        }
        let first = view(0, &all, 0);
        for number in &all {
            net.install(*number, &first, BTreeMap::new());
        }
        net
    }

    fn install(&mut self, number: usize, view: &View, lasts: BTreeMap<Node, u64>) {
        let empty = || Log::new(Seq(0));
        let before = self.boards.remove(&number);
        let board = Board {
            view: view.clone(),
            log: Log::new(view.cut),
            past: before.map_or_else(empty, |board| board.log),
            open: true,
            leads: view.leader() == Some(node(number)),
            sealed: false,
        };
        self.boards.insert(number, board);
        self.input(number, Input::Installed { lasts });
    }

    fn wedge(&mut self, number: usize) {
        self.board(number).open = false;
        self.input(number, Input::Wedged);
    }

    /// The view is over at a node: it has all up to the cut, from another one if need be.
    fn end(&mut self, number: usize, from: usize, cut: u64) {
        let run = self.boards[&from].log.run(self.boards[&number].log.have(), usize::MAX);
        let log = &mut self.board(number).log;
        log.extend(run, Seq(cut));
        log.cut(Seq(cut));
        self.input(number, Input::Ended { up_to: Seq(cut) });
    }

    fn board(&mut self, number: usize) -> &mut Board {
        self.boards.get_mut(&number).expect("a node")
    }

    fn input(&mut self, number: usize, input: Input) {
        let mut out = Vec::new();
        let stream = self.streams.get_mut(&number).expect("a node");
        let board = self.boards.get_mut(&number).expect("a node");
        stream.handle(self.now, input, board, &mut out);
        self.follow(number, out);
    }

    fn submit_body(&mut self, number: usize, class: Class, body: Vec<u8>) -> Result<u64, Refused> {
        let mut out = Vec::new();
        let stream = self.streams.get_mut(&number).expect("a node");
        let board = self.boards.get_mut(&number).expect("a node");
        let answer = stream.submit(self.now, class, body, board, &mut out);
        self.follow(number, out);
        answer
    }

    fn submit(&mut self, number: usize, class: Class) -> Result<u64, Refused> {
        self.submit_body(number, class, vec![7; 10])
    }

    fn follow(&mut self, number: usize, out: Vec<Output>) {
        for output in out {
            let Output::Send { to, frame } = output else {
                self.told.entry(number).or_default().push(output);
                continue;
            };
            let place = place(to);
            self.sent.push((number, place, frame.clone(), self.now));
            match self.fates.get(&place).copied().unwrap_or(Fate::Arrives) {
                Fate::Arrives => self.wire.push_back((number, place, frame)),
                Fate::Lost => {}
                Fate::Full => self.input(number, Input::Full { node: to, frame }),
            }
        }
    }

    /// Everything that is on its way arrives.
    fn carry(&mut self) {
        let mut frames = 0;
        while let Some((from, to, frame)) = self.wire.pop_front() {
            frames += 1;
            assert!(frames < 100_000, "they do not stop talking");
            let from = node(from);
            self.input(to, Input::Received { from, frame });
        }
    }

    /// So much time passes, and everything arrives.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        self.carry();
        let soonest = |net: &Net| {
            let deadlines = net.streams.iter();
            let deadlines = deadlines.filter_map(|(number, stream)| Some((stream.deadline()?, *number)));
            deadlines.min().filter(|(at, _)| *at <= end)
        };
        while let Some((at, number)) = soonest(self) {
            self.now = self.now.max(at);
            self.input(number, Input::Wake);
            self.carry();
        }
        self.now = end;
    }

    fn down(&mut self, a: usize, b: usize) {
        self.wire
            .retain(|(from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
        self.input(a, Input::LineDown { node: node(b) });
        self.input(b, Input::LineDown { node: node(a) });
    }

    /// What a node has delivered: whose, and the how manieth of that node.
    fn delivered(&self, number: usize) -> Vec<(usize, u64)> {
        let told = self.told.get(&number).map(Vec::as_slice).unwrap_or_default();
        let delivered = told.iter().filter_map(|output| match output {
            Output::Deliver { origin, number, .. } => Some((place(*origin), *number)),
            _ => None,
        });
        delivered.collect()
    }

    fn committed(&self, number: usize) -> Vec<u64> {
        let told = self.told.get(&number).map(Vec::as_slice).unwrap_or_default();
        let committed = told.iter().filter_map(|output| match output {
            Output::Committed { number, .. } => Some(*number),
            _ => None,
        });
        committed.collect()
    }

    /// What was sent since it was asked last.
    fn frames(&mut self) -> Vec<(usize, usize, Frame)> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter().map(|(from, to, frame, _)| (from, to, frame)).collect()
    }

    fn kept(&self, number: usize) -> usize {
        self.boards[&number].log.len()
    }

    /// Everything is known to everybody: no node waits for anything, and none keeps anything.
    fn is_quiet(&self) -> bool {
        self.wire.is_empty()
            && self.streams.values().all(|stream| stream.deadline().is_none())
            && self.boards.values().all(|board| board.log.is_empty())
            && self
                .streams
                .values()
                .all(|stream| stream.bounds().iter().all(Bounded::holds))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
