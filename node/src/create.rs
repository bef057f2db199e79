//! Creating a group: a small builder that is awaited.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use fatebound_machine::fng::GroupId;
use fatebound_machine::overlay::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::application::{Creation, Order};
use crate::dials::names;
use crate::error::{CreateGroupError, Stopped};
use crate::failures::{Failure, Handler};
use crate::group::Group;
use crate::node::Node;

/// Somebody who shall be a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A peer, to be found through the overlay.
    Peer(PeerId),
    /// A peer and where it is: an address that ends in `/p2p/…`.
    Address(Multiaddr),
}

impl From<PeerId> for Member {
    fn from(peer: PeerId) -> Member {
        Member::Peer(peer)
    }
}

impl From<&PeerId> for Member {
    fn from(peer: &PeerId) -> Member {
        Member::Peer(*peer)
    }
}

impl From<Multiaddr> for Member {
    fn from(address: Multiaddr) -> Member {
        Member::Address(address)
    }
}

impl From<&Multiaddr> for Member {
    fn from(address: &Multiaddr) -> Member {
        Member::Address(address.clone())
    }
}

/// A group to be created, see [`Node::create_group`]. Awaiting it returns the [`Group`] once every member has accepted, or says who did not.
///
/// Giving up on it (dropping the future) takes it back only as long as the node has not begun with it; if the group comes into being nevertheless,
/// it is signalled at once.
#[must_use = "nothing is created until this is awaited"]
#[derive(Debug)]
pub struct CreateGroup {
    node: Node,
    members: Vec<Member>,
    tag: Option<String>,
    state: Vec<u8>,
    timeout: Option<Duration>,
    admission: Admission,
    handlers: Vec<Handler>,
}

impl CreateGroup {
    pub(crate) fn new(node: Node, members: Vec<Member>) -> CreateGroup {
        CreateGroup {
            node,
            members,
            tag: None,
            state: Vec::new(),
            timeout: None,
            admission: Admission::default(),
            handlers: Vec::new(),
        }
    }

    /// Bytes for the members' applications, at most 16 KiB, carried by the invitation.
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> CreateGroup {
        self.state = state.into();
        self
    }

    /// What kind of group: only members where somebody waits for this tag ([`Node::accept`]) accept.
    pub fn tag(mut self, tag: impl Into<String>) -> CreateGroup {
        self.tag = Some(tag.into());
        self
    }

    /// How long the members have to accept, instead of the profile's `create_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> CreateGroup {
        self.timeout = Some(timeout);
        self
    }

    /// Who may come in later, by [`Node::join_group`] and [`Node::observe_group`]; instead of [`Admission::Ask`].
    pub fn admit(mut self, admission: Admission) -> CreateGroup {
        self.admission = admission;
        self
    }

    /// Runs when the group fails, or when its creation does ([`CreateGroupError::Incomplete`]). May be given several times.
    pub fn on_failure(mut self, handler: impl FnOnce(Failure) + Send + 'static) -> CreateGroup {
        self.handlers.push(Handler::new(handler));
        self
    }

    async fn create(self) -> Result<Group, CreateGroupError> {
        let (members, introductions) = resolve(self.members)?;
        let (reply, answer) = oneshot::channel();
        let creation = Creation {
            members,
            introductions,
            tag: self.tag,
            state: self.state,
            timeout: self.timeout,
            admit: self.admission.into(),
            handlers: self.handlers,
            reply,
        };
        self.node.order(Order::Create(Box::new(creation))).await?;
        let mut awaited = Awaited {
            node: self.node.clone(),
            answer,
        };
        let group = (&mut awaited.answer).await.map_err(|_| Stopped)??;
        Ok(Group::new(self.node, group))
    }
}

/// An answer that is awaited: given up when it is there already, it takes back what it says.
struct Awaited {
    node: Node,
    answer: oneshot::Receiver<Result<GroupId, CreateGroupError>>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(group)) = self.answer.try_recv() {
            self.node.order_in_drop(Order::Unwanted { group });
        }
    }
}

/// Peers and where they are.
type Introductions = Vec<(PeerId, Multiaddr)>;

/// The peers, and where those with an address are.
fn resolve(members: Vec<Member>) -> Result<(Vec<PeerId>, Introductions), CreateGroupError> {
    let mut peers = Vec::new();
    let mut introductions = Vec::new();
    for member in members {
        match member {
            Member::Peer(peer) => peers.push(peer),
            Member::Address(address) => {
                let Some(peer) = names(&address) else {
                    return Err(CreateGroupError::NoPeer { address });
                };
                peers.push(peer);
                introductions.push((peer, address));
            }
        }
    }
    Ok((peers, introductions))
}

impl IntoFuture for CreateGroup {
    type Output = Result<Group, CreateGroupError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.create())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_to_say_who_lives_there() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let error = resolve(vec![address.clone().into()]).unwrap_err();
        assert!(matches!(error, CreateGroupError::NoPeer { .. }), "{error}");
        let peer = PeerId::random();
        let whole = address.with(libp2p::multiaddr::Protocol::P2p(peer));
        let (peers, introductions) = resolve(vec![whole.clone().into(), peer.into()]).unwrap();
        assert_eq!(peers, [peer, peer]);
        assert_eq!(introductions, [(peer, whole)]);
    }
}
