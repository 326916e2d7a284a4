//! From what ECS knows of a task to what became of the job: a pure function, for `describe` and
//! for events.

use longhaul_core::{FailureClass, JobFailure, JobState, JobStatus};

use crate::EcsConfig;
use crate::arn::TaskArn;
use crate::cause;
use crate::facts::{ContainerFacts, TaskFacts};

/// What the task's facts say of its job.
///
/// | ECS says | the class is |
/// | --- | --- |
/// | `TaskFailedToStart`, or a container that was never started | [`FailedToStart`](FailureClass::FailedToStart) |
/// | `OutOfMemoryError`, with any exit code or none | [`OutOfMemory`](FailureClass::OutOfMemory) |
/// | `SpotInterruption`, `TerminationNotice`, `InfrastructureHealth`, `ServiceSchedulerInitiated` | [`Interrupted`](FailureClass::Interrupted) |
/// | `UserInitiated`: by [`cancel`](longhaul_core::ComputeBackend::cancel), or by somebody else, which the message then says | [`Cancelled`](FailureClass::Cancelled) |
/// | the worker ended with an exit code other than 0, 137 included | [`Failed`](FailureClass::Failed) |
/// | the worker ended with 0, or left no exit code | [`Lost`](FailureClass::Lost) |
///
/// A task that is still stopping has a failure only where a later word cannot change it.
/// A missing exit code is never 0.
#[must_use]
pub fn job_status(facts: &TaskFacts, config: &EcsConfig) -> JobStatus {
    let state = state(facts);
    let logs = facts
        .task_arn
        .as_deref()
        .and_then(|arn| log_link(arn, config));
    let worker = worker(facts, config.container());
    let mut status = JobStatus::new(state);
    status.exit_code = worker.and_then(|container| container.exit_code);
    status.reason = reason(facts, worker, state);
    status.started_at = facts.started_at;
    status.ended_at = facts.stopped_at;
    let failure = match state {
        JobState::Ended => Some(failure(facts, worker)),
        JobState::Stopping => {
            Some(failure(facts, worker)).filter(|f| f.class != FailureClass::Lost)
        }
        _ => None,
    };
    status.failure = failure.map(|mut failure| {
        failure.reason.clone_from(&status.reason);
        failure.with_logs(logs.clone())
    });
    status.logs = logs;
    status
}

/// The link to the logs of the worker's container in the task `arn`.
pub(crate) fn log_link(arn: &str, config: &EcsConfig) -> Option<String> {
    let task = TaskArn::parse(arn)?;
    Some(config.logs()?.link(&task, config.container()))
}

/// Amazon ECS Developer Guide, "Amazon ECS task lifecycle".
fn state(facts: &TaskFacts) -> JobState {
    let told_to_stop = facts.desired_status.as_deref() == Some("STOPPED");
    match facts.last_status.as_deref() {
        Some("STOPPED" | "DELETED") => JobState::Ended,
        Some("DEACTIVATING" | "STOPPING" | "DEPROVISIONING") => JobState::Stopping,
        Some("PROVISIONING" | "PENDING" | "ACTIVATING" | "RUNNING") if told_to_stop => {
            JobState::Stopping
        }
        Some("PROVISIONING" | "PENDING" | "ACTIVATING") => JobState::Pending,
        Some("RUNNING") => JobState::Running,
        _ => JobState::Unknown,
    }
}

/// The container that runs the job; the only one, whatever its name, where there is only one.
fn worker<'a>(facts: &'a TaskFacts, name: &str) -> Option<&'a ContainerFacts> {
    let named = facts
        .containers
        .iter()
        .find(|c| c.name.as_deref() == Some(name));
    named.or(match facts.containers.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

/// The platform's own words: why the task stopped, and what it says of the worker's container.
fn reason(facts: &TaskFacts, worker: Option<&ContainerFacts>, state: JobState) -> Option<String> {
    let of_task = facts.stopped_reason.as_deref().filter(|r| !r.is_empty());
    let of_worker = worker
        .and_then(|c| c.reason.as_deref())
        .filter(|r| !r.is_empty());
    match (of_task, of_worker) {
        (Some(task), Some(worker)) if task != worker => Some(format!("{task}; {worker}")),
        (Some(words), _) | (None, Some(words)) => Some(words.to_owned()),
        (None, None) if state == JobState::Pending => facts.last_status.clone(),
        (None, None) => facts
            .stop_code
            .as_ref()
            .map(|code| code.as_str().to_owned()),
    }
}

/// Why there will be no result, if the callback never comes.
fn failure(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> JobFailure {
    let exit_code = worker.and_then(|container| container.exit_code);
    let (class, message) = cause::of(facts, worker);
    let mut failure = JobFailure::new(class).with_exit_code(exit_code);
    failure.message = message;
    failure
}

#[cfg(test)]
mod tests;
