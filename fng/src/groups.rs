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

use std::collections::{BTreeSet, HashMap};

use fatebound_overlay::{Identity, PeerId, PostId, Time, Way};
use indexmap::IndexMap;
use rand::rngs::StdRng;

use crate::admit::Admissions;
use crate::check::Checks;
use crate::config::Config;
use crate::create::{Creation, Order};
use crate::deaths::Deaths;
use crate::io::{Command, Context, Input, Output};
use crate::join::{Joins, Wish};
use crate::leave::Departures;
use crate::lists::{self, Lists};
use crate::member::Waiting;
use crate::message::{Answer, Asked, Request};
use crate::peers::PeerIx;
use crate::prober::Prober;
use crate::reason::Refusal;
use crate::shared::{Shared, Timer};
use crate::table::Key;
use crate::words::Words;
use fatebound_tree::GroupId;

/// All groups of one peer. Nothing of it outlives the process (protocol.md §1, P6).
#[derive(Debug)]
pub struct Groups {
    pub(crate) shared: Shared,
    pub(crate) prober: Prober,
    /// Invitations under way; each also stands in its far end's `Work`.
    pub(crate) invites: HashMap<u64, Key>,
    /// Creations under way, by the group's place.
    pub(crate) creations: HashMap<u32, Creation>,
    /// Invitations that wait for the application's word.
    pub(crate) waiting: IndexMap<GroupId, Waiting>,
    /// Invitations that the application has declined lately, for repetitions.
    pub(crate) declined: IndexMap<GroupId, Refusal>,
    pub(crate) words: Words,
    pub(crate) checks: Checks,
    /// Attempts that wait for a link to their member.
    pub(crate) links: HashMap<PeerIx, BTreeSet<Key>>,
    pub(crate) deaths: Deaths,
    pub(crate) joins: Joins,
    pub(crate) admissions: Admissions,
    pub(crate) departures: Departures,
    pub(crate) lists: Lists,
    /// Newest sequence number of a group of our own.
    pub(crate) sequence: u64,
    /// Newest number for `Timer::Waiting`.
    pub(crate) invitations: u64,
}

impl Groups {
    /// A peer without groups, in this life of it.
    pub fn new(config: &Config, identity: &Identity, incarnation: u64, rng: StdRng) -> Groups {
        Groups {
            shared: Shared::new(config, identity, incarnation, rng),
            prober: Prober::default(),
            invites: HashMap::new(),
            creations: HashMap::new(),
            waiting: IndexMap::new(),
            declined: IndexMap::new(),
            words: Words::default(),
            checks: Checks::default(),
            links: HashMap::new(),
            deaths: Deaths::default(),
            joins: Joins::new(incarnation),
            admissions: Admissions::default(),
            departures: Departures::default(),
            lists: Lists::default(),
            sequence: 0,
            invitations: 0,
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, context: Context, out: &mut Vec<Output>) {
        self.shared.begin(now, context);
        self.take(input);
        self.pass_on();
        self.shared.end(out);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.on_command(command),
            Input::Asked { from, way, request } => self.on_asked(from, way, request),
            Input::Answered { post, from, answer } => self.on_answered(post, from, answer),
            Input::PostFailed { post, unknown } => {
                self.words.told(post);
                self.joins.on_lost(&mut self.shared, post.0, unknown);
                self.on_post_failed(post, unknown);
            }
            Input::PeerDead { peer, proof } => self.deaths.on_peer_dead(&mut self.shared, peer, proof),
            Input::LinkUp { peer } => self.on_link_up(peer),
            Input::LinkFailed { peer } => self.on_link_failed(peer),
            Input::Tree(event) => self.on_tree(event),
            Input::FailStuck { paths, notice } => self.on_fail_stuck(&paths, &notice),
            Input::Wake => self.on_wake(),
        }
    }

