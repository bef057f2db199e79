//! The process groups of one peer. `handle` only dispatches: to the group that an input is about.

use std::collections::BTreeMap;

use fatebound_base::{Bounded, Deadlines, PeerId, Time};
use fatebound_overlay::directory::{self, Ticket};
use fatebound_overlay::{PostId, Way};
use fatebound_tree::GroupId;

use crate::config::Config;
use crate::detours::News;
use crate::floor;
use crate::graves::Graves;
use crate::group::{Group, Join};
use crate::guards::GuardNote;
use crate::io::{Command, Context, Event, GuardInput, Input, JoinRefused, Output, PipeInput};
use crate::lineage::Lineage;
use crate::lines::{self, Arrival, Lines};
use crate::mail::Mail;
use crate::message::{Envelope, MAX_ENVELOPES, Packet, Receipt, Words};
use crate::name::{Founding, GroupName, GroupRef};
use crate::numbers::Node;
use crate::protocols::{GroupState, ProviderId, Refusal};
use crate::step::{Asked, Place, Step, Tickets};
use crate::view::View;
use crate::views::{self, Blocked, Status};

/// Guards of one group at a time, at most: of its view, of views to come, and some that are ended and not told yet.
const MAX_GUARDS: usize = 16;

/// The machine.
#[derive(Debug)]
pub struct Cluster {
    me: Node,
    config: Config,
    groups: BTreeMap<Place, Group>,
    by_name: BTreeMap<GroupName, Place>,
    by_id: BTreeMap<GroupRef, Place>,
    /// The guards in which this node is, or which it is asked to be in, and of which founding they are.
    guards: BTreeMap<GroupId, (Place, GroupRef)>,
    timers: Deadlines<Place>,
    next: u64,
    /// Serials that were given to providers in groups that are forgotten: no provider is named as another was.
    last_serial: u32,
    /// Whether this node stands at the port of process groups.
    listening: bool,
    lines: Lines,
    mail: Mail,
    tickets: Tickets,
    graves: Graves,
    dropped: u64,
}

/// What can be read of a group.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// Its name.
    pub name: GroupName,
    /// Which founding, once it is known.
    pub founding: Option<Founding>,
    /// How this node stands to it.
    pub status: Status,
    /// The view in which this node is, or was last.
    pub view: Option<View>,
    /// What is missing of a quorum, if it is blocked.
    pub blocked: Option<Blocked>,
    /// The replicated state, as of the last entry that was applied here.
    pub state: Option<GroupState>,
    /// At the leader: who has not voted in the phase that is open.
    pub awaited: Vec<ProviderId>,
    /// This node's providers, also those that are not in the group yet.
    pub own: Vec<ProviderId>,
    /// What this node does to come in, if it is not in it.
    pub doing: &'static str,
}

impl Cluster {
    /// No groups yet.
    pub fn new(config: &Config, peer: PeerId, incarnation: u64) -> Cluster {
        Cluster {
            me: Node { peer, incarnation },
            config: config.clone(),
            groups: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_id: BTreeMap::new(),
            guards: BTreeMap::new(),
            timers: Deadlines::default(),
            next: 0,
            last_serial: 0,
            listening: false,
            lines: Lines::default(),
            mail: Mail::default(),
            tickets: Tickets::default(),
            graves: Graves::default(),
            dropped: 0,
        }
    }

