//! Services of the node in this process, for the API.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fatebound::service::{
    Refused, RoleEvent, Roles, Running, Scope, ServiceCallError, ServiceClient, ServiceClientError, ServiceEnded,
    ServiceProvider, ServiceStatus, StartServiceError,
};
use tokio::sync::mpsc;

use super::model::{ProvideRequest, ProviderInfo, RoleChange, ServiceInfo};
use crate::api::problem::{Kind, Problem};
use crate::local::Local;

/// Services elsewhere that clients here have asked for, at most; beyond them one is forgotten.
const MAX_CLIENTS: usize = 64;
/// How long a provider elsewhere is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the API keeps of services.
#[derive(Debug, Default)]
pub struct ServiceDesk {
    clients: Mutex<BTreeMap<String, ServiceClient>>,
    /// Commands that run in the name of a primacy, by service; the earlier ones of them have been asked to end.
    running: Mutex<BTreeMap<String, VecDeque<Running>>>,
}

impl ServiceDesk {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, ServiceClient>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    /// The services that are provided here.
    pub async fn services(&self) -> Vec<ServiceInfo> {
        self.node().services().await.iter().map(info).collect()
    }

    /// One service: as the provider here knows it, else as one elsewhere says.
    pub async fn service(&self, name: &str) -> Result<ServiceInfo, Problem> {
        if let Some(status) = self.node().service_status(name).await {
            return Ok(info(&status));
        }
        let status = self.service_client(name).await?.status().await;
        let mut info = status.as_ref().map(info).map_err(not_answered)?;
        info.role = None;
        Ok(info)
    }

    /// Asks the primary to hand over.
    pub async fn switchover(&self, name: &str, to: Option<&str>) -> Result<(), Problem> {
        let asked = self.service_client(name).await?.hand_over(to).await;
        asked.map_err(|error| not_answered(&error))
    }

    async fn service_client(&self, name: &str) -> Result<ServiceClient, Problem> {
        if let Some(client) = self.service_desk().clients().get(name) {
            return Ok(client.clone());
        }
        let client = self.node().client(name).await.map_err(|error| match error {
            ServiceClientError::Name(error) => Problem::new(Kind::InvalidName, &error),
            error => Problem::new(Kind::Stopping, &error),
        })?;
        let client = client.limit(PATIENCE);
        let mut clients = self.service_desk().clients();
        if clients.len() >= MAX_CLIENTS {
            clients.pop_first();
        }
        clients.insert(name.to_owned(), client.clone());
        Ok(client)
    }

    /// Makes a process a provider of a service; waits until it is one.
    pub async fn provide(&self, name: &str, request: ProvideRequest) -> Result<Roles, Problem> {
        let service = self
            .node()
            .service(name)
            .instance(request.instance)
            .address(request.address);
        let service = service.preference(request.preference);
        let service = service.secondaries(request.secondaries.unwrap_or(1).into());
        service.follow().await.map_err(|error| not_provided(&error))
    }

    /// The command of the earliest primacy has ended.
    pub fn released(&self, name: &str) {
        if let Some(running) = self.service_desk().running().get_mut(name) {
            running.pop_front();
        }
    }

    /// Its provider is gone, and with it all commands.
    fn all_released(&self, name: &str) {
        self.service_desk().running().remove(name);
    }

    /// Tells a provider's client its roles until the provider has ended, or the client has gone away; that is the provider's death.
    pub async fn follow_roles(&self, name: &str, mut roles: Roles, told: mpsc::Sender<RoleChange>) {
        let mut scope: Option<Scope> = None;
        let joined = RoleChange::Joined {
            service: name.to_owned(),
        };
        let mut next = vec![joined];
        loop {
            for change in next.drain(..) {
                if told.send(change).await.is_err() {
                    return self.all_released(name);
                }
            }
            tokio::select! {
                biased;
                () = over(scope.as_ref()) => next.extend(scope.take().map(|scope| primary_over(&scope))),
                event = roles.next() => match event {
                    Some(RoleEvent::Primary { scope: now, running }) => {
                        next.extend(scope.take().map(|scope| primary_over(&scope)));
                        next.push(RoleChange::Primary { epoch: now.epoch().to_string() });
                        self.service_desk().running().entry(name.to_owned()).or_default().push_back(running);
                        scope = Some(now);
                    }
                    Some(RoleEvent::Secondary) => next.push(RoleChange::Secondary),
                    Some(RoleEvent::Spare) => next.push(RoleChange::Spare),
                    Some(_) => {}
                    None => break,
                },
                () = told.closed() => return self.all_released(name),
            }
        }
        let ended = roles.service().ended().await;
        if let Some(scope) = scope {
            let _ = told.send(primary_over(&scope)).await;
        }
        let _ = told.send(word_of(&ended)).await;
        self.all_released(name);
    }
}

async fn over(scope: Option<&Scope>) {
    match scope {
        Some(scope) => scope.ended().await,
        None => std::future::pending().await,
    }
}

fn primary_over(scope: &Scope) -> RoleChange {
    RoleChange::PrimaryOver {
        epoch: scope.epoch().to_string(),
    }
}

fn word_of(ended: &ServiceEnded) -> RoleChange {
    let why = match ended {
        ServiceEnded::Left => "left",
        ServiceEnded::Expelled => "expelled",
        ServiceEnded::Stopped => "stopped",
        _ => "failed",
    };
    RoleChange::Ended {
        why: why.to_owned(),
        message: ended.to_string(),
    }
}

fn info(status: &ServiceStatus) -> ServiceInfo {
    let all = |providers: &[ServiceProvider]| providers.iter().map(provider).collect();
    ServiceInfo {
        service: status.service.clone(),
        primary: status.primary.as_ref().map(provider),
        epoch: (status.epoch > 0).then(|| status.epoch.to_string()),
        secondaries: all(&status.secondaries),
        spares: all(&status.spares),
        checkpoint: status.checkpoint,
        held: status.held,
        blocked: status.blocked,
        role: status.own.as_ref().map(|(_, role)| role.as_str().to_owned()),
    }
}

fn provider(provider: &ServiceProvider) -> ProviderInfo {
    ProviderInfo {
        peer: provider.peer.to_string(),
        instance: provider.instance.clone(),
        address: provider.address.clone(),
    }
}

fn not_answered(error: &ServiceCallError) -> Problem {
    let kind = match error {
        ServiceCallError::Nobody { .. } => Kind::ProcessGroupNotKnown,
        ServiceCallError::Refused(Refused::NoSuchProvider) => Kind::ProviderNotKnown,
        ServiceCallError::Refused(_) => Kind::OrderRefused,
        ServiceCallError::Stopped(_) => Kind::Stopping,
        _ => Kind::Busy,
    };
    Problem::new(kind, error)
}

fn not_provided(error: &StartServiceError) -> Problem {
    let kind = match error {
        StartServiceError::Name(_) => Kind::InvalidName,
        StartServiceError::Instance | StartServiceError::Address => Kind::InvalidRequest,
        StartServiceError::Stopped(_) => Kind::Stopping,
        _ => Kind::NotJoined,
    };
    Problem::new(kind, error)
}
