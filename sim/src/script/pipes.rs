//! What a script orders of pipes.

use fatebound_machine::Command;
use fatebound_machine::overlay::pipes::{self, Port};

use super::stage::Play;
use super::words::Words;

impl Play {
    /// `listen 0 3 at 7`: these peers are at this port from now on.
    pub(super) fn listen(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let peers = words.peers()?;
        let port = port(words)?;
        for peer in peers {
            self.known(peer)?;
            self.world.command(peer, Command::Pipe(pipes::Command::Listen { port }));
        }
        Ok(())
    }

    /// `body 0 3 at 7 bytes 5000 [times 4]`: p0 sends bodies to p3, as many as are taken.
    pub(super) fn body(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (from, to) = (self.peer(words)?, self.peer(words)?);
        let port = port(words)?;
        words.keyword("bytes")?;
        let bytes: usize = words.number("a number of bytes")?;
        let peer = self.world.id(to);
        for _ in 0..times(words)? {
            let body = vec![0; bytes];
            self.world
                .command(from, Command::Pipe(pipes::Command::Send { port, peer, body }));
        }
        Ok(())
    }

    /// `read 3 0 at 7 [times 4]`: p3 reads what has come from p0.
    pub(super) fn read(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (at, from) = (self.peer(words)?, self.peer(words)?);
        let port = port(words)?;
        let peer = self.world.id(from);
        for _ in 0..times(words)? {
            self.world
                .command(at, Command::Pipe(pipes::Command::Read { port, peer }));
        }
        Ok(())
    }
}

fn port(words: &mut Words<'_>) -> Result<Port, String> {
    words.keyword("at")?;
    Ok(Port(words.number("a port")?))
}

fn times(words: &mut Words<'_>) -> Result<usize, String> {
    match words.take("times") {
        true => words.number("how often"),
        false => Ok(1),
    }
}
