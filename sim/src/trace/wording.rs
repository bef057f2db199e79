//! The words between peers, as protocol.md calls them.

use fatebound_machine::fng::message::{Answer as GroupAnswer, Request};
use fatebound_machine::overlay::message::{Answer, Hello, LinkInstance, Message, OneShot};
use fatebound_machine::overlay::{JointSet, PeerId, Port, Versions};
use fatebound_machine::process_groups::message::Receipt;
use fatebound_machine::tree::{Operation, Tell};
use fatebound_machine::wire;

use super::names::{Names, SHOWN, some_of};
use super::{Kind, clusters, directory, names};
use crate::PeerIndex;

/// A frame of a session.
pub(super) fn frame(names: &mut Names, from: PeerIndex, bytes: &[u8]) -> (Kind, String) {
    let message = match wire::decode_frame(bytes) {
        Ok(message) => message,
        Err(error) => return (Kind::Sessions, format!("garbage: {error}")),
    };
    match message {
        Message::Hello(hello) => (Kind::Sessions, greeting(names, from, &hello)),
        Message::Ping(ping) => {
            let status = status(ping.acknowledged, ping.joint);
            (
                Kind::Pings,
                format!("Ping {} next in {} ms, {status}", ping.number, ping.next),
            )
        }
        Message::Pong(pong) => {
            let status = status(pong.acknowledged, pong.joint);
            (Kind::Pings, format!("Pong {} {status}", pong.number))
        }
        Message::Operation { number, body } => operation(names, number, &body),
        Message::Acknowledge { received } => (Kind::Pings, format!("Acknowledge {received}")),
        Message::Tell(body) => tell(names, &body),
        Message::Neighbours(peers) => (Kind::Upkeep, format!("Neighbours {}", names.peers(&peers))),
        Message::Routed(routed) => {
            let said = &routed.body;
            let (kind, inner) = one_shot(names, (said.from, said.to), &said.body);
            let way = format!("{}→{}", names.peer(&said.from), names.peer(&routed.target));
            let visited = names.tags(&routed.visited);
            (kind, format!("Routed {way} [{inner}] visited {visited}"))
        }
        Message::RoutedAnswer(routed) => {
            let said = &routed.body;
            let (kind, inner) = reply(names, (said.to, said.from), &said.body);
            let way = format!("{}→{}", names.peer(&said.from), names.peer(&said.to));
            (
                kind,
                format!("RoutedAnswer {way} [{inner}] trail {}", names.tags(&routed.trail)),
            )
        }
        Message::Goodbye(farewell) => (Kind::Links, format!("Goodbye {farewell:?}")),
    }
}

/// A one-shot question over a direct connection.
pub(super) fn question(names: &mut Names, (asker, asked): (PeerIndex, PeerIndex), bytes: &[u8]) -> (Kind, String) {
    match (
        wire::decode_question(bytes, Versions::OURS),
        names.id(asker),
        names.id(asked),
    ) {
        (Ok(question), Some(asker), Some(asked)) => one_shot(names, (asker, asked), &question.body),
        (Err(error), ..) => (Kind::Sessions, format!("garbage: {error}")),
        _ => (Kind::Sessions, "a question of strangers".to_owned()),
    }
}

/// The answer to one.
pub(super) fn answer(names: &mut Names, (asker, asked): (PeerIndex, PeerIndex), bytes: &[u8]) -> (Kind, String) {
    match (wire::decode_answer(bytes), names.id(asker), names.id(asked)) {
        (Ok(answer), Some(asker), Some(asked)) => reply(names, (asker, asked), &answer),
        (Err(error), ..) => (Kind::Sessions, format!("garbage: {error}")),
        _ => (Kind::Sessions, "an answer of strangers".to_owned()),
    }
}

/// Session numbers start at random and count up: their lower half is what a reader can tell apart.
fn greeting(names: &mut Names, from: PeerIndex, hello: &Hello) -> String {
    let small = |number: u64| number & 0xffff_ffff;
    let life = names.life(from, hello.incarnation);
    let open = names::join(hello.open.iter().map(|&number| small(number).to_string()));
    let beside = if open.is_empty() {
        open
    } else {
        format!(", beside {open}")
    };
    let resume = match hello.resume {
        Some(LinkInstance { smaller, larger }) => format!(
            "resume {}+{} received {}",
            small(smaller),
            small(larger),
            hello.received
        ),
        None => "new".to_owned(),
    };
    let wanted = if hello.wanted { "" } else { ", not wanted" };
    let place = if hello.joined { "" } else { ", no place yet" };
    format!(
        "Hello{life} session {}{beside}, {resume}{wanted}{place}",
        small(hello.number)
    )
}

