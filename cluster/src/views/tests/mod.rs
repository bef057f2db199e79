//! One voter at a time: what it does with what it is told.

use fatebound_base::{Keypair, Time};
use fatebound_tree::GroupId;

use super::{ChangeRefused, Config, Context, Event, GuardRequest, Input, Message, Output, Status, Views};
use crate::log::Entry;
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::quorum::Policy;
use crate::view::{View, Voter};

fn node(number: u8) -> Node {
    let keypair = Keypair::ed25519_from_bytes([number + 1; 32]).expect("32 bytes");
    Node {
        peer: keypair.public().to_peer_id(),
        incarnation: 1,
    }
}

fn guard(root: Node, sequence: u64) -> GroupId {
    GroupId {
        root: root.peer,
        incarnation: 1,
        sequence,
    }
}

fn view(number: u64, members: &[u8], cut: u64) -> View {
    View {
        number: ViewNumber(number),
        voters: members.iter().map(|number| Voter::new(node(*number))).collect(),
        policy: Policy::Majority,
        cut: Seq(cut),
        guard: guard(node(members[0]), number),
    }
}

fn first(me: u8) -> Views {
    Views::founding(node(me), view(0, &[0, 1, 2], 0), Config::default()).expect("a member")
}

fn handle(views: &mut Views, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    views.handle(Time::ZERO, input, Context::default(), &mut out);
    out
}

fn hears(views: &mut Views, from: u8, message: Message) -> Vec<Output> {
    handle(
        views,
        Input::Received {
            from: node(from),
            message,
        },
    )
}

fn says(out: &[Output]) -> Vec<&Message> {
    let said = out.iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    said.collect()
}

fn refused(out: &[Output]) -> Option<&ChangeRefused> {
    out.iter().find_map(|output| match output {
        Output::Event(Event::ChangeRefused(why)) => Some(why),
        _ => None,
    })
}

fn insert(members: &[u8]) -> Input {
    Input::Change {
        insert: members.iter().map(|number| Voter::new(node(*number))).collect(),
        remove: Vec::new(),
    }
}

fn created(out: &[Output]) -> (GuardRequest, Vec<Node>) {
    let created = out.iter().find_map(|output| match output {
        Output::CreateGuard { request, members } => Some((*request, members.clone())),
        _ => None,
    });
    created.expect("a guard is ordered")
}

/// The leader takes node 3 in; the other two accept it.
fn with_a_newcomer() -> Views {
    let mut leader = first(0);
    let (request, _) = created(&handle(&mut leader, insert(&[3])));
    let guard = guard(node(0), 7);
    handle(&mut leader, Input::GuardCreated { request, guard });
    let (view, ballot) = (ViewNumber(0), Ballot::PLANNED);
    hears(&mut leader, 1, Message::Accepted { view, ballot });
    assert_eq!(leader.view().map(|view| view.voters.len()), Some(4));
    leader
}

const ATTEMPT: Ballot = Ballot { round: 1, place: 1 };

fn prepare() -> Message {
    Message::Prepare {
        view: ViewNumber(0),
        ballot: ATTEMPT,
        have: Seq(0),
    }
}

#[test]
fn whoever_is_not_in_an_open_view_speaks_for_nobody() {
    let mut member = first(2);
    assert!(member.speaks());
    handle(
        &mut member,
        Input::GuardFailed {
            guard: guard(node(0), 0),
        },
    );
    assert_eq!(member.status(), Status::Wedged);
    assert!(!member.speaks());
}

#[test]
fn nobody_accepts_a_view_before_it_has_all_entries_of_the_last() {
    let mut member = first(2);
    hears(&mut member, 1, prepare());
    let accept = || Message::Accept {
        view: ViewNumber(0),
        ballot: ATTEMPT,
        next: Box::new(view(1, &[1, 2], 1)),
    };
    let out = hears(&mut member, 1, accept());
    assert!(matches!(says(&out)[..], [Message::Have { seq: Seq(0), .. }]), "{out:?}");
    let mut log = crate::Log::new(Seq(0));
    log.append(Seq(1), Entry(vec![1]));
    let fill = Message::Fill {
        view: ViewNumber(0),
        run: log.run(Seq(0), 100),
    };
    hears(&mut member, 1, fill);
    let out = hears(&mut member, 1, accept());
    assert!(matches!(says(&out)[..], [Message::Accepted { .. }]), "{out:?}");
}

