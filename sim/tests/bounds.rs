//! At their limits: peers that may keep next to nothing, and more of everything than that. No limit is exceeded, and nearly all of them
//! are reached; else this would show nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_machine::Command;
use fatebound_machine::fng::{Command as Order, Ticket};
use fatebound_machine::overlay::directory::{
    Command as Naming, Kind, Name, Order as Later, Publication, Ticket as NameTicket,
};
use fatebound_sim::{Config, Latency, PeerIndex, Profile, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PEERS: usize = 20;

/// `local`, as small as its rules let it be.
fn cramped() -> Config {
    let mut config = Config::preset(Profile::Local);
    config.overlay.hop_limit = 6;
    config.overlay.leaves_per_side = 2;
    config.overlay.max_links = 5;
    config.overlay.max_posts = 2;
    config.overlay.max_addresses = 1;
    config.overlay.operation_window = 16;
    config.overlay.max_operations = 16;
    config.overlay.directory.refresh = Duration::from_secs(4);
    config.overlay.directory.max_records = 6;
    config.overlay.directory.max_bytes = 4096;
    config.overlay.directory.max_per_publisher = 2;
    config.overlay.directory.max_claims = 2;
    config.overlay.directory.max_claims_per_peer = 1;
    config.overlay.directory.max_published = 2;
    config.overlay.directory.max_searches = 2;
    config.tree.max_paths = 6;
    config.tree.max_paths_per_link = 3;
    config.groups.max_groups = 4;
    config.groups.max_groups_per_peer = 2;
    config.groups.max_members = 4;
    config.aligned()
}

/// Groups come, some fail, and hosts die and come back.
fn trouble(world: &mut World, rng: &mut StdRng, ticket: u64) {
    let peer = |rng: &mut StdRng| PeerIndex(rng.random_range(0..PEERS));
    let (one, other) = (peer(rng), peer(rng));
    match rng.random_range(0..8) {
        0 => world.crash(one),
        1 => world.restart(one),
        2 => world.break_sessions_at(one, other),
        3 => world.silence_sessions(one, other),
        _ => {
            let members = (0..3).map(|_| world.id(peer(rng))).collect();
            let create = Order::Create {
                ticket: Ticket(ticket),
                members,
                tag: None,
                state: Vec::new(),
                timeout: None,
                admit: fatebound_machine::fng::Admit::default(),
            };
            world.command(one, Command::Group(create));
        }
    }
}

/// Names are published, claimed and looked up, by anybody.
fn names(world: &mut World, rng: &mut StdRng, number: u64) {
    let peer = PeerIndex(rng.random_range(0..PEERS));
    let name = Name::new(Kind::TEXT, format!("n{}", rng.random_range(0..40)));
    let ticket = NameTicket(number);
    let order = match rng.random_range(0..4) {
        0 => Naming::Find { ticket, name },
        1 => Naming::Claim { ticket, name },
        _ => Naming::Publish {
            ticket,
            publication: Publication {
                name,
                order: Later {
                    incarnation: 1,
                    view: number,
                },
                signers: Vec::new(),
                tombstone: rng.random_bool(0.1),
                body: vec![0; rng.random_range(0..2000)],
            },
        },
    };
    world.command(peer, Command::Directory(order));
}

#[test]
fn no_limit_is_exceeded_however_tight_it_is() {
    let mut reached = BTreeSet::new();
    for seed in 0..4 {
        let mut world = World::with_config(seed, cramped(), Latency::RACK);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut naming = StdRng::seed_from_u64(seed + 1000);
        for peer in 0..PEERS {
            let first: Vec<PeerIndex> = (0..peer.min(3)).map(PeerIndex).collect();
            world.spawn(&first);
        }
        for ticket in 0..1500 {
            world.run_for(Duration::from_millis(20));
            trouble(&mut world, &mut rng, ticket);
            names(&mut world, &mut naming, ticket);
            for peer in (0..PEERS).map(PeerIndex) {
                for bounded in world.bounds(peer) {
                    assert!(bounded.holds(), "seed {seed}, after {:?}: {bounded:?}", world.now());
                    if bounded.size > 0 && bounded.size == bounded.limit {
                        reached.insert(bounded.what);
                    }
                }
            }
        }
    }
    // Links may be one more for each peer wanted as a neighbour: whether all of those are linked at once is up to chance.
    for what in [
        "postings",
        "ends of questions",
        "waiters of a search",
        "paths",
        "paths on a link",
        "history of a joint set",
        "groups",
        "groups of another root",
        "members of a group",
        "directory records",
        "directory records of a publisher",
        "names published",
    ] {
        assert!(reached.contains(what), "{what} never came to its limit: {reached:?}");
    }
}
