//! The attempts of one job, until one succeeds or the last has failed.

use std::sync::Arc;

use longhaul_core::{
    CallbackResult, CallbackToken, ExecutionId, FailureClass, JobFailure, JobHandle, JobName,
    JobSpec, payload,
};

use crate::attempt::{Attempt, Ended, Together};
use crate::durable::{self, Completed, DurableContext};
use crate::error::RunError;
use crate::operations;
use crate::runner::{JobReport, JobRunner, payload_error};

/// A job that succeeded, its result unread.
pub(crate) struct Unread {
    pub(crate) report: JobReport<CallbackResult>,
    /// The token of the attempt that succeeded. Its start key is a hash, which few replays need.
    pub(crate) token: CallbackToken,
}

impl JobRunner {
    /// Runs a job that was [checked](Self::check). `label` is what it is called in the names of
    /// its operations.
    pub(crate) async fn attempts(
        &self,
        ctx: &DurableContext,
        job: &Arc<JobSpec>,
        label: &str,
        together: &dyn Together,
    ) -> Result<Unread, RunError> {
        let enabled = self.choose(job)?;
        // Attempts differ in their memory alone. What one had follows from the failures before it,
        // which are recorded.
        let mut spec = Arc::clone(job);
        let mut number = 1;
        loop {
            let one = Attempt {
                ctx,
                spec: &spec,
                label,
                backend: &enabled.backend,
                heartbeat: enabled.heartbeat,
                store: self.store.as_ref(),
                number,
                together,
            };
            let delay = match one.run().await? {
                Ended::Succeeded(completed) => {
                    return unread(&job.name, ctx.execution_arn(), number, completed);
                }
                Ended::Failed(handle, failure) => {
                    let more = more_memory(&mut spec, &failure);
                    let again = more || job.retry.retries(&failure);
                    let delay = job.retry.delay(number).filter(|_| again);
                    delay
                        .filter(|_| together.goes_on())
                        .ok_or_else(|| RunError::Failed {
                            job: job.name.clone(),
                            handle,
                            attempts: number,
                            source: Box::new(failure),
                        })?
                }
                Ended::NotStarted {
                    error_type,
                    message,
                    anew,
                } => {
                    let delay = job.retry.delay(number).filter(|_| anew);
                    delay
                        .filter(|_| together.goes_on())
                        .ok_or_else(|| RunError::NotStarted {
                            job: job.name.clone(),
                            error_type,
                            message,
                        })?
                }
            };
            let execution = ExecutionId::from_arn(ctx.execution_arn());
            let seed = format!("{execution} {label} {number}");
            let delay = job.retry.jittered(delay, &seed);
            tracing::info!(job = %job.name, attempt = number, ?delay, "the job is tried again");
            durable::wait(ctx, operations::backoff(label, number), delay)
                .await
                .map_err(|source| RunError::Durable {
                    job: job.name.clone(),
                    source,
                })?;
            number += 1;
        }
    }
}

/// Gives the next attempt more memory where the last one ran out of it and may have more.
fn more_memory(spec: &mut Arc<JobSpec>, failure: &JobFailure) -> bool {
    if failure.class != FailureClass::OutOfMemory {
        return false;
    }
    let policy = spec.retry.more_memory.as_ref();
    let next = policy.zip(spec.resources.memory_mib);
    let next = next.and_then(|(more, mib)| more.after(mib));
    if next.is_some() {
        Arc::make_mut(spec).resources.memory_mib = next;
    }
    next.is_some()
}

/// The report of an attempt that succeeded.
pub(crate) fn unread(
    job: &JobName,
    arn: &str,
    attempts: u32,
    completed: Completed<JobHandle>,
) -> Result<Unread, RunError> {
    let Completed {
        handle,
        token,
        payload,
    } = completed;
    let result = if CallbackResult::is_reference(&payload) {
        let execution = ExecutionId::from_arn(arn);
        match payload::decode_result(&execution, &token.start_key(), &payload) {
            Ok(result) => result,
            Err(error) => return Err(payload_error(job, handle, error)),
        }
    } else {
        CallbackResult::Inline(payload)
    };
    Ok(Unread {
        report: JobReport {
            result,
            job: job.clone(),
            handle,
            attempts,
        },
        token,
    })
}
