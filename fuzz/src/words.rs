//! What a hostile peer can say: every word of the protocol, with fields that are right often enough to be taken.

use std::time::Duration;

use arbitrary::Arbitrary;
use fatebound_machine::fng::message::{Answer as GroupAnswer, Invitation, Notice, Request as GroupRequest};
use fatebound_machine::fng::{Reason, Refusal, Timings};
use fatebound_machine::overlay::message::{
    Answer, Farewell, Hello, LinkInstance, Message, OneShot, PeerRecord, Ping, Pong, Routed, RoutedAnswer, Signed,
};
use fatebound_machine::overlay::record::SignedRecord;
use fatebound_machine::overlay::signatures::sign;
use fatebound_machine::overlay::{JointSet, Multiaddr, PeerId};
use fatebound_machine::tree::{Cause, GroupId, Operation, PathId, Tell};
use fatebound_machine::wire::encode;
use fatebound_machine::{Config, Profile};

use crate::cast::{self, Who};

/// What hostile peers have seen so far, to say again.
#[derive(Debug, Default)]
pub struct Seen {
    /// Groups that anybody spoke of.
    pub groups: Vec<GroupId>,
    /// Paths that came over a link.
    pub paths: Vec<PathId>,
    /// Routed questions: who asked, and with what number.
    pub questions: Vec<(PeerId, u64, Vec<fatebound_machine::overlay::Tag>)>,
}

/// More is forgotten.
const REMEMBERED: usize = 32;

impl Seen {
    /// A group was named.
    pub fn group(&mut self, group: GroupId) {
        remember(&mut self.groups, group);
    }

    /// A path was named.
    pub fn path(&mut self, path: PathId) {
        self.group(path.group);
        remember(&mut self.paths, path);
    }

    /// A question passed.
    pub fn question(&mut self, routed: &Routed) {
        remember(
            &mut self.questions,
            (routed.body.from, routed.body.number, routed.visited.clone()),
        );
    }
}

fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        if list.len() == REMEMBERED {
            list.remove(0);
        }
        list.push(item);
    }
}

/// What one hostile peer knows about the session that it speaks on.
#[derive(Clone, Debug, Default)]
pub struct Footing {
    /// Who speaks.
    pub speaker: usize,
    /// Its number for the session.
    pub number: u64,
    /// The other end's number for it, once its `Hello` has come.
    pub their_number: u64,
    /// The other end's last ping.
    pub ping: u32,
    /// The other end's last word about the joint set.
    pub joint: JointSet,
    /// Operations of the other end that have come.
    pub received: u64,
    /// Operations sent.
    pub sent: u64,
}

/// A number that is right, nearly right, or anything.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Count {
    /// As the protocol wants it.
    Right,
    /// One more or less, or some.
    Near(i8),
    /// Whatever.
    Any(u64),
}

impl Count {
    fn of(self, right: u64) -> u64 {
        match self {
            Count::Right => right,
            Count::Near(off) => right.wrapping_add_signed(off.into()),
            Count::Any(any) => any,
        }
    }
}

/// A joint set as the other end would see it itself, an empty one, or anything.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Joint {
    /// What the other end says, with the counts seen from here.
    Echo,
    /// Nothing.
    Empty,
    /// Whatever.
    Any {
        /// Repeated in the digest.
        digest: u8,
        /// Paths.
        paths: u32,
        /// Of the sender.
        sent: Count,
        /// Of the receiver.
        received: Count,
    },
}

impl Joint {
    fn of(self, footing: &Footing) -> JointSet {
        match self {
            Joint::Echo => JointSet {
                sent: footing.sent,
                received: footing.received,
                ..footing.joint
            },
            Joint::Empty => JointSet::default(),
            Joint::Any {
                digest,
                paths,
                sent,
                received,
            } => JointSet {
                digest: [digest; 16],
                paths,
                sent: sent.of(footing.sent),
                received: received.of(footing.received),
            },
        }
    }
}

/// A group that was seen, or one made up.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Group {
    /// One of the seen ones.
    Seen(u8),
    /// One of this root.
    Of(Who, u8, u64),
}

impl Group {
    /// Which.
    pub fn of(self, seen: &Seen) -> GroupId {
        match self {
            Group::Seen(at) if !seen.groups.is_empty() => seen.groups[usize::from(at) % seen.groups.len()],
            Group::Seen(at) => Group::Of(HOSTILE_ROOT, 1, at.into()).of(seen),
            Group::Of(root, incarnation, sequence) => GroupId {
                root: root.peer(),
                incarnation: incarnation.into(),
                sequence,
            },
        }
    }
}

