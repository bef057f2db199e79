//! Pipes in the machine: frames become bytes, and whoever is to be reached has addresses.

use fatebound_overlay::pipes::{self, PipeId};
use fatebound_overlay::{Command as Order, Multiaddr, PeerId, Time};

use crate::machine::Machine;
use crate::wire;
use crate::{Output, PipeInput, PipeOutput};

impl Machine {
    pub(crate) fn on_pipe(&mut self, now: Time, input: PipeInput, out: &mut Vec<Output>) {
        let input = match input {
            PipeInput::Opened { pipe, peer, opener } => pipes::Input::Opened {
                pipe,
                peer,
                opener,
                life: self.known_life(&peer),
            },
            PipeInput::Failed { peer } => pipes::Input::Failed { peer },
            PipeInput::Received { pipe, frame } => read(pipe, &frame),
            PipeInput::Written { pipe } => pipes::Input::Written { pipe },
            PipeInput::Closed { pipe } => pipes::Input::Closed { pipe },
        };
        self.run_pipes(now, input, out);
    }

    pub(crate) fn run_pipes(&mut self, now: Time, input: pipes::Input, out: &mut Vec<Output>) {
        let mut outputs = Vec::new();
        self.pipes.handle(now, input, &mut outputs);
        for output in outputs {
            self.lift_pipes(output, out);
        }
    }

    fn lift_pipes(&mut self, output: pipes::Output, out: &mut Vec<Output>) {
        match output {
            pipes::Output::Open { peer } => self.find_for_pipe(peer, out),
            pipes::Output::Send { pipe, frame } => {
                let frame = wire::encode(&frame);
                self.sent.frames += 1;
                self.sent.bytes += frame.len() as u64;
                out.push(Output::Pipe(PipeOutput::Send { pipe, frame }));
            }
            pipes::Output::Close { pipe } => out.push(Output::Pipe(PipeOutput::Close { pipe })),
            pipes::Output::Event(event) => self.on_pipe_event(event, out),
        }
    }

    /// Whoever is neither linked nor known by any address is located first.
    fn find_for_pipe(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        let addresses = self.overlay.addresses(&peer);
        if addresses.is_empty() && self.known_life(&peer).is_none() {
            self.located_for_pipes.insert(peer);
            self.order(Order::Locate { peer });
        } else {
            self.open_pipe(peer, addresses, out);
        }
    }

    pub(crate) fn open_pipe(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, out: &mut Vec<Output>) {
        out.push(Output::Pipe(PipeOutput::Open { peer, addresses }));
    }

    /// The life that a link shows.
    fn known_life(&self, peer: &PeerId) -> Option<u64> {
        let links = self.overlay.neighbours();
        let link = links.into_iter().find(|link| link.peer == *peer);
        link.map(|link| link.incarnation)
    }

    /// What there is of pipes.
    pub fn pipes(&self) -> &pipes::Pipes {
        &self.pipes
    }
}

/// "Malformed bytes close the pipe, not the link" (protocol.md §3.2, L2).
fn read(pipe: PipeId, frame: &[u8]) -> pipes::Input {
    match wire::decode_pipe(frame) {
        Ok(frame) => pipes::Input::Received { pipe, frame },
        Err(error) => {
            tracing::warn!(pipe = pipe.0, %error, "closing a pipe that brought garbage");
            pipes::Input::Garbage { pipe }
        }
    }
}
