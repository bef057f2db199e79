//! The overlay machine: one peer's place on the ring, and its links.
//!
//! Inputs go to one of four: the links (sessions, pings, operations), the join, the mail (one-shot messages), or the upkeep of the ring. What
//! the links report comes back here; from it the ring learns who is there and who is gone, and says whom it wants. All of that
//! happens within one [`Overlay::handle`], through a first-in first-out list of reports, never by recursion.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use indexmap::IndexSet;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::directory::Directory;
use crate::join::Join;
use crate::links::{self, Link, Links};
use crate::locate::{Locates, Waiter};
use crate::mail::Mail;
use crate::message::{Message, PeerRecord};
use crate::record::SignedRecord;
use crate::records::{fitting, without_peer};
use crate::ring::Ring;
use crate::upkeep::Upkeep;
use crate::view::{Counters, Neighbour};
use crate::{
    Bounded, Command, Config, Deadlines, Event, Identity, Input, Key, LinkId, Output, Rule, Running, Session, Tag, Time,
};

/// What the overlay waits for; the links have deadlines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The next try to join, or the end of waiting for the first links.
    Join,
    /// The next round of maintenance.
    Upkeep,
    /// The oldest question that is still open.
    Mail,
    /// The next try to locate a peer.
    Locate(PeerId),
}

/// Room that lists of things to do keep from one input to the next: a burst must not cost memory for ever.
const KEPT: usize = 8;

/// One peer's overlay: links, routes, joining, and one-shot messages.
pub struct Overlay {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) peer: PeerId,
    pub(crate) tag: Tag,
    pub(crate) rng: StdRng,
    pub(crate) now: Time,
    pub(crate) out: Vec<Output>,
    pub(crate) record: SignedRecord,
    pub(crate) links: Links,
    reports: VecDeque<links::Output>,
    pub(crate) ring: Ring,
    wanted: IndexSet<PeerId>,
    pub(crate) join: Join,
    pub(crate) mail: Mail,
    pub(crate) locates: Locates,
    pub(crate) upkeep: Upkeep,
    pub(crate) directory: Directory,
    pub(crate) deadlines: Deadlines<Timer>,
    pub(crate) garbage: u64,
    pub(crate) dropped: u64,
    running: Running,
    stopping: bool,
}