/// Any invented group's root when nothing was seen: unimportant, it only has to be somebody.
const HOSTILE_ROOT: Who = Who::FIRST_HOSTILE;

/// A path that was seen, or one made up.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Path {
    /// One of the seen ones.
    Seen(u8),
    /// One of the seen ones with another epoch.
    Again(u8, i8),
    /// This one.
    Of(Group, Who, u8),
    /// With an epoch of any size.
    Late(Group, Who, u32),
}

impl Path {
    fn of(self, seen: &Seen) -> PathId {
        let known = |at: u8| seen.paths.get(usize::from(at) % seen.paths.len().max(1)).copied();
        match self {
            Path::Seen(at) => known(at).unwrap_or_else(|| Path::Of(Group::Seen(at), HOSTILE_ROOT, 1).of(seen)),
            Path::Again(at, off) => {
                let path = Path::Seen(at).of(seen);
                let epoch = path.epoch.wrapping_add_signed(off.into());
                PathId { epoch, ..path }
            }
            Path::Of(group, member, epoch) => Path::Late(group, member, epoch.into()).of(seen),
            Path::Late(group, member, epoch) => PathId {
                group: group.of(seen),
                member: member.peer(),
                epoch,
            },
        }
    }
}

/// A signed record, good or bad.
#[derive(Clone, Debug, Arbitrary)]
pub enum Record {
    /// Of the speaker, as an honest peer would make it.
    Own,
    /// Of anybody; signed if the speaker has the key.
    Of {
        /// Whose.
        who: Who,
        /// Where, by their numbers in the cast.
        addresses: Vec<Who>,
        /// How new.
        sequence: u64,
    },
}

impl Record {
    fn of(&self, speaker: usize) -> SignedRecord {
        let (index, addresses, sequence) = match self {
            Record::Own => (speaker, vec![cast::address(speaker)], 1),
            Record::Of {
                who,
                addresses,
                sequence,
            } => {
                let addresses: Vec<Multiaddr> = addresses.iter().map(|who| cast::address(who.index())).collect();
                (who.index(), addresses, *sequence)
            }
        };
        let record = PeerRecord {
            peer: cast::peer(index),
            addresses,
            sequence,
        };
        SignedRecord::sign(record, cast::forger(index))
    }
}

/// A frame.
#[derive(Clone, Debug, Arbitrary)]
pub enum Words {
    Hello {
        stranger: bool,
        incarnation: u8,
        number: Count,
        open: Vec<Count>,
        resume: Option<(Count, Count)>,
        received: Count,
        wanted: bool,
        joined: bool,
        record: Record,
        neighbours: Vec<Who>,
    },
    Ping {
        number: u32,
        next: u32,
        wanted: bool,
        joined: bool,
        acknowledged: Count,
        joint: Joint,
    },
    Pong {
        number: Count,
        acknowledged: Count,
        joint: Joint,
    },
    Operation(Count, Deed),
    Acknowledge(Count),
    Tell(Rumour),
    Neighbours(Vec<Who>),
    Routed {
        target: Who,
        visited: Vec<Who>,
        detours: u8,
        from: Who,
        number: u8,
        question: Question,
    },
    RoutedAnswer {
        seen: u8,
        to: Who,
        from: Who,
        number: Count,
        answer: Reply,
    },
    Goodbye(Bye),
}

/// A farewell.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Bye {
    Shutdown,
    Unneeded,
    Busy,
    WrongNetwork,
    Violation,
    GaveUp,
}

/// An operation.
#[derive(Clone, Debug, Arbitrary)]
pub enum Deed {
    Construct { path: Path, visited: Vec<Who>, detours: u8 },
    Confirm { path: Path, hops: u8 },
    Release { paths: Vec<(Path, u8)> },
    Fail { paths: Vec<Path>, notice: Word },
}

/// Unnumbered words about paths.
#[derive(Clone, Debug, Arbitrary)]
pub enum Rumour {
    Suspected(Vec<Path>),
    List {
        sent: Count,
        received: Count,
        part: u8,
        parts: Count,
        paths: Vec<Path>,
    },
}

/// A notice of failure.
#[derive(Clone, Debug, Arbitrary)]
pub enum Word {
    Signed {
        group: Group,
        originator: Who,
        reason: u8,
        text: u8,
    },
    Bytes(Vec<u8>),
}

