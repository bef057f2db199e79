//! All groups of one peer: the machine of this layer. `handle` only dispatches; each idea of protocol.md §6 is a part with a file and a state of its
//! own. Parts get what they share as one argument, and do not know each other: what one finds out for others is a `Fate`, and `Groups` passes it on.
//!
//! | file | idea |
//! | --- | --- |
//! | `shared` | what all parts stand on: the table, timers, randomness, configuration, consequences |
//! | `fate`, `pass_on` | what parts tell each other, and who is told |
//! | `create`, `inviting` | the root's side of a creation; invitations sent, and repeated |
//! | `member` | the member's side: invitations that have come |
//! | `repair` | paths that are not up: first ones, broken ones, attempts |
//! | `inquiry`, `prober` | "do you live, and these groups in you?", proofs, verdicts |
//! | `check` | the application's own check |
//! | `deaths` | a peer's life is over |
//! | `join`, `admit` | coming in later: who asks, who is asked |
//! | `leave`, `lists` | going without a failure; who is a member now |
//! | `words` | what is being told, and what is said, about groups that are over |
//! | `table`, `group`, `peers`, `lives`, `window`, `same_timings` | storage |
//!
//! Some ideas concern several parts, and have no state; these are methods of `Groups` that call one part after the other:
//!
//! | file | idea |
//! | --- | --- |
//! | `come` | the root's side of coming in: accepted, refused |
//! | `part` | somebody leaves, or is lost |
//! | `fail`, `notice` | hard failure, and the signed word about it |
//! | `answers` | the other side of an inquiry |
//! | `view`, `bounds`, `invariants`, `branch` | looking on |

use fatebound_overlay::{Identity, PeerId, PostId, Time, Way};
use rand::rngs::StdRng;

use crate::admit::Admissions;
use crate::check::Checks;
use crate::config::Config;
use crate::create::{Creations, Order};
use crate::deaths::Deaths;
use crate::inquiry::Inquiries;
use crate::inviting::Inviting;
use crate::io::{Command, Context, Input, Output};
use crate::join::{Joins, Wish};
use crate::leave::Departures;
use crate::lists::{self, Lists};
use crate::member::{Invitations, Wished};
use crate::message::{Answer, Asked, Invitation, Request};
use crate::repair::Repairs;
use crate::shared::{Shared, Timer};
use crate::words::Words;
use fatebound_tree::{GroupId, PathId};

/// All groups of one peer. Nothing of it outlives the process (protocol.md §1, P6).
#[derive(Debug, Hash)]
pub struct Groups {
    pub(crate) shared: Shared,
    pub(crate) creations: Creations,
    pub(crate) inviting: Inviting,
    pub(crate) admissions: Admissions,
    pub(crate) invitations: Invitations,
    pub(crate) joins: Joins,
    pub(crate) departures: Departures,
    pub(crate) lists: Lists,
    pub(crate) repairs: Repairs,
    pub(crate) inquiries: Inquiries,
    pub(crate) checks: Checks,
    pub(crate) deaths: Deaths,
    pub(crate) words: Words,
}

