//! Scenario 26: bootstrap peers that lie about who stands on the ring. A liar signs for itself and for names that it has made up, however near to the
//! joiner; not for anybody else. So what it says costs dials, and no place.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_overlay::message::PeerRecord;
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{Command, Config, Key, Multiaddr, PeerId, Routes};

use crate::net::{Net, address, keypair};
use crate::{SECOND, formed};

const HONEST: usize = 12;
/// Names that a liar makes up: as many as fit into one answer, beside itself.
const INVENTED: usize = 60;
/// Where nobody lives: from here on, an address for each of them.
const NOWHERE: usize = 9000;

/// A record of `name`, signed by `signer`, that counts for more than any honest one.
fn record(name: usize, signer: usize, home: usize) -> SignedRecord {
    let record = PeerRecord {
        peer: keypair(name).public().to_peer_id(),
        addresses: vec![address(home)],
        sequence: u64::MAX / 2,
    };
    SignedRecord::sign(record, &keypair(signer))
}

/// Of many identities that nobody has those whose keys are nearest to this one.
fn beside(peer: &PeerId) -> Vec<usize> {
    let key = Key::of(peer);
    let distance = |name: &usize| Key::of(&keypair(*name).public().to_peer_id()).ring_distance(&key);
    let mut names: Vec<usize> = (10_000..12_000).collect();
    names.sort_by_cached_key(distance);
    names.truncate(INVENTED);
    names
}

fn at(names: Vec<usize>, homes: impl Iterator<Item = usize>) -> Vec<SignedRecord> {
    let homes = names.into_iter().zip(homes);
    homes.map(|(name, home)| record(name, name, home)).collect()
}

/// What a liar may say to the node `joiner`.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// Names right beside the joiner, where nobody lives.
    NobodyThere,
    /// The same names, where honest peers live.
    SomebodyElseThere,
    /// The names of honest peers and their neighbours, at an address of the liar's, which these have not signed.
    NotSigned,
    /// Nobody else is there.
    OnlyMe,
}

const LIES: [Lie; 4] = [Lie::NobodyThere, Lie::SomebodyElseThere, Lie::NotSigned, Lie::OnlyMe];

impl Lie {
    fn records(self, joiner: &PeerId, liar: usize) -> Vec<SignedRecord> {
        match self {
            Lie::NobodyThere => at(beside(joiner), NOWHERE..),
            Lie::SomebodyElseThere => at(beside(joiner), (0..HONEST).cycle()),
            Lie::NotSigned => (0..HONEST).map(|name| record(name, liar, liar)).collect(),
            Lie::OnlyMe => Vec::new(),
        }
    }
}

/// From now on these nodes lie to everybody, and each names itself: so who asks takes it for a peer with a place.
fn lie(net: &mut Net, liars: &[usize], joiner: usize, what: Lie) {
    let joiner = net.nodes[joiner].peer;
    for &liar in liars {
        let own = net.nodes[liar].overlay.record().clone();
        let records = what.records(&joiner, liar).into_iter().chain([own]).collect();
        net.lies.insert(liar, records);
    }
}

/// Whom a node wants as neighbours and who does not exist.
fn invented(net: &Net, node: usize) -> Vec<PeerId> {
    let overlay = &net.nodes[node].overlay;
    let (below, above) = overlay.leaf_set();
    let rows = overlay.rows();
    let entries = rows.iter().flatten().map(|(_, peer)| peer);
    let all = below.iter().chain(above).chain(entries);
    all.filter(|peer| net.nodes.iter().all(|node| node.peer != **peer))
        .copied()
        .collect()
}

/// A ring of honest peers and two liars among them, and one more that joins through the liars first.
fn lied_to(what: Lie) -> (Net, usize) {
    let mut net = formed(Config::local(), HONEST + 2);
    let joiner = net.add();
    let liars = [HONEST, HONEST + 1];
    lie(&mut net, &liars, joiner, what);
    net.dials.clear();
    net.join(joiner, &[liars[0], liars[1], 0]);
    (net, joiner)
}

/// "One round in eight asks […] for a bootstrap peer, and dials it if it does not answer": until each of so many has had its turn. Rounds are jittered.
fn turn_of_all(net: &Net, addresses: u32) -> Duration {
    net.config.maintenance_interval.mul_f64(1.25) * (8 * addresses + 2)
}

/// Whoever is dialled in vain leaves the leaf set at once, and hearsay cannot bring it back for a while: so an invented peer has a place for as long as
/// a dial may take, and a peer that exists for good.
#[test]
fn one_honest_bootstrap_address_is_enough_whatever_the_others_say() {
    for what in LIES {
        let (mut net, joiner) = lied_to(what);
        let right = |net: &Net| net.nodes[joiner].overlay.joined() && stands_right(net, joiner);
        let took = net.run_until(turn_of_all(&net, 3), right);
        assert!(took.is_some(), "{what:?}: {}", net.describe());
        let mut since = BTreeMap::new();
        let (mut astray, mut longest) = (0, Duration::ZERO);
        for _ in 0..3000 {
            net.run(SECOND / 10);
            astray += usize::from(!right(&net));
            let wanted = net
                .everybody()
                .into_iter()
                .flat_map(|node| invented(&net, node).into_iter().map(move |peer| (node, peer)));
            since = wanted
                .map(|pair| (pair, since.get(&pair).copied().unwrap_or(net.now)))
                .collect();
            longest = longest.max(
                since
                    .values()
                    .map(|since| net.now.since(*since))
                    .max()
                    .unwrap_or_default(),
            );
        }
        assert!(longest <= SECOND * 3, "{what:?}: {longest:?}");
        assert!(astray <= 3000 / 5, "{what:?}: out of place in {astray} of 3000 moments");
    }
}

