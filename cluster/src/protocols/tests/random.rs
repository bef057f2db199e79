//! Random orders, random chairs, random losses: every check of `checks` at every entry, and in the end everything is settled.

use std::time::Duration;

use proptest::prelude::*;

use super::handy::value;
use super::world::World;
use crate::protocols::{
    Attributes, Collision, DefaultVote, Exit, MAX_LIMIT, Order, Proposal, ProviderId, Verdict, Vote, Voting,
};

/// What may happen. Numbers choose among whatever is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize, usize, bool),
    Leave(usize),
    Goodbye(usize, Option<u64>),
    Gone(usize),
    Propose(usize, usize, bool),
    Vote(usize, usize),
    Withdraw(usize, u64),
    Send(usize),
    Deactivated(usize),
    Word(usize),
    Answer(usize),
    Apply(usize),
    Settle,
    Pass(u64),
    Cut,
    NextView,
    ChangeChair(bool),
    Lose(usize, bool),
    Add,
    Break(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0usize..64;
    prop_oneof![
        6 => (which.clone(), 0usize..2, prop::bool::weighted(0.95)).prop_map(|(place, name, same)| Step::Join(place, name, same)),
        2 => which.clone().prop_map(Step::Leave),
        2 => (which.clone(), prop::option::of(0u64..400)).prop_map(|(who, hold)| Step::Goodbye(who, hold)),
        2 => which.clone().prop_map(Step::Gone),
        8 => (which.clone(), 0usize..6, any::<bool>()).prop_map(|(who, what, voted)| Step::Propose(who, what, voted)),
        24 => (which.clone(), 0usize..64).prop_map(|(who, what)| Step::Vote(who, what)),
        2 => (which.clone(), 0u64..40).prop_map(|(who, ticket)| Step::Withdraw(who, ticket)),
        2 => which.clone().prop_map(Step::Send),
        2 => which.clone().prop_map(Step::Deactivated),
        20 => which.clone().prop_map(Step::Word),
        10 => which.clone().prop_map(Step::Answer),
        20 => which.clone().prop_map(Step::Apply),
        6 => Just(Step::Settle),
        4 => (1u64..8_000).prop_map(Step::Pass),
        1 => Just(Step::Cut),
        1 => Just(Step::NextView),
        2 => any::<bool>().prop_map(Step::ChangeChair),
        1 => (which.clone(), any::<bool>()).prop_map(|(place, cut)| Step::Lose(place, cut)),
        1 => Just(Step::Add),
        4 => (which, 0usize..4).prop_map(|(place, lost)| Step::Break(place, lost)),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let window = || prop_oneof![Just(0u64), Just(50), Just(3_000)];
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (flags, window(), window(), 1u32..5).prop_map(|(flags, join_window, leave_window, max_phases)| Attributes {
        voted_joins: flags.0,
        voted_leaves: flags.1,
        voted_failures: flags.2,
        default_vote: if flags.3 {
            DefaultVote::Approve
        } else {
            DefaultVote::Reject
        },
        collision: if flags.4 { Collision::Refuse } else { Collision::Queue },
        join_window: Duration::from_millis(join_window),
        leave_window: Duration::from_millis(leave_window),
        max_phases,
        ..Attributes::default()
    })
}

/// Some provider of some node that has one.
fn someone(world: &World, number: usize) -> Option<ProviderId> {
    let all: Vec<ProviderId> = world
        .members
        .iter()
        .flat_map(|member| member.desk.providers())
        .collect();
    all.get(number.checked_rem(all.len())?).copied()
}

fn proposal(world: &World, what: usize, number: usize) -> Proposal {
    let listed = world.listed();
    let somebody = number.checked_rem(listed.len()).map(|place| listed[place]);
    match what {
        0 => value("x"),
        1 => Proposal::State {
            value: b"y".to_vec(),
            expected: Some(world.state().value().1),
        },
        2 => Proposal::Message { body: b"m".to_vec() },
        3 => Proposal::Expel {
            providers: somebody.into_iter().collect(),
            deactivate: number.is_multiple_of(2).then(Vec::new),
        },
        4 => Proposal::Attributes {
            attributes: Box::new(Attributes {
                version: world.state().attributes().version + 1,
                ..world.state().attributes().clone()
            }),
        },
        _ => Proposal::Barrier { name: b"b".to_vec() },
    }
}

fn vote(what: usize) -> Vote {
    let verdict = match what % 8 {
        0 => Verdict::Reject,
        1 | 2 => Verdict::Continue,
        _ => Verdict::Approve,
    };
    Vote {
        message: vec![0; what % 3],
        state: what.is_multiple_of(5).then(|| vec![u8::try_from(what).expect("small")]),
        default: what.is_multiple_of(7).then_some(DefaultVote::Approve),
        ..Vote::new(verdict)
    }
}

fn take(world: &mut World, step: Step, nodes: &mut u8) {
    let place = |number: usize| number % world.members.len();
    match step {
        Step::Join(number, name, same) => {
            let place = place(number);
            let mut attributes = world.members[place].state.attributes().clone();
            attributes.version += u32::from(!same);
            world.ask_to_join(place, ["x", "y"][name], attributes);
        }
        Step::Leave(number) => {
            if let Some(provider) = someone(world, number) {
                world.leave(provider);
            }
        }
        Step::Goodbye(number, hold) => {
            if let Some(provider) = someone(world, number) {
                world.goodbye(provider, hold.map(Duration::from_secs));
            }
        }
        Step::Gone(number) => {
            if let Some(provider) = someone(world, number) {
                world.gone(provider);
            }
        }
        Step::Propose(number, what, voted) => {
            if let Some(provider) = someone(world, number) {
                let proposal = proposal(world, what, number);
                world.propose(provider, proposal, if voted { Voting::VOTED } else { Voting::OnePhase });
            }
        }
        Step::Vote(number, what) => {
            if let Some(provider) = someone(world, number) {
                world.vote(provider, vote(what));
            }
        }
        Step::Withdraw(number, ticket) => {
            if let Some(provider) = someone(world, number) {
                world.withdraw(provider, crate::protocols::Ticket(ticket));
            }
        }
        Step::Send(number) => {
            if let Some(provider) = someone(world, number) {
                let body = b"message".to_vec();
                let place = world.place(provider);
                world.order(place, Order::Send { provider, body });
            }
        }
        Step::Deactivated(number) => {
            let place = place(number);
            if let Some((provider, protocol)) = world.members[place].deactivate.pop() {
                let exit = Exit::Status(0);
                world.order(
                    place,
                    Order::Deactivated {
                        provider,
                        protocol,
                        exit,
                    },
                );
            }
        }
        Step::Word(number) => {
            world.word(place(number));
        }
        Step::Answer(number) => {
            world.answer(place(number));
        }
        Step::Apply(number) => {
            world.apply_next(place(number));
        }
        Step::Settle => world.settle(),
        Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
        // What is cut goes with the view, whose end follows at once.
        Step::Cut => {
            world.cut();
            world.next_view();
        }
        Step::NextView => world.next_view(),
        Step::ChangeChair(cut) => {
            if cut {
                world.cut();
            }
            world.change_chair();
        }
        Step::Lose(number, cut) => {
            let place = place(number);
            if cut && world.members.len() > 1 {
                world.cut();
            }
            world.lose(place);
        }
        Step::Add => {
            world.add(*nodes);
            *nodes += 1;
        }
        Step::Break(number, lost) => world.break_way(place(number), lost),
    }
}

/// One run to its end.
fn run(attributes: Attributes, steps: Vec<Step>) -> World {
    let mut nodes = 4;
    let mut world = World::new(nodes, attributes);
    for step in steps {
        take(&mut world, step, &mut nodes);
    }
    world.settle();
    world.pass(MAX_LIMIT);
    world.at_rest();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_one_history_is_seen_and_everything_is_settled(
        attributes in attributes(),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        run(attributes, steps);
    }
}

#[test]
fn random_runs_reach_every_end_of_a_protocol() {
    use crate::protocols::Outcome;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::collections::BTreeSet;

    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..128 {
        let attributes = attributes().new_tree(&mut runner).expect("a value").current();
        let steps = prop::collection::vec(step(), 300)
            .new_tree(&mut runner)
            .expect("a value")
            .current();
        seen.extend(run(attributes, steps).checks.outcomes);
    }
    let all = [
        Outcome::Approved,
        Outcome::Rejected,
        Outcome::JoinersGone,
        Outcome::TooManyPhases,
    ];
    assert_eq!(seen, BTreeSet::from(all));
}
