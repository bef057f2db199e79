//! A hundred thousand paths on one link.

use std::time::Duration;

use fatebound_overlay::{Hop, LinkId, PeerId, Routes, Tag, Time};

use super::{group, path_of, peer, tag};
use crate::{Cause, Config, Input, Operation, Output, Tree};

const ABOVE: LinkId = LinkId(0);
const BELOW: LinkId = LinkId(1);
const PATHS: u64 = 100_000;

/// Everything goes down.
struct Down;

impl Routes for Down {
    fn next_hop(&self, _: &PeerId, _: &[Tag], _: bool) -> Option<Hop> {
        Some(Hop {
            link: BELOW,
            detour: false,
        })
    }

    fn link_to(&self, _: &PeerId) -> Option<LinkId> {
        None
    }

    fn common_neighbours(&self, _: &PeerId) -> Vec<LinkId> {
        Vec::new()
    }

    fn round_trips(&self) -> Option<Duration> {
        None
    }
}

fn handle(tree: &mut Tree, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    tree.handle(Time::ZERO, input, &Down, &mut out);
    out
}

fn construct(tree: &mut Tree, sequence: u64) -> Vec<Output> {
    let operation = Operation::Construct {
        path: path_of(group(0, sequence), 2, 1),
        visited: vec![tag(0)],
        detours: 3,
    };
    let link = ABOVE;
    handle(tree, Input::Operation { link, operation })
}

/// Scenario 22.
#[test]
fn a_link_with_100_000_paths_goes_down_in_batches() {
    let mut tree = Tree::new(&Config::default(), peer(1));
    for (link, other) in [(ABOVE, 0), (BELOW, 2)] {
        let (peer, key) = (peer(other), [other; 32]);
        handle(&mut tree, Input::LinkUp { link, peer, key });
    }
    for sequence in 0..PATHS {
        construct(&mut tree, sequence);
    }
    assert_eq!((tree.paths(), tree.paths_on(BELOW)), (100_000, 100_000));
    let refused = construct(&mut tree, PATHS);
    let expected = vec![(path_of(group(0, PATHS), 2, 1), Cause::Busy)];
    assert!(matches!(
        &refused[0],
        Output::Operate { operation: Operation::Release { paths }, .. } if *paths == expected
    ));

    let link = BELOW;
    let out = handle(&mut tree, Input::LinkDown { link, dead: false });
    let mut released = 0;
    let mut operations = 0;
    for output in &out {
        if let Output::Operate { link, operation } = output {
            let Operation::Release { paths } = operation else {
                panic!("only releases follow")
            };
            assert_eq!(*link, ABOVE);
            assert!(paths.len() <= 256);
            operations += 1;
            released += paths.len();
        }
    }
    assert_eq!((operations, released), (100_000usize.div_ceil(256), 100_000));
    assert_eq!(out.len(), operations + 1, "and one joint set");
    assert_eq!(tree.paths(), 0);
    tree.check_invariants().expect("all invariants hold");
}
