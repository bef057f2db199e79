//! `service proxy`: clients that know nothing of the service.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use crate::trio::{LIMIT, Provider, Trio};

/// A server that says its name to whoever connects, and keeps the connection.
fn server(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = writeln!(stream, "{name}");
            open.push(stream);
        }
    });
    address
}

struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(trio: &Trio, more: &str) -> Proxy {
        let line = format!("service proxy web --listen 127.0.0.1:0 {more}");
        let mut command = trio.homes[2].command(&line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let address = first.trim().strip_prefix("listening ").unwrap().to_owned();
        Proxy { child, address }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        BufReader::new(stream)
    }

    /// Who answers.
    fn who(&self) -> String {
        name(&mut self.connect())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn clients_are_held_connected_and_let_go() {
    let trio = Trio::start();
    // Nobody provides it yet: whoever comes waits.
    let proxy = Proxy::start(&trio, &format!("--hold {}s", LIMIT.as_secs()));
    let mut early = proxy.connect();
    let start = |node: usize, name: &'static str| -> Provider {
        trio.provider(node, name, &format!("--address {}", server(name)))
    };
    let mut a = start(0, "a");
    assert_eq!(name(&mut early), "a");
    let _b = start(1, "b");
    trio.settled(2, "a", 1, 0);
    assert_eq!(proxy.who(), "a");
    // The primary's server lives on, and so would the connection: it is closed all the same.
    a.kill();
    let mut rest = Vec::new();
    early.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    assert_eq!(proxy.who(), "b");
}

#[test]
fn no_more_are_held_than_may_be_and_none_for_ever() {
    let trio = Trio::start();
    let ended = |connection: &mut BufReader<TcpStream>| match connection.read_to_end(&mut Vec::new()) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    // There is no room for the second one, and the first one has its place.
    let proxy = Proxy::start(&trio, "--hold 1h --max 1");
    let mut first = proxy.connect();
    let mut second = proxy.connect();
    assert!(ended(&mut second));
    first.get_ref().set_nonblocking(true).unwrap();
    let still = first.read(&mut [0]);
    assert!(still.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    // Nobody comes.
    let proxy = Proxy::start(&trio, "--hold 1s");
    assert!(ended(&mut proxy.connect()));
}
