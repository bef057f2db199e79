//! One process group at one node: the way in, the founding that it belongs to, the door and the record, and what passes between them.
//!
//! Each of these is a machine or a value of its own, and none knows of another: what one says becomes the input of another here.

use fatebound_base::{Bounded, PeerId, Rule, Time};
use fatebound_overlay::directory::{Claimed, Found, NotPublished, Record};
use fatebound_tree::GroupId;

use crate::config::Config;
use crate::door::Door;
use crate::io::{Event, Output};
use crate::lineage::{Happened, Leader, Lineage};
use crate::message::Words;
use crate::name::{Founding, GroupName, GroupRef};
use crate::numbers::Node;
use crate::publishing::Publisher;
use crate::step::{Asked, Place, Step};
use crate::view::{View, Voter};
use crate::views::{self, ChangeRefused, Status};
use crate::way_in::{Listing, Order, WayIn};

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
    /// The application wants this node out.
    leaving: bool,
    /// When to ask again to be let go.
    ask_again: Option<Time>,
    /// Since when this node has nothing to do here but to answer others.
    out_since: Option<Time>,
    /// The leader of another founding of the name who was asked whether that lives.
    rival: Option<(Founding, PeerId)>,
}

impl Group {
    pub(crate) fn new(name: GroupName, place: Place, me: Node, config: &Config) -> Group {
        Group {
            name,
            place,
            way: WayIn::new(me, config.repeat),
            lineage: None,
            door: Door::default(),
            publisher: Publisher::default(),
            seconds: 0,
            leaving: false,
            ask_again: None,
            out_since: None,
            rival: None,
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

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving && self.out_since.is_none()
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

    pub(crate) fn bounds(&self, limit: usize) -> [Bounded; 2] {
        self.door.bounds(limit)
    }

    pub(crate) fn on_wake(&mut self, step: &mut Step<'_>) {
        let mut orders = Vec::new();
        self.way.on_wake(step.now, &mut orders);
        self.carry_out(step, orders);
        let due = |at: Option<Time>| at.is_some_and(|at| at <= step.now);
        if due(self.lineage.as_ref().and_then(Lineage::deadline)) {
            self.handle(step, views::Input::Wake);
        }
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

    pub(crate) fn join(&mut self, step: &mut Step<'_>, seconds: u32) {
        self.seconds = seconds;
        self.leaving = false;
        self.out_since = None;
        self.set_out(step);
    }

    fn set_out(&mut self, step: &mut Step<'_>) {
        if self.leader() == Leader::NotHere {
            let mut orders = Vec::new();
            self.way.set_out(self.seconds, &mut orders);
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
                    self.lineage = Some(Lineage::new(&self.name, self.place, founding, step));
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
            Some(lineage) if lineage.founding() == founding => self.handle(step, views::Input::Rejoin),
            _ => self.lineage = Some(Lineage::new(&self.name, self.place, founding, step)),
        }
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
        let lineage = self.lineage.as_mut().filter(|_| !self.leaving);
        let begun = match (guard, lineage) {
            (Some(guard), Some(lineage)) if lineage.is_joining() => lineage.found(step, guard),
            _ => None,
        };
        match begun {
            Some(begun) => self.on_happened(step, begun),
            None => {
                self.way.not_founded(step.now);
                step.out.extend(guard.map(|guard| Output::EndGuard { guard }));
            }
        }
    }

    // Words.

    pub(crate) fn on_words(&mut self, step: &mut Step<'_>, from: Node, words: Words) {
        match words {
            Words::Views(message) => {
                let mut happened = Vec::new();
                if let Some(lineage) = &mut self.lineage {
                    lineage.on_agreement(step, from, *message, &mut happened);
                }
                self.on_all_happened(step, happened);
            }
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
        }
        self.plan(step);
    }

    /// N9 ◆ "A newcomer believes those who may sign the name's record, and whom these name, and nobody else."
    fn on_welcome(&mut self, step: &mut Step<'_>, from: Node, install: views::Message, state: Vec<u8>) {
        let Some(lineage) = &mut self.lineage else { return };
        if lineage.is_joining() && !self.way.trusts(&from.peer) && Rule::NamesTrust.holds() {
            return;
        }
        let mut happened = Vec::new();
        lineage.on_welcome(step, from, install, state, &mut happened);
        self.on_all_happened(step, happened);
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
        let mut happened = Vec::new();
        if let Some(lineage) = &mut self.lineage {
            lineage.handle(step, input, &mut happened);
        }
        self.on_all_happened(step, happened);
        self.plan(step);
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
                if self.leaving {
                    return self.left(step);
                }
                step.tell(Event::Removed { name, view, leader });
                self.set_out(step);
            }
            Happened::ChangeRefused(why) => {
                let refused = match &why {
                    ChangeRefused::Guard(nodes) => nodes.as_slice(),
                    _ => &[],
                };
                self.door.refused(refused, step.now + step.config.repeat);
            }
        }
    }

    fn on_installed(&mut self, step: &mut Step<'_>, view: View) {
        let Some(founding) = self.lineage.as_ref().map(Lineage::founding) else {
            return;
        };
        self.way.rest();
        let leads = view.leader() == Some(step.me);
        self.door.installed(&view, leads);
        if leads {
            let publication = self.publisher.lead(&self.name, founding, step.me, &view);
            step.publish(self.place, publication);
        } else {
            self.lead_no_more(step);
        }
        let name = self.name.clone();
        step.tell(Event::Installed { name, founding, view });
        if self.leaving {
            self.ask_to_go(step);
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
        let Some(lineage) = &mut self.lineage else { return };
        let Some(view) = lineage.views().view().filter(|_| lineage.views().may_plan()) else {
            return;
        };
        if let Some(change) = self.door.plan(view) {
            let (insert, remove) = (change.insert, change.remove);
            let mut happened = Vec::new();
            lineage.handle(step, views::Input::Change { insert, remove }, &mut happened);
            self.on_all_happened(step, happened);
        }
    }

    // Leaving.

    pub(crate) fn leave(&mut self, step: &mut Step<'_>) {
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
        if let Some(publication) = self.publisher.bury() {
            step.publish(self.place, publication);
        }
        self.end_guard(step);
        self.lineage = None;
        self.left(step);
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
        if let Some(lineage) = self.lineage.take() {
            step.graves.bury(lineage.id(), favour);
        }
        self.rival = None;
        self.lead_no_more(step);
        if self.leaving {
            return self.left(step);
        }
        let name = self.name.clone();
        step.tell(Event::Dissolved { name, favour });
        self.set_out(step);
    }
}
