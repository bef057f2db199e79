//! S4, S6 at the leader: the window, whose turn it is, and that nothing is numbered twice.

use super::*;
use crate::stream::{MAX_BODY, MAX_ENTRY};

/// The kinds of frames, and how many.
fn count(frames: &[(usize, usize, Frame)], kind: fn(&Frame) -> bool) -> usize {
    frames.iter().filter(|(_, _, frame)| kind(frame)).count()
}

#[test]
fn a_submission_that_comes_twice_is_numbered_once() {
    let mut net = Net::new(2);
    net.submit(1, Class::Agreed).expect("taken");
    let again = net.wire.front().cloned().expect("a submission");
    net.wire.push_back(again.clone());
    net.carry();
    net.wire.push_back(again);
    net.sleep(SECOND);
    assert_eq!((net.delivered(0), net.delivered(1)), (vec![(1, 1)], vec![(1, 1)]));
}

#[test]
fn submissions_that_overtake_each_other_are_numbered_in_their_order() {
    let mut net = Net::new(2);
    for _ in 0..4 {
        net.submit(1, Class::Agreed).expect("taken");
    }
    net.wire.swap(0, 3);
    net.wire.swap(1, 2);
    net.sleep(SECOND);
    assert_eq!(net.delivered(0), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(net.delivered(1), net.delivered(0));
}

#[test]
fn no_more_than_a_window_is_kept_and_then_submissions_wait_at_their_nodes() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    let mut taken = 0;
    while net.submit(1, Class::Agreed).is_ok() {
        taken += 1;
        net.carry();
        assert!(taken < 1_000, "the window has no end");
    }
    assert_eq!((net.kept(0), net.kept(1), taken), (256, 256, 256 + 64));
    assert_eq!(net.submit(1, Class::Agreed), Err(Refused::QueueFull));
    assert_eq!(net.submit(0, Class::Agreed), Ok(1));
    assert_eq!(net.delivered(0).len(), 256);
    net.fates.clear();
    net.sleep(SECOND * 10);
    assert_eq!(net.delivered(2).len(), 256 + 64 + 1);
    assert_eq!(net.delivered(2), net.delivered(1));
    assert!(net.is_quiet());
}

#[test]
fn the_window_is_one_of_bytes_too() {
    let mut net = Net::new(2);
    net.fates.insert(1, Fate::Lost);
    let mut taken = 0;
    while net.submit_body(0, Class::Agreed, vec![1; MAX_BODY]).is_ok() {
        taken += 1;
    }
    let bytes = net.boards[&0].log.bytes();
    assert!(
        (4 * 1024 * 1024 - MAX_ENTRY..=4 * 1024 * 1024).contains(&bytes),
        "{bytes}"
    );
    assert_eq!(taken, 68 + 64);
    net.fates.clear();
    net.sleep(SECOND * 10);
    assert_eq!(net.delivered(1).len(), 132);
    assert!(net.is_quiet());
}

#[test]
fn whoever_was_turned_away_is_called_once_there_is_room_for_what_it_has() {
    let config = Config {
        window_bytes: 2 * MAX_ENTRY,
        ..Config::default()
    };
    let mut net = Net::with(3, &config);
    net.fates.insert(2, Fate::Lost);
    net.submit_body(0, Class::Agreed, vec![1; MAX_BODY]).expect("taken");
    net.submit_body(0, Class::Agreed, vec![1; 10_000]).expect("taken");
    net.submit_body(1, Class::Agreed, vec![1; MAX_BODY]).expect("taken");
    net.carry();
    let calls = |frame: &Frame| matches!(frame, Frame::Resume { .. });
    let frames = net.frames();
    assert_eq!(count(&frames, calls), 0, "{:?}", frames.len());
    assert_eq!(net.delivered(1), [(0, 1), (0, 2)]);
    net.fates.clear();
    net.sleep(MILLISECOND * 600);
    let called = net
        .frames()
        .into_iter()
        .any(|(from, to, frame)| (from, to) == (0, 1) && calls(&frame));
    assert!(called);
    assert_eq!(net.delivered(2), [(0, 1), (0, 2), (1, 1)]);
}

#[test]
fn while_others_wait_the_leader_fills_half_of_the_window() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    for _ in 0..256 {
        net.submit(0, Class::Agreed).expect("taken");
    }
    net.submit(1, Class::Agreed).expect("taken");
    net.carry();
    for _ in 0..64 {
        net.submit(0, Class::Agreed).expect("taken");
    }
    // A hundred are stable.
    let have = Frame::Have {
        view: ViewNumber(0),
        seq: Seq(100),
        ask: false,
    };
    net.sleep(MILLISECOND * 150);
    let from = node(2);
    net.input(0, Input::Received { from, frame: have });
    assert_eq!(net.kept(0), 156);
    net.carry();
    assert!(net.delivered(0).contains(&(1, 1)));
    assert_eq!(net.kept(0), 156 + 1 + 64);
}

#[test]
fn a_leader_that_has_put_the_next_view_behind_its_entries_numbers_nothing() {
    let mut net = Net::new(2);
    net.board(0).sealed = true;
    net.submit(0, Class::Agreed).expect("taken");
    net.submit(1, Class::Agreed).expect("taken");
    net.sleep(SECOND);
    assert_eq!(net.kept(0), 0);
    net.board(0).sealed = false;
    net.sleep(SECOND * 10);
    assert_eq!(net.delivered(1).len(), 2);
    assert!(net.is_quiet());
}

#[test]
fn what_is_too_much_or_too_long_is_refused_and_nothing_has_changed() {
    let mut net = Net::new(2);
    net.fates.insert(0, Fate::Lost);
    assert_eq!(
        net.submit_body(1, Class::Agreed, vec![0; MAX_BODY + 1]),
        Err(Refused::TooLong)
    );
    for number in 1..=64 {
        assert_eq!(net.submit(1, Class::Agreed), Ok(number));
    }
    assert_eq!(net.submit(1, Class::Agreed), Err(Refused::QueueFull));
    net.fates.clear();
    net.sleep(SECOND * 2);
    assert_eq!(net.submit(1, Class::Agreed), Ok(65));
    net.sleep(SECOND);
    assert_eq!(net.delivered(0).len(), 65);
    let mut long = Net::new(2);
    long.fates.insert(0, Fate::Lost);
    let body = || vec![0; MAX_BODY];
    let taken = (0..100)
        .take_while(|_| long.submit_body(1, Class::Safe, body()).is_ok())
        .count();
    assert_eq!(taken, 64);
    let config = Config {
        queue_bytes: 2 * MAX_BODY,
        ..Config::default()
    };
    let mut short = Net::with(2, &config);
    short.fates.insert(0, Fate::Lost);
    let taken = (0..100)
        .take_while(|_| short.submit_body(1, Class::Safe, body()).is_ok())
        .count();
    assert_eq!(taken, 2);
}
