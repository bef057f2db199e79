//! One-shot questions and answers, about groups and about the overlay.

use std::time::Duration;

use arbitrary::Arbitrary;
use fatebound_machine::fng::message::{
    Answer as GroupAnswer, Asked, Invitation, Notice, Request as GroupRequest, Status,
};
use fatebound_machine::fng::{Reason, Refusal, Timings};
use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::message::{Answer, OneShot};
use fatebound_machine::overlay::{Port, Signer, Versions};
use fatebound_machine::wire::{self, encode};
use fatebound_machine::{Config, Profile};

use super::{Group, Record, Seen, peers};
use crate::cast::{self, Who};

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
        asked: Option<(u8, bool)>,
    },
    Probe(Vec<Group>),
    NeedRepair(Vec<(Group, Option<u8>)>),
    Fail(Word),
    JoinGroup {
        group: Group,
        observe: bool,
        number: u8,
    },
    LeaveGroup {
        group: Group,
        came: u64,
    },
    Members {
        group: Group,
        list: u8,
        members: Vec<Who>,
    },
    Bytes(Vec<u8>),
}

/// The network of all peers here.
const NETWORK: &str = "fatebound";

impl Question {
    /// The question's bytes.
    pub fn bytes(&self, speaker: usize, seen: &Seen) -> Vec<u8> {
        match self {
            Question::Bytes(bytes) => bytes.clone(),
            question => encode(&wire::Question::new(
                Versions::OURS,
                NETWORK,
                question.of(speaker, seen),
            )),
        }
    }

    pub(super) fn of(&self, speaker: usize, seen: &Seen) -> OneShot {
        let above = |request: &GroupRequest| OneShot::Above {
            port: Port::GROUPS,
            body: encode(request),
        };
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
                asked,
            } => above(&GroupRequest::Invite(Box::new(Invitation {
                group: group.of(seen),
                members: peers(members),
                tag: tag.map(|length| "t".repeat(usize::from(length) * 2)),
                state: vec![0; usize::from(*state) * 128],
                timings: timings.of(),
                list: 0,
                asked: asked.map(|(number, observe)| Asked {
                    number: number.into(),
                    observe,
                }),
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
                None => OneShot::Above {
                    port: Port::GROUPS,
                    body: word.bytes(seen),
                },
            },
            Question::JoinGroup { group, observe, number } => above(&GroupRequest::Join {
                group: group.of(seen),
                observe: *observe,
                number: (*number).into(),
            }),
            Question::LeaveGroup { group, came } => above(&GroupRequest::Leave {
                group: group.of(seen),
                came: *came,
            }),
            Question::Members { group, list, members } => above(&GroupRequest::Members {
                group: group.of(seen),
                list: (*list).into(),
                members: peers(members),
            }),
            Question::Bytes(bytes) => OneShot::Above {
                port: Port::GROUPS,
                body: bytes.clone(),
            },
        }
    }
}

/// The answer to one.
#[derive(Clone, Debug, Arbitrary)]
pub enum Reply {
    Records(Vec<Record>),
    Nothing,
    Accept,
    Decline(u8, u8),
    Status { alive: Vec<u16>, unknown: Vec<u16> },
    NotTogether { closed: Vec<u16>, parted: Vec<u16> },
    Left,
    AllAlive(u8),
    Noted,
    Bytes(Vec<u8>),
}

impl Reply {
    /// The answer's bytes.
    pub fn bytes(&self, speaker: usize) -> Vec<u8> {
        match self {
            Reply::Bytes(bytes) => bytes.clone(),
            reply => encode(&reply.of(speaker)),
        }
    }

    pub(super) fn of(&self, speaker: usize) -> Answer {
        let above = |answer: &GroupAnswer| Answer::Above(encode(answer));
        match self {
            Reply::Records(records) => Answer::Records(records.iter().map(|record| record.of(speaker)).collect()),
            Reply::Nothing => Answer::Nothing,
            Reply::Accept => above(&GroupAnswer::Accept),
            Reply::Decline(number, text) => above(&GroupAnswer::Decline(refusal(*number, *text))),
            Reply::Status { alive, unknown } => above(&GroupAnswer::Status(Status {
                alive: alive.clone(),
                unknown: unknown.clone(),
                ..Status::default()
            })),
            Reply::NotTogether { closed, parted } => above(&GroupAnswer::Status(Status {
                closed: closed.clone(),
                parted: parted.clone(),
                ..Status::default()
            })),
            Reply::AllAlive(count) => above(&GroupAnswer::Status(Status {
                alive: (0..u16::from(*count)).collect(),
                ..Status::default()
            })),
            Reply::Left => above(&GroupAnswer::Left),
            Reply::Noted => above(&GroupAnswer::Noted),
            Reply::Bytes(bytes) => Answer::Above(bytes.clone()),
        }
    }
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
        let signature = cast::forger(originator.index()).sign_for(b"fatebound notice 1", &covered);
        Some(Notice {
            group,
            originator: originator.peer(),
            reason,
            signature,
        })
    }

    pub(super) fn bytes(&self, seen: &Seen) -> Vec<u8> {
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

/// Timings of an invitation.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Times {
    Usual,
    /// Milliseconds.
    Some([u16; 6], u8),
    Any([Duration; 6], u8),
}

impl Times {
    pub(super) fn of(self) -> Timings {
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
