//! What the providers of a service tell each other in its group, and what clients ask them through pipes.

use fatebound_machine::overlay::PeerId;
use fatebound_machine::process_groups::protocols::ProviderId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checkpoint::Part;
use super::done::RequestId;
use super::record::Role;
use super::selection::{Rank, Tag};

/// Bytes of a request or an answer at most.
pub const MAX_REQUEST: usize = 60 * 1024;
/// The first byte of every message: another one is not ours.
const FORMAT: u8 = 1;

/// Sent to all in the group, in one order with everything that the group agrees on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// A selection goes on.
    Rank(Tag, Rank),
    /// Of the primary, which is known at this place in the order: a part of a checkpoint. What anybody else sends is of a primacy that is over.
    Part(Part),
    /// To this primary: it is to hand over, to this one or to whoever is next. Another primary, which has come meanwhile, is not meant.
    HandOver { of: ProviderId, to: Option<ProviderId> },
}

/// Between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packet {
    /// To a provider of this service.
    Ask {
        /// Comes back with the answer.
        ticket: u64,
        service: String,
        question: Question,
    },
    Answer {
        ticket: u64,
        answer: Answer,
    },
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    /// To do something, once.
    Call(Call),
    /// How the service stands.
    Status,
    /// Where the primary is, as soon as there is one.
    Primary,
    /// To hand over to the provider of this instance, or to whoever is next.
    HandOver(Option<String>),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    /// The client has all answers below this number.
    pub(crate) low: u64,
    /// It was sent before.
    pub(crate) again: bool,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It was done.
    Done(#[serde(with = "serde_bytes")] Vec<u8>),
    /// It was done, or may have been done; the answer is forgotten.
    Forgotten,
    /// Not here, but there.
    Moved(Box<ServiceStatus>),
    Status(Box<ServiceStatus>),
    /// The primary is asked to.
    HandingOver,
    Refused(Refused),
}

/// Why a provider does not take a request, which has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nobody provides the service at this node.
    #[error("nobody provides this service at this node")]
    NotHere,
    /// As many requests are held here as may.
    #[error("as many requests wait here as may")]
    Full,
    /// No primary has come within the time for which requests are held.
    #[error("the service has had no primary for too long")]
    NoPrimary,
    /// The primary has not got the secondaries without which it may not answer, within the time for which requests are held.
    #[error("the service has had too few secondaries for too long")]
    TooFewSecondaries,
    /// The service is a program that is reached at its own address.
    #[error("this service takes no requests here: it is reached at its own address")]
    Program,
    /// There is no provider of this name in the service.
    #[error("there is no such provider, or it serves already")]
    NoSuchProvider,
    /// The request is too long.
    #[error("a request has at most {MAX_REQUEST} bytes")]
    TooLong,
}

/// A provider of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceProvider {
    /// Its node.
    pub peer: PeerId,
    /// Its name there.
    pub instance: String,
    /// Where it can be reached, as it says.
    pub address: String,
}

/// How a service stands, as one of its providers knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Which.
    pub service: String,
    /// Who serves; `None` while that is not decided, or where it cannot be known.
    pub primary: Option<ServiceProvider>,
    /// Since this epoch, which only grows; zero: not known here.
    pub epoch: u64,
    /// Who gets checkpoints, and is next.
    pub secondaries: Vec<ServiceProvider>,
    /// Who else is there.
    pub spares: Vec<ServiceProvider>,
    /// The last checkpoint of which this provider knows.
    pub checkpoint: u64,
    /// Requests that wait at this provider.
    pub held: usize,
    /// Whether this provider's node is cut off from too many of the others: it does not know more than this.
    pub blocked: bool,
    /// The provider that says this, and what it is.
    pub own: Option<(ServiceProvider, Role)>,
}

impl ServiceStatus {
    /// Of a provider that is not in the service's group.
    pub(crate) fn unknown(service: &str) -> ServiceStatus {
        ServiceStatus {
            service: service.to_owned(),
            primary: None,
            epoch: 0,
            secondaries: Vec::new(),
            spares: Vec::new(),
            checkpoint: 0,
            held: 0,
            blocked: true,
            own: None,
        }
    }

    /// All providers' nodes, the primary's first.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        let all = self.primary.iter().chain(&self.secondaries).chain(&self.spares);
        all.map(|provider| provider.peer).collect()
    }
}

pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    // Nothing in them can fail to be written.
    let mut bytes = vec![FORMAT];
    bytes.extend(postcard::to_stdvec(message).unwrap_or_default());
    bytes
}

/// `None`: it is none of ours.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}