impl Groups {
    /// A peer without groups, in this life of it.
    pub fn new(config: &Config, identity: &Identity, incarnation: u64, rng: StdRng) -> Groups {
        Groups {
            shared: Shared::new(config, identity, incarnation, rng),
            creations: Creations::default(),
            inviting: Inviting::default(),
            admissions: Admissions::default(),
            invitations: Invitations::default(),
            joins: Joins::new(incarnation),
            departures: Departures::default(),
            lists: Lists::default(),
            repairs: Repairs::default(),
            inquiries: Inquiries::default(),
            checks: Checks::default(),
            deaths: Deaths::default(),
            words: Words::default(),
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, context: Context, out: &mut Vec<Output>) {
        self.shared.begin(now, context);
        self.take(input);
        self.pass_on();
        self.shared.end(out);
    }

    /// When the groups want `Input::Wake`.
    pub fn deadline(&self) -> Option<Time> {
        self.shared.timers.next()
    }

    fn take(&mut self, input: Input) {
        let shared = &mut self.shared;
        match input {
            Input::Command(command) => self.on_command(command),
            Input::Asked { from, way, request } => self.on_asked(from, way, request),
            Input::Answered { post, from, answer } => self.on_answered(post, from, answer),
            Input::PostFailed { post, unknown } => {
                self.words.told(post);
                self.joins.on_lost(shared, post.0, unknown);
                self.on_invitation_lost(post, unknown);
            }
            Input::PeerDead { peer, proof } => self.deaths.on_peer_dead(shared, peer, proof),
            Input::LinkUp { peer } => self.repairs.on_link_up(shared, &peer),
            Input::LinkFailed { peer } => self.repairs.on_link_failed(shared, &peer),
            Input::Tree(event) => self.on_tree(event),
            Input::FailStuck { paths, notice } => self.on_fail_stuck(&paths, &notice),
            Input::Wake => self.on_wake(),
        }
    }

    fn on_command(&mut self, command: Command) {
        let shared = &mut self.shared;
        match command {
            Command::Create {
                ticket,
                members,
                tag,
                state,
                timeout,
                admit,
            } => self.on_create(Order {
                ticket,
                members,
                tag,
                state,
                timeout,
                admit,
            }),
            Command::Join {
                ticket,
                group,
                observe,
                timeout,
            } => self.on_join(Wish {
                ticket,
                group,
                observe,
                timeout,
            }),
            Command::Admit { group, peer, refusal } => self.admissions.on_admit(shared, &group, peer, refusal),
            Command::Leave { ticket, group } => self.on_leave(ticket, group),
            Command::Signal { group, text } => self.on_signal(&group, text),
            Command::FallSilent { group } => self.on_fall_silent(group),
            Command::Check { ticket, group } => self.checks.on_check(shared, ticket, &group),
            Command::Decide { group, refusal } => self.invitations.on_decide(shared, &group, refusal),
            Command::Shutdown => self.on_shutdown(),
        }
    }

    fn on_join(&mut self, wish: Wish) {
        let invited = self.invitations.waits(&wish.group);
        let closed = self.words.was_closed(self.shared.now, &wish.group);
        self.joins.on_join(&mut self.shared, wish, invited, closed);
    }

    fn on_asked(&mut self, from: PeerId, way: Way, request: Request) {
        // About a silent group there is no word.
        if about(&request).is_some_and(|group| self.words.is_silent(group)) {
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

    fn on_invite(&mut self, from: PeerId, way: Way, invitation: Invitation) {
        let wished = Wished {
            wanted: self.joins.wants(&invitation),
            asked_for: self.joins.asked_for(&invitation),
        };
        self.invitations
            .on_invite(&mut self.shared, from, way, invitation, wished);
    }

    fn on_asked_in(&mut self, from: PeerId, way: Way, group: GroupId, asked: Asked) {
        let shared = &mut self.shared;
        if group.root != shared.us || from == shared.us {
            return;
        }
        match shared.table.find(&group) {
            Some(slot) => self.admissions.on_asked_in(shared, from, way, slot, asked),
            None => self.words.say_over(shared, from, way, &group),
        }
    }

    fn on_answered(&mut self, post: PostId, from: PeerId, answer: Answer) {
        let shared = &mut self.shared;
        // Postings are numbered over all questions, so at most one of these knows it.
        self.joins.on_answered(shared, post.0, from, &answer);
        self.departures.on_answered(shared, post.0, from, &answer);
        match answer {
            Answer::Accept => self.on_accept(post.0, from),
            Answer::Decline(refusal) => self.on_decline(post.0, from, refusal),
            Answer::Status(status) => self.inquiries.on_status(shared, post.0, from, &status),
            Answer::Noted => {
                self.words.told(post);
                self.lists.on_noted(shared, post, from);
            }
            Answer::Left => {}
        }
    }

    fn on_tree(&mut self, event: fatebound_tree::Event) {
        use fatebound_tree::Event;
        let shared = &mut self.shared;
        match event {
            Event::Live { path, hops } => self.repairs.on_live(shared, path, hops),
            Event::Arrived { path } => self.on_arrived(path),
            Event::Broken { path, cause } => self.repairs.on_broken(shared, &path, cause),
            Event::Failed { path, notice } => self.on_fail_along_path(&path, &notice),
            Event::Suspected { path } => self.inquiries.on_suspected(shared, &path),
        }
    }

    /// About a silent group there is no word.
    fn on_arrived(&mut self, path: PathId) {
        if !self.words.is_silent(&path.group) {
            self.repairs.on_arrived(&mut self.shared, path);
        }
    }

    fn on_wake(&mut self) {
        while let Some(timer) = self.shared.timers.pop_due(self.shared.now) {
            self.on_timer(timer);
            self.pass_on();
            if timer == Timer::Deaths {
                // One batch per input: what has come meanwhile is read before the next.
                return;
            }
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        let shared = &mut self.shared;
        match timer {
            Timer::Create(slot) => self.creations.fail(shared, slot),
            Timer::Invite(key) => self.invite(key),
            Timer::Path(key) => self.repairs.on_path_timer(shared, key),
            Timer::Probe(key) => self.inquiries.ask(shared, key),
            Timer::Verdict(key) => self.inquiries.on_verdict_timer(shared, key),
            Timer::Round(pair) => self.inquiries.on_round_timer(shared, pair),
            Timer::Waiting(number) => self.invitations.on_waiting_timer(shared, number),
            Timer::Silent(number) => self.words.on_silent_timer(shared, number),
            Timer::Join(number) => self.joins.on_timer(shared, number),
            Timer::Asking(number) => self.admissions.on_asking_timer(number),
            Timer::Leave(slot) => self.departures.ask(shared, slot),
            Timer::List(slot) => self.lists.on_timer(shared, slot),
            Timer::Deaths => self.deaths.work_off(shared),
        }
    }
}

/// The group that a question is about, if it is about one.
fn about(request: &Request) -> Option<&GroupId> {
    match request {
        Request::Invite(invitation) => Some(&invitation.group),
        Request::Fail(notice) => Some(&notice.group),
        Request::Join { group, .. } | Request::Leave { group, .. } | Request::Members { group, .. } => Some(group),
        Request::Probe { .. } | Request::NeedRepair { .. } => None,
    }
}
