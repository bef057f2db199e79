//! S6: from one view to the next.

use super::*;

/// Node 0 goes, and its entries up to the cut stay.
fn goes_on(net: &mut Net, members: &[usize], cut: u64) {
    let longest = *members
        .iter()
        .max_by_key(|number| net.boards[number].log.have())
        .expect("one");
    for number in members {
        net.wedge(*number);
    }
    net.wire.clear();
    for number in members {
        net.end(*number, longest, cut);
    }
    let next = view(1, members, cut);
    for number in members {
        net.install(*number, &next, BTreeMap::new());
    }
}

#[test]
fn whatever_is_not_before_the_cut_is_submitted_again_in_order() {
    let mut net = Net::new(3);
    net.submit(1, Class::Agreed).expect("taken");
    net.submit(2, Class::Safe).expect("taken");
    net.carry();
    net.fates.insert(0, Fate::Lost);
    for class in [Class::Safe, Class::Agreed, Class::Safe] {
        net.submit(1, class).expect("taken");
        net.submit(2, class).expect("taken");
    }
    goes_on(&mut net, &[1, 2], 2);
    net.sleep(SECOND);
    let of = |net: &Net, at: usize, whose: usize| {
        let delivered = net.delivered(at).into_iter().filter(|(origin, _)| *origin == whose);
        delivered.map(|(_, number)| number).collect::<Vec<_>>()
    };
    assert_eq!((of(&net, 1, 1), of(&net, 1, 2)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    assert_eq!(net.delivered(1), net.delivered(2));
    assert_eq!((net.committed(1).len(), net.committed(2).len()), (4, 4));
    let ended = net.streams[&1].deadline().is_none() && net.streams[&2].deadline().is_none();
    assert!(ended && net.kept(1) == 0 && net.kept(2) == 0);
}

#[test]
fn what_is_in_the_log_is_delivered_with_the_cut_and_not_submitted_again() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(1, Class::Safe).expect("taken");
    net.carry();
    assert!(net.delivered(1).is_empty());
    net.frames();
    goes_on(&mut net, &[1, 2], 1);
    net.fates.clear();
    assert_eq!((net.delivered(1), net.delivered(2)), (vec![(1, 1)], vec![(1, 1)]));
    assert_eq!(net.committed(1), [1]);
    net.sleep(SECOND);
    assert!(net.frames().iter().all(|(from, ..)| *from == 0));
}

#[test]
fn between_views_submissions_wait() {
    let mut net = Net::new(3);
    for number in 1..3 {
        net.wedge(number);
        net.submit(number, Class::Agreed).expect("taken");
    }
    net.sleep(SECOND);
    assert!(net.frames().is_empty() && net.streams[&1].deadline().is_none());
    goes_on(&mut net, &[1, 2], 0);
    net.sleep(SECOND);
    assert_eq!(net.delivered(1).len(), 2);
    assert_eq!(net.delivered(2), net.delivered(1));
}

#[test]
fn in_a_view_that_has_stopped_nothing_is_said_or_heard() {
    let mut net = Net::new(3);
    net.submit(0, Class::Agreed).expect("taken");
    net.wedge(1);
    net.carry();
    assert_eq!(net.delivered(1), []);
    assert_eq!(net.boards[&1].log.have(), Seq(0));
    assert!(net.frames().iter().all(|(from, ..)| *from != 1));
    net.wedge(0);
    assert!(net.streams[&0].deadline().is_none());
}

#[test]
fn a_newcomer_counts_from_one_and_knows_how_far_the_others_are() {
    let mut net = Net::new(2);
    for _ in 0..3 {
        net.submit(1, Class::Safe).expect("taken");
    }
    net.carry();
    let state = net.streams[&0].lasts().clone();
    assert_eq!(state, BTreeMap::from([(node(1), 3)]));
    // The newcomer leads the view after the next one.
    let next = view(1, &[0, 1, 2], 3);
    net.streams.insert(2, Stream::new(node(2), Config::default()));
    for number in [0, 1] {
        net.end(number, number, 3);
        net.install(number, &next, BTreeMap::new());
    }
    let refused = {
        let stream = net.streams.get_mut(&2).expect("a node");
        let mut out = Vec::new();
        let board = net.boards.get_mut(&0).expect("a node");
        stream.submit(Time::ZERO, Class::Safe, vec![], board, &mut out)
    };
    assert_eq!(refused, Err(Refused::NotIn));
    net.install(2, &next, state);
    net.submit(2, Class::Safe).expect("taken");
    net.submit(1, Class::Safe).expect("taken");
    net.sleep(SECOND);
    assert_eq!(net.delivered(2), [(2, 1), (1, 4)]);
    assert_eq!(net.streams[&2].lasts(), net.streams[&0].lasts());
    let last = view(2, &[2, 1], 5);
    for number in [1, 2] {
        net.end(number, number, 5);
        net.install(number, &last, BTreeMap::new());
    }
    net.submit(1, Class::Safe).expect("taken");
    net.sleep(SECOND);
    assert_eq!(net.delivered(2), [(2, 1), (1, 4), (1, 5)]);
    assert_eq!(net.streams[&2].lasts().len(), 2);
}

#[test]
fn whoever_spoke_too_early_is_told_when_the_view_has_begun() {
    for first in [0, 1] {
        let mut net = Net::new(2);
        let next = view(1, &[0, 1], 0);
        net.end(first, first, 0);
        net.install(first, &next, BTreeMap::new());
        net.submit(first, Class::Safe).expect("taken");
        net.carry();
        let second = 1 - first;
        net.end(second, second, 0);
        net.install(second, &next, BTreeMap::new());
        net.carry();
        assert_eq!(
            (net.delivered(0), net.delivered(1)),
            (vec![(first, 1)], vec![(first, 1)])
        );
        assert_eq!(net.now, Time::ZERO);
        assert!(net.is_quiet());
    }
}

#[test]
fn whoever_is_put_out_does_not_know_what_became_of_its_last() {
    let mut net = Net::new(3);
    net.submit(2, Class::Safe).expect("taken");
    net.carry();
    net.fates.insert(1, Fate::Lost);
    net.submit(2, Class::Agreed).expect("taken");
    net.carry();
    net.fates.insert(0, Fate::Lost);
    net.submit(2, Class::Agreed).expect("taken");
    net.wedge(2);
    net.input(2, Input::Removed);
    let unknown = net.told[&2].iter().filter_map(|output| match output {
        Output::Unknown { number } => Some(*number),
        _ => None,
    });
    assert_eq!(unknown.collect::<Vec<_>>(), [2, 3]);
    assert_eq!(net.submit(2, Class::Safe), Err(Refused::NotIn));
    assert!(net.streams[&2].deadline().is_none());
}
