//! The library's words about process groups as the API's.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound::process_group::{
    Attributes, Ballot, Blocked, ByDefault, Change, Collision, DefaultVote, Ended, Exit, FailureReason, Field,
    GroupState, GroupStatus, ListedProvider, Membership, Notice, Outcome, Policy, Proposal, ProposalRefusal, Protocol,
    ProviderEvent, ProviderId, Remark, Resolved, Stage, Standing, Verdict, View, Why,
};
use serde_json::{Value, json};

use super::names;
use crate::api::process_groups::event::{Departure, PgEvent};
use crate::api::process_groups::model::{
    self, AttributesInfo, BallotInfo, BlockedInfo, FoundingInfo, PgInfo, ProtocolInfo, ProviderInfo, QuorumInfo,
    Resolution, StateInfo, ViewInfo, VoterInfo,
};
use crate::api::process_groups::octets::Octets;
use crate::local::views::hexadecimal;
use crate::output::as_ms;

/// A group's document. `me` is this node.
pub fn group(status: &GroupStatus, me: &str) -> PgInfo {
    let leader = status.view.as_ref().and_then(View::leader).map(names::node);
    let state = status.state.as_ref();
    PgInfo {
        name: status.name.to_string(),
        status: membership(status.status).to_owned(),
        doing: Some(status.doing)
            .filter(|doing| *doing != "nothing")
            .map(str::to_owned),
        leads: leader.as_deref() == Some(me) && status.status == Membership::Normal,
        leader,
        founding: status.founding.map(|founding| FoundingInfo {
            incarnation: founding.incarnation,
            founder: founding.founder.to_string(),
        }),
        quorum: status.view.as_ref().map(quorum),
        view: status.view.as_ref().map(view),
        blocked: status.blocked.as_ref().map(blocked),
        epoch: state.map(|state| names::epoch(state.epoch())),
        providers: state.map_or_else(Vec::new, |state| state.providers().iter().map(provider).collect()),
        own: status.own.iter().map(|own| names::provider(*own)).collect(),
        state: state.map(|state| {
            let (value, version) = state.value();
            let value = value.into();
            StateInfo { version, value }
        }),
        protocol: state.and_then(|state| Some(protocol(state, &state.running()?, status, me))),
        attributes: state.map(|state| attributes(state.attributes())),
    }
}

fn membership(status: Membership) -> &'static str {
    match status {
        Membership::Joining => "joining",
        Membership::Normal => "normal",
        Membership::Wedged => "wedged",
        Membership::Coordinating => "coordinating",
        Membership::Blocked => "blocked",
        Membership::Gone => "gone",
    }
}

fn view(view: &View) -> ViewInfo {
    let voters = view.voters.iter().map(|voter| VoterInfo {
        peer: names::node(voter.node),
        incarnation: hexadecimal(voter.node.incarnation),
        weight: voter.weight,
        witness: voter.witness,
    });
    ViewInfo {
        number: view.number.0,
        voters: voters.collect(),
        policy: policy(view.policy),
    }
}

fn policy(policy: Policy) -> String {
    match policy {
        Policy::Majority => "majority".to_owned(),
        Policy::Weights => "weights".to_owned(),
        Policy::Witness(witnesses) => format!("witness({witnesses})"),
        Policy::Roles => "roles".to_owned(),
        Policy::Fixed(quorum) => format!("fixed({quorum})"),
        Policy::Proofs => "proofs".to_owned(),
        Policy::Any => "any".to_owned(),
    }
}

/// The worst that can be lost goes first: the oldest, which decides where half is left, then whoever counts most.
fn quorum(view: &View) -> QuorumInfo {
    let counts = |place: &usize| view.voters.get(*place).map_or(0, |voter| view.policy.counts(voter));
    let all: BTreeSet<usize> = (0..view.voters.len()).collect();
    let nobody = BTreeSet::new();
    let mut order: Vec<usize> = all.iter().copied().collect();
    order.sort_by_key(|place| std::cmp::Reverse((*place == 0, counts(place))));
    let holds = |lost: &usize| {
        let left: BTreeSet<usize> = order.iter().skip(*lost).copied().collect();
        !left.is_empty() && view.policy.is_quorum(&view.voters, &left, &nobody)
    };
    let tally = view.policy.tally(&view.voters, &all, &nobody);
    QuorumInfo {
        of: all.iter().map(counts).sum(),
        need: tally.need,
        may_lose: (1..=order.len()).take_while(holds).count(),
    }
}

