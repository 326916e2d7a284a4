//! The attempts of one job, until one succeeds or the last has failed.

use std::sync::Arc;

use longhaul_core::{
    CallbackResult, CallbackToken, ExecutionId, FailureClass, JobFailure, JobHandle, JobName,
    JobSpec, payload,
};
use serde::de::DeserializeOwned;

use crate::attempt::{Attempt, Ended, Together};
use crate::deadline::Deadline;
use crate::durable::{self, Completed, DurableContext};
use crate::error::RunError;
use crate::operations;
use crate::runner::{JobReport, JobRunner, decode, payload_error};
use crate::told::{How, Which};

/// A job that succeeded.
pub(crate) struct Succeeded {
    /// How many attempts were made, from 1.
    pub(crate) attempts: u32,
    pub(crate) completed: Completed<JobHandle>,
}

/// A job that succeeded, its result unread.
pub(crate) struct Unread {
    pub(crate) report: JobReport<CallbackResult>,
    /// The token of the attempt that succeeded. Its start key is a hash, which few replays need.
    pub(crate) token: CallbackToken,
}

impl JobRunner {
    /// Runs a job that is valid. `label` is what it is called in the names of
    /// its operations.
    pub(crate) async fn attempts(
        &self,
        ctx: &DurableContext,
        job: &Arc<JobSpec>,
        label: &str,
        together: &dyn Together,
    ) -> Result<Succeeded, RunError> {
        let enabled = self.setup.choose(job)?;
        // Attempts differ in their memory alone. What one had follows from the failures before it,
        // which are recorded.
        let mut changed = None;
        let mut number = 1;
        let mut deadline = Deadline::new(job.deadline);
        loop {
            let one = Attempt {
                ctx,
                spec: changed.as_ref().unwrap_or(job),
                label,
                runner: self,
                backend: &enabled.backend,
                heartbeat: enabled.heartbeat,
                limit: deadline.limit(job.timeout),
                number,
                together,
            };
            let ended = one.run().await?;
            let which = Which {
                job: &job.name,
                backend: enabled.backend.name(),
                arn: ctx.execution_arn(),
                attempt: number,
            };
            let tell = |how| self.setup.teller.ended(ctx, which, how, &self.setup.clock);
            let (failed, again, told) = match ended {
                Ended::Succeeded(completed) => {
                    tell(How::Succeeded(&completed));
                    return Ok(Succeeded {
                        attempts: number,
                        completed,
                    });
                }
                Ended::Failed(handle, failure) => {
                    let told = tell(How::Failed(&handle, &failure));
                    let more = more_memory(changed.as_ref().unwrap_or(job), &failure);
                    let again = more.is_some() || job.retry.retries(&failure);
                    changed = more.or(changed);
                    (Failed::Job(handle, failure), again, told)
                }
                Ended::NotStarted {
                    error_type,
                    message,
                    anew,
                } => (
                    Failed::Start(error_type, message),
                    anew,
                    tell(How::NotStarted),
                ),
            };
            let delay = job.retry.delay(number).filter(|_| again);
            let Some(delay) = delay.filter(|_| together.goes_on()) else {
                return Err(failed.error(&job.name, number));
            };
            let execution = ExecutionId::from_arn(ctx.execution_arn());
            let seed = format!("{execution} {label} {number}");
            let delay = durable::whole(job.retry.jittered(delay, &seed));
            let durable_error = |source| RunError::Durable {
                job: job.name.clone(),
                source,
            };
            let at = (label, number);
            // Boxed, as the wait is: see `Attempt::run`.
            let time =
                Box::pin(deadline.has_time(ctx, at, failed.handle(), delay, &self.setup.clock));
            if !time.await.map_err(durable_error)? {
                return Err(failed.too_late(&deadline, &job.name, number));
            }
            if told {
                tracing::info!(
                    job = %job.name, attempt = number, %execution, ?delay, "the job is tried again"
                );
            }
            Box::pin(durable::wait(
                ctx,
                operations::backoff(label, number),
                delay,
            ))
            .await
            .map_err(durable_error)?;
            number += 1;
        }
    }
}

