//! What the nodes of process groups say to each other in one-shot messages. All of it may be lost, repeated and overtaken, and is repeated by
//! whoever needs it.

use serde::{Deserialize, Serialize};

use crate::floor::Carried;
use crate::name::{Founding, GroupRef};
use crate::numbers::Node;
use crate::view::Voter;
use crate::views;

/// One message: everything that a node has to say to another at a moment, about whatever groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The life of its sender.
    pub incarnation: u64,
    /// At most [`MAX_ENVELOPES`].
    pub envelopes: Vec<Envelope>,
}

/// Envelopes in a packet at most.
pub const MAX_ENVELOPES: usize = 256;

/// The answer to a packet: it has arrived, in this life of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The receiver's life.
    pub incarnation: u64,
}

/// Words about one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Which founding of which name.
    pub group: GroupRef,
    /// The life of the receiver that is meant; `None`: whichever it is.
    pub to: Option<u64>,
    /// What.
    pub words: Words,
}

/// What is said about a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Words {
    /// Agreement on the next view.
    Views(Box<views::Message>),
    /// `Install`, to a newcomer: with the state of the group at the cut.
    Welcome {
        /// The view.
        install: Box<views::Message>,
        /// The state, encoded.
        #[serde(with = "serde_bytes")]
        state: Vec<u8>,
    },
    /// "I want to come in."
    Insert {
        /// Who, and with what weight.
        voter: Voter,
    },
    /// "I want to go."
    Remove,
    /// The answer to `Insert` and `Remove`: it will come to that.
    Wait,
    /// The answer to `Insert` and `Remove` from somebody who does not lead: this node does.
    Leader {
        /// Who.
        leader: Node,
    },
    /// The answer to `Insert` and `Remove` from somebody who is not in the group.
    NotHere,
    /// From the leader of another founding of the same name: "I lead this one. Does yours live?"
    Contest {
        /// Theirs.
        rival: Founding,
    },
    /// The answer of the leader of an older founding, to the group of the rival.
    Lives {
        /// The older one.
        founding: Founding,
    },
    /// The group is dissolved, from its leader and from whoever remembers it.
    Dissolved {
        /// The older founding that remains.
        favour: Founding,
    },
    /// What would go through a pipe, to a node with which there is none.
    Carried {
        /// Of everything that the sender sends in this way, to whomever: a body with a smaller number was overtaken.
        number: u64,
        /// What.
        carried: Box<Carried>,
    },
}

impl Words {
    /// Whether they are the last ones of an exchange.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Words::Wait | Words::Leader { .. } | Words::NotHere | Words::Lives { .. } | Words::Dissolved { .. } => true,
            Words::Views(_)
            | Words::Welcome { .. }
            | Words::Insert { .. }
            | Words::Remove
            | Words::Contest { .. }
            | Words::Carried { .. } => false,
        }
    }
}
