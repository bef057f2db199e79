//! Every checker sees the bug that it is there for: one peer breaks its promise at its boundary, and the run has to say so.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use fatebound_machine::fng::{Event as Of, Reason};
use fatebound_machine::overlay::Bounded;
use fatebound_machine::overlay::directory::{Event as Told, Found};
use fatebound_machine::overlay::message::Message;
use fatebound_machine::overlay::pipes::Event as OfPipes;
use fatebound_machine::process_groups::protocols::Notice;
use fatebound_machine::process_groups::{Event as OfProcesses, Seq};
use fatebound_machine::{Event, Input, Output, wire};
use fatebound_sim::generate::{Family, Wishes, scenario};
use fatebound_sim::run::{run, run_changed};
use fatebound_sim::schedule::Scenario;
use fatebound_sim::{GroupId, PeerIndex, Tamper, World};

/// A world of this profile with a group of peers 0, 1 and 2, and these faults.
fn play(profile: &str, faults: &str) -> Scenario {
    let text = format!("seed 3\npeers 8\nprofile {profile}\nuntil 80s\n0s create g0 0 1,2\n{faults}\n");
    text.parse().expect("a scenario")
}

/// The promises that are broken when these peers have this bug.
fn broken<T: Tamper + 'static>(scenario: &Scenario, peers: &[usize], bug: impl Fn() -> T) -> BTreeSet<&'static str> {
    let plant = |world: &mut World| {
        for peer in peers {
            world.tamper(PeerIndex(*peer), bug());
        }
    };
    let outcome = run_changed(scenario, plant);
    outcome.violations.iter().map(|violation| violation.promise).collect()
}

/// Exactly this one, and none without the bug.
fn assert_broken<T: Tamper + 'static>(
    scenario: &Scenario,
    peers: &[usize],
    bug: impl Fn() -> T,
    promise: &'static str,
) {
    assert!(run(scenario).violations.is_empty(), "{:?}", run(scenario).violations);
    assert_eq!(broken(scenario, peers, bug), BTreeSet::from([promise]));
}

/// Changes outputs.
struct Says<F>(F);

impl<F: FnMut(Output) -> Vec<Output>> Tamper for Says<F> {
    fn says(&mut self, output: Output) -> Vec<Output> {
        (self.0)(output)
    }
}

fn failed(output: &Output) -> Option<GroupId> {
    match output {
        Output::Event(Event::Group(Of::Failed { group, .. })) => Some(*group),
        _ => None,
    }
}

fn told(group: GroupId) -> Output {
    Output::Event(Event::Group(Of::Failed {
        group,
        reason: Reason::NotKnown,
    }))
}

#[test]
fn p1_a_member_that_is_not_told() {
    let swallow = || {
        Says(|output| {
            if failed(&output).is_some() {
                vec![]
            } else {
                vec![output]
            }
        })
    };
    for fault in ["signal 2 g0", "crash 2", "vanish 0", "partition 0|1,2,3,4,5,6,7"] {
        let scenario = play("brisk", &format!("5s {fault}"));
        assert_broken(&scenario, &[1], swallow, "P1 agreement");
    }
}

/// A preset's bound allows for 24 hops: two minutes. The group's own allows for those that its paths have.
#[test]
fn p1_a_member_that_is_told_after_the_groups_own_bound() {
    let scenario = |until: u32| -> Scenario {
        let text = format!("seed 3\npeers 8\nprofile local\nuntil {until}s\n0s create g0 0 1,2\n5s signal 2 g0\n");
        text.parse().expect("a scenario")
    };
    let swallow = || {
        Says(|output| match failed(&output) {
            Some(_) => vec![],
            None => vec![output],
        })
    };
    let bound = scenario(0).setting.config().groups.notification_bound();
    assert!(bound.as_secs() > 100, "{bound:?}");
    assert_broken(&scenario(60), &[1], swallow, "P1 agreement");
}

#[test]
fn p3_a_signal_that_its_own_member_is_not_told_of() {
    let swallow = || {
        Says(|output| {
            if failed(&output).is_some() {
                vec![]
            } else {
                vec![output]
            }
        })
    };
    assert_broken(&play("brisk", "5s signal 1 g0"), &[1], swallow, "P1 agreement");
}

#[test]
fn p2_a_member_that_is_told_twice() {
    let twice = || {
        Says(|output: Output| match failed(&output) {
            Some(group) => vec![output, told(group)],
            None => vec![output],
        })
    };
    assert_broken(&play("brisk", "5s signal 2 g0"), &[1], twice, "P2 exactly once");
}

