//! Words about process groups.

use fatebound_machine::overlay::PeerId;
use fatebound_machine::process_groups::message::{Envelope, Packet, Words};
use fatebound_machine::process_groups::protocols::{self, Notice, Order, ProviderId, Resolved};
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

fn provider(names: &Names, id: ProviderId) -> String {
    format!("{}/{}", node(names, id.node), id.serial)
}

fn providers(names: &Names, ids: impl IntoIterator<Item = ProviderId>) -> String {
    let each: Vec<String> = ids.into_iter().map(|id| provider(names, id)).collect();
    each.join(" ")
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
        Event::JoinRefused { name, why, .. } => format!("{name}: join refused ({why})"),
        Event::Provider {
            name,
            provider: id,
            event,
        } => format!("{name}: {} {}", provider(names, *id), of_provider(event)),
        Event::Shown { name, to, notice } => {
            let (notice, to) = (shown(names, notice), providers(names, to.iter().copied()));
            format!("{name}: {notice}, to {to}")
        }
        Event::Deactivate { name, provider: id, .. } => format!("{name}: deactivate {}", provider(names, *id)),
    }
}

fn of_provider(event: &protocols::Event) -> String {
    match event {
        protocols::Event::Joining { .. } => "asks to come in".to_owned(),
        protocols::Event::Done { result, .. } => match result {
            Resolved::Approved { epoch, .. } => format!("approved, epoch {epoch}"),
            Resolved::Rejected { .. } => "rejected".to_owned(),
            Resolved::Refused(why) => format!("refused ({why})"),
            Resolved::TooManyPhases => "too many phases".to_owned(),
            Resolved::Unknown => "unknown".to_owned(),
        },
        protocols::Event::VoteRefused { why, .. } => format!("vote refused ({why})"),
        protocols::Event::TooLate { phase, .. } => format!("voted too late in phase {phase}"),
        protocols::Event::NotSent(why) => format!("not sent ({why})"),
        protocols::Event::Ended(ended) => format!("ended: {ended:?}"),
    }
}

fn shown(names: &Names, notice: &Notice) -> String {
    match notice {
        Notice::Opened { phase, change, .. } => format!("phase {phase} of {:?}", change.kind()),
        Notice::Outcome { change, outcome, .. } => format!("{outcome:?} {:?}", change.kind()),
        Notice::Providers { providers: list, .. } => {
            format!(
                "providers {}",
                providers(names, list.iter().map(|provider| provider.id))
            )
        }
        Notice::State { version, .. } => format!("state {version}"),
        Notice::Attributes(_) => "attributes".to_owned(),
        Notice::Message { from, body } => format!("{} bytes of {}", body.len(), provider(names, *from)),
        Notice::Failed(failure) => format!("{} failed: {:?}", provider(names, failure.provider), failure.reason),
        Notice::JoinerGone(id) => format!("{} does not come", provider(names, *id)),
        Notice::Announced { provider: id, remark } => format!("{} {remark:?}", provider(names, *id)),
        Notice::Deactivate { providers: list, .. } => format!("deactivate {}", providers(names, list.iter().copied())),
        Notice::Raised { epoch } => format!("epoch {epoch}"),
        Notice::Ignored => "an entry that does not fit".to_owned(),
    }
}

pub(super) fn command(names: &Names, command: &Command) -> String {
    match command {
        Command::Join { name, .. } => format!("joins the process group {name}"),
        Command::Abandon { name, .. } => format!("gives up joining the process group {name}"),
        Command::Order { name, order } => match order {
            Order::Join { .. } => format!("joins {name}"),
            Order::Propose { provider: id, .. } => format!("proposes as {} in {name}", provider(names, *id)),
            Order::Withdraw { provider: id, .. } => format!("withdraws as {} in {name}", provider(names, *id)),
            Order::Vote { provider: id, vote, .. } => {
                format!("votes {:?} as {} in {name}", vote.verdict, provider(names, *id))
            }
            Order::Send { provider: id, body } => {
                format!("sends {} bytes as {} in {name}", body.len(), provider(names, *id))
            }
            Order::Leave { provider: id, .. } => format!("leaves as {} in {name}", provider(names, *id)),
            Order::Goodbye { provider: id, .. } => format!("says goodbye as {} in {name}", provider(names, *id)),
            Order::Gone { provider: id } => format!("loses the process of {} in {name}", provider(names, *id)),
            Order::Deactivated { provider: id, .. } => format!("has deactivated {} in {name}", provider(names, *id)),
        },
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
        Words::Carried { number, .. } => format!("body {number} without a pipe"),
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
