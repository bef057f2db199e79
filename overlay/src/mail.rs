//! One-shot messages: sent over as many ways as they need, answered over the way they came.
//!
//! "One-shot messages go over the direct connection to their target if one is up or can be dialled. ◆ Without one, when the direct link is doubtful,
//! and always for `Probe`, `NeedRepair` and `Fail`, copies also travel through the overlay and through half of the common neighbours, changing with each
//! repetition" (protocol.md §3). A copy that died on its way says nothing, so what is open has a time limit; the layers above
//! repeat.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::directory::AskId;
use crate::locate::{Outcome, Waiter};
use crate::message::{Answer, OneShot, Signed};
use crate::overlay::{Overlay, Timer};
use crate::unanswered::Unanswered;
use crate::{
    Bounded, Config, DialFailure, Event, Foreign, Output, Port, Posting, RequestId, Rule, Time, Versions, Way, Ways,
    links, routed,
};

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A posting of the layer above.
    Post(Posting),
    /// Our `Join`.
    Join,
    /// Our `Join`, asked of this peer directly.
    Nearby(PeerId),
    /// Where a peer lives.
    Locate(PeerId),
    /// A peer's leaves or row.
    Records(PeerId),
    /// Of the directory.
    Directory(AskId),
}

/// Names something that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Post(Posting),
    Request(RequestId),
    Number(u64),
}

/// A posting that may still be answered.
#[derive(Debug)]
struct Post {
    to: PeerId,
    body: Vec<u8>,
    ways: Ways,
    /// Direct requests under way: one, and one beside a connection that is silent.
    direct: u8,
    /// The target is being located.
    locating: bool,
    located: bool,
    /// Copies are under way through the overlay.
    routed: bool,
    answered: bool,
    signed: Option<Signed<OneShot>>,
}

impl Post {
    fn question(&self, port: Port) -> OneShot {
        let body = self.body.clone();
        OneShot::Above { port, body }
    }
}

/// What is open.
#[derive(Debug)]
pub(crate) struct Mail {
    posts: HashMap<Posting, Box<Post>>,
    requests: HashMap<RequestId, (PeerId, Question)>,
    pub(crate) unanswered: Unanswered,
    numbers: HashMap<u64, Question>,
    /// In the order of their ends: all last equally long.
    ends: VecDeque<(Time, Open)>,
    max_posts: usize,
    lifetime: Duration,
    next_request: u64,
    next_number: u64,
}

impl Mail {
    /// Nothing is open. Numbers begin at a random one, so that answers to an earlier life do not fit.
    pub(crate) fn new(config: &Config, first_number: u64) -> Mail {
        Mail {
            posts: HashMap::new(),
            requests: HashMap::new(),
            unanswered: Unanswered::new(config),
            numbers: HashMap::new(),
            ends: VecDeque::new(),
            max_posts: config.max_posts,
            lifetime: config.ping_timeout * 4 + config.link_interval,
            next_request: 0,
            next_number: first_number,
        }
    }

    /// Opens a direct request to this peer.
    fn open_request(&mut self, now: Time, peer: PeerId, question: Question) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, (peer, question));
        self.unanswered.ask(now, peer);
        self.ends.push_back((now + self.lifetime, Open::Request(request)));
        request
    }

    /// A direct request is over without an answer.
    fn close_request(&mut self, request: RequestId) -> Option<Question> {
        let (peer, question) = self.requests.remove(&request)?;
        self.unanswered.over(&peer);
        Some(question)
    }

    /// A direct request was answered.
    fn request_answered(&mut self, now: Time, request: RequestId) -> Option<Question> {
        let (peer, question) = self.requests.remove(&request)?;
        self.unanswered.answered(now, &peer, request);
        Some(question)
    }

    /// A number for a routed question.
    fn open_number(&mut self, now: Time, question: Option<Question>) -> u64 {
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        if let Some(question) = question {
            self.numbers.insert(number, question);
            self.ends.push_back((now + self.lifetime, Open::Number(number)));
        }
        number
    }

    fn slim(&mut self) {
        slim::map(&mut self.posts);
        slim::map(&mut self.requests);
        slim::map(&mut self.numbers);
        slim::queue(&mut self.ends);
    }

    /// The question of this number, if it is open.
    pub(crate) fn numbered(&self, number: u64) -> Option<Question> {
        self.numbers.get(&number).copied()
    }

    /// The next thing that has ended, or has to because too much is open.
    fn ended(&mut self, now: Time) -> Option<Open> {
        let full = self.is_overfull();
        match self.ends.front() {
            Some((at, _)) if full || *at <= now => self.ends.pop_front().map(|(_, open)| open),
            _ => None,
        }
    }
}