/// What FUSE does when a path breaks, without its repair.
#[test]
fn p4_a_root_that_gives_up_instead_of_repairing() {
    let gives_up = || {
        Says(|output| match output {
            Output::Event(Event::Group(Of::Repairing { path, .. })) => vec![told(path.group)],
            output => vec![output],
        })
    };
    let wishes = Wishes {
        family: Some(Family::Crash),
        peers: Some(10),
        ..Wishes::default()
    };
    let found = |seed: u64| {
        let everybody: Vec<usize> = (0..10).collect();
        broken(&scenario(seed, &wishes), &everybody, gives_up).contains("P4 no false alarm")
    };
    assert!((0..40).any(found));
}

#[test]
fn p5_a_creation_that_does_not_wait_for_its_members() {
    let at_once = || {
        Says(|output| match output {
            Output::Event(Event::Group(Of::Creating { ticket, group })) => {
                let created = Output::Event(Event::Group(Of::Created { ticket, group }));
                vec![output, created]
            }
            Output::Event(Event::Group(Of::Created { .. })) => vec![],
            output => vec![output],
        })
    };
    assert_broken(&play("brisk", ""), &[0], at_once, "P5 creation");
}

#[test]
fn p5_a_creation_that_never_ends_or_blames_nobody() {
    let never = || {
        Says(|output| match output {
            Output::Event(Event::Group(Of::Created { .. })) => vec![],
            output => vec![output],
        })
    };
    assert_broken(&play("brisk", ""), &[0], never, "P5 creation");
    let nobody = || {
        Says(|output| match output {
            Output::Event(Event::Group(Of::CreateFailed {
                ticket, group, error, ..
            })) => {
                let refusals = Vec::new();
                let event = Of::CreateFailed {
                    ticket,
                    group,
                    refusals,
                    error,
                };
                vec![Output::Event(Event::Group(event))]
            }
            output => vec![output],
        })
    };
    let scenario = play("brisk", "1s crash 7\n2s create g1 0 1,7");
    assert_broken(&scenario, &[0], nobody, "P5 creation");
}

/// A peer that keeps its groups on disk.
#[derive(Default)]
struct Remembers(Option<GroupId>);

impl Tamper for Remembers {
    fn says(&mut self, output: Output) -> Vec<Output> {
        match &output {
            Output::Event(Event::Group(Of::Joined { group })) => self.0 = Some(*group),
            Output::Event(Event::Joined) => {
                return self.0.take().map(told).into_iter().chain([output]).collect();
            }
            _ => {}
        }
        vec![output]
    }
}

#[test]
fn a_wish_that_is_not_answered() {
    let swallow = || {
        Says(|output| match output {
            Output::Event(Event::Group(Of::Admitted { .. } | Of::JoinFailed { .. })) => vec![],
            output => vec![output],
        })
    };
    assert_broken(&play("brisk", "5s join 5 g0"), &[5], swallow, "every wish is answered");
}

#[test]
fn p6_a_peer_that_remembers_a_group_of_its_former_life() {
    let scenario = play("brisk", "5s crash 1\n6s restart 1");
    assert_broken(&scenario, &[1], Remembers::default, "P6 no memory");
}

/// A peer that says something about paths with every ping.
#[derive(Default)]
struct Talks(Option<Output>);

impl Tamper for Talks {
    fn says(&mut self, output: Output) -> Vec<Output> {
        let Output::Send { frame, .. } = &output else {
            return vec![output];
        };
        match wire::decode_frame(frame) {
            Ok(Message::Operation { .. }) => self.0 = Some(output.clone()),
            Ok(Message::Ping(_)) => return self.0.clone().into_iter().chain([output]).collect(),
            _ => {}
        }
        vec![output]
    }
}

#[test]
fn p7_a_peer_that_talks_about_paths_although_nothing_happens() {
    let broken = broken(&play("brisk", ""), &[0], Talks::default);
    assert!(broken.contains("P7 silence"), "{broken:?}");
}

/// And it is no bug that a peer does what its application asks for, however late.
#[test]
fn p7_what_an_application_asks_for_may_be_heard() {
    for late in ["79.500s check 1 g0", "79.500s create g1 3 4,5"] {
        let outcome = run(&play("brisk", late));
        assert!(outcome.violations.is_empty(), "{late}: {:?}", outcome.violations);
    }
}

#[test]
fn an_audit_that_finds_a_difference() {
    let lies = || {
        Says(|output| match output {
            Output::Send { session, frame, urgent } => {
                let frame = match wire::decode_frame(&frame) {
                    Ok(Message::Ping(mut ping)) => {
                        ping.joint.digest[0] ^= 1;
                        wire::encode(&Message::Ping(ping))
                    }
                    _ => frame,
                };
                vec![Output::Send { session, frame, urgent }]
            }
            output => vec![output],
        })
    };
    let broken = broken(&play("brisk", ""), &[0], lies);
    assert!(broken.contains("audits agree"), "{broken:?}");
}

