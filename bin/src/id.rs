//! `fatebound id`: who a data directory is.

use std::path::Path;

use fatebound::{DataDir, IdentityError, Keypair, PeerId};
use serde_json::json;

use crate::cli::IdArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::data_dir;
use crate::output::Output;

/// `fatebound id`
pub fn id(args: &IdArgs) -> Outcome {
    let peer = peer(&data_dir(args.data_dir.clone())?)?.to_string();
    let output = Output::new(args.json);
    let written = if output.is_json() {
        output.object(&json!({"peer": peer}))
    } else {
        output.line(&peer)
    };
    written.map(|()| Exit::Done)
}

fn peer(directory: &Path) -> Result<PeerId, Failure> {
    match DataDir::open(directory) {
        Ok(opened) => Ok(opened.keypair().public().to_peer_id()),
        // A node runs on it: its key is there, and will not change.
        Err(IdentityError::InUse { .. }) => read(&directory.join("key")),
        Err(error) => Err(Failure::error(error)),
    }
}

fn read(key: &Path) -> Result<PeerId, Failure> {
    let bytes = std::fs::read(key).map_err(|error| Failure::error(format!("key file {}: {error}", key.display())))?;
    let keypair = Keypair::from_protobuf_encoding(&bytes);
    let keypair = keypair.map_err(|error| Failure::error(format!("key file {}: {error}", key.display())))?;
    Ok(keypair.public().to_peer_id())
}
