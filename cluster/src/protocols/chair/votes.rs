//! The votes that have come, and whether the phase can end.

use std::collections::BTreeMap;

use fatebound_base::Rule;

use crate::numbers::Seq;
use crate::protocols::entry::Entry;
use crate::protocols::names::ProviderId;
use crate::protocols::state::{GroupState, Stage, Standing};
use crate::protocols::vote::{ByDefault, Counted, DefaultVote, Verdict, Vote};

/// Which phase of which protocol.
type Phase = (Seq, u32);

/// Of each listed provider its latest vote.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    cast: BTreeMap<ProviderId, (Phase, Vote)>,
}

impl Votes {
    pub(super) fn len(&self) -> usize {
        self.cast.len()
    }

    /// Keeps a vote. It may be for a phase whose opening is not applied here yet; the first one for a phase counts.
    pub(super) fn cast(&mut self, state: &GroupState, voter: ProviderId, phase: Phase, vote: Vote) {
        let later = self.cast.get(&voter).is_none_or(|(before, _)| *before < phase);
        if later && state.provider(voter).is_some() && vote.fits(state.voters().len()) {
            self.cast.insert(voter, (phase, vote));
        }
    }

    /// Forgets what is not for this stage or a later one, and if nothing runs, what was before.
    pub(super) fn forget_before(&mut self, stage: Option<(Seq, Stage)>) {
        let earliest = match stage {
            None => return,
            Some((protocol, Stage::Phase(phase))) => (protocol, phase),
            Some((protocol, Stage::Deactivation)) => (protocol, u32::MAX),
        };
        self.cast.retain(|_, (phase, _)| *phase >= earliest);
    }

    /// Its vote in this phase. One that came before the phase was open here may turn out too long for it, and is none.
    fn of(&self, state: &GroupState, voter: ProviderId, phase: Phase) -> Option<&Vote> {
        let (cast, vote) = self.cast.get(&voter)?;
        (*cast == phase && vote.fits(state.voters().len())).then_some(vote)
    }

    /// Whose vote the open phase waits for.
    pub(super) fn missing(&self, state: &GroupState) -> Vec<ProviderId> {
        let Some(phase) = open(state) else {
            return Vec::new();
        };
        let voters = state.voters().into_iter();
        voters
            .filter(|voter| self.counted(state, *voter, phase, false).is_none())
            .collect()
    }

    /// The entry that ends the open phase, if everybody has voted or is not waited for.
    ///
    /// X5 ◆ "A rejection ends the protocol when its phase ends, not before": a phase is a barrier also when it fails.
    pub(super) fn close(&self, state: &GroupState, limit_over: bool) -> Option<Entry> {
        let (protocol, phase) = open(state)?;
        let voters = state.voters();
        let rejects = |voter: &ProviderId| {
            self.of(state, *voter, (protocol, phase))
                .is_some_and(|vote| vote.verdict == Verdict::Reject)
        };
        let hasty = !Rule::ProtocolsBarrier.holds() && voters.iter().any(rejects);
        let over = limit_over || hasty;
        let votes = voters
            .iter()
            .map(|voter| self.counted(state, *voter, (protocol, phase), over));
        let votes = votes.collect::<Option<Vec<Counted>>>()?;
        let cast = voters
            .iter()
            .filter_map(|voter| Some((*voter, self.of(state, *voter, (protocol, phase))?)));
        let states = cast
            .clone()
            .filter_map(|(voter, vote)| Some((voter, vote.state.clone()?)));
        let mut defaults = cast.filter_map(|(voter, vote)| Some((voter, vote.default?)));
        Some(Entry::Phase {
            protocol,
            phase,
            votes,
            state: oldest(states),
            default: defaults.next(),
        })
    }

    /// A voter's vote, or the default if it is due.
    fn counted(&self, state: &GroupState, voter: ProviderId, phase: Phase, limit_over: bool) -> Option<Counted> {
        if let Some(vote) = self.of(state, voter, phase) {
            return Some(Counted {
                verdict: vote.verdict,
                by_default: None,
                message: vote.message.clone(),
            });
        }
        let why = why_default(state, voter, limit_over)?;
        let default = state.running().map_or(DefaultVote::Reject, |running| running.default);
        Some(Counted {
            verdict: default.into(),
            by_default: Some(why),
            message: Vec::new(),
        })
    }
}

/// X4 ◆ "The default is counted at once for who is gone or absent, and at the limit for who is silent".
fn why_default(state: &GroupState, voter: ProviderId, limit_over: bool) -> Option<ByDefault> {
    let why = match state.provider(voter)?.standing {
        Standing::Failed(_) => ByDefault::Gone,
        Standing::Absent { .. } => ByDefault::Absent,
        Standing::Present => ByDefault::Silent,
    };
    let at_once = why != ByDefault::Silent && Rule::ProtocolsDefaultAtOnce.holds();
    (at_once || limit_over).then_some(why)
}

/// X8 ◆ "Of several state values that are proposed in one phase that of the oldest voter counts".
fn oldest(mut states: impl Iterator<Item = (ProviderId, Vec<u8>)>) -> Option<(ProviderId, Vec<u8>)> {
    if Rule::ProtocolsOldestProposal.holds() {
        states.next()
    } else {
        states.last()
    }
}

fn open(state: &GroupState) -> Option<Phase> {
    let running = state.running()?;
    match running.stage {
        Stage::Phase(phase) => Some((running.protocol, phase)),
        Stage::Deactivation => None,
    }
}
