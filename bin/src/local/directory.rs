//! Names in the directory, for the API.

use data_encoding::BASE64;
use fatebound::{DirectoryError, DirectoryRecord};

use super::{Local, stopping};
use crate::api::directory::{NameInfo, Published};
use crate::api::problem::{Kind, Problem};

impl Local {
    /// What stands under a name.
    pub async fn look_name_up(&self, name: &str) -> Result<NameInfo, Problem> {
        let record = self.node.directory_get(name).await.map_err(|error| problem(&error))?;
        Ok(info(name, record))
    }

    /// Publishes a text under a name.
    pub async fn publish_name(&self, name: &str, text: String) -> Result<Published, Problem> {
        let published = self.node.directory_publish(name, text.into_bytes()).await;
        published.map_err(|error| problem(&error))?;
        Ok(Published {
            name: name.to_owned(),
            publisher: self.peer(),
        })
    }
}

fn info(name: &str, record: DirectoryRecord) -> NameInfo {
    let (text, base64) = match String::from_utf8(record.body) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(BASE64.encode(error.as_bytes()))),
    };
    NameInfo {
        name: name.to_owned(),
        publisher: record.publisher.to_string(),
        incarnation: record.incarnation,
        view: record.view,
        text,
        base64,
    }
}

fn problem(error: &DirectoryError) -> Problem {
    let kind = match error {
        DirectoryError::Name | DirectoryError::Body => Kind::InvalidRequest,
        DirectoryError::Nobody { .. } => Kind::NameNotKnown,
        DirectoryError::NotYet { .. } => Kind::NameNotYetKnown,
        DirectoryError::Taken { .. } => Kind::NameTaken,
        DirectoryError::Stopped(stopped) => return stopping(*stopped),
        // Not taken by its keepers, or for a reason that is yet to come.
        _ => Kind::NameNotPublished,
    };
    Problem::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8]) -> DirectoryRecord {
        DirectoryRecord {
            publisher: fatebound::Keypair::ed25519_from_bytes([1; 32])
                .unwrap()
                .public()
                .to_peer_id(),
            incarnation: 7,
            view: 2,
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_body_is_a_text_or_base64() {
        let text = info("db", record("é".as_bytes()));
        assert_eq!((text.text.as_deref(), text.base64), (Some("é"), None));
        let bytes = info("db", record(&[0, 255]));
        assert_eq!((bytes.text, bytes.base64.as_deref()), (None, Some("AP8=")));
    }

    #[test]
    fn every_error_is_a_problem_of_its_own() {
        let name = || "db".to_owned();
        let not_known = problem(&DirectoryError::Nobody { name: name() });
        assert_eq!((not_known.status, not_known.detail.as_str()), (404, "nobody knows db"));
        let not_yet = problem(&DirectoryError::NotYet { name: name() });
        assert_eq!(not_yet.status, 404);
        assert!(not_yet.is(Kind::NameNotYetKnown));
        let publisher = record(b"").publisher;
        let taken = DirectoryError::Taken {
            name: name(),
            publisher,
        };
        assert_eq!(problem(&taken).status, 409);
    }
}
