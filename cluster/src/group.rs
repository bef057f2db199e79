//! One process group at one node: the way in, the founding that it belongs to, the door and the record, and what passes between them.
//!
//! Each of these is a machine or a value of its own, and none knows of another: what one says becomes the input of another here.

use std::collections::VecDeque;

use fatebound_base::{Bounded, PeerId, Rule, Time};
use fatebound_overlay::directory::{Claimed, Found, NotPublished, Record};
use fatebound_tree::GroupId;

use crate::config::Config;
use crate::door::{Change, Door};
use crate::floor;
use crate::io::{Event, JoinRefused, Output};
use crate::lineage::{Happened, Leader, Lineage};
use crate::message::Words;
use crate::name::{Founding, GroupName, GroupRef};
use crate::numbers::Node;
use crate::protocols::{self, Attributes, GroupState, MAX_PROVIDERS_PER_NODE, Ticket};
use crate::publishing::Publisher;
use crate::step::{Asked, Place, Step};
use crate::view::{View, Voter};
use crate::views::{self, ChangeRefused, Status};
use crate::way_in::{Listing, Order, WayIn};

/// A provider that wants to come in.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) ticket: Ticket,
    pub(crate) instance: Vec<u8>,
    pub(crate) info: Vec<u8>,
    pub(crate) attributes: Box<Attributes>,
}

#[derive(Debug)]
pub(crate) struct Group {
    name: GroupName,
    place: Place,
    way: WayIn,
    lineage: Option<Lineage>,
    door: Door,
    publisher: Publisher,
    /// The wall clock when this node was told to join, in seconds since the beginning of 2020.
    seconds: u32,
    /// Joins of providers that wait until this node is in the group.
    waiting: VecDeque<Join>,
    /// Serials that were given out to providers of this node.
    last_serial: u32,
    /// This node has no providers in the group any more, and goes.
    leaving: bool,
    /// When to ask again to be let go.
    ask_again: Option<Time>,
    /// Since when this node has nothing to do here but to answer others.
    out_since: Option<Time>,
    /// The leader of another founding of the name who was asked whether that lives.
    rival: Option<(Founding, PeerId)>,
    /// The founding for which this one was dissolved, and its leader: where to ask first.
    favoured: Option<(Founding, Node)>,
}

impl Group {
    pub(crate) fn new(name: GroupName, place: Place, me: Node, config: &Config, last_serial: u32) -> Group {
        Group {
            name,
            place,
            way: WayIn::new(me, config.repeat),
            lineage: None,
            door: Door::default(),
            publisher: Publisher::default(),
            seconds: 0,
            waiting: VecDeque::new(),
            last_serial,
            leaving: false,
            ask_again: None,
            out_since: None,
            rival: None,
            favoured: None,
        }
    }

    pub(crate) fn name(&self) -> &GroupName {
        &self.name
    }

    /// Under which reference others know the founding that this node has to do with.
    pub(crate) fn id(&self) -> Option<GroupRef> {
        self.lineage.as_ref().map(Lineage::id)
    }

    pub(crate) fn lineage(&self) -> Option<&Lineage> {
        self.lineage.as_ref()
    }

    /// The last serial that was given to a provider of this node.
    pub(crate) fn last_serial(&self) -> u32 {
        let now = self.lineage.as_ref().map(|lineage| lineage.floor().last_serial());
        self.last_serial.max(now.unwrap_or_default())
    }

    /// Whether this node has nothing to do here any more but to answer others.
    pub(crate) fn is_out(&self) -> bool {
        self.out_since.is_some()
    }

