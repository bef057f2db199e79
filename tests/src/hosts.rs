//! Hosts of their own on one machine: network namespaces around a bridge, or around a line that delays, whose packets can be lost.
//!
//! Every host has one address, a firewall of its own, and nothing else; what crosses from one to another crosses a network. All faults
//! are packets dropped where they *arrive*, as a cable does it: nobody is told. Over the bridge there is no delay beyond the machine's own.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::delay_line::DelayLine;
use crate::{Cluster, Node, program};

/// Set where every test has to run: what is missing is then an error and not a reason to skip.
const REQUIRE: &str = "FATEBOUND_TESTS_REQUIRE_ALL";

/// The most hosts of one network.
const MOST: usize = 200;

/// What each host's firewall can do: nothing arrives from those in `lost`, and `chance` has the rule that loses by chance.
const FIREWALL: &str = "table inet fatebound {
    set lost { type ipv4_addr; }
    chain chance { }
    chain input {
        type filter hook input priority 0; policy accept;
        iif lo accept
        ip saddr @lost drop
        jump chance
    }
}
";

/// Some hosts on a network of their own; gone with their value.
pub struct Hosts {
    /// What the names of their namespaces begin with.
    prefix: String,
    between: Between,
    hosts: Vec<Host>,
}

/// What is between the hosts.
enum Between {
    /// A bridge, in a namespace of its own.
    Bridge,
    Line(DelayLine),
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name of its network namespace.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Hosts {
    /// So many hosts, at most 200, all of which reach each other. `None`, and a word on standard error, where the rights or the tools for it
    /// are missing.
    ///
    /// # Panics
    /// Instead of `None`, when `FATEBOUND_TESTS_REQUIRE_ALL` is set.
    pub fn new(count: usize) -> Option<Hosts> {
        unless_required(Hosts::build(count, Between::Bridge))
    }

    /// The same, and a packet from the first of two hosts reaches the second after so long, in order and never earlier.
    ///
    /// # Panics
    /// As [`Hosts::new`].
    pub fn with_delay(count: usize, delay: impl Fn(usize, usize) -> Duration) -> Option<Hosts> {
        let line = DelayLine::new(count.min(MOST), delay).map_err(|error| format!("there are no tun devices: {error}"));
        unless_required(line.and_then(|line| Hosts::build(count, Between::Line(line))))
    }

    fn build(count: usize, between: Between) -> Result<Hosts, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut hosts = Hosts {
            prefix: format!("fb{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)),
            between,
            hosts: Vec::new(),
        };
        if let Between::Bridge = hosts.between {
            hosts.add_hub()?;
        }
        for index in 0..count.min(MOST) {
            hosts.add_host(index)?;
        }
        Ok(hosts)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn add_hub(&self) -> Result<(), String> {
        let hub = self.hub();
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add hub type bridge"))?;
        ip(&format!("-n {hub} link set hub up"))
    }

    /// A namespace, a way to the others, and a firewall that lets everything through.
    fn add_host(&mut self, index: usize) -> Result<(), String> {
        let host = Host {
            namespace: format!("{}-{index}", self.prefix),
            address: Ipv4Addr::new(10, 77, 0, 1 + index as u8),
        };
        self.hosts.push(host.clone());
        let (namespace, address) = (&host.namespace, host.address);
        ip(&format!("netns add {namespace}"))?;
        self.plug_in(index, &host)?;
        ip(&format!("-n {namespace} link set lo up"))?;
        ip(&format!("-n {namespace} link set eth0 up"))?;
        ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
        host.firewall(FIREWALL)
    }

    /// Gives the host its `eth0`.
    fn plug_in(&self, index: usize, host: &Host) -> Result<(), String> {
        let namespace = &host.namespace;
        match &self.between {
            Between::Bridge => {
                let hub = self.hub();
                ip(&format!(
                    "-n {hub} link add port{index} type veth peer name eth0 netns {namespace}"
                ))?;
                ip(&format!("-n {hub} link set port{index} master hub up"))
            }
            Between::Line(line) => {
                line.has_address(index, host.address);
                let device = line.device(index);
                ip(&format!("link set {device} netns {namespace} name eth0"))
            }
        }
    }

    /// A host.
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// Nothing from one host arrives at the other any more.
    #[track_caller]
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.cut_off(&[from], &[to]);
    }

    /// Nothing arrives between these two any more.
    #[track_caller]
    pub fn cut(&self, one: usize, other: usize) {
        self.partition(&[one], &[other]);
    }

    /// Nothing arrives between the two sets any more.
    #[track_caller]
    pub fn partition(&self, one: &[usize], other: &[usize]) {
        self.cut_off(one, other);
        self.cut_off(other, one);
    }

    #[track_caller]
    fn cut_off(&self, from: &[usize], to: &[usize]) {
        let lost: Vec<String> = from.iter().map(|&from| self.hosts[from].address.to_string()).collect();
        for &to in to {
            self.hosts[to].must(&format!("add element inet fatebound lost {{ {} }}", lost.join(", ")));
        }
    }

    /// The host is alone: its process runs on, and nothing gets in or out.
    #[track_caller]
    pub fn isolate(&self, index: usize) {
        let others: Vec<usize> = (0..self.hosts.len()).filter(|&other| other != index).collect();
        self.partition(&[index], &others);
    }

    /// Everything arrives again.
    #[track_caller]
    pub fn heal(&self) {
        for host in &self.hosts {
            host.must("flush set inet fatebound lost; flush chain inet fatebound chance");
        }
    }

    /// From now on each packet that reaches any host is lost with this chance, in per cent.
    #[track_caller]
    pub fn lose(&self, per_cent: u8) {
        for host in &self.hosts {
            host.must(&format!(
                "add rule inet fatebound chance numgen random mod 100 < {per_cent} drop"
            ));
        }
    }

    /// What arrives at a host from another beyond so many bytes a second is lost: to TCP, a slow link.
    #[track_caller]
    pub fn slow(&self, from: usize, to: usize, bytes_per_second: u32) {
        let from = self.hosts[from].address;
        self.hosts[to].must(&format!(
            "add rule inet fatebound chance ip saddr {from} limit rate over {bytes_per_second} bytes/second burst {bytes_per_second} bytes drop"
        ));
    }

    /// The TCP connections that are open between two hosts now carry nothing any more, in neither direction, and nobody is told. New ones
    /// work.
    #[track_caller]
    pub fn silence_connections(&self, one: usize, other: usize) {
        for (near, far) in self.connections(one, other) {
            self.drop_ports(other, one, &far, &near);
            self.drop_ports(one, other, &near, &far);
        }
    }

    /// The TCP connections that are open between two hosts now break, and only the second notices: what it sends next is answered by a
    /// reset, and the first hears nothing. Returns once it has noticed; new connections work.
    #[track_caller]
    pub fn break_at(&self, one: usize, other: usize) {
        let broken = self.connections(one, other);
        let from = self.hosts[other].address;
        for (near, far) in &broken {
            self.hosts[one].must(&format!(
                "add rule inet fatebound chance ip saddr {from} tcp sport {far} tcp dport {near} reject with tcp reset"
            ));
        }
        let limit = Instant::now() + Duration::from_secs(30);
        while self
            .established(other, one)
            .iter()
            .any(|(far, near)| broken.contains(&(near.clone(), far.clone())))
        {
            assert!(Instant::now() < limit, "nothing was sent from {other} to {one}");
        }
    }

    #[track_caller]
    fn connections(&self, one: usize, other: usize) -> Vec<(String, String)> {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.established(one, other);
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < limit, "no connection between {one} and {other}");
        }
    }

    /// The ports of the open connections, of the first host and of the second.
    fn established(&self, one: usize, other: usize) -> Vec<(String, String)> {
        let address = self.hosts[other].address.to_string();
        let found = self.hosts[one].output("ss", &["-Htn", "state", "established", "dst", &address]);
        found.lines().filter_map(ports).collect()
    }

    fn drop_ports(&self, from: usize, to: usize, source: &str, destination: &str) {
        let from = self.hosts[from].address;
        self.hosts[to].must(&format!(
            "add rule inet fatebound chance ip saddr {from} tcp sport {source} tcp dport {destination} drop"
        ));
    }

    /// The host's address becomes another one; connections to the old one hang.
    #[track_caller]
    pub fn move_to(&mut self, index: usize, address: Ipv4Addr) {
        let host = &mut self.hosts[index];
        let (namespace, old) = (host.namespace.clone(), host.address);
        let done = ip(&format!("-n {namespace} addr del {old}/24 dev eth0"))
            .and_then(|()| ip(&format!("-n {namespace} addr add {address}/24 dev eth0")));
        assert_eq!(done, Ok(()));
        host.address = address;
        if let Between::Line(line) = &self.between {
            line.has_address(index, address);
        }
    }
}

