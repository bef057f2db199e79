//! Who may be the first of a name: one claimant at a time, and not for ever (protocol.md §3.1, D7).

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::config::Config;
use super::message::Refusal;
use crate::{Bounded, Key, Rule, Time};

#[derive(Clone, Copy, Debug)]
struct Claim {
    by: PeerId,
    nonce: u64,
    until: Time,
}

/// Claims that this peer has granted as a keeper.
#[derive(Debug, Default)]
pub(super) struct Claims {
    granted: BTreeMap<Key, Claim>,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// It is granted until then.
    Until(Time),
    /// Somebody else was first.
    Taken(PeerId),
    Refused(Refusal),
}

impl Claims {
    /// Grants a claim, unless another one lasts. The same claim again lasts anew.
    pub(super) fn grant(&mut self, config: &Config, now: Time, key: Key, by: PeerId, nonce: u64) -> Grant {
        if let Some(holder) = self.holder(now, &key)
            && (holder.by, holder.nonce) != (by, nonce)
        {
            return Grant::Taken(holder.by);
        }
        let new = !self.granted.contains_key(&key);
        let of_peer = self.granted.values().filter(|claim| claim.by == by).count();
        if new && of_peer >= config.max_claims_per_peer {
            return Grant::Refused(Refusal::TooMany);
        }
        if new && self.granted.len() >= config.max_claims {
            return Grant::Refused(Refusal::Full);
        }
        let until = now + config.claim;
        self.granted.insert(key, Claim { by, nonce, until });
        Grant::Until(until)
    }

    fn holder(&self, now: Time, key: &Key) -> Option<&Claim> {
        let lasts = |claim: &&Claim| claim.until > now || !Rule::DirectoryClaimsExpire.holds();
        self.granted.get(key).filter(lasts)
    }

    /// Who has claimed this name.
    pub(super) fn by(&self, now: Time, key: &Key) -> Option<PeerId> {
        self.holder(now, key).map(|claim| claim.by)
    }

    /// A claimant gives its claim back.
    pub(super) fn give_back(&mut self, key: &Key, by: PeerId, nonce: u64) {
        if self
            .granted
            .get(key)
            .is_some_and(|claim| (claim.by, claim.nonce) == (by, nonce))
        {
            self.granted.remove(key);
        }
    }

    /// Forgets a claim that has served or is over. Says when to look again if it is not.
    pub(super) fn expire(&mut self, now: Time, key: &Key) -> Option<Time> {
        let until = self.granted.get(key)?.until;
        if until > now {
            return Some(until);
        }
        if Rule::DirectoryClaimsExpire.holds() {
            self.granted.remove(key);
        }
        None
    }

    /// A record stands under the name: nobody can be the first any more.
    pub(super) fn end(&mut self, key: &Key) {
        self.granted.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.granted.len()
    }

    pub(super) fn bounds(&self, config: &Config) -> Bounded {
        Bounded::new("directory claims", self.granted.len(), config.max_claims)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::tests::{name, peer};
    use super::*;

    fn config() -> Config {
        Config {
            max_claims: 3,
            max_claims_per_peer: 2,
            ..Config::for_timeout(Duration::from_secs(1))
        }
    }

    fn key(text: &str) -> Key {
        name(text).key("net")
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    /// Rule `directory-claims-expire`: a claimant that dies does not keep the name.
    #[test]
    fn a_name_has_one_claimant_until_its_claim_expires() {
        let mut claims = Claims::default();
        let mut grant = |seconds, n, nonce| claims.grant(&config(), at(seconds), key("db"), peer(n), nonce);
        assert_eq!(grant(0, 1, 7), Grant::Until(at(10)));
        assert_eq!(grant(5, 1, 7), Grant::Until(at(15)), "the same again");
        assert_eq!(grant(6, 2, 7), Grant::Taken(peer(1)));
        assert_eq!(
            grant(6, 1, 8),
            Grant::Taken(peer(1)),
            "another life of the claimant, perhaps"
        );
        assert_eq!(grant(15, 2, 7), Grant::Until(at(25)));
        assert_eq!(claims.expire(at(15), &key("db")), Some(at(25)));
        assert_eq!((claims.expire(at(25), &key("db")), claims.len()), (None, 0));
    }

    #[test]
    fn only_its_claimant_gives_a_claim_back() {
        let mut claims = Claims::default();
        claims.grant(&config(), at(0), key("db"), peer(1), 7);
        claims.give_back(&key("db"), peer(2), 7);
        claims.give_back(&key("db"), peer(1), 8);
        assert_eq!(claims.by(at(1), &key("db")), Some(peer(1)));
        claims.give_back(&key("db"), peer(1), 7);
        assert_eq!(claims.by(at(1), &key("db")), None);
    }

    #[test]
    fn claims_are_few_and_fewer_of_one_peer() {
        let mut claims = Claims::default();
        let mut grant = |text, n| claims.grant(&config(), at(0), key(text), peer(n), 1);
        assert!(matches!(grant("a", 1), Grant::Until(_)));
        assert!(matches!(grant("b", 1), Grant::Until(_)));
        assert_eq!(grant("c", 1), Grant::Refused(Refusal::TooMany));
        assert!(matches!(grant("c", 2), Grant::Until(_)));
        assert_eq!(grant("d", 2), Grant::Refused(Refusal::Full));
        assert!(claims.bounds(&config()).holds());
    }
}
