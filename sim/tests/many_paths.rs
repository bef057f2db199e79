//! Scenario 22 of docs/scenarios.md on whole machines: very many paths on one link, which breaks and resumes, then breaks for good; then its
//! peer restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::PeerId;
use fatebound_machine::{Command, Event};
use fatebound_sim::checkers::Checkers;
use fatebound_sim::{GroupId, MessageKind, Observation, Observe, PeerIndex, Profile, World, kinds_of};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Two peers and their groups; a third that is a member of some; all others are delegates, if anything.
const A: PeerIndex = PeerIndex(0);
const B: PeerIndex = PeerIndex(1);
const WITNESS: PeerIndex = PeerIndex(2);
const PEERS: usize = 6;
/// One group in so many has the witness as a member.
const WITNESSED: usize = 10;
/// Creations ordered at a time.
const AT_ONCE: usize = 200;

/// A world with so many paths on the link between A and B, watched by every checker.
struct Crowd {
    world: World,
    checkers: Checkers,
    /// The fullest that each collection of any peer was seen, and its limit.
    fullest: BTreeMap<&'static str, (usize, usize)>,
    count: usize,
}

impl Crowd {
    fn new(count: usize) -> Crowd {
        let mut world = World::new(22, Profile::Local);
        world.spawn_overlay(PEERS);
        world.observe(Observe::Events);
        let checkers = Checkers::new(&world);
        let fullest = BTreeMap::new();
        Crowd {
            world,
            checkers,
            fullest,
            count,
        }
    }

    /// Half of the groups have their root at either end.
    fn create(&mut self) {
        for ticket in 0..self.count {
            let (root, member) = if ticket % 2 == 0 { (A, B) } else { (B, A) };
            let witness = ticket.is_multiple_of(WITNESSED).then_some(WITNESS);
            let members = [member].into_iter().chain(witness);
            let create = fng::Command::Create {
                ticket: Ticket(ticket as u64),
                members: members.map(|member| self.world.id(member)).collect(),
                tag: None,
                state: Vec::new(),
                timeout: None,
                admit: fng::Admit::default(),
            };
            self.world.command(root, Command::Group(create));
            if ticket % AT_ONCE == AT_ONCE - 1 {
                self.world.run_for(10 * MILLI);
            }
        }
        self.world.run_for(3 * SECOND);
        self.look();
        assert!(self.all_whole(), "every group is created, every path is up");
    }

    /// Time passes, and all checkers watch.
    fn watch_for(&mut self, duration: Duration) {
        let end = self.world.now() + duration;
        while self.world.now() < end {
            self.world.run_for(SECOND);
            self.look();
        }
    }

    fn watch_until(&mut self, limit: Duration, what: &str, holds: impl Fn(&Crowd) -> bool) {
        let end = self.world.now() + limit;
        while !holds(self) {
            assert!(self.world.now() < end, "not within {limit:?}: {what}");
            self.watch_for(SECOND);
        }
    }

    fn look(&mut self) -> Vec<Observation> {
        let seen = self.world.take_observations();
        self.checkers.follow(&self.world, &seen);
        self.checkers.look(&self.world);
        for bounded in (0..PEERS).flat_map(|peer| self.world.bounds(PeerIndex(peer))) {
            let (fullest, limit) = self.fullest.entry(bounded.what).or_default();
            if bounded.size > *fullest {
                (*fullest, *limit) = (bounded.size, bounded.limit);
            }
        }
        assert_eq!(self.checkers.report.violations, []);
        seen.into_iter().map(|(_, seen)| seen).collect()
    }

    /// Paths on the link between these two, as the first counts them; `None`: there is no link.
    fn paths_on_link(&self, at: PeerIndex, other: PeerIndex) -> Option<u32> {
        let other: PeerId = self.world.id(other);
        let links = self.world.machine(at).expect("it runs").peers();
        links.iter().find(|link| link.peer == other).map(|link| link.paths)
    }

    fn all_whole(&self) -> bool {
        let whole = |peer| {
            let groups = self.world.machine(peer).expect("it runs").groups(usize::MAX);
            groups.len() == self.count && groups.iter().all(|group| group.complete && group.repairing == 0)
        };
        whole(A) && whole(B)
    }

    fn links_lost(&self) -> u64 {
        let machines = (0..PEERS).filter_map(|peer| self.world.machine(PeerIndex(peer)));
        machines.map(|machine| machine.status().counters.links_lost).sum()
    }

    /// How often each group has failed here, in all lives.
    fn told(&self, peer: PeerIndex) -> BTreeMap<GroupId, usize> {
        let mut told = BTreeMap::new();
        for (_, event) in self.world.events(peer) {
            if let Event::Group(fng::Event::Failed { group, .. }) = event {
                *told.entry(*group).or_default() += 1;
            }
        }
        told
    }

