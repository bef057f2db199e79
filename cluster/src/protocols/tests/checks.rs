//! What must hold of a group at every entry: G6 and G12 to G20 of cluster.md, and the four rules of membership.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_base::Time;

use super::world::Member;
use crate::numbers::{Node, Seq};
use crate::protocols::{
    Attributes, ByDefault, Change, Decision, Ended, Entry, Event, GroupState, Kind, MAX_SNAPSHOT, Notice, Order,
    Outcome, ProposalId, ProviderId, Reason, Remark, Stage, Standing, Ticket, Vote, Why,
};

/// What the checks remember.
#[derive(Default)]
pub struct Checks {
    /// The state after each entry, as the first node to apply it had it.
    states: BTreeMap<Seq, GroupState>,
    /// What followed from each entry, but for nothing.
    notices: BTreeMap<Seq, Vec<Notice>>,
    /// When each phase was opened, as of the node that applied it first, and how many chairs there had been.
    opened: BTreeMap<(Seq, u32), (Time, u32)>,
    /// All votes that applications have ordered, whether or not they count.
    votes: BTreeMap<(ProviderId, Seq, u32), Vec<Vote>>,
    /// Who said goodbye, whose process or node is gone: when that was heard.
    gone: BTreeMap<ProviderId, Time>,
    /// Whoever was ever listed, and out again.
    listed: BTreeSet<ProviderId>,
    out: BTreeSet<ProviderId>,
    /// By which protocol each proposal was begun.
    begun: BTreeMap<ProposalId, Seq>,
    tickets: BTreeMap<Ticket, ProviderId>,
    /// What each join brought along.
    joins: BTreeMap<Ticket, Attributes>,
    brought: BTreeMap<ProviderId, Attributes>,
    settled: BTreeSet<Ticket>,
    ended: BTreeSet<ProviderId>,
    /// How many chairs there have been.
    pub chairs: u32,
    /// The last notice that each provider saw: of which entry, and which of it.
    seen: BTreeMap<ProviderId, (Seq, usize)>,
    pub outcomes: Vec<Outcome>,
}

impl Checks {
    pub fn ordered(&mut self, order: &Order, now: Time) {
        match order {
            Order::Vote {
                provider,
                protocol,
                phase,
                vote,
            } => {
                let votes = self.votes.entry((*provider, *protocol, *phase)).or_default();
                votes.push(vote.clone());
            }
            Order::Goodbye { provider, .. } | Order::Gone { provider } => {
                self.gone.entry(*provider).or_insert(now);
            }
            Order::Propose { ticket, provider, .. } | Order::Leave { ticket, provider } => {
                self.tickets.insert(*ticket, *provider);
            }
            Order::Join { ticket, attributes, .. } => {
                self.joins.insert(*ticket, attributes.clone());
            }
            Order::Send { .. } | Order::Withdraw { .. } | Order::Deactivated { .. } => {}
        }
    }

    pub fn node_gone(&mut self, node: Node, now: Time) {
        let there = self.listed.iter().filter(|provider| provider.node == node);
        for provider in there {
            self.gone.entry(*provider).or_insert(now);
        }
    }

    pub fn event(&mut self, provider: ProviderId, event: &Event) {
        assert!(!self.ended.contains(&provider), "an event after the last: {event:?}");
        match event {
            Event::Joining { ticket } => {
                self.tickets.insert(*ticket, provider);
                self.brought.insert(provider, self.joins[ticket].clone());
            }
            Event::Done { ticket, .. } => assert!(self.settled.insert(*ticket), "{ticket:?} comes back twice"),
            Event::Ended(how) => {
                self.ended.insert(provider);
                if matches!(how, Ended::NotJoined) {
                    // G19.
                    assert!(!self.listed.contains(&provider), "it did not join, and was listed");
                }
            }
            _ => {}
        }
    }

    /// B15, rule 4, and X10: each provider sees all that everybody sees, in that order, from the beginning of its join to its end.
    pub fn shown(&mut self, provider: ProviderId, seq: Seq, notice: &Notice) {
        assert!(
            !self.ended.contains(&provider),
            "shown after its last event: {notice:?}"
        );
        let next = match self.seen.get(&provider) {
            Some(&(at, place)) if place + 1 < self.notices[&at].len() => (at, place + 1),
            Some(&(at, _)) => {
                let mut later = self.notices.range(at.next()..);
                (*later.next().expect("something followed").0, 0)
            }
            None => {
                assert!(self.is_of_its_join(provider, seq), "it begins in the middle");
                (seq, 0)
            }
        };
        assert_eq!(next.0, seq, "an entry is not shown to {provider:?}");
        assert_eq!(self.notices[&next.0][next.1], *notice);
        self.seen.insert(provider, next);
    }

