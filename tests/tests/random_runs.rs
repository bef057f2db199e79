//! Random faults on random groups, in virtual time: whatever happens, P1 and P2 of protocol.md §1 hold, and nothing is left behind.
//!
//! A failing run names its seed; the same seed is the same run.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_sim::{Config, GroupId, PeerIndex, Profile, World};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const PEERS: usize = 12;
const GROUPS: usize = 6;
const FAULTS: usize = 10;
const SEEDS: u64 = 48;

/// What one run has seen, for the summary: so that it shows whether faults do hit groups.
#[derive(Default)]
struct Seen {
    faults: BTreeMap<&'static str, usize>,
    failed: usize,
    lived: usize,
    repairs: u64,
}

struct Run {
    seed: u64,
    rng: StdRng,
    world: World,
    peers: Vec<PeerIndex>,
    groups: Vec<(GroupId, Vec<PeerIndex>)>,
    /// Ended at least once: what it was a member of has failed, and its new life knows nothing of it.
    ended: Vec<bool>,
    down: Vec<bool>,
    paused: Vec<bool>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(PEERS);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut groups = Vec::new();
        for _ in 0..GROUPS {
            let size = rng.random_range(2..=5);
            let members: Vec<PeerIndex> = peers.sample(&mut rng, size).copied().collect();
            let group = world.create(members[0], &members[1..]).expect("everybody accepts");
            groups.push((group, members));
        }
        Run {
            seed,
            rng,
            world,
            groups,
            ended: vec![false; PEERS],
            down: vec![false; PEERS],
            paused: vec![false; PEERS],
            peers,
        }
    }

    fn one(&mut self) -> PeerIndex {
        self.peers[self.rng.random_range(0..PEERS)]
    }

    fn fault(&mut self) -> &'static str {
        let (a, b) = (self.one(), self.one());
        match self.rng.random_range(0..9) {
            0 => self.end(a, World::crash, "crash"),
            1 => self.end(a, World::vanish, "vanish"),
            2 | 3 if self.down[a.0] => {
                self.world.restart(a);
                self.down[a.0] = false;
                "restart"
            }
            4 if !self.down[a.0] => {
                self.world.pause(a);
                self.paused[a.0] = true;
                "pause"
            }
            5 => {
                self.resume_all();
                "resume"
            }
            6 if a != b => {
                self.world.cut(a, b);
                "cut"
            }
            7 if a != b => {
                self.world.cut_one_way(a, b);
                "one-way cut"
            }
            8 => {
                self.world.break_sessions(a, b);
                "session break"
            }
            _ => {
                self.world.heal();
                "heal"
            }
        }
    }

    fn end(&mut self, peer: PeerIndex, how: fn(&mut World, PeerIndex), what: &'static str) -> &'static str {
        if self.down[peer.0] {
            return "none";
        }
        how(&mut self.world, peer);
        self.down[peer.0] = true;
        self.ended[peer.0] = true;
        self.paused[peer.0] = false;
        what
    }

    fn resume_all(&mut self) {
        for peer in 0..PEERS {
            if std::mem::take(&mut self.paused[peer]) {
                self.world.resume(self.peers[peer]);
            }
        }
    }

    /// P1: "Once any member has been notified that a group failed, or a member has crashed, then every live member is notified within
    /// a bounded time." P2: exactly once. Everything is mended first, so that every live member can be reached.
    fn check(&mut self, seen: &mut Seen) {
        self.resume_all();
        self.world.heal();
        self.world
            .run_for(Config::preset(Profile::Local).groups.notification_bound());
        for (group, members) in &self.groups {
            let words: Vec<_> = members
                .iter()
                .map(|&peer| self.world.notified(peer, group).len())
                .collect();
            let survivors = || members.iter().zip(&words).filter(|(peer, _)| !self.ended[peer.0]);
            let over = members.iter().any(|peer| self.ended[peer.0]) || words.iter().any(|&words| words > 0);
            let due = usize::from(over);
            for (peer, &words) in survivors() {
                assert_eq!(
                    words, due,
                    "seed {}: {peer:?} of {group}, members {members:?}",
                    self.seed
                );
            }
            *(if over { &mut seen.failed } else { &mut seen.lived }) += 1;
        }
        self.nothing_is_left(seen);
    }

    /// Groups that have failed leave no path anywhere; invariants hold.
    fn nothing_is_left(&mut self, seen: &mut Seen) {
        self.world.run_for(Duration::from_secs(60));
        for &peer in &self.peers {
            let Some(machine) = self.world.machine(peer) else {
                continue;
            };
            let held = machine.check_invariants();
            assert_eq!(held, Ok(()), "seed {}: {peer:?}", self.seed);
            seen.repairs += machine.status().counters.repairs;
            assert_eq!(
                machine.status().counters.digest_mismatches,
                0,
                "seed {}: {peer:?}",
                self.seed
            );
            for (group, _) in self.groups.iter().filter(|(group, _)| machine.carries(group)) {
                let root = self.peers.iter().find(|&&root| self.world.id(root) == group.root);
                let lives = root
                    .and_then(|&root| self.world.machine(root))
                    .is_some_and(|root| root.group(group).is_some());
                assert!(lives, "seed {}: {peer:?} still carries {group}", self.seed);
            }
        }
    }
}

#[test]
fn whatever_happens_every_live_member_is_told_once() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..FAULTS {
            let fault = run.fault();
            *seen.faults.entry(fault).or_default() += 1;
            let pause = Duration::from_millis(run.rng.random_range(1..6000));
            run.world.run_for(pause);
        }
        run.check(&mut seen);
    }
    println!(
        "{SEEDS} runs: {} groups failed, {} lived, {} paths repaired; faults {:?}",
        seen.failed, seen.lived, seen.repairs, seen.faults
    );
    assert!(
        seen.failed > 0 && seen.lived > 0 && seen.repairs > 0,
        "the faults have to hit some groups, and miss some"
    );
}
