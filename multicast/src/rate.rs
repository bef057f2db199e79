//! How much may pass: a bucket of tokens that fills with time.

use fatebound_base::Time;

/// So much of anything a second, and what a second brings at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    per_second: u64,
    /// What may pass at once.
    full: u64,
    /// What may pass now, in billionths.
    tokens: u128,
    filled: Time,
}

/// In bytes.
const LONGEST_PACKET: u64 = 65_535;
const NANO: u128 = 1_000_000_000;

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u64, now: Time) -> Bucket {
        Bucket::holding(per_second, per_second, now)
    }

    /// A full bucket of bits: also the longest packet may pass one day, however low the rate.
    pub fn bits(per_second: u64, now: Time) -> Bucket {
        Bucket::holding(per_second, per_second.max(LONGEST_PACKET * 8), now)
    }

    fn holding(per_second: u64, full: u64, now: Time) -> Bucket {
        Bucket {
            per_second,
            full,
            tokens: u128::from(full) * NANO,
            filled: now,
        }
    }

    /// Takes so much if it is there; else nothing.
    pub fn take(&mut self, amount: u64, now: Time) -> bool {
        let full = u128::from(self.full) * NANO;
        let passed = now.since(self.filled).as_nanos();
        self.tokens = full.min(
            self.tokens
                .saturating_add(passed.saturating_mul(self.per_second.into())),
        );
        self.filled = now;
        let wanted = u128::from(amount) * NANO;
        let enough = self.tokens >= wanted;
        if enough {
            self.tokens -= wanted;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_at_once_and_then_as_time_goes() {
        let mut bucket = Bucket::new(10, Time::ZERO);
        assert!((0..10).all(|_| bucket.take(1, Time::ZERO)));
        assert!(!bucket.take(1, Time::ZERO));
        let later = Time::ZERO + Duration::from_millis(100);
        assert!(bucket.take(1, later) && !bucket.take(1, later));
        let much_later = Time::ZERO + Duration::from_secs(3600);
        assert!(!bucket.take(11, much_later) && bucket.take(10, much_later));
    }

    #[test]
    fn a_packet_that_is_longer_than_a_seconds_worth_passes_now_and_then() {
        let long = 60_000 * 8;
        let mut bucket = Bucket::bits(48_000, Time::ZERO);
        assert!(bucket.take(long, Time::ZERO) && !bucket.take(long, Time::ZERO));
        assert!(bucket.take(long, Time::ZERO + Duration::from_secs(10)));
    }
}