fn blocked(blocked: &Blocked) -> BlockedInfo {
    BlockedInfo {
        have: blocked.have,
        need: blocked.need,
        missing: blocked.missing.iter().map(|node| names::node(*node)).collect(),
    }
}

fn provider(provider: &ListedProvider) -> ProviderInfo {
    let (standing, why) = match provider.standing {
        Standing::Present => ("present", None),
        Standing::Failed(why) => ("failed", Some(reason(why).to_owned())),
        Standing::Absent { .. } => ("absent", None),
    };
    ProviderInfo {
        provider: names::provider(provider.id),
        peer: names::node(provider.id.node),
        instance: provider.instance.as_slice().into(),
        info: provider.info.as_slice().into(),
        standing: standing.to_owned(),
        reason: why,
    }
}

fn reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::NodeGone => "node_gone",
        FailureReason::ProcessGone => "process_gone",
        FailureReason::Goodbye => "goodbye",
        FailureReason::Restart { .. } => "restart",
        FailureReason::HoldOver => "hold_over",
    }
}

fn protocol(state: &GroupState, running: &Protocol<'_>, status: &GroupStatus, me: &str) -> ProtocolInfo {
    let phase = match running.stage {
        Stage::Phase(phase) => Some(phase),
        Stage::Deactivation => None,
    };
    let leads = status.view.as_ref().and_then(View::leader).map(names::node).as_deref() == Some(me);
    ProtocolInfo {
        protocol: running.protocol.0,
        change: change(running.change),
        phase,
        limit_ms: as_ms(running.limit),
        default: verdict(running.default.into()),
        voters: ids(&state.voters()),
        awaited: (leads && phase.is_some()).then(|| ids(&status.awaited)),
    }
}

fn ids(providers: &[ProviderId]) -> Vec<String> {
    providers.iter().map(|provider| names::provider(*provider)).collect()
}

/// What a protocol is about, for programs.
pub fn change(change: &Change) -> Value {
    match change {
        Change::Failure { providers } => json!({"kind": "failure", "providers": ids(providers)}),
        Change::Join { joiners } => {
            let joiners: Vec<Value> = joiners
                .iter()
                .map(|joiner| {
                    json!({
                        "provider": names::provider(joiner.by.provider),
                        "instance": octets(&joiner.instance),
                        "info": octets(&joiner.info),
                    })
                })
                .collect();
            json!({"kind": "join", "joiners": joiners})
        }
        Change::Leave { leavers } => {
            let leavers: Vec<ProviderId> = leavers.iter().map(|leaver| leaver.provider).collect();
            json!({"kind": "leave", "providers": ids(&leavers)})
        }
        Change::Proposed { by, proposal } => proposed(&names::provider(by.provider), proposal),
    }
}

fn proposed(by: &str, proposal: &Proposal) -> Value {
    match proposal {
        Proposal::State { expected, .. } => json!({"kind": "state", "by": by, "expected": expected}),
        Proposal::Message { body } => json!({"kind": "message", "by": by, "body": octets(body)}),
        Proposal::Expel { providers, deactivate } => json!({
            "kind": "expel",
            "by": by,
            "providers": ids(providers),
            "deactivate": deactivate.as_deref().map(octets),
        }),
        Proposal::Attributes { attributes: new } => {
            json!({"kind": "attributes", "by": by, "attributes": attributes(new)})
        }
        Proposal::Barrier { name } => json!({"kind": "barrier", "by": by, "name": octets(name)}),
    }
}

fn octets(bytes: &[u8]) -> Octets {
    bytes.into()
}

/// What became of an order; `Err` if it was refused.
pub fn resolved(resolved: Resolved) -> Result<Resolution, ProposalRefusal> {
    let outcome = |outcome: &str, votes: &[Ballot]| Resolution {
        outcome: outcome.to_owned(),
        epoch: None,
        votes: votes.iter().map(ballot).collect(),
        exits: Vec::new(),
    };
    Ok(match resolved {
        Resolved::Approved { epoch, votes, exits } => Resolution {
            epoch: Some(names::epoch(epoch)),
            exits: exits.iter().map(|exit| ended(*exit)).collect(),
            ..outcome("approved", &votes)
        },
        Resolved::Rejected { votes } => outcome("rejected", &votes),
        Resolved::TooManyPhases => outcome("too_many_phases", &[]),
        Resolved::Unknown => outcome("unknown", &[]),
        Resolved::Refused(refusal) => return Err(refusal),
    })
}

