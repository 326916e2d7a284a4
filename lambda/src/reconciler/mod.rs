//! The reconciler, a second Lambda function that EventBridge feeds: it tells waiting executions
//! which of their jobs died without a word, and stops the jobs of executions that are no more.
//!
//! The binary is `longhaul-reconciler`, behind the feature `reconciler`.
//!
//! | event | what is done |
//! | --- | --- |
//! | `ECS Task State Change`, a task of ours is STOPPED | its callback is failed with what [`longhaul_ecs`'s `job_status`](https://docs.rs/longhaul-ecs) says of the task |
//! | `Batch Job State Change`, a job of ours is FAILED or SUCCEEDED | its callback is failed with what [`longhaul_batch`'s `job_status`](https://docs.rs/longhaul-batch) says of the job |
//! | `Durable Execution Status Change`, an execution is STOPPED, TIMED_OUT or FAILED | its jobs are listed on every enabled backend and stopped |
//! | any other | it is ignored, with a line at the level `debug` |
//!
//! Failing a callback that is closed does nothing, so most events of jobs that ended well come to
//! nothing, and every event may come twice, late, or before the worker's own report.
//!
//! # Grace
//!
//! What a platform tells may overtake what a worker has just said. So, where a word may be under
//! way, it is waited for inside the invocation, counted from the end of the job or the execution:
//!
//! | what has ended | is given |
//! | --- | --- |
//! | a job with exit code 0, or one that is [`Lost`](FailureClass::Lost) for another reason: it may have succeeded | the grace, 30 s by default ([`Reconciler::DEFAULT_GRACE`]) |
//! | a job with another exit code: its worker knows more, such as the end of its standard error | 5 s, or the grace if that is shorter ([`Reconciler::REPORT_GRACE`]) |
//! | a job that ran out of memory, did not start, was interrupted, stopped or timed out by its platform: nobody knows more | nothing |
//! | an execution that was stopped or timed out: its last invocation may have been starting a job, and lists of jobs are behind | its jobs are stopped at once, and once more after the grace |
//! | an execution that failed: its handler is done | its jobs are stopped at once |
//!
//! Before it waits, the reconciler asks whether the callback is still open, by a heartbeat; for a
//! job that reported in time it is not, and the invocation is over in milliseconds. An event that
//! comes later than the grace is not held up: neither is one that Lambda tries again.
//!
//! # Configuration
//!
//! See [`ReconcilerConfig`].
//!
//! # Rules
//!
//! One EventBridge rule for each kind of event. An ECS task has many states, so a rule without
//! `lastStatus` would invoke the function for nothing five times a job:
//!
//! ```json
//! {
//!   "source": ["aws.ecs"],
//!   "detail-type": ["ECS Task State Change"],
//!   "detail": {"clusterArn": ["arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER"], "lastStatus": ["STOPPED"]}
//! }
//! ```
//!
//! ```json
//! {
//!   "source": ["aws.batch"],
//!   "detail-type": ["Batch Job State Change"],
//!   "detail": {"jobQueue": ["arn:aws:batch:REGION:ACCOUNT:job-queue/QUEUE"], "status": ["FAILED", "SUCCEEDED"]}
//! }
//! ```
//!
//! ```json
//! {
//!   "source": ["aws.lambda"],
//!   "detail-type": ["Durable Execution Status Change"],
//!   "detail": {
//!     "functionArn": [{"prefix": "arn:aws:lambda:REGION:ACCOUNT:function:HANDLER"}],
//!     "status": ["STOPPED", "TIMED_OUT", "FAILED"]
//!   }
//! }
//! ```
//!
//! # Permissions
//!
//! | action | on | for |
//! | --- | --- | --- |
//! | `lambda:SendDurableExecutionCallbackFailure` | `arn:aws:lambda:REGION:ACCOUNT:function:HANDLER:*` | failing callbacks |
//! | `lambda:SendDurableExecutionCallbackHeartbeat` | the same | asking whether a callback is open. Without it, every job with exit code 0 costs the whole grace |
//! | `ecs:ListTasks`, `ecs:StopTask` | as for the backend | stopping the tasks of an execution |
//! | `batch:ListJobs`, `batch:DescribeJobs`, `batch:TerminateJob` | as for the backend | stopping the jobs of an execution |
//!
//! The function's timeout must cover the grace, a minute for an API that does not answer, and the
//! stopping of an execution's jobs, of which ECS allows 40 a second: 5 minutes do for thousands.
//! Waiting invocations count among the account's concurrent ones; where that is scarce, reserve
//! some for this function, and Lambda keeps the other events in its queue.
//!
//! # Events that cannot be handled
//!
//! An event of ours that is malformed, a callback API that does not answer after 5 tries, a job
//! that cannot be stopped: the invocation fails, with one line at the level `error` that says
//! what and why. Lambda tries the event twice more, after one and two minutes, and then sends it
//! to the function's dead-letter queue. From there it can be sent to the function again, unchanged,
//! at any time. **The events in that queue hold callback tokens**, as EventBridge delivered them:
//! who may read the queue can complete the callbacks that are still open.
//!
//! # Not verified
//!
//! Nothing of this was run on a real AWS account: the events in the tests have the shapes of AWS's
//! documentation. That events carry the variables of a task or a job unredacted, that a heartbeat
//! is taken for a callback without a heartbeat timeout, and that the ARN in the event of an
//! execution is the one its handler sees, is documented or follows from the documentation, and was
//! not seen. Where an event has no token the invocation fails and says so; where a heartbeat is
//! refused, the grace is waited for.

