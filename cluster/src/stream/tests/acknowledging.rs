//! S4, S5: acknowledgements, what is told of the others, and that an idle group says nothing.

use super::*;

fn haves(net: &mut Net) -> Vec<(usize, u64)> {
    let frames = net.frames().into_iter();
    let haves = frames.filter_map(|(from, _, frame)| match frame {
        Frame::Have { seq, .. } => Some((from, seq.0)),
        _ => None,
    });
    haves.collect()
}

#[test]
fn agreed_entries_are_acknowledged_at_a_quarter_of_the_window_or_when_idle() {
    let mut net = Net::new(3);
    for _ in 0..63 {
        net.submit(0, Class::Agreed).expect("taken");
    }
    net.carry();
    assert!(haves(&mut net).is_empty());
    net.submit(0, Class::Agreed).expect("taken");
    net.carry();
    assert_eq!(haves(&mut net), [(1, 64), (2, 64)]);
    net.submit(0, Class::Agreed).expect("taken");
    net.sleep(MILLISECOND * 99);
    assert!(haves(&mut net).is_empty());
    net.sleep(MILLISECOND * 2);
    assert_eq!(haves(&mut net), [(1, 65), (2, 65)]);
}

#[test]
fn a_safe_entry_is_acknowledged_and_told_at_once() {
    let mut net = Net::new(3);
    net.submit(0, Class::Safe).expect("taken");
    net.carry();
    let frames: Vec<_> = net.frames().into_iter().map(|(from, to, _)| (from, to)).collect();
    assert_eq!(frames, [(0, 1), (0, 2), (1, 0), (2, 0), (0, 1), (0, 2)]);
    assert!(net.is_quiet());
    assert_eq!(net.now, Time::ZERO);
}

#[test]
fn a_submission_carries_the_acknowledgement() {
    let mut net = Net::new(2);
    net.submit(0, Class::Agreed).expect("taken");
    net.carry();
    net.submit(1, Class::Agreed).expect("taken");
    net.carry();
    assert_eq!(net.committed(0), [1]);
    assert!(haves(&mut net).is_empty());
}

#[test]
fn many_bytes_are_acknowledged_before_an_idle_time_is_over() {
    let mut net = Net::new(2);
    let body = vec![0; 50 * 1024];
    for _ in 0..60 {
        net.submit_body(0, Class::Agreed, body.clone()).expect("taken");
    }
    net.carry();
    assert_eq!(net.delivered(1).len(), 60);
    // Never more on their way than may be, and one beyond it.
    let (mut under_way, mut most) = (0, 0);
    for (_, _, frame) in net.frames() {
        match frame {
            Frame::Entry { .. } => under_way += 1,
            Frame::Have { .. } => under_way = 0,
            _ => {}
        }
        most = most.max(under_way);
    }
    assert!(most <= 4, "{most}");
}

#[test]
fn an_idle_group_says_nothing() {
    let mut net = Net::new(5);
    assert!(net.is_quiet());
    for number in 0..5 {
        for class in [Class::Agreed, Class::Safe, Class::Agreed] {
            net.submit(number, class).expect("taken");
        }
    }
    net.sleep(SECOND);
    assert!(net.is_quiet());
    assert_eq!(net.delivered(4).len(), 15);
    net.frames();
    net.sleep(SECOND * 3_600);
    assert!(net.frames().is_empty());
}

#[test]
fn of_one_agreed_entry_each_node_hears_twice_and_says_one_word() {
    let mut net = Net::new(4);
    net.submit(0, Class::Agreed).expect("taken");
    net.sleep(SECOND * 60);
    assert_eq!(net.frames().len(), 3 * 3);
    assert!(net.is_quiet());
}

#[test]
fn whoever_has_not_heard_what_is_stable_asks() {
    let mut net = Net::new(2);
    net.submit(0, Class::Safe).expect("taken");
    let (_, _, frame) = net.wire.pop_front().expect("an entry");
    let from = node(0);
    net.input(1, Input::Received { from, frame });
    // The acknowledgement arrives, and what it brings is lost.
    net.fates.insert(1, Fate::Lost);
    net.carry();
    assert_eq!(net.delivered(0), [(0, 1)]);
    assert!(net.delivered(1).is_empty());
    net.fates.clear();
    net.sleep(SECOND);
    assert_eq!(net.delivered(1), [(0, 1)]);
    assert!(net.is_quiet());
}

#[test]
fn what_is_lost_is_sent_again_ever_more_rarely() {
    let mut net = Net::new(2);
    net.fates.insert(1, Fate::Lost);
    net.submit(0, Class::Agreed).expect("taken");
    net.sleep(SECOND * 60);
    let times: Vec<u64> = net.sent.iter().map(|(.., at)| at.as_nanos() / 1_000_000).collect();
    let expected = [
        0, 500, 1_500, 3_500, 7_500, 15_500, 23_500, 31_500, 39_500, 47_500, 55_500,
    ];
    assert_eq!(times, expected);
    net.fates.clear();
    net.sleep(SECOND * 9);
    assert_eq!(net.delivered(1), [(0, 1)]);
    assert!(net.is_quiet());
}

#[test]
fn whoever_acknowledges_nothing_lags_and_is_named_once() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(0, Class::Agreed).expect("taken");
    let lagging = |net: &Net| {
        let told = net.told[&0].iter();
        told.filter(|output| matches!(output, Output::Lagging { node: late, .. } if *late == node(2)))
            .count()
    };
    net.sleep(MILLISECOND * 4_999);
    assert_eq!(lagging(&net), 0);
    net.sleep(SECOND * 60);
    assert_eq!(lagging(&net), 1);
    net.fates.clear();
    net.sleep(SECOND * 10);
    assert!(net.is_quiet());
    net.fates.insert(2, Fate::Lost);
    net.submit(1, Class::Agreed).expect("taken");
    net.sleep(SECOND * 6);
    assert_eq!(lagging(&net), 2);
}
