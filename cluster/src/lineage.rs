//! One founding of a group at one node: agreement on views, what stands on them, and what passes between these and other nodes.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_base::{PeerId, Time};
use fatebound_tree::GroupId;

use crate::floor::{self, Beginning, Floor};
use crate::guards::GuardNote;
use crate::io::Output;
use crate::message::Words;
use crate::name::{Founding, GroupName, GroupRef};
use crate::numbers::{Node, Seq, ViewNumber};
use crate::protocols::GroupState;
use crate::quorum::Policy;
use crate::step::{Asked, Place, Step};
use crate::view::{View, Voter};
use crate::views::{self, Blocked, ChangeRefused, GuardRequest, Message, Status, Views};

/// What has become of this node in the group.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A view begins here.
    Installed(View),
    /// It is over.
    Wedged(ViewNumber),
    Blocked(Blocked),
    Unblocked,
    /// The group goes on without this node.
    Removed {
        view: ViewNumber,
        leader: Node,
    },
    ChangeRefused(ChangeRefused),
    /// For the application.
    Told(floor::Output),
}

/// Who leads the group, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leader {
    This,
    Other(Node),
    /// The view has ended.
    Unknown,
    /// This node is not in the group.
    NotHere,
}

/// What newcomers are told with `Install`.
#[derive(Debug)]
struct Welcome {
    state: Vec<u8>,
    /// Who was in the view before, and has the state.
    know: BTreeSet<Node>,
}

#[derive(Debug)]
pub(crate) struct Lineage {
    place: Place,
    founding: Founding,
    id: GroupRef,
    views: Views,
    /// The view in which this node is, or was last.
    view: Option<View>,
    floor: Floor,
    /// What a newcomer came in with, until its view begins.
    beginning: Option<Box<Beginning>>,
    welcome: Option<Welcome>,
}

impl Lineage {
    /// For a node that wants to come in, or is about to found the group.
    pub(crate) fn new(
        name: &GroupName,
        place: Place,
        founding: Founding,
        step: &Step<'_>,
        last_serial: u32,
    ) -> Lineage {
        Lineage {
            place,
            founding,
            id: GroupRef::new(name, &founding),
            views: Views::joining(step.me, step.config.views.clone()),
            view: None,
            floor: Floor::new(step.me, &step.config.stream, step.config.repeat, last_serial),
            beginning: None,
            welcome: None,
        }
    }

    pub(crate) fn founding(&self) -> Founding {
        self.founding
    }

