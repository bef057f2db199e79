//! The directory at the API: the floor that process groups will use, as small as it can be.
//!
//! A text under a name, published by this node for as long as it runs, and found by every node. What is published is a hint where to look,
//! not a lock: two parts of a network that cannot see each other may each have a publisher of one name.

use std::time::{Duration, SystemTime};

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::directory::{
    Command, Entry, Event, Found, Kind, MAX_BODY, MAX_TEXT, Name, NotPublished, Order as Later, Publication,
};
use thiserror::Error;

use crate::application::Order;
use crate::error::Stopped;
use crate::node::Node;

/// Incarnations count seconds from the first of January 2020 on.
const SINCE: Duration = Duration::from_secs(1_577_836_800);

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryRecord {
    /// Who publishes it.
    pub publisher: PeerId,
    /// Which founding of the name this is.
    pub incarnation: u32,
    /// The publications since then.
    pub view: u64,
    /// What it says.
    pub body: Vec<u8>,
}

/// A name that was not found, or not published. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The name is empty or too long.
    #[error("a name has 1 to {MAX_TEXT} bytes")]
    Name,
    /// The body is too long.
    #[error("a record has at most {MAX_BODY} bytes")]
    Body,
    /// Enough peers say so who would know.
    #[error("nobody knows {name}")]
    Nobody {
        /// Which.
        name: String,
    },
    /// The peers that would know have not been there for long enough.
    #[error("it is not known yet whether anybody has {name}: ask again")]
    NotYet {
        /// Which.
        name: String,
    },
    /// Somebody else publishes it.
    #[error("{name} is taken: {publisher} publishes it")]
    Taken {
        /// Which.
        name: String,
        /// Who.
        publisher: PeerId,
    },
    /// Too few of the peers that would keep it have taken it.
    #[error("{name} was not published: {why}")]
    NotPublished {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// What stands under a name. The answer takes a round trip or two, and some seconds if it is not known.
    ///
    /// # Errors
    /// Nobody knows it, or not yet; see [`DirectoryError`].
    pub async fn directory_get(&self, name: &str) -> Result<DirectoryRecord, DirectoryError> {
        match self.find(name).await? {
            Found::Record(entry) if !entry.record().tombstone => Ok(record(entry)),
            Found::Record(_) | Found::Nobody => Err(DirectoryError::Nobody { name: name.to_owned() }),
            Found::Claimed(_) | Found::Unsettled => Err(DirectoryError::NotYet { name: name.to_owned() }),
        }
    }

    /// Publishes these bytes under a name, and goes on publishing them until the node stops or publishes others there. Returns once the
    /// greater half of the peers that keep the name have them.
    ///
    /// # Errors
    /// Somebody else publishes it, or the peers that would keep it do not take it; see [`DirectoryError`].
    pub async fn directory_publish(&self, name: &str, body: Vec<u8>) -> Result<(), DirectoryError> {
        if body.len() > MAX_BODY {
            return Err(DirectoryError::Body);
        }
        let order = later(&self.find(name).await?);
        let publication = Publication {
            name: Name::new(Kind::TEXT, name),
            order,
            signers: Vec::new(),
            tombstone: false,
            body,
        };
        match self
            .directory(move |ticket| Command::Publish { ticket, publication })
            .await?
        {
            Event::NotPublished { why, .. } => Err(not_published(name, why)),
            _ => Ok(()),
        }
    }

    async fn find(&self, text: &str) -> Result<Found, DirectoryError> {
        let name = Name::new(Kind::TEXT, text);
        if !name.is_within_limits() {
            return Err(DirectoryError::Name);
        }
        match self.directory(move |ticket| Command::Find { ticket, name }).await? {
            Event::Found { outcome, .. } => Ok(outcome),
            _ => Ok(Found::Unsettled),
        }
    }

    pub(crate) async fn directory(
        &self,
        order: impl FnOnce(fatebound_machine::overlay::directory::Ticket) -> Command + Send + 'static,
    ) -> Result<Event, Stopped> {
        let order = Box::new(order);
        self.ask(|reply| Order::Directory { order, reply }).await
    }
}

fn record(entry: Entry) -> DirectoryRecord {
    let record = entry.into_record();
    DirectoryRecord {
        publisher: record.publisher,
        incarnation: record.order.incarnation,
        view: record.order.view,
        body: record.body,
    }
}

/// Later than what is there. A name that nobody has is founded now.
fn later(found: &Found) -> Later {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + SINCE);
    let now = since.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX));
    match found {
        Found::Record(entry) if entry.record().tombstone => Later {
            incarnation: now.max(entry.record().order.incarnation.saturating_add(1)),
            view: 0,
        },
        Found::Record(entry) => Later {
            incarnation: entry.record().order.incarnation,
            view: entry.record().order.view.saturating_add(1),
        },
        Found::Nobody | Found::Claimed(_) | Found::Unsettled => Later {
            incarnation: now,
            view: 0,
        },
    }
}

fn not_published(name: &str, why: NotPublished) -> DirectoryError {
    let name = name.to_owned();
    let why = match why {
        NotPublished::Taken(theirs) => {
            let publisher = theirs.record().publisher;
            return DirectoryError::Taken { name, publisher };
        }
        NotPublished::Refused(refusal) => refusal.to_string(),
        NotPublished::TooMany => "this node publishes as many names as it may".to_owned(),
        NotPublished::Silence => "too few of the peers that would keep it answered".to_owned(),
    };
    DirectoryError::NotPublished { name, why }
}
