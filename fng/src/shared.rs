//! What all parts of this layer stand on, in one argument: the table, timers, randomness, configuration and identity; the time and the
//! surroundings of the input that is being taken; and where its consequences go. A part keeps whatever else it knows to itself.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{Deadlines, Identity, PeerId, PostId, Rule, Running, Time, Way, Ways};
use fatebound_tree::{Cause, GroupId, PathId};
use rand::rngs::StdRng;

use crate::config::{Config, Timings};
use crate::fate::Fate;
use crate::group::{Group, Key};
use crate::io::{Context, Event, Output};
use crate::message::{Answer, Request};
use crate::patience::{backoff, patience};
use crate::prober::Pair;
use crate::reason::{Reason, Refusal};
use crate::table::Table;
use crate::view::Counters;

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

/// The context of every part.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) us: PeerId,
    pub(crate) identity: Identity,
    pub(crate) incarnation: u64,
    pub(crate) table: Table,
    pub(crate) timers: Deadlines<Timer>,
    pub(crate) counters: Counters,
    /// Whether this peer stops.
    pub(crate) stopping: bool,
    /// When the current input came; between two inputs, the last one.
    pub(crate) now: Time,
    running: Running,
    context: Context,
    rng: StdRng,
    next_post: u64,
    /// What has followed from the current input so far; empty between two inputs.
    out: Vec<Output>,
    /// What the parts have yet to tell each other; likewise.
    fates: VecDeque<Fate>,
}

/// For `branch`: whatever decides how the groups go on. Left out is what never changes, what is only counted, the generator, and what
/// the next input brings along.
impl Hash for Shared {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.table, &self.timers, &self.running, self.stopping, self.next_post).hash(hasher);
    }
}

impl Shared {
    pub(crate) fn new(config: &Config, identity: &Identity, incarnation: u64, rng: StdRng) -> Shared {
        Shared {
            config: config.clone(),
            us: identity.peer(),
            identity: identity.clone(),
            incarnation,
            table: Table::default(),
            timers: Deadlines::default(),
            counters: Counters::default(),
            stopping: false,
            now: Time::ZERO,
            running: Running::default(),
            context: Context::default(),
            rng,
            next_post: 1,
            out: Vec::new(),
            fates: VecDeque::new(),
        }
    }

    /// A copy with a generator of its own.
    pub(crate) fn branch(&self, rng: StdRng) -> Shared {
        Shared {
            config: self.config.clone(),
            us: self.us,
            identity: self.identity.clone(),
            incarnation: self.incarnation,
            table: self.table.clone(),
            timers: self.timers.clone(),
            counters: self.counters.clone(),
            stopping: self.stopping,
            now: self.now,
            running: self.running.clone(),
            context: self.context,
            rng,
            next_post: self.next_post,
            out: Vec::new(),
            fates: VecDeque::new(),
        }
    }

    /// An input begins.
    pub(crate) fn begin(&mut self, now: Time, context: Context) {
        (self.now, self.context) = (now, context);
        self.running.resumes(now, self.config.ping_timeout * 4);
    }

    /// It ends: all that has followed from it.
    pub(crate) fn end(&mut self, out: &mut Vec<Output>) {
        out.append(&mut self.out);
        self.running.waits(self.now, self.timers.next());
    }

    /// Now, in time in which this peer ran. "◆ Patience and its ceiling are counted in time in which the peer ran" (protocol.md §6).
    pub(crate) fn own_now(&self) -> Time {
        Time::ZERO + self.now.elapsed().saturating_sub(self.lost())
    }

    fn lost(&self) -> Duration {
        match Rule::OwnTime.holds() {
            true => self.running.lost(),
            false => Duration::ZERO,
        }
    }

    /// When a limit in own time is over by the clock, unless more is lost until then.
    pub(crate) fn ends_at(&self, own: Time) -> Time {
        own + self.lost()
    }

    /// Whether everything that followed from the last input has been passed on.
    pub(crate) fn is_settled(&self) -> bool {
        self.out.is_empty() && self.fates.is_empty()
    }

