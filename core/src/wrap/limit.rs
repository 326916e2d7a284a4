//! Starts jobs no faster than a platform's quota allows.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus, Locate,
};

/// How many starts a platform allows: a token bucket.
///
/// After a rest, up to `burst` starts go at once; then one goes each time that the rate allows
/// one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// One start each `interval`, with no burst. An interval of zero is no limit; one of more
    /// than a day counts as a day.
    #[must_use]
    pub fn one_each(interval: Duration) -> Self {
        Self {
            interval: interval.min(Duration::from_secs(24 * 3600)),
            burst: NonZeroU32::MIN,
        }
    }

    /// This many starts a second, evenly spread.
    #[must_use]
    pub fn per_second(starts: NonZeroU32) -> Self {
        Self::one_each(Duration::from_secs(1) / starts.get())
    }

    /// The same rate with up to `burst` starts at once after a rest. 1 is no burst.
    #[must_use]
    pub fn with_burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }
}

/// The bucket: when it will be full again.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    /// When the next start may go.
    fn next(&self) -> Instant {
        let now = Instant::now();
        let slack = self.rate.interval.saturating_mul(self.rate.burst.get() - 1);
        let until_full = self.full_at.saturating_duration_since(now);
        now + until_full.saturating_sub(slack)
    }

    /// A start goes now.
    fn take(&mut self) {
        self.full_at = self.full_at.max(Instant::now()) + self.rate.interval;
    }
}

/// A backend that starts jobs no faster than its platform's quota allows.
///
/// Starts wait their turn, first come, first served, for as long as it takes; a caller that
/// wants a deadline drops the future, and nothing has been started then. Only starts wait: a
/// cancel must not queue behind them. In flight means until the platform has accepted the job,
/// not until the job is over.
///
/// The limits hold within one process. Lambda runs one invocation in an environment at a time,
/// so with N environments at once the platform sees up to N times the rate.
///
/// Waits on tokio's clock: a runtime with time enabled must run it.
#[derive(Debug)]
pub struct Limit<B: ?Sized = dyn ComputeBackend> {
    in_flight: Option<Semaphore>,
    bucket: Option<Mutex<Bucket>>,
    inner: Arc<B>,
}

impl<B: ComputeBackend + ?Sized> Limit<B> {
    /// `inner` with no limit yet.
    #[must_use]
    pub fn new(inner: Arc<B>) -> Self {
        Self {
            inner,
            in_flight: None,
            bucket: None,
        }
    }

    /// The same with at most `starts` in flight at once.
    #[must_use]
    pub fn with_in_flight(mut self, starts: NonZeroUsize) -> Self {
        let permits = starts.get().min(Semaphore::MAX_PERMITS);
        self.in_flight = Some(Semaphore::new(permits));
        self
    }

    /// The same with at most this many starts a second.
    #[must_use]
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.bucket = Some(Mutex::new(Bucket {
            rate,
            full_at: Instant::now(),
        }));
        self
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: ComputeBackend + ?Sized> ComputeBackend for Limit<B> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        // The place in flight first: a start that waits for one must not have drawn from the
        // bucket already, or those that waited would all go at once when places come free.
        // Both queues are fair, so first come is first served through both.
        let _place = match &self.in_flight {
            Some(places) => Some(places.acquire().await.map_err(|closed| {
                BackendError::new(
                    BackendErrorKind::Unavailable,
                    format!("start job `{}`: the queue of starts is closed", job.name()),
                )
                .with_source(closed)
            })?),
            None => None,
        };
        if let Some(bucket) = &self.bucket {
            // Held while waiting: this is the head of the queue.
            let mut bucket = bucket.lock().await;
            sleep_until(bucket.next()).await;
            bucket.take();
        }
        self.inner.start(job, token).await
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        self.inner.cancel(job, reason).await
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        self.inner.describe(job).await
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        self.inner.list(execution).await
    }
}

#[async_trait]
impl<B: Locate + ?Sized> Locate for Limit<B> {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        self.inner.locate(job).await
    }
}

#[cfg(test)]
#[cfg(feature = "mock")]
#[path = "limit_tests.rs"]
mod tests;
