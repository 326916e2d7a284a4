//! The longhaul compute backend for AWS Batch.
//!
//! A job becomes a Batch job: `SubmitJob` from one job definition to one queue, with the job's
//! command, environment, resources and timeout as overrides. Batch finds a machine, on EC2 or
//! Fargate, and that may take minutes or hours; the durable function sleeps meanwhile.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use aws_types::SdkConfig;
//! use longhaul_batch::{BatchBackend, BatchConfig, ConfigErrors};
//! use longhaul_core::ComputeBackend;
//!
//! /// `sdk` is what `aws_config::load_defaults` returns.
//! fn backend(sdk: &SdkConfig) -> Result<Arc<dyn ComputeBackend>, ConfigErrors> {
//!     let config = BatchConfig::from_env(|name| std::env::var(name).ok())?;
//!     Ok(Arc::new(BatchBackend::from_sdk(config, sdk)))
//! }
//! ```
//!
//! # What it needs
//!
//! - The variables of [`BatchConfig`]: at least `BATCH_JOB_QUEUE` and `BATCH_JOB_DEFINITION`.
//! - A job definition of type `container` with `containerProperties`, whose image starts the
//!   supervisor `longhaul-worker` or any program that keeps the
//!   [worker contract](longhaul_core::contract). Its job role completes the callback:
//!   `lambda:SendDurableExecutionCallbackSuccess`, `…Failure` and `…Heartbeat` on
//!   `arn:aws:lambda:REGION:ACCOUNT:function:NAME:*`. Definitions with `ecsProperties`,
//!   `eksProperties` or `nodeProperties` take other overrides than these and are not supported.
//! - A caller's role with these actions. `ListJobs` and `DescribeJobs` know no resources; a
//!   definition that is named without a revision is matched with one or without, so both stand
//!   there:
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": ["batch:SubmitJob", "batch:TagResource"],
//!       "Resource": [
//!         "arn:aws:batch:REGION:ACCOUNT:job-queue/QUEUE",
//!         "arn:aws:batch:REGION:ACCOUNT:job-definition/DEFINITION",
//!         "arn:aws:batch:REGION:ACCOUNT:job-definition/DEFINITION:*",
//!         "arn:aws:batch:REGION:ACCOUNT:job/*"
//!       ]
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": ["batch:ListJobs", "batch:DescribeJobs"],
//!       "Resource": "*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "batch:TerminateJob",
//!       "Resource": "arn:aws:batch:REGION:ACCOUNT:job/*"
//!     }
//!   ]
//! }
//! ```
//!
//! An error that says [`Denied`](longhaul_core::BackendErrorKind::Denied) names the action that
//! is missing.
//!
//! Whoever may call `batch:DescribeJobs` can read the environment of every job of the account,
//! and with it the callback token of those that still run: Batch has no other way to hand a job
//! a value of its own. For the same reason the AWS SDK's own logs must stay above level TRACE
//! (`aws_smithy_runtime`): there it writes whole answers.
//!
//! # One start, one job
//!
//! `SubmitJob` has no client token, so the name does its work: [`job_name`] is made from the
//! execution and the start key, and the same start always has the same name. A start
//!
//! 1. looks the name up with `ListJobs`, in any state, on all pages, and adopts the job that it
//!    finds;
//! 2. else submits. The SDK may send a `SubmitJob` again only when Batch answered that it was
//!    throttled; after a connection that was cut, a 5xx or garbage the error is
//!    [`Ambiguous`](longhaul_core::BackendErrorKind::Ambiguous), and the next start with the same
//!    token finds the job;
//! 3. looks the name up again. Looking up and submitting is not one act: between them another
//!    start with the same token may have submitted a second job. Of several, everybody keeps the
//!    oldest, stops the others and returns the oldest's handle.
//!
//! **The window that remains.** Batch does not promise that `ListJobs` shows a job as soon as it
//! is accepted. When a start is repeated so soon that the list is behind in both looks, or
//! crashes between steps 2 and 3 while another one submits, two jobs may run. Still only one of
//! them completes the callback: the other's worker is told that it is closed, and the supervisor
//! stops its command. A job that must never run twice, not even in part, needs its own guard; the
//! variable `LONGHAUL_START_KEY` is the same in both.
//!
//! # Timeouts
//!
//! - The callback's timeout counts from before the start and is the job's real one. Batch's own
//!   `attemptDurationSeconds` is the same number, at least 60 s, and counts from the moment the
//!   container runs: it only ends what a cancel did not.
//! - There is no heartbeat timeout by default ([`DEFAULT_HEARTBEAT`]): it would count from before
//!   the start too, and kill a job for waiting in the queue. A job that sets one should allow for
//!   the longest wait, or its handler finds it `Lost` before it ran.
//! - On Fargate, Batch does not promise a run of more than 14 days.
//!
//! # Quotas
//!
//! | quota | | what happens |
//! | --- | --- | --- |
//! | `SubmitJob` calls a second, per account and region | 50 | [`Throttled`](longhaul_core::BackendErrorKind::Throttled), after the SDK's own retries; limit starts in flight |
//! | container overrides as JSON | 8,192 | [`TooLarge`](longhaul_core::BackendErrorKind::TooLarge) before the call, at [`MAX_OVERRIDES`] less [`RESERVED_OVERRIDES`]: Batch would accept the job and fail it later. Give the input by reference |
//! | the whole `SubmitJob` | 30 KiB | `TooLarge` |
//! | tags of a job | 50 | 40 of the job's own, 3 of longhaul's, the rest of `BATCH_TAGS`; too many are [`InvalidSpec`](longhaul_core::BackendErrorKind::InvalidSpec) |
//! | reason of a cancel | 1,024 | cut |
//!
//! Sources: AWS Batch User Guide, "AWS Batch service quotas"; Batch and ECS API references. AWS
//! names no quota for `ListJobs`, `DescribeJobs` and `TerminateJob`.
//!
//! # What a retry costs
//!
//! A start is three calls: `ListJobs`, `SubmitJob`, `ListJobs`. A start that is repeated and finds
//! its job is one. A retry within the SDK costs its backoff inside the invocation; a retry of the
//! durable step, which `Ambiguous` and `Throttled` lead to, costs a checkpoint and an invocation
//! of the function. Batch's own retries are switched off (`attempts: 1`, whatever the definition
//! says): a second attempt would carry a token that may be used up. A new attempt by the runner
//! is a new callback, a new token and a new place at the end of the queue.
//!
//! # What a job cannot ask of Batch
//!
//! | the job's field | |
//! | --- | --- |
//! | `working_directory` | refused: the image decides |
//! | `resources.ephemeral_storage_gib` | refused: only the job definition can say it |
//! | `environment.AWS_BATCH…` | refused: Batch keeps these names for itself |
//! | an empty argument in `command` | refused: Batch refuses it |
//! | an argument such as `Ref::name` in `command` | replaced by Batch when the definition has a parameter `name` |
//! | `resources.gpus: 0` | as if absent: Batch has no way to say "none" |
//!
//! # What becomes of a job
//!
//! [`job_status`] maps what Batch says to longhaul's words; `describe` uses it, and so can a
//! consumer of the EventBridge event `Batch Job State Change`, whose detail reads as [`JobFacts`].
//! A job that waits in RUNNABLE with `MISCONFIGURATION:` is `Pending` and carries the failure
//! that it will have, with what to do about it; while compute environments scale up from
//! nothing, Batch may say so for a moment without meaning it.
//!
//! `list` and the lookup see the configured queue only: jobs that were started before the queue
//! was changed are not found there, while `describe` and `cancel` work for any queue. Batch keeps
//! ended jobs for days, not for ever: a job that it has forgotten is `Unknown`.
//!
//! # Verified, and not
//!
//! The tests play every answer above, over mocks and over HTTP on loopback. The conformance suite of
//! longhaul-core runs there whole, and against [moto](https://docs.getmoto.org), as far as it can
//! play Batch, when `LONGHAUL_TEST_MOTO_URL` names one. Nothing has been run on a real AWS account: the texts by
//! which refusals and failures are told apart come from AWS's documentation and from public
//! reports.

mod api;
mod backend;
mod config;
mod error;
mod facts;
mod locate;
mod logs;
mod name;
mod request;
mod status;
mod tags;

use std::time::Duration;

pub use backend::{BatchBackend, TWIN_REASON};
pub use config::{BatchConfig, ConfigErrors, DEFAULT_LOG_GROUP};
pub use facts::{AttemptFacts, BatchState, ContainerFacts, JobFacts, LogConfiguration};
pub use name::{job_name, parse_job_name};
pub use request::{MAX_OVERRIDES, RESERVED_OVERRIDES};
pub use status::{CANCEL_REASON_PREFIX, job_status};
pub use tags::{ATTEMPT_TAG, EXECUTION_TAG, JOB_TAG};

/// The backend's name in handles and configuration.
pub const NAME: &str = "batch";

/// How long the worker of a job on this backend may be silent where its job does not say: for
/// ever. The timeout counts from before the start, and a job may wait in its queue for hours.
pub const DEFAULT_HEARTBEAT: Option<Duration> = None;