    pub(crate) fn id(&self) -> GroupRef {
        self.id
    }

    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    /// The view in which this node is, or was last.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.views.deadline(), self.floor.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    pub(crate) fn is_joining(&self) -> bool {
        self.views.status() == Status::Joining
    }

    /// This node was put out and wants in again, as a newcomer (V16).
    pub(crate) fn rejoin(&mut self, step: &mut Step<'_>, out: &mut Vec<Happened>) {
        if self.views.status() == Status::Gone {
            self.view = None;
            self.handle(step, views::Input::Rejoin, out);
        }
    }

    /// V11: "Whoever is not in an open view speaks for nobody".
    pub(crate) fn leader(&self) -> Leader {
        match self.views.view().and_then(View::leader) {
            None => Leader::NotHere,
            Some(_) if !self.views.speaks() => Leader::Unknown,
            Some(leader) if leader == self.views.me() => Leader::This,
            Some(leader) => Leader::Other(leader),
        }
    }

    /// The first view of the group: its founder is alone in it.
    pub(crate) fn found(&mut self, step: &mut Step<'_>, guard: GroupId, state: GroupState, out: &mut Vec<Happened>) {
        let view = View {
            number: ViewNumber::default(),
            voters: vec![Voter::new(step.me)],
            policy: Policy::Majority,
            cut: Seq::default(),
            guard,
        };
        let Some(views) = Views::founding(step.me, view.clone(), step.config.views.clone()) else {
            return;
        };
        self.views = views;
        let lasts = BTreeMap::new();
        self.beginning = Some(Box::new(Beginning { state, lasts }));
        self.on_event(step, views::Event::Installed { view }, out);
    }

    /// A newcomer comes in with the state of the group, or not at all: an `Install` without it comes from somebody who does not have it either.
    pub(crate) fn on_agreement(&mut self, step: &mut Step<'_>, from: Node, message: Message, out: &mut Vec<Happened>) {
        let comes_in = matches!(&message, Message::Install { next } if next.contains(step.me));
        let outside = matches!(self.views.status(), Status::Joining | Status::Gone);
        // Whoever comes in again still answers those that are late in the view that it has left.
        let about_the_past = matches!(&message, Message::Have { .. } | Message::Installed { .. });
        if !(self.is_joining() && !about_the_past || outside && comes_in) {
            self.handle(step, views::Input::Received { from, message }, out);
        }
    }

    pub(crate) fn on_welcome(
        &mut self,
        step: &mut Step<'_>,
        from: Node,
        message: Message,
        state: Vec<u8>,
        out: &mut Vec<Happened>,
    ) {
        if self.views.status() == Status::Gone && self.is_taken_in_again(step.me, from, &message) {
            self.rejoin(step, out);
        }
        if self.is_joining() {
            let Some(beginning) = Beginning::decode(&state) else {
                return;
            };
            self.beginning = Some(Box::new(beginning));
            let know = BTreeSet::new();
            self.welcome = Some(Welcome { state, know });
        }
        self.handle(step, views::Input::Received { from, message }, out);
    }

    /// A node that was let go is in a later view: it has asked to come in, and was let go of another view, or gave up, before it came to that. It
    /// comes, and goes if nobody here wants in any more: the group plans nothing before.
    fn is_taken_in_again(&self, me: Node, from: Node, message: &Message) -> bool {
        let known = self.view.as_ref().is_some_and(|view| view.contains(from));
        known && matches!(message, Message::Install { next } if next.contains(me))
    }

    /// One step of the agreement.
    pub(crate) fn handle(&mut self, step: &mut Step<'_>, input: views::Input, out: &mut Vec<Happened>) {
        let mut outputs = Vec::new();
        self.views.handle(step.now, input, step.context, &mut outputs);
        for output in outputs {
            self.lift(step, output, out);
        }
    }

    /// One step of what stands on it.
    pub(crate) fn on_floor(&mut self, step: &mut Step<'_>, input: floor::Input, out: &mut Vec<Happened>) {
        let mut outputs = Vec::new();
        self.floor.handle(step.now, input, &mut self.views, &mut outputs);
        for output in outputs {
            match output {
                floor::Output::Send { to, carried } => step.send_through_pipe(to, self.id, carried),
                told => out.push(Happened::Told(told)),
            }
        }
    }

    pub(crate) fn on_wake(&mut self, step: &mut Step<'_>, out: &mut Vec<Happened>) {
        let now = step.now;
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.views.deadline()) {
            self.handle(step, views::Input::Wake, out);
        }
        if due(self.floor.deadline()) {
            self.on_floor(step, floor::Input::Wake, out);
        }
    }

    fn lift(&mut self, step: &mut Step<'_>, output: views::Output, out: &mut Vec<Happened>) {
        match output {
            views::Output::Send { to, message } => self.send(step, to, message),
            views::Output::CreateGuard { request, members } => self.create_guard(step, request, members),
            views::Output::Decide { guard, accept } => step.out.push(Output::DecideGuard { guard, accept }),
            views::Output::EndGuard { guard } => step.out.push(Output::EndGuard { guard }),
            views::Output::Event(event) => self.on_event(step, event, out),
        }
    }

    /// "A newcomer is told of its first view with the state of the group at the cut" (cluster.md §4).
    fn send(&mut self, step: &mut Step<'_>, to: Node, message: Message) {
        let install = Box::new(message);
        let words = match (&*install, &self.welcome) {
            (Message::Install { .. }, Some(welcome)) if !welcome.know.contains(&to) => Words::Welcome {
                install,
                state: welcome.state.clone(),
            },
            _ => Words::Views(install),
        };
        step.say(to, self.id, words);
    }

    fn create_guard(&mut self, step: &mut Step<'_>, request: GuardRequest, members: Vec<Node>) {
        let others = members
            .iter()
            .map(|node| node.peer)
            .filter(|peer| *peer != step.me.peer);
        let others: Vec<PeerId> = others.collect();
        let note = GuardNote {
            group: self.id,
            view: request.view,
            ballot: request.ballot,
            members,
        };
        let encoded = note.encode();
        let members = note.members;
        let ticket = step.tickets.number(self.place, Asked::Guard { request, members });
        step.out.push(Output::CreateGuard {
            ticket,
            members: others,
            note: encoded,
            timeout: step.config.views.guard_patience,
        });
    }

    fn on_event(&mut self, step: &mut Step<'_>, event: views::Event, out: &mut Vec<Happened>) {
        match event {
            views::Event::Wedged { view } => {
                self.on_floor(step, floor::Input::Wedged, out);
                out.push(Happened::Wedged(view));
            }
            views::Event::Deliver { up_to, .. } => self.on_floor(step, floor::Input::Ended(up_to), out),
            views::Event::Installed { view } => {
                out.push(Happened::Installed(view.clone()));
                self.remember_for_newcomers();
                self.view = Some(view.clone());
                let beginning = self.beginning.take();
                self.on_floor(step, floor::Input::Begin { view, beginning }, out);
            }
            views::Event::Blocked(blocked) => out.push(Happened::Blocked(blocked)),
            views::Event::Unblocked => out.push(Happened::Unblocked),
            views::Event::Removed { view, leader } => {
                self.remember_for_newcomers();
                self.on_floor(step, floor::Input::Removed, out);
                out.push(Happened::Removed { view, leader });
            }
            views::Event::ChangeRefused(why) => out.push(Happened::ChangeRefused(why)),
        }
    }

    /// Whoever was in the view before has the state; whoever was not gets it with the next one.
    fn remember_for_newcomers(&mut self) {
        let Some(view) = &self.view else {
            // A newcomer itself; it has the state that it came in with.
            return;
        };
        let know = view.voters.iter().map(|voter| voter.node).collect();
        let state = self
            .floor
            .beginning()
            .map(|beginning| beginning.encode())
            .unwrap_or_default();
        self.welcome = Some(Welcome { state, know });
    }
}
