//! What stands on the views of a group at one node: the stream, the replicated state, the desk of this node's providers, and at the leader the chair.
//!
//! None of these knows of another; what one says becomes the input of another here, first in, first out. Entries are applied in the order in which the
//! stream delivers them, at every node the same: to the state, then to the desk, then to the chair.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fatebound_base::{Bounded, Time};
use serde::{Deserialize, Serialize};

use crate::numbers::{Node, Seq, ViewNumber};
use crate::protocols::{
    Answer, Chair, ChairInput, ChairOutput, Desk, DeskInput, DeskOutput, Entry, Event, GroupState, MAX_MESSAGE,
    MAX_PROVIDERS_PER_NODE, Notice, Order, ProviderId, Refusal, Remark, Word,
};
use crate::stream::{self, Class, Stream};
use crate::view::View;
use crate::views::Views;

/// Words to the chair that wait for what was submitted before them, at most: some for each provider that a node may have.
const MAX_WORDS: usize = 8 * MAX_PROVIDERS_PER_NODE;

/// What travels in the pipe between a voter and the leader, about one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carried {
    /// Of the stream.
    Stream(stream::Frame),
    /// From a desk to the chair.
    Words {
        /// In which view.
        view: ViewNumber,
        /// In their order.
        words: Vec<Word>,
    },
    /// From the chair to a desk.
    Answer {
        /// In which view.
        view: ViewNumber,
        /// What.
        answer: Answer,
    },
}

/// What a node comes in with: the group as of the cut of its first view.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) state: GroupState,
    /// The last submission of each node that is in it.
    pub(crate) lasts: BTreeMap<Node, u64>,
}

impl Beginning {
    /// As bytes, for newcomers.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let lasts: Vec<(Node, u64)> = self.lasts.iter().map(|(node, last)| (*node, *last)).collect();
        postcard::to_stdvec(&(lasts, serde_bytes::ByteBuf::from(self.state.snapshot()))).unwrap_or_default()
    }

    /// From them; `None` if they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Beginning> {
        let (lasts, snapshot): (Vec<(Node, u64)>, serde_bytes::ByteBuf) = postcard::from_bytes(bytes).ok()?;
        let state = GroupState::restore(&snapshot).ok()?;
        let lasts = lasts.into_iter().collect();
        Some(Beginning { state, lasts })
    }
}

/// What goes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A view begins here; a newcomer brings what it comes in with.
    Begin {
        view: View,
        beginning: Option<Box<Beginning>>,
    },
    /// It has stopped.
    Wedged,
    /// It is over, up to this entry.
    Ended(Seq),
    /// The group goes on without this node.
    Removed,
    /// Something came through a pipe.
    Received {
        from: Node,
        carried: Carried,
    },
    /// A pipe broke, and what was on its way may be lost.
    LineDown(Node),
    /// A pipe takes more again.
    Room(Node),
    /// A pipe did not take this.
    Full {
        to: Node,
        carried: Carried,
    },
    /// An order of an application.
    Order(Order),
    /// The group has to take a larger incarnation.
    Raise(u32),
    Wake,
}

/// What comes out.
#[derive(Debug)]
pub(crate) enum Output {
    Send {
        to: Node,
        carried: Carried,
    },
    /// To these providers of this node.
    Show {
        to: Vec<ProviderId>,
        notice: Notice,
    },
    Event {
        provider: ProviderId,
        event: Event,
    },
    Deactivate {
        provider: ProviderId,
        protocol: Seq,
        argument: Vec<u8>,
    },
}

/// What has yet to be taken by one of the machines.
#[derive(Debug)]
enum Work {
    Stream(stream::Input),
    Message(ProviderId, Entry),
    Order(Order),
    Answer(Answer),
    SayAgain(bool),
    PutOut,
    DeskWake,
    Chair(ChairInput),
}