impl Mail {
    /// What may be open in all: a posting has at most six ends, itself, two requests, each with another one beside it, and a number.
    fn limit(&self) -> usize {
        self.max_posts.saturating_mul(6)
    }

    /// Whether more is open than may be.
    pub(crate) fn is_overfull(&self) -> bool {
        self.posts.len() > self.max_posts || self.ends.len() > self.limit()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 5] {
        [
            Bounded::new("postings", self.posts.len(), self.max_posts),
            Bounded::new("ends of questions", self.ends.len(), self.limit()),
            Bounded::new("requests", self.requests.len(), self.ends.len()),
            Bounded::new("numbered questions", self.numbers.len(), self.ends.len()),
            self.unanswered.bounds(self.requests.len()),
        ]
    }
}

impl Overlay {
    /// Sends a one-shot message of the layer above.
    pub(crate) fn on_post(&mut self, posting: Posting, to: PeerId, body: Vec<u8>, ways: Ways) {
        let state = Post {
            to,
            body,
            ways,
            direct: 0,
            locating: false,
            located: false,
            routed: false,
            answered: false,
            signed: None,
        };
        self.mail.posts.insert(posting, Box::new(state));
        self.mail
            .ends
            .push_back((self.now + self.mail.lifetime, Open::Post(posting)));
        let addresses = match ways {
            Ways::Connected => Vec::new(),
            Ways::Direct | Ways::Every { .. } => self.addresses(&to),
        };
        self.post_directly(posting, addresses);
        match ways {
            Ways::Direct if self.is_doubtful(&to) => self.post_routed(posting),
            Ways::Every { .. } => self.post_routed(posting),
            Ways::Direct | Ways::Connected => {}
        }
        self.expire_mail();
    }

    fn is_doubtful(&self, peer: &PeerId) -> bool {
        let doubtful = self.links.by_peer(peer).is_some_and(links::Link::doubtful);
        doubtful && Rule::CopiesWhenDoubtful.holds()
    }

    fn post_directly(&mut self, posting: Posting, addresses: Vec<Multiaddr>) {
        let Some(state) = self.mail.posts.get_mut(&posting) else {
            return;
        };
        let (to, body) = (state.to, state.question(posting.port));
        let request = self.request(to, addresses.clone(), body.clone(), Question::Post(posting));
        let wait = self.answers_take();
        let fresh = !addresses.is_empty() && self.mail.unanswered.distrusts(self.now, &to, request, wait);
        if fresh {
            self.request_beside(to, addresses, body, Question::Post(posting));
        }
        if let Some(state) = self.mail.posts.get_mut(&posting) {
            state.direct += 1 + u8::from(fresh);
        }
    }

    /// "◆ A question to a peer that has not answered the one before also takes a fresh connection", and its link is pinged: it may be as silent.
    fn request_beside(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, body: OneShot, question: Question) {
        self.tell_links(links::Input::Unanswered { peer });
        let request = self.mail.open_request(self.now, peer, question);
        self.out.push(Output::Request {
            request,
            peer,
            addresses,
            fresh: true,
            body,
        });
    }

    /// Sends copies through the overlay; a posting is signed once, whatever the number of its copies.
    fn post_routed(&mut self, posting: Posting) {
        let Some(state) = self.mail.posts.get_mut(&posting) else {
            return;
        };
        let (to, ways) = (state.to, state.ways);
        let signed = match state.signed.take() {
            Some(signed) => signed,
            None => {
                let body = state.question(posting.port);
                self.sign_question(to, body, Some(Question::Post(posting)))
            }
        };
        let round = match ways {
            Ways::Every { round } => Some(round),
            Ways::Direct | Ways::Connected => None,
        };
        let sent = self.send_copies(to, &signed, round);
        if let Some(state) = self.mail.posts.get_mut(&posting) {
            state.routed |= sent;
            state.signed = Some(signed);
        }
    }

    /// Makes a direct exchange.
    pub(crate) fn request(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        body: OneShot,
        question: Question,
    ) -> RequestId {
        let request = self.mail.open_request(self.now, peer, question);
        self.out.push(Output::Request {
            request,
            peer,
            addresses,
            fresh: false,
            body,
        });
        request
    }

    /// Signs a question under a new number; without `question` no answer is expected.
    pub(crate) fn sign_question(&mut self, to: PeerId, body: OneShot, question: Option<Question>) -> Signed<OneShot> {
        let number = self.mail.open_number(self.now, question);
        routed::ask(&self.identity, to, number, body)
    }

