//! S7: pipes that break, and pipes that are full.

use super::*;

#[test]
fn what_was_lost_with_a_pipe_is_sent_again() {
    let mut net = Net::new(3);
    for class in [Class::Agreed, Class::Safe, Class::Agreed] {
        net.submit(0, class).expect("taken");
    }
    net.down(0, 2);
    net.sleep(SECOND * 30);
    assert_eq!(net.delivered(2), [(0, 1), (0, 2), (0, 3)]);
    assert!(net.is_quiet());
}

#[test]
fn it_takes_no_time_if_the_next_pipe_holds() {
    let mut net = Net::new(2);
    for _ in 0..3 {
        net.submit(0, Class::Safe).expect("taken");
        net.submit(1, Class::Safe).expect("taken");
    }
    net.down(0, 1);
    net.carry();
    assert_eq!(net.delivered(1).len(), 6);
    assert_eq!(net.now, Time::ZERO);
}

#[test]
fn submissions_that_were_lost_with_a_pipe_are_sent_again_and_none_twice() {
    let mut net = Net::new(2);
    for _ in 0..5 {
        net.submit(1, Class::Agreed).expect("taken");
    }
    // Two arrive, and their entries do not.
    for _ in 0..2 {
        let (_, _, frame) = net.wire.pop_front().expect("a submission");
        let from = node(1);
        net.input(0, Input::Received { from, frame });
    }
    net.down(0, 1);
    net.sleep(SECOND * 5);
    assert_eq!(net.delivered(0), [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]);
    assert_eq!(net.delivered(1), net.delivered(0));
    assert!(net.is_quiet());
}

#[test]
fn a_pipe_that_breaks_again_and_again_is_left_alone_for_a_while() {
    for (leader, other) in [(0, 1), (1, 0)] {
        let mut net = Net::new(2);
        net.fates.insert(other, Fate::Lost);
        net.submit(leader, Class::Agreed).expect("taken");
        let breaks = |net: &mut Net| {
            let before = net.sent.len();
            net.input(leader, Input::LineDown { node: node(other) });
            net.sent.len() - before
        };
        assert_eq!(breaks(&mut net), 1);
        for _ in 0..10 {
            assert_eq!(breaks(&mut net), 0);
        }
        net.fates.clear();
        net.sleep(SECOND * 3);
        assert_eq!(net.delivered(other), [(leader, 1)]);
        net.sleep(SECOND);
        assert!(net.is_quiet());
    }
}

#[test]
fn the_end_of_an_idle_pipe_is_nothing() {
    let mut net = Net::new(2);
    net.submit(1, Class::Safe).expect("taken");
    net.sleep(SECOND);
    net.frames();
    net.down(0, 1);
    assert!(net.frames().is_empty() && net.is_quiet());
    net.submit(0, Class::Safe).expect("taken");
    net.carry();
    assert_eq!(net.delivered(1).len(), 2);
}

#[test]
fn what_a_full_pipe_did_not_take_goes_once_there_is_room_and_nobody_else_waits() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Full);
    for _ in 0..10 {
        net.submit(0, Class::Agreed).expect("taken");
    }
    net.carry();
    assert_eq!(net.delivered(1).len(), 10);
    // It is not tried again and again.
    assert_eq!(net.frames().iter().filter(|(_, to, _)| *to == 2).count(), 1);
    net.fates.clear();
    net.input(0, Input::Room { node: node(2) });
    net.carry();
    assert_eq!(net.delivered(2).len(), 10);
    net.sleep(SECOND);
    assert!(net.is_quiet());
}

#[test]
fn every_kind_of_frame_may_find_its_pipe_full() {
    for refused in 0..3 {
        for class in [Class::Agreed, Class::Safe] {
            let mut net = Net::new(3);
            net.fates.insert(refused, Fate::Full);
            for number in 0..3 {
                net.submit(number, class).expect("taken");
            }
            net.sleep(SECOND);
            net.fates.clear();
            for number in (0..3).filter(|number| *number != refused) {
                net.input(number, Input::Room { node: node(refused) });
            }
            // Or a repetition finds that there is room.
            net.sleep(SECOND * 20);
            for number in 0..3 {
                assert_eq!(net.delivered(number).len(), 3, "{refused} {class:?}");
            }
            assert!(net.is_quiet(), "{refused} {class:?}");
        }
    }
}

#[test]
fn room_that_nobody_tells_of_is_found() {
    let mut net = Net::new(2);
    net.fates.insert(0, Fate::Full);
    net.submit(1, Class::Safe).expect("taken");
    net.fates.insert(1, Fate::Full);
    net.submit(0, Class::Safe).expect("taken");
    net.fates.clear();
    net.sleep(SECOND * 2);
    assert_eq!((net.delivered(0).len(), net.delivered(1).len()), (2, 2));
    assert!(net.is_quiet());
}
