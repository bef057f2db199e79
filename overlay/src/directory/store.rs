//! What this peer keeps for others: records by key, each with its age, within limits (protocol.md §3.1, D3, D8 to D11).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;

use super::config::Config;
use super::message::Refusal;
use super::record::{Entry, Record, Relation};
use crate::{Bounded, Key, Rule, Time};

/// A record that is kept, or one that has expired and is remembered.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// When it expires. (Not when its publisher said so: that may have been before this peer's time began.)
    until: Time,
    /// How long it lasts in all.
    lifetime: Duration,
    pub(super) expired: bool,
    /// Keepers that have not been offered it yet.
    pub(super) owed: BTreeSet<PeerId>,
    /// One of them has answered since it came to be owed.
    pub(super) handed: bool,
}

impl Kept {
    /// Milliseconds since its publisher said so.
    pub(super) fn age(&self, now: Time) -> u32 {
        if !Rule::DirectoryAge.holds() {
            return 0;
        }
        let age = self.lifetime.saturating_sub(self.until.since(now));
        u32::try_from(age.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Who brings a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bringer {
    /// Its publisher.
    Publisher,
    /// A keeper, who has had it for so long.
    Keeper(Duration),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is kept until then.
    Stored(Time),
    /// It is over already; nothing is kept.
    Over,
    /// This one stays.
    Other(Box<Entry>),
    Refused(Refusal),
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: BTreeMap<Key, Kept>,
    bytes: usize,
    by_publisher: HashMap<PeerId, usize>,
    /// An expired record that has made room, until somebody takes note.
    pub(super) evicted: Option<Key>,
}

impl Store {
    /// A record that has not expired.
    pub(super) fn live(&self, key: &Key) -> Option<&Kept> {
        self.records.get(key).filter(|kept| !kept.expired)
    }

    /// All that have not.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Kept)> {
        self.records.iter().filter(|(_, kept)| !kept.expired)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Kept)> {
        self.records.iter_mut().filter(|(_, kept)| !kept.expired)
    }

    /// The last incarnation that is remembered of a name.
    pub(super) fn incarnation(&self, key: &Key) -> Option<u32> {
        self.records.get(key).map(|kept| kept.entry.record().order.incarnation)
    }

    /// What is here under this key, expired or not.
    pub(super) fn digest(&self, key: &Key) -> Option<u64> {
        self.records.get(key).map(|kept| kept.entry.digest())
    }

    /// Takes a record whose shape is right, if it may stand under its key. Its signature is verified only if all else is well, for that costs
    /// most: a flood of what would be refused anyway costs little.
    pub(super) fn take(
        &mut self,
        config: &Config,
        now: Time,
        key: Key,
        entry: &Entry,
        bringer: Bringer,
        genuine: impl FnOnce(&Entry) -> bool,
    ) -> Taken {
        let lifetime = lifetime(config, entry.record());
        let age = match bringer {
            Bringer::Publisher => Duration::ZERO,
            Bringer::Keeper(age) => age,
        };
        if age >= lifetime {
            return Taken::Over;
        }
        let until = now + (lifetime - age);
        match self.records.get_mut(&key) {
            Some(kept) if kept.expired => {
                let raised = rises_again(entry.record(), kept.entry.record());
                if bringer != Bringer::Publisher && raised {
                    return Taken::Over;
                }
            }
            Some(kept) => match entry.record().relation(kept.entry.record()) {
                Relation::Replaces => {}
                Relation::Same if *entry == kept.entry => {
                    kept.until = kept.until.min(until);
                    return Taken::Stored(kept.until);
                }
                Relation::Same | Relation::Older | Relation::Stranger => {
                    return Taken::Other(Box::new(kept.entry.clone()));
                }
            },
            None => {}
        }
        if let Err(refusal) = self.has_room(config, &key, entry.record()) {
            return Taken::Refused(refusal);
        }
        if !genuine(entry) {
            return Taken::Refused(Refusal::Malformed);
        }
        let kept = Kept {
            entry: entry.clone(),
            until,
            lifetime,
            expired: false,
            owed: BTreeSet::new(),
            handed: false,
        };
        self.remove(&key);
        self.insert(key, kept);
        Taken::Stored(until)
    }

    /// Whether a record may come to stand under this key: what is there already makes room for it.
    fn has_room(&mut self, config: &Config, key: &Key, record: &Record) -> Result<(), Refusal> {
        let replaced = self.records.get(key).map(|kept| kept.entry.record());
        let same_publisher = replaced.is_some_and(|replaced| replaced.publisher == record.publisher);
        let of_publisher = self.by_publisher.get(&record.publisher).copied().unwrap_or(0);
        if of_publisher - usize::from(same_publisher) >= config.max_per_publisher {
            return Err(Refusal::TooMany);
        }
        let (count, bytes) = (replaced.is_some(), replaced.map_or(0, Record::weight));
        let fits = |store: &Store| {
            store.records.len() - usize::from(count) < config.max_records
                && store.bytes - bytes + record.weight() <= config.max_bytes
        };
        if !fits(self) {
            self.forget_an_expired_one(key);
        }
        if fits(self) { Ok(()) } else { Err(Refusal::Full) }
    }

    fn forget_an_expired_one(&mut self, but: &Key) {
        let mut expired = self.records.iter().filter(|(key, kept)| kept.expired && *key != but);
        if let Some(key) = expired.next().map(|(key, _)| *key) {
            self.remove(&key);
            self.evicted = Some(key);
        }
    }

    fn insert(&mut self, key: Key, kept: Kept) {
        self.bytes += kept.entry.record().weight();
        *self.by_publisher.entry(kept.entry.record().publisher).or_default() += 1;
        self.records.insert(key, kept);
    }

    /// Forgets what is under this key.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(kept) = self.records.remove(key) else {
            return;
        };
        let record = kept.entry.record();
        self.bytes -= record.weight();
        if let Some(count) = self.by_publisher.get_mut(&record.publisher) {
            *count -= 1;
            if *count == 0 {
                self.by_publisher.remove(&record.publisher);
                slim::map(&mut self.by_publisher);
            }
        }
    }

