//! The time, passed in so that tests need not wait.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

/// What time it is, and a way to let some pass.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// The time of day, which is compared with the times in events.
    fn now(&self) -> SystemTime;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
