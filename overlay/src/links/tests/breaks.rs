//! Sessions break, at both ends, at one, several at once; dials cross.

use std::time::Duration;

use super::harness::{Door, Net};
use crate::{Config, DeathProof, DisconnectCause, DownReason, Event};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_broken_session_is_resumed_and_operations_are_replayed_once() {
    let mut net = Net::pair();
    for body in 1..=3 {
        net.operate(0, 1, body);
        net.operate(1, 0, body + 10);
    }
    // What was sent is in the air when the stream breaks.
    net.break_both();
    net.operate(0, 1, 4);
    net.run(SECOND);
    net.operate(1, 0, 14);
    net.run(SECOND);
    assert_eq!(net.operations(1), [1, 2, 3, 4]);
    assert_eq!(net.operations(0), [11, 12, 13, 14]);
    assert!(net.agree(0, 1));
    assert_eq!((net.downs(0), net.downs(1)), (vec![], vec![]));
    assert_eq!((net.ups(0), net.ups(1)), (1, 1));
    assert_eq!(net.hosts[0].links.operations_waiting(), 0);
    let doubted = net.count(0, |event| matches!(event, Event::LinkDoubtful { .. }));
    let cleared = net.count(0, |event| matches!(event, Event::LinkCleared { .. }));
    assert_eq!((doubted, cleared), (1, 1));
    assert_eq!(net.open_streams(), 1);
}

#[test]
fn a_break_that_one_end_noticed_is_mended_by_it() {
    for (noticing, dialled_by) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut net = Net::pair_dialled_by(dialled_by);
        assert!(net.break_at(noticing));
        // This goes into the stream that is dead at the other end.
        net.operate(1 - noticing, noticing, 7);
        net.run(Duration::from_millis(100));
        assert!(net.agree(0, 1), "noticed by {noticing}, dialled by {dialled_by}");
        assert_eq!(net.operations(noticing), [7]);
        assert_eq!((net.downs(0), net.downs(1)), (vec![], vec![]));
        assert_eq!((net.ups(0), net.ups(1)), (1, 1));
        assert_eq!(net.open_streams(), 1);
    }
}

/// Scenario 31: every pattern of ends that notice, and every pause between the breaks.
#[test]
fn five_breaks_in_a_second_noticed_by_one_end_each() {
    for pattern in 0..32u32 {
        for pause in [1, 3, 7, 12, 40, 200] {
            let mut net = Net::pair_dialled_by((pattern >> 2 & 1) as usize);
            for step in 0..5 {
                net.operate(0, 1, step);
                net.operate(1, 0, step);
                net.break_at((pattern >> step & 1) as usize);
                net.run(MILLI * pause);
            }
            net.run(SECOND * 5);
            let at = format!("pattern {pattern:05b}, pause {pause}");
            assert!(net.agree(0, 1), "{at}");
            assert_eq!((net.downs(0), net.downs(1)), (vec![], vec![]), "{at}");
            assert_eq!(net.operations(0), [0, 1, 2, 3, 4], "{at}");
            assert_eq!(net.operations(1), [0, 1, 2, 3, 4], "{at}");
            assert_eq!(net.open_streams(), 1, "{at}");
        }
    }
}

/// Scenario 23: the dials cross with every offset; each end founds the link once, and the same one.
#[test]
fn simultaneous_dials_found_one_link() {
    for offset in 0..40 {
        for first in [0, 1] {
            let mut net = Net::new(2, Config::lan());
            net.want(first, 1 - first);
            net.run(MILLI * offset);
            net.want(1 - first, first);
            net.run(SECOND * 3);
            let at = format!("offset {offset}, first {first}");
            assert!(net.agree(0, 1), "{at}");
            assert_eq!((net.ups(0), net.ups(1)), (1, 1), "{at}");
            assert_eq!(net.open_streams(), 1, "{at}");
        }
    }
}

/// Scenario 23: a second stream beside a working one, from either end, and then the wrong one of two closes.
#[test]
fn a_duplicate_session_takes_over_or_goes_without_a_trace() {
    for opener in [0, 1] {
        for delay in 0..30 {
            for breaking in [0, 1] {
                let mut net = Net::pair();
                net.open(opener, 1 - opener, None);
                net.operate(0, 1, 1);
                net.operate(1, 0, 2);
                net.run(MILLI * delay);
                net.operate(0, 1, 3);
                net.break_at(breaking);
                net.run(SECOND * 2);
                let at = format!("opener {opener}, delay {delay}, breaking {breaking}");
                assert!(net.agree(0, 1), "{at}");
                assert_eq!(net.operations(1), [1, 3], "{at}");
                assert_eq!(net.operations(0), [2], "{at}");
                assert_eq!((net.ups(0), net.ups(1)), (1, 1), "{at}");
                assert_eq!(net.open_streams(), 1, "{at}");
            }
        }
    }
}

#[test]
fn two_streams_and_a_working_link_lead_to_no_doubt() {
    for opener in [0, 1] {
        let mut net = Net::pair();
        net.open(opener, 1 - opener, None);
        net.run(SECOND * 5);
        for host in [0, 1] {
            assert_eq!(net.count(host, |event| matches!(event, Event::LinkDoubtful { .. })), 0);
        }
    }
}

