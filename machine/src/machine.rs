//! The machine: three layers, and the only place where anything passes between them.
//!
//! Each layer has its own small inputs and outputs. An output of one becomes an input of another by way of a first-in first-out
//! worklist, never by recursion: so an input is followed to its end, layer by layer, in an order that a trace shows.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fatebound_cluster::Cluster;
use fatebound_fng::{Context, GroupView, Groups, Refusal};
use fatebound_overlay::message::{Answer, Message, OneShot};
use fatebound_overlay::pipes::Pipes;
use fatebound_overlay::{
    ConfigError, DisconnectCause, Foreign, Identity, Keypair, LinkId, Overlay, PeerId, Port, Posting, Routes, Rule,
    Session, Time, Versions,
};
use fatebound_tree::{GroupId, LOOKED_THROUGH, Tree};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::view::{Counters, PeerView, RoutesView, Status};
use crate::wire::{self, Question, WireError, encode};
use crate::{Command, Config, Event, Input, Output};

/// Room that the worklist keeps from one input to the next: a burst must not cost memory for ever.
const KEPT: usize = 8;

/// One peer, without any input or output of its own.
#[derive(Debug)]
pub struct Machine {
    pub(crate) peer: PeerId,
    pub(crate) incarnation: u64,
    pub(crate) config: Config,
    pub(crate) overlay: Overlay,
    pub(crate) tree: Tree,
    pub(crate) groups: Groups,
    pub(crate) cluster: Cluster,
    pub(crate) pipes: Pipes,
    /// To whom a pipe is wanted as soon as its addresses are known.
    pub(crate) located_for_pipes: BTreeSet<PeerId>,
    pub(crate) sent: Sent,
    worklist: VecDeque<Work>,
    /// What the groups are told of round trips, once it is known for this input: it takes a walk over all links.
    round_trips: Option<Option<Duration>>,
}

/// What has left this machine, and what it threw away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) garbage: u64,
    /// Too long for a frame.
    pub(crate) dropped: u64,
}

/// Something that a layer has yet to take.
#[derive(Debug)]
enum Work {
    Overlay(fatebound_overlay::Input),
    Tree(fatebound_tree::Input),
    Groups(fatebound_fng::Input),
    Cluster(fatebound_cluster::Input),
}

impl Machine {
    /// A peer at the start of its life, at [`Time::ZERO`]. All its randomness, its incarnation included, comes from `seed`: a driver draws
    /// a fresh one for every start.
    ///
    /// # Errors
    /// A configuration that breaks a rule.
    pub fn new(config: &Config, keypair: &Keypair, seed: [u8; 32]) -> Result<Machine, ConfigError> {
        Machine::with_identity(config, &Identity::new(keypair), seed)
    }

    /// The same for a peer that signs and verifies in its own way: for simulators, all of whose peers do so.
    ///
    /// # Errors
    /// A configuration that breaks a rule.
    pub fn with_identity(config: &Config, identity: &Identity, seed: [u8; 32]) -> Result<Machine, ConfigError> {
        let config = config.clone().aligned();
        config.validate()?;
        let mut rng = StdRng::from_seed(seed);
        let peer = identity.peer();
        let incarnation = rng.next_u64();
        let overlay_rng = StdRng::from_rng(&mut rng);
        let groups_rng = StdRng::from_rng(&mut rng);
        Ok(Machine {
            peer,
            incarnation,
            overlay: Overlay::new(&config.overlay, identity, incarnation, overlay_rng),
            tree: Tree::new(&config.tree, peer),
            groups: Groups::new(&config.groups, identity, incarnation, groups_rng),
            cluster: Cluster::new(&config.cluster, peer, incarnation),
            pipes: Pipes::new(&config.overlay, peer, incarnation),
            located_for_pipes: BTreeSet::new(),
            config,
            sent: Sent::default(),
            worklist: VecDeque::new(),
            round_trips: None,
        })
    }