/// A process that runs and does nothing any more, once some other peer has been told of a failure.
struct Hangs(Rc<Cell<bool>>);

impl Tamper for Hangs {
    fn hears(&mut self, _input: &Input) -> bool {
        !self.0.get()
    }
}

/// Whoever is not in the group of 5, 9 and 13 hangs when the signal comes: nobody takes its paths away there.
fn hanging(seed: u64, bystanders: impl Fn(usize) -> bool) -> BTreeSet<&'static str> {
    let text = "seed 0\npeers 16\nprofile sparse\nuntil 60s\n0s create g1 5 9,13\n5s signal 9 g1";
    let scenario = Scenario {
        seed,
        ..text.parse().expect("a scenario")
    };
    let told = Rc::new(Cell::new(false));
    let plant = |world: &mut World| {
        for peer in (0..16).filter(|peer| ![5, 9, 13].contains(peer) && bystanders(*peer)) {
            world.tamper(PeerIndex(peer), Hangs(told.clone()));
        }
        let notes = told.clone();
        let note = move |output: Output| {
            notes.set(notes.get() || failed(&output).is_some());
            vec![output]
        };
        world.tamper(PeerIndex(9), Says(note));
    };
    let outcome = run_changed(&scenario, plant);
    outcome.violations.iter().map(|violation| violation.promise).collect()
}

#[test]
fn a_peer_that_keeps_the_paths_of_a_dead_group() {
    assert!((0..20).any(|seed| hanging(seed, |_| true).contains("nothing left behind")));
}

#[test]
fn a_ring_that_keeps_a_dead_peer() {
    assert!(hanging(3, |peer| peer == 6).contains("routing converges"));
}

/// A peer whose pings are never answered, as it counts them.
struct Hoards;

impl Tamper for Hoards {
    fn shows(&self, mut bounded: Bounded) -> Bounded {
        if bounded.what == "unanswered pings of a link" {
            bounded.size += bounded.limit + 1;
        }
        bounded
    }
}

#[test]
fn a_list_that_holds_more_than_its_limit() {
    assert_broken(&play("brisk", ""), &[4], || Hoards, "everything is bounded");
}

/// A peer that does not find what it looks for.
#[test]
fn a_name_that_is_not_found() {
    let scenario = play("brisk", "1s publish 2 n0\n3s crash 5\n70s lookup n0");
    let finds_nobody = || {
        Says(|output: Output| match output {
            Output::Event(Event::Directory(Told::Found { ticket, name, .. })) => {
                let outcome = Found::Nobody;
                vec![Output::Event(Event::Directory(Told::Found { ticket, name, outcome }))]
            }
            output => vec![output],
        })
    };
    assert_eq!(run(&scenario).statistics.lookups, 7, "by everybody who lives");
    assert_broken(&scenario, &[4], finds_nobody, "names are found again");
}

/// Peers that hear of bodies and pipes otherwise than they should.
#[test]
fn a_body_that_comes_twice_or_not_and_a_pipe_whose_end_is_not_told() {
    let scenario = play("brisk", "1s bodies 2>5 1 100 4\n3s break 2 5\n4s bodies 2>5 1 100 4");
    let twice = || {
        Says(|output: Output| match &output {
            Output::Event(Event::Pipe(OfPipes::Received { .. })) => vec![output.clone(), output],
            _ => vec![output],
        })
    };
    assert_broken(&scenario, &[5], twice, "pipes keep order");
    let misses_the_second = || {
        let mut come = 0;
        Says(move |output: Output| {
            come += u32::from(matches!(output, Output::Event(Event::Pipe(OfPipes::Received { .. }))));
            let second = come == 2 && matches!(output, Output::Event(Event::Pipe(OfPipes::Received { .. })));
            if second { Vec::new() } else { vec![output] }
        })
    };
    assert_broken(&scenario, &[5], misses_the_second, "pipes keep order");
    let tells_no_end = || {
        Says(|output: Output| match output {
            Output::Event(Event::Pipe(OfPipes::Down { .. })) => Vec::new(),
            output => vec![output],
        })
    };
    assert_broken(&scenario, &[5], tells_no_end, "pipes keep order");
}

/// Long enough for all to find together in the end.
fn play_processes(faults: &str) -> Scenario {
    let text = format!(
        "seed 3\npeers 8\nprofile brisk\nuntil 240s\n0s enter 0 pg0\n4s enter 1 pg0\n4s enter 2 pg0\n{faults}\n"
    );
    text.parse().expect("a scenario")
}

