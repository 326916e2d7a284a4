//! The deadline of a job over all its attempts, kept by times that are recorded.
//!
//! The first attempt is given the whole of it: its callback has that timeout, and a replay finds
//! the callback. When an attempt has failed and another one would follow, a step records what time
//! it is: what is left is computed from that and from when the first start was answered, which its
//! step recorded. So a replay decides the same, however late it comes, and a job without a deadline,
//! or without a second attempt, pays nothing.

use std::time::{Duration, SystemTime};

use longhaul_core::{FailureClass, JobFailure, JobHandle, format_duration};

use crate::clock::Clock;
use crate::durable::{self, DurableContext, DurableError};
use crate::operations;

/// The durable service counts in whole seconds, from 1.
const SECOND: Duration = Duration::from_secs(1);

/// What is left of a job's deadline.
#[derive(Debug)]
pub(crate) struct Deadline {
    whole: Option<Duration>,
    /// When it began to count.
    since: Option<SystemTime>,
    left: Option<Duration>,
}

impl Deadline {
    pub(crate) fn new(whole: Option<Duration>) -> Self {
        Self {
            whole,
            since: None,
            left: whole,
        }
    }

    /// The timeout of the next attempt, where the deadline comes before its own `timeout`.
    pub(crate) fn limit(&self, timeout: Duration) -> Option<Duration> {
        self.left.filter(|left| *left < timeout)
    }

    /// Attempt number `attempt`, which `handle` is of where it started, has failed, and another one
    /// would begin after `delay`. Whether there is time for it.
    pub(crate) async fn has_time(
        &mut self,
        ctx: &DurableContext,
        (label, attempt): (&str, u32),
        handle: Option<&JobHandle>,
        delay: Duration,
        clock: &Clock,
    ) -> Result<bool, DurableError> {
        let Some(whole) = self.whole else {
            return Ok(true);
        };
        let clock = clock.clone();
        let name = operations::deadline(label, attempt);
        let now = durable::step(ctx, name, async move |_| {
            let since = clock.now().duration_since(SystemTime::UNIX_EPOCH);
            Ok(since.unwrap_or_default())
        })
        .await?;
        // It has no failure to record.
        let now = SystemTime::UNIX_EPOCH + now.unwrap_or_default();
        let since = *self
            .since
            .get_or_insert_with(|| handle.and_then(JobHandle::started_at).unwrap_or(now));
        let gone = now.duration_since(since).unwrap_or_default();
        let left = whole.saturating_sub(gone).saturating_sub(delay);
        let left = Duration::from_secs(left.as_secs());
        self.left = Some(left);
        Ok(left >= SECOND)
    }

    /// What is said where attempt number `next` could not begin in time.
    pub(crate) fn passed(&self, next: u32, last: &str) -> String {
        format!(
            "the deadline of {} for all attempts passes before attempt {next} could begin; the one before: {last}",
            format_duration(self.whole.unwrap_or_default())
        )
    }

    /// The failure of a job whose last attempt failed with `last`.
    pub(crate) fn failure(&self, next: u32, mut last: JobFailure) -> JobFailure {
        let told = format!("{}: {}", last.error_type(), last.error_message());
        last.message = Some(self.passed(next, &told));
        last.class = FailureClass::DeadlineExceeded;
        last.own_type = None;
        last.own_data = None;
        last
    }
}
