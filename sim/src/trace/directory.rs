//! Words about names.

use fatebound_machine::overlay::directory::message::{Question, Reply};
use fatebound_machine::overlay::directory::{Claimed, Command, Entry, Event, Found, NotPublished};

use super::names::Names;

fn entry(names: &Names, entry: &Entry) -> String {
    let record = entry.record();
    let kind = if record.tombstone { "tombstone" } else { "record" };
    format!(
        "{kind} {} of {} ({}.{}, number {})",
        record.name.text,
        names.peer(&record.publisher),
        record.order.incarnation,
        record.order.view,
        record.number
    )
}

pub(super) fn question(names: &Names, question: &Question) -> String {
    match question {
        Question::Near => "Near".to_owned(),
        Question::Find(name) => format!("Find {}", name.text),
        Question::Claim { name, .. } => format!("Claim {}", name.text),
        Question::Unclaim { name, .. } => format!("Unclaim {}", name.text),
        Question::Publish(published) => format!("Publish {}", entry(names, published)),
        Question::Offer(offered) => format!("Offer of {} records", offered.len()),
        Question::Handover(handed) => {
            let each: Vec<String> = handed.iter().map(|aged| entry(names, &aged.entry)).collect();
            format!("Handover of {}", each.join(", "))
        }
    }
}

pub(super) fn reply(names: &Names, reply: &Reply) -> String {
    match reply {
        Reply::Noted => "Noted".to_owned(),
        Reply::Record(found) => format!("Record: {}", entry(names, found)),
        Reply::Nobody { settled: true } => "Nobody".to_owned(),
        Reply::Nobody { settled: false } => "Nobody that I know, not settled".to_owned(),
        Reply::Claimed { by } => format!("Claimed by {}", names.peer(by)),
        Reply::Granted { incarnation: None } => "Granted".to_owned(),
        Reply::Granted {
            incarnation: Some(last),
        } => format!("Granted, last incarnation {last}"),
        Reply::Unsettled => "Unsettled".to_owned(),
        Reply::Stored => "Stored".to_owned(),
        Reply::Other(other) => format!("Other: {}", entry(names, other)),
        Reply::Refused(refusal) => format!("Refused ({refusal})"),
        Reply::Want { wanted, declined } if declined.is_empty() => format!("Want {}", wanted.len()),
        Reply::Want { wanted, declined } => format!("Want {}, no keeper of {}", wanted.len(), declined.len()),
        Reply::Handed(others) => format!("Handed, {} others", others.len()),
    }
}

pub(super) fn event(names: &Names, event: &Event) -> String {
    match event {
        Event::Published { name, .. } => format!("published {}", name.text),
        Event::NotPublished { name, why, .. } => {
            let why = match why {
                NotPublished::Taken(other) => format!("there is {}", entry(names, other)),
                NotPublished::Refused(refusal) => refusal.to_string(),
                NotPublished::TooMany => "too many names".to_owned(),
                NotPublished::Silence => "too few answered".to_owned(),
            };
            format!("{} not published: {why}", name.text)
        }
        Event::Superseded { theirs } => format!("superseded by {}", entry(names, theirs)),
        Event::Conflict { theirs } => format!("CONFLICT with {}", entry(names, theirs)),
        Event::Found { name, outcome, .. } => match outcome {
            Found::Record(found) => format!("found {}", entry(names, found)),
            Found::Nobody => format!("nobody has {}", name.text),
            Found::Claimed(by) => format!("{} is claimed by {}", name.text, names.peer(by)),
            Found::Unsettled => format!("{} is not known yet", name.text),
        },
        Event::Claimed { name, outcome, .. } => match outcome {
            Claimed::Granted { .. } => format!("claim of {} granted", name.text),
            Claimed::Exists(found) => format!("claim refused, there is {}", entry(names, found)),
            Claimed::Taken(by) => format!("claim refused, {} is claimed by {}", name.text, names.peer(by)),
            Claimed::Unsettled => format!("claim of {}: not known yet", name.text),
        },
        Event::Nearest { peers, .. } => format!("the nearest are {}", names.peers(peers)),
    }
}

pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Publish { publication, .. } => format!("publishes {}", publication.name.text),
        Command::Forget { name } => format!("publishes {} no more", name.text),
        Command::Find { name, .. } => format!("looks for {}", name.text),
        Command::Claim { name, .. } => format!("claims {}", name.text),
        Command::Nearest { key, .. } => format!("asks who stands nearest to {key}"),
    }
}
