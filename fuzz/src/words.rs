//! What a hostile peer can say: every word of the protocol, with fields that are right often enough to be taken.
//!
//! Here are the frames of a link. What they carry, and what is asked without a link, is said by the modules below.

mod along_paths;
mod one_shot;
mod seen;

use arbitrary::Arbitrary;
use fatebound_machine::overlay::Signer;
use fatebound_machine::overlay::message::{
    Farewell, Hello, LinkInstance, Message, OneShot, PeerRecord, Ping, Pong, Routed, RoutedAnswer, Signed,
};
use fatebound_machine::overlay::record::SignedRecord;
use fatebound_machine::overlay::{JointSet, Key, Multiaddr, PeerId};
use fatebound_machine::wire::encode;

pub use along_paths::{Deed, Rumour};
pub use one_shot::{Question, Reply};
pub use seen::{Group, Path, Seen};

use crate::cast::{self, Who};

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
                digest: [digest; 8],
                paths,
                sent: sent.of(footing.sent),
                received: received.of(footing.received),
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
            versions: fatebound_machine::overlay::Versions::OURS,
            network: if *stranger { "others" } else { "fatebound" }.into(),
            incarnation: (*incarnation).into(),
            number: number.of(footing.number),
            open: open.iter().map(|open| open.of(footing.number)).collect(),
            resume: resume.as_ref().map(instance),
            received: received.of(footing.received),
            share: [7; 16],
            wanted: *wanted,
            joined: *joined,
            times: Default::default(),
            record: record.of(footing.speaker),
            neighbours: peers(neighbours),
            more: vec![number.of(footing.number) as u8; 3],
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
        let speaker = Key::of(&cast::peer(footing.speaker)).tag();
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
        let signature = cast::forger(from.index()).sign_for(b"fatebound answer 1", &covered);
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
        signature: cast::forger(from).sign_for(b"fatebound question 1", &covered),
        body,
    }
}

fn peers(list: &[Who]) -> Vec<PeerId> {
    list.iter().map(|who| who.peer()).collect()
}
