//! `service proxy`: clients are connected to the primary, whoever it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::model::{ProviderInfo, ServiceInfo};
use super::path;
use crate::cli::ProxyArgs;
use crate::client::Api;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::Output;
use crate::signals::Signals;

/// How often the node is asked where the primary is.
const LOOK: Duration = Duration::from_millis(200);
/// How long connecting to the primary may take, before it is tried anew.
const CONNECT: Duration = Duration::from_secs(2);
/// Before it is tried anew, or after the system has refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the primary is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    provider: ProviderInfo,
    /// `None`: whoever was asked does not know it yet.
    epoch: Option<String>,
}

impl Place {
    /// Whether this is another primacy than that one.
    fn replaces(&self, earlier: &Place) -> bool {
        let epochs = self.epoch.as_ref().zip(earlier.epoch.as_ref());
        self.provider != earlier.provider || epochs.is_some_and(|(now, before)| now != before)
    }
}

type Places = watch::Receiver<Option<Place>>;

/// `fatebound service proxy`
pub async fn proxy(args: &ProxyArgs) -> Outcome {
    let path = path(&args.name)?;
    let mut signals = Signals::new();
    let api = Api::of(&args.client)?;
    let failed = |error: std::io::Error| Failure::error(format!("cannot listen at {}: {error}", args.listen));
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let listening = listener.local_addr().map_err(failed)?;
    Output::new(args.client.json).line(&format!("listening {listening}"))?;
    let (place, places) = watch::channel(None);
    tokio::select! {
        () = follow(&api, &path, &place) => Ok(Exit::Done),
        () = accept(&listener, args, &places) => Ok(Exit::Done),
        exit = signals.next() => Ok(exit),
    }
}

/// Keeps to where the primary is. A node that does not answer is asked again: what it said last holds meanwhile, until a connection shows that it does not.
async fn follow(api: &Api, path: &str, place: &watch::Sender<Option<Place>>) {
    let mut said = String::new();
    loop {
        match api.get::<ServiceInfo>(path).await {
            Ok(service) => {
                let now = place_of(&service);
                let address = now.as_ref().map(|now| now.provider.address.as_str());
                if let Some(address) = address.filter(|address| !address.contains(':')) {
                    let words =
                        format!("the primary has announced no address that can be connected to, but {address:?}");
                    say(&mut said, words);
                }
                place.send_if_modified(|place| {
                    let news = *place != now;
                    *place = now;
                    news
                });
            }
            Err(error) => say(&mut said, error.to_string()),
        }
        sleep(LOOK).await;
    }
}

/// Says it, unless it was the last thing said.
fn say(said: &mut String, words: String) {
    if *said != words {
        complain(format_args!("fatebound: {words}"));
        *said = words;
    }
}

fn place_of(service: &ServiceInfo) -> Option<Place> {
    let provider = service.primary.clone()?;
    let epoch = service.epoch.clone();
    Some(Place { provider, epoch })
}

async fn accept(listener: &TcpListener, args: &ProxyArgs, places: &Places) {
    let room = Arc::new(Semaphore::new(usize::try_from(args.max).unwrap_or(1)));
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // Without room, the connection is closed by being dropped.
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    let (places, hold) = (places.clone(), args.hold);
                    tokio::spawn(async move {
                        let _permit = permit;
                        carry(client, places, hold).await;
                    });
                }
            }
            Err(error) => {
                complain(format_args!("fatebound: the system refuses connections: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Carries one connection to its end, or until its primary is another one.
async fn carry(mut client: TcpStream, mut places: Places, hold: Duration) {
    let end = Instant::now() + hold;
    let Ok(Some((mut server, place))) = timeout_at(end, connect(&mut places)).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = places.wait_for(|now| now.as_ref().is_some_and(|now| now.replaces(&place))) => {}
    }
}

/// Connects to the primary, whoever it is by then. `None`: this program ends.
async fn connect(places: &mut Places) -> Option<(TcpStream, Place)> {
    loop {
        let place = places.wait_for(Option::is_some).await.ok()?.clone()?;
        if let Ok(Ok(server)) = timeout(CONNECT, TcpStream::connect(&place.provider.address)).await {
            return Some((server, place));
        }
        sleep(PAUSE).await;
    }
}
