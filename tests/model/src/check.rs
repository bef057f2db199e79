//! The promises as properties, and the worlds as models that `stateright` explores.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fatebound_tree::Operation;
use stateright::{Model, Property};

use crate::peer::Peer;
use crate::state::State;
use crate::step::Action;
use crate::wire::{Item, Wire};
use crate::world::{Kind, World};

/// P1: "every live member is notified within a bounded time".
pub const AGREEMENT: &str = "P1: at the deadline every live member has been told";
/// P2: "a member's handler runs exactly once per group".
pub const ONCE: &str = "P2: nobody is told twice";
/// P4: "the failure of a peer that is not a member … never reaches the application".
pub const NO_FALSE_ALARM: &str = "P4: nobody is told because of a stranger";
/// "No segment or joint-set entry left behind once a group is gone."
pub const NOTHING_LEFT: &str = "nothing is left of a group that is over";
/// Nobody waits for something that will not come.
pub const NOTHING_HANGS: &str = "a quiet group is over, or every path is up";
/// "The root numbers the lists and sends the newest to every member."
pub const LISTS_FOLLOW: &str = "in a quiet group everybody knows the same members";
/// Both ends of a quiet link see the same joint set, and no audit ever saw a difference.
pub const ENDS_AGREE: &str = "both ends of a quiet link watch the same paths";
/// The trees' own invariants, and no honest peer accuses another.
pub const SOUND: &str = "every tree is sound, and nobody is accused";

/// A path broke and came up again.
pub const REPAIRED: &str = "a path is repaired";
/// A `Fail` and a `Construct` are on their way on one link, in opposite directions.
pub const CROSSED: &str = "a fail crosses a construct";
/// Somebody came in later.
pub const CAME_IN: &str = "a guest has come in";
/// Somebody left, and the group goes on.
pub const WENT_OUT: &str = "a member has left";
/// A group failed because nobody answered.
pub const BY_SILENCE: &str = "a group fails by silence";
/// A group failed because a death was proven.
pub const BY_PROOF: &str = "a group fails by proof";

/// A world to be explored.
#[derive(Clone, Debug)]
pub struct Small {
    /// The world.
    pub world: World,
    /// The longest time between a failure and the word of it that was seen, in nanoseconds: for the report.
    latest: Arc<AtomicU64>,
}

impl Small {
    /// To explore this world.
    pub fn new(world: World) -> Small {
        let latest = Arc::default();
        Small { world, latest }
    }

    /// The longest time between a failure and the last word of it, as far as has been explored.
    pub fn latest(&self) -> Duration {
        Duration::from_nanos(self.latest.load(Ordering::Relaxed))
    }

    fn note(&self, before: &State, after: &State) {
        let told = |state: &State| state.peers.iter().map(|peer| u64::from(peer.told)).sum::<u64>();
        if let Some(trigger) = after.trigger
            && told(after) > told(before)
        {
            let nanos = after.now.since(trigger).as_nanos() as u64;
            self.latest.fetch_max(nanos, Ordering::Relaxed);
        }
    }
}

