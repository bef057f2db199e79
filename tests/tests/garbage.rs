//! A peer that says nonsense, with and without authentication: its stream is closed with a logged reason, and the node goes on as if
//! nothing had been.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fatebound_machine::overlay::message::{Hello, LinkTimes, Message, PeerRecord, Ping};
use fatebound_machine::overlay::record::SignedRecord;
use fatebound_machine::overlay::{JointSet, Keypair, Multiaddr};
use fatebound_machine::tree::Operation;
use fatebound_machine::wire::{self, MAX_FRAME};
use fatebound_tests::{Cluster, Node, Resident, resident_kib};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{SwarmEvent, dial_opts::DialOpts};
use libp2p::{PeerId, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Control, OpenStreamError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const LINK: StreamProtocol = StreamProtocol::new("/fatebound/link/1");
const ASK: StreamProtocol = StreamProtocol::new("/fatebound/ask/1");

/// An authenticated peer with a mind of its own.
struct Stranger {
    keypair: Keypair,
    control: Control,
    target: PeerId,
}

impl Stranger {
    async fn dial(node: &Node) -> Stranger {
        let keypair = Keypair::generate_ed25519();
        let mut swarm = SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
        let address: Multiaddr = node.address.parse().expect("a multiaddress");
        let target: PeerId = node.peer.parse().expect("a peer id");
        let control = swarm.behaviour().new_control();
        swarm
            .dial(DialOpts::peer_id(target).addresses(vec![address]).build())
            .expect("a dial");
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Stranger {
            keypair,
            control,
            target,
        }
    }

    /// A greeting that would be taken, if what follows were.
    fn hello(&self) -> Vec<u8> {
        let record = PeerRecord {
            peer: self.keypair.public().to_peer_id(),
            addresses: Vec::new(),
            sequence: 1,
        };
        framed(&wire::encode(&Message::Hello(Box::new(Hello {
            versions: fatebound_machine::overlay::Versions::OURS,
            network: "fatebound".into(),
            incarnation: 7,
            number: 1 << 32,
            open: Vec::new(),
            resume: None,
            received: 0,
            share: [7; 16],
            wanted: true,
            joined: true,
            times: LinkTimes::default(),
            record: SignedRecord::sign(record, &self.keypair),
            neighbours: Vec::new(),
            more: Vec::new(),
        }))))
    }

    /// Opens a stream, writes the bytes, and reads until the node closes it.
    async fn say(&mut self, protocol: StreamProtocol, bytes: &[u8]) {
        let mut stream = self.control.open_stream(self.target, protocol).await.expect("a stream");
        // The node may close while we still write.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut length = body.len();
    let mut frame = Vec::new();
    while length >= 0x80 {
        frame.push(length as u8 | 0x80);
        length >>= 7;
    }
    frame.push(length as u8);
    frame.extend(body);
    frame
}

fn ping() -> Message {
    Message::Ping(Ping {
        number: 1,
        next: 0,
        wanted: true,
        joined: true,
        acknowledged: u64::MAX,
        joint: JointSet::default(),
    })
}

#[track_caller]
fn lives(node: &mut Node, other: &Node) {
    assert!(node.is_running());
    let group = node.create(&[other]);
    let check = node.run(&["group", "check", &group]);
    assert_eq!(check.code, 0, "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_a_link_closes_it_and_nothing_else() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let group = node.create(&[&cluster.nodes[0]]);
    let mut random = vec![0; 5000];
    StdRng::seed_from_u64(1).fill_bytes(&mut random);
    let oversized = [&[0xff, 0xff, 0xff, 0x7f][..], &random].concat();
    let too_long = framed(&vec![0; MAX_FRAME + 1]);
    let before_hello = framed(&wire::encode(&ping()));
    let malformed_inside = framed(&wire::encode(&Message::Operation {
        number: 1,
        body: vec![0xff; 20],
    }));
    let cases: [(&str, &[u8]); 5] = [
        ("random bytes", &framed(&random)),
        ("an oversized length", &oversized),
        ("a frame over the limit", &too_long),
        ("a ping before any hello", &before_hello),
        ("malformed words inside", &malformed_inside),
    ];
    for (what, bytes) in cases {
        let mut stranger = Stranger::dial(&node).await;
        let before = node.log().lines().count();
        tokio::time::timeout(Duration::from_secs(30), stranger.say(LINK, bytes))
            .await
            .unwrap_or_else(|_| panic!("the node kept the stream open after {what}"));
        let log = node.log();
        let new: Vec<_> = log.lines().skip(before).collect();
        assert!(
            new.iter().any(|line| line.contains("clos")),
            "no reason was logged for {what}: {new:?}"
        );
    }
    let check = node.run(&["group", "check", &group]);
    assert_eq!(check.code, 0, "{check:?}");
    lives(&mut node, &cluster.nodes[0]);
}

/// Well formed, and against the rules: after a greeting that is taken.
#[tokio::test(flavor = "multi_thread")]
async fn well_formed_nonsense_closes_the_link_and_nothing_else() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let release = wire::encode(&Operation::Release { paths: Vec::new() });
    let out_of_turn = wire::encode(&Message::Operation {
        number: 7,
        body: release,
    });
    let cases: [(&str, Vec<u8>); 2] = [
        ("a second hello", Stranger::dial(&node).await.hello()),
        ("an operation out of turn", framed(&out_of_turn)),
    ];
    for (what, nonsense) in cases {
        let mut stranger = Stranger::dial(&node).await;
        let before = node.log().lines().count();
        let said = [stranger.hello(), nonsense].concat();
        tokio::time::timeout(Duration::from_secs(30), stranger.say(LINK, &said))
            .await
            .unwrap_or_else(|_| panic!("the node kept the stream open after {what}"));
        let log = node.log();
        let new: Vec<_> = log.lines().skip(before).collect();
        assert!(
            new.iter().any(|line| line.contains("clos")),
            "no reason was logged for {what}: {new:?}"
        );
    }
    lives(&mut node, &cluster.nodes[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_frame_and_a_malformed_question_do_no_harm() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let mut stranger = Stranger::dial(&node).await;
    let whole = framed(&wire::encode(&ping()));
    let mut stream = stranger
        .control
        .open_stream(stranger.target, LINK)
        .await
        .expect("a stream");
    stream.write_all(&whole[..whole.len() / 2]).await.expect("half a frame");
    stream.close().await.expect("the end of it");
    stranger.say(ASK, &framed(&[0xff; 64])).await;
    lives(&mut node, &cluster.nodes[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_refused_by_name() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let mut stranger = Stranger::dial(&node).await;
    let opened = stranger
        .control
        .open_stream(stranger.target, StreamProtocol::new("/fatebound/link/999"))
        .await;
    assert!(
        matches!(opened, Err(OpenStreamError::UnsupportedProtocol(_))),
        "{opened:?}"
    );
    lives(&mut node, &cluster.nodes[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_under_a_flood_of_nonsense() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let mut stranger = Stranger::dial(&node).await;
    let mut rng = StdRng::seed_from_u64(2);
    let mut flood = async |count| {
        for _ in 0..count {
            let mut body = vec![0; 60_000];
            rng.fill_bytes(&mut body);
            stranger.say(LINK, &framed(&body)).await;
        }
    };
    flood(100).await;
    let before = resident_kib(node.pid(), Resident::Now);
    flood(1000).await;
    let after = resident_kib(node.pid(), Resident::Now);
    assert!(
        after < before + 32 * 1024,
        "{before} KiB before, {after} KiB after 60 MB of nonsense"
    );
    lives(&mut node, &cluster.nodes[0]);
}

#[test]
fn bytes_that_are_no_libp2p_at_all_do_no_harm() {
    let mut cluster = Cluster::start(2);
    let mut node = cluster.nodes.remove(0);
    let port = node.address.split('/').nth(4).expect("/ip4/…/tcp/<port>");
    let mut random = vec![0; 10_000];
    for seed in 0..20 {
        StdRng::seed_from_u64(seed).fill_bytes(&mut random);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the port is open");
        // The node may hang up while we still talk.
        let _ = stream.write_all(&random);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    lives(&mut node, &cluster.nodes[0]);
}