impl Host {
    /// A command that runs this program on the host. The process has the pid of its child: it can be stopped and killed like any other.
    pub fn command(&self, program: &Path) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace]
            .map(String::from)
            .into_iter()
            .chain([program.display().to_string()])
            .collect()
    }

    #[track_caller]
    fn must(&self, rules: &str) {
        assert_eq!(self.firewall(rules), Ok(()));
    }

    fn firewall(&self, rules: &str) -> Result<(), String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "nft", "-f", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`ip` cannot be run: {error}"))?;
        let mut input = child.stdin.take().expect("piped");
        input.write_all(rules.as_bytes()).map_err(|error| error.to_string())?;
        drop(input);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        succeeded(&output, rules)
    }

    #[track_caller]
    fn output(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace, program])
            .args(args)
            .output()
            .expect("`ip` can be run");
        assert_eq!(succeeded(&output, program), Ok(()));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Node {
    /// Starts a node on a host of its own, and waits until it has joined.
    #[track_caller]
    pub fn start_on(host: &Host, directory: &Path, bootstrap: &[&str], more: &[&str]) -> Node {
        let command = host.command(program());
        let listen = format!("/ip4/{}/tcp/7101", host.address);
        let mut node = Node::start_as(command, &listen, directory, bootstrap, more);
        // A node that listens everywhere may name its loopback address first.
        node.address = format!("{listen}/p2p/{}", node.peer);
        node
    }
}

