//! Fig. 5 of the issue on real networks: six nodes in three networks, each a process in a namespace of its own, with real datagrams.
//!
//! Without the rights to make network namespaces the tests are skipped, and say so; with `FATEBOUND_TESTS_REQUIRE_ALL=1` they fail.

#![cfg(target_os = "linux")]

#[path = "wires/lab.rs"]
mod lab;

use std::io::Read;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lab::{LIMIT, Lab, Listener, Sender, network, until};

/// Between two datagrams of a sender: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// Who listens where: on A natively for n3's, and behind a leader each for all else.
struct Ears {
    /// Each with the senders whom it has to hear.
    ears: Vec<(&'static str, Listener, &'static [usize])>,
}

impl Ears {
    fn open(lab: &Lab) -> Ears {
        let ears: Vec<(&str, Listener, &[usize])> = vec![
            ("n3 on A", lab.listen(3, 0), &[5]),
            ("n1 on A", lab.listen(1, 0), &[3, 5]),
            ("n5 on B", lab.listen(5, 0), &[3]),
            ("n4 on B", lab.listen(4, 0), &[3, 5]),
            ("n1 on C", lab.listen(1, 1), &[3, 5]),
            ("n4 on C", lab.listen(4, 1), &[3, 5]),
        ];
        Ears { ears }
    }

    /// Everybody has heard everything once.
    #[track_caller]
    fn all_once(&self, senders: &[Sender]) {
        let end = Instant::now() + LIMIT;
        for sender in senders {
            for (name, ear, hears) in &self.ears {
                if !hears.contains(&sender.name) {
                    continue;
                }
                while !ear.lacks(sender.name, sender.next).0.is_empty() && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(20));
                }
                let (missing, twice) = ear.lacks(sender.name, sender.next);
                let of = format!("of {} datagrams of n{}, {name}", sender.next, sender.name);
                assert!(twice.is_empty(), "{of} has heard twice: {twice:?}");
                assert!(missing.is_empty(), "{of} has not heard: {missing:?}");
            }
        }
    }
}

/// Six nodes, their listeners, and two senders whose datagrams arrive.
fn begin() -> Option<(Lab, Ears, [Sender; 2])> {
    let mut lab = Lab::figure_5()?;
    lab.start_all();
    let ears = Ears::open(&lab);
    // A socket has joined when its call returns; what is behind it, the bridge, has by the time that something comes through.
    let senders = [lab.sender(3, 16), lab.sender(5, 16)];
    Some((lab, ears, senders))
}

fn talk(senders: &mut [Sender], count: u32) {
    for _ in 0..count {
        for sender in &mut *senders {
            sender.send(100);
        }
        std::thread::sleep(PACE);
    }
}

#[test]
fn everybody_hears_everybody_once_as_it_was_sent() {
    let Some((lab, ears, mut senders)) = begin() else {
        return;
    };
    let mut tap = lab.tap(1, 1);
    talk(&mut senders, 200);
    ears.all_once(&senders);
    // On C the source is still n3 of A or n5 of B, with the port that it sent from, and one hop less.
    let mut packet = [0; 2000];
    let length = tap.read(&mut packet).expect("a packet on C");
    let source = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
    assert!(
        [Ipv4Addr::new(10, 81, 0, 3), Ipv4Addr::new(10, 82, 0, 5)].contains(&source),
        "{source}"
    );
    assert_eq!(
        (packet[8], length, u16::from_be_bytes([packet[20], packet[21]])),
        (15, 128, 4444)
    );
    let far = &ears.ears[4].1;
    assert_eq!(far.sources(3), ["10.81.0.3:4444".parse().expect("an address")]);
    // The star: n2 has a tunnel to each leader, and one to itself.
    let expected = [(0, 2), (1, 6), (2, 4)]
        .map(|(at, host)| (format!("{:?}", network(at)), format!("{:?}", lab.nodes[&host].peer)));
    until("the star stands", || {
        let status = lab.status(2);
        let tunnels = status["tunnels"].as_array().expect("tunnels").iter();
        let tunnels = tunnels.map(|tunnel| (tunnel["network"].to_string(), tunnel["peer"].to_string()));
        status["is_system_leader"] == true && tunnels.eq(expected.iter().cloned())
    });
}

#[test]
fn long_datagrams_arrive_whole_and_spent_ones_do_not() {
    let Some((lab, ears, mut senders)) = begin() else {
        return;
    };
    for size in [8, 1472, 1473, 8000, 60_000] {
        senders[0].send(size);
    }
    ears.all_once(&senders);
    let mut short = lab.sender(6, 1);
    short.send(100);
    until("the spent datagram is counted", || {
        lab.status(6)["networks"][0]["dropped"]["ttl"] == 1
    });
    assert!(ears.ears[0].1.lacks(6, 1).1.is_empty());
    assert_eq!(ears.ears[0].1.lacks(6, 1).0, [0]);
}

#[test]
fn leader_and_system_leader_are_killed_and_nothing_is_lost_or_comes_twice() {
    let Some((mut lab, ears, mut senders)) = begin() else {
        return;
    };
    talk(&mut senders, 400);
    lab.nodes.get_mut(&6).expect("n6").kill();
    talk(&mut senders, 400);
    lab.leads(&[(4, 1)]);
    talk(&mut senders, 400);
    lab.nodes.get_mut(&2).expect("n2").kill();
    talk(&mut senders, 400);
    lab.leads(&[(1, 0), (4, 1), (4, 2)]);
    talk(&mut senders, 200);
    ears.all_once(&senders);
    assert_eq!(lab.status(4)["is_system_leader"], true);
}

#[test]
fn a_leader_that_is_stopped_and_goes_on_repeats_nothing_and_loses_nothing() {
    let Some((lab, ears, mut senders)) = begin() else {
        return;
    };
    talk(&mut senders, 400);
    for host in [6, 2] {
        lab.nodes[&host].signal("STOP");
        talk(&mut senders, 600);
        lab.nodes[&host].signal("CONT");
        talk(&mut senders, 600);
    }
    ears.all_once(&senders);
    let fences = |host: usize| lab.status(host)["fences"].as_u64().expect("a number");
    assert!(fences(6) + fences(2) >= 1);
}