#[test]
fn the_guards_root_is_the_leader_to_be() {
    let mut late = first(1);
    handle(
        &mut late,
        Input::GuardFailed {
            guard: guard(node(0), 0),
        },
    );
    let mut out = Vec::new();
    late.handle(Time::from_millis(200), Input::Wake, Context::default(), &mut out);
    let ballot = ATTEMPT;
    let promise = || Message::Promise {
        view: ViewNumber(0),
        ballot,
        accepted: None,
        have: Seq(0),
        run: crate::log::Run::default(),
    };
    hears(&mut late, 2, promise());
    let out = hears(&mut late, 0, promise());
    assert!(matches!(says(&out)[..], [Message::MakeGuard { .. }]), "{out:?}");
    assert!(
        !View {
            guard: guard(node(1), 9),
            ..view(1, &[0, 1], 0)
        }
        .is_sound()
    );
}

#[test]
fn no_view_has_more_newcomers_than_its_predecessor_had_voters() {
    let mut leader = first(0);
    let out = handle(&mut leader, insert(&[3, 4, 5, 6]));
    assert!(
        matches!(
            refused(&out),
            Some(ChangeRefused::TooMany {
                what: "newcomers",
                max: 3
            })
        ),
        "{out:?}"
    );
    let (_, members) = created(&handle(&mut leader, insert(&[3, 4, 5])));
    assert_eq!(members.len(), 6);
}

#[test]
fn a_peer_that_has_started_again_is_a_newcomer_at_the_end_of_the_list() {
    let mut leader = first(0);
    let again = Node {
        incarnation: 2,
        ..node(1)
    };
    let change = Input::Change {
        insert: vec![Voter::new(again)],
        remove: Vec::new(),
    };
    let (_, members) = created(&handle(&mut leader, change));
    assert_eq!(members, [node(0), node(2), again]);
    let stranger = Input::Received {
        from: again,
        message: prepare(),
    };
    assert!(says(&handle(&mut leader, stranger)).is_empty());
}

#[test]
fn nothing_is_planned_before_everybody_has_come() {
    let mut leader = with_a_newcomer();
    for late in [1, 2, 3] {
        assert_eq!(
            refused(&handle(&mut leader, insert(&[4]))),
            Some(&ChangeRefused::NotAllHere)
        );
        hears(&mut leader, late, Message::Installed { view: ViewNumber(1) });
    }
    created(&handle(&mut leader, insert(&[4])));
}

#[test]
fn the_old_guard_ends_when_everybody_has_come() {
    let mut leader = with_a_newcomer();
    let installed = || Message::Installed { view: ViewNumber(1) };
    assert!(hears(&mut leader, 1, installed()).is_empty());
    assert!(hears(&mut leader, 2, installed()).is_empty());
    let ended = Output::EndGuard {
        guard: guard(node(0), 0),
    };
    assert_eq!(hears(&mut leader, 3, installed()), [ended]);
}

#[test]
fn whoever_is_missed_is_named_and_a_view_ends_it() {
    let mut lonely = first(0);
    handle(
        &mut lonely,
        Input::GuardFailed {
            guard: guard(node(0), 0),
        },
    );
    let mut out = Vec::new();
    lonely.handle(Time::from_millis(1_800), Input::Wake, Context::default(), &mut out);
    let blocked = out.iter().find_map(|output| match output {
        Output::Event(Event::Blocked(blocked)) => Some(blocked.clone()),
        _ => None,
    });
    let blocked = blocked.expect("blocked");
    assert_eq!(
        (blocked.have, blocked.need, blocked.missing),
        (1, 2, vec![node(1), node(2)])
    );
    assert_eq!(lonely.status(), Status::Blocked);
    let next = Box::new(view(1, &[0, 1], 0));
    let out = hears(&mut lonely, 1, Message::Install { next });
    assert!(out.contains(&Output::Event(Event::Unblocked)));
}