    /// Takes one input at `now` and appends what follows from it to `out`. `now` never goes back.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.round_trips = None;
        match input {
            Input::Received { session, frame } => self.receive(session, &frame, out),
            Input::Request { request, peer, body } => self.on_request(request, peer, &body, out),
            Input::Response { request, body } => self.on_response(request, &body),
            Input::Command(command) => self.on_command(now, command, out),
            Input::Wake => self.wake(now, out),
            Input::Connected {
                session,
                peer,
                opener,
                address,
            } => self.overlay(fatebound_overlay::Input::Connected {
                session,
                peer,
                opener,
                address,
            }),
            Input::Disconnected { session, cause } => {
                self.overlay(fatebound_overlay::Input::Disconnected { session, cause });
            }
            Input::DialFailed { peer, failures } => {
                self.overlay(fatebound_overlay::Input::DialFailed { peer, failures });
            }
            Input::Verified { peer, address } => {
                self.overlay(fatebound_overlay::Input::Verified { peer, address });
            }
            Input::RequestFailed { request, failures } => {
                self.overlay(fatebound_overlay::Input::RequestFailed { request, failures });
            }
            Input::Pipe(input) => self.on_pipe(now, input, out),
            Input::Listening(addresses) => self.overlay(fatebound_overlay::Input::Listening(addresses)),
        }
        self.work(now, out);
    }

    /// When the machine wants `Input::Wake`, if ever. Paths have no timers: the tree never wants it.
    pub fn deadline(&self) -> Option<Time> {
        let layers = [
            self.overlay.deadline(),
            self.groups.deadline(),
            self.cluster.deadline(),
            self.pipes.deadline(),
        ];
        layers.into_iter().flatten().min()
    }

    /// Who this is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// What its overlay is called.
    pub fn network(&self) -> &str {
        &self.config.overlay.network
    }

    /// Which versions of the wire format it speaks.
    pub fn versions(&self) -> Versions {
        self.config.overlay.versions
    }

    /// Whether it has joined the overlay.
    pub fn joined(&self) -> bool {
        self.overlay.joined()
    }

    /// Whether it has a place and nobody beside it, although there were others or bootstrap addresses name some.
    pub fn isolated(&self) -> bool {
        self.overlay.is_isolated()
    }

    /// The peer at a glance.
    pub fn status(&self) -> Status {
        let (links_alive, links_doubtful) = self.overlay.link_counts();
        let overlay = self.overlay.counters();
        let pipes = self.pipes.view().counters;
        Status {
            peer: self.peer,
            incarnation: self.incarnation,
            joined: self.joined(),
            isolated: self.isolated(),
            links_alive,
            links_doubtful,
            groups_as_root: self.groups.as_root(),
            groups_as_member: self.groups.as_member(),
            paths: self.tree.paths(),
            paths_as_delegate: self.tree.paths_as_delegate(),
            notification_bound: self.config.groups.notification_bound(),
            counters: Counters {
                pings_sent: overlay.pings_sent,
                pings_missed: overlay.pings_missed,
                doubts: overlay.doubts,
                questions: self.groups.counters().questions,
                frames_sent: self.sent.frames,
                bytes_sent: self.sent.bytes,
                garbage: self.sent.garbage + overlay.garbage + pipes.garbage,
                digest_mismatches: self.tree.mismatches(),
                links_lost: overlay.links_lost,
                unlike: overlay.unlike,
                twins: overlay.twins,
                repairs: self.groups.counters().repairs_ended,
                dropped: self.sent.dropped + overlay.dropped,
                pipes_opened: pipes.opened,
                pipes_broken: pipes.broken,
            },
        }
    }

    /// Its neighbours, the oldest link first.
    pub fn peers(&self) -> Vec<PeerView> {
        let view = |neighbour: fatebound_overlay::Neighbour| PeerView {
            addresses: self.overlay.addresses(&neighbour.peer),
            peer: neighbour.peer,
            doubtful: neighbour.doubtful,
            wanted: neighbour.wanted,
            paths: neighbour.paths,
            round_trip: neighbour.round_trip,
            incarnation: neighbour.incarnation,
        };
        self.overlay.neighbours().into_iter().map(view).collect()
    }

    /// Its routes.
    pub fn routes(&self) -> RoutesView {
        let (below, above) = self.overlay.leaf_set();
        RoutesView {
            key: self.overlay.key().to_string(),
            below: below.to_vec(),
            above: above.to_vec(),
            rows: self.overlay.rows(),
        }
    }

    /// Whether a path of this group ends here or runs through this peer.
    pub fn carries(&self, group: &GroupId) -> bool {
        self.tree.carries(group)
    }

    /// Numbered invariants of the layers, for tests and checkers.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.tree
            .check_invariants()
            .and_then(|()| self.groups.check_invariants())
    }

    /// Its groups, at most `limit`, in the order of their creation here.
    pub fn groups(&self, limit: usize) -> Vec<GroupView> {
        self.groups.views(limit)
    }

    /// Some of its groups, for who must not keep it from its work for long: see [`Groups::page`].
    pub fn groups_from(&self, from: u32, effort: usize) -> (Vec<(u64, GroupView)>, Option<u32>) {
        self.groups.page(from, effort)
    }

    /// As [`Machine::groups_from`], their ids alone: see [`Groups::ids`].
    pub fn group_ids_from(&self, from: u32, places: u32) -> (Vec<GroupId>, Option<u32>) {
        self.groups.ids(from, places)
    }

    /// One of its groups.
    pub fn group(&self, group: &GroupId) -> Option<GroupView> {
        self.groups.view(group)
    }

    fn overlay(&mut self, input: fatebound_overlay::Input) {
        self.worklist.push_back(Work::Overlay(input));
    }

    pub(crate) fn order(&mut self, command: fatebound_overlay::Command) {
        self.overlay(fatebound_overlay::Input::Command(command));
    }

    fn tree(&mut self, input: fatebound_tree::Input) {
        self.worklist.push_back(Work::Tree(input));
    }

    pub(crate) fn cluster_input(&mut self, input: fatebound_cluster::Input) {
        self.worklist.push_back(Work::Cluster(input));
    }

    pub(crate) fn groups_input(&mut self, input: fatebound_fng::Input) {
        self.worklist.push_back(Work::Groups(input));
    }

    /// A frame that does not decode ends its session: its sender is broken or hostile, and what it said next could not be trusted.
    fn receive(&mut self, session: Session, frame: &[u8], out: &mut Vec<Output>) {
        match wire::decode_frame(frame) {
            Ok(message) => self.overlay(fatebound_overlay::Input::Received { session, message }),
            Err(error) => {
                self.sent.garbage += 1;
                tracing::warn!(session = session.0, %error, "closing a session that brought garbage");
                out.push(Output::Disconnect { session });
                self.overlay(fatebound_overlay::Input::Disconnected {
                    session,
                    cause: DisconnectCause::Garbage,
                });
            }
        }
    }

    /// A malformed question gets an empty answer, which decodes to nothing: its asker need not wait for it. One in a version that we do not speak gets
    /// the words that all versions have in common.
    fn on_request(&mut self, request: fatebound_overlay::RequestId, peer: PeerId, body: &[u8], out: &mut Vec<Output>) {
        let ours = self.config.overlay.versions;
        match wire::decode_question(body, ours) {
            Ok(question) if question.network != self.network() && Rule::BoundQuestions.holds() => {
                self.on_foreign_request(request, peer, question, out);
            }
            Ok(Question { body, .. }) => self.overlay(fatebound_overlay::Input::Request { request, peer, body }),
            Err(WireError::OtherVersion(theirs)) => {
                let body = encode(&Answer::Versions(ours));
                out.push(Output::Respond { request, body });
                foreigner(peer, Foreign::Versions(theirs), out);
            }
            Err(error) => {
                self.sent.garbage += 1;
                tracing::warn!(%peer, %error, "refusing a malformed question");
                out.push(Output::Respond {
                    request,
                    body: Vec::new(),
                });
            }
        }
    }

    /// "Who is asked from another network takes nothing of the question, and declines with the names of both" (protocol.md §3).
    fn on_foreign_request(
        &mut self,
        request: fatebound_overlay::RequestId,
        peer: PeerId,
        question: Question,
        out: &mut Vec<Output>,
    ) {
        let (network, asked) = (self.network().to_owned(), question.network);
        let answer = match question.body {
            OneShot::Above { port: Port::GROUPS, .. } => Answer::Above(encode(
                &fatebound_fng::message::Answer::Decline(Refusal::OtherNetwork {
                    network,
                    asked: asked.clone(),
                }),
            )),
            _ => Answer::Nothing,
        };
        out.push(Output::Respond {
            request,
            body: encode(&answer),
        });
        foreigner(peer, Foreign::Network(asked), out);
    }

    fn on_response(&mut self, request: fatebound_overlay::RequestId, body: &[u8]) {
        match wire::decode_answer(body) {
            Ok(body) => self.overlay(fatebound_overlay::Input::Response { request, body }),
            Err(error) => {
                self.sent.garbage += 1;
                debug!(%error, "a malformed answer counts as none");
                self.overlay(fatebound_overlay::Input::RequestFailed {
                    request,
                    failures: Vec::new(),
                });
            }
        }
    }

    fn on_command(&mut self, now: Time, command: Command, out: &mut Vec<Output>) {
        match command {
            Command::Join { bootstrap } => self.order(fatebound_overlay::Command::Join { bootstrap }),
            Command::Introduce { peer, addresses } => {
                self.order(fatebound_overlay::Command::Introduce { peer, addresses });
            }
            Command::Locate { peer } => self.order(fatebound_overlay::Command::Locate { peer }),
            Command::Group(command) => self.on_group_command(command, out),
            Command::Directory(command) => self.order(fatebound_overlay::Command::Directory(command)),
            Command::Pipe(command) => self.run_pipes(now, fatebound_overlay::pipes::Input::Command(command), out),
            Command::Cluster(command) => self.cluster_input(fatebound_cluster::Input::Command(command)),
            Command::Shutdown => self.shut_down(now, out),
        }
    }

    /// The tags of the layers' own groups are no application's.
    fn on_group_command(&mut self, command: fatebound_fng::Command, out: &mut Vec<Output>) {
        let prefix = fatebound_cluster::guards::RESERVED;
        match command {
            fatebound_fng::Command::Create {
                ticket, tag: Some(tag), ..
            } if tag.starts_with(prefix) => {
                let error = fatebound_fng::CreateError::TagReserved { prefix };
                out.push(Output::Event(Event::Group(fatebound_fng::Event::CreateFailed {
                    ticket,
                    group: None,
                    refusals: Vec::new(),
                    error: Some(error),
                })));
            }
            command => self.groups_input(fatebound_fng::Input::Command(command)),
        }
    }

    /// "releases the paths it merely carries ahead of closing, … hard-fails the groups in which it is a member, and says goodbye on its
    /// links" (protocol.md §6): one layer after the other, each followed to its end, so that the last word is goodbye.
    fn shut_down(&mut self, now: Time, out: &mut Vec<Output>) {
        self.run_pipes(now, fatebound_overlay::pipes::Input::Shutdown, out);
        self.groups_input(fatebound_fng::Input::Command(fatebound_fng::Command::Shutdown));
        self.work(now, out);
        self.tree(fatebound_tree::Input::Shutdown);
        self.work(now, out);
        self.order(fatebound_overlay::Command::Shutdown);
    }

    fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        let due = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
        if due(self.overlay.deadline()) {
            self.overlay(fatebound_overlay::Input::Wake);
        }
        if due(self.groups.deadline()) {
            self.groups_input(fatebound_fng::Input::Wake);
        }
        if due(self.cluster.deadline()) {
            self.cluster_input(fatebound_cluster::Input::Wake);
        }
        if due(self.pipes.deadline()) {
            self.run_pipes(now, fatebound_overlay::pipes::Input::Wake, out);
        }
    }

    /// Until nothing is left that a layer has yet to take.
    fn work(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(work) = self.worklist.pop_front() {
            match work {
                Work::Overlay(input) => self.run_overlay(now, input, out),
                Work::Tree(input) => self.run_tree(now, input),
                Work::Groups(input) => self.run_groups(now, input, out),
                Work::Cluster(input) => self.run_cluster(now, input, out),
            }
        }
        self.worklist.shrink_to(KEPT);
    }

    fn run_overlay(&mut self, now: Time, input: fatebound_overlay::Input, out: &mut Vec<Output>) {
        let mut outputs = Vec::new();
        self.overlay.handle(now, input, &mut outputs);
        for output in outputs {
            self.lift_overlay(output, out);
        }
    }

    fn run_tree(&mut self, now: Time, input: fatebound_tree::Input) {
        let mut outputs = Vec::new();
        self.tree.handle(now, input, &self.overlay, &mut outputs);
        for output in outputs {
            self.lift_tree(output);
        }
    }

    pub(crate) fn mean_round_trip(&mut self) -> Option<Duration> {
        *self.round_trips.get_or_insert_with(|| self.overlay.round_trips())
    }

    fn run_groups(&mut self, now: Time, input: fatebound_fng::Input, out: &mut Vec<Output>) {
        let context = Context {
            round_trips: self.mean_round_trip(),
        };
        let mut outputs = Vec::new();
        self.groups.handle(now, input, context, &mut outputs);
        for output in outputs {
            self.lift_groups(output, out);
        }
    }

    fn lift_overlay(&mut self, output: fatebound_overlay::Output, out: &mut Vec<Output>) {
        use fatebound_overlay::Output as From;
        match output {
            From::Send { session, message } => self.send(session, &message, out),
            From::Connect { peer, addresses, fresh } => out.push(Output::Connect { peer, addresses, fresh }),
            From::Verify { peer, address } => out.push(Output::Verify { peer, address }),
            From::Disconnect { session } => out.push(Output::Disconnect { session }),
            From::Request {
                request,
                peer,
                addresses,
                fresh,
                body,
            } => match self.bounded(encode(&self.question(body))) {
                Some(body) => out.push(Output::Request {
                    request,
                    peer,
                    addresses,
                    fresh,
                    body,
                }),
                None => self.overlay(fatebound_overlay::Input::RequestFailed {
                    request,
                    failures: Vec::new(),
                }),
            },
            From::Respond { request, body } => out.push(Output::Respond {
                request,
                // Empty, it decodes to nothing: its asker need not wait for it.
                body: self.bounded(encode(&body)).unwrap_or_default(),
            }),
            From::Event(event) => self.on_overlay_event(event, out),
        }
    }

    fn question(&self, body: OneShot) -> Question {
        Question::new(self.config.overlay.versions, self.network(), body)
    }

    /// The bytes, unless the other end would have to take them for garbage because of their length.
    fn bounded(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let fits = bytes.len() <= wire::MAX_FRAME;
        if !fits {
            debug!(bytes = bytes.len(), "dropping what is too long for a frame");
            self.sent.dropped += 1;
        }
        fits.then_some(bytes)
    }

    /// What others made may be lost on its way, and must be if its length would end the session between two peers that carry it.
    fn send(&mut self, session: Session, message: &Message, out: &mut Vec<Output>) {
        let mut frame = encode(message);
        if matches!(message, Message::Routed(_) | Message::RoutedAnswer(_)) {
            let Some(fitting) = self.bounded(frame) else { return };
            frame = fitting;
        }
        self.sent.frames += 1;
        self.sent.bytes += frame.len() as u64;
        // "Pings overtake everything else in the send queue" (protocol.md §4), but not the `Hello`: nothing is taken before it.
        let urgent = matches!(message, Message::Hello(_) | Message::Ping(_) | Message::Pong(_));
        out.push(Output::Send { session, frame, urgent });
    }

    fn on_overlay_event(&mut self, event: fatebound_overlay::Event, out: &mut Vec<Output>) {
        use fatebound_overlay::Event as From;
        match event {
            From::Joined => out.push(Output::Event(Event::Joined)),
            From::LinkUp { link, peer, key } => {
                self.tree(fatebound_tree::Input::LinkUp { link, peer, key });
                self.groups_input(fatebound_fng::Input::LinkUp { peer });
                out.push(Output::Event(Event::LinkUp { peer }));
            }
            From::LinkDoubtful { link } => {
                let newest = self.overlay.unacknowledged(link).take(LOOKED_THROUGH);
                let unacknowledged = newest.filter_map(|body| wire::decode(body).ok()).collect();
                self.tree(fatebound_tree::Input::LinkDoubtful { link, unacknowledged });
                if let Some(peer) = self.overlay.peer_of(link) {
                    out.push(Output::Event(Event::LinkDoubtful { peer }));
                }
            }
            From::LinkCleared { link } => {
                if let Some(peer) = self.overlay.peer_of(link) {
                    out.push(Output::Event(Event::LinkCleared { peer }));
                }
            }
            From::LinkDown { link, peer, reason } => {
                let dead = matches!(reason, fatebound_overlay::DownReason::Dead(_));
                self.tree(fatebound_tree::Input::LinkDown { link, dead });
                out.push(Output::Event(Event::LinkDown { peer, reason }));
            }
            From::LinkFailed { peer } => self.groups_input(fatebound_fng::Input::LinkFailed { peer }),
            From::Operation { link, body } => {
                if let Some(operation) = self.words(link, &body) {
                    self.tree(fatebound_tree::Input::Operation { link, operation });
                }
            }
            From::Told { link, body } => {
                if let Some(tell) = self.words(link, &body) {
                    self.tree(fatebound_tree::Input::Told { link, tell });
                }
            }
            From::JointSetSeen { link, joint } => self.tree(fatebound_tree::Input::JointSetSeen { link, joint }),
            From::PeerDead { peer, proof } => {
                self.cluster_input(fatebound_cluster::Input::PeerDead { peer });
                self.groups_input(fatebound_fng::Input::PeerDead { peer, proof });
            }
            From::Asked { from, way, port, body } => self.on_asked(from, way, port, &body),
            From::Answered { posting, from, body } => self.on_answered(posting, from, &body),
            From::PostFailed { posting, unknown, .. } => self.on_post_failed(posting, unknown),
            From::Located { peer, addresses } if self.located_for_pipes.remove(&peer) => {
                self.open_pipe(peer, addresses.clone(), out);
                out.push(Output::Event(Event::Located { peer, addresses }));
            }
            From::Located { peer, addresses } => out.push(Output::Event(Event::Located { peer, addresses })),
            From::Foreigner { peer, theirs, address } => {
                out.push(Output::Event(Event::Foreigner { peer, theirs, address }));
            }
            From::Directory(event) => self.on_directory_event(event, out),
            From::Stopped => out.push(Output::Event(Event::Stopped)),
        }
    }

    /// What the other end of a link says to our tree. Words that are none end the link: its other end is broken or hostile, and what both
    /// count could no longer agree.
    fn words<T: DeserializeOwned>(&mut self, link: LinkId, body: &[u8]) -> Option<T> {
        let words = wire::decode(body).ok();
        if words.is_none() {
            self.sent.garbage += 1;
            self.order(fatebound_overlay::Command::Violation {
                link,
                what: "words that are none",
            });
        }
        words
    }

    fn lift_tree(&mut self, output: fatebound_tree::Output) {
        use fatebound_overlay::Command as Order;
        use fatebound_tree::Output as From;
        match output {
            From::Operate { link, operation } => {
                let body = encode(&operation);
                self.order(Order::Operate { link, body });
            }
            From::Tell { link, tell } => self.order(Order::Tell {
                link,
                body: encode(&tell),
            }),
            From::JointSet { link, joint } => self.order(Order::JointSet { link, joint }),
            From::Violation { link, what } => self.order(Order::Violation { link, what }),
            From::GiveUp { link } => self.order(Order::GiveUp { link }),
            From::FailStuck { paths, notice } => {
                self.groups_input(fatebound_fng::Input::FailStuck { paths, notice });
            }
            From::Event(event) => self.groups_input(fatebound_fng::Input::Tree(event)),
        }
    }

    fn lift_groups(&mut self, output: fatebound_fng::Output, out: &mut Vec<Output>) {
        use fatebound_fng::Output as From;
        use fatebound_overlay::Command as Order;
        use fatebound_tree::Input as Tree;
        match output {
            From::Post {
                post,
                to,
                request,
                ways,
            } => self.order(Order::Post {
                posting: Posting {
                    port: Port::GROUPS,
                    post,
                },
                to,
                body: encode(&request),
                ways,
            }),
            From::Reply { way, answer } => self.order(Order::Reply {
                way,
                body: Some(encode(&answer)),
            }),
            From::ProveAddress { peer } => self.order(Order::ProveAddress { peer }),
            From::Link { peer } if self.overlay.link_to(&peer).is_some() => {
                self.groups_input(fatebound_fng::Input::LinkUp { peer });
            }
            From::Link { peer } => self.order(Order::Link { peer }),
            From::Construct { path, via } => self.tree(Tree::Construct { path, via }),
            From::Confirm { path } => self.tree(Tree::Confirm { path }),
            From::Release { path, cause } => self.tree(Tree::Release { path, cause }),
            From::Fail { group, notice } => self.tree(Tree::Fail { group, notice }),
            From::Silence { group } => self.tree(Tree::Silence { group }),
            From::Unsilence { group } => self.tree(Tree::Unsilence { group }),
            From::Event(event) => self.on_group_event(event, out),
        }
    }
}