impl Overlay {
    /// A peer that knows nobody. `incarnation` is drawn anew for each life; `config` has been validated.
    pub fn new(config: &Config, identity: &Identity, incarnation: u64, mut rng: StdRng) -> Overlay {
        let peer = identity.peer();
        let record = PeerRecord {
            peer,
            addresses: Vec::new(),
            sequence: 0,
        };
        let record = SignedRecord::sign(record, identity);
        let links_rng = StdRng::seed_from_u64(rng.random());
        Overlay {
            links: Links::new(config, identity, incarnation, record.clone(), links_rng),
            reports: VecDeque::new(),
            ring: Ring::new(config, identity),
            wanted: IndexSet::new(),
            join: Join::default(),
            mail: Mail::new(config, rng.random()),
            locates: Locates::default(),
            upkeep: Upkeep::default(),
            directory: Directory::new(config, identity),
            deadlines: Deadlines::default(),
            config: config.clone(),
            identity: identity.clone(),
            peer,
            tag: Key::of(&peer).tag(),
            rng,
            now: Time::ZERO,
            out: Vec::new(),
            record,
            garbage: 0,
            dropped: 0,
            running: Running::default(),
            stopping: false,
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.now = now;
        self.running.resumes(now, self.config.ping_timeout * 4);
        self.links.grant(self.grace());
        if !self.stopping || concerns_links(&input) {
            self.dispatch(input);
            self.settle();
        }
        self.running.waits(now, self.deadline());
        out.append(&mut self.out);
        self.out.shrink_to(KEPT);
        self.reports.shrink_to(KEPT);
    }

    /// "◆ Who was late itself lately grants four times as much to every answer" (protocol.md §4).
    fn grace(&self) -> Duration {
        match Rule::LatelyLate.holds() {
            true => self.running.grace(self.config.ping_timeout),
            false => Duration::ZERO,
        }
    }

    /// What answers take at present, half of which a question waits before its connection is distrusted.
    pub(crate) fn answers_take(&self) -> Option<Duration> {
        let grace = Some(self.grace() * 2).filter(|grace| !grace.is_zero());
        self.links.round_trips().max(grace)
    }

    /// When the overlay wants [`Input::Wake`].
    pub fn deadline(&self) -> Option<Time> {
        [self.links.deadline(), self.deadlines.next(), self.directory.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Connected {
                session,
                peer,
                opener,
                address,
            } => {
                self.note_bootstrap_peer(&peer, address.as_ref());
                let connected = links::Input::Connected {
                    session,
                    peer,
                    opener,
                    address,
                };
                self.tell_links(connected);
            }
            Input::Disconnected { session, cause } => self.tell_links(links::Input::Disconnected { session, cause }),
            Input::DialFailed { peer, failures } => {
                if peer.is_some() {
                    self.on_bootstrap_failed(peer, &failures);
                }
                self.tell_links(links::Input::DialFailed { peer, failures });
            }
            Input::Verified { peer, address } => self.tell_links(links::Input::Verified { peer, address }),
            Input::Received { session, message } => self.on_received(session, message),
            Input::Request { request, peer, body } => self.on_request(request, peer, body),
            Input::Response { request, body } => self.on_response(request, body),
            Input::RequestFailed { request, failures } => self.on_request_failed(request, failures),
            Input::Listening(addresses) => self.on_listening(&addresses),
            Input::Command(command) => self.on_command(command),
            Input::Wake => self.on_wake(),
        }
    }

    /// The record in a `Hello` is most often the one for which its sender was chosen: that signature is not verified a second time.
    fn on_received(&mut self, session: Session, mut message: Message) {
        if let Message::Hello(hello) = &mut message
            && let Some(known) = self.ring.records.verified(&hello.record)
        {
            hello.record = known.clone();
        }
        self.tell_links(links::Input::Received { session, message });
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Join { bootstrap } => self.start_join(bootstrap),
            Command::Locate { peer } => self.on_locate(peer),
            Command::Introduce { peer, addresses } => self.ring.records.introduce(peer, &addresses),
            Command::Link { peer } => self.link(peer),
            Command::Operate { link, body } => self.tell_links(links::Input::Operate { link, body }),
            Command::Tell { link, body } => self.tell_links(links::Input::Tell { link, body }),
            Command::JointSet { link, joint } => self.tell_links(links::Input::JointSet { link, joint }),
            Command::Violation { link, what } => self.tell_links(links::Input::Violation { link, what }),
            Command::GiveUp { link } => self.tell_links(links::Input::GiveUp { link }),
            Command::Post {
                posting,
                to,
                body,
                ways,
            } => self.on_post(posting, to, body, ways),
            Command::Reply { way, body } => self.on_reply(way, body),
            Command::ProveAddress { peer } if self.addresses(&peer).is_empty() => self.locate(peer, Waiter::Proof),
            Command::ProveAddress { peer } => self.prove_address(peer),
            Command::Directory(command) => self.order_directory(command),
            Command::Shutdown => self.shut_down(),
        }
    }

    pub(crate) fn prove_address(&mut self, peer: PeerId) {
        let addresses = self.addresses(&peer);
        self.tell_links(links::Input::ProveAddress { peer, addresses });
    }

    fn on_wake(&mut self) {
        if self.links.deadline().is_some_and(|at| at <= self.now) {
            self.tell_links(links::Input::Wake);
        }
        while let Some(timer) = self.deadlines.pop_due(self.now) {
            match timer {
                Timer::Join => self.on_join_timer(),
                Timer::Upkeep => self.on_upkeep_timer(),
                Timer::Mail => self.expire_mail(),
                Timer::Locate(peer) => self.locate_again(peer),
            }
        }
        self.wake_directory();
    }

    fn shut_down(&mut self) {
        self.stopping = true;
        self.deadlines = Deadlines::default();
        self.tell_links(links::Input::Shutdown);
    }