    /// When `Input::Wake` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.timers
            .next()
            .into_iter()
            .chain(self.lines.detours.deadline())
            .min()
    }

    /// Whether a ticket is one of an order of these groups, and not of the application.
    pub fn is_ours(ticket: u64) -> bool {
        Tickets::is_ours(ticket)
    }

    /// Whether a failure notification group is one of the guards.
    pub fn guards(&self, guard: &GroupId) -> bool {
        self.guards.contains_key(guard)
    }

    /// The groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = GroupStatus> + '_ {
        self.by_name
            .values()
            .filter_map(|place| self.groups.get(place))
            .map(status)
    }

    /// One of them.
    pub fn group(&self, name: &GroupName) -> Option<GroupStatus> {
        self.groups.get(self.by_name.get(name)?).map(status)
    }

    /// Why a message of so many bytes would not be taken now from this provider, if it would not.
    pub fn obstacle(&self, name: &GroupName, provider: ProviderId, bytes: usize) -> Option<Refusal> {
        let group = self.by_name.get(name).and_then(|place| self.groups.get(place));
        let lineage = group.and_then(Group::lineage);
        lineage.map_or(Some(Refusal::NotListed), |lineage| {
            lineage.floor().obstacle(provider, bytes)
        })
    }

    /// Words that were thrown away: of nobody who may say them, or too many at once.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What there is, and how much there may be.
    pub fn bounds(&self) -> Vec<Bounded> {
        let limit = self.config.max_groups;
        let mut bounds = vec![
            Bounded::new("process groups", self.groups.len(), limit),
            self.graves.bounds(),
            Bounded::new("guards of views", self.guards.len(), MAX_GUARDS * limit),
            Bounded::new("timers of process groups", self.timers.len(), self.groups.len()),
            self.tickets.bounds(limit),
        ];
        bounds.extend(self.mail.bounds());
        bounds.extend(self.lines.detours.bounds());
        for group in self.groups.values() {
            bounds.extend(group.bounds(self.config.max_waiting));
        }
        bounds
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, context: Context, out: &mut Vec<Output>) {
        match input {
            Input::Command(command) => self.on_command(now, command, context, out),
            Input::Asked { from, way, packet } => self.on_asked(now, from, way, packet, context, out),
            Input::Answered { post, from, receipt } => self.on_answered(now, post, from, receipt, context, out),
            Input::PostFailed { post } => drop(self.mail.over(post, None)),
            Input::Guard(input) => self.on_guard(now, input, context, out),
            Input::Directory(event) => self.on_directory(now, &event, context, out),
            Input::PeerDead { peer } => self.on_peer_dead(now, peer, context, out),
            Input::Pipe(input) => self.on_pipe(now, input, context, out),
            Input::Wake => self.on_wake(now, context, out),
        }
        self.follow_detours(now, context, out);
        self.mail.flush(self.me.incarnation, out);
    }

    /// Lets one group take a step, and notes what has changed about it.
    fn with(
        &mut self,
        place: Place,
        now: Time,
        context: Context,
        out: &mut Vec<Output>,
        work: impl FnOnce(&mut Group, &mut Step<'_>),
    ) {
        let Some(group) = self.groups.get_mut(&place) else {
            return;
        };
        let (before, was_out) = (group.id(), group.is_out());
        let step = &mut Step {
            now,
            me: self.me,
            context,
            config: &self.config,
            mail: &mut self.mail,
            tickets: &mut self.tickets,
            graves: &mut self.graves,
            lines: &mut self.lines,
            out,
        };
        work(group, step);
        group.publish_if_raised(step);
        group.go_if_empty(step);
        let (after, deadline, over) = (group.id(), group.deadline(step), group.is_over(step));
        let out_now = group.is_out();
        if before != after {
            before.map(|id| self.by_id.remove(&id));
            after.map(|id| self.by_id.insert(id, place));
        }
        if let Some(id) = before.filter(|_| before != after || out_now && !was_out) {
            fail_guards(&self.guards, id, out);
        }
        if over {
            after.map(|id| self.by_id.remove(&id));
            self.by_name.remove(group.name());
            self.last_serial = self.last_serial.max(group.last_serial());
            self.groups.remove(&place);
            self.timers.cancel(place);
            if let Some(id) = after {
                fail_guards(&self.guards, id, out);
            }
        } else if let Some(at) = deadline {
            self.timers.set(place, at);
        } else {
            self.timers.cancel(place);
        }
    }

    fn on_command(&mut self, now: Time, command: Command, context: Context, out: &mut Vec<Output>) {
        match command {
            Command::Join {
                name,
                seconds,
                ticket,
                instance,
                info,
                attributes,
            } => {
                let join = Join {
                    ticket,
                    instance,
                    info,
                    attributes,
                };
                self.listen(out);
                match self.place_for(&name) {
                    Ok(place) => self.with(place, now, context, out, |group, step| group.join(step, seconds, join)),
                    Err(why) => out.push(Output::Event(Event::JoinRefused { name, ticket, why })),
                }
            }
            Command::Abandon { name, ticket } => {
                if let Some(place) = self.by_name.get(&name) {
                    self.with(*place, now, context, out, |group, step| group.abandon(step, ticket));
                }
            }
            Command::Order { name, order } => {
                if let Some(place) = self.by_name.get(&name) {
                    self.with(*place, now, context, out, |group, step| group.order(step, order));
                }
            }
        }
    }

    fn listen(&mut self, out: &mut Vec<Output>) {
        if !self.listening {
            self.listening = true;
            out.push(Output::Listen);
        }
    }

    /// The place of a group that is to be joined, a new one if it is not known here.
    fn place_for(&mut self, name: &GroupName) -> Result<Place, JoinRefused> {
        let max = self.config.max_groups;
        if let Some(place) = self.by_name.get(name) {
            return Ok(*place);
        }
        if self.groups.len() >= max {
            return Err(JoinRefused::TooManyGroups { max });
        }
        let place = Place(self.next);
        self.next += 1;
        self.by_name.insert(name.clone(), place);
        let group = Group::new(name.clone(), place, self.me, &self.config, self.last_serial);
        self.groups.insert(place, group);
        Ok(place)
    }

    fn on_asked(&mut self, now: Time, from: PeerId, way: Way, packet: Packet, context: Context, out: &mut Vec<Output>) {
        let receipt = Receipt {
            incarnation: self.me.incarnation,
        };
        out.push(Output::Reply { way, receipt });
        let from = Node {
            peer: from,
            incarnation: packet.incarnation,
        };
        if packet.envelopes.len() > MAX_ENVELOPES {
            self.dropped += 1;
            return;
        }
        for envelope in packet.envelopes {
            self.on_envelope(now, from, envelope, context, out);
        }
    }

    fn on_envelope(&mut self, now: Time, from: Node, envelope: Envelope, context: Context, out: &mut Vec<Output>) {
        let Envelope { group, to, words } = envelope;
        if to.is_some_and(|life| life != self.me.incarnation) {
            // The receipt says that the life that is meant is over.
            return;
        }
        match (self.by_id.get(&group).copied(), words) {
            (Some(_), Words::Carried { number, carried }) => {
                if self.lines.detours.hear(from, number) {
                    // A stranger's words set up nothing here.
                    if !self.concerned(|node| node == from).is_empty() {
                        self.lines.heard_without_pipe(now, from.peer);
                    }
                    let carried = *carried;
                    self.on_arrival(now, Arrival { from, group, carried }, context, out);
                }
            }
            (Some(place), words) => self.with(place, now, context, out, |group, step| {
                group.on_words(step, from, words);
            }),
            (None, words) => self.on_words_about_unknown(from, group, &words),
        }
    }

    fn on_words_about_unknown(&mut self, from: Node, group: GroupRef, words: &Words) {
        if let Some(favour) = self.graves.favour(&group) {
            // An answer needs no answer, or two who both remember would never stop.
            if !words.is_answer() {
                self.mail.say(from, group, Words::Dissolved { favour });
            }
            return;
        }
        match words {
            Words::Insert { .. } | Words::Remove => self.mail.say(from, group, Words::NotHere),
            _ => self.dropped += 1,
        }
    }

    /// V3: a receipt of another life is a hint that the one that was meant is over.
    fn on_answered(
        &mut self,
        now: Time,
        post: PostId,
        from: PeerId,
        receipt: Receipt,
        context: Context,
        out: &mut Vec<Output>,
    ) {
        let news = self.lines.detours.answered(&from, post);
        self.on_news(now, news, context, out);
        for node in self.mail.over(post, Some((from, receipt.incarnation))) {
            self.hint(now, |other| other == node, context, out);
        }
    }

    fn on_peer_dead(&mut self, now: Time, peer: PeerId, context: Context, out: &mut Vec<Output>) {
        self.lines.detours.forget(&peer);
        self.hint(now, |node| node.peer == peer, context, out);
    }

    /// Tells every group with such a node in its view that the node's life is said to be over.
    fn hint(&mut self, now: Time, dead: impl Fn(Node) -> bool, context: Context, out: &mut Vec<Output>) {
        for (place, node) in self.concerned(dead) {
            self.with(place, now, context, out, |group, step| {
                group.handle(step, views::Input::Hint { node });
            });
        }
    }

    /// The groups with such a node in their view, and the first such node of each.
    fn concerned(&self, wanted: impl Fn(Node) -> bool) -> Vec<(Place, Node)> {
        let in_view = |lineage: &Lineage| {
            let voters = lineage.views().view().map(|view| view.voters.iter());
            voters
                .into_iter()
                .flatten()
                .map(|voter| voter.node)
                .find(|node| wanted(*node))
        };
        let concerned = |(place, group): (&Place, &Group)| Some((*place, group.lineage().and_then(in_view)?));
        self.groups.iter().filter_map(concerned).collect()
    }

    fn on_guard(&mut self, now: Time, input: GuardInput, context: Context, out: &mut Vec<Output>) {
        match input {
            GuardInput::Begun { ticket, guard } => {
                let place = self.tickets.asked_by(ticket);
                let group = place.and_then(|place| self.groups.get(&place)).and_then(Group::id);
                if let (Some(place), Some(group)) = (place, group) {
                    self.guards.insert(guard, (place, group));
                }
            }
            GuardInput::Created { ticket, guard } => self.on_guard_made(now, ticket, Ok(guard), context, out),
            GuardInput::Refused { ticket, refusals } => self.on_guard_made(now, ticket, Err(refusals), context, out),
            GuardInput::Invited { guard, note } => self.on_invited(now, guard, &note, context, out),
            GuardInput::Deserted { guard } => {
                if let Some((place, _)) = self.guards.get(&guard).copied() {
                    self.with(place, now, context, out, |group, step| {
                        group.handle(step, views::Input::GuardFailed { guard });
                    });
                }
            }
            GuardInput::Over { guard } => {
                if let Some((place, _)) = self.guards.remove(&guard) {
                    self.with(place, now, context, out, |group, step| {
                        group.handle(step, views::Input::GuardFailed { guard });
                    });
                }
            }
        }
    }

    fn on_guard_made(
        &mut self,
        now: Time,
        ticket: u64,
        made: Result<GroupId, Vec<PeerId>>,
        context: Context,
        out: &mut Vec<Output>,
    ) {
        let Some((place, asked)) = self.tickets.answered(ticket) else {
            return;
        };
        if !self.groups.contains_key(&place) {
            return out.extend(made.ok().map(|guard| Output::EndGuard { guard }));
        }
        self.with(place, now, context, out, |group, step| match (asked, made) {
            (Asked::FirstGuard, made) => group.on_first_guard(step, made.ok()),
            (Asked::Guard { request, .. }, Ok(guard)) => {
                group.handle(step, views::Input::GuardCreated { request, guard });
            }
            (Asked::Guard { request, members }, Err(refusals)) => {
                let refused = |node: &Node| refusals.contains(&node.peer);
                let refusals = members.into_iter().filter(refused).collect();
                group.handle(step, views::Input::GuardRefused { request, refusals });
            }
            _ => {}
        });
    }

    /// V10: an invitation is for the life that it names.
    fn on_invited(&mut self, now: Time, guard: GroupId, note: &[u8], context: Context, out: &mut Vec<Output>) {
        let note = GuardNote::decode(note).filter(|note| note.members.contains(&self.me));
        let place = note.as_ref().and_then(|note| self.by_id.get(&note.group).copied());
        let (Some(note), Some(place)) = (note, place) else {
            return out.push(Output::DecideGuard { guard, accept: false });
        };
        self.guards.insert(guard, (place, note.group));
        let (view, ballot) = (note.view.next(), note.ballot);
        self.with(place, now, context, out, |group, step| {
            group.handle(step, views::Input::Invited { guard, view, ballot });
        });
        let declined =
            |output: &Output| matches!(output, Output::DecideGuard { guard: other, accept: false } if *other == guard);
        if out.iter().any(declined) {
            self.guards.remove(&guard);
        }
    }

    fn on_directory(&mut self, now: Time, event: &directory::Event, context: Context, out: &mut Vec<Output>) {
        use directory::Event::{Claimed, Conflict, Found, Nearest, NotPublished, Published, Superseded};
        if let Some(Ticket(ticket)) = event.ticket()
            && self.tickets.answered(ticket).is_none()
        {
            return;
        }
        let text = match event {
            Published { name, .. } | NotPublished { name, .. } | Found { name, .. } | Claimed { name, .. } => {
                &name.text
            }
            Superseded { theirs } | Conflict { theirs } => &theirs.record().name.text,
            Nearest { .. } => return,
        };
        let name = GroupName::try_from(text.as_str()).ok();
        let Some(place) = name.and_then(|name| self.by_name.get(&name).copied()) else {
            return;
        };
        self.with(place, now, context, out, |group, step| match event {
            Found { outcome, .. } => group.on_found(step, outcome),
            Claimed { outcome, .. } => group.on_claimed(step, outcome),
            NotPublished { why, .. } => group.on_not_published(step, why),
            Conflict { theirs } | Superseded { theirs } => group.on_conflict(step, theirs.record()),
            Published { .. } | Nearest { .. } => {}
        });
    }

    fn on_pipe(&mut self, now: Time, input: PipeInput, context: Context, out: &mut Vec<Output>) {
        match input {
            PipeInput::Up { peer, incarnation } => self.lines.up(peer, incarnation),
            PipeInput::Down {
                peer,
                lost,
                unreachable,
            } => {
                if self.lines.down(now, &peer, lost, unreachable) {
                    self.on_lost(now, peer, context, out);
                }
            }
            // A pipe that ends after everything has arrived is nobody's concern.
            PipeInput::Refused { lost: 0, .. } => {}
            PipeInput::Refused { peer, .. } => self.on_lost(now, peer, context, out),
            PipeInput::Received { peer, body } => {
                out.push(Output::PipeRead { peer });
                // It has only opened the pipe.
                if body.is_empty() {
                    return;
                }
                match self.lines.received(peer, self.me, &body) {
                    Some(arrival) => self.on_arrival(now, arrival, context, out),
                    None => self.dropped += 1,
                }
            }
            PipeInput::NotTaken { peer, body, too_many } => {
                let detour = too_many && self.lines.too_many(now, peer);
                if body.is_empty() {
                    self.lines.detours.tried_in_vain(now, &peer);
                    return;
                }
                let Some((to, group, carried)) = Lines::not_taken(peer, &body) else {
                    return;
                };
                if detour {
                    return self.lines.send(now, to, group, carried, out);
                }
                if let Some(place) = self.by_id.get(&group) {
                    self.with(*place, now, context, out, |group, step| {
                        group.on_floor(step, floor::Input::Full { to, carried });
                    });
                }
            }
            PipeInput::Room { peer } => self.for_all_with(now, peer, context, out, floor::Input::Room),
        }
    }

    fn on_lost(&mut self, now: Time, peer: PeerId, context: Context, out: &mut Vec<Output>) {
        self.for_all_with(now, peer, context, out, floor::Input::LineDown);
    }

    fn on_news(&mut self, now: Time, news: impl IntoIterator<Item = News>, context: Context, out: &mut Vec<Output>) {
        for news in news {
            match news {
                News::Room(peer) => self.for_all_with(now, peer, context, out, floor::Input::Room),
                News::Lost(peer) => self.on_lost(now, peer, context, out),
            }
        }
    }

    /// What goes where there is no pipe leaves, what was not taken is told, and what has a pipe by now goes there.
    fn follow_detours(&mut self, now: Time, context: Context, out: &mut Vec<Output>) {
        while let Some((to, group, carried)) = self.lines.untaken() {
            if let Some(place) = self.by_id.get(&group) {
                self.with(*place, now, context, out, |group, step| {
                    group.on_floor(step, floor::Input::Full { to, carried });
                });
            }
        }
        for (peer, waiting, full) in self.lines.detours.ended() {
            out.extend(
                waiting
                    .into_iter()
                    .filter_map(|envelope| lines::in_pipe(peer, envelope)),
            );
            if full {
                self.for_all_with(now, peer, context, out, floor::Input::Room);
            }
        }
        self.lines.detours.flush(now, self.me.incarnation, &mut self.mail, out);
    }

    fn on_arrival(&mut self, now: Time, arrival: Arrival, context: Context, out: &mut Vec<Output>) {
        let Arrival { from, group, carried } = arrival;
        match self.by_id.get(&group).copied() {
            Some(place) => self.with(place, now, context, out, |group, step| {
                group.on_floor(step, floor::Input::Received { from, carried });
            }),
            None => self.dropped += 1,
        }
    }

    /// Tells every group with a node of this peer in its view.
    fn for_all_with(
        &mut self,
        now: Time,
        peer: PeerId,
        context: Context,
        out: &mut Vec<Output>,
        input: fn(Node) -> floor::Input,
    ) {
        for (place, node) in self.concerned(|node| node.peer == peer) {
            self.with(place, now, context, out, |group, step| {
                group.on_floor(step, input(node));
            });
        }
    }

    fn on_wake(&mut self, now: Time, context: Context, out: &mut Vec<Output>) {
        let news = self.lines.detours.wake(now, self.me.incarnation, &mut self.mail, out);
        self.on_news(now, news, context, out);
        // What is set meanwhile waits for the next time.
        let due: Vec<Place> = std::iter::from_fn(|| self.timers.pop_due(now)).collect();
        for place in due {
            self.with(place, now, context, out, Group::on_wake);
        }
    }
}

/// This node is in the guards of this founding for nothing any more. Whoever counts on it there has to know: the guard is alive as long as it is.
/// They are this node's until their end is reported.
fn fail_guards(guards: &BTreeMap<GroupId, (Place, GroupRef)>, of: GroupRef, out: &mut Vec<Output>) {
    let ended = guards.iter().filter(|(_, (_, group))| *group == of);
    out.extend(ended.map(|(guard, _)| Output::FailGuard { guard: *guard }));
}

fn status(group: &Group) -> GroupStatus {
    let lineage = group.lineage();
    GroupStatus {
        name: group.name().clone(),
        founding: lineage.map(Lineage::founding),
        status: lineage.map_or(Status::Joining, |lineage| lineage.views().status()),
        view: lineage.and_then(Lineage::view).cloned(),
        blocked: lineage.and_then(|lineage| lineage.views().blocked().cloned()),
        state: lineage.and_then(|lineage| lineage.floor().state().cloned()),
        awaited: lineage.map(|lineage| lineage.floor().awaited()).unwrap_or_default(),
        own: lineage.map(|lineage| lineage.floor().providers()).unwrap_or_default(),
        doing: group.doing(),
    }
}
