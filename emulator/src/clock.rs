//! Time as something that can be passed in, so that tests decide when a timer is due.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::model::Timestamp;

/// What the service believes the time is, and how it waits for a moment.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Returns once [`now`](Self::now) is at or past `deadline`.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A sleep never runs longer than this before the clock is looked at again: the system clock can be set, and timers are kept in its time.
const LONGEST_NAP: Duration = Duration::from_secs(60);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let now = self.now();
            if now >= deadline {
                return;
            }
            tokio::time::sleep(deadline.since(now).min(LONGEST_NAP)).await;
        }
    }
}

/// A clock that stands still until it is advanced.
///
/// Clones share one time.
#[derive(Debug, Clone)]
pub struct TestClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    now: Mutex<Timestamp>,
    moved: Notify,
}

impl TestClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            shared: Arc::new(Shared {
                now: Mutex::new(now),
                moved: Notify::new(),
            }),
        }
    }

    /// Moves the clock forward; everything that sleeps until a moment now reached wakes up.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.now().after(by));
    }

    /// Moves the clock to `to`, unless it is there or past it already.
    pub fn advance_to(&self, to: Timestamp) {
        {
            let mut now = self
                .shared
                .now
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if to <= *now {
                return;
            }
            *now = to;
        }
        self.shared.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self
            .shared
            .now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            // Registered before the time is read, so that an advance in between is not missed.
            let moved = self.shared.moved.notified();
            if self.now() >= deadline {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_test_clock_wakes_sleepers_only_when_their_moment_is_reached() {
        let clock = TestClock::new(Timestamp::from_millis(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(Timestamp::from_millis(1_000)).await;
                clock.now()
            }
        });
        clock.advance(Duration::from_millis(999));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        assert_eq!(sleeper.await.unwrap(), Timestamp::from_millis(1_000));
    }

    #[tokio::test]
    async fn a_sleep_until_the_past_returns_at_once() {
        SystemClock.sleep_until(Timestamp::from_millis(0)).await;
    }
}
