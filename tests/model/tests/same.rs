//! Two states that count as the same go on in the same way: else whole branches would be left out unseen.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use fatebound_model::check::Small;
use fatebound_model::state::State;
use fatebound_model::world::Kind;
use fatebound_model::worlds;
use stateright::Model;

fn print(state: &State) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(state)
}

fn prints(model: &Small, state: &State) -> Vec<u64> {
    model.next_states(state).iter().map(print).collect()
}

/// Follows the first states of a world in their order; whoever comes to a known one by another way must find the same ways on. Says how
/// many came so.
fn met_again(model: &Small, states: usize) -> usize {
    let mut known: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut queue = VecDeque::from(model.init_states());
    let mut again = 0;
    while let Some(state) = queue.pop_front().filter(|_| known.len() < states) {
        let ways = prints(model, &state);
        match known.get(&print(&state)) {
            Some(before) => {
                assert_eq!(*before, ways, "{state:#?}");
                again += 1;
            }
            None => {
                known.insert(print(&state), ways);
                queue.extend(model.next_states(&state));
            }
        }
    }
    again
}

#[test]
fn what_counts_as_the_same_goes_on_alike() {
    let kinds = [Kind::MemberCrash, Kind::Restart, Kind::Signal, Kind::Break];
    let direct = worlds::direct("same").with_faults(2, &kinds);
    let kinds = [
        Kind::Silence,
        Kind::DelegateVanish,
        Kind::Break,
        Kind::Stall,
        Kind::Late,
    ];
    let short = worlds::short("same").with_faults(2, &kinds).with_pings();
    for world in [direct, short] {
        let again = met_again(&Small::new(world), 4_000);
        assert!(again > 1_000, "{again}");
    }
}
