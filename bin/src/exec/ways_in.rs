//! The ways into a group: create one, come into one, or be invited.

use std::time::Duration;

use super::hold::{Hold, Patience};
use crate::api::address::ApiAddress;
use crate::api::model::CreateRequest;
use crate::cli::ExecArgs;
use crate::client::Api;
use crate::client::groups::state_of;
use crate::client::peer_names::resolve;
use crate::exit::Failure;

/// The tag of invitations unless somebody says otherwise.
const TAG: &str = "exec";

/// With `--restart` and no `--wait`: how long all have to be back.
const BACK: Duration = Duration::from_secs(5 * 60);

/// The way into each attempt's group.
#[derive(Debug)]
pub struct Way(Option<Inside>);

#[derive(Debug)]
struct Inside {
    api: Api,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Create(CreateRequest),
    Join(String),
    Accept(String),
}

impl Way {
    /// What the command line says.
    pub async fn of(args: &ExecArgs) -> Result<Way, Failure> {
        if args.alone {
            return Ok(Way(None));
        }
        let api = Api::of(&args.client)?;
        let kind = match (&args.join, &args.accept) {
            (Some(group), _) => Kind::Join(group.clone()),
            (None, Some(tag)) => Kind::Accept(tag.clone()),
            (None, None) => Kind::Create(request(args, &api).await?),
        };
        Ok(Way(Some(Inside { api, kind })))
    }

    /// Where the node serves its API.
    pub fn api(&self) -> Option<&ApiAddress> {
        self.0.as_ref().map(|inside| inside.api.address())
    }

    /// Whether this is to wait for an invitation.
    pub fn waits(&self) -> bool {
        matches!(
            &self.0,
            Some(Inside {
                kind: Kind::Accept(_),
                ..
            })
        )
    }

    /// Goes in; none, when there is no group to go into.
    pub async fn hold(&self, args: &ExecArgs) -> Result<Option<Hold>, Failure> {
        let Some(inside) = &self.0 else { return Ok(None) };
        let api = &inside.api;
        let patience = Patience::of(api).await?;
        let wait = args.wait.or(args.restart.map(|_| BACK));
        let hold = match &inside.kind {
            Kind::Create(request) => Hold::create(api, request.clone(), wait, patience).await,
            Kind::Join(group) => Hold::join(api, group, patience).await,
            Kind::Accept(tag) => Hold::accept(api, tag, wait, patience).await,
        };
        hold.map(Some)
    }
}

async fn request(args: &ExecArgs, api: &Api) -> Result<CreateRequest, Failure> {
    let (state, state_base64) = state_of(args.state.as_deref())?;
    Ok(CreateRequest {
        members: resolve(api, &args.create).await?,
        tag: Some(args.tag.clone().unwrap_or_else(|| TAG.to_owned())),
        state,
        state_base64,
        ..CreateRequest::default()
    })
}
