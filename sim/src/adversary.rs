//! An adversary who reads: it does something to the network whenever a message of a certain kind is sent.
//!
//! It sees what is inside, as nobody can who does not own the endpoints: so it is worse than any network. Messages are decoded only while it is
//! there. A hostile *peer* is something else: [`World::forge`] puts words into a peer's mouth that its machine would never say.

use std::time::Duration;

use fatebound_machine::fng::message::{Answer as GroupAnswer, Request as GroupRequest};
use fatebound_machine::overlay::message::{Answer, Message, OneShot};
use fatebound_machine::overlay::{Port, Versions};
use fatebound_machine::tree::{Operation, Tell};
use fatebound_machine::wire;

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::carriage::End;
use crate::connections::At;
use crate::observe::Words;
use crate::world::{Happening, World};

/// What a message says, on the outside or inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// Opens a session of a link.
    Hello,
    /// "Are you there?"
    Ping,
    /// "I am."
    Pong,
    /// Any numbered operation.
    Operation,
    /// Hands a path on.
    Construct,
    /// A path has reached its member.
    Confirm,
    /// Paths are no more.
    Release,
    /// A group has failed: as an operation, or as a one-shot message.
    Fail,
    /// Operations received.
    Acknowledge,
    /// Any unnumbered word about paths.
    Tell,
    /// The far end of a path is suspected.
    Suspected,
    /// A joint set.
    List,
    /// The sender's neighbours.
    Neighbours,
    /// Any one-shot message on its way through the overlay.
    Routed,
    /// Any answer to one.
    RoutedAnswer,
    /// The last word of a link.
    Goodbye,
    /// A peer looks for its place.
    Join,
    /// Where does a peer live?
    Locate,
    /// A neighbour is asked for its leaf set or a row.
    Upkeep,
    /// A suspicion is shared.
    Suspect,
    /// Be a member.
    Invite,
    /// Yes.
    Accept,
    /// No.
    Decline,
    /// Root to member: do you live?
    Probe,
    /// Member to root: do you live, my path is broken.
    NeedRepair,
    /// The answer to these two.
    Status,
    /// The answer to a one-shot `Fail`.
    Noted,
    /// A peer wants to come into a group.
    JoinGroup,
    /// A member or an observer wants to leave.
    LeaveGroup,
    /// It may.
    Left,
    /// Who the members are now.
    Members,
    /// Records of peers, in answer.
    Records,
    /// Anything of the directory, a question or an answer.
    Directory,
    /// Words about process groups.
    Views,
}

/// What the adversary does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The connection breaks, the message is lost, both ends notice.
    BreakSession,
    /// The connection dies with the message, and nobody notices.
    BreakSilently,
    /// Nothing gets through between the two hosts for so long, in both directions.
    CutLink(Duration),
    /// The message, and what follows it, arrives so much later.
    Delay(Duration),
}

/// Who does something to this share of the messages of this kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adversary {
    /// Which messages; those inside of others count.
    pub kind: MessageKind,
    /// How many of them: 1 is all.
    pub share: f64,
    /// What happens.
    pub reaction: Reaction,
}

/// All that a message says: itself first, then what is inside.
pub fn kinds_of(words: &Words) -> Vec<MessageKind> {
    let mut kinds = Vec::new();
    match words {
        Words::Frame(frame) => {
            if let Ok(message) = wire::decode_frame(frame) {
                of_message(&message, &mut kinds);
            }
        }
        Words::Request(body) => {
            if let Ok(question) = wire::decode_question(body, Versions::OURS) {
                of_question(&question.body, &mut kinds);
            }
        }
        Words::Response(body) => {
            if let Ok(answer) = wire::decode_answer(body) {
                of_answer(&answer, &mut kinds);
            }
        }
        Words::Pipe(_) | Words::Host(_) => {}
    }
    kinds
}

fn of_message(message: &Message, kinds: &mut Vec<MessageKind>) {
    kinds.push(match message {
        Message::Hello(_) => MessageKind::Hello,
        Message::Ping(_) => MessageKind::Ping,
        Message::Pong(_) => MessageKind::Pong,
        Message::Operation { .. } => MessageKind::Operation,
        Message::Acknowledge { .. } => MessageKind::Acknowledge,
        Message::Tell(_) => MessageKind::Tell,
        Message::Neighbours(_) => MessageKind::Neighbours,
        Message::Routed(_) => MessageKind::Routed,
        Message::RoutedAnswer(_) => MessageKind::RoutedAnswer,
        Message::Goodbye(_) => MessageKind::Goodbye,
    });
    match message {
        Message::Operation { body, .. } => kinds.extend(wire::decode(body).ok().map(|body| of_operation(&body))),
        Message::Tell(body) => kinds.extend(wire::decode(body).ok().map(|body| of_tell(&body))),
        Message::Routed(routed) => of_question(&routed.body.body, kinds),
        Message::RoutedAnswer(routed) => of_answer(&routed.body.body, kinds),
        _ => {}
    }
}