    fn on_asked(&mut self, from: PeerId, way: Way, request: Request) {
        let about = match &request {
            Request::Invite(invitation) => Some(invitation.group),
            Request::Fail(notice) => Some(notice.group),
            Request::Join { group, .. } | Request::Leave { group, .. } | Request::Members { group, .. } => Some(*group),
            Request::Probe { .. } | Request::NeedRepair { .. } => None,
        };
        // About a silent group there is no word.
        if about.is_some_and(|group| self.words.is_silent(&group)) {
            return;
        }
        match request {
            Request::Invite(invitation) => self.on_invite(from, way, *invitation),
            Request::Probe { groups } => self.on_probe(from, way, &groups),
            Request::NeedRepair { groups } => self.on_need_repair(from, way, &groups),
            Request::Fail(notice) => self.on_fail_posted(way, &notice),
            Request::Join { group, observe, number } => self.on_asked_in(from, way, group, Asked { number, observe }),
            Request::Leave { group, came } => self.on_asked_out(from, way, group, came),
            Request::Members { group, list, members } => {
                lists::on_members(&mut self.shared, from, way, group, list, members);
            }
        }
    }

    /// When the groups want `Input::Wake`.
    pub fn deadline(&self) -> Option<Time> {
        self.shared.timers.next()
    }

    fn on_command(&mut self, command: Command) {
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
                self.on_create(order);
            }
            Command::Join {
                ticket,
                group,
                observe,
                timeout,
            } => {
                let wish = Wish {
                    ticket,
                    group,
                    observe,
                    timeout,
                };
                let invited = self.waiting.contains_key(&group);
                let closed = self.words.was_closed(self.shared.now, &group);
                self.joins.on_join(&mut self.shared, wish, invited, closed);
            }
            Command::Admit { group, peer, refusal } => self.on_admit(&group, peer, refusal),
            Command::Leave { ticket, group } => self.on_leave(ticket, group),
            Command::Signal { group, text } => self.on_signal(&group, text),
            Command::FallSilent { group } => self.on_fall_silent(group),
            Command::Check { ticket, group } => self.checks.on_check(&mut self.shared, ticket, &group),
            Command::Decide { group, refusal } => self.on_decide(&group, refusal),
            Command::Shutdown => self.on_shutdown(),
        }
    }

    fn on_answered(&mut self, post: PostId, from: PeerId, answer: Answer) {
        // Postings are numbered over all questions, so at most one of these knows it.
        self.joins.on_answered(&mut self.shared, post.0, from, &answer);
        self.departures.on_answered(&mut self.shared, post.0, from, &answer);
        match answer {
            Answer::Accept => self.on_accept(post.0, from),
            Answer::Decline(refusal) => self.on_decline(post.0, from, refusal),
            Answer::Status(status) => self.on_status(post.0, from, &status),
            Answer::Noted => {
                self.words.told(post);
                self.lists.on_noted(&mut self.shared, post, from);
            }
            Answer::Left => {}
        }
    }

    fn on_tree(&mut self, event: fatebound_tree::Event) {
        use fatebound_tree::Event;
        match event {
            Event::Live { path, hops } => self.on_live(path, hops),
            Event::Arrived { path } => self.on_arrived(path),
            Event::Broken { path, cause } => self.on_broken(&path, cause),
            Event::Failed { path, notice } => self.on_fail_along_path(&path, &notice),
            Event::Suspected { path } => self.on_suspected(&path),
        }
    }

    fn on_wake(&mut self) {
        while let Some(due) = self.shared.timers.next()
            && let Some(timer) = self.shared.timers.pop_due(self.shared.now)
        {
            match timer {
                Timer::Create(slot) => self.on_create_timer(slot),
                Timer::Invite(key) => self.invite(key),
                Timer::Path(key) => self.on_path_timer(key),
                Timer::Probe(key) => self.ask(self.shared.now, key),
                Timer::Verdict(key) => self.on_verdict_timer(key),
                Timer::Round(pair) => self.on_round_timer(pair, due),
                Timer::Waiting(number) => self.on_waiting_timer(number),
                Timer::Silent(number) => self.words.on_silent_timer(&mut self.shared, number),
                Timer::Join(number) => self.joins.on_timer(&mut self.shared, number),
                Timer::Asking(number) => self.on_asking_timer(number),
                Timer::Leave(slot) => self.departures.ask(&mut self.shared, slot),
                Timer::List(slot) => self.lists.on_timer(&mut self.shared, slot),
                // One batch per input: what has come meanwhile is read before the next.
                Timer::Deaths => return self.deaths.work_off(&mut self.shared),
            }
            self.pass_on();
        }
    }
}