#[cfg(feature = "batch")]
mod batch;
mod callbacks;
mod clock;
mod config;
#[cfg(feature = "ecs")]
mod ecs;
mod error;
mod executions;
mod jobs;
#[cfg(any(feature = "ecs", feature = "batch"))]
mod owner;
mod serve;
mod told;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
#[cfg(doc)]
use longhaul_core::FailureClass;
use longhaul_core::{ExecutionId, JobHandle};
use serde::Serialize;
use serde_json::Value;

use crate::JobRunner;

#[cfg(feature = "batch")]
pub use batch::BatchEvents;
pub use callbacks::{CallbackApi, CallbackApiError, Delivery, LambdaCallbacks};
pub use clock::{Clock, SystemClock};
pub use config::ReconcilerConfig;
#[cfg(feature = "ecs")]
pub use ecs::EcsEvents;
pub use error::{Malformed, ReconcileError};
pub use serve::{main, serve};
pub use told::{EndedJob, JobEvents, Told};

/// Handles events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reconciler {
    runner: JobRunner,
    callbacks: Arc<dyn CallbackApi>,
    platforms: Vec<Arc<dyn JobEvents>>,
    function: Option<String>,
    grace: Duration,
    clock: Arc<dyn Clock>,
}

/// What was done about an event: the answer of the invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "did", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reconciled {
    /// Nothing: the event does not matter here.
    Ignored {
        /// Why not.
        why: String,
    },
    /// A job ended without a word, and its callback was failed.
    CallbackFailed {
        /// The job.
        job: JobHandle,
        /// The `ErrorType` that its callback was failed with, such as `Longhaul.OutOfMemory`.
        error_type: String,
    },
    /// A job ended, and nobody waited for it any more.
    CallbackClosed {
        /// The job.
        job: JobHandle,
    },
    /// An execution ended, and its jobs were stopped.
    JobsStopped {
        /// The execution.
        execution: ExecutionId,
        /// How many jobs still ran.
        stopped: usize,
    },
}

impl Reconciler {
    /// How long a word that may be under way is waited for where the configuration does not say.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

    /// How long the report of a worker that failed is waited for, if the grace is not shorter.
    pub const REPORT_GRACE: Duration = Duration::from_secs(5);

    /// A reconciler that stops jobs through `runner` and fails callbacks through `callbacks`.
    /// It knows of no platform's events yet.
    #[must_use]
    pub fn new(runner: JobRunner, callbacks: Arc<dyn CallbackApi>) -> Self {
        Self {
            runner,
            callbacks,
            platforms: Vec::new(),
            function: None,
            grace: Self::DEFAULT_GRACE,
            clock: Arc::new(SystemClock),
        }
    }

    /// The same reconciler with one more platform whose events it reads.
    #[must_use]
    pub fn with_events(mut self, platform: Arc<dyn JobEvents>) -> Self {
        self.platforms.push(platform);
        self
    }

    /// The same reconciler, which ignores the executions of other functions than this one: an ARN
    /// without a version or alias.
    #[must_use]
    pub fn with_function(mut self, arn: impl Into<String>) -> Self {
        self.function = Some(arn.into());
        self
    }

    /// The same reconciler with another grace.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The same reconciler with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Handles one event of EventBridge. Handling it again does no harm.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`] when the event is malformed, or what it asks for could not be done now.
    pub async fn handle(&self, event: Value) -> Result<Reconciled, ReconcileError> {
        let event: EventBridgeEvent<Value> = error::read("event", event)?;
        let reconciled = self.dispatch(event).await?;
        match &reconciled {
            Reconciled::Ignored { why } => tracing::debug!(%why, "ignored"),
            Reconciled::CallbackClosed { job } => {
                tracing::debug!(%job, "the job has ended, and nobody waits for it any more");
            }
            Reconciled::CallbackFailed { job, error_type } => {
                tracing::info!(%job, error_type, "the job ended without a word: its callback is failed");
            }
            Reconciled::JobsStopped { execution, stopped } => {
                tracing::info!(%execution, stopped, "the execution has ended: its jobs are stopped");
            }
        }
        Ok(reconciled)
    }

    async fn dispatch(&self, event: EventBridgeEvent<Value>) -> Result<Reconciled, ReconcileError> {
        let time = event.time.map(SystemTime::from);
        let (source, detail_type) = (event.source.as_str(), event.detail_type.as_str());
        if (source, detail_type) == (executions::SOURCE, executions::DETAIL_TYPE) {
            return self.execution_changed(event.detail, time).await;
        }
        let platform = self
            .platforms
            .iter()
            .find(|known| (known.source(), known.detail_type()) == (source, detail_type));
        let Some(platform) = platform else {
            return Ok(Reconciled::Ignored {
                why: format!(
                    "events {detail_type:?} of {source:?} are of no backend that is enabled"
                ),
            });
        };
        match platform.read(event.detail)? {
            Told::Nothing(why) => Ok(Reconciled::Ignored { why }),
            Told::Ended(job) => self.job_ended(*job, time).await,
        }
    }

    /// What is left of `grace` for something that ended at `end`: all of it where that is not
    /// known, or in the future by a clock that is off.
    fn left(&self, grace: Duration, end: Option<SystemTime>) -> Duration {
        let passed = end.and_then(|end| self.clock.now().duration_since(end).ok());
        grace.saturating_sub(passed.unwrap_or_default())
    }
}

#[cfg(all(feature = "ecs", feature = "batch"))]
#[cfg(test)]
mod tests;
