//! What `exec` and its guardian say to each other: one JSON object a line, over a pair of sockets. When either has gone the other one's end closes, and this is
//! how it knows.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::cli::Containment;

/// The longest line: a command line has at most 2 MiB, and each of its bytes takes four at most.
const LONGEST: usize = 16 * 1024 * 1024;

/// From `exec` to the guardian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first one: run this.
    Run(Plan),
    /// Send the command's process group a signal.
    Signal(i32),
    /// Ask everything to end.
    Terminate,
    /// End everything.
    Kill,
    /// The command goes on after a stop.
    Continue {
        /// With the terminal's keyboard.
        foreground: bool,
    },
}

/// What the guardian is to run, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Whether it gets the terminal's keyboard.
    pub foreground: bool,
    /// How it is kept together; never `auto`.
    pub containment: Containment,
    /// The control group made for it.
    pub cgroup: Option<PathBuf>,
    /// A file that goes with it.
    pub remove: Option<PathBuf>,
}

/// From the guardian to `exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The command runs, or is about to.
    Started {
        /// Its process id as the guardian sees it, which is that of its process group.
        pid: i32,
    },
    /// It cannot be run: nothing was.
    NotStarted(String),
    /// It was stopped by this signal.
    Stopped(i32),
    /// It has ended, by itself or because it was told to. What has come of it may be left.
    Ended(End),
    /// Nothing of it is left; the guardian ends.
    Clear,
    /// These were killed and are there all the same; the guardian ends.
    Left(Vec<i32>),
}

/// How a command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Hands the guardian a descriptor, in a message of its own: it is to be the command's standard input.
pub fn hand_over(socket: &UnixStream, descriptor: impl AsFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes what [`hand_over`] has sent.
pub fn take_over(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut taken = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    taken
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no standard input came"))
}

/// The guardian's end.
#[derive(Debug)]
pub struct Control {
    socket: UnixStream,
    bytes: Vec<u8>,
}

impl Control {
    /// This end.
    pub fn new(socket: UnixStream) -> Control {
        Control {
            socket,
            bytes: Vec::new(),
        }
    }

    /// What can be waited for.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Says this; that `exec` has gone is found out by reading.
    pub fn report(&mut self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.socket.write_all(&line);
        }
    }

    /// Waits for more to read, and takes it.
    ///
    /// # Errors
    /// `exec` has gone, or says what nobody understands: nothing more can come.
    pub fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 65_536];
        let length = loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.bytes.extend_from_slice(&chunk[..length]);
        if self.bytes.len() > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// The next whole order of what was read.
    ///
    /// # Errors
    /// It is none.
    pub fn next(&mut self) -> io::Result<Option<Order>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Waits for the next order.
    ///
    /// # Errors
    /// As [`Control::read`] and [`Control::next`].
    pub fn wait(&mut self) -> io::Result<Order> {
        loop {
            if let Some(order) = self.next()? {
                return Ok(order);
            }
            self.read()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn orders_arrive_whatever_bytes_a_command_line_has() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let plan = Plan {
            command: vec![OsString::from_vec(vec![b'a', 0xff, b'\n'])],
            foreground: true,
            containment: Containment::Tree,
            cgroup: None,
            remove: Some(PathBuf::from("/x")),
        };
        let orders = [Order::Run(plan), Order::Signal(10), Order::Kill];
        let mut control = Control::new(theirs);
        for order in &orders {
            let mut line = serde_json::to_vec(order).unwrap();
            line.push(b'\n');
            (&ours).write_all(&line).unwrap();
        }
        for order in orders {
            assert_eq!(control.wait().unwrap(), order);
        }
        drop(ours);
        assert!(control.wait().is_err());
    }

    #[test]
    fn a_descriptor_is_handed_over() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        hand_over(&ours, &writer).unwrap();
        drop(writer);
        let taken = take_over(&theirs).unwrap();
        io::PipeWriter::from(taken).write_all(b"hello").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