    fn is_of_its_join(&self, provider: ProviderId, seq: Seq) -> bool {
        let mut begun = self.notices[&seq].iter().flat_map(Notice::begun);
        begun.any(|by| by.provider == provider && by.number == 1)
    }

    pub fn applied(
        &mut self,
        now: Time,
        seq: Seq,
        entry: &Entry,
        before: &GroupState,
        after: &GroupState,
        notices: &[Notice],
    ) {
        // G6: whoever has applied the same entries has the same state; also through a snapshot.
        if let Some(state) = self.states.get(&seq) {
            assert_eq!(state, after, "two states after entry {seq}");
            return;
        }
        self.states.insert(seq, after.clone());
        let told: Vec<Notice> = notices
            .iter()
            .filter(|notice| **notice != Notice::Ignored)
            .cloned()
            .collect();
        if !told.is_empty() {
            self.notices.insert(seq, told);
        }
        let snapshot = after.snapshot();
        assert!(snapshot.len() <= MAX_SNAPSHOT);
        assert_eq!(GroupState::restore(&snapshot).as_ref(), Ok(after));

        let ignored = notices.contains(&Notice::Ignored);
        assert!(
            !ignored || !entry.is_control(),
            "a control entry that does not fit: {entry:?}"
        );
        self.lists(before, after, notices);
        self.order_of_kinds(before, entry);
        self.phases(now, entry, before, after, notices);
        self.value(before, after, entry, notices);
        for notice in notices {
            if let Notice::Outcome { outcome, .. } = notice {
                self.outcomes.push(*outcome);
            }
            if let Notice::Failed(failure) = notice {
                self.announced(now, failure.provider, failure.reason);
            }
        }
        self.begun_once(notices);
    }

    /// G6: ordered by approval. G19: who did not come in is not in it. B15, rules 1 and 2.
    fn lists(&mut self, before: &GroupState, after: &GroupState, notices: &[Notice]) {
        let ids = |state: &GroupState| state.providers().iter().map(|p| p.id).collect::<Vec<_>>();
        let (old, new) = (ids(before), ids(after));
        let told = notices.iter().find_map(|notice| match notice {
            Notice::Providers { left, joined, .. } => Some((left, joined)),
            _ => None,
        });
        let Some((left, joined)) = told else {
            assert_eq!(old, new, "the list changes without a word");
            return;
        };
        for (provider, why) in left {
            // Rule 1: nobody fails or leaves before having joined.
            assert!(
                self.listed.contains(provider),
                "{provider:?} leaves before it has joined"
            );
            assert!(self.out.insert(*provider), "{provider:?} leaves twice");
            if let Why::Failed(reason) = why {
                let standing = before.provider(*provider).expect("listed").standing;
                let held = matches!(standing, Standing::Absent { .. }) && matches!(reason, Reason::Restart { .. });
                assert!(held || standing == Standing::Failed(*reason), "{standing:?} {reason:?}");
            }
        }
        let gone: BTreeSet<ProviderId> = left.iter().map(|(provider, _)| *provider).collect();
        for provider in joined {
            assert!(self.listed.insert(*provider), "{provider:?} comes twice");
            let joiner = after.provider(*provider).expect("who has come is listed");
            // Rule 2: no second life of a process before the end of the first.
            let twins = after
                .providers()
                .iter()
                .filter(|other| other.id.node.peer == joiner.id.node.peer && other.instance == joiner.instance);
            assert_eq!(twins.count(), 1, "two lives of one process");
        }
        // Whoever stays keeps its order; whoever is new stands behind, or in a place that was held.
        let stays: Vec<ProviderId> = old.iter().copied().filter(|id| !gone.contains(id)).collect();
        let stayed: Vec<ProviderId> = new.iter().copied().filter(|id| !joined.contains(id)).collect();
        assert_eq!(stays, stayed);
        if gone.is_empty() {
            assert_eq!(new, [stays, joined.clone()].concat());
        }
    }

