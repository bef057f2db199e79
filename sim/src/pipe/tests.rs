//! Pipes against the formulas that they quote.

use std::collections::BTreeMap;

use super::*;
use crate::latency::Latency;

const A: PeerIndex = PeerIndex(0);
const B: PeerIndex = PeerIndex(1);

/// A round trip of 10 ms without jitter: a timer of 210 ms.
const TEN: Latency = Latency::Range {
    least: Duration::from_millis(5),
    most: Duration::from_millis(5),
    jitter: Duration::ZERO,
};
const TIMER: Duration = Duration::from_millis(210);

/// One pipe each way, and what happens on them.
struct Line {
    network: Network,
    now: Time,
    order: u64,
    pipes: [Pipe<u32>; 2],
    queue: BTreeMap<(Time, u64), (usize, Result<u32, Later>)>,
    /// What has arrived: by which pipe, and when.
    arrived: Vec<(usize, u32, Time)>,
    given_up: Option<Time>,
}

impl Line {
    fn new(seed: u64) -> Line {
        Line {
            network: Network::new(seed, TEN),
            now: Time::ZERO,
            order: 0,
            pipes: [Pipe::default(), Pipe::default()],
            queue: BTreeMap::new(),
            arrived: Vec::new(),
            given_up: None,
        }
    }