    /// Tells the other parts, in its turn.
    pub(crate) fn fate(&mut self, fate: Fate) {
        self.fates.push_back(fate);
    }

    /// What is to be passed on next.
    pub(crate) fn next_fate(&mut self) -> Option<Fate> {
        self.fates.pop_front()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Posts a question; returns its number.
    pub(crate) fn post(&mut self, to: PeerId, request: Request, ways: Ways) -> u64 {
        let post = self.next_post;
        self.next_post += 1;
        self.push(Output::Post {
            post: PostId(post),
            to,
            request,
            ways,
        });
        post
    }

    /// The number of the next posting. Postings are numbered over all questions.
    pub(crate) fn next_post(&self) -> u64 {
        self.next_post
    }

    pub(crate) fn reply(&mut self, way: Way, answer: Answer) {
        self.push(Output::Reply { way, answer });
    }

    pub(crate) fn decline(&mut self, way: Way, refusal: Refusal) {
        self.reply(way, Answer::Decline(refusal));
    }

    /// Ends or refuses a path.
    pub(crate) fn release(&mut self, path: PathId, cause: Cause) {
        self.push(Output::Release { path, cause });
    }

    /// The last word about a group. "The root ends a group that nobody needs any more, which is no failure."
    pub(crate) fn tell_end(&mut self, group: GroupId, reason: Reason) {
        self.counters.ended(&reason);
        self.event(match reason {
            Reason::Closed { by } => Event::Closed { group, by },
            reason => Event::Failed { group, reason },
        });
    }

    /// The pause before a repetition: see [`backoff`].
    pub(crate) fn pause(&mut self, base: Duration, cap: Duration, failures: u32) -> Duration {
        backoff(&mut self.rng, base, cap, failures)
    }

    /// The ceiling of this peer's patience about a group: `probe_timeout` at the root, `member_timeout` at a member.
    pub(crate) fn ceiling(&self, slot: u32) -> Duration {
        let Some(group) = self.table.group(slot) else {
            return Duration::ZERO;
        };
        let timings = self.table.timings(group);
        if group.is_root() {
            timings.probe_timeout
        } else {
            timings.member_timeout
        }
    }

    pub(crate) fn floor(&self, slot: u32) -> Duration {
        let timings = self.table.timings_at(slot);
        timings.map_or(Duration::ZERO, |timings| timings.patience_floor)
    }

    /// This peer's patience about a group.
    pub(crate) fn patience(&self, slot: u32) -> Duration {
        let floor = self.floor(slot) + self.grace();
        patience(self.context.round_trips, floor, self.ceiling(slot))
    }

    /// "As much is added to the floor of a peer's patience."
    fn grace(&self) -> Duration {
        match Rule::LatelyLate.holds() {
            true => self.running.grace(self.config.ping_timeout),
            false => Duration::ZERO,
        }
    }

    /// A group's notification bound, as far as this peer can tell.
    pub(crate) fn bound(&self, group: &Group) -> Duration {
        self.table.bound(group, self.config.tick)
    }

    /// The far end of this path, if the path is of a group here.
    pub(crate) fn end_of_path(&self, path: &PathId) -> Option<Key> {
        let slot = self.table.find(&path.group)?;
        if path.group.root == self.us {
            self.table.end_of(slot, &path.member)
        } else {
            Some(Key { slot, index: 0 })
        }
    }

    /// The far end's path, as of its current epoch.
    pub(crate) fn path(&self, key: Key) -> Option<PathId> {
        self.table.path(key, self.us)
    }

    /// Whether this peer has no room for a group: in all, of this root, or with yet another set of timings.
    pub(crate) fn is_full_for(&self, group: &GroupId, timings: &Timings) -> bool {
        self.table.len() >= self.config.max_groups
            || self.table.groups_of(&group.root) >= self.config.max_groups_per_peer
            || !self.table.has_room_for(timings)
    }
}
