//! S2, S3, S4: when entries are delivered and forgotten.

use super::*;

#[test]
fn an_agreed_entry_is_delivered_wherever_it_is() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    assert_eq!(net.submit(1, Class::Agreed), Ok(1));
    net.carry();
    assert_eq!(
        (net.delivered(0), net.delivered(1), net.delivered(2)),
        (vec![(1, 1)], vec![(1, 1)], vec![])
    );
    assert!(net.committed(1).is_empty());
}

#[test]
fn a_safe_entry_waits_until_everybody_has_it() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(1, Class::Safe).expect("taken");
    net.carry();
    assert_eq!(net.boards[&1].log.have(), Seq(1));
    assert!(net.delivered(1).is_empty());
    net.fates.clear();
    net.sleep(SECOND);
    for number in 0..3 {
        assert_eq!(net.delivered(number), [(1, 1)], "{number}");
    }
    assert_eq!(net.committed(1), [1]);
}

#[test]
fn the_leader_waits_for_a_safe_entry_too() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(0, Class::Safe).expect("taken");
    net.carry();
    assert!(net.delivered(0).is_empty());
    net.fates.clear();
    net.sleep(SECOND);
    assert_eq!(net.delivered(0), [(0, 1)]);
}

#[test]
fn whatever_is_behind_a_safe_entry_waits_with_it() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(0, Class::Safe).expect("taken");
    net.submit(1, Class::Agreed).expect("taken");
    net.carry();
    assert_eq!(net.boards[&1].log.have(), Seq(2));
    assert!(net.delivered(0).is_empty() && net.delivered(1).is_empty());
    net.fates.clear();
    net.sleep(SECOND);
    assert_eq!(net.delivered(1), [(0, 1), (1, 1)]);
}

#[test]
fn an_entry_is_kept_until_everybody_has_it() {
    let mut net = Net::new(3);
    net.fates.insert(2, Fate::Lost);
    net.submit(1, Class::Agreed).expect("taken");
    net.sleep(MILLISECOND * 400);
    assert_eq!(net.delivered(0), [(1, 1)]);
    assert_eq!((net.kept(0), net.kept(1)), (1, 1));
    net.fates.clear();
    net.sleep(SECOND);
    assert_eq!(net.delivered(2), [(1, 1)]);
    assert!(net.is_quiet());
}

#[test]
fn whoever_is_alone_needs_nobody() {
    let mut net = Net::new(1);
    for _ in 0..1_000 {
        net.submit(0, Class::Safe).expect("taken");
    }
    assert_eq!(net.delivered(0).len(), 1_000);
    assert_eq!(net.committed(0).len(), 1_000);
    assert!(net.is_quiet() && net.sent.is_empty());
}

#[test]
fn logged_delivered_and_committed_are_told_in_this_order() {
    let mut net = Net::new(2);
    net.submit(1, Class::Safe).expect("taken");
    net.sleep(SECOND);
    let (number, seq) = (1, Seq(1));
    let told = &net.told[&1];
    assert!(
        matches!(
            &told[..],
            [
                Output::Logged { number: 1, .. },
                Output::Deliver { number: 1, .. },
                Output::Committed { .. }
            ]
        ),
        "{told:?}"
    );
    assert!(told.contains(&Output::Committed { number, seq }));
}
