//! What holds of the wire whatever is said.

use fatebound_fng::message::{Answer as GroupAnswer, Asked, Invitation, Notice, Request, Status};
use fatebound_fng::{Reason, Refusal};
use fatebound_overlay::message::{
    Answer, Farewell, Hello, LinkInstance, Message, OneShot, PeerRecord, Ping, Pong, Routed, RoutedAnswer, Signed,
};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{JointSet, Keypair, PeerId, Port, Tag, Versions};
use fatebound_tree::{Cause, GroupId, Operation, PathId, Tell};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::wire::{Question, WireError, decode_answer, decode_frame, decode_question, encode};
use crate::{Config, Profile};

/// Few cases, always the same, so that tests stay quick and repeatable; `PROPTEST_CASES` asks for more, drawn anew each time.
fn cases(few: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig {
        cases: few,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

fn keypair(number: u8) -> Keypair {
    Keypair::ed25519_from_bytes([number; 32]).expect("32 bytes")
}

fn peer() -> impl Strategy<Value = PeerId> {
    (1_u8..9).prop_map(|number| keypair(number).public().to_peer_id())
}

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    vec(any::<u64>().prop_map(Tag), 0..5)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..70)
}

fn joint() -> impl Strategy<Value = JointSet> {
    any::<([u8; 8], u32, u64, u64)>().prop_map(|(digest, paths, sent, received)| JointSet {
        digest,
        paths,
        sent,
        received,
    })
}