/// The name of a job that is over. Where nobody else holds its spec any more, it is not copied.
fn name(job: Arc<JobSpec>) -> JobName {
    Arc::try_unwrap(job).map_or_else(|job| job.name.clone(), |job| job.name)
}

/// An attempt that failed.
enum Failed {
    Job(JobHandle, Box<JobFailure>),
    /// The start: with which type and message.
    Start(String, String),
}

impl Failed {
    fn handle(&self) -> Option<&JobHandle> {
        match self {
            Self::Job(handle, _) => Some(handle),
            Self::Start(..) => None,
        }
    }

    /// The error of a job whose last attempt it was.
    fn error(self, job: &JobName, attempts: u32) -> RunError {
        let job = job.clone();
        match self {
            Self::Job(handle, failure) => RunError::Failed {
                job,
                handle,
                attempts,
                source: failure,
            },
            Self::Start(error_type, message) => RunError::NotStarted {
                job,
                error_type,
                message,
            },
        }
    }

    /// The error of a job for which there is no time to try it again.
    fn too_late(self, deadline: &Deadline, job: &JobName, attempts: u32) -> RunError {
        let next = attempts + 1;
        let failed = match self {
            Self::Job(handle, failure) => {
                Self::Job(handle, Box::new(deadline.failure(next, *failure)))
            }
            Self::Start(_, message) => Self::Start(
                FailureClass::DeadlineExceeded.error_type().to_owned(),
                deadline.passed(next, &message),
            ),
        };
        failed.error(job, attempts)
    }
}

/// The job with more memory for its next attempt, where the last one ran out of it and may have more.
fn more_memory(spec: &Arc<JobSpec>, failure: &JobFailure) -> Option<Arc<JobSpec>> {
    if failure.class != FailureClass::OutOfMemory {
        return None;
    }
    let policy = spec.retry.more_memory.as_ref()?;
    let next = policy.after(spec.resources.memory_mib?)?;
    let mut spec = Arc::clone(spec);
    Arc::make_mut(&mut spec).resources.memory_mib = Some(next);
    Some(spec)
}

impl Succeeded {
    /// Whether the result is in the payload store.
    pub(crate) fn is_stored(&self) -> bool {
        CallbackResult::is_reference(CallbackResult::split_times(&self.completed.payload).1)
    }

    /// The report on `job`, whose result is [not in the payload store](Self::is_stored), read as a `T`.
    pub(crate) fn inline<T: DeserializeOwned>(
        self,
        job: Arc<JobSpec>,
    ) -> Result<JobReport<T>, RunError> {
        let job = name(job);
        let Completed {
            handle, payload, ..
        } = self.completed;
        let (times, text) = CallbackResult::split_times(&payload);
        let result = decode(&job, &handle, text)?;
        Ok(JobReport {
            result,
            job,
            handle,
            attempts: self.attempts,
            times,
        })
    }

    /// The report on `job`, which ran for the execution `arn`.
    pub(crate) fn unread(self, job: Arc<JobSpec>, arn: &str) -> Result<Unread, RunError> {
        let job = name(job);
        let Completed {
            handle,
            token,
            payload,
        } = self.completed;
        let (times, text) = CallbackResult::split_times(&payload);
        let result = if CallbackResult::is_reference(text) {
            let execution = ExecutionId::from_arn(arn);
            match payload::decode_result(&execution, &token.start_key(), text) {
                Ok(result) => result,
                Err(error) => return Err(payload_error(&job, handle, error)),
            }
        } else if text.len() == payload.len() {
            CallbackResult::Inline(payload)
        } else {
            CallbackResult::Inline(text.to_owned())
        };
        Ok(Unread {
            report: JobReport {
                result,
                job,
                handle,
                attempts: self.attempts,
                times,
            },
            token,
        })
    }
}