fn status(acknowledged: u64, joint: JointSet) -> String {
    format!("acknowledges {acknowledged}, paths {}", joint.paths)
}

fn operation(names: &mut Names, number: u64, body: &[u8]) -> (Kind, String) {
    let text = match wire::decode(body) {
        Ok(Operation::Construct { path, visited, detours }) => {
            let spent = if detours < 3 {
                format!(" detours left {detours}")
            } else {
                String::new()
            };
            format!(
                "Construct {} visited {}{spent}",
                names.path(&path),
                names.tags(&visited)
            )
        }
        Ok(Operation::Confirm { path, hops }) => format!("Confirm {} hops {hops}", names.path(&path)),
        Ok(Operation::Release { paths }) => {
            let each: Vec<String> = paths
                .iter()
                .take(SHOWN)
                .map(|(path, cause)| format!("{} {cause:?}", names.path(path)))
                .collect();
            format!("Release {}", some_of(&each, ", ", paths.len()))
        }
        Ok(Operation::Fail { paths, notice }) => {
            let notice: Result<fatebound_machine::fng::message::Notice, _> = wire::decode(&notice);
            let why = notice.map_or("unreadable notice".to_owned(), |notice| {
                format!(
                    "{}: {}",
                    names.peer(&notice.originator),
                    names.rename(&notice.reason.to_string())
                )
            });
            format!("Fail {} ({why})", names.paths(&paths))
        }
        Err(error) => format!("garbage: {error}"),
    };
    (Kind::Paths, format!("{text}  ·{number}"))
}

fn tell(names: &mut Names, body: &[u8]) -> (Kind, String) {
    match wire::decode(body) {
        Ok(Tell::Suspected { paths }) => (Kind::Links, format!("Suspected {}", names.paths(&paths))),
        Ok(Tell::List {
            sent,
            received,
            part,
            parts,
            paths,
        }) => {
            let moment = format!("sent {sent} received {received}");
            let part = if parts == 1 {
                String::new()
            } else {
                format!(" part {part} of {parts}")
            };
            (Kind::Paths, format!("List {moment}{part}: {}", names.paths(&paths)))
        }
        Err(error) => (Kind::Paths, format!("garbage: {error}")),
    }
}

fn one_shot(names: &mut Names, (asker, asked): (PeerId, PeerId), question: &OneShot) -> (Kind, String) {
    match question {
        OneShot::Join { joiner, gathered } => {
            let joiner = names.peer(&joiner.record().peer);
            (
                Kind::Upkeep,
                format!("Join {joiner}, {} records gathered", gathered.len()),
            )
        }
        OneShot::Locate(peer) => (Kind::Upkeep, format!("Locate {}", names.peer(peer))),
        OneShot::Leaves(_) => (Kind::Upkeep, "Leaves".to_owned()),
        OneShot::Row(row) => (Kind::Upkeep, format!("Row {row}")),
        OneShot::Suspect(peer) => (Kind::Links, format!("Suspect {}", names.peer(peer))),
        OneShot::Nearest { key, question } => {
            let question = directory::question(names, question);
            (Kind::Names, format!("Nearest {key}: {question}"))
        }
        OneShot::Directory(question) => (Kind::Names, directory::question(names, question)),
        OneShot::Above {
            port: Port::PROCESS_GROUPS,
            body,
        } => match wire::decode(body) {
            Ok(packet) => (Kind::Views, clusters::packet(names, &packet)),
            Err(error) => (Kind::Views, format!("garbage: {error}")),
        },
        OneShot::Above { body, .. } => match wire::decode(body) {
            Ok(request) => (Kind::Groups, group_question(names, (asker, asked), &request)),
            Err(error) => (Kind::Groups, format!("garbage: {error}")),
        },
    }
}