    /// A direct exchange was answered: the peer lives.
    pub(crate) fn on_response(&mut self, request: RequestId, body: Answer) {
        if let Answer::Versions(theirs) = body {
            return self.on_other_version(request, theirs);
        }
        match (self.mail.request_answered(self.now, request), body) {
            (Some(Question::Post(posting)), Answer::Above(body)) => {
                if let Some(state) = self.mail.posts.get_mut(&posting) {
                    state.direct = state.direct.saturating_sub(1);
                    let from = state.to;
                    self.answered(posting, from, body);
                }
            }
            (Some(Question::Post(posting)), Answer::Unread) => self.post_failed(posting, false),
            (Some(Question::Post(posting)), _) => {
                self.garbage += 1;
                self.direct_failed(posting, &[]);
            }
            (Some(Question::Records(peer)), Answer::Records(records)) => self.on_records(peer, &records),
            (Some(Question::Nearby(peer)), Answer::Records(records)) => self.on_nearby(peer, &records),
            (Some(Question::Directory(ask)), body) => self.directory_answered_in_person(ask, body),
            (Some(_), _) => self.garbage += 1,
            (None, _) => self.dropped += 1,
        }
    }

    /// Who was asked does not speak the version of our question, and shares none with us: one that it shares would have been taken.
    fn on_other_version(&mut self, request: RequestId, theirs: Versions) {
        if self.config.versions.shared(theirs).is_some() {
            self.garbage += 1;
        } else if let Some((peer, _)) = self.mail.requests.get(&request) {
            let (peer, theirs, address) = (*peer, Foreign::Versions(theirs), None);
            self.out.push(Output::Event(Event::Foreigner { peer, theirs, address }));
        }
        self.on_request_failed(request, Vec::new());
    }

    /// A peer's leaves or row.
    pub(crate) fn on_records(&mut self, from: PeerId, records: &[crate::record::SignedRecord]) {
        self.bootstrap_heard(&from);
        self.ring.gone.clear(&from);
        self.absorb(records);
    }

    /// A direct exchange failed. Whether a refused dial proves a death is for the links to say.
    pub(crate) fn on_request_failed(&mut self, request: RequestId, failures: Vec<(Multiaddr, DialFailure)>) {
        let question = self.mail.close_request(request);
        let peer = match question {
            Some(Question::Post(posting)) => self.mail.posts.get(&posting).map(|state| state.to),
            Some(Question::Records(peer) | Question::Nearby(peer)) => Some(peer),
            Some(Question::Directory(ask)) => self.directory.asked(ask).flatten(),
            _ => None,
        };
        match question {
            Some(Question::Post(posting)) => self.direct_failed(posting, &failures),
            Some(Question::Directory(ask)) => self.directory.failed(ask),
            _ => {}
        }
        if peer.is_some() && !failures.is_empty() {
            self.tell_links(links::Input::DialFailed { peer, failures });
        }
    }

    /// "without one … copies also travel through the overlay". Who had no address at all is located first, and so is who did not answer at
    /// those that we knew: it may have moved.
    fn direct_failed(&mut self, posting: Posting, failures: &[(Multiaddr, DialFailure)]) {
        let Some(state) = self.mail.posts.get_mut(&posting) else {
            return;
        };
        state.direct = state.direct.saturating_sub(1);
        // One over a connection that may be silent is no better than none, once a dial beside it has failed.
        let waits = state.direct > 0 && failures.is_empty();
        let (to, ways, located, routed) = (state.to, state.ways, state.located, state.routed);
        let known = self.ring.records.get(&to).is_some() || !failures.is_empty();
        if !waits && ways != Ways::Connected && !state.answered {
            if known && !routed && Rule::CopiesWithoutConnection.holds() {
                self.post_routed(posting);
            }
            let moved = ways == Ways::Direct && !failures.is_empty();
            if !located && (!known || moved) {
                self.locate_for(posting, to);
            }
        }
        self.check_post(posting);
    }

    fn locate_for(&mut self, posting: Posting, to: PeerId) {
        if let Some(state) = self.mail.posts.get_mut(&posting) {
            state.locating = true;
        }
        self.locate(to, Waiter::Post(posting));
    }

    /// The target of a posting was located, or not. "Silence is no answer": a posting that found nobody to ask is lost, like any other.
    pub(crate) fn post_located(&mut self, posting: Posting, outcome: Outcome) {
        let Some(state) = self.mail.posts.get_mut(&posting) else {
            return;
        };
        (state.locating, state.located) = (false, true);
        let (to, routed, direct) = (state.to, state.routed, state.direct);
        if state.answered {
            return self.check_post(posting);
        }
        let addresses = self.addresses(&to);
        let found = outcome == Outcome::Found;
        if !found && addresses.is_empty() {
            return self.post_failed(posting, outcome == Outcome::Unknown);
        }
        if found && direct == 0 && !addresses.is_empty() {
            self.post_directly(posting, addresses);
        } else if !routed {
            self.post_routed(posting);
        }
        self.check_post(posting);
    }