    /// G12: one at a time. G16: as of each beginning failures before joins before the rest (rule 3). G17: batches never mix kinds.
    fn order_of_kinds(&self, before: &GroupState, entry: &Entry) {
        let (Entry::Start { change, .. } | Entry::OnePhase { change }) = entry else {
            return;
        };
        assert!(before.running().is_none(), "two protocols at a time");
        let failed = before.providers().iter().filter(|provider| provider.failed().is_some());
        if change.kind() != Kind::Failure {
            assert_eq!(
                failed.count(),
                0,
                "somebody has failed and is not removed before {change:?}"
            );
        }
        // X9.
        for joiner in change
            .proposals()
            .iter()
            .filter(|by| change.joiner(by.provider).is_some())
        {
            assert_eq!(self.brought[&joiner.provider].difference(before.attributes()), None);
        }
        if let Change::Failure { providers } = change {
            let failed = |id: &ProviderId| before.provider(*id).is_some_and(|listed| listed.failed().is_some());
            assert!(providers.iter().all(failed));
        }
    }

    /// G12: phases 1, 2, 3 …; G13: within the limit; G14: what follows follows from the votes, and the votes are the voters'.
    fn phases(&mut self, now: Time, entry: &Entry, before: &GroupState, after: &GroupState, notices: &[Notice]) {
        if let Some((protocol, Stage::Phase(phase))) = after.running().map(|running| (running.protocol, running.stage))
        {
            self.opened.entry((protocol, phase)).or_insert((now, self.chairs));
        }
        let Entry::Phase {
            protocol,
            phase,
            votes,
            state,
            default,
        } = entry
        else {
            return;
        };
        let running = before.running().expect("a phase of a protocol");
        assert_eq!((running.protocol, running.stage), (*protocol, Stage::Phase(*phase)));
        let (opened, chairs) = self.opened[&(*protocol, *phase)];
        let most = running.limit * (1 + self.chairs - chairs);
        assert!(now.since(opened) <= most, "a phase takes {:?}", now.since(opened));

        let voters = before.voters();
        assert_eq!(voters.len(), votes.len());
        for (voter, counted) in voters.iter().zip(votes) {
            let standing = before.provider(*voter).expect("a voter is listed").standing;
            match counted.by_default {
                None => {
                    let cast = self.votes.get(&(*voter, *protocol, *phase)).expect("it has voted");
                    let this = |vote: &Vote| vote.verdict == counted.verdict && vote.message == counted.message;
                    assert!(cast.iter().any(this), "a vote that was not cast");
                }
                Some(why) => {
                    assert_eq!(counted.verdict, running.default.into());
                    assert!(counted.message.is_empty());
                    match why {
                        ByDefault::Gone => assert!(matches!(standing, Standing::Failed(_))),
                        ByDefault::Absent => assert!(matches!(standing, Standing::Absent { .. })),
                        ByDefault::Silent => {
                            assert!(now.since(opened) >= running.limit, "the default before the limit");
                            let remark = Remark::DidNotVote;
                            assert!(notices.contains(&Notice::Announced {
                                provider: *voter,
                                remark
                            }));
                        }
                    }
                }
            }
        }
        self.oldest_proposal(&voters, (*protocol, *phase), votes, state.as_ref());
        if let Some((by, default)) = default {
            let cast = &self.votes[&(*by, *protocol, *phase)];
            assert!(cast.iter().any(|vote| vote.default == Some(*default)));
        }
        self.decision(*phase, votes.iter().map(|counted| counted.verdict), after, notices);
    }

    /// X8: what is proposed in a phase is the oldest voter's.
    fn oldest_proposal(
        &self,
        voters: &[ProviderId],
        (protocol, phase): (Seq, u32),
        votes: &[crate::protocols::Counted],
        state: Option<&(ProviderId, Vec<u8>)>,
    ) {
        let counted = voters
            .iter()
            .zip(votes)
            .filter(|(_, counted)| counted.by_default.is_none());
        let mut proposals = counted.filter_map(|(voter, _)| {
            // The first vote counts, whatever was tried after it.
            let vote = self.votes[&(*voter, protocol, phase)].first()?;
            Some((*voter, vote.state.clone()?))
        });
        assert_eq!(proposals.next().as_ref(), state);
    }

