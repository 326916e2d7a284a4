//! When a failed attempt is followed by another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use sha2::{Digest as _, Sha256};

use crate::duration::text;
use crate::{FailureClass, JobFailure};

/// When a failed attempt is followed by another one, and after how long.
///
/// ```
/// use std::time::Duration;
/// use longhaul_core::{FailureClass, RetryPolicy};
///
/// let policy = RetryPolicy::default();
/// assert_eq!(policy.delay_after(1, FailureClass::Interrupted), Some(Duration::from_secs(10)));
/// assert_eq!(policy.delay_after(2, FailureClass::Interrupted), Some(Duration::from_secs(20)));
/// assert_eq!(policy.delay_after(3, FailureClass::Interrupted), None);
/// assert_eq!(policy.delay_after(1, FailureClass::Failed), None);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How many attempts in all, 1 to 100. 3 by default.
    pub attempts: u32,
    /// The classes that are tried again. By default only [`Interrupted`](FailureClass::Interrupted):
    /// the job did nothing wrong, its machine went away. A job that
    /// [did not start for a passing reason](JobFailure::may_pass), or for which there was no
    /// capacity, is tried again whatever stands here.
    pub on: Vec<FailureClass>,
    /// How long to wait before the second attempt; doubled for each one after. 10 s by default.
    #[serde(with = "text")]
    pub backoff: Duration,
    /// The longest wait. 5 minutes by default.
    #[serde(with = "text")]
    pub max_backoff: Duration,
    /// How much of a wait is left to chance, 0 to 1, so that many jobs that failed together are
    /// not tried again together. 0.25 by default: a wait of 20 s is one of 15 s to 20 s. Drawn
    /// from the execution's id, the job and the attempt: a replay finds the same.
    pub jitter: f64,
    /// More memory for the attempt that follows [`OutOfMemory`](FailureClass::OutOfMemory), which
    /// is then tried again. Absent by default: the same memory would run out again. Needs
    /// `resources.memory_mib`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_memory: Option<MoreMemory>,
}

/// More memory for an attempt that follows one that ran out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoreMemory {
    /// How many times as much, more than 1, at most 16.
    pub factor: f64,
    /// The most, in MiB. An attempt that had as much is the last.
    pub max_mib: u32,
}

impl MoreMemory {
    /// The memory, in MiB, of the attempt that follows one with `mib`; `None` where there is no
    /// more.
    #[must_use]
    pub fn after(&self, mib: u32) -> Option<u32> {
        let wanted = (f64::from(mib) * self.factor).ceil();
        let most = f64::from(self.max_mib);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0 and a u32 by the line above"
        )]
        let next = wanted.clamp(0.0, most) as u32;
        (next > mib).then_some(next)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: vec![FailureClass::Interrupted],
            backoff: Duration::from_secs(10),
            max_backoff: Duration::from_secs(300),
            jitter: 0.25,
            more_memory: None,
        }
    }
}

impl RetryPolicy {
    /// One attempt, whatever happens.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts: 1,
            ..Self::default()
        }
    }

    /// How long to wait before the attempt that follows attempt number `attempt` (from 1), which
    /// failed with `class`; `None` when it was the last.
    #[must_use]
    pub fn delay_after(&self, attempt: u32, class: FailureClass) -> Option<Duration> {
        if !self.on.contains(&class) {
            return None;
        }
        self.delay(attempt)
    }

    /// Whether `failure` is one that may be tried again, as far as this policy knows.
    /// [`more_memory`](Self::more_memory) is the caller's to look at. Past the
    /// [deadline](FailureClass::DeadlineExceeded) nothing is.
    #[must_use]
    pub fn retries(&self, failure: &JobFailure) -> bool {
        if failure.class == FailureClass::DeadlineExceeded {
            return false;
        }
        self.on.contains(&failure.class) || failure.may_pass()
    }

    /// `delay` with its part of chance: between `1 - jitter` of it and all of it. The same `seed`
    /// draws the same.
    #[must_use]
    pub fn jittered(&self, delay: Duration, seed: &str) -> Duration {
        let digest = Sha256::digest(seed.as_bytes());
        let drawn = digest
            .iter()
            .take(4)
            .fold(0_u32, |drawn, byte| (drawn << 8) | u32::from(*byte));
        let share = f64::from(drawn) / f64::from(u32::MAX);
        delay.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * share)
    }

    /// How long to wait before the attempt that follows attempt number `attempt`, whatever it
    /// failed with; `None` when it was the last. For starts that found no capacity: they are
    /// tried again under every policy that allows more than one attempt.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(30);
        Some(
            self.backoff
                .saturating_mul(1 << doublings)
                .min(self.max_backoff),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_grows_to_its_ceiling_and_then_no_more() {
        let more = MoreMemory {
            factor: 1.5,
            max_mib: 4_000,
        };
        assert_eq!(more.after(1_000), Some(1_500));
        assert_eq!(more.after(3_001), Some(4_000));
        assert_eq!(more.after(4_000), None);
        assert_eq!(more.after(8_000), None);
    }

    proptest! {
        #[test]
        fn chance_takes_no_more_than_its_share_and_is_the_same_again(jitter in 0.0..=1.0f64, seed in ".*") {
            let policy = RetryPolicy { jitter, ..RetryPolicy::default() };
            let whole = Duration::from_secs(100);
            let drawn = policy.jittered(whole, &seed);
            prop_assert!(drawn <= whole && drawn >= whole.mul_f64(1.0 - jitter));
            prop_assert_eq!(drawn, policy.jittered(whole, &seed));
        }

        #[test]
        fn the_wait_grows_to_its_bound_and_attempts_end(attempts in 1u32..100, backoff in 0u64..1000, max in 0u64..10_000) {
            let policy = RetryPolicy {
                attempts,
                backoff: Duration::from_secs(backoff),
                max_backoff: Duration::from_secs(max),
                ..RetryPolicy::default()
            };
            let mut last = Duration::ZERO;
            for attempt in 1..attempts {
                let delay = policy.delay_after(attempt, FailureClass::Interrupted).unwrap();
                prop_assert!(delay >= last && delay <= policy.max_backoff);
                last = delay;
            }
            prop_assert_eq!(policy.delay_after(attempts, FailureClass::Interrupted), None);
        }
    }
}
