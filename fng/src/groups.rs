//! All groups of one peer: the machine of this layer. `handle` only dispatches; each idea of protocol.md §6 has its file.
//!
//! | file | idea |
//! | --- | --- |
//! | `create` | the root's side of a creation |
//! | `member` | the member's side: invitations, paths that arrive |
//! | `repair` | broken paths, attempts |
//! | `inquiry`, `prober` | "do you live, and these groups in you?", proofs, verdicts |
//! | `answers` | the other side of these questions |
//! | `deaths` | a peer's life is over |
//! | `fail`, `notice` | hard failure, and the signed word about it |
//! | `join`, `admit` | coming in later: who asks, who is asked |
//! | `leave`, `lists`, `remembered` | going without a failure; who is a member now; what is over and was no failure |
//! | `silence`, `check` | silence for one group; the application's own check |
//! | `table`, `peers`, `lives`, `window` | storage |

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fatebound_overlay::{Deadlines, Identity, PeerId, PostId, Time, Ways};
use indexmap::IndexMap;
use rand::rngs::StdRng;

use crate::admit::Admissions;
use crate::check::Check;
use crate::config::Config;
use crate::create::{Creation, Order};
use crate::deaths::Death;
use crate::io::{Command, Context, Event, Input, Output};
use crate::join::Joins;
use crate::leave::Departures;
use crate::lists::Lists;
use crate::member::Waiting;
use crate::message::{Answer, Asked, Request};
use crate::peers::PeerIx;
use crate::prober::{Pair, Prober};
use crate::reason::Refusal;
use crate::remembered::Remembered;
use crate::silence::Silent;
use crate::table::{Key, Table};
use crate::telling::Telling;
use crate::view::Counters;
use fatebound_tree::GroupId;

/// What this layer waits for. One exists only while something is under way: steady groups have none (protocol.md §1, P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// A creation must be decided.
    Create(u32),
    /// An invitation is to be repeated.
    Invite(Key),
    /// A path should have come up, or the next attempt is due.
    Path(Key),
    /// A far end is to be asked as well.
    Probe(Key),
    /// Patience with a far end is over.
    Verdict(Key),
    /// The next round of questions to one peer.
    Round(Pair),
    /// Nobody has repeated an invitation that the application has not decided.
    Waiting(u64),
    /// Silence about a group is no longer needed.
    Silent(u64),
    /// The next groups of peers that have died.
    Deaths,
    /// The root of a group is to be asked to let this peer in, again.
    Join(u64),
    /// Nobody has repeated a wish to come in that the application has not decided.
    Asking(u64),
    /// The root of this group is to be asked to let this peer go, again.
    Leave(u32),
    /// Who is a member now is to be told.
    List(u32),
}

/// One input's time and surroundings, and where its consequences go.
pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) context: Context,
    out: &'a mut Vec<Output>,
}

impl Step<'_> {
    pub(crate) fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }
}

/// All groups of one peer. Nothing of it outlives the process (protocol.md §1, P6).
#[derive(Debug)]
pub struct Groups {
    pub(crate) config: Config,
    pub(crate) us: PeerId,
    pub(crate) identity: Identity,
    pub(crate) incarnation: u64,
    pub(crate) rng: StdRng,
    pub(crate) table: Table,
    pub(crate) timers: Deadlines<Timer>,
    pub(crate) prober: Prober,
    /// Invitations under way; each also stands in its far end's `Work`.
    pub(crate) invites: HashMap<u64, Key>,
    /// Creations under way, by the group's place.
    pub(crate) creations: HashMap<u32, Creation>,
    /// Invitations that wait for the application's word.
    pub(crate) waiting: IndexMap<GroupId, Waiting>,
    /// Invitations that the application has declined lately, for repetitions.
    pub(crate) declined: IndexMap<GroupId, Refusal>,
    pub(crate) silent: Silent,
    pub(crate) telling: Telling,
    /// Checks under way, by the group's place.
    pub(crate) checks: BTreeMap<u32, Vec<Check>>,
    /// Attempts that wait for a link to their member.
    pub(crate) links: HashMap<PeerIx, BTreeSet<Key>>,
    /// Peers that have died, as far as their groups have not been told.
    pub(crate) deaths: VecDeque<Death>,
    pub(crate) joins: Joins,
    pub(crate) admissions: Admissions,
    pub(crate) departures: Departures,
    pub(crate) lists: Lists,
    /// Groups of our own that were closed.
    pub(crate) closed: Remembered,
    /// Groups that this peer left without an acknowledgement.
    pub(crate) left: Remembered,
    pub(crate) counters: Counters,
    pub(crate) stopping: bool,
    /// Newest sequence number of a group of our own.
    pub(crate) sequence: u64,
    /// Newest number for `Timer::Waiting`.
    pub(crate) invitations: u64,
    pub(crate) next_post: u64,
}

