//! Scenario 28 of docs/scenarios.md: a member that reads nothing, while others go on sending to it until every buffer on the way is full.

use std::time::Duration;

use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::DownReason;
use fatebound_machine::overlay::message::Message;
use fatebound_machine::tree::{PathId, Tell};
use fatebound_machine::{Command, Event, wire};
use fatebound_sim::{Config, GroupId, Latency, PeerIndex, Profile, World};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);
const PEERS: usize = 8;
/// Who reads nothing, and who goes on talking to it.
const DEAF: PeerIndex = PeerIndex(3);
const TALKERS: [PeerIndex; 2] = [PeerIndex(0), PeerIndex(5)];
/// What the deaf one's kernel keeps of each connection. A message that was let go before the window closed still comes.
const WINDOW: usize = 64 * 1024;
const OVERSHOOT: usize = 64 * 1024;
/// The queue of a process, its kernel's buffer and one message (`sim/src/pipe.rs`).
const QUEUE: usize = 8 * 1024 * 1024;
const SENDER: usize = QUEUE + 64 * 1024 + 64 * 1024;

struct Stage {
    world: World,
    /// Groups with the deaf member, and one without.
    with: Vec<(GroupId, PeerIndex)>,
    without: GroupId,
    tickets: u64,
}

impl Stage {
    fn new(config: Config, count: usize) -> Stage {
        let mut world = World::with_config(28, config, Latency::RACK);
        let peers = world.spawn_overlay(PEERS);
        let without = world.create(peers[1], &[peers[0], peers[5]]).expect("all accept");
        let with = (0..count).map(|n| {
            let root = TALKERS[n % TALKERS.len()];
            (world.create(root, &[DEAF, peers[6]]).expect("all accept"), root)
        });
        let with = with.collect();
        world.run_for(SECOND);
        let tickets = 1_000_000;
        Stage {
            world,
            with,
            without,
            tickets,
        }
    }

    /// Time passes, and everything stays within its bounds. Returns the most that waited at a talker for the deaf one.
    fn watch_for(&mut self, duration: Duration) -> usize {
        let end = self.world.now() + duration;
        let mut most = 0;
        while self.world.now() < end {
            self.world.run_for(STEP);
            for bounded in (0..PEERS).flat_map(|peer| self.world.bounds(PeerIndex(peer))) {
                assert!(bounded.holds(), "{bounded:?}");
            }
            let unread = self.world.unread(DEAF);
            assert!(unread <= WINDOW + OVERSHOOT, "{unread} bytes unread");
            let unsent = TALKERS.map(|talker| self.world.unsent(talker, DEAF));
            most = unsent.into_iter().fold(most, usize::max);
            assert!(most <= SENDER, "{most} bytes wait");
        }
        most
    }

    fn stops_reading(&mut self) {
        self.world.set_window(DEAF, Some(WINDOW));
        self.world.pause(DEAF);
    }

    /// Each talker wants to create so many groups with the deaf one, each with as much state as an invitation may carry.
    fn invite(&mut self, count: usize) {
        for talker in TALKERS {
            for _ in 0..count {
                self.tickets += 1;
                let create = fng::Command::Create {
                    ticket: Ticket(self.tickets),
                    members: vec![self.world.id(DEAF)],
                    tag: None,
                    state: vec![7; 16 * 1024],
                    timeout: None,
                    admit: fng::Admit::default(),
                };
                self.world.command(talker, Command::Group(create));
            }
        }
    }

    /// A talker's words about paths that nobody knows, more than its queue holds: they ask for no answer and mean nothing.
    fn talk(&mut self, talker: PeerIndex) {
        let path = PathId {
            group: self.without,
            member: self.world.id(DEAF),
            epoch: 999,
        };
        let paths = vec![path; 256];
        let frame = wire::encode(&Message::Tell(wire::encode(&Tell::Suspected { paths })));
        for _ in 0..QUEUE / frame.len() + 100 {
            assert!(self.world.forge(talker, DEAF, frame.clone()));
        }
    }

    /// Why the talkers' links to the deaf one went down.
    fn reasons(&self) -> Vec<DownReason> {
        let deaf = self.world.id(DEAF);
        let down = |event: &Event| match event {
            Event::LinkDown { peer, reason } if *peer == deaf => Some(*reason),
            _ => None,
        };
        let events = TALKERS.iter().flat_map(|&talker| self.world.events(talker));
        events.filter_map(|(_, event)| down(event)).collect()
    }

    fn told_once(&self, peer: PeerIndex) -> bool {
        self.with
            .iter()
            .all(|(group, _)| self.world.notified(peer, group).len() == 1)
    }

    fn all_told_but_the_deaf(&self) -> bool {
        let talkers = self
            .with
            .iter()
            .all(|(group, root)| self.world.notified(*root, group).len() == 1);
        talkers
            && self.told_once(PeerIndex(6))
            && self
                .with
                .iter()
                .all(|(group, _)| self.world.notified(DEAF, group).is_empty())
    }

    /// It reads again: it is told, once; whatever waited is gone; it is a peer like any other.
    fn reads_again(&mut self) {
        self.world.resume(DEAF);
        self.watch_for(10 * SECOND);
        for peer in [DEAF, PeerIndex(6)] {
            assert!(self.told_once(peer), "{peer:?}");
        }
        assert_eq!(self.world.unread(DEAF), 0);
        assert_eq!(TALKERS.map(|talker| self.world.unsent(talker, DEAF)), [0, 0]);
        for peer in [0, 1, 5].map(PeerIndex) {
            assert_eq!(self.world.notified(peer, &self.without), [], "{peer:?}");
        }
        self.world.create(DEAF, &TALKERS).expect("everybody accepts");
    }
}

/// "Down: not alive any more": whatever waits, pings are not answered.
#[test]
fn a_member_that_reads_nothing_fills_bounded_buffers_and_loses_its_links_and_its_groups() {
    let mut stage = Stage::new(Config::preset(Profile::Local), 200);
    stage.stops_reading();
    stage.talk(TALKERS[0]);
    let mut most = 0;
    for _ in 0..20 {
        stage.invite(50);
        most = most.max(stage.watch_for(SECOND / 4));
    }
    assert!(most > QUEUE - 64 * 1024, "only {most} bytes waited");
    let reasons = stage.reasons();
    assert!(
        reasons.len() >= TALKERS.len() && reasons.iter().all(|reason| *reason == DownReason::Silent),
        "{reasons:?}"
    );
    assert!(stage.all_told_but_the_deaf());
    stage.reads_again();
}

/// "A link also goes down when 64 MiB of operations wait on it" or too many of them: then nobody waits for `L`.
#[test]
fn operations_that_nobody_takes_end_the_link_before_its_silence_does() {
    let mut config = Config::preset(Profile::Local);
    (config.overlay.operation_window, config.overlay.max_operations) = (16, 64);
    let mut stage = Stage::new(config.aligned(), 300);
    stage.stops_reading();
    let signalled: Vec<_> = stage.with.clone();
    for (group, root) in signalled {
        stage.world.signal(root, &group);
    }
    stage.watch_for(SECOND / 4);
    let reasons = stage.reasons();
    assert_eq!(reasons, [DownReason::Overflow; 2]);
    stage.watch_for(5 * SECOND);
    assert!(stage.all_told_but_the_deaf());
    stage.reads_again();
}
