//! Three networks and six hosts in network namespaces, as in Fig. 5 of the issue, and sockets inside them.
//!
//! ```text
//!        A 10.81.0.0/24          router          B 10.82.0.0/24
//!   ──┬──────┬──────┬────────────────────────────┬──────┬──────┬──
//!    n1     n2     n3                            n4     n5     n6
//!     └───────────── C 10.83.0.0/24 ─────────────┘
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fatebound_tests::{Host, Node};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tempfile::TempDir;

/// Set where every test has to run: what is missing is then an error and not a reason to skip.
const REQUIRE: &str = "FATEBOUND_TESTS_REQUIRE_ALL";

/// A condition that holds on a good day within a second or two.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 5, 5, 5);
pub const PORT: u16 = 5000;
pub const RULES: &str = "[[rule]]\ngroups = \"239.5.5.5\"\nports = 5000\n";

/// Each host's interfaces: the number of the network, and the address there.
const HOSTS: [&[(usize, u8)]; 6] = [
    &[(0, 1), (2, 1)],
    &[(0, 2)],
    &[(0, 3)],
    &[(1, 4), (2, 4)],
    &[(1, 5)],
    &[(1, 6)],
];

pub fn network(index: usize) -> String {
    format!("10.8{}.0.0/24", index + 1)
}

fn address(network: usize, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 81 + network as u8, 0, host)
}

/// The namespaces; gone with their value.
pub struct Lab {
    prefix: String,
    directory: TempDir,
    /// Nodes by the number of their host, 1 to 6.
    pub nodes: BTreeMap<usize, Node>,
}

impl Lab {
    /// `None`, and a word on standard error, where the rights or the tools are missing.
    pub fn figure_5() -> Option<Lab> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let lab = Lab {
            prefix: format!("fbm{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)),
            directory: TempDir::new().expect("a temporary directory"),
            nodes: BTreeMap::new(),
        };
        match lab.build() {
            Ok(()) => Some(lab),
            Err(why) if std::env::var_os(REQUIRE).is_some() => panic!("{REQUIRE} is set, and {why}"),
            Err(why) => {
                eprintln!("skipped: {why} (network namespaces need root and `ip`)");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let wires = self.namespace(0);
        ip(&format!("netns add {wires}"))?;
        for network in 0..3 {
            ip(&format!("-n {wires} link add name sw{network} type bridge"))?;
            ip(&format!("-n {wires} link set sw{network} up"))?;
        }
        let router = self.namespace(7);
        ip(&format!("netns add {router}"))?;
        for network in 0..2 {
            self.plug_in(7, network, network, 254)?;
        }
        self.set(7, "ip_forward", "1")?;
        for (index, interfaces) in HOSTS.iter().enumerate() {
            let host = index + 1;
            let namespace = self.namespace(host);
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            for (at, &(network, last)) in interfaces.iter().enumerate() {
                self.plug_in(host, at, network, last)?;
            }
            // What comes from one network through another is no forgery here.
            self.set(host, "conf/all/rp_filter", "0")?;
            let gateway = address(interfaces[0].0, 254);
            ip(&format!("-n {namespace} route add default via {gateway}"))?;
        }
        Ok(())
    }

    /// Gives a host an interface on a network.
    fn plug_in(&self, host: usize, at: usize, network: usize, last: u8) -> Result<(), String> {
        let (wires, namespace) = (self.namespace(0), self.namespace(host));
        ip(&format!(
            "-n {wires} link add p{host}x{at} type veth peer name e{at} netns {namespace}"
        ))?;
        ip(&format!("-n {wires} link set p{host}x{at} master sw{network} up"))?;
        ip(&format!("-n {namespace} link set e{at} up"))?;
        let address = address(network, last);
        ip(&format!("-n {namespace} addr add {address}/24 dev e{at}"))?;
        self.set(host, &format!("conf/e{at}/rp_filter"), "0")
    }

    fn set(&self, host: usize, key: &str, value: &str) -> Result<(), String> {
        let namespace = self.namespace(host);
        let shell = format!("echo {value} > /proc/sys/net/ipv4/{key}");
        run(
            Command::new("ip").args(["netns", "exec", &namespace, "sh", "-c", &shell]),
            &shell,
        )
    }

    fn namespace(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Starts a node on a host; the first is whom the others join through.
    #[track_caller]
    pub fn start(&mut self, host: usize) {
        let (network, last) = HOSTS[host - 1][0];
        let rules = self.directory.path().join("rules.toml");
        std::fs::write(&rules, RULES).expect("a file");
        let bootstrap: Vec<String> = self.nodes.values().take(2).map(|node| node.address.clone()).collect();
        let bootstrap: Vec<&str> = bootstrap.iter().map(String::as_str).collect();
        let place = Host {
            namespace: self.namespace(host),
            address: address(network, last),
        };
        let directory = self.directory.path().join(format!("node-{host}"));
        let more = ["--multicast", rules.to_str().expect("a path")];
        let node = Node::start_on(&place, &directory, &bootstrap, &more);
        self.nodes.insert(host, node);
        // Age decides who leads: the next one comes when this one has its seats.
        until("the node has its seats", || {
            let status = self.status(host);
            let networks = status["networks"].as_array().expect("networks");
            networks.len() == HOSTS[host - 1].len() && networks.iter().all(|network| network["role"] != "joining")
        });
    }

    /// All six, in an order in which n2, n6 and n4 lead A, B and C, and n2 all of it; returns when all is carried.
    #[track_caller]
    pub fn start_all(&mut self) {
        for host in [2, 6, 4, 1, 3, 5] {
            self.start(host);
        }
        self.leads(&[(2, 0), (6, 1), (4, 2)]);
    }

    /// Waits until these hosts lead these networks, and have been taken in.
    #[track_caller]
    pub fn leads(&self, leaders: &[(usize, usize)]) {
        for &(host, at) in leaders {
            until(&format!("n{host} leads {}", network(at)), || {
                let status = self.status(host);
                let networks = status["networks"].as_array().expect("networks");
                let found = networks.iter().find(|found| found["network"] == network(at).as_str());
                found.is_some_and(|found| found["role"] == "leader" && found["tunnel"] == "open")
            });
        }
    }

    #[track_caller]
    pub fn status(&self, host: usize) -> Value {
        self.nodes[&host].json(&["multicast", "status"])
    }

    /// A socket of a host, made by the closure on a thread inside its namespace.
    fn inside<T: Send>(&self, host: usize, make: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.namespace(host));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace = File::open(&path).expect("the namespace");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("the right to enter");
                make()
            });
            thread.join().expect("a socket")
        })
    }

    /// Listens on one interface of a host.
    pub fn listen(&self, host: usize, at: usize) -> Listener {
        let socket = self.inside(host, || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
            let name = format!("e{at}");
            socket.set_reuse_address(true).expect("an option");
            socket.bind_device(Some(name.as_bytes())).expect("a device");
            socket
                .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())
                .expect("a port");
            let index = InterfaceIndexOrAddress::Index(index(&name));
            socket.join_multicast_v4_n(&GROUP, &index).expect("the group");
            // A burst waits for a thread that has no time: whatever the system's limit is.
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20).expect("an option");
            UdpSocket::from(socket)
        });
        Listener::start(socket)
    }

    /// A socket that sends to the group from the first interface of a host.
    pub fn sender(&self, host: usize, ttl: u32) -> Sender {
        let socket = self.inside(host, || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
            socket.bind_device(Some(b"e0")).expect("a device");
            socket
                .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4444)).into())
                .expect("a port");
            socket.set_multicast_ttl_v4(ttl).expect("an option");
            socket.set_multicast_loop_v4(true).expect("an option");
            UdpSocket::from(socket)
        });
        Sender {
            socket,
            name: host,
            next: 0,
        }
    }

    /// Reads whole packets, IP headers included, from one interface of a host.
    pub fn tap(&self, host: usize, at: usize) -> Socket {
        self.inside(host, || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a raw socket");
            let name = format!("e{at}");
            socket.bind_device(Some(name.as_bytes())).expect("a device");
            let index = InterfaceIndexOrAddress::Index(index(&name));
            socket.join_multicast_v4_n(&GROUP, &index).expect("the group");
            socket.set_read_timeout(Some(LIMIT)).expect("an option");
            socket
        })
    }
}