fn ended(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => status.to_string(),
        Exit::NotRun => "not_run".to_owned(),
        Exit::NodeGone => "node_gone".to_owned(),
        Exit::Late => "late".to_owned(),
    }
}

fn ballot(ballot: &Ballot) -> BallotInfo {
    let by_default = ballot.counted.by_default.map(|why| match why {
        ByDefault::Gone => "gone",
        ByDefault::Absent => "absent",
        ByDefault::Silent => "silent",
    });
    BallotInfo {
        provider: names::provider(ballot.provider),
        verdict: verdict(ballot.counted.verdict),
        by_default: by_default.map(str::to_owned),
        message: octets(&ballot.counted.message),
    }
}

fn verdict(verdict: Verdict) -> model::Verdict {
    match verdict {
        Verdict::Approve => model::Verdict::Approve,
        Verdict::Continue => model::Verdict::Continue,
        Verdict::Reject => model::Verdict::Reject,
    }
}

/// A verdict of the API.
pub fn verdict_of(verdict: model::Verdict) -> Verdict {
    match verdict {
        model::Verdict::Approve => Verdict::Approve,
        model::Verdict::Continue => Verdict::Continue,
        model::Verdict::Reject => Verdict::Reject,
    }
}

/// A default of the API; `None`: nobody may be taken to want another phase.
pub fn default_of(verdict: model::Verdict) -> Option<DefaultVote> {
    match verdict {
        model::Verdict::Approve => Some(DefaultVote::Approve),
        model::Verdict::Reject => Some(DefaultVote::Reject),
        model::Verdict::Continue => None,
    }
}

/// A group's attributes.
pub fn attributes(attributes: &Attributes) -> AttributesInfo {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    AttributesInfo {
        version: attributes.version,
        default_vote: verdict(attributes.default_vote.into()),
        voted_joins: attributes.voted_joins,
        voted_leaves: attributes.voted_leaves,
        voted_failures: attributes.voted_failures,
        phase_limit_ms: ms(attributes.phase_limit),
        max_phases: attributes.max_phases,
        join_window_ms: ms(attributes.join_window),
        leave_window_ms: ms(attributes.leave_window),
        collision: match attributes.collision {
            Collision::Queue => model::Collision::Queue,
            Collision::Refuse => model::Collision::Refuse,
        },
        leave_limit_ms: ms(attributes.leave_limit),
        max_hold_ms: ms(attributes.max_hold),
    }
}

impl Default for AttributesInfo {
    fn default() -> AttributesInfo {
        attributes(&Attributes::default())
    }
}

/// Attributes of the API; the field that cannot be.
pub fn attributes_of(info: &AttributesInfo) -> Result<Attributes, Field> {
    let ms = Duration::from_millis;
    Ok(Attributes {
        version: info.version,
        default_vote: default_of(info.default_vote).ok_or(Field::DefaultVote)?,
        voted_joins: info.voted_joins,
        voted_leaves: info.voted_leaves,
        voted_failures: info.voted_failures,
        phase_limit: ms(info.phase_limit_ms),
        max_phases: info.max_phases,
        join_window: ms(info.join_window_ms),
        leave_window: ms(info.leave_window_ms),
        collision: match info.collision {
            model::Collision::Queue => Collision::Queue,
            model::Collision::Refuse => Collision::Refuse,
        },
        leave_limit: ms(info.leave_limit_ms),
        max_hold: ms(info.max_hold_ms),
    })
}

