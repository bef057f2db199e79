//! The clock that counts sleep: a host that was suspended has not run (M8).

use std::time::Duration;

use fatebound_base::Time;

/// The time since this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Duration,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { start: reading() }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + reading().saturating_sub(self.start)
    }
}

fn reading() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere the monotonic clock counts sleep, or there is none that does.
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
