//! Whatever comes from outside: it costs nothing, or what the pipe costs.

use super::*;
use crate::stream::{Item, MAX_BODY, MAX_ENTRY, Marks};

fn hears(net: &mut Net, at: usize, from: usize, frame: Frame) {
    let from = node(from);
    net.input(at, Input::Received { from, frame });
}

fn have(view: u64, seq: u64) -> Frame {
    Frame::Have {
        view: ViewNumber(view),
        seq: Seq(seq),
        ask: false,
    }
}

fn entry(seq: u64, bytes: Vec<u8>, marks: u64) -> Frame {
    Frame::Entry {
        view: ViewNumber(0),
        seq: Seq(seq),
        entry: Entry(bytes),
        marks: Marks {
            stable: Seq(marks),
            committed: Seq(marks),
        },
        ack: true,
    }
}

#[test]
fn nobody_has_what_was_never_numbered() {
    let mut net = Net::new(2);
    hears(&mut net, 0, 1, have(0, u64::MAX));
    net.submit(0, Class::Safe).expect("taken");
    assert!(net.delivered(0).is_empty());
    hears(&mut net, 0, 1, have(0, 2));
    assert!(net.delivered(0).is_empty());
    net.carry();
    assert_eq!(net.delivered(0), [(0, 1)]);
}

#[test]
fn strangers_and_other_views_are_not_heard() {
    let mut net = Net::new(3);
    net.submit(0, Class::Safe).expect("taken");
    net.wire.clear();
    net.frames();
    for (from, view) in [(7, 0), (1, 1), (2, 1), (1, u64::MAX)] {
        hears(&mut net, 0, from, have(view, 1));
    }
    assert!(net.delivered(0).is_empty());
    // Another voter is not the leader.
    hears(&mut net, 1, 2, entry(1, vec![1], 1));
    assert_eq!(net.boards[&1].log.have(), Seq(0));
    let submit = Frame::Submit {
        view: ViewNumber(0),
        have: Seq(0),
        number: 1,
        class: Class::Agreed,
        body: vec![1],
    };
    hears(&mut net, 1, 2, submit.clone());
    hears(&mut net, 0, 7, submit);
    assert_eq!((net.kept(0), net.kept(1)), (1, 0));
    assert!(net.frames().is_empty());
}

#[test]
fn not_many_who_speak_early_are_remembered() {
    let mut net = Net::new(2);
    for number in 0..100 {
        let from = Node {
            incarnation: number,
            ..node(1)
        };
        let frame = have(9, 0);
        net.input(0, Input::Received { from, frame });
    }
    assert!(net.streams[&0].bounds().iter().all(Bounded::holds));
    assert!(net.is_quiet());
}

#[test]
fn marks_ahead_of_the_entries_mean_nothing_yet() {
    let mut net = Net::new(2);
    let item = Item {
        origin: node(0),
        number: 1,
        class: Class::Safe,
        body: &[1],
    };
    hears(&mut net, 1, 0, entry(1, item.entry().0, u64::MAX));
    assert_eq!(net.delivered(1), [(0, 1)]);
    assert_eq!((net.boards[&1].log.have(), net.kept(1)), (Seq(1), 0));
}

#[test]
fn what_no_stream_has_written_is_delivered_to_nobody() {
    let mut net = Net::new(2);
    hears(&mut net, 1, 0, entry(1, vec![255; 9], 0));
    let item = Item {
        origin: node(0),
        number: 1,
        class: Class::Agreed,
        body: &[],
    };
    hears(&mut net, 1, 0, entry(2, item.entry().0, 0));
    assert_eq!(net.delivered(1), [(0, 1)]);
    assert_eq!(net.streams[&1].delivered(), Seq(2));
}

#[test]
fn entries_and_submissions_that_are_too_long_or_too_many_are_not_taken() {
    let mut net = Net::new(2);
    hears(&mut net, 1, 0, entry(1, vec![0; MAX_ENTRY + 1], 0));
    assert_eq!(net.kept(1), 0);
    let long = Frame::Submit {
        view: ViewNumber(0),
        have: Seq(0),
        number: 1,
        class: Class::Agreed,
        body: vec![0; MAX_BODY + 1],
    };
    hears(&mut net, 0, 1, long);
    assert_eq!(net.kept(0), 0);
    for seq in 1..=300 {
        hears(&mut net, 1, 0, entry(seq, vec![0; 10], 0));
    }
    assert_eq!(net.kept(1), 256);
}

#[test]
fn the_longest_frame_fits_a_pipe_and_a_one_shot_beside_the_longest_view() {
    let item = Item {
        origin: Node {
            incarnation: u64::MAX,
            ..node(0)
        },
        number: u64::MAX,
        class: Class::Safe,
        body: &vec![255; MAX_BODY],
    };
    let whole = item.entry();
    assert!(whole.0.len() <= MAX_ENTRY, "{}", whole.0.len());
    assert_eq!(Item::of(&whole), Some(item.clone()));
    let frame = Frame::Entry {
        view: ViewNumber(u64::MAX),
        seq: Seq(u64::MAX),
        entry: whole.clone(),
        marks: Marks {
            stable: Seq(u64::MAX),
            committed: Seq(u64::MAX),
        },
        ack: true,
    };
    let length = |bytes: Result<Vec<u8>, postcard::Error>| bytes.expect("it can be written").len();
    let voter = Voter::new(Node {
        incarnation: u64::MAX,
        ..node(0)
    });
    let longest = View {
        voters: vec![voter; crate::MAX_VOTERS],
        cut: Seq(u64::MAX),
        ..view(u64::MAX, &[0], 0)
    };
    let promise = (&longest, &whole, u64::MAX, u64::MAX, u64::MAX);
    let name = 128;
    assert!(length(postcard::to_stdvec(&frame)) + name <= 64 * 1024 - 64);
    assert!(length(postcard::to_stdvec(&promise)) + name <= 64 * 1024 - 64);
}