fn of_operation(operation: &Operation) -> MessageKind {
    match operation {
        Operation::Construct { .. } => MessageKind::Construct,
        Operation::Confirm { .. } => MessageKind::Confirm,
        Operation::Release { .. } => MessageKind::Release,
        Operation::Fail { .. } => MessageKind::Fail,
    }
}

fn of_tell(tell: &Tell) -> MessageKind {
    match tell {
        Tell::Suspected { .. } => MessageKind::Suspected,
        Tell::List { .. } => MessageKind::List,
    }
}

fn of_question(question: &OneShot, kinds: &mut Vec<MessageKind>) {
    let kind = match question {
        OneShot::Join { .. } => Some(MessageKind::Join),
        OneShot::Locate(_) => Some(MessageKind::Locate),
        OneShot::Leaves(_) | OneShot::Row(_) => Some(MessageKind::Upkeep),
        OneShot::Suspect(_) => Some(MessageKind::Suspect),
        OneShot::Nearest { .. } | OneShot::Directory(_) => Some(MessageKind::Directory),
        OneShot::Above {
            port: Port::PROCESS_GROUPS,
            ..
        } => Some(MessageKind::Views),
        OneShot::Above { body, .. } => wire::decode(body).ok().map(|request| match request {
            GroupRequest::Invite(_) => MessageKind::Invite,
            GroupRequest::Probe { .. } => MessageKind::Probe,
            GroupRequest::NeedRepair { .. } => MessageKind::NeedRepair,
            GroupRequest::Fail(_) => MessageKind::Fail,
            GroupRequest::Join { .. } => MessageKind::JoinGroup,
            GroupRequest::Leave { .. } => MessageKind::LeaveGroup,
            GroupRequest::Members { .. } => MessageKind::Members,
        }),
    };
    kinds.extend(kind);
}

fn of_answer(answer: &Answer, kinds: &mut Vec<MessageKind>) {
    let kind = match answer {
        Answer::Records(_) => Some(MessageKind::Records),
        Answer::Nothing | Answer::Unread | Answer::Versions(_) => None,
        Answer::Nearest { .. } | Answer::Directory(_) => Some(MessageKind::Directory),
        Answer::Above(body) => wire::decode(body).ok().map(|answer| match answer {
            GroupAnswer::Accept => MessageKind::Accept,
            GroupAnswer::Decline(_) => MessageKind::Decline,
            GroupAnswer::Status { .. } => MessageKind::Status,
            GroupAnswer::Noted => MessageKind::Noted,
            GroupAnswer::Left => MessageKind::Left,
        }),
    };
    kinds.extend(kind);
}

impl World {
    /// An adversary looks at every message that is sent from now on. There may be several; the first that has something to do does it.
    pub fn on_message(&mut self, adversary: Adversary) {
        self.network_changes();
        self.adversaries.push(adversary);
    }

    /// The adversaries go; what they have cut for a time is mended when that is over.
    pub fn dismiss_adversaries(&mut self) {
        self.network_changes();
        self.adversaries.clear();
    }

    /// Lets the adversary look at a message that a process hands to its host; says whether the message is lost by it.
    pub(crate) fn is_sabotaged(&mut self, from: At, cargo: &Cargo) -> bool {
        let kinds = cargo.words().map(|words| kinds_of(&words)).unwrap_or_default();
        let mut interested = self
            .adversaries
            .iter()
            .filter(|adversary| kinds.contains(&adversary.kind));
        let Some(adversary) = interested
            .find(|adversary| self.network.chance(adversary.share))
            .copied()
        else {
            return false;
        };
        match adversary.reaction {
            Reaction::BreakSession => {
                self.close(from, false);
                self.close(from.other(), false);
                true
            }
            Reaction::BreakSilently => {
                self.deaden(from.connection);
                true
            }
            Reaction::CutLink(duration) => {
                self.cut_for(from, duration);
                false
            }
            Reaction::Delay(duration) => {
                self.hold_up(from, self.now + duration);
                false
            }
        }
    }

    fn cut_for(&mut self, from: At, duration: Duration) {
        if let (Some(a), Some(b)) = (self.other_peer(from), self.other_peer(from.other())) {
            self.cut(a, b);
            self.schedule(self.now + duration, Happening::Mend { a, b });
        }
    }

    /// Puts a frame on the newest open session between two peers as if `from` had sent it. Says whether there is one.
    pub fn forge(&mut self, from: PeerIndex, to: PeerIndex, frame: Vec<u8>) -> bool {
        let Some((back, half)) = self.session_between(from, to) else {
            return false;
        };
        let to = half.other;
        self.ship(half.at, Cargo::Frame { to, back, frame }, false);
        true
    }

    /// Puts a one-shot question to a peer as if `from` had asked it; nobody waits for the answer. Says whether there is a connection between them.
    pub fn forge_request(&mut self, from: PeerIndex, to: PeerIndex, body: Vec<u8>) -> bool {
        let Some(at) = self.newest_connection(from, to) else {
            return false;
        };
        let from: End = self.new_dial(from);
        self.ship(at, Cargo::Request { from, body }, false);
        true
    }
}
