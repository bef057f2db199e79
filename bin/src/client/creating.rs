//! How long a creation may take: one attempt, all attempts, and the answer.
//!
//! `--timeout` is the limit of one attempt, by default that of the node's profile. `--wait` is the limit of all of them: an attempt that would
//! take longer than what is left is cut to it. The client itself waits as long as the attempt may take, and `--api-timeout` beyond.

use std::time::{Duration, Instant};

use fatebound::{Config, Profile};

use super::{Api, CallError};
use crate::api::model::{CreateRequest, Created, NodeInfo};
use crate::api::problem::Kind;
use crate::cli::CreateArgs;

/// Between two attempts of a creation that waits.
const RETRY: Duration = Duration::from_millis(250);
/// With less than this no further attempt is made: it could only fail, and hide why the one before it did.
const SHORTEST: Duration = Duration::from_millis(250);

/// One attempt, or with `--wait` as many as it takes until all accept.
pub async fn attempts(api: &Api, mut request: CreateRequest, args: &CreateArgs) -> Result<Created, CallError> {
    let times = Times::of(api, args, Instant::now()).await?;
    loop {
        let limit = times.attempt(Instant::now());
        request.timeout_ms = (args.timeout.is_some() || args.wait.is_some()).then(|| whole_ms(limit));
        let error = match api.busy_for(limit).post("/v1/groups", &request).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        let again = matches!(&error, CallError::Problem(problem) if problem.is(Kind::CreationFailed));
        if args.wait.is_none() || !again || times.over(Instant::now()) {
            return Err(error);
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The limits of a creation.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Of one attempt.
    attempt: Duration,
    /// Of all of them; without it they go on until all accept.
    until: Option<Instant>,
}

impl Times {
    async fn of(api: &Api, args: &CreateArgs, now: Instant) -> Result<Times, CallError> {
        // Longer than the clock can count is for ever.
        let until = args.wait.and_then(|wait| now.checked_add(wait));
        let attempt = match (args.timeout, args.wait) {
            (Some(timeout), _) => timeout,
            (None, None) => longest(),
            (None, Some(_)) => {
                let node: NodeInfo = api.get("/v1/node").await?;
                node.profile.parse().map_or_else(|_| longest(), by_default)
            }
        };
        Ok(Times { attempt, until })
    }

    /// How long an attempt that begins now may take.
    fn attempt(&self, now: Instant) -> Duration {
        let left = self.until.map(|until| until.saturating_duration_since(now));
        left.map_or(self.attempt, |left| left.min(self.attempt))
    }

    /// Whether there is no time for another attempt.
    fn over(&self, now: Instant) -> bool {
        self.until
            .is_some_and(|until| until.saturating_duration_since(now) < RETRY + SHORTEST)
    }
}

/// How long the members have to accept unless somebody says otherwise.
fn by_default(profile: Profile) -> Duration {
    Config::preset(profile).groups.create_timeout
}

/// As long as any node's profile gives: a client does not know which its node has.
pub fn longest() -> Duration {
    by_default(Profile::Wan)
}

/// At least one millisecond: zero would mean the default.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_timeout_is_never_nothing() {
        assert_eq!(whole_ms(Duration::from_micros(1)), 1);
        assert_eq!(whole_ms(1500 * MS), 1500);
    }

    #[test]
    fn an_attempt_is_cut_to_what_is_left() {
        let now = Instant::now();
        let times = Times {
            attempt: 3000 * MS,
            until: Some(now + 4000 * MS),
        };
        assert_eq!(times.attempt(now), 3000 * MS);
        assert_eq!(times.attempt(now + 3250 * MS), 750 * MS);
        assert_eq!(times.attempt(now + 5000 * MS), Duration::ZERO);
        assert!(!times.over(now + 3500 * MS));
        assert!(times.over(now + 3501 * MS));
        assert!(times.over(now + 5000 * MS));
    }

    #[test]
    fn without_an_end_attempts_go_on() {
        let times = Times {
            attempt: 3000 * MS,
            until: None,
        };
        let later = Instant::now() + Duration::from_secs(1_000_000);
        assert_eq!(times.attempt(later), 3000 * MS);
        assert!(!times.over(later));
    }
}
