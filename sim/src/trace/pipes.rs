//! Words about pipes.

use fatebound_machine::overlay::pipes::message::Frame;
use fatebound_machine::overlay::pipes::{Command, Event, Port};
use fatebound_machine::wire;

use super::names::Names;

pub(super) fn frame(frame: &[u8]) -> String {
    match wire::decode_pipe(frame) {
        Ok(Frame::Opening(opening)) => format!("pipe: Opening {}, {} ports", opening.number, opening.ports.len()),
        Ok(Frame::Part(part)) => {
            let whole = match (part.first, part.last) {
                (true, true) => "a body",
                (true, false) => "the begin of a body",
                (false, true) => "the end of a body",
                (false, false) => "some of a body",
            };
            format!("pipe: {}, {whole}, {} bytes", part.port, part.bytes.len())
        }
        Ok(Frame::Credit { port, bytes }) => format!("pipe: {port}, {bytes} bytes more"),
        Ok(Frame::Refused { port }) => format!("pipe: nobody at {port}"),
        Ok(Frame::Taken { bytes }) => format!("pipe: taken up to {bytes}"),
        Ok(Frame::Rest) => "pipe: Rest".to_owned(),
        Ok(Frame::Farewell(why)) => format!("pipe: Farewell ({why:?})"),
        Err(_) => "pipe: garbage".to_owned(),
    }
}

fn lost(lost: &[(Port, usize)]) -> String {
    let each = lost
        .iter()
        .map(|(port, count)| format!(", {count} of {port} may be lost"));
    each.collect()
}

pub(super) fn event(names: &Names, event: &Event) -> String {
    let of = |peer| names.peer(peer);
    match event {
        Event::Up { peer, .. } => format!("pipe with {} up", of(peer)),
        Event::Received { port, peer, body } => format!("{} bytes from {} at {port}", body.len(), of(peer)),
        Event::NotTaken { port, peer, why, .. } => format!("nothing for {} at {port}: {why}", of(peer)),
        Event::Room { port, peer } => format!("room for {} at {port}", of(peer)),
        Event::Refused { port, peer, lost } => format!("{} has nobody at {port}, {lost} may be lost", of(peer)),
        Event::Down { peer, cause, lost: all } => format!("pipe with {} down: {cause}{}", of(peer), lost(all)),
        Event::NotListening { port } => format!("not at {port}: too many"),
    }
}

pub(super) fn command(names: &Names, command: &Command) -> String {
    match command {
        Command::Listen { port } => format!("listens at {port}"),
        Command::Leave { port } => format!("leaves {port}"),
        Command::Send { port, peer, body } => format!("sends {} bytes to {} at {port}", body.len(), names.peer(peer)),
        Command::Read { port, peer } => format!("reads from {} at {port}", names.peer(peer)),
        Command::Close { port, peer } => format!("wants nothing more of {} at {port}", names.peer(peer)),
    }
}