/// Somebody asked us who has nothing in common with us.
fn foreigner(peer: PeerId, theirs: Foreign, out: &mut Vec<Output>) {
    let address = None;
    out.push(Output::Event(Event::Foreigner { peer, theirs, address }));
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::message::{Answer, OneShot, RoutedAnswer, Signed};
    use fatebound_overlay::{Output as Lower, RequestId};

    use super::*;

    fn machine() -> Machine {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        Machine::new(&Config::preset(crate::Profile::Lan), &keypair, [1; 32]).unwrap()
    }

    fn answer(from: PeerId, bytes: usize) -> Message {
        let body = Signed {
            from,
            to: from,
            number: 1,
            body: Answer::Above(vec![0; bytes]),
            signature: Vec::new(),
        };
        Message::RoutedAnswer(Box::new(RoutedAnswer {
            trail: Vec::new(),
            body,
        }))
    }

    #[test]
    fn what_is_carried_for_others_is_dropped_when_it_outgrows_a_frame() {
        let mut machine = machine();
        let mut out = Vec::new();
        let (session, peer) = (Session(1), machine.peer);
        machine.send(session, &answer(peer, wire::MAX_FRAME - 200), &mut out);
        assert_eq!((out.len(), machine.status().counters.dropped), (1, 0));
        machine.send(session, &answer(peer, wire::MAX_FRAME), &mut out);
        assert_eq!((out.len(), machine.status().counters.dropped), (1, 1));
    }

    #[test]
    fn a_question_or_an_answer_that_is_too_long_fails_here() {
        let mut machine = machine();
        let mut out = Vec::new();
        let request = RequestId(1);
        let long = vec![0; wire::MAX_FRAME];
        let ask = Lower::Request {
            request,
            peer: machine.peer,
            addresses: Vec::new(),
            fresh: false,
            body: OneShot::Above {
                port: Port::GROUPS,
                body: long.clone(),
            },
        };
        machine.lift_overlay(ask, &mut out);
        assert!(out.is_empty());
        assert!(matches!(
            machine.worklist.front(),
            Some(Work::Overlay(fatebound_overlay::Input::RequestFailed { .. }))
        ));
        let body = Answer::Above(long);
        machine.lift_overlay(Lower::Respond { request, body }, &mut out);
        assert!(matches!(&out[..], [Output::Respond { body, .. }] if body.is_empty()));
    }
}