    fn step<R>(&mut self, pipe: usize, step: impl FnOnce(&mut Pipe<u32>, &mut Context<'_>) -> R) -> R {
        let mut effects = Effects::default();
        let (from, to) = if pipe == 0 { (A, B) } else { (B, A) };
        let received = self.pipes[1 - pipe].received();
        let mut cx = Context {
            now: self.now,
            from,
            to,
            network: &mut self.network,
            dead: false,
            room: None,
            received,
            effects: &mut effects,
        };
        let result = step(&mut self.pipes[pipe], &mut cx);
        for (at, later) in effects.later {
            self.schedule(at, pipe, Err(later));
        }
        if effects.given_up {
            self.given_up.get_or_insert(self.now);
        }
        result
    }

    fn schedule(&mut self, at: Time, pipe: usize, what: Result<u32, Later>) {
        self.order += 1;
        self.queue.insert((at, self.order), (pipe, what));
    }

    fn send(&mut self, pipe: usize, message: u32, bytes: usize, urgent: bool) -> Result<(), Overflow> {
        match self.step(pipe, Pipe::fast) {
            Some(at) => self.schedule(at, pipe, Ok(message)),
            None => self.step(pipe, |pipe, cx| pipe.push(cx, message, bytes, urgent))?,
        }
        Ok(())
    }

    /// Runs until then; `answer` is asked about each arrival on pipe 0 and sends on pipe 1.
    fn run(&mut self, until: Time, answers: bool) {
        while let Some(next) = self.queue.first_entry().filter(|next| next.key().0 <= until) {
            let ((at, _), (pipe, what)) = next.remove_entry();
            self.now = at;
            let whole = match what {
                Ok(message) => vec![message],
                Err(Later::Segment { number, below }) => {
                    self.step(1 - pipe, |pipe, cx| pipe.on_acknowledgement(cx, below, NONE));
                    self.step(pipe, |pipe, cx| pipe.on_segment(cx, number))
                }
                Err(Later::Acknowledgement { below, number }) => {
                    self.step(pipe, |pipe, cx| pipe.on_acknowledgement(cx, below, number));
                    Vec::new()
                }
                Err(Later::Timer) => {
                    self.step(pipe, Pipe::on_timer);
                    Vec::new()
                }
                Err(Later::Window) => {
                    self.step(pipe, Pipe::on_window);
                    Vec::new()
                }
            };
            for message in whole {
                self.arrived.push((pipe, message, self.now));
                if answers && pipe == 0 {
                    self.send(1, message, 40, true).unwrap();
                }
            }
        }
        self.now = until;
    }

    fn order(&self) -> Vec<u32> {
        self.arrived.iter().map(|(_, message, _)| *message).collect()
    }
}

#[test]
fn nothing_overtakes_on_a_pipe_with_which_nothing_is_wrong() {
    let mut line = Line::new(1);
    line.network = Network::new(1, Latency::INTERNET);
    for message in 0..100 {
        line.send(0, message, 100, false).unwrap();
        line.run(line.now + Duration::from_millis(1), false);
    }
    line.run(Time::from_millis(10_000), false);
    assert_eq!(line.order(), (0..100).collect::<Vec<_>>());
    assert!(line.pipes[0].sender.is_none());
}

#[test]
fn a_thin_stream_tries_again_six_times_at_equal_pauses_then_at_doubled_ones() {
    // Tries at 1, 2 … 7 timers, then at 9, 13, 21.
    for (healed_after, tried_at) in [(0, 1), (1, 2), (5, 6), (6, 7), (7, 9), (8, 9), (9, 13), (20, 21)] {
        let mut line = Line::new(1);
        line.network.set_cut(A, B, true);
        line.send(0, 7, 100, false).unwrap();
        line.run(Time::ZERO + TIMER * healed_after + Duration::from_millis(1), false);
        line.network.set_cut(A, B, false);
        line.run(Time::from_millis(60_000), false);
        let expected = Time::ZERO + TIMER * tried_at + Duration::from_millis(5);
        assert_eq!(line.arrived, [(0, 7, expected)], "healed after {healed_after} timers");
    }
}

#[test]
fn what_follows_a_lost_segment_waits_for_it() {
    let mut line = Line::new(1);
    line.network.set_cut(A, B, true);
    line.send(0, 0, 100, false).unwrap();
    line.network.set_cut(A, B, false);
    line.run(Time::from_millis(50), false);
    line.send(0, 1, 100, true).unwrap();
    line.run(Time::from_millis(5_000), false);
    let expected = Time::ZERO + TIMER + Duration::from_millis(5);
    assert_eq!(line.arrived, [(0, 0, expected), (0, 1, expected)]);
}

#[test]
fn three_that_follow_bring_a_lost_segment_back_without_the_timer() {
    let mut line = Line::new(1);
    line.network.set_cut(A, B, true);
    line.send(0, 0, 100, false).unwrap();
    line.network.set_cut(A, B, false);
    for message in 1..4 {
        line.send(0, message, 100, false).unwrap();
    }
    line.run(Time::from_millis(5_000), false);
    let expected = Time::from_millis(15);
    assert_eq!(line.order(), [0, 1, 2, 3]);
    assert!(
        line.arrived.iter().all(|(_, _, at)| *at == expected),
        "{:?}",
        line.arrived
    );
}

#[test]
fn urgent_messages_overtake_the_queue_but_not_the_kernel() {
    let mut line = Line::new(1);
    line.network.set_rate(A, B, Some(64_000));
    for message in 0..40 {
        line.send(0, message, 8_000, false).unwrap();
    }
    line.send(0, 100, 50, true).unwrap();
    line.run(Time::from_millis(60_000), false);
    // Eight messages and the beginning of the ninth fill 64 KiB.
    assert_eq!(line.order().iter().position(|message| *message == 100), Some(9));
    let took = line.arrived.last().unwrap().2;
    let expected = Duration::from_millis(40 * 8_080 / 64);
    assert!(
        took.elapsed() > expected && took.elapsed() < expected + Duration::from_millis(100),
        "{took}"
    );
}

#[test]
fn a_full_queue_overflows_and_forgets() {
    let mut line = Line::new(1);
    line.network.set_cut(A, B, true);
    let sent = (0..)
        .take_while(|&message| line.send(0, message, 60_000, false).is_ok())
        .count();
    let expected = (QUEUE_BYTES + KERNEL_BUFFER) / 60_000;
    assert!((expected..=expected + 2).contains(&sent), "{sent} messages");
    assert_eq!(line.send(0, 0, 60_000, true), Err(Overflow));
    line.step(0, |pipe, _| pipe.retain_queue(|_| false));
    assert_eq!(line.send(0, 0, 60_000, true), Ok(()));
}

#[test]
fn a_connection_without_progress_is_given_up_after_a_quarter_of_an_hour() {
    let mut line = Line::new(1);
    line.network.set_cut(A, B, true);
    line.send(0, 0, 100, false).unwrap();
    line.run(Time::from_millis(3_600_000), false);
    let at = line.given_up.expect("given up").elapsed();
    assert!(at >= GIVE_UP && at <= GIVE_UP + TIMER_MOST, "{at:?}");
}

#[test]
fn long_messages_get_through_a_lossy_wire_whole_and_in_order() {
    let mut line = Line::new(5);
    line.network.set_loss_everywhere(0.25);
    for message in 0..20 {
        line.send(0, message, 30_000, false).unwrap();
    }
    line.run(Time::from_millis(600_000), false);
    assert_eq!(line.order(), (0..20).collect::<Vec<_>>());
    assert!(line.pipes[0].sender.is_none(), "nothing is kept once all has arrived");
}

/// The share of pings, one a second, whose answers come within this time.
fn share_answered(seed: u64, loss: f64, within: Duration, pings: u32) -> f64 {
    let mut line = Line::new(seed);
    line.network.set_loss_everywhere(loss);
    for ping in 0..pings {
        line.run(Time::from_millis(1000 * u64::from(ping)), true);
        line.send(0, ping, 40, true).unwrap();
    }
    line.run(Time::from_millis(1000 * u64::from(pings) + 600_000), true);
    let answers = line.arrived.iter().filter(|(pipe, ..)| *pipe == 1);
    let in_time = answers.filter(|(_, ping, at)| at.since(Time::from_millis(1000 * u64::from(*ping))) <= within);
    in_time.count() as f64 / f64::from(pings)
}

/// protocol.md §7: "which kept 99.98 % of exchanges under 1.5 s at 25 % loss in a calculation". Of exchanges on their own. Here they follow
/// each other every second, so one that is late holds the next one up, and a lost acknowledgement makes the window small for a while.
#[test]
fn at_25_percent_loss_nearly_all_exchanges_take_less_than_a_second_and_a_half() {
    let shares: Vec<f64> = (0..4)
        .map(|seed| share_answered(seed, 0.25, Duration::from_millis(1500), 20_000))
        .collect();
    println!("answered within 1.5 s: {shares:?}");
    let mean = shares.iter().sum::<f64>() / 4.0;
    assert!(mean > 0.999, "{mean}");
    // By the formula: of tries that succeed three times in four, seven may fail in both directions together before 1.5 s are over.
    let formula: f64 = (0..=7)
        .map(|lost: i32| f64::from(lost + 1) * 0.75_f64.powi(2) * 0.25_f64.powi(lost))
        .sum();
    println!("by the formula: {formula}");
    assert!((mean - formula).abs() < 0.0008, "{mean} measured, {formula} calculated");
}

#[test]
fn without_loss_every_exchange_takes_one_round_trip() {
    assert_eq!(share_answered(1, 0.0, Duration::from_millis(10), 1000), 1.0);
}