fn index(name: &str) -> u32 {
    let all = if_addrs::get_if_addrs().expect("interfaces");
    let found = all.iter().find(|interface| interface.name == name);
    found.and_then(|interface| interface.index).expect("an index")
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.nodes.clear();
        for host in 0..=7 {
            // One that was never made is as good as gone.
            let _ = ip(&format!("netns del {}", self.namespace(host)));
        }
    }
}

/// What was heard: who sent it, and its number.
pub type Heard = (usize, u32);

/// Hears until it is dropped.
pub struct Listener {
    heard: Arc<Mutex<Vec<(Heard, SocketAddr)>>>,
}

impl Listener {
    fn start(socket: UdpSocket) -> Listener {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::downgrade(&heard);
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("an option");
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Some(all) = all.upgrade() {
                if let Ok((length, from)) = socket.recv_from(&mut buffer)
                    && length >= 8
                {
                    let word =
                        |at: usize| u32::from_be_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
                    all.lock().expect("a list").push(((word(0) as usize, word(4)), from));
                }
            }
        });
        Listener { heard }
    }

    /// How often each was heard.
    pub fn counts(&self) -> BTreeMap<Heard, usize> {
        let mut counts = BTreeMap::new();
        for (heard, _) in self.heard.lock().expect("a list").iter() {
            *counts.entry(*heard).or_default() += 1;
        }
        counts
    }

    /// From where it came.
    pub fn sources(&self, sender: usize) -> Vec<SocketAddr> {
        let heard = self.heard.lock().expect("a list");
        let mut sources: Vec<SocketAddr> = heard
            .iter()
            .filter(|((from, _), _)| *from == sender)
            .map(|(_, from)| *from)
            .collect();
        sources.dedup();
        sources
    }

    /// What was not heard of the first so many of a sender, and what was heard more than once.
    pub fn lacks(&self, sender: usize, count: u32) -> (Vec<u32>, Vec<u32>) {
        let counts = self.counts();
        let times = |number: &u32| counts.get(&(sender, *number)).copied().unwrap_or(0);
        let missing = (0..count).filter(|number| times(number) == 0).collect();
        let twice = (0..count).filter(|number| times(number) > 1).collect();
        (missing, twice)
    }
}

/// Sends numbered datagrams.
pub struct Sender {
    socket: UdpSocket,
    pub name: usize,
    /// How many there were.
    pub next: u32,
}

impl Sender {
    pub fn send(&mut self, size: usize) {
        let mut payload = (self.name as u32).to_be_bytes().to_vec();
        payload.extend_from_slice(&self.next.to_be_bytes());
        payload.resize(size.max(8), b'x');
        self.socket
            .send_to(&payload, SocketAddrV4::new(GROUP, PORT))
            .expect("it is sent");
        self.next += 1;
    }
}

/// Waits until this holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    run(
        Command::new("ip").args(arguments.split(' ')),
        &format!("ip {arguments}"),
    )
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("`ip` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{what}` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