#[test]
fn what_was_said_of_a_view_that_one_has_left_is_no_matter() {
    let mut member = first(2);
    let superseded = |over| Message::Superseded {
        over: ViewNumber(over),
        view: ViewNumber(5),
        leader: node(1),
    };
    let next = Box::new(view(1, &[0, 1, 2], 0));
    hears(&mut member, 0, Message::Install { next });
    hears(&mut member, 1, superseded(0));
    assert_ne!(member.status(), Status::Gone);
    hears(&mut member, 1, superseded(1));
    assert_eq!(member.status(), Status::Gone);
    handle(&mut member, Input::Rejoin);
    assert_eq!(member.status(), Status::Joining);
    let early = Box::new(view(5, &[1, 2], 0));
    hears(&mut member, 1, Message::Install { next: early });
    assert_eq!(member.status(), Status::Joining);
}

#[test]
fn whoever_comes_back_before_all_have_heard_still_answers_them() {
    let mut leader = first(0);
    let change = Input::Change {
        insert: Vec::new(),
        remove: vec![node(0)],
    };
    let out = handle(&mut leader, change);
    let request = says(&out).into_iter().find_map(|message| match message {
        Message::MakeGuard { request, .. } => Some(*request),
        _ => None,
    });
    let (view, ballot) = (ViewNumber(0), Ballot::PLANNED);
    let made = Message::Guard {
        request: request.expect("the next leader is asked"),
        guard: guard(node(1), 7),
    };
    hears(&mut leader, 1, made);
    hears(&mut leader, 2, Message::Accepted { view, ballot });
    assert_eq!(leader.status(), Status::Gone);
    let ended = Output::EndGuard {
        guard: guard(node(0), 0),
    };
    assert_eq!(handle(&mut leader, Input::Rejoin), []);
    let late = Message::Have { view, seq: Seq(0) };
    let out = hears(&mut leader, 1, late);
    assert!(matches!(says(&out)[..], [Message::Install { .. }]), "{out:?}");
    let here = || Message::Installed { view: ViewNumber(1) };
    assert_eq!(hears(&mut leader, 2, here()), []);
    assert_eq!(hears(&mut leader, 1, here()), [ended], "all have heard of it");
}

#[test]
fn whoever_was_put_out_and_lacks_entries_too_has_none_to_give() {
    let mut member = first(2);
    let next = Box::new(view(1, &[0, 1], 5));
    hears(&mut member, 0, Message::Install { next });
    assert_eq!(member.status(), Status::Gone);
    let lacks = Message::Have {
        view: ViewNumber(0),
        seq: Seq(0),
    };
    assert!(hears(&mut member, 1, lacks).is_empty());
}

/// A welcome that was long on its way brings a newcomer into a view that is over, while the group has it in another one by now: it must be able to
/// come into that one.
#[test]
fn whoever_is_in_this_view_anew_hears_of_the_one_before() {
    let mut member = first(1);
    for number in 1..=3 {
        let members: &[u8] = if number == 3 { &[0, 1, 2] } else { &[0, 1] };
        let next = Box::new(view(number, members, 0));
        handle(
            &mut member,
            Input::Invited {
                guard: next.guard,
                view: next.number,
                ballot: Ballot::default(),
            },
        );
        hears(&mut member, 0, Message::Install { next });
    }
    let prepare = Message::Prepare {
        view: ViewNumber(0),
        ballot: Ballot::default(),
        have: Seq(0),
    };
    let out = hears(&mut member, 2, prepare);
    let before = Message::Superseded {
        over: ViewNumber(0),
        view: ViewNumber(2),
        leader: node(0),
    };
    assert_eq!(says(&out), [&before]);
    let mut late = first(2);
    hears(&mut late, 1, before);
    assert_eq!(late.status(), Status::Gone);
    handle(&mut late, Input::Rejoin);
    let next = Box::new(view(3, &[0, 1, 2], 0));
    hears(&mut late, 1, Message::Install { next });
    assert_eq!(late.view().map(|view| view.number), Some(ViewNumber(3)));
}
