//! A state of the tree as a hash: for model checkers, which follow one state into many and have to know it again.
//!
//! Whatever decides how a tree goes on is hashed, in an order that does not depend on how it came there. Every field is named, so that a new
//! one has to be judged here as well. Left out: what never changes, what is only counted, and the places of segments.

use std::hash::{Hash, Hasher};

use crate::tree::{Link, Tree};

impl Hash for Tree {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Tree {
            config: _,
            peer: _,
            tag: _,
            store,
            links,
            silent,
            stopping,
            mismatches: _,
            touched: _,
        } = self;
        store.hash(hasher);
        links.hash(hasher);
        silent.as_slice().hash(hasher);
        stopping.hash(hasher);
    }
}

impl Hash for Link {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Link {
            peer,
            tag: _,
            joint,
            audit,
            told: _,
        } = self;
        (peer, joint, audit).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    use std::time::Duration;

    use fatebound_overlay::{Hop, LinkId, PeerId, Routes, Tag, Time};

    use crate::tests::peer;
    use crate::{Config, Input, Tree};

    struct NoRoutes;

    impl Routes for NoRoutes {
        fn next_hop(&self, _: &PeerId, _: &[Tag], _: bool) -> Option<Hop> {
            None
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

    fn print(tree: &Tree) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(tree)
    }

    fn linked(order: [u32; 2]) -> Tree {
        let mut tree = Tree::new(&Config::default(), peer(0));
        for link in order {
            let other: PeerId = peer(link as u8);
            let (link, key) = (LinkId(link), [0; 32]);
            let up = Input::LinkUp { link, peer: other, key };
            tree.handle(Time::ZERO, up, &NoRoutes, &mut Vec::new());
        }
        tree
    }

    #[test]
    fn a_copy_has_the_same_print_and_goes_on_by_itself() {
        let tree = linked([1, 2]);
        let mut copy = tree.clone();
        assert_eq!(
            print(&tree),
            print(&linked([2, 1])),
            "the order of what commutes does not matter"
        );
        let down = Input::LinkDown {
            link: LinkId(1),
            dead: false,
        };
        copy.handle(Time::ZERO, down, &NoRoutes, &mut Vec::new());
        assert_ne!(print(&tree), print(&copy));
        assert_eq!(print(&tree), print(&linked([1, 2])));
    }
}