    /// What this node is doing to come in.
    pub(crate) fn doing(&self) -> &'static str {
        self.way.doing()
    }

    pub(crate) fn deadline(&self, step: &Step<'_>) -> Option<Time> {
        let linger = self.out_since.map(|since| since + step.config.linger);
        let all = [
            self.way.deadline(),
            self.lineage.as_ref().and_then(Lineage::deadline),
            self.door.deadline(),
            self.publisher.deadline(),
            self.ask_again,
            linger,
        ];
        all.into_iter().flatten().min()
    }

    /// Whether nothing of the group is needed here any more.
    pub(crate) fn is_over(&self, step: &Step<'_>) -> bool {
        self.out_since
            .is_some_and(|since| since + step.config.linger <= step.now)
    }

    pub(crate) fn bounds(&self, limit: usize) -> Vec<Bounded> {
        let mut bounds = self.door.bounds(limit).to_vec();
        bounds.push(Bounded::new(
            "joins that wait",
            self.waiting.len(),
            MAX_PROVIDERS_PER_NODE,
        ));
        bounds.extend(self.lineage.iter().flat_map(|lineage| lineage.floor().bounds()));
        bounds
    }

    pub(crate) fn on_wake(&mut self, step: &mut Step<'_>) {
        let mut orders = Vec::new();
        self.way.on_wake(step.now, &mut orders);
        self.carry_out(step, orders);
        self.with_lineage(step, Lineage::on_wake);
        if self.ask_again.is_some_and(|at| at <= step.now) {
            self.ask_to_go(step);
        }
        self.door.on_wake(step.now);
        if let Some(publication) = self.publisher.due(step.now) {
            step.publish(self.place, publication);
        }
        self.plan(step);
    }

    // The way in.

    /// N10: "a peer is in a group for its providers": it comes in with the first, and goes with the last.
    pub(crate) fn join(&mut self, step: &mut Step<'_>, seconds: u32, join: Join) {
        if self.waiting.len() >= MAX_PROVIDERS_PER_NODE {
            let max = MAX_PROVIDERS_PER_NODE;
            return self.refuse(step, join.ticket, JoinRefused::TooManyJoins { max });
        }
        if let Err(why) = join.attributes.check() {
            return self.refuse(step, join.ticket, why.into());
        }
        self.seconds = self.seconds.max(seconds);
        self.out_since = None;
        self.waiting.push_back(join);
        if self.leader() == Leader::NotHere {
            self.leaving = false;
            self.set_out(step);
        }
        self.seat(step);
    }

    fn refuse(&self, step: &mut Step<'_>, ticket: Ticket, why: JoinRefused) {
        let name = self.name.clone();
        step.tell(Event::JoinRefused { name, ticket, why });
    }

    pub(crate) fn abandon(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let before = self.waiting.len();
        self.waiting.retain(|join| join.ticket != ticket);
        if self.waiting.len() < before {
            self.refuse(step, ticket, JoinRefused::Abandoned);
        }
    }

    /// Whoever waits becomes a provider of this node, once it is in the group and does not go.
    fn seat(&mut self, step: &mut Step<'_>) {
        let ready = self
            .lineage
            .as_ref()
            .is_some_and(|lineage| lineage.floor().state().is_some());
        while ready && !self.leaving {
            let Some(join) = self.waiting.pop_front() else { return };
            self.order(
                step,
                protocols::Order::Join {
                    ticket: join.ticket,
                    instance: join.instance,
                    info: join.info,
                    attributes: *join.attributes,
                },
            );
        }
    }

    pub(crate) fn order(&mut self, step: &mut Step<'_>, order: protocols::Order) {
        self.on_floor(step, floor::Input::Order(order));
    }

    /// A node without providers goes.
    pub(crate) fn go_if_empty(&mut self, step: &mut Step<'_>) {
        let seated = self
            .lineage
            .as_ref()
            .is_some_and(|lineage| !lineage.floor().providers().is_empty() || lineage.floor().is_deactivating());
        if self.waiting.is_empty() && !seated && !self.leaving {
            self.leave(step);
        }
    }

    fn set_out(&mut self, step: &mut Step<'_>) {
        if self.leader() == Leader::NotHere {
            let mut orders = Vec::new();
            match self.favoured.take() {
                Some((founding, leader)) => self.way.set_out_for(step.now, founding, leader, &mut orders),
                None => self.way.set_out(self.seconds, &mut orders),
            }
            self.carry_out(step, orders);
        }
    }

    pub(crate) fn on_found(&mut self, step: &mut Step<'_>, outcome: &Found) {
        let mut orders = Vec::new();
        self.way.on_found(step.now, outcome, &mut orders);
        self.carry_out(step, orders);
    }

    pub(crate) fn on_claimed(&mut self, step: &mut Step<'_>, outcome: &Claimed) {
        let mut orders = Vec::new();
        self.way.on_claimed(step.now, outcome, &mut orders);
        self.carry_out(step, orders);
    }

    fn carry_out(&mut self, step: &mut Step<'_>, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Find => step.find(self.place, &self.name),
                Order::Claim => step.claim(self.place, &self.name),
                Order::Found(founding) => {
                    self.begin_lineage(step, founding);
                    self.make_first_guard(step);
                }
                Order::Ask(founding, peer, life) => {
                    self.belong_to(step, founding);
                    let (id, voter) = (GroupRef::new(&self.name, &founding), Voter::new(step.me));
                    step.mail.say_to_peer(peer, life, id, Words::Insert { voter });
                }
            }
        }
    }

    /// This node wants into this founding. If it was put out of it before, it comes in as a newcomer (V16).
    fn belong_to(&mut self, step: &mut Step<'_>, founding: Founding) {
        match &self.lineage {
            Some(lineage) if lineage.founding() == founding => self.with_lineage(step, Lineage::rejoin),
            _ => self.begin_lineage(step, founding),
        }
    }

    fn begin_lineage(&mut self, step: &Step<'_>, founding: Founding) {
        // Who wanted in or out of the one before: this node too, if it was the last one to go.
        self.door = Door::default();
        self.last_serial = self.last_serial();
        self.lineage = Some(Lineage::new(&self.name, self.place, founding, step, self.last_serial));
    }

    fn make_first_guard(&mut self, step: &mut Step<'_>) {
        let ticket = step.tickets.number(self.place, Asked::FirstGuard);
        step.out.push(Output::CreateGuard {
            ticket,
            members: Vec::new(),
            note: Vec::new(),
            timeout: step.config.views.guard_patience,
        });
    }

    pub(crate) fn on_first_guard(&mut self, step: &mut Step<'_>, guard: Option<GroupId>) {
        let joining = self.lineage.as_ref().is_some_and(Lineage::is_joining) && !self.leaving;
        match (guard, self.first_state()) {
            (Some(guard), Some(state)) if joining => self.with_lineage(step, |lineage, step, happened| {
                lineage.found(step, guard, state, happened);
            }),
            (guard, _) => {
                self.way.not_founded(step.now);
                step.out.extend(guard.map(|guard| Output::EndGuard { guard }));
            }
        }
    }

    /// Of the group that this node founds: as its first provider takes it to be.
    fn first_state(&self) -> Option<GroupState> {
        let (founding, first) = (self.lineage.as_ref()?.founding(), self.waiting.front()?);
        GroupState::founding((*first.attributes).clone(), founding.incarnation).ok()
    }

    // Words.

    pub(crate) fn on_words(&mut self, step: &mut Step<'_>, from: Node, words: Words) {
        match words {
            Words::Views(message) => self.with_lineage(step, |lineage, step, happened| {
                lineage.on_agreement(step, from, *message, happened);
            }),
            Words::Welcome { install, state } => self.on_welcome(step, from, *install, state),
            Words::Insert { voter } => self.on_insert(step, from, voter),
            Words::Remove => self.on_remove(step, from),
            Words::Wait => self.way.on_wait(step.now, from),
            Words::Leader { leader } => {
                let mut orders = Vec::new();
                self.way.on_leader(step.now, from, leader, &mut orders);
                self.carry_out(step, orders);
            }
            Words::NotHere => {
                let mut orders = Vec::new();
                self.way.on_not_here(step.now, from.peer, &mut orders);
                self.carry_out(step, orders);
            }
            Words::Contest { rival } => self.on_contest(step, from, rival),
            Words::Lives { founding } => self.on_rival_lives(step, from, founding),
            Words::Dissolved { favour } => self.on_dissolved(step, from, favour),
            // Of the floor.
            Words::Carried { .. } => {}
        }
        self.plan(step);
    }

    /// N9 ◆ "A newcomer believes those who may sign the name's record, and whom these name, and nobody else."
    fn on_welcome(&mut self, step: &mut Step<'_>, from: Node, install: views::Message, state: Vec<u8>) {
        let joining = self.lineage.as_ref().is_some_and(Lineage::is_joining);
        if joining && !self.way.trusts(&from.peer) && Rule::NamesTrust.holds() {
            return;
        }
        self.with_lineage(step, |lineage, step, happened| {
            lineage.on_welcome(step, from, install, state, happened);
        });
    }

    fn on_insert(&mut self, step: &mut Step<'_>, from: Node, voter: Voter) {
        let Some(id) = self.id() else { return };
        match self.leader() {
            Leader::This if voter == Voter::new(from) => {
                if self.door.wants_in(voter, step.config.max_waiting) {
                    step.say(from, id, Words::Wait);
                }
            }
            Leader::This | Leader::Unknown => {}
            Leader::Other(leader) => step.say(from, id, Words::Leader { leader }),
            Leader::NotHere => step.say(from, id, Words::NotHere),
        }
    }

    fn on_remove(&mut self, step: &mut Step<'_>, from: Node) {
        let view = self.lineage.as_ref().and_then(|lineage| lineage.views().view());
        let inside = view.is_some_and(|view| view.contains(from));
        if inside && self.leader() == Leader::This {
            self.door.wants_out(from, step.config.max_waiting);
        }
    }

    fn leader(&self) -> Leader {
        self.lineage.as_ref().map_or(Leader::NotHere, Lineage::leader)
    }

    // Views.

    pub(crate) fn handle(&mut self, step: &mut Step<'_>, input: views::Input) {
        self.with_lineage(step, |lineage, step, happened| lineage.handle(step, input, happened));
        self.plan(step);
    }

    /// What stands on the views.
    pub(crate) fn on_floor(&mut self, step: &mut Step<'_>, input: floor::Input) {
        self.with_lineage(step, |lineage, step, happened| lineage.on_floor(step, input, happened));
    }

    fn with_lineage(
        &mut self,
        step: &mut Step<'_>,
        work: impl FnOnce(&mut Lineage, &mut Step<'_>, &mut Vec<Happened>),
    ) {
        let mut happened = Vec::new();
        if let Some(lineage) = &mut self.lineage {
            work(lineage, step, &mut happened);
        }
        self.on_all_happened(step, happened);
    }

    fn on_all_happened(&mut self, step: &mut Step<'_>, all: Vec<Happened>) {
        for happened in all {
            self.on_happened(step, happened);
        }
    }

    fn on_happened(&mut self, step: &mut Step<'_>, happened: Happened) {
        let name = self.name.clone();
        match happened {
            Happened::Installed(view) => self.on_installed(step, view),
            Happened::Wedged(view) => step.tell(Event::Wedged { name, view }),
            Happened::Blocked(blocked) => step.tell(Event::Blocked { name, blocked }),
            Happened::Unblocked => step.tell(Event::Unblocked { name }),
            Happened::Removed { view, leader } => {
                self.lead_no_more(step);
                if !self.leaving {
                    step.tell(Event::Removed { name, view, leader });
                }
                self.after_it(step);
            }
            Happened::Told(told) => self.tell(step, told),
            Happened::ChangeRefused(why) => {
                let refused = match &why {
                    ChangeRefused::Guard(nodes) => nodes.as_slice(),
                    _ => &[],
                };
                self.door.refused(refused, step.now + step.config.repeat);
            }
        }
    }

    /// This node is in the group no more. Whoever waits has it set out again.
    fn after_it(&mut self, step: &mut Step<'_>) {
        if self.waiting.is_empty() {
            self.leaving = true;
            return self.left(step);
        }
        if self.leaving {
            let name = self.name.clone();
            step.tell(Event::Left { name });
        }
        self.leaving = false;
        self.ask_again = None;
        self.set_out(step);
    }

    fn tell(&self, step: &mut Step<'_>, told: floor::Output) {
        let name = self.name.clone();
        match told {
            floor::Output::Show { to, notice } => step.tell(Event::Shown { name, to, notice }),
            floor::Output::Event { provider, event } => step.tell(Event::Provider { name, provider, event }),
            floor::Output::Deactivate {
                provider,
                protocol,
                argument,
            } => step.tell(Event::Deactivate {
                name,
                provider,
                protocol,
                argument,
            }),
            // Sent already.
            floor::Output::Send { .. } => {}
        }
    }

    fn on_installed(&mut self, step: &mut Step<'_>, view: View) {
        let Some(founding) = self.lineage.as_ref().map(Lineage::founding) else {
            return;
        };
        self.way.rest();
        self.out_since = None;
        let leads = view.leader() == Some(step.me);
        self.door.installed(&view, leads);
        if leads {
            self.publish(step, &view);
        } else {
            self.lead_no_more(step);
        }
        let name = self.name.clone();
        step.tell(Event::Installed { name, founding, view });
        if self.leaving {
            self.ask_to_go(step);
        }
        self.seat(step);
    }

    fn publish(&mut self, step: &mut Step<'_>, view: &View) {
        let Some(founding) = self.lineage.as_ref().map(Lineage::founding) else {
            return;
        };
        let incarnation = self.incarnation();
        let publication = self.publisher.lead(&self.name, founding, incarnation, step.me, view);
        step.publish(self.place, publication);
    }

    /// As raised since the founding.
    fn incarnation(&self) -> u32 {
        let state = self.lineage.as_ref().and_then(|lineage| lineage.floor().state());
        state.map_or(0, |state| state.epoch().incarnation())
    }

    /// N8: the record says a raised incarnation, and so comes before the tombstone of the founding that has given way.
    pub(crate) fn publish_if_raised(&mut self, step: &mut Step<'_>) {
        let raised = self
            .publisher
            .incarnation()
            .is_some_and(|published| published < self.incarnation());
        if !raised || self.leader() != Leader::This {
            return;
        }
        if let Some(view) = self.lineage.as_ref().and_then(Lineage::view).cloned() {
            self.publish(step, &view);
        }
    }

    fn lead_no_more(&mut self, step: &mut Step<'_>) {
        self.door = Door::default();
        if self.publisher.stop() {
            step.forget(&self.name);
        }
    }

    /// The next change, if there is one to be made and now is the time.
    fn plan(&mut self, step: &mut Step<'_>) {
        let Some(lineage) = &self.lineage else { return };
        let Some(view) = lineage.views().view().filter(|_| lineage.views().may_plan()) else {
            return;
        };
        if let Some(Change { insert, remove }) = self.door.plan(view) {
            self.with_lineage(step, |lineage, step, happened| {
                lineage.handle(step, views::Input::Change { insert, remove }, happened);
            });
        }
    }

    // Leaving.

    fn leave(&mut self, step: &mut Step<'_>) {
        self.leaving = true;
        self.way.rest();
        match self.lineage.as_ref().map(|lineage| lineage.views().status()) {
            None | Some(Status::Joining | Status::Gone) => self.left(step),
            Some(_) => self.ask_to_go(step),
        }
        self.plan(step);
    }

    fn ask_to_go(&mut self, step: &mut Step<'_>) {
        self.ask_again = None;
        let Some(lineage) = &self.lineage else { return };
        let alone = lineage.view().is_some_and(|view| view.voters.len() == 1);
        match lineage.leader() {
            Leader::This if alone => return self.bury(step),
            Leader::This => {
                self.door.wants_out(step.me, step.config.max_waiting);
            }
            Leader::Other(leader) => step.say(leader, lineage.id(), Words::Remove),
            Leader::NotHere => return self.left(step),
            Leader::Unknown => {}
        }
        self.ask_again = Some(step.now + step.config.repeat);
    }

    /// The last member goes, and with it the group.
    fn bury(&mut self, step: &mut Step<'_>) {
        self.bury_record(step);
        self.end_guard(step);
        self.last_serial = self.last_serial();
        self.lineage = None;
        self.after_it(step);
    }

    fn bury_record(&mut self, step: &mut Step<'_>) {
        let incarnation = self.incarnation();
        if let Some(publication) = self.publisher.bury(incarnation) {
            step.publish(self.place, publication);
        }
    }

    fn end_guard(&mut self, step: &mut Step<'_>) {
        if let Some(view) = self.lineage.as_ref().and_then(Lineage::view)
            && view.guard.root == step.me.peer
        {
            step.out.push(Output::EndGuard { guard: view.guard });
        }
    }

    fn left(&mut self, step: &mut Step<'_>) {
        self.ask_again = None;
        if self.out_since.is_none() {
            self.out_since = Some(step.now);
            let name = self.name.clone();
            step.tell(Event::Left { name });
        }
    }

    // Two foundings of one name.

    pub(crate) fn on_not_published(&mut self, step: &mut Step<'_>, why: &NotPublished) {
        self.publisher.not_published(step.now, step.config.publish_again);
        if let NotPublished::Taken(theirs) = why {
            self.on_conflict(step, theirs.record());
        }
    }

    /// Another founding of the name is in the directory: its leader is asked whether it lives.
    pub(crate) fn on_conflict(&mut self, step: &mut Step<'_>, theirs: &Record) {
        let (Some(lineage), Leader::This) = (&self.lineage, self.leader()) else {
            return;
        };
        let Ok(listing) = postcard::from_bytes::<Listing>(&theirs.body) else {
            return;
        };
        let ours = lineage.founding();
        if listing.founding != ours && listing.leader.peer == theirs.publisher {
            self.contest(step, listing.leader, listing.founding, ours);
        }
    }

    fn contest(&mut self, step: &mut Step<'_>, leader: Node, theirs: Founding, ours: Founding) {
        self.rival = Some((theirs, leader.peer));
        let id = GroupRef::new(&self.name, &theirs);
        step.say(leader, id, Words::Contest { rival: ours });
    }

    fn on_contest(&mut self, step: &mut Step<'_>, from: Node, rival: Founding) {
        let (Some(lineage), Leader::This) = (&self.lineage, self.leader()) else {
            return;
        };
        let ours = lineage.founding();
        if ours < rival {
            let id = GroupRef::new(&self.name, &rival);
            step.say(from, id, Words::Lives { founding: ours });
            // N8: its epochs have to be ahead of those of the group that gives way.
            self.on_floor(step, floor::Input::Raise(rival.incarnation.saturating_add(1)));
        } else if ours != rival {
            self.contest(step, from, rival, ours);
        }
    }

    /// N5 ◆ "Of two foundings of a name the older one remains, if its leader says that it lives": this is the younger one.
    fn on_rival_lives(&mut self, step: &mut Step<'_>, from: Node, theirs: Founding) {
        let (Some(lineage), Leader::This) = (&self.lineage, self.leader()) else {
            return;
        };
        let asked = self.rival == Some((theirs, from.peer));
        if asked && theirs < lineage.founding() && Rule::NamesOlderRemains.holds() {
            let voters = lineage.view().map(|view| view.voters.clone()).unwrap_or_default();
            let me = step.me;
            for voter in voters.iter().filter(|voter| voter.node != me) {
                step.say(voter.node, lineage.id(), Words::Dissolved { favour: theirs });
            }
            self.end_guard(step);
            self.bury_record(step);
            self.favoured = Some((theirs, from));
            self.dissolve(step, theirs);
        }
    }

    /// Said by the leader, or by whoever remembers it.
    fn on_dissolved(&mut self, step: &mut Step<'_>, from: Node, favour: Founding) {
        let Some(lineage) = &self.lineage else { return };
        let inside = lineage.view().is_some_and(|view| view.contains(from));
        if inside && favour < lineage.founding() {
            self.dissolve(step, favour);
        }
    }

    fn dissolve(&mut self, step: &mut Step<'_>, favour: Founding) {
        self.on_floor(step, floor::Input::Removed);
        self.last_serial = self.last_serial();
        if let Some(lineage) = self.lineage.take() {
            step.graves.bury(lineage.id(), favour);
        }
        self.rival = None;
        self.lead_no_more(step);
        if !self.leaving {
            let name = self.name.clone();
            step.tell(Event::Dissolved { name, favour });
        }
        self.after_it(step);
    }
}
