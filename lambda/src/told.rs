//! What is told of an attempt, once: events for the log and, with the feature `metrics`, metrics.
//!
//! That it started is told by the step that starts it, which a replay does not run. How it ended is
//! told when it is seen for the first time: when nothing was recorded after it yet
//! ([`DurableContext::is_replaying`]), for whatever the handler does next is recorded. No operation is needed for that.
//! So both are told at least once: again where an invocation was killed just then, or where what
//! the handler does next is not durable and it suspends for something that it began before.

use longhaul_core::{CallbackResult, ExecutionId, JobFailure, JobHandle, JobName, JobTimes};

use crate::clock::Clock;
use crate::durable::{Completed, DurableContext};
#[cfg(feature = "metrics")]
use crate::metrics::{Ending, Metrics};

/// Which attempt of which job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'a> {
    pub(crate) job: &'a JobName,
    pub(crate) backend: &'a str,
    pub(crate) arn: &'a str,
    pub(crate) attempt: u32,
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How<'a> {
    Succeeded(&'a Completed<JobHandle>),
    Failed(&'a JobHandle, &'a JobFailure),
    /// It was not started. The step that tried has told the log why.
    NotStarted,
}

/// Who tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teller {
    #[cfg(feature = "metrics")]
    metrics: Option<Metrics>,
}

impl Teller {
    #[cfg(feature = "metrics")]
    pub(crate) fn with_metrics(metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
        }
    }

    fn counts(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.metrics.is_some();
        #[cfg(not(feature = "metrics"))]
        false
    }

    /// The attempt was started. To be called in the span that names it, by the step that starts it.
    pub(crate) fn started(&self, which: Which<'_>, handle: &JobHandle, clock: &Clock) {
        tracing::Span::current().record("handle", tracing::field::display(handle));
        tracing::info!(%handle, "started");
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            metrics.started(which, handle, clock.now());
        }
        let _ = (which, clock); // not every set of features needs them
    }

    /// The attempt has ended: tells it, unless it was told before. Whether it is told now.
    pub(crate) fn ended(
        &self,
        ctx: &DurableContext,
        which: Which<'_>,
        how: How<'_>,
        clock: &Clock,
    ) -> bool {
        // Nobody who does not listen pays for finding out.
        if !self.counts() && !tracing::enabled!(tracing::Level::WARN) {
            return false;
        }
        if ctx.is_replaying() {
            return false;
        }
        log(which, how);
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            let ending = match how {
                How::Succeeded(completed) => Ending::succeeded(&completed.handle, times(completed)),
                How::Failed(handle, failure) => Ending::failed(handle, failure),
                How::NotStarted => Ending::not_started(),
            };
            metrics.ended(which, ending, clock.now());
        }
        let _ = clock; // not every set of features needs it
        true
    }
}

fn log(which: Which<'_>, how: How<'_>) {
    let handle = match how {
        How::Succeeded(completed) => &completed.handle,
        How::Failed(handle, _) => handle,
        How::NotStarted => return,
    };
    let span = tracing::info_span!(
        "end",
        job = %which.job,
        backend = which.backend,
        attempt = which.attempt,
        execution = %ExecutionId::from_arn(which.arn),
        %handle,
    );
    span.in_scope(|| match how {
        How::Succeeded(completed) => {
            let times = times(completed);
            let millis = |part: std::time::Duration| u64::try_from(part.as_millis()).ok();
            tracing::info!(
                queue_ms = times
                    .and_then(|times| times.queue_time(handle))
                    .and_then(millis),
                run_ms = times.and_then(|times| millis(times.run_time())),
                "succeeded"
            );
        }
        How::Failed(_, failure) => {
            tracing::warn!(
                class = %failure.class,
                error_type = failure.error_type(),
                error = failure.error_message(),
                "failed"
            );
        }
        How::NotStarted => {}
    });
}

/// When the job ran. Read only where it is told: a replay need not know.
fn times(completed: &Completed<JobHandle>) -> Option<JobTimes> {
    CallbackResult::split_times(&completed.payload).0
}