    /// "Peers carry their dialable addresses (signed peer records)" (protocol.md §3): a new list is a new record, newer than the last.
    fn on_listening(&mut self, addresses: &[Multiaddr]) {
        let addresses = fitting(addresses.iter().map(without_peer), self.config.max_addresses);
        let millis = u64::try_from(self.now.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.sign_record(addresses, millis);
    }

    /// Signs our record anew, with a sequence of at least `sequence`, and shows it to links and neighbours.
    pub(crate) fn sign_record(&mut self, addresses: Vec<Multiaddr>, sequence: u64) {
        let record = PeerRecord {
            peer: self.peer,
            addresses,
            sequence: sequence.max(self.record.record().sequence.saturating_add(1)),
        };
        self.record = SignedRecord::sign(record, &self.identity);
        self.tell_links(links::Input::Record(self.record.clone()));
        if self.joined() {
            self.announce();
        }
    }

    pub(crate) fn tell_links(&mut self, input: links::Input) {
        let mut reports = Vec::new();
        self.links.handle(self.now, input, &mut reports);
        self.reports.extend(reports);
    }

    /// Works off what the links report, and what the ring makes of it, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            while let Some(report) = self.reports.pop_front() {
                self.on_report(report);
            }
            if self.stopping {
                return;
            }
            self.settle_ring();
            self.settle_join();
            self.settle_directory();
            if self.reports.is_empty() {
                break;
            }
        }
        // The upkeep asks, too, whenever a neighbour comes or a record changes.
        if self.mail.is_overfull() {
            self.expire_mail();
        }
        self.schedule_mail();
    }

    fn on_report(&mut self, report: links::Output) {
        match report {
            links::Output::Send { session, message } => self.out.push(Output::Send { session, message }),
            links::Output::Connect { peer, addresses, fresh } => self.connect(peer, addresses, fresh),
            links::Output::Verify { peer, address } => self.out.push(Output::Verify { peer, address }),
            links::Output::Disconnect { session } => self.out.push(Output::Disconnect { session }),
            links::Output::Event(event) => self.on_link_event(event),
            links::Output::Met { record, joined } => self.ring.meet(record, joined),
            links::Output::Passed { .. } | links::Output::Suspect { .. } | links::Output::Unreachable { .. }
                if self.stopping => {}
            links::Output::Passed { link, peer, message } => self.on_passed(link, peer, message),
            links::Output::Suspect { to, suspect } => self.pass_suspicion(to, suspect),
            links::Output::Unreachable { peer } => self.lose(&peer, self.long_bar()),
            links::Output::BootstrapFailed { failures } => self.on_bootstrap_failed(None, &failures),
        }
    }

    /// A session is not opened on a connection where a question gets no answer.
    fn connect(&mut self, peer: Option<PeerId>, addresses: Vec<Multiaddr>, fresh: bool) {
        let wait = self.answers_take();
        let silent = |peer: &PeerId| self.mail.unanswered.misses(self.now, peer, wait);
        let fresh = fresh || (!addresses.is_empty() && peer.as_ref().is_some_and(silent));
        self.out.push(Output::Connect { peer, addresses, fresh });
    }

    fn on_link_event(&mut self, event: Event) {
        match &event {
            _ if self.stopping => {}
            Event::LinkUp { link, peer, .. } => self.on_link_up(*link, peer),
            Event::LinkDown { peer, reason, .. } => self.on_link_down(peer, *reason),
            _ => {}
        }
        self.out.push(Output::Event(event));
    }

    fn on_passed(&mut self, link: LinkId, peer: PeerId, message: Message) {
        match message {
            Message::Routed(routed) => self.on_routed(link, &peer, *routed),
            Message::RoutedAnswer(answer) => self.on_routed_answer(*answer),
            _ => self.garbage += 1,
        }
    }

    /// Leaf set and table follow from what is known; the links follow from leaf set and table.
    fn settle_ring(&mut self) {
        if self.ring.is_dirty() {
            self.refresh_ring();
        }
        if self.upkeep.changed || self.join.contacts_changed {
            self.upkeep.changed = false;
            self.join.contacts_changed = false;
            self.want_neighbours();
        }
        self.repair();
    }

    fn want_neighbours(&mut self) {
        let mut wanted = self.ring.wanted();
        wanted.extend(self.join.contacts());
        for peer in self.wanted.difference(&wanted).copied().collect::<Vec<_>>() {
            self.tell_links(links::Input::Unwant { peer });
        }
        for peer in wanted.difference(&self.wanted).copied().collect::<Vec<_>>() {
            let addresses = self.ring.records.addresses(&peer);
            self.tell_links(links::Input::Want { peer, addresses });
        }
        self.wanted = wanted;
    }

    /// The other end of a link that is up.
    pub fn peer_of(&self, link: LinkId) -> Option<PeerId> {
        self.links.by_id(link).map(Link::peer)
    }

    /// A wanted peer has a new record: the links dial where it is now.
    pub(crate) fn tell_addresses(&mut self, peer: &PeerId) {
        if self.is_wanted(peer) {
            let addresses = self.ring.records.addresses(peer);
            self.tell_links(links::Input::Want { peer: *peer, addresses });
        }
    }

    /// Whether the links have been told to keep this peer as a neighbour.
    pub(crate) fn is_wanted(&self, peer: &PeerId) -> bool {
        self.wanted.contains(peer)
    }

    /// Whether this peer has a place on the ring.
    pub fn joined(&self) -> bool {
        self.join.is_joined()
    }

    /// Whether this peer has a place and nobody beside it, though there were others, or should be.
    pub fn is_isolated(&self) -> bool {
        self.joined() && self.links.iter().next().is_none() && self.join.is_not_alone()
    }

    /// Who this is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where this peer stands on the ring.
    pub fn key(&self) -> Key {
        *self.ring.key()
    }

    /// What others are told about this peer.
    pub fn record(&self) -> &SignedRecord {
        &self.record
    }

    /// The leaf set: the lower side, then the upper one, each with the nearest first.
    pub fn leaf_set(&self) -> (&[PeerId], &[PeerId]) {
        (self.ring.leaves().below(), self.ring.leaves().above())
    }

    /// The rows of the routing table, each entry with its digit.
    pub fn rows(&self) -> Vec<Vec<(u8, PeerId)>> {
        let table = self.ring.table();
        (0..table.rows()).map(|row| table.row(row).collect()).collect()
    }

    /// The neighbours, the oldest link first.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let neighbour = |link: &Link| Neighbour {
            peer: link.peer(),
            doubtful: link.doubtful(),
            wanted: link.wanted(),
            paths: link.paths(),
            round_trip: link.smoothed_round_trip(),
            incarnation: link.incarnation(),
        };
        self.links.iter().map(neighbour).collect()
    }

    /// How many links are alive, and how many are doubtful.
    pub fn link_counts(&self) -> (usize, usize) {
        let doubtful = self.links.iter().filter(|link| link.doubtful()).count();
        (self.links.iter().len() - doubtful, doubtful)
    }

    /// Whether two living processes use this peer's identity, as far as we have seen lately: whoever is asked may be the other one.
    pub fn is_twin(&self, peer: &PeerId) -> bool {
        self.links.is_twin(self.now, peer)
    }

    /// Operations that the other end of a link has not acknowledged, the newest first.
    pub fn unacknowledged(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        self.links.unacknowledged(link)
    }

    /// Operations waiting or unacknowledged on all links.
    pub fn operations_waiting(&self) -> usize {
        self.links.operations_waiting()
    }

    /// Where a peer may be dialled, as far as is known here: as it says and as others say; without either, where it has answered us. Records
    /// are forgotten when there are too many, and a peer of a group must not be lost with its record.
    pub fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let addresses = self.ring.records.addresses(peer);
        if addresses.is_empty() {
            return self.links.proven(peer).to_vec();
        }
        addresses
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        let links = self.links.counters();
        Counters {
            pings_sent: links.pings_sent,
            pings_missed: links.pings_missed,
            doubts: links.doubts,
            links_lost: links.links_lost,
            unlike: links.unlike,
            twins: links.twins,
            garbage: self.garbage + self.ring.forged + self.directory.garbage,
            dropped: self.dropped + links.dropped + self.directory.dropped,
        }
    }

    /// Everything here that can grow, with its limit. Costs a walk over links, remotes and contacts.
    pub fn bounds(&self) -> Vec<Bounded> {
        // One for each search, and one of each other kind.
        let timers = self.locates.len() + 3;
        let mut bounds = vec![Bounded::new("timers of the overlay", self.deadlines.len(), timers)];
        bounds.extend(self.ring.bounds());
        bounds.extend(self.join.bounds());
        bounds.extend(self.mail.bounds());
        bounds.extend(self.locates.bounds(&self.config));
        bounds.extend(self.links.bounds());
        bounds.extend(self.directory.bounds());
        bounds
    }

    /// A pause of about this length, so that peers started together do not act together.
    pub(crate) fn jittered(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(self.rng.random_range(0.75..1.25))
    }
}

/// After `Command::Shutdown` only what the links need for their goodbyes is still taken.
fn concerns_links(input: &Input) -> bool {
    matches!(
        input,
        Input::Connected { .. } | Input::Disconnected { .. } | Input::Received { .. } | Input::Wake
    )
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("peer", &self.peer)
            .field("joined", &self.joined())
            .field("leaves", self.ring.leaves())
            .finish_non_exhaustive()
    }
}