    /// The time of what is under this key is over, if it is: a record is remembered for as long again, then forgotten. Says when to look
    /// again.
    pub(super) fn expire(&mut self, now: Time, key: &Key) -> Option<Time> {
        let kept = self.records.get_mut(key)?;
        let (first, second) = (kept.until, kept.until + kept.lifetime);
        if now < first {
            return Some(first);
        }
        if now >= second || !Rule::DirectoryDeadStayDead.holds() {
            self.remove(key);
            return None;
        }
        kept.expired = true;
        kept.owed.clear();
        Some(second)
    }

    pub(super) fn bounds(&self, config: &Config) -> [Bounded; 4] {
        let of_one = self.by_publisher.values().copied();
        let owed = self.records.values().map(|kept| kept.owed.len());
        [
            Bounded::new("directory records", self.records.len(), config.max_records),
            Bounded::new("directory bytes", self.bytes, config.max_bytes),
            Bounded::fullest("directory records of a publisher", of_one, config.max_per_publisher),
            Bounded::fullest("keepers owed a record", owed, config.keepers),
        ]
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// "no keeper keeps it for longer than three times its own [`refresh`]" (protocol.md §3.1, D5); a tombstone for an hour (D10).
fn lifetime(config: &Config, record: &Record) -> Duration {
    let most = if record.tombstone {
        config.tombstone
    } else {
        config.lifetime()
    };
    Duration::from_millis(u64::from(record.lifetime)).min(most)
}

/// "◆ Its keeper remembers for as long again which publication that was, and takes it from nobody but its publisher in person" (D9).
fn rises_again(record: &Record, expired: &Record) -> bool {
    record.publisher == expired.publisher && (record.order, record.number) <= (expired.order, expired.number)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{keypair, name, peer, record};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        Config {
            refresh: SECOND * 20,
            max_records: 3,
            max_bytes: 4000,
            max_per_publisher: 2,
            ..Config::for_timeout(SECOND)
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn signed(n: u8, record: Record) -> Entry {
        Entry::sign(record, "net", &keypair(n))
    }

    fn take(store: &mut Store, now: Time, entry: &Entry, bringer: Bringer) -> Taken {
        let key = entry.record().name.key("net");
        store.take(&config(), now, key, entry, bringer, |entry| {
            entry.is_genuine("net", &crate::Ed25519)
        })
    }

    /// A record of its own name, by this publisher.
    fn named(n: u8, text: &str) -> Entry {
        let mut record = record(n, 1, 1);
        record.name = name(text);
        signed(n, record)
    }

    #[test]
    fn a_record_lasts_for_its_lifetime_and_is_remembered_for_another() {
        let (mut store, entry) = (Store::default(), signed(1, record(1, 1, 1)));
        let key = entry.record().name.key("net");
        assert_eq!(
            take(&mut store, at(10), &entry, Bringer::Publisher),
            Taken::Stored(at(70))
        );
        assert_eq!(store.expire(at(69), &key), Some(at(70)));
        assert!(store.live(&key).is_some());
        assert_eq!(store.expire(at(70), &key), Some(at(130)));
        assert!(store.live(&key).is_none() && store.incarnation(&key) == Some(1));
        assert_eq!(store.expire(at(130), &key), None);
        assert_eq!((store.len(), store.bytes(), store.by_publisher.len()), (0, 0, 0));
    }

    /// Rule `directory-age`: nothing becomes young by being handed over.
    #[test]
    fn of_two_ages_of_a_publication_the_greater_counts() {
        let (mut store, entry) = (Store::default(), signed(1, record(1, 1, 1)));
        let key = entry.record().name.key("net");
        let by_hand = |seconds| Bringer::Keeper(SECOND * seconds);
        assert_eq!(take(&mut store, at(100), &entry, by_hand(50)), Taken::Stored(at(110)));
        assert_eq!(take(&mut store, at(100), &entry, by_hand(0)), Taken::Stored(at(110)));
        assert_eq!(take(&mut store, at(100), &entry, by_hand(55)), Taken::Stored(at(105)));
        assert_eq!(store.live(&key).map(|kept| kept.age(at(100))), Some(55_000));
        let mut new = Store::default();
        assert_eq!(
            take(&mut new, at(1), &entry, by_hand(50)),
            Taken::Stored(at(11)),
            "older than its keeper"
        );
        assert_eq!(new.live(&key).map(|kept| kept.age(at(2))), Some(51_000));
        assert_eq!(take(&mut store, at(100), &entry, by_hand(60)), Taken::Over);
    }

    /// Rule `directory-dead-stay-dead`.
    #[test]
    fn what_has_expired_comes_back_by_its_publisher_alone() {
        let (mut store, entry) = (Store::default(), signed(1, record(1, 1, 1)));
        let key = entry.record().name.key("net");
        take(&mut store, at(0), &entry, Bringer::Publisher);
        store.expire(at(60), &key);
        let by_hand = Bringer::Keeper(Duration::ZERO);
        assert_eq!(take(&mut store, at(61), &entry, by_hand), Taken::Over);
        let mut newer = record(1, 1, 1);
        newer.number = 2;
        assert!(matches!(
            take(&mut store, at(61), &signed(1, newer), by_hand),
            Taken::Stored(_)
        ));
        store.expire(at(121), &key);
        assert!(matches!(
            take(&mut store, at(122), &entry, Bringer::Publisher),
            Taken::Stored(_)
        ));
    }

    #[test]
    fn another_publishers_record_stays_until_it_expires() {
        let (mut store, first) = (Store::default(), signed(1, record(1, 1, 1)));
        let other = signed(2, record(2, 9, 9));
        let key = first.record().name.key("net");
        take(&mut store, at(0), &first, Bringer::Publisher);
        let stays = Taken::Other(Box::new(first));
        assert_eq!(take(&mut store, at(59), &other, Bringer::Publisher), stays);
        store.expire(at(60), &key);
        assert!(matches!(
            take(&mut store, at(60), &other, Bringer::Publisher),
            Taken::Stored(_)
        ));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_forged_record_changes_nothing() {
        let mut store = Store::default();
        let forged = signed(2, record(1, 1, 1));
        assert_eq!(
            take(&mut store, at(0), &forged, Bringer::Publisher),
            Taken::Refused(Refusal::Malformed)
        );
        assert_eq!(store.len(), 0);
        take(&mut store, at(0), &signed(1, record(1, 1, 1)), Bringer::Publisher);
        let forged = signed(2, record(1, 1, 2));
        assert_eq!(
            take(&mut store, at(0), &forged, Bringer::Publisher),
            Taken::Refused(Refusal::Malformed)
        );
        let key = forged.record().name.key("net");
        assert_eq!(store.live(&key).map(|kept| kept.entry.record().order.view), Some(1));
    }

    #[test]
    fn there_is_room_for_so_many_and_of_one_publisher_for_fewer() {
        let mut store = Store::default();
        let mut put = |n, text: &str| take(&mut store, at(0), &named(n, text), Bringer::Publisher);
        assert!(matches!(put(1, "a"), Taken::Stored(_)));
        assert!(matches!(put(1, "b"), Taken::Stored(_)));
        assert_eq!(put(1, "c"), Taken::Refused(Refusal::TooMany));
        assert!(matches!(put(1, "a"), Taken::Stored(_)), "it is there");
        assert!(matches!(put(2, "d"), Taken::Stored(_)));
        assert_eq!(put(3, "e"), Taken::Refused(Refusal::Full));
        assert!(store.bounds(&config()).iter().all(Bounded::holds));
        store.expire(at(60), &name("a").key("net"));
        assert!(matches!(
            take(&mut store, at(60), &named(3, "e"), Bringer::Publisher),
            Taken::Stored(_)
        ));
        assert!(store.bounds(&config()).iter().all(Bounded::holds));
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let mut store = Store::default();
        let heavy = |n: u8, text: &str| {
            let mut record = record(n, 1, 1);
            (record.name, record.body) = (name(text), vec![0; 2048]);
            signed(n, record)
        };
        assert!(matches!(
            take(&mut store, at(0), &heavy(1, "a"), Bringer::Publisher),
            Taken::Stored(_)
        ));
        assert_eq!(
            take(&mut store, at(0), &heavy(2, "b"), Bringer::Publisher),
            Taken::Refused(Refusal::Full)
        );
    }

    #[test]
    fn a_hostile_lifetime_is_no_longer_than_our_own() {
        let mut store = Store::default();
        let mut long = record(1, 1, 1);
        long.lifetime = u32::MAX;
        assert_eq!(
            take(&mut store, at(0), &signed(1, long.clone()), Bringer::Publisher),
            Taken::Stored(at(60))
        );
        long.tombstone = true;
        long.number = 2;
        assert_eq!(
            take(&mut store, at(0), &signed(1, long), Bringer::Publisher),
            Taken::Stored(at(3600))
        );
    }

    #[test]
    fn who_may_replace_it_is_looked_up_in_the_record_that_is_there() {
        let mut store = Store::default();
        let mut first = record(1, 1, 1);
        first.signers.push(peer(2));
        take(&mut store, at(0), &signed(1, first), Bringer::Publisher);
        assert!(matches!(
            take(&mut store, at(0), &signed(2, record(2, 1, 2)), Bringer::Publisher),
            Taken::Stored(_)
        ));
        assert!(matches!(
            take(&mut store, at(0), &signed(1, record(1, 1, 3)), Bringer::Publisher),
            Taken::Other(_)
        ));
    }
}
