//! A slow wire between nodes of one process: all their connections take it, first in, first out, in each direction.
//!
//! Each node announces an address of the wire instead of its own. What comes in there is cut into packets, which wait in the one queue of their
//! direction, as in a router before a slow line, and come out at its rate.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fatebound::{Multiaddr, Node, Profile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Bytes of a packet.
const PACKET: usize = 1448;

/// A packet, when it came, and where it goes.
struct Waiting {
    since: Instant,
    bytes: Vec<u8>,
    to: mpsc::UnboundedSender<Vec<u8>>,
}

/// Both directions of the wire.
pub struct Wire {
    lines: [mpsc::Sender<Waiting>; 2],
    longest: Arc<Mutex<Duration>>,
    nodes: Mutex<usize>,
}

impl Wire {
    /// Bytes per second in each direction, and the packets that wait before it at most; who has more has to wait.
    pub fn new(rate: u32, packets: usize) -> Wire {
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let line = || {
            let (packets_in, packets) = mpsc::channel(packets);
            tokio::spawn(line(rate, packets, longest.clone()));
            packets_in
        };
        Wire {
            lines: [line(), line()],
            longest: longest.clone(),
            nodes: Mutex::new(0),
        }
    }

    /// The longest that a packet has waited.
    pub fn longest_queue(&self) -> Duration {
        *self.longest.lock().expect("no panic")
    }

    /// The first node, and where it is to be found behind the wire.
    pub async fn node(&self) -> (Node, Multiaddr) {
        self.start(None).await
    }

    /// A node that joins there.
    pub async fn node_at(&self, bootstrap: &Multiaddr) -> (Node, Multiaddr) {
        self.start(Some(bootstrap)).await
    }

    async fn start(&self, bootstrap: Option<&Multiaddr>) -> (Node, Multiaddr) {
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let number = door.local_addr().expect("bound").port();
        let announced: Multiaddr = format!("/ip4/127.0.0.1/tcp/{number}").parse().expect("an address");
        let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
        let mut builder = Node::builder()
            .profile(Profile::Lan)
            .listen(listen)
            .announce(announced.clone());
        if let Some(bootstrap) = bootstrap {
            builder = builder.bootstrap(bootstrap.clone());
        }
        let node = builder.start().await.expect("a free port");
        let target = port_of(&node.listen_addresses()[0]);
        // Whoever dials the second node is the first, and the other way round.
        let second = std::mem::replace(&mut *self.nodes.lock().expect("no panic"), 1) == 1;
        let [there, back] = self.lines.clone();
        let lines = if second { [there, back] } else { [back, there] };
        tokio::spawn(relay(door, target, lines));
        (node, announced)
    }
}

fn port_of(address: &Multiaddr) -> u16 {
    let text = address.to_string();
    let number = text.split('/').nth(4).and_then(|number| number.parse().ok());
    number.expect("a TCP address")
}

/// What waits comes out at this rate.
async fn line(rate: u32, mut packets: mpsc::Receiver<Waiting>, longest: Arc<Mutex<Duration>>) {
    let mut free = Instant::now();
    while let Some(packet) = packets.recv().await {
        free = free.max(Instant::now()) + Duration::from_secs(packet.bytes.len() as u64) / rate;
        tokio::time::sleep_until(free).await;
        {
            let mut longest = longest.lock().expect("no panic");
            *longest = longest.max(packet.since.elapsed());
        }
        let _ = packet.to.send(packet.bytes);
    }
}

async fn relay(door: TcpListener, target: u16, lines: [mpsc::Sender<Waiting>; 2]) {
    while let Ok((near, _)) = door.accept().await {
        let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else {
            continue;
        };
        for stream in [&near, &far] {
            stream.set_nodelay(true).expect("TCP");
        }
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let [there, back] = lines.clone();
        tokio::spawn(carry(near_in, there, far_out));
        tokio::spawn(carry(far_in, back, near_out));
    }
}

async fn carry(mut from: OwnedReadHalf, line: mpsc::Sender<Waiting>, mut to: OwnedWriteHalf) {
    let (out, mut arrived) = mpsc::unbounded_channel::<Vec<u8>>();
    let writing = async move {
        while let Some(bytes) = arrived.recv().await {
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    let reading = async move {
        let mut buffer = [0; PACKET];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let waiting = Waiting {
                since: Instant::now(),
                bytes: buffer[..count].to_vec(),
                to: out.clone(),
            };
            if line.send(waiting).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(writing, reading);
}
