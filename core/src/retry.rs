//! When a failed attempt is followed by another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::FailureClass;
use crate::duration::text;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How many attempts in all, 1 to 100. 3 by default.
    pub attempts: u32,
    /// The classes that are tried again. By default only [`Interrupted`](FailureClass::Interrupted):
    /// the job did nothing wrong, its machine went away.
    pub on: Vec<FailureClass>,
    /// How long to wait before the second attempt; doubled for each one after. 10 s by default.
    #[serde(with = "text")]
    pub backoff: Duration,
    /// The longest wait. 5 minutes by default.
    #[serde(with = "text")]
    pub max_backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: vec![FailureClass::Interrupted],
            backoff: Duration::from_secs(10),
            max_backoff: Duration::from_secs(300),
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

    proptest! {
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
