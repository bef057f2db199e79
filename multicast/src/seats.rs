//! Seats in the process group: for each network of this host a provider that is named by it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use fatebound::process_group::{JoinProcessGroupError, ProviderEvent, ProviderHandle};
use fatebound::{Node, Stopped};
use tokio::sync::mpsc;

use crate::capture::Capture;
use crate::inject::Injector;
use crate::interfaces::Interface;
use crate::network::NetworkId;
use crate::service::Word;

/// The group of all nodes that route multicast.
pub const GROUP: &str = "fatebound/multicast";

/// After a join that has failed, and after a seat was lost.
const PAUSE: Duration = Duration::from_millis(500);

/// Holds a seat on a network until it is given up: comes in again whenever it is put out. Aborting it is leaving.
pub(crate) async fn sit(
    node: Node,
    network: NetworkId,
    (interface, groups): (Interface, BTreeSet<Ipv4Addr>),
    words: mpsc::Sender<Word>,
) {
    let mut last = None;
    loop {
        match stay(&node, network, (&interface, &groups), &words).await {
            Ok(()) => last = None,
            Err(Lost::Stopped) => return,
            Err(Lost::Refused(why)) if last.as_ref() == Some(&why) => {}
            Err(Lost::Refused(why)) => {
                tracing::warn!(%network, %why, "no seat in the group of multicast");
                last = Some(why.clone());
                if words.send(Word::NoSeat { network, why }).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Lost {
    Stopped,
    Refused(String),
}

impl From<Stopped> for Lost {
    fn from(_: Stopped) -> Lost {
        Lost::Stopped
    }
}

impl<T> From<mpsc::error::SendError<T>> for Lost {
    fn from(_: mpsc::error::SendError<T>) -> Lost {
        Lost::Stopped
    }
}

async fn stay(
    node: &Node,
    network: NetworkId,
    (interface, groups): (&Interface, &BTreeSet<Ipv4Addr>),
    words: &mpsc::Sender<Word>,
) -> Result<(), Lost> {
    node.joined().await?;
    // A node that takes a seat may lead its network at once.
    let usable = Injector::open(interface).and_then(|_| Capture::open(interface, groups));
    usable.map_err(|error| Lost::Refused(format!("{}: {error}", interface.name)))?;
    let group = node
        .process_group(GROUP)
        .map_err(|error| Lost::Refused(error.to_string()))?;
    let instance = network.to_string();
    let joining = group
        .instance(instance)
        .info(interface.address.to_string().into_bytes())
        .join();
    let mut provider = joining.await.map_err(|error| match error {
        JoinProcessGroupError::Stopped(_) => Lost::Stopped,
        error => Lost::Refused(error.to_string()),
    })?;
    let taken: Option<ProviderHandle> = Some(provider.handle());
    words.send(Word::Seat { network, seat: taken }).await?;
    while let Some(event) = provider.next().await {
        let over = matches!(event, ProviderEvent::Ended(_));
        words.send(Word::Group { event }).await?;
        if over {
            break;
        }
    }
    words.send(Word::Seat { network, seat: None }).await?;
    Ok(())
}
