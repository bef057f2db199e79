//! What the nodes of a group say to each other about the next view, and the glossary of agreement.
//!
//! All of it may be lost, repeated and overtaken. `view` is always the view that is to be changed, unless it says otherwise.

use serde::{Deserialize, Serialize};

use crate::log::Run;
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::view::View;

/// One message, between two nodes of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Coordinator → everybody in the view: "take part in no attempt before this one, stop the stream, and say where you stand".
    Prepare {
        /// The view.
        view: ViewNumber,
        /// The attempt.
        ballot: Ballot,
        /// The coordinator's entries; it is sent what lies behind them.
        have: Seq,
    },
    /// Its answer.
    Promise {
        /// The view.
        view: ViewNumber,
        /// The attempt.
        ballot: Ballot,
        /// What was accepted before, and in which attempt: it may be decided.
        accepted: Option<(Ballot, Box<View>)>,
        /// The promiser's entries.
        have: Seq,
        /// Those that the coordinator lacks, as many as fit.
        run: Run,
    },
    /// The answer to a coordinator whose attempt comes too late: a later one was promised.
    Higher {
        /// The view.
        view: ViewNumber,
        /// The later one.
        ballot: Ballot,
    },
    /// Entries of the view that the receiver lacks.
    Fill {
        /// The view.
        view: ViewNumber,
        /// The entries.
        run: Run,
    },
    /// "I have the entries up to this one": the answer to `Fill`, and to `Accept` and `Install` where entries before the cut are missing.
    Have {
        /// The view.
        view: ViewNumber,
        /// The last one.
        seq: Seq,
    },
    /// Coordinator → the next view's leader: "create the guard".
    MakeGuard {
        /// For which attempt.
        request: GuardRequest,
        /// The voters of the next view, the leader first.
        members: Vec<Node>,
    },
    /// Its answer: the guard is there.
    Guard {
        /// For which attempt.
        request: GuardRequest,
        /// The guard.
        guard: fatebound_tree::GroupId,
    },
    /// Its answer: these do not answer, or declined.
    GuardRefused {
        /// For which attempt.
        request: GuardRequest,
        /// Who; nobody if the creation itself was refused.
        refusals: Vec<Node>,
    },
    /// Coordinator → everybody in the view: "let this be the next view". Of the leader in ballot (0, 0) it is the last entry of the view.
    Accept {
        /// The view.
        view: ViewNumber,
        /// The attempt.
        ballot: Ballot,
        /// Its successor.
        next: Box<View>,
    },
    /// Its answer: so be it, as far as I have a say.
    Accepted {
        /// The view.
        view: ViewNumber,
        /// The attempt.
        ballot: Ballot,
    },
    /// "This is decided." To everybody in the view and in the next one.
    Install {
        /// The next view.
        next: Box<View>,
    },
    /// Its answer; also to the leader of the new view.
    Installed {
        /// The new view.
        view: ViewNumber,
    },
    /// The answer to a question about a view that is over, from a node that is not in its successors.
    Superseded {
        /// Which is over. Whoever has left it since may well be in the later view.
        over: ViewNumber,
        /// A later view.
        view: ViewNumber,
        /// Its leader.
        leader: Node,
    },
    /// The answer to a question about a view that the asked node has not come to.
    Behind {
        /// The view in which it is; `None` if in none yet.
        view: Option<ViewNumber>,
    },
}

/// Names the creation of a guard: the view to be changed, the attempt, and the how manieth guard of that attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuardRequest {
    /// The view to be changed.
    pub view: ViewNumber,
    /// The attempt.
    pub ballot: Ballot,
    /// 1, 2, 3 … within the attempt.
    pub number: u32,
}

impl Message {
    /// The view to be changed, of the messages that only concern those in it.
    pub(super) fn about(&self) -> Option<ViewNumber> {
        use Message::{
            Accept, Accepted, Behind, Fill, Guard, GuardRefused, Have, Higher, Install, Installed, MakeGuard, Prepare,
            Promise, Superseded,
        };
        match self {
            Prepare { view, .. }
            | Promise { view, .. }
            | Higher { view, .. }
            | Fill { view, .. }
            | Have { view, .. }
            | Accept { view, .. }
            | Accepted { view, .. } => Some(*view),
            MakeGuard { request, .. } | Guard { request, .. } | GuardRefused { request, .. } => Some(request.view),
            Install { .. } | Installed { .. } | Superseded { .. } | Behind { .. } => None,
        }
    }

    /// Whether it wants an answer from somebody in the view.
    pub(super) fn is_question(&self) -> bool {
        matches!(
            self,
            Message::Prepare { .. } | Message::MakeGuard { .. } | Message::Accept { .. }
        )
    }
}
