//! What a small group goes through: who is in it, what is ordered, what may go wrong.

use std::time::Duration;

use fatebound_cluster::views::Config;
use fatebound_cluster::{GroupId, Node, Policy, Seq, View, ViewNumber, Voter};
use fatebound_overlay::Keypair;

/// A node's number: members of the first view by age, then those who may come in.
pub type Number = usize;

/// A change that the leader of the moment is told to plan.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Take this node in.
    Insert(Number),
    /// Let this node go.
    Remove(Number),
}

/// One world.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For reports.
    pub name: String,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// How many of them are in the first view.
    pub members: usize,
    /// The first view's.
    pub policy: Policy,
    /// What is ordered, one after the other.
    pub changes: Vec<Change>,
    /// Entries that are numbered at most.
    pub entries: u8,
    /// Nodes that may die.
    pub crashes: u8,
    /// Who may die; everybody if empty.
    pub mortal: Vec<Number>,
    /// Alarms without a reason.
    pub alarms: u8,
    /// A cut that may come and be healed: the nodes on one side.
    pub cut: Vec<Number>,
    /// Attempts with a larger round are not followed.
    pub rounds: u32,
    /// Nothing is followed beyond this view.
    pub views: u64,
    /// Times of the machines.
    pub config: Config,
}

impl Scene {
    /// So many members and nodes that may come in; nothing happens yet.
    pub fn new(name: &str, members: usize, joiners: usize) -> Scene {
        Scene {
            name: name.to_owned(),
            nodes: (0..members + joiners).map(node).collect(),
            members,
            policy: Policy::Majority,
            changes: Vec::new(),
            entries: 0,
            crashes: 0,
            mortal: Vec::new(),
            alarms: 0,
            cut: Vec::new(),
            rounds: 2,
            views: 2,
            config: any_time(),
        }
    }

    /// The first view.
    pub fn first(&self) -> View {
        let voters: Vec<Voter> = self.nodes[..self.members]
            .iter()
            .map(|node| Voter::new(*node))
            .collect();
        View {
            number: ViewNumber(0),
            guard: guard(voters[0].node, 0),
            voters,
            policy: self.policy,
            cut: Seq(0),
        }
    }

    /// The number of a node.
    pub fn number(&self, node: Node) -> Option<Number> {
        self.nodes.iter().position(|other| *other == node)
    }
}

/// A guard with this root.
pub fn guard(root: Node, sequence: u64) -> GroupId {
    GroupId {
        root: root.peer,
        incarnation: root.incarnation,
        sequence,
    }
}

fn node(number: Number) -> Node {
    let keypair = Keypair::ed25519_from_bytes([number as u8 + 1; 32]).expect("32 bytes");
    Node {
        peer: keypair.public().to_peer_id(),
        incarnation: 1,
    }
}

/// Whatever is waited for may be over at once; nothing is repeated, since what was said once may arrive at any time.
fn any_time() -> Config {
    Config {
        step: Duration::ZERO,
        patience: Duration::ZERO,
        guard_patience: Duration::ZERO,
        repeat: Duration::MAX,
        slowest_repeat: Duration::MAX,
        ..Config::default()
    }
}

/// Three members whose guard fails for no reason: coordinators compete, and may leave out who lives.
pub fn alarm() -> Scene {
    Scene {
        alarms: 1,
        ..short("3 members: an alarm for nothing", 3, 0)
    }
}

/// Three members; one dies, and there may be an alarm before it does.
pub fn death() -> Scene {
    Scene {
        alarms: 1,
        crashes: 1,
        ..short("3 members: an alarm, and a death", 3, 0)
    }
}

/// Two members that cannot reach each other for a while.
pub fn two() -> Scene {
    Scene {
        cut: vec![1],
        entries: 1,
        rounds: 2,
        ..short("2 members: a cut, healed", 2, 0)
    }
}

/// Until the first view has one successor, without second attempts of those who know of the first.
pub fn short(name: &str, members: usize, joiners: usize) -> Scene {
    Scene {
        rounds: 1,
        views: 1,
        ..Scene::new(name, members, joiners)
    }
}

/// Worlds that are explored to their end in every test run.
pub fn small() -> Vec<Scene> {
    vec![
        Scene {
            entries: 0,
            rounds: 1,
            ..two()
        },
        Scene {
            crashes: 1,
            ..short("3 members: a death", 3, 0)
        },
    ]
}

/// Worlds that take minutes, or do not end.
pub fn large() -> Vec<Scene> {
    vec![
        two(),
        alarm(),
        death(),
        Scene {
            crashes: 1,
            entries: 1,
            ..short("3 members: a death, with an entry on its way", 3, 0)
        },
        Scene {
            changes: vec![Change::Insert(2)],
            crashes: 1,
            ..short("2 members: one comes in, one dies", 2, 1)
        },
        Scene {
            changes: vec![Change::Insert(3)],
            crashes: 1,
            entries: 1,
            ..short("3 members: one comes in, one dies", 3, 1)
        },
        Scene {
            changes: vec![Change::Insert(3), Change::Remove(1)],
            crashes: 1,
            views: 2,
            ..short("3 members: one comes in, one goes, one dies", 3, 1)
        },
        Scene {
            cut: vec![0, 1],
            ..short("4 members: two and two", 4, 0)
        },
        Scene {
            crashes: 2,
            mortal: vec![0, 1],
            entries: 1,
            ..short("4 members: the leader and the next die", 4, 0)
        },
    ]
}