fn record() -> impl Strategy<Value = SignedRecord> {
    (1_u8..9, vec(any::<(u32, u16)>(), 0..4), any::<u64>()).prop_map(|(number, addresses, sequence)| {
        let address = |(ip, port): (u32, u16)| format!("/ip4/{}/tcp/{port}", std::net::Ipv4Addr::from(ip));
        let record = PeerRecord {
            peer: keypair(number).public().to_peer_id(),
            addresses: addresses
                .into_iter()
                .map(|at| address(at).parse().expect("an address"))
                .collect(),
            sequence,
        };
        SignedRecord::sign(record, &keypair(number))
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    let numbers = (
        any::<[u64; 3]>(),
        vec(any::<u64>(), 0..4),
        option::of(any::<(u64, u64)>()),
    );
    let rest = (
        any::<(bool, bool)>(),
        any::<[u8; 16]>(),
        record(),
        vec(peer(), 0..4),
        (".{0,9}", versions(), vec(any::<u8>(), 0..4)),
    );
    (numbers, rest).prop_map(
        |((numbers, open, resume), ((wanted, joined), share, record, neighbours, (network, versions, more)))| Hello {
            versions,
            network,
            incarnation: numbers[0],
            number: numbers[1],
            open,
            resume: resume.map(|(smaller, larger)| LinkInstance { smaller, larger }),
            received: numbers[2],
            share,
            wanted,
            joined,
            times: Default::default(),
            record,
            neighbours,
            more,
        },
    )
}

fn versions() -> impl Strategy<Value = Versions> {
    (any::<u8>(), any::<u8>()).prop_map(|(oldest, newest)| Versions { oldest, newest })
}

fn group() -> impl Strategy<Value = GroupId> {
    (peer(), any::<u64>(), any::<u64>()).prop_map(|(root, incarnation, sequence)| GroupId {
        root,
        incarnation,
        sequence,
    })
}

fn path() -> impl Strategy<Value = PathId> {
    (group(), peer(), any::<u32>()).prop_map(|(group, member, epoch)| PathId { group, member, epoch })
}

fn paths() -> impl Strategy<Value = Vec<PathId>> {
    vec(path(), 0..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    let cause = prop::sample::select(vec![Cause::Unknown, Cause::Busy, Cause::Gone, Cause::Shutdown]);
    prop_oneof![
        (path(), tags(), any::<u8>()).prop_map(|(path, visited, detours)| Operation::Construct {
            path,
            visited,
            detours
        }),
        (path(), any::<u8>()).prop_map(|(path, hops)| Operation::Confirm { path, hops }),
        vec((path(), cause), 0..4).prop_map(|paths| Operation::Release { paths }),
        (paths(), bytes()).prop_map(|(paths, notice)| Operation::Fail { paths, notice }),
    ]
}

fn tell() -> impl Strategy<Value = Tell> {
    prop_oneof![
        paths().prop_map(|paths| Tell::Suspected { paths }),
        (any::<(u64, u64, u32, u32)>(), paths()).prop_map(|((sent, received, part, parts), paths)| Tell::List {
            sent,
            received,
            part,
            parts,
            paths
        }),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Busy),
        Just(Refusal::IncompatibleTimings),
        ".{0,20}".prop_map(|text| Refusal::Declined { text }),
        ".{0,20}".prop_map(|tag| Refusal::NobodyWaits { tag }),
        (".{0,20}", ".{0,20}").prop_map(|(network, asked)| Refusal::OtherNetwork { network, asked }),
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::NotKnown),
        peer().prop_map(|peer| Reason::MemberDied { peer }),
        (peer(), ".{0,20}").prop_map(|(by, text)| Reason::Signalled { by, text }),
        (peer(), refusal()).prop_map(|(peer, refusal)| Reason::CreationFailed { peer, refusal }),
    ]
}

fn invitation() -> impl Strategy<Value = Invitation> {
    let timings = Config::preset(Profile::Wan).groups.timings;
    let asked = option::of((any::<u64>(), any::<bool>()).prop_map(|(number, observe)| Asked { number, observe }));
    let words = (option::of(".{0,9}"), bytes(), any::<u32>(), asked);
    (group(), vec(peer(), 0..4), words).prop_map(move |(group, members, (tag, state, list, asked))| Invitation {
        group,
        members,
        tag,
        state,
        timings,
        list,
        asked,
    })
}

fn notice() -> impl Strategy<Value = Notice> {
    (group(), peer(), reason(), bytes()).prop_map(|(group, originator, reason, signature)| Notice {
        group,
        originator,
        reason,
        signature,
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        invitation().prop_map(|invitation| Request::Invite(Box::new(invitation))),
        vec(group(), 0..4).prop_map(|groups| Request::Probe { groups }),
        vec((group(), option::of(any::<u32>())), 0..4).prop_map(|groups| Request::NeedRepair { groups }),
        notice().prop_map(|notice| Request::Fail(Box::new(notice))),
        (group(), any::<bool>(), any::<u64>()).prop_map(|(group, observe, number)| Request::Join {
            group,
            observe,
            number
        }),
        (group(), any::<u64>()).prop_map(|(group, came)| Request::Leave { group, came }),
        (group(), any::<u32>(), vec(peer(), 0..4)).prop_map(|(group, list, members)| Request::Members {
            group,
            list,
            members
        }),
    ]
}

fn group_answer() -> impl Strategy<Value = GroupAnswer> {
    let indices = || vec(any::<u16>(), 0..9);
    prop_oneof![
        Just(GroupAnswer::Accept),
        Just(GroupAnswer::Noted),
        refusal().prop_map(GroupAnswer::Decline),
        Just(GroupAnswer::Left),
        (indices(), indices(), indices(), indices()).prop_map(|(alive, unknown, closed, parted)| {
            GroupAnswer::Status(Status {
                alive,
                unknown,
                closed,
                parted,
            })
        }),
    ]
}

fn question() -> impl Strategy<Value = OneShot> {
    prop_oneof![
        (record(), vec(record(), 0..3)).prop_map(|(joiner, gathered)| OneShot::Join { joiner, gathered }),
        peer().prop_map(OneShot::Locate),
        record().prop_map(OneShot::Leaves),
        any::<u8>().prop_map(OneShot::Row),
        peer().prop_map(OneShot::Suspect),
        request().prop_map(|request| OneShot::Above {
            port: Port::GROUPS,
            body: encode(&request)
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        vec(record(), 0..3).prop_map(Answer::Records),
        Just(Answer::Nothing),
        group_answer().prop_map(|answer| Answer::Above(encode(&answer))),
    ]
}

fn signed<T: std::fmt::Debug>(body: impl Strategy<Value = T>) -> impl Strategy<Value = Signed<T>> {
    (peer(), peer(), any::<u64>(), body, bytes()).prop_map(|(from, to, number, body, signature)| Signed {
        from,
        to,
        number,
        body,
        signature,
    })
}

fn farewell() -> impl Strategy<Value = Farewell> {
    prop::sample::select(vec![
        Farewell::Shutdown,
        Farewell::Busy,
        Farewell::Violation,
        Farewell::GaveUp,
    ])
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello().prop_map(|hello| Message::Hello(Box::new(hello))),
        (any::<(u32, u32, bool, bool, u64)>(), joint()).prop_map(
            |((number, next, wanted, joined, acknowledged), joint)| Message::Ping(Ping {
                number,
                next,
                wanted,
                joined,
                acknowledged,
                joint
            })
        ),
        (any::<(u32, u64)>(), joint()).prop_map(|((number, acknowledged), joint)| Message::Pong(Pong {
            number,
            acknowledged,
            joint
        })),
        (any::<u64>(), operation()).prop_map(|(number, operation)| Message::Operation {
            number,
            body: encode(&operation)
        }),
        any::<u64>().prop_map(|received| Message::Acknowledge { received }),
        tell().prop_map(|tell| Message::Tell(encode(&tell))),
        vec(peer(), 0..4).prop_map(Message::Neighbours),
        (peer(), tags(), any::<u8>(), signed(question())).prop_map(|(target, visited, detours, body)| {
            Message::Routed(Box::new(Routed {
                target,
                visited,
                detours,
                body,
            }))
        }),
        (tags(), signed(answer()))
            .prop_map(|(trail, body)| Message::RoutedAnswer(Box::new(RoutedAnswer { trail, body }))),
        farewell().prop_map(Message::Goodbye),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    /// Whatever is said comes back; cut anywhere it is nothing; and nothing may follow it.
    #[test]
    fn a_frame_is_itself_and_nothing_less_or_more(message in message(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&message);
        prop_assert_eq!(decode_frame(&bytes), Ok(message));
        prop_assert!(decode_frame(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert_eq!(decode_frame(&bytes), Err(WireError::TrailingBytes(1)));
    }

    #[test]
    fn a_question_and_its_answer_come_back(question in question(), answer in answer()) {
        let question = Question::new(Versions::OURS, "net", question);
        prop_assert_eq!(decode_question(&encode(&question), Versions::OURS), Ok(question));
        prop_assert_eq!(decode_answer(&encode(&answer)), Ok(answer));
    }

    /// One wrong byte makes another message or none, and no panic.
    #[test]
    fn a_wrong_byte_makes_another_message_or_none(message in message(), at in any::<prop::sample::Index>(), wrong: u8) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != wrong);
        bytes[at] = wrong;
        if let Ok(other) = decode_frame(&bytes) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(decode_frame(&encode(&other)), Ok(other));
        }
    }
}
