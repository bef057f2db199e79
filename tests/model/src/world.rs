//! A small world before anything happens in it: who is there, who is linked with whom, and what may go wrong.

use std::time::Duration;

use fatebound_overlay::{Key, Keypair, PeerId, Tag, Time};

/// A peer's place in its world: 0 is the root, then come the other members, then the delegates.
pub type Number = u8;

/// What is known about a peer before it is started.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its key pair, the same in all of its lives.
    pub keypair: Keypair,
    /// Its name.
    pub id: PeerId,
    /// Its place on the ring.
    pub key: Key,
    /// The short form of that.
    pub tag: Tag,
}

/// A kind of fault. Each one that happens takes one from the world's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The process of a member ends: its addresses refuse, which proves its death.
    MemberCrash,
    /// The host of a member falls silent: nothing proves anything.
    MemberVanish,
    /// A crashed or vanished peer starts again, in a new life that remembers nothing.
    Restart,
    /// The host of a delegate falls silent.
    DelegateVanish,
    /// The process of a delegate ends.
    DelegateCrash,
    /// A link is taken for down by both of its ends, each in its own time; what was on its way is lost. The peers can still dial each other.
    Break,
    /// A link carries nothing for a while, less than `L`, and then all that was sent: a session that breaks and is resumed.
    Stall,
    /// Root and a member cannot reach each other any more: no link, no dial, no word.
    Cut,
    /// A delegate and another peer cannot reach each other any more.
    DelegateCut,
    /// A member says that the group has failed.
    Signal,
    /// A member lets the group die in silence: it says nothing about this one any more. Needs pings.
    Silence,
    /// A one-shot message takes its time.
    Late,
    /// The guest wants to be a member.
    Join,
    /// A member that is not the root wants to go.
    Leave,
}

/// Where the exploration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The root's invitations are on their way.
    Creating,
    /// The group lives, every path is up.
    Live,
}

/// A bug on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Every `Release` is lost on its way to the link.
    ReleasesLost,
    /// No timer ever fires.
    TimersDead,
    /// A broken path is taken for a failed group.
    NoRepair,
    /// The application is told twice.
    ToldTwice,
    /// No word of a leaver arrives, and whoever has left does not remember the group.
    LeaversForget,
}

/// A small world.
#[derive(Clone, Debug)]
pub struct World {
    /// For reports.
    pub name: String,
    /// The root first.
    pub roles: Vec<Role>,
    /// How many of them are members.
    pub members: Number,
    /// Who of the others may come into the group.
    pub guest: Option<Number>,
    /// Pairs that the overlay wants linked.
    pub links: Vec<(Number, Number)>,
    /// Where to begin.
    pub begin: Begin,
    /// How many faults happen at most.
    pub faults: u8,
    /// Which.
    pub kinds: Vec<Kind>,
    /// What every peer has measured on its links; `None`: not yet.
    pub round_trips: Option<Duration>,
    /// Whether a troubled link may also be taken for doubtful before it is down.
    pub doubts: bool,
    /// Whether both ends of a link show each other their joint sets: after each change at a moment of its own, `L` later at the latest.
    pub pings: bool,
    /// Without a verdict the exploration ends here.
    pub horizon: Time,
    /// The bug, if any.
    pub planted: Option<Planted>,
}

impl World {
    /// A world of so many members and delegates with these links.
    pub fn new(name: &str, members: Number, delegates: Number, links: &[(Number, Number)]) -> World {
        World {
            name: name.to_owned(),
            roles: (0..members + delegates).map(role).collect(),
            members,
            guest: None,
            links: links.to_vec(),
            begin: Begin::Live,
            faults: 1,
            kinds: Vec::new(),
            round_trips: Some(Duration::from_millis(1)),
            doubts: false,
            pings: false,
            horizon: Time::from_millis(30_000),
            planted: None,
        }
    }

    /// With so many faults of these kinds.
    pub fn with_faults(mut self, faults: u8, kinds: &[Kind]) -> World {
        self.faults = faults;
        self.kinds = kinds.to_vec();
        self
    }

    /// With a group that is open to this peer.
    pub fn with_guest(mut self, guest: Number) -> World {
        self.guest = Some(guest);
        self
    }

    /// With pings.
    pub fn with_pings(mut self) -> World {
        self.pings = true;
        self
    }

    /// With doubts.
    pub fn with_doubts(mut self) -> World {
        self.doubts = true;
        self
    }

    /// With patience at its ceiling, because nothing has been measured yet.
    pub fn without_samples(mut self) -> World {
        self.round_trips = None;
        self
    }

    /// How many peers there are.
    pub fn peers(&self) -> Number {
        self.roles.len() as Number
    }

    /// Whether this peer is a member, the root included.
    pub fn is_member(&self, number: Number) -> bool {
        number < self.members
    }

    /// Whether this peer is a member or may become one.
    pub fn may_be_member(&self, number: Number) -> bool {
        self.is_member(number) || self.guest == Some(number)
    }

    /// Who has this name.
    pub fn number(&self, id: &PeerId) -> Option<Number> {
        (0..)
            .zip(&self.roles)
            .find(|(_, role)| role.id == *id)
            .map(|(number, _)| number)
    }

    /// Whether this kind of fault may happen.
    pub fn allows(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The parameters of groups: those for one machine, so that the numbers in a trace are small.
    pub fn groups(&self) -> fatebound_fng::Config {
        fatebound_fng::Config::local()
    }

    /// `L`: for so long a dead link may be taken for alive.
    pub fn link_lifetime(&self) -> Duration {
        self.groups().timings.link_lifetime
    }

    /// For so long a late message is on its way: long enough to be dated, short enough to count.
    pub fn lateness(&self) -> Duration {
        self.groups().timings.probe_timeout * 4 / 5
    }

    /// The bound of protocol.md §7 for the longest path that this world has room for.
    pub fn bound(&self) -> Duration {
        let groups = self.groups();
        groups.timings.notification_bound(self.peers() - 1, groups.tick)
    }
}

fn role(number: Number) -> Role {
    let keypair = keypair(number);
    let id = keypair.public().to_peer_id();
    let key = Key::of(&id);
    Role {
        keypair,
        id,
        key,
        tag: key.tag(),
    }
}

/// Key pairs as in the other tests: 32 times the same byte.
fn keypair(number: Number) -> Keypair {
    match Keypair::ed25519_from_bytes([number + 1; 32]) {
        Ok(keypair) => keypair,
        Err(error) => unreachable!("32 bytes are a secret key: {error}"),
    }
}
