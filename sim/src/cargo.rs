//! What travels between two processes on a connection.

use crate::carriage::End;
use crate::observe::{Signal, Words};

/// One message on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Cargo {
    /// The dialler's half of the security handshake, for this attempt of a dial.
    Shake { dial: End, attempt: u32 },
    /// The acceptor's half: from here on the dialler knows whom it has.
    Shaken { dial: End, attempt: u32 },
    /// A new stream for a session, whose number at the opener is this.
    Open { dial: End, opener: End },
    /// It is accepted.
    Opened { dial: End, opener: End, acceptor: End },
    /// A frame of a session.
    Frame { to: End, back: End, frame: Vec<u8> },
    /// A session's stream is over.
    Closed { to: End },
    /// A new stream for a one-shot exchange.
    Ask { from: End },
    /// It is accepted.
    Asking { to: End },
    /// The question.
    Request { from: End, body: Vec<u8> },
    /// The answer.
    Response { to: End, body: Vec<u8> },
    /// A new stream for a pipe, whose number at the opener is this.
    PipeOpen { dial: End, opener: End },
    /// It is accepted.
    PipeOpened { dial: End, opener: End, acceptor: End },
    /// A frame of a pipe.
    PipeFrame { to: End, back: End, frame: Vec<u8> },
    /// A pipe's stream is over.
    PipeClosed { to: End },
    /// The connection is over.
    HangUp,
}

impl Cargo {
    /// Its size: what a peer wrote, or about what libp2p says.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Cargo::Frame { frame, .. } | Cargo::PipeFrame { frame, .. } => frame.len(),
            Cargo::Request { body, .. } | Cargo::Response { body, .. } => body.len(),
            Cargo::Shake { .. } | Cargo::Shaken { .. } => 200,
            Cargo::Open { .. } | Cargo::Opened { .. } | Cargo::Ask { .. } | Cargo::Asking { .. } => 60,
            Cargo::PipeOpen { .. } | Cargo::PipeOpened { .. } => 60,
            Cargo::Closed { .. } | Cargo::PipeClosed { .. } | Cargo::HangUp => 0,
        }
    }

    /// What an onlooker sees of it, if it means anything to one.
    pub(crate) fn words(&self) -> Option<Words> {
        match self {
            Cargo::Frame { frame, .. } => Some(Words::Frame(frame.clone())),
            Cargo::Request { body, .. } => Some(Words::Request(body.clone())),
            Cargo::Response { body, .. } => Some(Words::Response(body.clone())),
            Cargo::Open { .. } => Some(Words::Host(Signal::Open)),
            Cargo::Opened { .. } => Some(Words::Host(Signal::Accept)),
            Cargo::Closed { .. } => Some(Words::Host(Signal::Close)),
            Cargo::PipeFrame { frame, .. } => Some(Words::Pipe(frame.clone())),
            Cargo::PipeOpen { .. } => Some(Words::Host(Signal::OpenPipe)),
            Cargo::PipeOpened { .. } => Some(Words::Host(Signal::Accept)),
            Cargo::PipeClosed { .. } => Some(Words::Host(Signal::ClosePipe)),
            Cargo::HangUp => Some(Words::Host(Signal::HangUp)),
            Cargo::Shake { .. } | Cargo::Shaken { .. } | Cargo::Ask { .. } | Cargo::Asking { .. } => None,
        }
    }
}
