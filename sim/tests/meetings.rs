//! A name that is used again and again: so many join, see each other, go at once, and meet again while the last meeting is still ending.
//!
//! This is what a barrier does on a machine that is busy: processes are slow, get no processor for a while, and the next join of a peer comes
//! while its last provider is still on its way out.

use std::time::Duration;

use fatebound_machine::process_groups::protocols::{self, Notice, Order, ProviderId, Ticket};
use fatebound_machine::process_groups::{Command as Word, Event as Of, GroupName};
use fatebound_machine::{Command, Event};
use fatebound_sim::{PeerIndex, Profile, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MILLISECOND: Duration = Duration::from_millis(1);
/// No meeting takes longer, whatever the one before has left behind.
const LIMIT: u32 = 60_000;

fn name() -> GroupName {
    GroupName::try_from("loaded").expect("a name")
}

/// One peer's part in one meeting.
struct Visit {
    peer: PeerIndex,
    ticket: Ticket,
    /// It joins after so many steps.
    begins: u32,
    /// It goes so many steps after it has seen all.
    stays: u32,
    /// Events before this one are of earlier visits.
    since: usize,
    joined: bool,
    met: bool,
    gone: bool,
}

impl Visit {
    fn join(&mut self, world: &mut World) {
        self.joined = true;
        self.since = world.events(self.peer).len();
        let join = Word::Join {
            name: name(),
            seconds: 1_000 + u32::try_from(world.now().elapsed().as_secs()).expect("not that long"),
            ticket: self.ticket,
            instance: format!("{}-{}", self.ticket.0, self.peer.0).into_bytes(),
            info: Vec::new(),
            attributes: Box::default(),
        };
        world.command(self.peer, Command::Cluster(join));
    }

    fn provider(&self, world: &World) -> Option<ProviderId> {
        world.events(self.peer)[self.since..]
            .iter()
            .find_map(|(_, event)| match event {
                Event::Cluster(Of::Provider {
                    provider,
                    event: protocols::Event::Joining { ticket },
                    ..
                }) if *ticket == self.ticket => Some(*provider),
                _ => None,
            })
    }

    /// Whether its list once had all of this meeting.
    fn sees(&self, world: &World, everybody: usize) -> bool {
        let Some(me) = self.provider(world) else {
            return false;
        };
        let sign = format!("{}-", self.ticket.0).into_bytes();
        world.events(self.peer)[self.since..]
            .iter()
            .any(|(_, event)| match event {
                Event::Cluster(Of::Shown {
                    to,
                    notice: Notice::Providers { providers, .. },
                    ..
                }) => {
                    to.contains(&me)
                        && providers
                            .iter()
                            .filter(|other| other.instance.starts_with(&sign))
                            .count()
                            == everybody
                }
                _ => false,
            })
    }

    fn put_out(&self, world: &World) -> bool {
        self.joined
            && world.events(self.peer)[self.since..]
                .iter()
                .any(|(_, event)| matches!(event, Event::Cluster(Of::Removed { .. } | Of::Dissolved { .. })))
    }

    fn step(&mut self, world: &mut World, everybody: usize) {
        if !self.joined {
            match self.begins {
                0 => self.join(world),
                _ => self.begins -= 1,
            }
        } else if !self.met {
            self.met = self.sees(world, everybody);
        } else if self.stays > 0 {
            self.stays -= 1;
        } else if !self.gone {
            self.gone = true;
            let provider = self.provider(world).expect("it has met");
            let order = Order::Goodbye {
                provider,
                text: Vec::new(),
                hold: None,
            };
            world.command(self.peer, Command::Cluster(Word::Order { name: name(), order }));
        }
    }
}

fn meet_again_and_again(seed: u64, slow: u64, starved: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed, Profile::Local);
    let peers = world.spawn_overlay(3);
    for &peer in &peers {
        world.set_slow(peer, Duration::from_micros(random.random_range(0..=slow)));
    }
    for meeting in 0..8 {
        let mut visits: Vec<Visit> = peers
            .iter()
            .map(|&peer| Visit {
                peer,
                ticket: Ticket(meeting),
                begins: random.random_range(0..30),
                stays: random.random_range(0..30),
                since: 0,
                joined: false,
                met: false,
                gone: false,
            })
            .collect();
        let mut steps = 0;
        while visits.iter().any(|visit| !visit.gone) {
            for visit in &mut visits {
                visit.step(&mut world, peers.len());
                assert!(
                    !visit.put_out(&world),
                    "seed {seed}, meeting {meeting}: {:?} is put out",
                    visit.peer
                );
            }
            if starved > 0 && random.random_range(0..200) == 0 {
                let peer = peers[random.random_range(0..peers.len())];
                world.starve(peer, Duration::from_millis(random.random_range(0..starved)));
            }
            world.run_for(MILLISECOND);
            steps += 1;
            assert!(
                steps < LIMIT,
                "seed {seed}, meeting {meeting}: {:#?}",
                peers
                    .iter()
                    .map(|peer| world.machine(*peer).expect("it runs").process_groups().group(&name()))
                    .collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn three_meet_again_and_again() {
    for seed in 0..runs(20) {
        meet_again_and_again(seed, 0, 0);
    }
}

#[test]
fn three_meet_again_and_again_on_slow_hosts() {
    for seed in 0..runs(20) {
        meet_again_and_again(1_000 + seed, 3_000, 0);
    }
}

#[test]
fn three_meet_again_and_again_on_hosts_that_get_no_processor_for_a_while() {
    for seed in 0..runs(20) {
        meet_again_and_again(2_000 + seed, 1_000, 300);
    }
}

/// `RUNS` seeds, if it is given.
fn runs(usual: u64) -> u64 {
    std::env::var("RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(usual)
}
