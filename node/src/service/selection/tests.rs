//! Tables of ranks, and random runs of several providers over one order.

use std::collections::{BTreeMap, VecDeque};

use fatebound_machine::overlay::Keypair;
use fatebound_machine::process_groups::Node;
use proptest::prelude::*;

use super::*;

fn provider(number: u8) -> ProviderId {
    let mut secret = [number; 32];
    let keys = Keypair::ed25519_from_bytes(&mut secret).expect("a key");
    let peer = keys.public().to_peer_id();
    ProviderId {
        node: Node { peer, incarnation: 1 },
        serial: 1,
    }
}

fn rank(role: Role, checkpoint: u64, preference: u8) -> Rank {
    Rank {
        role,
        checkpoint,
        preference,
    }
}

const SPARE: Rank = Rank {
    role: Role::Spare,
    checkpoint: 0,
    preference: 0,
};

/// A selection at the first of these providers, all of which have just come.
fn at_first(providers: &[ProviderId], record: Record) -> Selection {
    let mut selection = Selection::new(providers[0]);
    selection.listed(providers.to_vec(), Some(5));
    selection.sealed(1, record);
    selection
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Who is the candidate once all have announced these ranks.
fn chosen(ranks: &[Rank]) -> usize {
    let providers: Vec<ProviderId> = (1..).take(ranks.len()).map(provider).collect();
    let mut selection = at_first(&providers, Record::default());
    for (provider, rank) in providers.iter().zip(ranks) {
        selection.heard(*provider, selection.tag(), *rank);
    }
    let candidate = selection.candidate().expect("somebody");
    providers.iter().position(|id| *id == candidate).expect("is there")
}

#[test]
fn the_highest_rank_is_chosen_and_the_oldest_of_equals() {
    let secondary = |checkpoint, preference| rank(Role::Secondary, checkpoint, preference);
    assert_eq!(chosen(&[SPARE, SPARE, SPARE]), 0, "the oldest");
    assert_eq!(chosen(&[SPARE, rank(Role::Spare, 0, 3), SPARE]), 1, "the preferred");
    assert_eq!(
        chosen(&[rank(Role::Spare, 9, 9), secondary(0, 0)]),
        1,
        "a secondary before a spare"
    );
    assert_eq!(chosen(&[secondary(3, 9), secondary(4, 0)]), 1, "the fresher");
    assert_eq!(chosen(&[secondary(4, 0), secondary(4, 0)]), 0);
}

#[test]
fn a_living_primary_stays_whoever_comes() {
    let providers: Vec<ProviderId> = (1..=3).map(provider).collect();
    let record = Record {
        primary: Some(providers[2]),
        ..Record::default()
    };
    let mut selection = at_first(&providers, record);
    assert_eq!(selection.step(seconds(0), rank(Role::Secondary, 99, 99)), Vec::new());
    selection.listed(providers.clone(), Some(6));
    assert_eq!(selection.step(seconds(100), rank(Role::Secondary, 99, 99)), Vec::new());
    // When it is gone, everybody says what it has.
    selection.listed(providers[..2].to_vec(), None);
    assert!(matches!(
        selection.step(seconds(100), SPARE)[..],
        [Action::Announce(..)]
    ));
}

#[test]
fn whoever_does_not_announce_itself_is_not_waited_for_long_unless_it_may_have_the_state() {
    let providers: Vec<ProviderId> = (1..=2).map(provider).collect();
    let proposes = |selection: &mut Selection, at| {
        let actions = selection.step(seconds(at), SPARE);
        actions.iter().any(|action| matches!(action, Action::Propose(1, _)))
    };
    let mut selection = at_first(&providers, Record::default());
    selection.step(seconds(0), SPARE);
    selection.heard(providers[0], selection.tag(), SPARE);
    assert!(!proposes(&mut selection, 0));
    assert!(proposes(&mut selection, 1));
    assert!(!proposes(&mut selection, 2), "once");
    let mut selection = at_first(
        &providers,
        Record {
            secondaries: vec![providers[1]],
            ..Record::default()
        },
    );
    selection.step(seconds(0), SPARE);
    selection.heard(providers[0], selection.tag(), SPARE);
    assert!(!proposes(&mut selection, 9));
    assert!(proposes(&mut selection, 10));
}

#[test]
fn a_candidate_that_does_not_propose_itself_is_passed_over() {
    let providers: Vec<ProviderId> = (1..=2).map(provider).collect();
    let mut selection = at_first(&providers, Record::default());
    let tag = selection.tag();
    selection.step(seconds(0), SPARE);
    selection.heard(providers[0], tag, SPARE);
    selection.heard(providers[1], tag, rank(Role::Spare, 0, 7));
    let mut at = 0;
    while selection.step(seconds(at), SPARE).is_empty() {
        at += 1;
        assert!(at < 30);
    }
    assert!(at >= 2, "not before it had its time");
}

#[test]
fn ranks_of_another_selection_say_nothing() {
    let providers: Vec<ProviderId> = (1..=2).map(provider).collect();
    let mut selection = at_first(&providers, Record::default());
    let old = selection.tag();
    selection.listed(providers.clone(), Some(6));
    selection.heard(providers[1], old, SPARE);
    assert_eq!(selection.candidate(), None);
    assert!(!selection.sealed(1, Record::default()), "known already");
}

/// What has its place in the order.
#[derive(Clone, Debug)]
enum Entry {
    Listed(Vec<ProviderId>, Option<u64>),
    Sealed(u64, Record),
    Rank(ProviderId, Tag, Rank),
}

/// Several providers over one order, each as far along it as it is.
struct World {
    log: Vec<Entry>,
    present: Vec<ProviderId>,
    version: u64,
    epoch: u64,
    record: Record,
    /// Each with how far it has read.
    nodes: BTreeMap<ProviderId, (Selection, usize)>,
    /// On their way to the leader, which numbers them.
    proposals: VecDeque<(u64, Record)>,
    checkpoints: BTreeMap<ProviderId, u64>,
    now: Duration,
    next: u8,
}

impl World {
    fn new() -> World {
        World {
            log: Vec::new(),
            present: Vec::new(),
            version: 0,
            epoch: 1,
            record: Record::default(),
            nodes: BTreeMap::new(),
            proposals: VecDeque::new(),
            checkpoints: BTreeMap::new(),
            now: Duration::ZERO,
            next: 1,
        }
    }

    fn come(&mut self) {
        if self.present.len() == 5 || self.next == 30 {
            return;
        }
        let id = provider(self.next);
        self.next += 1;
        self.epoch += 1;
        self.present.push(id);
        let mut selection = Selection::new(id);
        selection.sealed(self.version, self.record.clone());
        self.nodes.insert(id, (selection, self.log.len()));
        self.log.push(Entry::Listed(self.present.clone(), Some(self.epoch)));
    }

    fn go(&mut self, which: usize) {
        if self.present.len() < 2 {
            return;
        }
        let id = self.present.remove(which % self.present.len());
        self.nodes.remove(&id);
        self.log.push(Entry::Listed(self.present.clone(), None));
    }

    /// One of them reads so many entries, and does what it has to.
    fn turn(&mut self, which: usize, entries: usize) {
        let Some(id) = self.present.get(which % self.present.len().max(1)).copied() else {
            return;
        };
        let Some((selection, read)) = self.nodes.get_mut(&id) else {
            return;
        };
        let end = (*read + entries).min(self.log.len());
        for entry in &self.log[*read..end] {
            match entry.clone() {
                Entry::Listed(present, came) => selection.listed(present, came),
                Entry::Sealed(version, record) => drop(selection.sealed(version, record)),
                Entry::Rank(from, tag, rank) => selection.heard(from, tag, rank),
            }
        }
        *read = end;
        let role = if selection.record().role(id) == Role::Spare {
            Role::Spare
        } else {
            Role::Secondary
        };
        let checkpoint = if role == Role::Spare {
            0
        } else {
            self.checkpoints.get(&id).copied().unwrap_or(0)
        };
        for action in selection.step(self.now, rank(role, checkpoint, 0)) {
            match action {
                Action::Announce(tag, rank) => self.log.push(Entry::Rank(id, tag, rank)),
                Action::Propose(version, record) => self.proposals.push_back((version, record)),
            }
        }
    }

    /// The leader numbers the next proposal, if it is for the version that there is.
    fn number(&mut self) {
        let Some((version, record)) = self.proposals.pop_front() else {
            return;
        };
        if version != self.version {
            return;
        }
        let before = self.record.primary.filter(|primary| self.present.contains(primary));
        assert_eq!(before, None, "a living primary is not moved");
        let primary = record.primary.expect("a primary");
        if !self.present.contains(&primary) {
            // Its proposal came before its death.
            return self.seal(record);
        }
        // Of the secondaries that are there, nobody has a later state, and no spare comes before one of them.
        let fresh = |id: &ProviderId| self.checkpoints.get(id).copied().unwrap_or(0);
        let here: Vec<ProviderId> = self
            .record
            .secondaries
            .iter()
            .filter(|id| self.present.contains(id))
            .copied()
            .collect();
        if let Some(best) = here.iter().map(fresh).max() {
            assert!(here.contains(&primary), "a secondary before a spare");
            assert_eq!(fresh(&primary), best, "the freshest");
        }
        self.seal(record);
    }

    fn seal(&mut self, record: Record) {
        self.version += 1;
        self.epoch += 1;
        self.record = record.clone();
        self.log.push(Entry::Sealed(self.version, record));
    }

    /// The primary makes somebody a secondary, and all secondaries have its next checkpoint, or only some.
    fn work(&mut self, all: bool) {
        let Some(primary) = self.record.primary.filter(|id| self.present.contains(id)) else {
            return;
        };
        let spare = self
            .present
            .iter()
            .find(|id| **id != primary && !self.record.secondaries.contains(id))
            .copied();
        if let Some(spare) = spare.filter(|_| self.record.secondaries.len() < 2) {
            let mut record = self.record.clone();
            record.secondaries.push(spare);
            record.term = 1;
            self.seal(record);
        }
        let number = self.checkpoints.get(&primary).copied().unwrap_or(0) + 1;
        self.checkpoints.insert(primary, number);
        let count = if all { usize::MAX } else { 1 };
        for secondary in self.record.secondaries.iter().take(count) {
            self.checkpoints.insert(*secondary, number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn there_is_one_primary_to_a_version_the_right_one_and_in_the_end_there_is_one(
        steps in prop::collection::vec((0..7u8, any::<u8>(), 0..4usize), 1..200)
    ) {
        let mut world = World::new();
        world.come();
        for (what, which, entries) in steps {
            match what {
                0 => world.come(),
                1 => world.go(which.into()),
                2 => world.work(which % 2 == 0),
                3 => world.number(),
                _ => world.turn(which.into(), entries),
            }
            // Nobody is so slow here that it is not waited for.
            world.now += Duration::from_millis(1);
        }
        // From now on nothing happens any more.
        for round in 0..2_000 {
            world.turn(round, 5);
            world.number();
            world.now += Duration::from_millis(20);
        }
        let primary = world.record.primary.filter(|id| world.present.contains(id));
        prop_assert!(primary.is_some(), "a primary in the end");
    }
}