impl Groups {
    /// A peer without groups, in this life of it.
    pub fn new(config: &Config, identity: &Identity, incarnation: u64, rng: StdRng) -> Groups {
        Groups {
            config: config.clone(),
            us: identity.peer(),
            identity: identity.clone(),
            incarnation,
            rng,
            table: Table::default(),
            timers: Deadlines::default(),
            prober: Prober::default(),
            invites: HashMap::new(),
            creations: HashMap::new(),
            waiting: IndexMap::new(),
            declined: IndexMap::new(),
            silent: Silent::default(),
            telling: Telling::default(),
            checks: BTreeMap::new(),
            links: HashMap::new(),
            deaths: VecDeque::new(),
            joins: Joins::new(incarnation),
            admissions: Admissions::default(),
            departures: Departures::default(),
            lists: Lists::default(),
            closed: Remembered::default(),
            left: Remembered::default(),
            counters: Counters::default(),
            stopping: false,
            sequence: 0,
            invitations: 0,
            next_post: 1,
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, context: Context, out: &mut Vec<Output>) {
        let step = &mut Step { now, context, out };
        match input {
            Input::Command(command) => self.on_command(step, command),
            Input::Asked { from, way, request } => match request {
                Request::Invite(invitation) => self.on_invite(step, from, way, *invitation),
                Request::Probe { groups } => self.on_probe(step, from, way, &groups),
                Request::NeedRepair { groups } => self.on_need_repair(step, from, way, &groups),
                Request::Fail(notice) => self.on_fail_posted(step, way, &notice),
                Request::Join { group, observe, number } => {
                    self.on_asked_in(step, from, way, group, Asked { number, observe });
                }
                Request::Leave { group, came } => self.on_asked_out(step, from, way, group, came),
                Request::Members { group, list, members } => self.on_members(step, from, way, group, list, members),
            },
            Input::Answered { post, from, answer } => self.on_answered(step, post, from, answer),
            Input::PostFailed { post, unknown } => {
                self.telling.end(post);
                self.on_join_lost(step, post.0, unknown);
                self.on_post_failed(step, post, unknown);
            }
            Input::PeerDead { peer, proof } => self.on_peer_dead(step, peer, proof),
            Input::LinkUp { peer } => self.on_link_up(step, peer),
            Input::LinkFailed { peer } => self.on_link_failed(step, peer),
            Input::Tree(event) => self.on_tree(step, event),
            Input::FailStuck { paths, notice } => self.on_fail_stuck(step, &paths, &notice),
            Input::Wake => self.on_wake(step),
        }
    }

    /// When the groups want `Input::Wake`.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    fn on_command(&mut self, step: &mut Step<'_>, command: Command) {
        match command {
            Command::Create {
                ticket,
                members,
                tag,
                state,
                timeout,
                admit,
            } => {
                let order = Order {
                    ticket,
                    members,
                    tag,
                    state,
                    timeout,
                    admit,
                };
                self.on_create(step, order);
            }
            Command::Join {
                ticket,
                group,
                observe,
                timeout,
            } => self.on_join(step, ticket, group, observe, timeout),
            Command::Admit { group, peer, refusal } => self.on_admit(step, &group, peer, refusal),
            Command::Leave { ticket, group } => self.on_leave(step, ticket, group),
            Command::Signal { group, text } => self.on_signal(step, &group, text),
            Command::FallSilent { group } => self.on_fall_silent(step, &group),
            Command::Check { ticket, group } => self.on_check(step, ticket, &group),
            Command::Decide { group, refusal } => self.on_decide(step, &group, refusal),
            Command::Shutdown => self.on_shutdown(step),
        }
    }

    fn on_answered(&mut self, step: &mut Step<'_>, post: PostId, from: PeerId, answer: Answer) {
        // Postings are numbered over all questions, so at most one of these knows it.
        self.on_join_answered(step, post.0, from, &answer);
        self.on_leave_answered(step, post.0, from, &answer);
        match answer {
            Answer::Accept => self.on_accept(step, post.0, from),
            Answer::Decline(refusal) => self.on_decline(step, post.0, from, refusal),
            Answer::Status(status) => self.on_status(step, post.0, from, &status),
            Answer::Noted => {
                self.telling.end(post);
                self.on_list_noted(post, from);
            }
            Answer::Left => {}
        }
    }

    fn on_tree(&mut self, step: &mut Step<'_>, event: fatebound_tree::Event) {
        use fatebound_tree::Event;
        match event {
            Event::Live { path, hops } => self.on_live(step, path, hops),
            Event::Arrived { path } => self.on_arrived(step, path),
            Event::Broken { path, cause } => self.on_broken(step, &path, cause),
            Event::Failed { path, notice } => self.on_fail_along_path(step, &path, &notice),
            Event::Suspected { path } => self.on_suspected(step, &path),
        }
    }

    fn on_wake(&mut self, step: &mut Step<'_>) {
        while let Some(due) = self.timers.next()
            && let Some(timer) = self.timers.pop_due(step.now)
        {
            match timer {
                Timer::Create(slot) => self.on_create_timer(step, slot),
                Timer::Invite(key) => self.invite(step, key),
                Timer::Path(key) => self.on_path_timer(step, key),
                Timer::Probe(key) => self.ask(step.now, key),
                Timer::Verdict(key) => self.on_verdict_timer(step, key),
                Timer::Round(pair) => self.on_round_timer(step, pair, due),
                Timer::Waiting(number) => self.on_waiting_timer(step, number),
                Timer::Silent(number) => self.on_silent_timer(step, number),
                Timer::Join(number) => self.on_join_timer(step, number),
                Timer::Asking(number) => self.on_asking_timer(number),
                Timer::Leave(slot) => self.on_leave_timer(step, slot),
                Timer::List(slot) => self.on_list_timer(step, slot),
                // One batch per input: what has come meanwhile is read before the next.
                Timer::Deaths => return self.work_off_deaths(step),
            }
        }
    }

    /// The number of the next posting.
    pub(crate) fn next_post(&self) -> u64 {
        self.next_post
    }

    /// Posts a question; returns its number.
    pub(crate) fn post(&mut self, step: &mut Step<'_>, to: PeerId, request: Request, ways: Ways) -> u64 {
        let post = self.next_post;
        self.next_post += 1;
        step.push(Output::Post {
            post: PostId(post),
            to,
            request,
            ways,
        });
        post
    }
}