impl Cluster {
    /// Starts one node on each of these hosts.
    #[track_caller]
    pub fn start_on(hosts: &Hosts, count: usize, more: &[&str]) -> Cluster {
        let mut cluster = Cluster::start(0);
        for index in 0..count {
            cluster.add_on(hosts.host(index), more);
        }
        cluster
    }

    /// Starts one more node, on a host of its own.
    #[track_caller]
    pub fn add_on(&mut self, host: &Host, more: &[&str]) {
        let (directory, bootstrap) = self.next();
        let bootstrap: Vec<&str> = bootstrap.iter().map(String::as_str).collect();
        self.nodes.push(Node::start_on(host, &directory, &bootstrap, more));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let hub = self.hub();
        for namespace in self.hosts.iter().map(|host| &host.namespace).chain([&hub]) {
            // One that was never made is as good as gone.
            let _ = ip(&format!("netns del {namespace}"));
        }
    }
}

fn unless_required(hosts: Result<Hosts, String>) -> Option<Hosts> {
    match hosts {
        Ok(hosts) => Some(hosts),
        Err(why) if std::env::var_os(REQUIRE).is_some() => panic!("{REQUIRE} is set, and {why}"),
        Err(why) => {
            eprintln!("skipped: {why} (network namespaces need root, `ip`, `nft` and, for delays, `/dev/net/tun`)");
            None
        }
    }
}

/// The ports of both ends in a line of `ss -Htn`: `0 0 10.77.0.1:7101 10.77.0.2:40112`.
fn ports(line: &str) -> Option<(String, String)> {
    let mut ends = line.split_whitespace().skip(2);
    let mut port = || ends.next()?.rsplit(':').next().map(String::from);
    Some((port()?, port()?))
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .map_err(|error| format!("`ip` cannot be run: {error}"))?;
    succeeded(&output, &format!("ip {arguments}"))
}

fn succeeded(output: &Output, what: &str) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{what}` failed: {}", words.trim()))
}