#[test]
fn a_restart_is_proof_of_death_and_the_new_life_gets_a_new_link() {
    for silently in [false, true] {
        let mut net = Net::pair();
        let old = net.id(0, 1);
        net.restart(1, silently);
        net.want(1, 0);
        net.run(SECOND);
        assert_eq!(net.proofs(0), [DeathProof::Restarted], "silently {silently}");
        assert_eq!(net.downs(0), [DownReason::Dead(DeathProof::Restarted)]);
        assert_ne!(net.id(0, 1), old);
        assert!(net.agree(0, 1));
        assert_eq!(net.open_streams(), 1);
    }
}

#[test]
fn a_link_that_one_end_gave_up_starts_anew_at_both() {
    for forgetting in [0, 1] {
        let config = Config {
            max_operations: 32,
            operation_window: 16,
            ..Config::lan()
        };
        let mut net = Net::new(2, config);
        net.want(0, 1);
        net.want(1, 0);
        net.run(SECOND);
        for body in 0..5 {
            net.operate(0, 1, body);
            net.operate(1, 0, body);
        }
        net.run(SECOND);
        net.cut = vec![(0, 1), (1, 0)];
        net.break_both();
        for body in 5..=37 {
            net.operate(forgetting, 1 - forgetting, body);
        }
        assert_eq!(net.downs(forgetting), [DownReason::Overflow]);
        net.heal();
        net.run(SECOND * 10);
        assert_eq!(net.downs(forgetting), [DownReason::Overflow]);
        assert_eq!(net.downs(1 - forgetting), [DownReason::Reset]);
        assert!(net.agree(0, 1));
        assert_eq!((net.ups(0), net.ups(1)), (2, 2));
    }
}

#[test]
fn a_refused_redial_proves_death_at_once_for_either_end() {
    for killed in [0, 1] {
        let mut net = Net::pair();
        net.kill(killed, false);
        net.run(MILLI * 20);
        let other = 1 - killed;
        assert_eq!(net.proofs(other), [DeathProof::Refused], "{killed} killed");
        assert_eq!(net.downs(other), [DownReason::Dead(DeathProof::Refused)]);
    }
}

#[test]
fn a_refusal_proves_nothing_where_the_peer_never_answered() {
    let mut net = Net::new(2, Config::lan());
    // Nobody can dial host 1: not even the dial back succeeds.
    net.hosts[1].door = Door::Refuses;
    net.want(1, 0);
    net.run(SECOND);
    assert!(net.agree(0, 1));
    net.break_at(0);
    net.run(SECOND);
    assert_eq!(net.proofs(0), []);
    net.kill(1, false);
    net.run(SECOND * 15);
    assert_eq!((net.proofs(0), net.downs(0)), (vec![], vec![]));
    net.run(SECOND * 7);
    assert_eq!((net.proofs(0), net.downs(0)), (vec![], vec![DownReason::Silent]));
}

#[test]
fn a_refused_dial_of_somebody_else_kills_no_link_that_has_a_session() {
    let mut net = Net::pair();
    let (peer, addresses) = net.place(1);
    let failures = vec![(addresses[0].clone(), crate::DialFailure::Refused)];
    net.input(
        0,
        super::super::Input::DialFailed {
            peer: Some(peer),
            failures,
        },
    );
    net.run(SECOND * 30);
    assert_eq!((net.proofs(0), net.downs(0)), (vec![], vec![]));
}

#[test]
fn a_proven_address_of_a_peer_without_a_link_proves_death_too() {
    let mut net = Net::new(2, Config::lan());
    let (peer, addresses) = net.place(1);
    let prove = super::super::Input::ProveAddress {
        peer,
        addresses: addresses.clone(),
    };
    net.input(0, prove);
    net.run(SECOND);
    let mut failures = vec![(addresses[0].clone(), crate::DialFailure::Timeout)];
    let peer = Some(peer);
    net.input(
        0,
        super::super::Input::DialFailed {
            peer,
            failures: failures.clone(),
        },
    );
    assert_eq!(net.proofs(0), []);
    failures[0].1 = crate::DialFailure::Refused;
    net.input(0, super::super::Input::DialFailed { peer, failures });
    assert_eq!(net.proofs(0), [DeathProof::Refused]);
}

#[test]
fn a_broken_session_is_no_matter_while_another_one_waits_for_its_hello() {
    let mut net = Net::pair();
    let old = net.link(0, 1).unwrap().session.unwrap();
    net.cut = vec![(1, 0)];
    net.open(1, 0, None);
    net.run(MILLI * 20);
    let cause = DisconnectCause::Lost;
    net.input(0, super::super::Input::Disconnected { session: old, cause });
    net.run(MILLI * 20);
    net.heal();
    net.run(SECOND);
    assert_eq!(net.count(0, |event| matches!(event, Event::LinkDoubtful { .. })), 0);
    assert!(net.agree(0, 1));
}
