//! `fatebound node`: the long-running part.
//!
//! Start the peer, say where it listens, serve the local API, and stop in an orderly way when asked: the groups of this node fail at
//! once and the other nodes hear a goodbye, so that nobody waits for a time limit.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fatebound::IdentityError;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::api::address::ApiAddress;
use crate::api::gate::Gate;
use crate::api::serving::{Door, Serving};
use crate::api::socket::{self, Socket, SocketFile};
use crate::api::token::Token;
use crate::cli::{LogFormat, NodeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::local::{Local, Start};
use crate::paths;
use crate::signals::Signals;

/// `fatebound node`
pub async fn node(args: &NodeArgs) -> Outcome {
    let mut signals = Signals::of_node();
    let start = start(args)?;
    let gate = gate(args)?;
    // The socket may live in it.
    make(&start.data_dir)?;
    let Doors { doors, ports, files } = doors(args, gate.as_ref()).await?;
    let local = tokio::select! {
        local = Local::start(start) => Arc::new(local?),
        exit = signals.next() => return Err(Failure::new(exit, "stopped while starting")),
    };
    let announcer = Announcer {
        format: args.log_format,
    };
    for address in local.listening() {
        announcer.say(
            "listening",
            &json!({"address": address}),
            &format!("listening {address}"),
        );
    }
    for port in ports {
        let address = format!("http://{port}");
        announcer.say("api", &json!({"address": address}), &format!("api {address}"));
    }
    let serving = Serving::start(doors, Arc::clone(&local)).map_err(Failure::error)?;
    let asked = run(&local, args, &announcer, &mut signals).await;
    tokio::select! {
        () = local.shutdown() => {}
        again = signals.next() => return Ok(again),
    }
    serving.end().await;
    drop(files);
    if asked {
        Ok(Exit::Done)
    } else {
        Err(Failure::error("the node has stopped by itself"))
    }
}

/// Where the API is served, bound before anything else begins.
#[derive(Default)]
struct Doors {
    doors: Vec<Door>,
    /// The TCP ports among them.
    ports: Vec<SocketAddr>,
    /// Sockets' files: each disappears with its guard, however this ends.
    files: Vec<SocketFile>,
}

async fn doors(args: &NodeArgs, gate: Option<&Gate>) -> Result<Doors, Failure> {
    let mut doors = Doors::default();
    let default = || paths::room_for_default_socket().map(|path| vec![ApiAddress::Unix(path)]);
    let places = match args.api.is_empty() {
        true => default()?,
        false => args.api.clone(),
    };
    for place in places {
        match &place {
            ApiAddress::Unix(path) => {
                let Socket { listener, file } = socket::bind(path).map_err(Failure::error)?;
                doors.doors.push(Door::Unix(listener));
                doors.files.push(file);
            }
            ApiAddress::Tcp { host, port } => {
                let cannot = |error| Failure::error(format!("cannot serve the API at {place}: {error}"));
                let addresses = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(cannot)?;
                let listener = listen(addresses).map_err(cannot)?;
                doors.ports.push(listener.local_addr().map_err(cannot)?);
                doors.doors.extend(gate.map(|gate| Door::Tcp(listener, gate.clone())));
            }
        }
    }
    Ok(doors)
}

/// What is asked of requests over TCP; none where there is no such port.
fn gate(args: &NodeArgs) -> Result<Option<Gate>, Failure> {
    if !args.api.iter().any(|place| matches!(place, ApiAddress::Tcp { .. })) {
        return Ok(None);
    }
    let Some(path) = &args.api_token_file else {
        let words = "an API over TCP wants a token: name a file with --api-token-file";
        return Err(Failure::new(Exit::Usage, words));
    };
    let token = Token::read(path).map_err(Failure::error)?;
    Ok(Some(Gate::new(token, &args.api_host)))
}

/// Listens at the first of these addresses that can be had, ready for a runtime to take it over.
fn listen(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addresses.collect::<Vec<_>>().as_slice())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn start(args: &NodeArgs) -> Result<Start, Failure> {
    Ok(Start {
        data_dir: data_dir(args.data_dir.clone())?,
        profile: args.profile.into(),
        listen: args.listen.clone(),
        bootstrap: args.bootstrap.clone(),
        advertise: args.advertise.clone(),
        network: args.network.clone(),
        multicast: args.multicast.as_deref().map(crate::multicast::read).transpose()?,
    })
}

fn make(data_dir: &Path) -> Result<(), Failure> {
    paths::make_private(data_dir).map_err(|source| {
        let path = data_dir.to_owned();
        Failure::error(IdentityError::Directory { path, source })
    })
}

/// The data directory that the user means.
pub fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    given.map_or_else(paths::default_data_dir, Ok)
}

/// Until somebody wants the node to stop; false if it stopped by itself.
async fn run(local: &Local, args: &NodeArgs, announcer: &Announcer, signals: &mut Signals) -> bool {
    let ready = async {
        if local.joined().await {
            announcer.say("ready", &json!({"peer": local.peer()}), "ready");
        }
        local.stopped().await;
    };
    tokio::select! {
        () = ready => return false,
        _ = signals.next() => tracing::info!("stopping: asked by a signal"),
        () = stdin_ended(args.stop_with_stdin) => tracing::info!("stopping: standard input has ended"),
    }
    true
}

async fn stdin_ended(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (ended, wait) = oneshot::channel::<()>();
    // A thread of its own: reading cannot be taken back, and the process does not wait for it.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ended);
    });
    drop(wait.await);
}

/// What scripts wait for: on standard output as text, and as JSON on standard error if the log is JSON.
struct Announcer {
    format: LogFormat,
}

impl Announcer {
    fn say(&self, event: &str, fields: &Value, line: &str) {
        // Nobody may be listening; the node goes on all the same.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        if self.format == LogFormat::Json {
            // In one piece: standard error has no buffer, and half an object is none.
            let line = format!("{}\n", announcement(event, fields));
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

fn announcement(event: &str, fields: &Value) -> Value {
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let mut object = json!({"timestamp": time, "level": "INFO", "event": event});
    if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
        object.extend(fields.clone());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_an_object_with_its_event() {
        let object = announcement("listening", &json!({"address": "/ip4/127.0.0.1/tcp/1/p2p/x"}));
        assert_eq!(object["event"], "listening");
        assert_eq!(object["address"], "/ip4/127.0.0.1/tcp/1/p2p/x");
        assert_eq!(object["level"], "INFO");
    }
}
