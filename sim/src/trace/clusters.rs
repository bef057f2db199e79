//! Words about process groups.

use fatebound_machine::overlay::PeerId;
use fatebound_machine::process_groups::message::{Envelope, Packet, Words};
use fatebound_machine::process_groups::views::Message;
use fatebound_machine::process_groups::{Command, Event, Node, View};

use super::names::Names;

fn node(names: &Names, node: Node) -> String {
    names.peer(&node.peer)
}

fn view(names: &Names, view: &View) -> String {
    let peers: Vec<PeerId> = view.voters.iter().map(|voter| voter.node.peer).collect();
    format!("view {} of {}", view.number, names.peers(&peers))
}

pub(super) fn event(names: &Names, event: &Event) -> String {
    match event {
        Event::Installed { name, view: next, .. } => format!("{name}: {}", view(names, next)),
        Event::Wedged { name, view } => format!("{name}: view {view} is over"),
        Event::Blocked { name, blocked } => {
            let missing: Vec<PeerId> = blocked.missing.iter().map(|node| node.peer).collect();
            let missing = names.peers(&missing);
            format!(
                "{name}: blocked, {} of {}, missing {missing}",
                blocked.have, blocked.need
            )
        }
        Event::Unblocked { name } => format!("{name}: unblocked"),
        Event::Removed { name, view, leader } => {
            format!("{name}: removed by view {view} under {}", node(names, *leader))
        }
        Event::Dissolved { name, favour } => {
            format!("{name}: dissolved for the founding of {}", names.peer(&favour.founder))
        }
        Event::Left { name } => format!("{name}: left"),
        Event::Refused { name, why } => format!("{name}: refused ({why})"),
    }
}

pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Join { name, .. } => format!("joins the process group {name}"),
        Command::Leave { name } => format!("leaves the process group {name}"),
    }
}

pub(super) fn packet(names: &Names, packet: &Packet) -> String {
    let each: Vec<String> = packet.envelopes.iter().map(|envelope| words(names, envelope)).collect();
    each.join(", ")
}

fn words(names: &Names, envelope: &Envelope) -> String {
    match &envelope.words {
        Words::Views(message) => agreement(names, message),
        Words::Welcome { install, .. } => format!("Welcome: {}", agreement(names, install)),
        Words::Insert { .. } => "Insert".to_owned(),
        Words::Remove => "Remove".to_owned(),
        Words::Wait => "Wait".to_owned(),
        Words::Leader { leader } => format!("Leader {}", node(names, *leader)),
        Words::NotHere => "NotHere".to_owned(),
        Words::Contest { rival } => format!("Contest for the founding of {}", names.peer(&rival.founder)),
        Words::Lives { founding } => format!("Lives, the founding of {}", names.peer(&founding.founder)),
        Words::Dissolved { favour } => format!("Dissolved for the founding of {}", names.peer(&favour.founder)),
    }
}

fn agreement(names: &Names, message: &Message) -> String {
    match message {
        Message::Prepare { view, ballot, have } => format!("Prepare {view} {ballot} have {have}"),
        Message::Promise {
            view,
            ballot,
            accepted,
            have,
            ..
        } => {
            let accepted = accepted
                .as_ref()
                .map_or(String::new(), |(ballot, _)| format!(" accepted {ballot}"));
            format!("Promise {view} {ballot} have {have}{accepted}")
        }
        Message::Higher { view, ballot } => format!("Higher {view} {ballot}"),
        Message::Fill { view, run } => format!("Fill {view}, {} entries after {}", run.entries.len(), run.after),
        Message::Have { view, seq } => format!("Have {view} {seq}"),
        Message::MakeGuard { request, .. } => format!("MakeGuard {} {}", request.view, request.ballot),
        Message::Guard { request, .. } => format!("Guard {} {}", request.view, request.ballot),
        Message::GuardRefused { request, refusals } => {
            let peers: Vec<PeerId> = refusals.iter().map(|node| node.peer).collect();
            format!("GuardRefused {} by {}", request.view, names.peers(&peers))
        }
        Message::Accept { ballot, next, .. } => format!("Accept {ballot}: {}", view(names, next)),
        Message::Accepted { view, ballot } => format!("Accepted {view} {ballot}"),
        Message::Install { next } => format!("Install {}", view(names, next)),
        Message::Installed { view } => format!("Installed {view}"),
        Message::Superseded { over, view, .. } => format!("Superseded {over} by {view}"),
        Message::Behind { view: Some(view) } => format!("Behind, in {view}"),
        Message::Behind { view: None } => "Behind, in none".to_owned(),
    }
}
