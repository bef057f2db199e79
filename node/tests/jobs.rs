//! Jobs over real sockets: whoever works together with one that fails is not left waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fatebound::job::{Fault, Job, JobEnded, JobEvent, Message, Route, StartJobError, Work};
use fatebound::process_group::ProviderId;
use fatebound::{Multiaddr, Node, Profile};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// No step takes longer; what does not end by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("in time")
}

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    while nodes.len() < count {
        let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
        let mut builder = Node::builder().profile(Profile::Local).listen(listen);
        for address in nodes.iter().take(1).flat_map(Node::listen_addresses) {
            builder = builder.bootstrap(address.clone());
        }
        let node = builder.start().await.expect("a free port");
        within(node.joined()).await.expect("runs");
        nodes.push(node);
    }
    nodes
}

/// A main task that tells the test what happens, and routes every message to the task `work`.
fn main_task(told: UnboundedSender<JobEvent>) -> impl FnMut(JobEvent) -> Vec<Route> + Send {
    move |event| {
        let _ = told.send(event.clone());
        match event {
            JobEvent::Message { from, body } => vec![Route::To {
                task: "work".to_owned(),
                message: Message { from: Some(from), body },
            }],
            _ => Vec::new(),
        }
    }
}

struct Member {
    job: Job,
    events: UnboundedReceiver<JobEvent>,
}

async fn member(
    node: &Node,
    instance: &str,
    limit: Option<Duration>,
    work: impl FnOnce(Work) -> Result<(), String> + Send + 'static,
) -> Member {
    member_with(node, instance, 16, limit, work).await
}

async fn member_with(
    node: &Node,
    instance: &str,
    queue: usize,
    limit: Option<Duration>,
    work: impl FnOnce(Work) -> Result<(), String> + Send + 'static,
) -> Member {
    let (told, events) = unbounded_channel();
    let job = node.job("sum").instance(instance).work("work", queue, limit, work);
    let job = within(job.run(main_task(told))).await.expect("begins");
    Member { job, events }
}

impl Member {
    async fn event<T>(&mut self, wanted: impl Fn(&JobEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(&self.events.recv().await.expect("goes on")) {
                    return found;
                }
            }
        };
        within(search).await
    }

    async fn members(&mut self, count: usize) {
        self.event(|event| matches!(event, JobEvent::Members(members) if members.len() == count).then_some(()))
            .await;
    }

    async fn gone(&mut self) -> ProviderId {
        self.event(|event| match event {
            JobEvent::Gone(who) => Some(*who),
            _ => None,
        })
        .await
    }
}

/// Works until the job is over.
fn idle(work: Work) -> Result<(), String> {
    while work.recv().is_ok() {}
    drop(work);
    Ok(())
}