/// An event of a provider; `None` for what tells its process nothing.
pub fn event(event: ProviderEvent) -> Option<PgEvent> {
    Some(match event {
        ProviderEvent::View(new) => PgEvent::View(view(&new)),
        ProviderEvent::Wedged(number) => PgEvent::Wedged { view: number.0 },
        ProviderEvent::Blocked(missing) => PgEvent::Blocked(blocked(&missing)),
        ProviderEvent::Unblocked => PgEvent::Unblocked,
        ProviderEvent::Shown(notice) => return shown(notice),
        ProviderEvent::VoteRefused { protocol, phase, why } => PgEvent::VoteRefused {
            protocol: protocol.0,
            phase,
            message: why.to_string(),
        },
        ProviderEvent::TooLate { protocol, phase } => PgEvent::TooLate {
            protocol: protocol.0,
            phase,
        },
        ProviderEvent::NotSent(why) => PgEvent::NotSent {
            message: why.to_string(),
        },
        ProviderEvent::Deactivate { protocol, argument } => PgEvent::Deactivate {
            protocol: protocol.0,
            argument: Octets(argument),
        },
        ProviderEvent::Removed { view, leader } => PgEvent::Removed {
            view: view.0,
            leader: names::node(leader),
        },
        ProviderEvent::Dissolved(favour) => PgEvent::Dissolved {
            founder: favour.founder.to_string(),
        },
        ProviderEvent::Ended(why) => {
            let (why, message) = end(why);
            PgEvent::Ended {
                why: why.to_owned(),
                message,
            }
        }
        _ => return None,
    })
}

fn end(ended: Ended) -> (&'static str, String) {
    match ended {
        Ended::Left(why) => departure(why),
        Ended::NotJoined => ("not_joined", "it did not come in".to_owned()),
        Ended::PutOut => ("put_out", "the group goes on without this node".to_owned()),
    }
}

fn departure(why: Why) -> (&'static str, String) {
    match why {
        Why::Left => ("left", "it left".to_owned()),
        Why::Expelled { by } => ("expelled", format!("it was expelled by {}", names::provider(by))),
        Why::Failed(why) => {
            let words = match why {
                FailureReason::NodeGone => "its node is gone",
                FailureReason::ProcessGone => "its process is gone",
                FailureReason::Goodbye => "it said goodbye",
                FailureReason::Restart { .. } => "it said that it would come back",
                FailureReason::HoldOver => "it did not come back in time",
            };
            ("failed", words.to_owned())
        }
    }
}

fn shown(notice: Notice) -> Option<PgEvent> {
    Some(match notice {
        Notice::Opened {
            protocol,
            phase,
            change: about,
            state,
            default,
            limit,
            voters,
            before,
        } => PgEvent::Opened {
            protocol: protocol.0,
            phase,
            change: change(&about),
            state: state.map(Octets),
            default: verdict(default.into()),
            limit_ms: as_ms(limit),
            voters: ids(&voters),
            before: before.iter().map(ballot).collect(),
        },
        Notice::Outcome {
            protocol,
            change: about,
            outcome,
            votes,
            exits,
            epoch,
        } => PgEvent::Outcome {
            protocol: protocol.0,
            change: change(&about),
            outcome: match outcome {
                Outcome::Approved => "approved",
                Outcome::Rejected => "rejected",
                Outcome::JoinersGone => "joiners_gone",
                Outcome::TooManyPhases => "too_many_phases",
            }
            .to_owned(),
            votes: votes.iter().map(ballot).collect(),
            exits: exits.iter().map(|exit| ended(*exit)).collect(),
            epoch: names::epoch(epoch),
        },
        Notice::Providers {
            epoch,
            providers,
            left,
            joined,
        } => {
            let left = left.into_iter().map(|(provider, why)| {
                let (why, message) = departure(why);
                Departure {
                    provider: names::provider(provider),
                    why: why.to_owned(),
                    message,
                }
            });
            PgEvent::Providers {
                epoch: names::epoch(epoch),
                providers: providers.iter().map(provider).collect(),
                left: left.collect(),
                joined: ids(&joined),
            }
        }
        Notice::State { value, version } => PgEvent::State(StateInfo {
            version,
            value: Octets(value),
        }),
        Notice::Attributes(new) => PgEvent::Attributes(attributes(&new)),
        Notice::Message { from, body } => PgEvent::Message {
            from: names::provider(from),
            body: Octets(body),
        },
        Notice::Failed(failure) => PgEvent::Failed {
            provider: names::provider(failure.provider),
            reason: reason(failure.reason).to_owned(),
            text: Octets(failure.text),
        },
        Notice::JoinerGone(provider) => PgEvent::JoinerGone {
            provider: names::provider(provider),
        },
        Notice::Announced { provider, remark } => PgEvent::Announced {
            provider: names::provider(provider),
            remark: match remark {
                Remark::Unresponsive => "unresponsive",
                Remark::DidNotVote => "did_not_vote",
                Remark::Lagging => "lagging",
            }
            .to_owned(),
        },
        Notice::Raised { epoch } => PgEvent::Raised {
            epoch: names::epoch(epoch),
        },
        Notice::Deactivate { .. } | Notice::Ignored => return None,
    })
}

