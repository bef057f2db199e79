//! Serving the API: on threads of its own, within bounds, until the node stops.
//!
//! None of the threads that turn the node carries a request: whatever clients send, and however much of it, takes nothing from the node's own work but
//! the orders that come of it. Connections are counted. Those of the kinds that last (event streams, and requests that wait for other nodes)
//! are bounded below the whole, so that there is always room for a short question; and whoever begins a request has to end it in time.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::connection::{Client, Stream};
use super::gate::Gate;
use super::request::{MAX_LEAVING, MAX_STREAMS, MAX_WAITING};
use super::server::{refusing, router};
use crate::local::Local;

/// Threads that serve requests: while one is busy, another one answers.
const THREADS: usize = 2;
/// Threads that read long bodies.
const MAX_BLOCKING: usize = 2;
/// Connections at most. One may be a stream, wait for other nodes, or be neither: a fifth is left for these.
const MAX_CONNECTIONS: usize = 640;
const _: () = assert!(MAX_STREAMS + MAX_WAITING + MAX_LEAVING + 128 <= MAX_CONNECTIONS);
/// Connections beyond these that are told so, at a time; further ones wait for their turn to hear it.
const MAX_REFUSED: usize = 32;
/// Connections at most that are done and whose clients still read their last answer; further ones are closed at once.
const MAX_PARTING: usize = 64;
/// How long a request's head may take to arrive, and how long a connection may be silent between two requests.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// … of a connection that will be refused.
const REFUSED_HEAD_TIME: Duration = Duration::from_secs(1);
/// Bytes of a request's head at most.
const MAX_HEAD: usize = 64 * 1024;
/// After the system has refused a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// So long what was sent over TCP may stay without acknowledgement: then the client's host is gone, and with it the client's holds.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Answers that are under way when the node stops get this long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Between two warnings of one kind.
const QUIET: Duration = Duration::from_secs(60);

/// The API while it is served; it ends with this.
#[derive(Debug)]
pub struct Serving {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// Where connections come from.
#[derive(Debug)]
pub enum Door {
    /// A Unix socket, whose file's mode says who comes in.
    Unix(std::os::unix::net::UnixListener),
    /// A TCP port, with its gate.
    Tcp(std::net::TcpListener, Gate),
}

/// The same, within a runtime.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Arc<Gate>),
}

impl Listener {
    fn open(door: Door) -> io::Result<Listener> {
        Ok(match door {
            Door::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
            Door::Tcp(listener, gate) => Listener::Tcp(TcpListener::from_std(listener)?, Arc::new(gate)),
        })
    }

    /// The next connection; over TCP with the gate, and the address at which it has reached the node.
    async fn accept(&self) -> io::Result<(Stream, Option<(Arc<Gate>, IpAddr)>)> {
        match self {
            Listener::Unix(listener) => Ok((listener.accept().await?.0.into(), None)),
            Listener::Tcp(listener, gate) => {
                let (stream, _) = listener.accept().await?;
                let reached = stream.local_addr()?.ip();
                // Without these it goes as well, only later.
                let _ = stream.set_nodelay(true);
                #[cfg(target_os = "linux")]
                let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
                Ok((stream.into(), Some((Arc::clone(gate), reached))))
            }
        }
    }
}

impl Serving {
    /// Begins to serve.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(doors: Vec<Door>, local: Arc<Local>) -> io::Result<Serving> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(MAX_BLOCKING)
            .thread_name("fatebound-api")
            .enable_all()
            .build()?;
        let listeners: Vec<Listener> = {
            let _inside = runtime.enter();
            doors.into_iter().map(Listener::open).collect::<io::Result<_>>()?
        };
        let (stop, stopped) = watch::channel(false);
        let router = router(local);
        let accepting = runtime.spawn(async move {
            // Each has its own places: whoever reaches a TCP port, token or not, takes none of the socket's.
            let accepting = listeners
                .into_iter()
                .map(|listener| accept(listener, Reception::new(router.clone()), stopped.clone()));
            futures::future::join_all(accepting).await;
        });
        Ok(Serving {
            runtime: Some(runtime),
            stop,
            accepting,
        })
    }

    /// Answers what was asked already, for a moment, and ends.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(LAST_ANSWERS, &mut self.accepting).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Stopped = watch::Receiver<bool>;

async fn asked_to_stop(stopped: &mut Stopped) {
    // Whoever could ask is gone: that is asked enough.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Takes connections until the node stops, and then waits for those that are left.
async fn accept(listener: Listener, reception: Reception, stopped: Stopped) {
    let mut ended = stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = asked_to_stop(&mut ended) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, gate)) => {
                    let admission = reception.admit().await;
                    connections.spawn(serve(stream, gate, admission, stopped.clone()));
                }
                Err(error) => {
                    reception.warnings.say(&format!("the system refuses API connections: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Decides how each connection is served.
struct Reception {
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    partings: Arc<Semaphore>,
    router: Router,
    refusing: Router,
    warnings: Warnings,
}

/// How a connection is served.
struct Admission {
    router: Router,
    head_time: Duration,
    refused: bool,
    partings: Arc<Semaphore>,
    place: Option<OwnedSemaphorePermit>,
}

impl Reception {
    fn new(router: Router) -> Reception {
        Reception {
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSED)),
            partings: Arc::new(Semaphore::new(MAX_PARTING)),
            router,
            refusing: refusing(MAX_CONNECTIONS),
            warnings: Warnings::default(),
        }
    }

    async fn admit(&self) -> Admission {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Admission {
                router: self.router.clone(),
                head_time: HEAD_TIME,
                refused: false,
                partings: Arc::clone(&self.partings),
                place: Some(place),
            };
        }
        self.warnings.say(&format!(
            "{MAX_CONNECTIONS} API connections are open: further ones are refused"
        ));
        Admission {
            router: self.refusing.clone(),
            head_time: REFUSED_HEAD_TIME,
            refused: true,
            partings: Arc::clone(&self.partings),
            place: Arc::clone(&self.refusals).acquire_owned().await.ok(),
        }
    }
}

/// Serves one connection to its end.
async fn serve(stream: Stream, gate: Option<(Arc<Gate>, IpAddr)>, admission: Admission, mut stopped: Stopped) {
    let client = Client::new(stream);
    let io = TokioIo::new(client.connection());
    let router = TowerToHyperService::new(admission.router);
    let caller = client.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let passed = gate
            .as_ref()
            .map_or(Ok(()), |(gate, reached)| gate.pass(&request, *reached));
        request.extensions_mut().insert(caller.clone());
        let answer = passed.map(|()| router.call(request.map(Body::new)));
        async move {
            match answer {
                Ok(answer) => answer.await,
                Err(problem) => Ok(problem.into_response()),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(admission.head_time)
        .keep_alive(!admission.refused)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    // A connection that ends badly is its client's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = asked_to_stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    // Whoever takes its time over its last answer keeps nobody else out.
    drop(admission.place);
    if let Ok(_parting) = admission.partings.try_acquire() {
        client.part().await;
    }
}

/// Warnings that would repeat themselves.
#[derive(Default)]
struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    /// Says it, unless something was said a moment ago.
    fn say(&self, words: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= QUIET) {
            *last = Some(Instant::now());
            tracing::warn!("{words}");
        }
    }
}