/// A one-shot question.
#[derive(Clone, Debug, Arbitrary)]
pub enum Question {
    Join {
        joiner: Record,
        gathered: Vec<Record>,
    },
    Locate(Who),
    Leaves(Record),
    Row(u8),
    Suspect(Who),
    Invite {
        group: Group,
        members: Vec<Who>,
        tag: Option<u8>,
        state: u8,
        timings: Times,
    },
    Probe(Vec<Group>),
    NeedRepair(Vec<(Group, Option<u8>)>),
    Fail(Word),
    Bytes(Vec<u8>),
}

/// The answer to one.
#[derive(Clone, Debug, Arbitrary)]
pub enum Reply {
    Records(Vec<Record>),
    Nothing,
    Accept,
    Decline(u8, u8),
    Status { alive: Vec<u16>, unknown: Vec<u16> },
    AllAlive(u8),
    Noted,
    Bytes(Vec<u8>),
}

/// Timings of an invitation.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Times {
    Usual,
    /// Milliseconds.
    Some([u16; 6], u8),
    Any([Duration; 6], u8),
}

impl Times {
    fn of(self) -> Timings {
        match self {
            Times::Usual => Config::preset(Profile::Local).groups.timings,
            Times::Some(millis, hops) => {
                Times::Any(millis.map(|millis| Duration::from_millis(millis.into())), hops).of()
            }
            Times::Any([delay, probe, member, floor, path, lifetime], hop_limit) => Timings {
                probe_delay: delay,
                probe_timeout: probe,
                member_timeout: member,
                patience_floor: floor,
                path_timeout: path,
                link_lifetime: lifetime,
                hop_limit,
            },
        }
    }
}

impl Words {
    /// The frame's bytes, said by whoever stands on this footing, which goes on accordingly.
    pub fn bytes(&self, footing: &mut Footing, seen: &Seen) -> Vec<u8> {
        encode(&self.message(footing, seen))
    }

    fn message(&self, footing: &mut Footing, seen: &Seen) -> Message {
        match self {
            Words::Hello { .. } => self.hello(footing),
            Words::Ping {
                number,
                next,
                wanted,
                joined,
                acknowledged,
                joint,
            } => Message::Ping(Ping {
                number: *number,
                next: *next,
                wanted: *wanted,
                joined: *joined,
                acknowledged: acknowledged.of(footing.received),
                joint: joint.of(footing),
            }),
            Words::Pong {
                number,
                acknowledged,
                joint,
            } => Message::Pong(Pong {
                number: number.of(footing.ping.into()) as u32,
                acknowledged: acknowledged.of(footing.received),
                joint: joint.of(footing),
            }),
            Words::Operation(number, deed) => {
                let number = number.of(footing.sent + 1);
                footing.sent = number;
                let body = encode(&deed.of(seen));
                Message::Operation { number, body }
            }
            Words::Acknowledge(received) => Message::Acknowledge {
                received: received.of(footing.received),
            },
            Words::Tell(rumour) => Message::Tell(encode(&rumour.of(footing, seen))),
            Words::Neighbours(neighbours) => Message::Neighbours(peers(neighbours)),
            Words::Routed { .. } => self.routed(footing, seen),
            Words::RoutedAnswer { .. } => self.routed_answer(seen),
            Words::Goodbye(bye) => Message::Goodbye(bye.of()),
        }
    }

    fn hello(&self, footing: &Footing) -> Message {
        let Words::Hello {
            stranger,
            incarnation,
            number,
            open,
            resume,
            received,
            wanted,
            joined,
            record,
            neighbours,
        } = self
        else {
            unreachable!("only called for this");
        };
        let instance = |(smaller, larger): &(Count, Count)| LinkInstance {
            smaller: smaller.of(footing.number),
            larger: larger.of(footing.their_number),
        };
        Message::Hello(Box::new(Hello {
            network: if *stranger { "others" } else { "fatebound" }.into(),
            incarnation: (*incarnation).into(),
            number: number.of(footing.number),
            open: open.iter().map(|open| open.of(footing.number)).collect(),
            resume: resume.as_ref().map(instance),
            received: received.of(footing.received),
            share: [7; 16],
            wanted: *wanted,
            joined: *joined,
            record: record.of(footing.speaker),
            neighbours: peers(neighbours),
        }))
    }

    fn routed(&self, footing: &Footing, seen: &Seen) -> Message {
        let Words::Routed {
            target,
            visited,
            detours,
            from,
            number,
            question,
        } = self
        else {
            unreachable!("only called for this");
        };
        let speaker = fatebound_machine::overlay::Key::of(&cast::peer(footing.speaker)).tag();
        let mut visited: Vec<_> = [from].into_iter().chain(visited).map(|who| who.tag()).collect();
        if visited.last() != Some(&speaker) {
            visited.push(speaker);
        }
        let body = question.of(footing.speaker, seen);
        Message::Routed(Box::new(Routed {
            target: target.peer(),
            visited,
            detours: *detours,
            body: asked(from.index(), target.peer(), (*number).into(), body),
        }))
    }