impl Model for Small {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.world)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(&self.world, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let after = state.after(&self.world, &action);
        self.note(state, &after);
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Small>> {
        let always = Property::<Small>::always;
        let sometimes = Property::<Small>::sometimes;
        vec![
            always(AGREEMENT, |model, state| agreement(&model.world, state)),
            always(ONCE, |_, state| {
                state.peers.iter().all(|peer| peer.told + peer.left <= 1)
            }),
            always(NO_FALSE_ALARM, |_, state| {
                state.excused || state.peers.iter().all(|peer| peer.told == 0)
            }),
            always(NOTHING_LEFT, |model, state| nothing_left(&model.world, state)),
            always(NOTHING_HANGS, |model, state| nothing_hangs(&model.world, state)),
            always(LISTS_FOLLOW, |model, state| lists_follow(&model.world, state)),
            always(ENDS_AGREE, |model, state| {
                model.world.allows(Kind::Silence) || ends_agree(state)
            }),
            always(SOUND, |_, state| sound(state)),
            sometimes(REPAIRED, |_, state| counted(state, |groups| groups.repairs_ended > 0)),
            sometimes(CAME_IN, |_, state| counted(state, |groups| groups.admitted > 0)),
            sometimes(WENT_OUT, |_, state| counted(state, |groups| groups.left > 0)),
            sometimes(CROSSED, |_, state| state.wires.iter().any(crossing)),
            sometimes(BY_SILENCE, |_, state| {
                failed(state, &["member_unreachable", "root_unreachable"])
            }),
            sometimes(BY_PROOF, |_, state| failed(state, &["member_died", "root_died"])),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.trigger.is_some() || state.now <= self.world.horizon
    }
}

fn agreement(world: &World, state: &State) -> bool {
    let due = state
        .trigger
        .is_some_and(|trigger| state.now >= trigger + world.bound());
    !due || state.all_told(world)
}

fn nothing_left(world: &World, state: &State) -> bool {
    if !state.over(world) || !state.quiet(world) {
        return true;
    }
    let mut alive = state.peers.iter().filter(|peer| state.alive(peer.number));
    alive.all(|peer| peer.tree.paths() == 0)
}

fn nothing_hangs(world: &World, state: &State) -> bool {
    if state.over(world) || state.trigger.is_some() || !state.quiet(world) {
        return true;
    }
    let view = state.peers[0].groups.view(&State::group(world));
    view.is_some_and(|view| view.complete && view.repairing == 0 && view.hops.iter().all(Option::is_some))
}

fn lists_follow(world: &World, state: &State) -> bool {
    if state.trigger.is_some() || !state.quiet(world) {
        return true;
    }
    let group = State::group(world);
    let names = |peer: &Peer| {
        let view = peer.groups.view(&group);
        view.map(|view| view.members.into_iter().collect::<BTreeSet<_>>())
    };
    let known = names(&state.peers[0]);
    let mut members = state.live_members(world).filter(|peer| peer.told == 0);
    let inside: Vec<_> = state
        .live_members(world)
        .map(|peer| world.roles[usize::from(peer.number)].id)
        .collect();
    let same = members.all(|peer| names(peer) == known);
    same && known.is_some_and(|known| known.iter().all(|id| inside.contains(id)))
}

fn ends_agree(state: &State) -> bool {
    let joint = |wire: &Wire, end: usize| {
        let peer = &state.peers[usize::from(wire.ends[end])];
        peer.tree
            .joint_set(wire.link(end))
            .map(|joint| (joint.digest, joint.paths))
    };
    let idle = |wire: &&Wire| wire.whole() && wire.queues.iter().all(VecDeque::is_empty);
    let mut idle = state.wires.iter().filter(idle);
    idle.all(|wire| joint(wire, 0) == joint(wire, 1)) && state.peers.iter().all(|peer| peer.tree.mismatches() == 0)
}

fn sound(state: &State) -> bool {
    state.accusation.is_none() && state.peers.iter().all(|peer| peer.unsound.is_none())
}

fn counted(state: &State, what: impl Fn(&fatebound_fng::Counters) -> bool) -> bool {
    state.peers.iter().any(|peer| what(peer.groups.counters()))
}

fn failed(state: &State, kinds: &[&str]) -> bool {
    counted(state, |counters| {
        kinds.iter().any(|kind| counters.failures.contains_key(kind))
    })
}

fn crossing(wire: &Wire) -> bool {
    let has = |end: usize, is: fn(&Operation) -> bool| {
        wire.queues[end].iter().any(|item| match item {
            Item::Operation(body) => postcard::from_bytes(body).is_ok_and(|operation| is(&operation)),
            _ => false,
        })
    };
    let fail = |operation: &Operation| matches!(operation, Operation::Fail { .. });
    let construct = |operation: &Operation| matches!(operation, Operation::Construct { .. });
    (0..2).any(|end| has(end, fail) && has(1 - end, construct))
}