/// "For 2 `L`, doubled with each repetition, hearsay does not bring one of these back": so whatever is said for ever costs ever fewer dials.
#[test]
fn lies_that_are_repeated_for_ever_cost_ever_fewer_dials() {
    let (mut net, _) = lied_to(Lie::NobodyThere);
    let period = 2 * net.config.link_lifetime() * 32;
    let dials: Vec<usize> = (0..3)
        .map(|_| {
            net.dials.clear();
            net.run(period);
            let nowhere = |to: &[Multiaddr]| (NOWHERE..NOWHERE + INVENTED).any(|home| to.contains(&address(home)));
            net.dials.iter().filter(|(.., to)| nowhere(to)).count()
        })
        .collect();
    assert!(dials[0] > 0 && dials[2] < dials[0] / 4, "{dials:?}");
    let most = INVENTED * net.nodes.len();
    assert!(dials[2] < most, "less than one each: {dials:?}");
}

/// Liars with a ring of their own, who cannot be seen through from within: they stand where they say and answer. One round of upkeep in eight looks for a
/// bootstrap peer that is not on it.
#[test]
fn who_was_led_onto_a_ring_of_accomplices_finds_the_honest_one() {
    let mut net = formed(Config::local(), HONEST);
    let accomplices: Vec<usize> = (0..3).map(|_| net.add()).collect();
    for (at, &accomplice) in accomplices.iter().enumerate() {
        (0..HONEST).for_each(|honest| {
            net.cuts.insert((honest, accomplice));
        });
        net.join(accomplice, &accomplices[..at.min(1)]);
    }
    net.run(SECOND * 5);
    let joiner = net.add();
    for &accomplice in &accomplices {
        let records = accomplices
            .iter()
            .map(|&other| net.nodes[other].overlay.record().clone());
        let records = records.collect();
        net.lies.insert(accomplice, records);
    }
    net.join(joiner, &[accomplices[0], accomplices[1], 0]);
    let placed = |net: &Net| net.nodes[joiner].overlay.joined();
    assert!(net.run_until(SECOND * 5, placed).is_some(), "among accomplices");
    let took = net.run_until(turn_of_all(&net, 3), |net| stands_right(net, joiner));
    assert!(took.is_some(), "{}", net.describe());
}

/// Whether the honest peers next to a node on both sides have it in their leaf sets, and links with it.
fn stands_right(net: &Net, node: usize) -> bool {
    let peer = net.nodes[node].peer;
    let key = Key::of(&peer);
    let linked = |leaves: &[PeerId], other: usize| {
        leaves.contains(&peer) && net.nodes[node].overlay.link_to(&net.nodes[other].peer).is_some()
    };
    let clockwise = |at: &usize| key.clockwise_to(&Key::of(&net.nodes[*at].peer));
    let above = (0..HONEST).min_by_key(clockwise).expect("honest peers");
    let below = (0..HONEST).max_by_key(clockwise).expect("honest peers");
    linked(net.nodes[above].overlay.leaf_set().0, above) && linked(net.nodes[below].overlay.leaf_set().1, below)
}

/// The liar alone names itself, or not even that: the joiner then has a place beside it, or seeks on. Nothing hangs for it.
#[test]
fn who_knows_only_a_liar_finds_the_ring_when_it_meets_an_honest_peer() {
    for what in LIES {
        for names_itself in [true, false] {
            let mut net = formed(Config::local(), HONEST);
            let (liar, joiner) = (net.add(), net.add());
            (0..HONEST).for_each(|honest| {
                net.cuts.insert((honest, liar));
            });
            net.join(liar, &[]);
            lie(&mut net, &[liar], joiner, what);
            if !names_itself {
                let own = net.nodes[liar].peer;
                let lies = net.lies.get_mut(&liar).expect("it lies");
                lies.retain(|record| record.record().peer != own);
            }
            net.join(joiner, &[liar]);
            net.run(SECOND * 60);
            let overlay = &net.nodes[joiner].overlay;
            let case = format!("{what:?}, names itself: {names_itself}");
            assert_eq!(overlay.joined(), names_itself, "{case}");
            assert!(overlay.link_to(&net.nodes[liar].peer).is_some(), "{case}");
            let bootstrap = vec![address(0)];
            net.command(joiner, Command::Join { bootstrap });
            let placed = |net: &Net| net.nodes[joiner].overlay.joined() && stands_right(net, joiner);
            let took = net.run_until(SECOND * 60, placed);
            assert!(took.is_some(), "{case}: {}", net.describe());
        }
    }
}
