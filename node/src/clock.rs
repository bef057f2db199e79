//! How a node keeps time: the time counts that its machine sleeps.
//!
//! A laptop that was shut, or a virtual machine that was paused, comes back to peers that have long gone on without it. A clock that stood still meanwhile
//! would let this peer believe for as long as its timers still have to run that nothing has happened: so time is read from the system's clock that
//! counts sleep (`CLOCK_BOOTTIME`; macOS calls it `CLOCK_MONOTONIC`), and since timers of the runtime do not count it, none runs for
//! longer than [`LONGEST`]: that much later than its machine a node is awake.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fatebound_machine::overlay::Time;
use futures::FutureExt;
use tokio::time::Sleep;

/// A timer runs no longer than this without a look at the clock.
const LONGEST: Duration = Duration::from_secs(1);

/// The time of one node since its start, and its one timer.
pub(crate) struct Clock {
    start: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set for.
    set: Option<Time>,
    #[cfg(test)]
    hand: Hand,
}

impl Clock {
    /// Shows [`Time::ZERO`] now.
    pub(crate) fn new() -> Clock {
        Clock {
            start: reading(),
            timer: None,
            set: None,
            #[cfg(test)]
            hand: Hand::default(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        let passed = reading().saturating_sub(self.start);
        #[cfg(test)]
        let passed = passed + self.hand.ahead();
        Time::ZERO + passed
    }

    /// Whether this time has come; if it has not, the task is woken when it has, or when it is worth another look.
    pub(crate) fn has_come(&mut self, at: Time, cx: &mut Context<'_>) -> bool {
        loop {
            let now = self.now();
            if at <= now {
                self.set = None;
                return true;
            }
            let pause = at.since(now).min(LONGEST);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if self.set != Some(at) {
                timer.as_mut().reset(tokio::time::Instant::now() + pause);
                self.set = Some(at);
            }
            match timer.poll_unpin(cx) {
                // Early by the runtime's grain, or long before the time: another look.
                Poll::Ready(()) => self.set = None,
                Poll::Pending => return false,
            }
        }
    }

    /// What a test moves this clock with.
    #[cfg(test)]
    pub(crate) fn hand(&self) -> Hand {
        self.hand.clone()
    }
}

/// What the system's clock that counts sleep shows.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn reading() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_vendor = "apple")]
    let clock = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    let clock = ClockId::Boottime;
    let shows = clock_gettime(clock);
    Duration::new(
        u64::try_from(shows.tv_sec).unwrap_or_default(),
        u32::try_from(shows.tv_nsec).unwrap_or_default(),
    )
}

/// Elsewhere the clock of the standard library, which may stand still while the machine sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn reading() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

/// Moves the clock of one node ahead, as if its machine had slept.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(crate) struct Hand(std::sync::Arc<std::sync::Mutex<Duration>>);

#[cfg(test)]
impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn ahead(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn until(clock: &mut Clock, at: Time) {
        poll_fn(|cx| match clock.has_come(at, cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    #[tokio::test]
    async fn a_time_has_come_when_the_clock_shows_it_and_not_before() {
        let mut clock = Clock::new();
        for millis in [30, 10, 50] {
            let at = Time::from_millis(millis);
            until(&mut clock, at).await;
            assert!(clock.now() >= at);
        }
    }

    /// Nobody has to touch the node for that: its timer looks at the clock by itself.
    #[tokio::test(start_paused = true)]
    async fn who_slept_for_an_hour_is_awake_within_a_second() {
        let mut clock = Clock::new();
        let (hand, begun) = (clock.hand(), tokio::time::Instant::now());
        let far = Time::ZERO + Duration::from_secs(3000);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            hand.advance(Duration::from_secs(3600));
        });
        until(&mut clock, far).await;
        assert_eq!(begun.elapsed(), LONGEST);
    }
}