    fn nobody_was_told(&self) -> bool {
        [A, B, WITNESS].iter().all(|&peer| self.told(peer).is_empty())
    }

    /// "When the connection breaks and is made anew in time […] the paths survive". A broken connection makes the link doubtful, so root and member
    /// ask each other once, over their connection and around it, about 256 groups at a time; of the paths there is nothing to be said.
    fn breaks_and_resumes(&mut self) {
        let lost = self.links_lost();
        self.world.observe(Observe::Messages);
        self.world.break_sessions(A, B);
        self.world.run_for(3 * SECOND);
        self.world.observe(Observe::Events);
        let (mut greetings, mut questions) = (0, 0);
        for seen in self.look() {
            let Observation::Sent { words, .. } = seen else {
                continue;
            };
            let kinds = kinds_of(&words);
            assert!(!kinds.iter().any(is_about_paths), "{kinds:?}");
            greetings += usize::from(kinds.contains(&MessageKind::Hello));
            questions += usize::from(kinds.iter().any(is_question));
        }
        assert!(greetings >= 2, "the session was made anew");
        // Either end is root of one half and member of the other. A question goes over the connection, to a carrier, and on from there.
        let most = 3 * 2 * 2 * (self.count / 2).div_ceil(256);
        assert!(questions <= most, "{questions} questions, {most} are enough");
        assert_eq!(self.links_lost(), lost, "the link has survived");
        for (at, other) in [(A, B), (B, A)] {
            assert_eq!(self.paths_on_link(at, other), u32::try_from(self.count).ok());
        }
        assert!(self.all_whole() && self.nobody_was_told());
    }

    /// P4: "as long as root and member have […] a working path through one neighbour common to both".
    fn breaks_for_good(&mut self) {
        self.world.cut(A, B);
        let down = |crowd: &Crowd| crowd.paths_on_link(A, B).is_none() && crowd.paths_on_link(B, A).is_none();
        self.watch_until(5 * SECOND, "the link is down", down);
        self.watch_until(60 * SECOND, "every path is up again", Crowd::all_whole);
        assert!(self.nobody_was_told());
    }

    /// P1, P2 and P6.
    fn peer_restarts(&mut self) {
        self.world.heal();
        self.world.run_for(2 * SECOND);
        self.look();
        assert!(self.nobody_was_told());
        self.world.crash(B);
        self.world.restart(B);
        let all_told = |crowd: &Crowd| crowd.told(A).len() == crowd.count;
        self.watch_until(60 * SECOND, "everybody is told", all_told);
        let no_paths = |crowd: &Crowd| {
            (0..PEERS).all(|peer| {
                crowd
                    .world
                    .machine(PeerIndex(peer))
                    .is_some_and(|machine| machine.status().paths == 0)
            })
        };
        self.watch_until(30 * SECOND, "no path is left", no_paths);
        for (peer, count) in [(A, self.count), (B, 0), (WITNESS, self.count.div_ceil(WITNESSED))] {
            let told = self.told(peer);
            assert_eq!(told.len(), count, "{peer:?}");
            assert!(told.values().all(|times| *times == 1), "{peer:?}");
        }
    }

    fn report(&mut self) {
        self.checkers.end(&self.world);
        assert_eq!(self.checkers.report.violations, []);
        let worst = self.checkers.report.shares.iter().copied().fold(0.0, f64::max);
        println!("the last one was told after {worst:.4} of the bound");
        let mut fullest: Vec<_> = self.fullest.iter().filter(|(_, (size, _))| *size > 0).collect();
        fullest.sort_by_key(|(_, (size, limit))| std::cmp::Reverse(1_000_000 * size / limit.max(&1)));
        for (what, (size, limit)) in fullest.iter().take(60) {
            println!("{what}: {size} of {limit}");
        }
    }
}

fn is_about_paths(kind: &MessageKind) -> bool {
    use MessageKind::*;
    matches!(
        kind,
        Operation | Construct | Confirm | Release | Fail | Tell | Suspected | List
    )
}

fn is_question(kind: &MessageKind) -> bool {
    matches!(kind, MessageKind::Probe | MessageKind::NeedRepair)
}

fn play(count: usize) {
    let mut crowd = Crowd::new(count);
    crowd.create();
    crowd.breaks_and_resumes();
    crowd.breaks_for_good();
    crowd.peer_restarts();
    crowd.report();
}

#[test]
fn a_link_with_10_000_paths_breaks_and_resumes_and_breaks_for_good_and_its_peer_restarts() {
    play(10_000);
}

/// All that a neighbour may have.
#[test]
#[ignore = "takes minutes"]
fn a_link_with_100_000_paths_breaks_and_resumes_and_breaks_for_good_and_its_peer_restarts() {
    play(100_000);
}
