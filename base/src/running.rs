//! How long a peer has really run, as seen by its own timers.
//!
//! A process that got no processor, or whose event loop is behind, is as late with the reading of answers as with everything else. How late that is it
//! sees when it takes up a deadline. A deadline is late from the moment on when it could have been noticed: one that is set into the past is not late for that.

use std::time::Duration;

use crate::Time;

/// Any timer may be so late: 10 ms, a tick of a busy machine.
const TICK: Duration = Duration::from_millis(10);

/// What was lost to lateness, in all and lately.
#[derive(Clone, Debug, Default, Hash)]
pub struct Running {
    lost: Duration,
    next: Option<Next>,
    /// How late the latest was that has come lately, and when.
    worst: Option<(Time, Duration)>,
}

/// The deadline that comes next.
#[derive(Clone, Debug, Hash)]
struct Next {
    at: Time,
    /// When it was due or set, whichever is later.
    due: Time,
    /// Up to when its lateness has been counted.
    counted: Time,
}

impl Running {
    /// Something is taken up at `now`, the deadline or anything else.
    pub fn resumes(&mut self, now: Time, lately: Duration) {
        if self.worst.is_some_and(|(at, _)| now.since(at) >= lately) {
            self.worst = None;
        }
        let Some(next) = &mut self.next else { return };
        let late = now.since(next.due);
        if late > TICK {
            self.lost += now.since(next.counted);
            next.counted = next.counted.max(now);
            if self.worst.is_none_or(|(_, worst)| worst <= late) {
                self.worst = Some((now, late));
            }
        }
    }

    /// It is done with, and this deadline comes next.
    pub fn waits(&mut self, now: Time, at: Option<Time>) {
        if self.next.as_ref().map(|next| next.at) != at {
            self.next = at.map(|at| Next {
                at,
                due: at.max(now),
                counted: at.max(now),
            });
        }
    }

    /// What has been lost so far: a limit in own time is over so much later.
    pub fn lost(&self) -> Duration {
        self.lost
    }

    /// How late the latest deadline was that was taken up lately.
    fn lateness(&self) -> Duration {
        self.worst.map_or(Duration::ZERO, |(_, late)| late)
    }

    /// How much longer an answer may take for that: once for sending and once for reading, and as much for the other end, which may be as busy. Four times
    /// `most` at most.
    pub fn grace(&self, most: Duration) -> Duration {
        self.lateness().min(most) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATELY: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_deadline_that_is_noticed_late_is_lost_time_and_counted_once() {
        let mut running = Running::default();
        running.waits(at(0), Some(at(100)));
        running.resumes(at(105), LATELY);
        assert_eq!(running.lost(), ms(0), "a timer may be so late");
        for now in [130, 135, 200] {
            running.resumes(at(now), LATELY);
            assert_eq!(running.lost(), ms(now - 100), "whatever is taken up before it");
            running.waits(at(now), Some(at(100)));
        }
        running.waits(at(200), Some(at(300)));
        running.resumes(at(300), LATELY);
        assert_eq!((running.lost(), running.lateness()), (ms(100), ms(100)));
    }

    #[test]
    fn what_is_set_into_the_past_is_late_from_then_on_only() {
        let mut running = Running::default();
        running.waits(at(500), Some(at(100)));
        running.resumes(at(500), LATELY);
        assert_eq!(running.lost(), ms(0));
        running.resumes(at(600), LATELY);
        assert_eq!((running.lost(), running.lateness()), (ms(100), ms(100)));
    }

    #[test]
    fn the_worst_of_late_is_remembered_for_a_while() {
        let mut running = Running::default();
        for (due, taken, worst) in [
            (100, 400, 300),
            (600, 650, 300),
            (1300, 1301, 300),
            (1399, 1440, 41),
            (3000, 3000, 0),
        ] {
            running.waits(at(due), Some(at(due)));
            running.resumes(at(taken), LATELY);
            assert_eq!(running.lateness(), ms(worst), "at {taken}");
        }
    }

    #[test]
    fn who_waits_for_nothing_loses_nothing() {
        let mut running = Running::default();
        running.waits(at(0), None);
        running.resumes(at(5000), LATELY);
        assert_eq!((running.lost(), running.lateness()), (ms(0), ms(0)));
    }
}