    fn routed_answer(&self, seen: &Seen) -> Message {
        let Words::RoutedAnswer {
            seen: at,
            to,
            from,
            number,
            answer,
        } = self
        else {
            unreachable!("only called for this");
        };
        let question = seen.questions.get(usize::from(*at) % seen.questions.len().max(1));
        let (to, right, trail) = match question {
            Some((to, number, trail)) => (*to, *number, trail.clone()),
            None => (to.peer(), 0, vec![to.tag()]),
        };
        let number = number.of(right);
        let body = answer.of(from.index());
        let covered = encode(&(from.peer(), to, number, &body));
        let signature = sign(cast::forger(from.index()), b"fatebound answer 1", &covered);
        Message::RoutedAnswer(Box::new(RoutedAnswer {
            trail,
            body: Signed {
                from: from.peer(),
                to,
                number,
                body,
                signature,
            },
        }))
    }
}

/// A question in this name, signed with what key there is. A `Join` is signed without what it gathers on its way.
fn asked(from: usize, to: PeerId, number: u64, body: OneShot) -> Signed<OneShot> {
    let bare = match &body {
        OneShot::Join { joiner, .. } => OneShot::Join {
            joiner: joiner.clone(),
            gathered: Vec::new(),
        },
        other => other.clone(),
    };
    let covered = encode(&(cast::peer(from), to, number, bare));
    Signed {
        from: cast::peer(from),
        to,
        number,
        signature: sign(cast::forger(from), b"fatebound question 1", &covered),
        body,
    }
}

fn peers(list: &[Who]) -> Vec<PeerId> {
    list.iter().map(|who| who.peer()).collect()
}

impl Bye {
    fn of(self) -> Farewell {
        match self {
            Bye::Shutdown => Farewell::Shutdown,
            Bye::Unneeded => Farewell::Unneeded,
            Bye::Busy => Farewell::Busy,
            Bye::WrongNetwork => Farewell::WrongNetwork,
            Bye::Violation => Farewell::Violation,
            Bye::GaveUp => Farewell::GaveUp,
        }
    }
}

impl Deed {
    fn of(&self, seen: &Seen) -> Operation {
        match self {
            Deed::Construct { path, visited, detours } => Operation::Construct {
                path: path.of(seen),
                visited: visited.iter().map(|who| who.tag()).collect(),
                detours: *detours,
            },
            Deed::Confirm { path, hops } => Operation::Confirm {
                path: path.of(seen),
                hops: *hops,
            },
            Deed::Release { paths } => Operation::Release {
                paths: paths.iter().map(|(path, why)| (path.of(seen), cause(*why))).collect(),
            },
            Deed::Fail { paths, notice } => Operation::Fail {
                paths: paths.iter().map(|path| path.of(seen)).collect(),
                notice: notice.bytes(seen),
            },
        }
    }
}

fn cause(number: u8) -> Cause {
    match number % 10 {
        0 => Cause::Unknown,
        1 => Cause::Old,
        2 => Cause::NoRoute,
        3 => Cause::HopLimit,
        4 => Cause::Busy,
        5 => Cause::LinkDown,
        6 => Cause::Gone,
        7 => Cause::Abandoned,
        8 => Cause::Disagreed,
        _ => Cause::Shutdown,
    }
}

impl Rumour {
    fn of(&self, footing: &Footing, seen: &Seen) -> Tell {
        match self {
            Rumour::Suspected(paths) => Tell::Suspected {
                paths: paths.iter().map(|path| path.of(seen)).collect(),
            },
            Rumour::List {
                sent,
                received,
                part,
                parts,
                paths,
            } => Tell::List {
                sent: sent.of(footing.sent),
                received: received.of(footing.received),
                part: (*part).into(),
                parts: parts.of(1) as u32,
                paths: paths.iter().map(|path| path.of(seen)).collect(),
            },
        }
    }
}

impl Word {
    fn notice(&self, seen: &Seen) -> Option<Notice> {
        let Word::Signed {
            group,
            originator,
            reason,
            text,
        } = self
        else {
            return None;
        };
        let (group, originator) = (group.of(seen), *originator);
        let reason = said(*reason, originator.peer(), *text);
        let covered = encode(&(group, originator.peer(), &reason));
        let signature = sign(cast::forger(originator.index()), b"fatebound notice 1", &covered);
        Some(Notice {
            group,
            originator: originator.peer(),
            reason,
            signature,
        })
    }