/// Acknowledges the first round, tells the test when it has ended, and stays.
fn first_round(ended: UnboundedSender<usize>) -> impl FnOnce(Work) -> Result<(), String> + Send {
    move |work| {
        let round = work.round(1);
        round.ack().map_err(|error| error.to_string())?;
        let complete = round.wait().map_err(|error| error.to_string())?;
        let _ = ended.send(complete.acked.len());
        idle(work)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_late_into_a_round_is_not_left_waiting() {
    let nodes = nodes(3).await;
    let mut members = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let (ended, mut ends) = unbounded_channel();
        members.push(member(node, &format!("m{number}"), None, first_round(ended)).await);
        // For it the round is one with all who are there.
        assert_eq!(within(ends.recv()).await, Some(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_end_for_all_alike_and_do_not_wait_for_whoever_is_gone() {
    let nodes = nodes(3).await;
    let (told, mut rounds) = unbounded_channel();
    let go = |fails: bool| {
        let told = told.clone();
        move |work: Work| {
            // All are here once the message has come that says so.
            work.recv().map_err(|over| over.to_string())?;
            work.round(1).ack().map_err(|over| over.to_string())?;
            let first = work.round(1).wait().map_err(|over| over.to_string())?;
            if fails {
                return Err("out of memory".to_owned());
            }
            work.round(2).ack().map_err(|over| over.to_string())?;
            let second = work.round(2).wait().map_err(|over| over.to_string())?;
            let _ = told.send((first, second));
            idle(work)
        }
    };
    let mut a = member(&nodes[0], "a", None, go(false)).await;
    let _b = member(&nodes[1], "b", None, go(false)).await;
    let mut c = member(&nodes[2], "c", None, go(true)).await;
    a.members(3).await;
    // A process beside them says that all are here; it is in the job for that alone.
    let d = nodes[0].job("sum").instance("d").work("work", 16, None, |work: Work| {
        work.send(b"go").map_err(|over| over.to_string())?;
        for round in [1, 2] {
            work.round(round).ack().map_err(|over| over.to_string())?;
        }
        idle(work)
    });
    let (told, _events) = unbounded_channel();
    let _d = within(d.run(main_task(told))).await.expect("begins");
    assert_eq!(
        within(c.job.ended()).await,
        JobEnded::Fault(Fault::Failed {
            task: "work".to_owned(),
            why: "out of memory".to_owned()
        })
    );
    assert_eq!(a.gone().await, c.job.id());
    let (one, other) = (
        within(rounds.recv()).await.expect("ends"),
        within(rounds.recv()).await.expect("ends"),
    );
    assert_eq!(one, other, "for all alike");
    let (first, second) = one;
    assert_eq!((first.acked.len(), first.gone.len()), (4, 0));
    assert!(
        second.gone == [c.job.id()] || !second.acked.contains(&c.job.id()),
        "{second:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_takes_its_process_out_first() {
    let nodes = nodes(2).await;
    // However many messages come at once, its own queue has room.
    let mut watcher = member_with(&nodes[0], "watcher", 64, None, idle).await;
    let limit = Some(Duration::from_millis(200));
    let freed = Arc::new(AtomicBool::new(false));
    let end = freed.clone();
    type Task = Box<dyn FnOnce(Work) -> Result<(), String> + Send>;
    let faults: [(&str, Option<Duration>, Task); 3] = [
        ("panicked: division", None, Box::new(|_| panic!("division"))),
        ("has failed: no disk", None, Box::new(|_| Err("no disk".to_owned()))),
        (
            "has not ticked",
            limit,
            Box::new(move |_| {
                while !end.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }),
        ),
    ];
    for (number, (words, limit, task)) in faults.into_iter().enumerate() {
        let mut member = member(&nodes[1], &format!("m{number}"), limit, task).await;
        let ended = within(member.job.ended()).await;
        assert!(ended.to_string().contains(words), "{ended}");
        assert_eq!(watcher.gone().await, member.job.id());
    }
    freed.store(true, Ordering::Relaxed);
    // One that does not take its messages: the queue of 16 is full with the 17th.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let mut deaf = member(&nodes[1], "deaf", None, move |work: Work| {
        for _ in 0..40 {
            work.send(b"x").map_err(|over| over.to_string())?;
        }
        while !stopped.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    })
    .await;
    assert_eq!(
        within(deaf.job.ended()).await,
        JobEnded::Fault(Fault::Full {
            task: "work".to_owned()
        })
    );
    stop.store(true, Ordering::Relaxed);
    assert_eq!(watcher.gone().await, deaf.job.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_done_leaves_and_one_that_makes_no_sense_does_not_begin() {
    let nodes = nodes(2).await;
    let mut watcher = member(&nodes[0], "watcher", None, idle).await;
    let finishing = |event: JobEvent| match event {
        JobEvent::Done(_) => vec![Route::Finish],
        _ => Vec::new(),
    };
    let job = nodes[1].job("sum").instance("short").work("work", 1, None, |_| Ok(()));
    let mut job = within(job.run(finishing)).await.expect("begins");
    watcher.members(2).await;
    assert_eq!(within(job.ended()).await, JobEnded::Finished);
    assert_eq!(within(job.ended()).await, JobEnded::Finished, "whoever asks again");
    watcher.members(1).await;
    let twice = nodes[1].job("sum").work("x", 1, None, idle).work("x", 1, None, idle);
    assert!(matches!(twice.run(finishing).await, Err(StartJobError::Tasks)));
    // A main task that is wrong is a fault as well.
    let wrong = |_: JobEvent| {
        vec![Route::To {
            task: "nobody".to_owned(),
            message: Message {
                from: None,
                body: Vec::new(),
            },
        }]
    };
    let mut job = within(nodes[1].job("sum").instance("wrong").run(wrong))
        .await
        .expect("begins");
    assert!(within(job.ended()).await.to_string().contains("nobody"));
    assert_eq!(watcher.gone().await, job.id());
}