/// Why a proposal was refused, for programs.
pub fn refusal(refusal: ProposalRefusal) -> Value {
    use ProposalRefusal as R;
    match refusal {
        R::Collided => json!({"kind": "collided"}),
        R::QueueFull { max } => json!({"kind": "queue_full", "max": max}),
        R::Difference(field) => json!({"kind": "difference", "attribute": field.to_string()}),
        R::OutOfRange(field) => json!({"kind": "out_of_range", "attribute": field.to_string()}),
        R::InstanceInUse => json!({"kind": "instance_in_use"}),
        R::TooMany { max } => json!({"kind": "too_many", "max": max}),
        R::NamesFull { max } => json!({"kind": "names_full", "max": max}),
        R::Length { max } => json!({"kind": "length", "max": max}),
        R::NotListed => json!({"kind": "not_listed"}),
        R::Unknown => json!({"kind": "unknown"}),
        R::Stale { version } => json!({"kind": "stale", "version": version}),
        R::NoVote => json!({"kind": "no_vote"}),
        R::Limit => json!({"kind": "limit"}),
        R::Busy => json!({"kind": "busy"}),
        R::Withdrawn => json!({"kind": "withdrawn"}),
        R::Gone => json!({"kind": "gone"}),
    }
}

#[cfg(test)]
mod tests {
    use fatebound::GroupId;
    use fatebound::process_group::{GroupNode, Seq, ViewNumber, Voter};

    use super::*;

    fn of(nodes: u8, policy: Policy) -> View {
        let voter = |number: u8| {
            let keypair = fatebound::Keypair::ed25519_from_bytes([number + 1; 32]).unwrap();
            Voter::new(GroupNode {
                peer: keypair.public().to_peer_id(),
                incarnation: 1,
            })
        };
        let guard: GroupId = include_str!("../../../../tree/src/group_id.golden")
            .trim()
            .parse()
            .unwrap();
        View {
            number: ViewNumber(3),
            voters: (0..nodes).map(voter).collect(),
            policy,
            cut: Seq(0),
            guard,
        }
    }

    #[test]
    fn what_may_be_lost_is_what_the_policy_bears_in_the_worst_case() {
        let may_lose = |nodes, policy| quorum(&of(nodes, policy)).may_lose;
        let majority: Vec<usize> = (1..=5).map(|nodes| may_lose(nodes, Policy::Majority)).collect();
        // Of two, the loss of the older blocks.
        assert_eq!(majority, [0, 0, 1, 1, 2]);
        assert_eq!(may_lose(4, Policy::Any), 3);
        assert_eq!(may_lose(4, Policy::Fixed(4)), 0);
        assert_eq!(quorum(&of(5, Policy::Majority)).need, 3);
    }

    #[test]
    fn attributes_go_there_and_back() {
        let info = AttributesInfo {
            version: 7,
            default_vote: model::Verdict::Approve,
            voted_joins: true,
            voted_leaves: true,
            voted_failures: true,
            phase_limit_ms: 11,
            max_phases: 3,
            join_window_ms: 12,
            leave_window_ms: 13,
            collision: model::Collision::Refuse,
            leave_limit_ms: 14,
            max_hold_ms: 15,
        };
        assert_eq!(attributes(&attributes_of(&info).unwrap()), info);
        let wrong = AttributesInfo {
            default_vote: model::Verdict::Continue,
            ..info
        };
        assert_eq!(attributes_of(&wrong), Err(Field::DefaultVote));
    }

    #[test]
    fn a_refusal_has_a_kind_and_what_belongs_to_it() {
        let stale = refusal(ProposalRefusal::Stale { version: 3 });
        assert_eq!(stale, json!({"kind": "stale", "version": 3}));
        assert!(resolved(Resolved::Refused(ProposalRefusal::Busy)).is_err());
        assert_eq!(resolved(Resolved::Unknown).unwrap().outcome, "unknown");
    }
}
