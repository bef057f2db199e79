//! Hosts of their own on one machine: network namespaces around a bridge, whose packets can be lost.
//!
//! Every host has one address, a firewall of its own, and nothing else; what crosses from one to another crosses a network. All faults
//! are packets dropped where they *arrive*, as a cable does it: nobody is told. There is no delay beyond the machine's own.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Set where every test has to run: what is missing is then an error and not a reason to skip.
const REQUIRE: &str = "FATEBOUND_TESTS_REQUIRE_ALL";

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
    hub: String,
    hosts: Vec<Host>,
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
        match Hosts::build(count) {
            Ok(hosts) => Some(hosts),
            Err(why) if std::env::var_os(REQUIRE).is_some() => panic!("{REQUIRE} is set, and {why}"),
            Err(why) => {
                eprintln!("skipped: {why} (network namespaces need root, `ip` and `nft`)");
                None
            }
        }
    }

    fn build(count: usize) -> Result<Hosts, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("fb{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut hosts = Hosts {
            hub: format!("{prefix}-hub"),
            hosts: Vec::new(),
        };
        hosts.add_hub()?;
        for index in 0..count.min(200) {
            let host = Host {
                namespace: format!("{prefix}-{index}"),
                address: Ipv4Addr::new(10, 77, 0, 1 + index as u8),
            };
            hosts.hosts.push(host.clone());
            hosts.add_host(index, &host)?;
        }
        Ok(hosts)
    }

    fn add_hub(&self) -> Result<(), String> {
        let hub = &self.hub;
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add hub type bridge"))?;
        ip(&format!("-n {hub} link set hub up"))
    }

    /// A namespace, a cable to the hub, and a firewall that lets everything through.
    fn add_host(&self, index: usize, host: &Host) -> Result<(), String> {
        let (hub, namespace, address) = (&self.hub, &host.namespace, host.address);
        ip(&format!("netns add {namespace}"))?;
        ip(&format!(
            "-n {hub} link add port{index} type veth peer name eth0 netns {namespace}"
        ))?;
        ip(&format!("-n {hub} link set port{index} master hub up"))?;
        ip(&format!("-n {namespace} link set lo up"))?;
        ip(&format!("-n {namespace} link set eth0 up"))?;
        ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
        host.firewall(FIREWALL)
    }

    /// A host.
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// Nothing from one host arrives at the other any more.
    #[track_caller]
    pub fn cut_one_way(&self, from: usize, to: usize) {
        let lost = self.hosts[from].address;
        self.hosts[to].must(&format!("add element inet fatebound lost {{ {lost} }}"));
    }

    /// Nothing arrives between these two any more.
    #[track_caller]
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nothing arrives between the two sets any more.
    #[track_caller]
    pub fn partition(&self, one: &[usize], other: &[usize]) {
        for &a in one {
            for &b in other {
                self.cut(a, b);
            }
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

impl Drop for Hosts {
    fn drop(&mut self) {
        let namespaces = self.hosts.iter().map(|host| &host.namespace).chain([&self.hub]);
        for namespace in namespaces {
            // One that was never made is as good as gone.
            let _ = ip(&format!("netns del {namespace}"));
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