    /// A posting was answered by its target.
    pub(crate) fn answered(&mut self, posting: Posting, from: PeerId, body: Vec<u8>) {
        if let Some(state) = self.mail.posts.get_mut(&posting) {
            state.answered = true;
            self.out.push(Output::Event(Event::Answered { posting, from, body }));
            self.check_post(posting);
        }
    }

    /// To whom an open posting went.
    pub(crate) fn posted_to(&self, posting: Posting) -> Option<PeerId> {
        self.mail.posts.get(&posting).map(|state| state.to)
    }

    /// Ends a posting when no way is left that could bring an answer.
    fn check_post(&mut self, posting: Posting) {
        let Some(state) = self.mail.posts.get(&posting) else {
            return;
        };
        if state.direct > 0 || state.locating || state.routed {
            return;
        }
        if state.answered {
            self.mail.posts.remove(&posting);
        } else {
            self.post_failed(posting, false);
        }
    }

    /// No way is left, or the target itself says that nobody reads this.
    pub(crate) fn post_failed(&mut self, posting: Posting, unknown: bool) {
        if let Some(state) = self.mail.posts.remove(&posting).filter(|state| !state.answered) {
            let to = state.to;
            self.out.push(Output::Event(Event::PostFailed { posting, to, unknown }));
        }
    }

    /// Ends what has been open for too long, and the oldest if there is too much.
    pub(crate) fn expire_mail(&mut self) {
        while let Some(open) = self.mail.ended(self.now) {
            match open {
                Open::Post(posting) => self.post_failed(posting, false),
                Open::Request(request) => {
                    self.mail.close_request(request);
                }
                Open::Number(number) => {
                    self.mail.numbers.remove(&number);
                }
            }
            self.mail.slim();
        }
    }

    /// One timer for all: it follows the oldest.
    pub(crate) fn schedule_mail(&mut self) {
        match self.mail.ends.front() {
            Some((at, _)) if self.deadlines.get(Timer::Mail).is_none() => self.deadlines.set(Timer::Mail, *at),
            _ => {}
        }
    }

    /// Answers a one-shot message of the layer above.
    pub(crate) fn on_reply(&mut self, way: Way, body: Option<Vec<u8>>) {
        let answer = body.map_or(Answer::Unread, Answer::Above);
        match way {
            Way::Direct(request) => self.respond(request, answer),
            Way::Routed(way) => self.answer_back(way, answer),
        }
    }

    pub(crate) fn respond(&mut self, request: RequestId, body: Answer) {
        self.out.push(Output::Respond { request, body });
    }

    /// A direct question, authenticated by its connection.
    pub(crate) fn on_request(&mut self, request: RequestId, peer: PeerId, body: OneShot) {
        match body {
            OneShot::Above { port, body } => {
                let (from, way) = (peer, Way::Direct(request));
                self.out.push(Output::Event(Event::Asked { from, way, port, body }));
            }
            OneShot::Leaves(record) => {
                let answer = self.on_leaves_in_person(peer, record);
                self.respond(request, answer);
            }
            body => {
                let answer = self.overlay_answer(peer, &body);
                self.respond(request, answer);
            }
        }
    }

    /// Only who has a place asks for leaves, and the connection proves that it asks now: its record counts as if it had greeted us.
    fn on_leaves_in_person(&mut self, peer: PeerId, record: crate::record::SignedRecord) -> Answer {
        let known = self.ring.records.verified(&record).cloned();
        let (known, mut record) = (known.is_some(), known.unwrap_or(record));
        if record.record().peer != peer || !record.verify(self.identity.scheme()) {
            self.garbage += 1;
            return Answer::Nothing;
        }
        let leaves = self.leaves_for(&record);
        self.ring.meet(record, true);
        if !known {
            self.tell_addresses(&peer);
        }
        Answer::Records(leaves)
    }

    /// Our answer to a question about the overlay, however it came.
    pub(crate) fn overlay_answer(&mut self, from: PeerId, body: &OneShot) -> Answer {
        match body {
            OneShot::Leaves(record) => Answer::Records(self.leaves_for(record)),
            OneShot::Row(row) => Answer::Records(self.ring.row_records(usize::from(*row), &mut self.rng)),
            OneShot::Join { joiner, .. } => Answer::Records(self.join_answer(joiner, &[])),
            OneShot::Locate(peer) => Answer::Records(self.known_record(peer).into_iter().collect()),
            OneShot::Suspect(peer) => {
                self.tell_links(links::Input::Suspected { from, peer: *peer });
                Answer::Nothing
            }
            OneShot::Directory(question) => self.directory_answer(from, (**question).clone()),
            OneShot::Above { .. } | OneShot::Nearest { .. } => Answer::Nothing,
        }
    }
}