fn group_question(names: &mut Names, (asker, asked): (PeerId, PeerId), request: &Request) -> String {
    match request {
        Request::Invite(invitation) => {
            let tag = invitation
                .tag
                .as_ref()
                .map_or(String::new(), |tag| format!(" tag {tag}"));
            let group = names.group(&invitation.group);
            let members = if invitation.members.is_empty() {
                "many".to_owned()
            } else {
                names.peers(&invitation.members)
            };
            format!("Invite {group} of {members}{tag}")
        }
        Request::Probe { groups } => {
            names.remember_question(asker, asked, groups.clone());
            let each: Vec<String> = groups.iter().take(SHOWN).map(|group| names.group(group)).collect();
            format!("Probe {}", some_of(&each, " ", groups.len()))
        }
        Request::NeedRepair { groups } => {
            names.remember_question(asker, asked, groups.iter().map(|(group, _)| *group).collect());
            let each = groups.iter().take(SHOWN).map(|(group, epoch)| match epoch {
                Some(epoch) => format!("{} epoch {epoch}", names.group(group)),
                None => format!("{} only asking", names.group(group)),
            });
            format!("NeedRepair {}", some_of(&each.collect::<Vec<_>>(), ", ", groups.len()))
        }
        Request::Fail(notice) => {
            let group = names.group(&notice.group);
            let reason = names.rename(&notice.reason.to_string());
            format!("Fail {group} ({}: {reason})", names.peer(&notice.originator))
        }
        Request::Join { group, observe, .. } => {
            names.remember_question(asker, asked, vec![*group]);
            let what = if *observe { "Observe" } else { "Join" };
            format!("{what} {}", names.group(group))
        }
        Request::Leave { group, .. } => {
            names.remember_question(asker, asked, vec![*group]);
            format!("Leave {}", names.group(group))
        }
        Request::Members { group, list, members } => {
            let group = names.group(group);
            let members = if members.is_empty() {
                "many".to_owned()
            } else {
                names.peers(members)
            };
            format!("Members {group} {list}: {members}")
        }
    }
}

fn reply(names: &mut Names, (asker, asked): (PeerId, PeerId), answer: &Answer) -> (Kind, String) {
    let body = match answer {
        Answer::Records(records) => {
            let peers = records.iter().map(|record| &record.record().peer);
            return (Kind::Upkeep, format!("Records of {}", names.peers(peers)));
        }
        Answer::Versions(speaks) => return (Kind::Sessions, format!("speaks {speaks}")),
        Answer::Unread => return (Kind::Groups, "Unread".to_owned()),
        Answer::Nothing => return (Kind::Upkeep, "Nothing".to_owned()),
        Answer::Nearest { around, reply } => {
            let around = names.peers(around.iter().map(|record| &record.record().peer));
            let reply = directory::reply(names, reply);
            return (Kind::Names, format!("{reply}, around {around}"));
        }
        Answer::Directory(reply) => return (Kind::Names, directory::reply(names, reply)),
        Answer::Above(body) => body,
    };
    let text = match wire::decode(body) {
        Ok(GroupAnswer::Accept) => "Accept".to_owned(),
        Ok(GroupAnswer::Decline(refusal)) => format!("Decline ({})", names.rename(&refusal.to_string())),
        Ok(GroupAnswer::Noted) => "Noted".to_owned(),
        Ok(GroupAnswer::Left) => "Left".to_owned(),
        Ok(GroupAnswer::Status(status)) => {
            let mut parts = Vec::new();
            for (word, places) in [
                ("alive", status.alive),
                ("unknown", status.unknown),
                ("closed", status.closed),
                ("parted", status.parted),
            ] {
                if !places.is_empty() {
                    parts.push(format!("{word} {}", names.places(asker, asked, &places)));
                }
            }
            format!(
                "Status {}",
                if parts.is_empty() {
                    "of nothing".to_owned()
                } else {
                    parts.join(", ")
                }
            )
        }
        // Answers do not say for which layer they are; the two have no encoding in common.
        Err(_) if wire::decode::<Receipt>(body).is_ok() => return (Kind::Views, "Receipt".to_owned()),
        Err(error) => format!("garbage: {error}"),
    };
    (Kind::Groups, text)
}
