//! Entries in any order, fitting or not: the state stays within its bounds, and whoever applies the same ones has the same.

use std::time::Duration;

use proptest::prelude::*;

use super::provider;
use crate::numbers::Seq;
use crate::protocols::{
    Attributes, ByDefault, Change, Counted, DefaultVote, Entry, Exit, Failure, GroupState, Joiner, MAX_SNAPSHOT,
    MAX_STATE, Notice, Proposal, ProposalId, ProviderId, Reason, Remark, Verdict,
};

fn id() -> impl Strategy<Value = ProviderId> {
    (0u8..3, 1u32..4).prop_map(|(node, serial)| provider(node, serial))
}

fn by() -> impl Strategy<Value = ProposalId> {
    (id(), 0u32..5).prop_map(|(provider, number)| ProposalId { provider, number })
}

fn ids() -> impl Strategy<Value = Vec<ProviderId>> {
    prop::collection::vec(id(), 0..4)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => 0usize..4, 1 => 100usize..200, 1 => MAX_STATE - 1..MAX_STATE + 2]
        .prop_map(|length| vec![7; length])
}

fn joiner() -> impl Strategy<Value = Joiner> {
    (by(), 0usize..3, bytes()).prop_map(|(by, name, info)| Joiner {
        by,
        instance: vec![b'a'; name],
        info,
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    prop_oneof![
        (bytes(), prop::option::of(0u64..3)).prop_map(|(value, expected)| Proposal::State { value, expected }),
        bytes().prop_map(|body| Proposal::Message { body }),
        (ids(), prop::option::of(bytes()))
            .prop_map(|(providers, deactivate)| Proposal::Expel { providers, deactivate }),
        (0u32..3).prop_map(|max_phases| {
            let attributes = Box::new(Attributes {
                max_phases,
                ..Attributes::default()
            });
            Proposal::Attributes { attributes }
        }),
        bytes().prop_map(|name| Proposal::Barrier { name }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => ids().prop_map(|providers| Change::Failure { providers }),
        3 => prop::collection::vec(joiner(), 0..4).prop_map(|joiners| Change::Join { joiners }),
        1 => prop::collection::vec(by(), 0..3).prop_map(|leavers| Change::Leave { leavers }),
        2 => (by(), proposal()).prop_map(|(by, proposal)| Change::Proposed { by, proposal }),
    ]
}

fn counted() -> impl Strategy<Value = Counted> {
    let verdict = prop_oneof![Just(Verdict::Approve), Just(Verdict::Continue), Just(Verdict::Reject)];
    let why = prop_oneof![Just(ByDefault::Gone), Just(ByDefault::Absent), Just(ByDefault::Silent)];
    (verdict, prop::option::of(why), bytes()).prop_map(|(verdict, by_default, message)| Counted {
        verdict,
        by_default,
        message,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let reason = prop_oneof![
        Just(Reason::NodeGone),
        Just(Reason::Goodbye),
        Just(Reason::HoldOver),
        (0u64..9_000).prop_map(|seconds| Reason::Restart {
            hold: Duration::from_secs(seconds)
        }),
    ];
    (id(), reason, bytes()).prop_map(|(provider, reason, text)| Failure { provider, reason, text })
}

fn entry() -> impl Strategy<Value = Entry> {
    let seq = || (0u64..30).prop_map(Seq);
    prop_oneof![
        1 => (id(), bytes()).prop_map(|(provider, body)| Entry::Message { provider, body }),
        4 => (change(), 0u64..9_000_000).prop_map(|(change, millis)| Entry::Start {
            change,
            limit: Duration::from_millis(millis),
        }),
        4 => change().prop_map(|change| Entry::OnePhase { change }),
        2 => (
            seq(),
            0u32..4,
            prop::collection::vec(counted(), 0..4),
            prop::option::of((id(), bytes())),
            prop::option::of((id(), Just(DefaultVote::Approve))),
        )
            .prop_map(|(protocol, phase, votes, state, default)| Entry::Phase {
                protocol,
                phase,
                votes,
                state,
                default,
            }),
        2 => prop::collection::vec(failure(), 0..3).prop_map(|failures| Entry::Failed { failures }),
        1 => id().prop_map(|provider| Entry::Announce { provider, remark: Remark::Lagging }),
        1 => (seq(), prop::collection::vec(Just(Exit::NotRun), 0..3))
            .prop_map(|(protocol, exits)| Entry::Deactivated { protocol, exits }),
        1 => (0u32..9).prop_map(|incarnation| Entry::Raise { incarnation }),
    ]
}

/// The entry as it would be if it were about the protocol that runs: votes for everybody, and its number.
fn aimed(entry: Entry, state: &GroupState) -> Entry {
    let Some(running) = state.running() else {
        return entry;
    };
    match entry {
        Entry::Phase {
            phase,
            mut votes,
            state: proposed,
            default,
            ..
        } => {
            let plain = Counted {
                verdict: Verdict::Approve,
                by_default: None,
                message: Vec::new(),
            };
            votes.retain(|counted| counted.by_default.is_none());
            votes.resize(state.voters().len(), plain);
            let protocol = running.protocol;
            Entry::Phase {
                protocol,
                phase,
                votes,
                state: proposed,
                default,
            }
        }
        Entry::Deactivated { exits, .. } => Entry::Deactivated {
            protocol: running.protocol,
            exits,
        },
        other => other,
    }
}

fn founded() -> GroupState {
    GroupState::founding(Attributes::default(), 3).expect("within range")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_entries_are_applied_alike_and_within_bounds(entries in prop::collection::vec((entry(), any::<bool>()), 0..40)) {
        let (mut one, mut other) = (founded(), founded());
        for (number, (entry, aim)) in entries.into_iter().enumerate() {
            let seq = Seq(number as u64 + 1);
            let entry = if aim { aimed(entry, &one) } else { entry };
            let before = one.clone();
            let notices = one.apply(seq, &entry);
            prop_assert!(!notices.is_empty());
            prop_assert_eq!(&notices, &other.apply(seq, &entry));
            prop_assert_eq!(notices.contains(&Notice::Ignored), notices == [Notice::Ignored]);
            if notices == [Notice::Ignored] {
                prop_assert_eq!(&one, &before, "an entry that is ignored changes nothing");
            }
            // The other one goes through a snapshot each time.
            let snapshot = one.snapshot();
            prop_assert!(snapshot.len() <= MAX_SNAPSHOT);
            other = GroupState::restore(&snapshot).expect("a snapshot");
            prop_assert_eq!(&one, &other);
        }
    }

    #[test]
    fn spoilt_bytes_never_panic(
        entries in prop::collection::vec(entry(), 1..20),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut state = founded();
        for (number, entry) in entries.iter().enumerate() {
            state.apply(Seq(number as u64), entry);
        }
        let spoil = |mut bytes: Vec<u8>| {
            for (place, byte) in &spoils {
                let place = place.index(bytes.len());
                bytes[place] ^= byte;
            }
            bytes
        };
        if let Ok(mut restored) = GroupState::restore(&spoil(state.snapshot())) {
            for (number, entry) in entries.iter().enumerate() {
                restored.apply(Seq(number as u64), entry);
            }
            prop_assert!(restored.snapshot().len() <= MAX_SNAPSHOT);
        }
        for entry in &entries {
            let Ok(bytes) = entry.encode() else { continue };
            if let Ok(entry) = Entry::decode(&spoil(bytes)) {
                state.apply(Seq(99), &entry);
            }
        }
    }
}
