//! Follows every way through a scene.

use std::collections::BTreeMap;
use std::thread::available_parallelism;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use super::observer::{ENDS_IN_ONE_VIEW, PROMISES};
use super::scene::Scene;
use super::world::{Action, World, print};

/// The successor of the first view is installed somewhere.
pub const GOES_ON: &str = "a view follows";

/// A scene as a model.
#[derive(Clone, Debug)]
pub struct Small {
    /// The scene.
    pub scene: Scene,
    /// From one state in so many it is seen whether all ends in one view.
    pub sample: u64,
}

impl Model for Small {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scene)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(&self.scene, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut after = world.clone();
        after.act(&self.scene, &action);
        let nothing = matches!(action, Action::Deliver(_) | Action::Wake(_)) && !after.changed(world);
        if nothing || after.too_far {
            return None;
        }
        if print(&after).is_multiple_of(self.sample) && !after.settles(&self.scene) {
            after.observer.broken.insert(ENDS_IN_ONE_VIEW);
        }
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Small>> {
        fn kept<const PROMISE: usize>(_: &Small, world: &World) -> bool {
            !world.observer.broken.contains(PROMISES[PROMISE])
        }
        vec![
            Property::always(PROMISES[0], kept::<0>),
            Property::always(PROMISES[1], kept::<1>),
            Property::always(PROMISES[2], kept::<2>),
            Property::always(PROMISES[3], kept::<3>),
            Property::always(PROMISES[4], kept::<4>),
            Property::always(PROMISES[5], kept::<5>),
            Property::always(PROMISES[6], kept::<6>),
            Property::always(PROMISES[7], kept::<7>),
            Property::sometimes(GOES_ON, |_, world: &World| world.observer.installed.contains_key(&1)),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        let last = world.observer.installed.last_key_value();
        last.is_none_or(|(number, _)| *number <= self.scene.views)
    }
}

/// What was explored.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest way.
    pub depth: usize,
    /// Whether every state was reached.
    pub complete: bool,
    /// Promises that were broken, with the way there.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// Whether a view followed the first one.
    pub goes_on: bool,
}

/// Follows every way, or until a promise is broken or so many `steps` were taken. `progress` is told states and steps.
pub fn explore(scene: &Scene, sample: u64, steps: Option<usize>, mut progress: impl FnMut(usize, usize)) -> Explored {
    let scene = scene.clone();
    let builder = Small { scene, sample }
        .checker()
        .finish_when(HasDiscoveries::AnyFailures);
    let builder = builder.threads(available_parallelism().map_or(1, usize::from));
    let checker = match steps {
        Some(steps) => builder.target_state_count(steps),
        None => builder,
    }
    .spawn_dfs();
    while !checker.is_done() {
        progress(checker.unique_state_count(), checker.state_count());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let mut broken: BTreeMap<_, _> = checker
        .discoveries()
        .into_iter()
        .map(|(name, path)| (name, tell(path)))
        .collect();
    let goes_on = broken.remove(GOES_ON).is_some();
    Explored {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        complete: broken.is_empty() && steps.is_none_or(|steps| checker.state_count() < steps),
        broken,
        goes_on,
    }
}

/// A way, line by line.
fn tell(path: Path<World, Action>) -> Vec<String> {
    let line = |(world, action): (World, Option<Action>)| action.map(|action| world.line(&action));
    path.into_vec().into_iter().filter_map(line).collect()
}
