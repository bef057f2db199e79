//! Rules of the protocol that can be taken out, one at a time, to see which test notices.
//!
//! A rule marked ◆ in protocol.md is there because its obvious form broke. Protocol code asks whether the rule holds. Built with the environment
//! variable `FATEBOUND_UNDO` set to a rule's name, the code takes the obvious form again, and a scenario has to turn red. Built with `*`, it is
//! the same variable at run time that names the rule, so that one build serves all. Without it, [`Rule::holds`] is `true` at compile time and
//! costs nothing; the crate that people embed refuses to be built with it. docs/rules.md lists the rules, tests/undo takes them out.

use std::sync::OnceLock;

/// The rule that this build leaves out, if any; `*` if that is said at run time.
pub const UNDONE: Option<&str> = option_env!("FATEBOUND_UNDO");

macro_rules! rules {
    ($($rule:ident => $name:literal,)*) => {
        /// A rule that can be taken out; docs/rules.md says what each is good for, in the same order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "docs/rules.md explains each, under its name")]
        pub enum Rule {
            $($rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Rule] = &[$(Rule::$rule),*];

            /// Its name in docs/rules.md and in `FATEBOUND_UNDO`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Rule::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    Detours => "detours",
    Affinity => "affinity",
    HeldJoins => "held-joins",
    FirstPeer => "first-peer",
    CopiesWithoutConnection => "copies-without-connection",
    CopiesWhenDoubtful => "copies-when-doubtful",
    CopiesOfRepetitions => "copies-of-repetitions",
    CopiesChangeWays => "copies-change-ways",
    HalfOfTheNeighbours => "half-of-the-neighbours",
    AnswersOverTheWay => "answers-over-the-way",
    AcceptedAgain => "accepted-again",
    BoundQuestions => "bound-questions",
    OwnWord => "own-word",
    BootstrapRounds => "bootstrap-rounds",
    BootstrapAfterJoining => "bootstrap-after-joining",
    BarredHearsay => "barred-hearsay",
    FirstQuestionDirect => "first-question-direct",
    EightTakeEveryWay => "eight-take-every-way",
    FreshQuestion => "fresh-question",
    DirectoryBetweenTheLeaves => "directory-between-the-leaves",
    DirectorySigners => "directory-signers",
    DirectorySettled => "directory-settled",
    DirectoryAllKeepersLost => "directory-all-keepers-lost",
    DirectoryClaimsExpire => "directory-claims-expire",
    DirectoryHandover => "directory-handover",
    DirectoryOfferedOn => "directory-offered-on",
    DirectoryLeavesHandOver => "directory-leaves-hand-over",
    DirectoryAge => "directory-age",
    DirectoryDeadStayDead => "directory-dead-stay-dead",
    DirectoryLargerIncarnation => "directory-larger-incarnation",
    PipeCrossing => "pipe-crossing",
    PipeLateOpenings => "pipe-late-openings",
    PipeFollowsTheDelay => "pipe-follows-the-delay",
    PipeRests => "pipe-rests",
    OpenList => "open-list",
    SilentSession => "silent-session",
    SilentAtFirstMiss => "silent-at-first-miss",
    SilentTogether => "silent-together",
    AwaitedSession => "awaited-session",
    CrossingHellos => "crossing-hellos",
    NumbersOfLives => "numbers-of-lives",
    ReceivedOfTheInstance => "received-of-the-instance",
    NewcomersWait => "newcomers-wait",
    RotaMargin => "rota-margin",
    AnnouncedPing => "announced-ping",
    ToldAtOnce => "told-at-once",
    MarginOfATick => "margin-of-a-tick",
    OwnPings => "own-pings",
    HastyDoubts => "hasty-doubts",
    BacklogOfAnswers => "backlog-of-answers",
    LateWaker => "late-waker",
    LatelyLate => "lately-late",
    Doubt => "doubt",
    AwaitedHello => "awaited-hello",
    AroundTheSuspect => "around-the-suspect",
    ToldFarEnds => "told-far-ends",
    EveryProvenAddress => "every-proven-address",
    EveryListedAddress => "every-listed-address",
    DialBack => "dial-back",
    ClosedSessions => "closed-sessions",
    HopelessDials => "hopeless-dials",
    Twins => "twins",
    PathCrossesOnce => "path-crosses-once",
    ReleaseByPath => "release-by-path",
    DifferenceEndsTheLink => "difference-ends-the-link",
    DigestAsOfOperations => "digest-as-of-operations",
    OldestViewWaits => "oldest-view-waits",
    HandedOnIsRemembered => "handed-on-is-remembered",
    UnknownIsAnswered => "unknown-is-answered",
    OldIsAnswered => "old-is-answered",
    LieOfAStranger => "lie-of-a-stranger",
    AbandonedIsReleased => "abandoned-is-released",
    ConfirmerReleasesOlder => "confirmer-releases-older",
    InvitedInTurns => "invited-in-turns",
    IdUsedOnce => "id-used-once",
    OlderThanTheWindow => "older-than-the-window",
    ConstructAfterAccept => "construct-after-accept",
    AllRefusalsAreNamed => "all-refusals-are-named",
    FailUsesIdUp => "fail-uses-id-up",
    OverdueConfirmIsForged => "overdue-confirm-is-forged",
    ProofSinceItsQuestion => "proof-since-its-question",
    OlderRepairProvesNothing => "older-repair-proves-nothing",
    SuspicionNeedsALaterAnswer => "suspicion-needs-a-later-answer",
    RestartIsNoProof => "restart-is-no-proof",
    PatienceFollowsTheLinks => "patience-follows-the-links",
    OwnTime => "own-time",
    AttemptsGoRound => "attempts-go-round",
    PatienceAnew => "patience-anew",
    AsksByTheFloor => "asks-by-the-floor",
    MemberProofSinceItsQuestion => "member-proof-since-its-question",
    FalseFailIsRelease => "false-fail-is-release",
    FalseFailBreaksPath => "false-fail-breaks-path",
    CarrierFailsTheRest => "carrier-fails-the-rest",
    EndsAskTheirGroups => "ends-ask-their-groups",
    FailAroundDoubt => "fail-around-doubt",
    WordBeforeUnknown => "word-before-unknown",
    TickForTheGoodbye => "tick-for-the-goodbye",
    AskedFor => "asked-for",
    SecondJoinAsks => "second-join-asks",
    ObserverIsNobody => "observer-is-nobody",
    LeaverIsMute => "leaver-is-mute",
    LeaveNamesItsJoin => "leave-names-its-join",
    LeftIsNoFailure => "left-is-no-failure",
    ClosedIsRemembered => "closed-is-remembered",
    ListMissed => "list-missed",
    ListsFollow => "lists-follow",
    ViewsPromiseStops => "views-promise-stops",
    ViewsBallotOnce => "views-ballot-once",
    ViewsHintsOnlyHasten => "views-hints-only-hasten",
    ViewsAdopted => "views-adopted",
    ViewsOnlyCounted => "views-only-counted",
    ViewsWithTheDead => "views-with-the-dead",
    ViewsNothingBehind => "views-nothing-behind",
    ViewsFewNewcomers => "views-few-newcomers",
    ViewsOldIsAnswered => "views-old-is-answered",
    ViewsOneLife => "views-one-life",
    ViewsWedgedIsMute => "views-wedged-is-mute",
    ViewsGuardRoot => "views-guard-root",
    ViewsAcceptHoldsTheCut => "views-accept-holds-the-cut",
    ViewsAllHaveCome => "views-all-have-come",
    ViewsTie => "views-tie",
    NamesLargerIncarnation => "names-larger-incarnation",
    NamesTrust => "names-trust",
    NamesOlderRemains => "names-older-remains",
    StreamSafeWaits => "stream-safe-waits",
    StreamLeaderWaits => "stream-leader-waits",
    StreamKeptUntilStable => "stream-kept-until-stable",
    StreamWindow => "stream-window",
    StreamNumberedOnce => "stream-numbered-once",
    StreamSubmittedAgain => "stream-submitted-again",
    StreamResumes => "stream-resumes",
    StreamDetours => "stream-detours",
    ProtocolsProposalsKept => "protocols-proposals-kept",
    ProtocolsBegunOnce => "protocols-begun-once",
    ProtocolsVotesKept => "protocols-votes-kept",
    ProtocolsFreshLimit => "protocols-fresh-limit",
    ProtocolsDefaultAtOnce => "protocols-default-at-once",
    ProtocolsBarrier => "protocols-barrier",
    ProtocolsRemovalStands => "protocols-removal-stands",
    ProtocolsAnnouncedAtOnce => "protocols-announced-at-once",
    ProtocolsOldestProposal => "protocols-oldest-proposal",
    ProtocolsPrescreen => "protocols-prescreen",
    ProtocolsJoinerSees => "protocols-joiner-sees",
    ProtocolsLeaveLimit => "protocols-leave-limit",
    ProtocolsFailuresFirst => "protocols-failures-first",
    ProtocolsOneLife => "protocols-one-life",
}

impl Rule {
    /// Whether the rule is followed, as it always is but in builds that are made to leave one out.
    #[inline]
    pub fn holds(self) -> bool {
        match UNDONE {
            None => true,
            Some("*") => said_at_run_time() != Some(self.name()),
            Some(name) => name != self.name(),
        }
    }
}

#[cold]
fn said_at_run_time() -> Option<&'static str> {
    static SAID: OnceLock<Option<String>> = OnceLock::new();
    SAID.get_or_init(|| std::env::var("FATEBOUND_UNDO").ok()).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_rule_is_left_out() {
        let left_out: Vec<&str> = Rule::ALL
            .iter()
            .filter(|rule| !rule.holds())
            .map(|rule| rule.name())
            .collect();
        let named = match UNDONE {
            Some("*") => said_at_run_time(),
            other => other,
        };
        assert_eq!(left_out, named.into_iter().collect::<Vec<_>>());
    }
}
