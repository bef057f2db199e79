//! `service list | show | switchover`.

use std::time::Duration;

use tokio::time::Instant;

use super::model::{ProviderInfo, ServiceInfo, Services, SwitchoverRequest};
use super::path;
use crate::cli::{ClientArgs, ServiceArgs, SwitchoverArgs};
use crate::client::Api;
use crate::client::status::label;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{Cell, Output, Style, Table};

/// How often it is looked whether somebody else is the primary.
const LOOK: Duration = Duration::from_millis(100);

/// `fatebound service list`
pub async fn list(args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let services: Services = Api::of(args)?.get("/v1/services").await?;
    let services = services.services;
    if output.is_json() {
        let all = services.iter().try_for_each(|service| output.object(service));
        return all.map(|()| Exit::Done);
    }
    if services.is_empty() {
        complain("no services are provided at this node");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "HERE", "PRIMARY", "SECONDARIES", "SPARES", "EPOCH"]);
    for service in &services {
        table.row([
            service.service.clone().into(),
            service.role.clone().unwrap_or_default().into(),
            primary(service),
            Cell::number(service.secondaries.len().to_string()),
            Cell::number(service.spares.len().to_string()),
            Cell::number(service.epoch.clone().unwrap_or_default()),
        ]);
    }
    output.table(&table).map(|()| Exit::Done)
}

/// `fatebound service show`
pub async fn show(args: &ServiceArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let service: ServiceInfo = Api::of(&args.client)?.get(&path(&args.name)?).await?;
    let exit = match service.primary {
        Some(_) => Exit::Done,
        None => Exit::Blocked,
    };
    if output.is_json() {
        return output.object(&service).map(|()| exit);
    }
    output.table(&shown(&service)).map(|()| exit)
}

/// `fatebound service switchover`
pub async fn switchover(args: &SwitchoverArgs) -> Outcome {
    let path = path(&args.name)?;
    let api = Api::of(&args.client)?;
    let output = Output::new(args.client.json);
    let before: ServiceInfo = api.get(&path).await?;
    let from = before
        .primary
        .ok_or_else(|| Failure::new(Exit::Blocked, "the service has no primary that could hand over"))?;
    if args.to.as_ref() == Some(&from.instance) {
        return Err(Failure::error(format!("{} is the primary already", from.instance)));
    }
    let request = SwitchoverRequest { to: args.to.clone() };
    api.tell(&format!("{path}/switchover"), &request).await?;
    let end = Instant::now() + args.timeout;
    while Instant::now() < end {
        let service: ServiceInfo = api.get(&path).await?;
        let wanted = |now: &ProviderInfo| args.to.as_ref().is_none_or(|to| *to == now.instance);
        if service.primary.as_ref().is_some_and(|now| *now != from && wanted(now)) {
            if output.is_json() {
                return output.object(&service).map(|()| Exit::Done);
            }
            return output.table(&shown(&service)).map(|()| Exit::Done);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::error(format!(
        "{} has not handed over within {}; it may still",
        from.instance,
        humantime::format_duration(args.timeout)
    )))
}

fn primary(service: &ServiceInfo) -> Cell {
    match &service.primary {
        Some(primary) => Cell::styled(Style::Green, primary.instance.clone()),
        None => Cell::styled(Style::Red, "nobody"),
    }
}

fn shown(service: &ServiceInfo) -> Table {
    let mut table = Table::new(&[]);
    table.row([label("name"), service.service.clone().into()]);
    match &service.primary {
        Some(primary) => table.row([label("primary"), words(primary).into()]),
        None => table.row([label("primary"), Cell::styled(Style::Red, "nobody")]),
    }
    for secondary in &service.secondaries {
        table.row([label("secondary"), words(secondary).into()]);
    }
    for spare in &service.spares {
        table.row([label("spare"), words(spare).into()]);
    }
    if let Some(epoch) = &service.epoch {
        table.row([label("epoch"), epoch.clone().into()]);
    }
    table.row([label("checkpoint"), service.checkpoint.to_string().into()]);
    if service.held > 0 {
        table.row([label("held"), service.held.to_string().into()]);
    }
    if service.blocked {
        let words = "this node is cut off from too many of the others";
        table.row([label("blocked"), Cell::styled(Style::Red, words)]);
    }
    table
}

fn words(provider: &ProviderInfo) -> String {
    let address = match provider.address.as_str() {
        "" => "",
        address => &format!(", {address}"),
    };
    format!("{} at {}{address}", provider.instance, provider.peer)
}