/// What a peer tells of process groups comes out changed, or not at all.
fn tells(change: impl FnMut(OfProcesses) -> Option<OfProcesses> + Clone + 'static) -> impl Fn() -> Box<dyn Tamper> {
    move || {
        let mut change = change.clone();
        Box::new(Says(move |output: Output| match output {
            Output::Event(Event::Cluster(told)) => {
                let told = change(told).map(|told| Output::Event(Event::Cluster(told)));
                told.into_iter().collect()
            }
            output => vec![output],
        }))
    }
}

struct Boxed(Box<dyn Tamper>);

impl Tamper for Boxed {
    fn says(&mut self, output: Output) -> Vec<Output> {
        self.0.says(output)
    }
}

#[track_caller]
fn assert_processes_break(
    faults: &str,
    promise: &str,
    change: impl FnMut(OfProcesses) -> Option<OfProcesses> + Clone + 'static,
) {
    let scenario = play_processes(faults);
    assert_eq!(run(&scenario).violations, []);
    let bug = tells(change);
    let broken = broken(&scenario, &[2], || Boxed(bug()));
    assert!(broken.contains(promise), "{broken:?}");
}

#[test]
fn a_view_that_is_another_one_or_is_left_out_or_out_of_order() {
    let views = "one history of views";
    assert_processes_break("9s crash 1", views, |mut told| {
        if let OfProcesses::Installed { view, .. } = &mut told {
            view.cut = Seq(view.cut.0 + 1);
        }
        Some(told)
    });
    assert_processes_break("9s crash 1", views, |mut told| {
        if let OfProcesses::Installed { view, .. } = &mut told {
            view.voters.reverse();
        }
        Some(told)
    });
    // A gap: the view in which 3 came in is not told.
    let mut count = 0;
    assert_processes_break("6s enter 3 pg0\n9s crash 1", views, move |told| {
        count += u32::from(matches!(told, OfProcesses::Installed { .. }));
        (count != 2 || !matches!(told, OfProcesses::Installed { .. })).then_some(told)
    });
}

#[test]
fn an_entry_that_is_not_shown_or_shown_twice_or_changed() {
    let entries = "one history of entries";
    let speak = "9s say 0 pg0 3\n10s say 1 pg0 2\n12s put 0 pg0\n14s enter 3 pg0";
    let mut count = 0;
    assert_processes_break(speak, entries, move |told| {
        let notice = matches!(
            &told,
            OfProcesses::Shown {
                notice: Notice::Message { .. },
                ..
            }
        );
        count += u32::from(notice);
        (!notice || count != 2).then_some(told)
    });
    assert_processes_break(speak, entries, |told| {
        let notice = matches!(
            &told,
            OfProcesses::Shown {
                notice: Notice::State { .. },
                ..
            }
        );
        (!notice).then_some(told)
    });
}

#[test]
fn a_member_that_goes_without_having_come_or_changes_its_place() {
    let rules = "rules of membership";
    assert_processes_break("9s farewell 1 pg0", rules, |mut told| {
        if let OfProcesses::Shown {
            notice: Notice::Providers { joined, left, .. },
            ..
        } = &mut told
            && joined.is_empty()
        {
            left.clear();
        }
        Some(told)
    });
    assert_processes_break("9s enter 3 pg0", rules, |mut told| {
        if let OfProcesses::Shown {
            notice: Notice::Providers { providers, .. },
            ..
        } = &mut told
        {
            providers.reverse();
        }
        Some(told)
    });
}

/// A process that runs and does nothing any more, from when it was told this.
struct HangsAt(fn(&OfProcesses) -> bool, bool);

impl Tamper for HangsAt {
    fn hears(&mut self, _input: &Input) -> bool {
        !self.1
    }

    fn says(&mut self, output: Output) -> Vec<Output> {
        self.1 |= matches!(&output, Output::Event(Event::Cluster(told)) if self.0(told));
        vec![output]
    }
}

#[test]
fn a_member_that_stays_open_alone_or_apart_and_one_that_keeps_what_it_has_left() {
    let all_in: fn(&OfProcesses) -> bool =
        |told| matches!(told, OfProcesses::Installed { view, .. } if view.voters.len() == 3);
    let left: fn(&OfProcesses) -> bool = |told| matches!(told, OfProcesses::Left { .. });
    for (faults, when, promise) in [
        ("9s crash 0\n9s crash 1", all_in, "no minority is open"),
        ("", all_in, "together in the end"),
        (
            "9s farewell 0 pg0\n10s farewell 1 pg0\n12s farewell 2 pg0",
            left,
            "nothing remains of a process group",
        ),
    ] {
        let scenario = play_processes(faults);
        assert_eq!(run(&scenario).violations, [], "{promise}");
        let broken = broken(&scenario, &[2], || HangsAt(when, false));
        assert!(broken.contains(promise), "{promise}: {broken:?}");
    }
}