    fn decision(
        &self,
        phase: u32,
        verdicts: impl Iterator<Item = crate::protocols::Verdict>,
        after: &GroupState,
        notices: &[Notice],
    ) {
        let decision = Decision::of(verdicts);
        let outcome = notices.iter().find_map(|notice| match notice {
            Notice::Outcome { outcome, .. } => Some(*outcome),
            _ => None,
        });
        let stage = after.running().map(|running| running.stage);
        match (decision, outcome) {
            (Decision::Approve, Some(Outcome::Approved | Outcome::JoinersGone)) => {}
            (Decision::Approve, None) => assert_eq!(stage, Some(Stage::Deactivation)),
            (Decision::Reject, Some(Outcome::Rejected)) => {}
            (Decision::Continue, None) => assert_eq!(stage, Some(Stage::Phase(phase + 1))),
            (Decision::Continue, Some(Outcome::TooManyPhases)) => assert_eq!(phase, after.attributes().max_phases),
            other => panic!("{other:?}"),
        }
    }

    /// G18: the state value changes by approved protocols only, and its version with it, by one.
    fn value(&self, before: &GroupState, after: &GroupState, entry: &Entry, notices: &[Notice]) {
        let ((old, was), (new, is)) = (before.value(), after.value());
        if was == is {
            assert_eq!(old, new);
        } else {
            assert_eq!(is, was + 1);
            let approves = notices.iter().any(|notice| {
                matches!(
                    notice,
                    Notice::Deactivate { .. }
                        | Notice::Outcome {
                            outcome: Outcome::Approved,
                            ..
                        }
                )
            });
            assert!(approves, "{entry:?} changes the value");
        }
        let approved = notices.iter().any(|notice| {
            matches!(notice, Notice::Outcome { outcome: Outcome::Approved, exits, .. } if exits.is_empty())
                || matches!(notice, Notice::Deactivate { .. })
        });
        if notices.iter().any(|notice| matches!(notice, Notice::Raised { .. })) {
            assert!(after.epoch() > before.epoch());
            return;
        }
        // The removal of who has failed stands if it is rejected, and is a decision as any other.
        let grown = after.epoch().number() - before.epoch().number();
        let removes = notices.iter().any(|notice| {
            matches!(
                notice,
                Notice::Outcome {
                    change: Change::Failure { .. },
                    ..
                }
            )
        });
        assert_eq!(grown, u64::from(approved || removes));
    }

    /// G20: whoever is gone is announced at once. Here words take no time, so it is before time passes.
    fn announced(&mut self, now: Time, provider: ProviderId, reason: Reason) {
        if let Some(heard) = self.gone.remove(&provider)
            && reason != Reason::HoldOver
        {
            let delay = now.since(heard);
            assert_eq!(delay, Duration::ZERO, "announced late");
        }
    }

    /// X1: each proposal is begun once.
    fn begun_once(&mut self, notices: &[Notice]) {
        for notice in notices {
            let (Notice::Opened { protocol, .. } | Notice::Outcome { protocol, .. }) = notice else {
                continue;
            };
            for by in notice.begun() {
                assert_eq!(
                    self.begun.entry(by).or_insert(*protocol),
                    protocol,
                    "{by:?} is begun twice"
                );
            }
        }
    }

    /// Orders that nobody has heard of again, of nodes that are still there.
    pub fn unsettled(&self, members: &[Member]) -> BTreeSet<Ticket> {
        let here: BTreeSet<Node> = members.iter().map(|member| member.node).collect();
        let tickets = self
            .tickets
            .iter()
            .filter(|(_, provider)| here.contains(&provider.node));
        let tickets = tickets.map(|(ticket, _)| *ticket);
        tickets.filter(|ticket| !self.settled.contains(ticket)).collect()
    }

    /// Once all is quiet: nobody who is gone is in the list, and every provider that is has seen everything.
    pub fn at_rest(&self, members: &[Member]) {
        let state = &members[0].state;
        for listed in state.providers() {
            let here = members.iter().any(|member| member.node == listed.id.node);
            let absent = matches!(listed.standing, Standing::Absent { .. });
            assert!(absent || here && listed.is_present(), "{listed:?}");
            assert!(absent || !self.gone.contains_key(&listed.id), "{listed:?} is gone");
            if listed.is_present() {
                let (last, notices) = self.notices.last_key_value().expect("it has joined");
                assert_eq!(self.seen[&listed.id], (*last, notices.len() - 1));
            }
        }
    }
}