#[derive(Debug)]
pub(crate) struct Floor {
    me: Node,
    stream: Stream,
    state: Option<GroupState>,
    desk: Desk,
    /// Only at the leader.
    chair: Option<Chair>,
    leader: Option<Node>,
    view: ViewNumber,
    /// The chair's entry that is under way, as a submission of this node; or that waits until one can be made.
    under_way: Option<u64>,
    to_number: Option<Entry>,
    /// The last submission of this node, and words of its desk that come after one.
    submitted: u64,
    words: VecDeque<(u64, Word)>,
    /// When the desk is to say everything again.
    again: Option<Time>,
    repeat: Duration,
    /// Submissions that may wait at this node.
    queue: usize,
    work: VecDeque<Work>,
}

impl Floor {
    /// Of a node that is in no view yet. Its providers are numbered after `last_serial`.
    pub(crate) fn new(me: Node, config: &stream::Config, repeat: Duration, last_serial: u32) -> Floor {
        Floor {
            me,
            stream: Stream::new(me, config.clone()),
            state: None,
            desk: Desk::after(me, last_serial),
            chair: None,
            leader: None,
            view: ViewNumber::default(),
            under_way: None,
            to_number: None,
            submitted: 0,
            words: VecDeque::new(),
            again: None,
            repeat,
            queue: config.queue_submissions,
            work: VecDeque::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let desk = self.state.as_ref().and_then(|_| self.desk.deadline());
        let chair = self.chair.as_ref().and_then(Chair::deadline);
        [self.stream.deadline(), desk, chair, self.again]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn state(&self) -> Option<&GroupState> {
        self.state.as_ref()
    }

    pub(crate) fn providers(&self) -> Vec<ProviderId> {
        self.desk.providers().collect()
    }

    /// Whether a process here is being ended that was expelled.
    pub(crate) fn is_deactivating(&self) -> bool {
        self.desk.is_deactivating()
    }

    pub(crate) fn last_serial(&self) -> u32 {
        self.desk.last_serial()
    }

    /// Why a message of so many bytes would not be taken now, if it would not.
    pub(crate) fn obstacle(&self, provider: ProviderId, bytes: usize) -> Option<Refusal> {
        if !self.desk.providers().any(|local| local == provider) {
            return Some(Refusal::NotListed);
        }
        if bytes > MAX_MESSAGE {
            return Some(not_sent(stream::Refused::TooLong, self.queue));
        }
        self.stream.obstacle(bytes).map(|why| not_sent(why, self.queue))
    }

    /// Who has not voted yet, as the leader knows.
    pub(crate) fn awaited(&self) -> Vec<ProviderId> {
        match (&self.chair, &self.state) {
            (Some(chair), Some(state)) => chair.awaited(state),
            _ => Vec::new(),
        }
    }

    /// The group as of the last entry that was applied here.
    pub(crate) fn beginning(&self) -> Option<Beginning> {
        Some(Beginning {
            state: self.state.clone()?,
            lasts: self.stream.lasts().clone(),
        })
    }

    pub(crate) fn bounds(&self) -> Vec<Bounded> {
        let mut bounds = vec![Bounded::new("words to the chair", self.words.len(), MAX_WORDS)];
        bounds.extend(self.stream.bounds());
        bounds.extend(self.desk.bounds());
        bounds.extend(self.chair.iter().flat_map(Chair::bounds));
        bounds
    }

    /// One step, followed to its end.
    pub(crate) fn handle(&mut self, now: Time, input: Input, views: &mut Views, out: &mut Vec<Output>) {
        match input {
            Input::Begin { view, beginning } => self.on_begin(&view, beginning),
            Input::Wedged => self.stream_input(stream::Input::Wedged),
            Input::Ended(up_to) => self.stream_input(stream::Input::Ended { up_to }),
            Input::Removed => self.on_removed(),
            Input::Received { from, carried } => self.on_received(from, carried, views),
            Input::LineDown(node) => self.on_line_down(now, node),
            Input::Room(node) => self.stream_input(stream::Input::Room { node }),
            Input::Full { to, carried } => self.on_full(now, to, carried),
            Input::Order(order) => self.work.push_back(Work::Order(order)),
            Input::Raise(incarnation) => self.work.push_back(Work::Chair(ChairInput::Raise { incarnation })),
            Input::Wake => self.on_wake(now),
        }
        self.follow(now, views, out);
    }

    fn stream_input(&mut self, input: stream::Input) {
        self.work.push_back(Work::Stream(input));
    }

    /// Every entry of the view before was applied. What the chair had numbered and is not among them is void; so are words that are under way, and the
    /// desk says them again.
    fn on_begin(&mut self, view: &View, beginning: Option<Box<Beginning>>) {
        if let Some(number) = self.under_way.take() {
            self.stream.void(number);
        }
        self.to_number = None;
        self.words.clear();
        self.again = None;
        self.view = view.number;
        self.leader = view.leader();
        let mut lasts = BTreeMap::new();
        if let Some(beginning) = beginning {
            lasts = beginning.lasts;
            self.submitted = lasts.get(&self.me).copied().unwrap_or_default();
            self.state = Some(beginning.state);
        }
        self.stream_input(stream::Input::Installed { lasts });
        if self.leader == Some(self.me) {
            self.chair.get_or_insert_default();
            let present: BTreeSet<Node> = view.voters.iter().map(|voter| voter.node).collect();
            self.work.push_back(Work::Chair(ChairInput::Nodes { present }));
        } else {
            self.chair = None;
        }
        self.work.push_back(Work::SayAgain(true));
    }

    fn on_removed(&mut self) {
        self.stream_input(stream::Input::Removed);
        self.work.push_back(Work::PutOut);
        self.chair = None;
        self.leader = None;
        self.under_way = None;
        self.to_number = None;
        self.words.clear();
        self.again = None;
    }

    fn on_received(&mut self, from: Node, carried: Carried, views: &Views) {
        let here = views
            .view()
            .filter(|here| here.number == self.view && here.contains(from));
        match carried {
            Carried::Stream(frame) => self.stream_input(stream::Input::Received { from, frame }),
            Carried::Words { view, words } if view == self.view && here.is_some() => {
                self.work.push_back(Work::Chair(ChairInput::Words { from, words }));
            }
            Carried::Answer { view, answer } if view == self.view && self.leader == Some(from) => {
                self.work.push_back(Work::Answer(answer));
            }
            Carried::Words { .. } | Carried::Answer { .. } => {}
        }
    }

    fn on_line_down(&mut self, now: Time, node: Node) {
        self.stream_input(stream::Input::LineDown { node });
        if self.leader == Some(node) {
            self.say_again_later(now);
        }
    }

    fn on_full(&mut self, now: Time, to: Node, carried: Carried) {
        match carried {
            Carried::Stream(frame) => self.stream_input(stream::Input::Full { node: to, frame }),
            // The one who wanted the answer repeats its words.
            Carried::Answer { .. } => {}
            Carried::Words { .. } => self.say_again_later(now),
        }
    }

    fn say_again_later(&mut self, now: Time) {
        self.again.get_or_insert(now + self.repeat);
    }

    fn on_wake(&mut self, now: Time) {
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.stream.deadline()) {
            self.stream_input(stream::Input::Wake);
        }
        if due(self.desk.deadline()) {
            self.work.push_back(Work::DeskWake);
        }
        if due(self.chair.as_ref().and_then(Chair::deadline)) {
            self.work.push_back(Work::Chair(ChairInput::Wake));
        }
        if self.again.take_if(|at| *at <= now).is_some() {
            self.work.push_back(Work::SayAgain(false));
        }
    }

    fn follow(&mut self, now: Time, views: &mut Views, out: &mut Vec<Output>) {
        loop {
            while let Some(work) = self.work.pop_front() {
                self.take(now, work, views, out);
            }
            let numbered = self.number(now, views, out);
            self.say(out);
            if self.work.is_empty() && !numbered {
                return;
            }
        }
    }

    fn take(&mut self, now: Time, work: Work, views: &mut Views, out: &mut Vec<Output>) {
        match work {
            Work::Stream(input) => {
                let mut outputs = Vec::new();
                self.stream.handle(now, input, views, &mut outputs);
                self.lift_stream(now, outputs, out);
            }
            Work::Message(provider, entry) => self.submit_message(now, provider, &entry, views, out),
            Work::Order(order) => self.run_desk(now, DeskInput::Order(order), out),
            Work::Answer(answer) => self.run_desk(now, DeskInput::Answer(answer), out),
            Work::SayAgain(true) => self.run_desk(now, DeskInput::Leader, out),
            Work::SayAgain(false) => self.run_desk(now, DeskInput::Again, out),
            Work::DeskWake => self.run_desk(now, DeskInput::Wake, out),
            Work::PutOut => {
                self.run_desk(now, DeskInput::Removed, out);
                self.state = None;
            }
            Work::Chair(input) => self.run_chair(now, input, out),
        }
    }

    fn run_desk(&mut self, now: Time, input: DeskInput<'_>, out: &mut Vec<Output>) {
        let Some(state) = &self.state else { return };
        let mut outputs = Vec::new();
        self.desk.handle(now, input, state, &mut outputs);
        for output in outputs {
            self.lift_desk(output, out);
        }
    }

    fn lift_desk(&mut self, output: DeskOutput, out: &mut Vec<Output>) {
        match output {
            // Beyond the bound the oldest is forgotten: it is said again to the next leader, or after a break.
            DeskOutput::ToChair(word) => {
                self.words.push_back((self.submitted, word));
                if self.words.len() > MAX_WORDS {
                    self.words.pop_front();
                }
            }
            DeskOutput::Submit(entry) => {
                if let Entry::Message { provider, .. } = &entry {
                    self.work.push_back(Work::Message(*provider, entry));
                }
            }
            DeskOutput::Show { to, notice } => out.push(Output::Show { to, notice }),
            DeskOutput::Event { provider, event } => out.push(Output::Event { provider, event }),
            DeskOutput::Deactivate {
                provider,
                protocol,
                argument,
            } => out.push(Output::Deactivate {
                provider,
                protocol,
                argument,
            }),
        }
    }

    fn run_chair(&mut self, now: Time, input: ChairInput, out: &mut Vec<Output>) {
        let (Some(chair), Some(state)) = (&mut self.chair, &self.state) else {
            return;
        };
        let mut outputs = Vec::new();
        chair.handle(now, input, state, &mut outputs);
        let view = self.view;
        for output in outputs {
            match output {
                ChairOutput::Number(entry) => self.to_number = Some(entry),
                ChairOutput::Tell { to, answer } if to == self.me => self.work.push_back(Work::Answer(answer)),
                ChairOutput::Tell { to, answer } => out.push(Output::Send {
                    to,
                    carried: Carried::Answer { view, answer },
                }),
            }
        }
    }

    /// S3: "Nothing acts on a control entry before it is committed, the leader included": what the chair decides goes the way of all entries.
    /// Says whether there was something that could be numbered.
    fn number(&mut self, now: Time, views: &mut Views, out: &mut Vec<Output>) -> bool {
        let Some(Ok(bytes)) = self.to_number.as_ref().map(Entry::encode) else {
            return false;
        };
        let mut outputs = Vec::new();
        // A queue that is full has room again once something was delivered, and then this is tried again.
        let number = self.stream.submit(now, Class::Safe, bytes, views, &mut outputs).ok();
        if let Some(number) = number {
            self.submitted = number;
            self.under_way = Some(number);
            self.to_number = None;
        }
        self.lift_stream(now, outputs, out);
        number.is_some()
    }

    fn submit_message(
        &mut self,
        now: Time,
        provider: ProviderId,
        entry: &Entry,
        views: &mut Views,
        out: &mut Vec<Output>,
    ) {
        let mut outputs = Vec::new();
        let taken = match entry.encode() {
            Ok(bytes) => self
                .stream
                .submit(now, Class::Safe, bytes, views, &mut outputs)
                .map_err(|why| not_sent(why, self.queue)),
            Err(_) => Err(not_sent(stream::Refused::TooLong, self.queue)),
        };
        match taken {
            Ok(number) => self.submitted = number,
            Err(why) => out.push(Output::Event {
                provider,
                event: Event::NotSent(why),
            }),
        }
        self.lift_stream(now, outputs, out);
    }

    fn lift_stream(&mut self, now: Time, outputs: Vec<stream::Output>, out: &mut Vec<Output>) {
        for output in outputs {
            match output {
                stream::Output::Send { to, frame } => out.push(Output::Send {
                    to,
                    carried: Carried::Stream(frame),
                }),
                stream::Output::Deliver {
                    seq,
                    origin,
                    number,
                    body,
                    ..
                } => self.deliver(now, seq, origin, number, &body, out),
                stream::Output::Lagging { node, .. } => self.announce_lagging(node),
                stream::Output::Logged { .. } | stream::Output::Committed { .. } | stream::Output::Unknown { .. } => {}
            }
        }
    }

    /// A decision is the leader's: from anybody else it is no entry. Neither is what says nothing.
    fn deliver(&mut self, now: Time, seq: Seq, origin: Node, number: u64, body: &[u8], out: &mut Vec<Output>) {
        if origin == self.me && self.under_way == Some(number) {
            self.under_way = None;
        }
        let Ok(entry) = Entry::decode(body) else { return };
        let control = entry.is_control();
        let by_whom = match &entry {
            Entry::Message { provider, .. } => provider.node == origin,
            _ => self.leader == Some(origin),
        };
        let Some(state) = self.state.as_mut().filter(|_| by_whom) else {
            return;
        };
        let notices = state.apply(seq, &entry);
        self.run_desk(now, DeskInput::Applied { notices: &notices }, out);
        self.run_chair(now, ChairInput::Applied { control }, out);
    }

    fn announce_lagging(&mut self, node: Node) {
        let Some(state) = &self.state else { return };
        let there = state.providers().iter().filter(|provider| provider.id.node == node);
        let remark = Remark::Lagging;
        let announced: Vec<ChairInput> = there
            .map(|provider| ChairInput::Announce {
                provider: provider.id,
                remark,
            })
            .collect();
        self.work.extend(announced.into_iter().map(Work::Chair));
    }

    /// The desk's words to the chair, each once everything that was submitted before it has its place: "a goodbye does not overtake what was sent before
    /// it".
    fn say(&mut self, out: &mut Vec<Output>) {
        let placed = self.stream.placed();
        let mut words = Vec::new();
        while let Some((_, word)) = self.words.pop_front_if(|(after, _)| *after <= placed) {
            words.push(word);
        }
        let (false, Some(leader)) = (words.is_empty(), self.leader) else {
            return;
        };
        if leader == self.me {
            let from = self.me;
            return self.work.push_back(Work::Chair(ChairInput::Words { from, words }));
        }
        let view = self.view;
        out.push(Output::Send {
            to: leader,
            carried: Carried::Words { view, words },
        });
    }
}

/// In words of a proposal; so many submissions may wait.
fn not_sent(why: stream::Refused, queue: usize) -> Refusal {
    match why {
        stream::Refused::QueueFull => Refusal::QueueFull {
            max: u32::try_from(queue).unwrap_or(u32::MAX),
        },
        stream::Refused::TooLong => Refusal::Length {
            max: u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX),
        },
        stream::Refused::NotIn => Refusal::NotListed,
    }
}