    fn bytes(&self, seen: &Seen) -> Vec<u8> {
        match self {
            Word::Bytes(bytes) => bytes.clone(),
            Word::Signed { .. } => self.notice(seen).map(|notice| encode(&notice)).unwrap_or_default(),
        }
    }
}

fn said(number: u8, peer: PeerId, text: u8) -> Reason {
    match number % 6 {
        0 => Reason::Signalled {
            by: peer,
            text: "x".repeat(usize::from(text) * 8),
        },
        1 => Reason::MemberDied { peer },
        2 => Reason::MemberForgot { peer },
        3 => Reason::FailedAtRoot { peer },
        4 => Reason::CreationFailed {
            peer,
            refusal: refusal(text, text),
        },
        _ => Reason::NotKnown,
    }
}

fn refusal(number: u8, text: u8) -> Refusal {
    match number % 5 {
        0 => Refusal::Declined {
            text: "y".repeat(usize::from(text) * 8),
        },
        1 => Refusal::Busy,
        2 => Refusal::AlreadyOver,
        3 => Refusal::NobodyWaits {
            tag: "z".repeat(usize::from(text) * 2),
        },
        _ => Refusal::Stopping,
    }
}

impl Question {
    /// The question's bytes.
    pub fn bytes(&self, speaker: usize, seen: &Seen) -> Vec<u8> {
        match self {
            Question::Bytes(bytes) => bytes.clone(),
            question => encode(&question.of(speaker, seen)),
        }
    }

    fn of(&self, speaker: usize, seen: &Seen) -> OneShot {
        let above = |request: &GroupRequest| OneShot::Above(encode(request));
        match self {
            Question::Join { joiner, gathered } => OneShot::Join {
                joiner: joiner.of(speaker),
                gathered: gathered.iter().map(|record| record.of(speaker)).collect(),
            },
            Question::Locate(who) => OneShot::Locate(who.peer()),
            Question::Leaves(record) => OneShot::Leaves(record.of(speaker)),
            Question::Row(row) => OneShot::Row(*row),
            Question::Suspect(who) => OneShot::Suspect(who.peer()),
            Question::Invite {
                group,
                members,
                tag,
                state,
                timings,
            } => above(&GroupRequest::Invite(Box::new(Invitation {
                group: group.of(seen),
                members: peers(members),
                tag: tag.map(|length| "t".repeat(usize::from(length) * 2)),
                state: vec![0; usize::from(*state) * 128],
                timings: timings.of(),
            }))),
            Question::Probe(groups) => above(&GroupRequest::Probe {
                groups: groups.iter().map(|group| group.of(seen)).collect(),
            }),
            Question::NeedRepair(groups) => above(&GroupRequest::NeedRepair {
                groups: groups
                    .iter()
                    .map(|(group, epoch)| (group.of(seen), epoch.map(Into::into)))
                    .collect(),
            }),
            Question::Fail(word) => match word.notice(seen) {
                Some(notice) => above(&GroupRequest::Fail(Box::new(notice))),
                None => OneShot::Above(word.bytes(seen)),
            },
            Question::Bytes(bytes) => OneShot::Above(bytes.clone()),
        }
    }
}

impl Reply {
    /// The answer's bytes.
    pub fn bytes(&self, speaker: usize) -> Vec<u8> {
        match self {
            Reply::Bytes(bytes) => bytes.clone(),
            reply => encode(&reply.of(speaker)),
        }
    }

    fn of(&self, speaker: usize) -> Answer {
        let above = |answer: &GroupAnswer| Answer::Above(encode(answer));
        match self {
            Reply::Records(records) => Answer::Records(records.iter().map(|record| record.of(speaker)).collect()),
            Reply::Nothing => Answer::Nothing,
            Reply::Accept => above(&GroupAnswer::Accept),
            Reply::Decline(number, text) => above(&GroupAnswer::Decline(refusal(*number, *text))),
            Reply::Status { alive, unknown } => above(&GroupAnswer::Status {
                alive: alive.clone(),
                unknown: unknown.clone(),
            }),
            Reply::AllAlive(count) => above(&GroupAnswer::Status {
                alive: (0..u16::from(*count)).collect(),
                unknown: Vec::new(),
            }),
            Reply::Noted => above(&GroupAnswer::Noted),
            Reply::Bytes(bytes) => Answer::Above(bytes.clone()),
        }
    }
}
