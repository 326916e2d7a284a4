//! Why a task stopped: the class of the failure and a sentence for the person who must act.

use longhaul_core::FailureClass;

use crate::cancel::is_our_reason;
use crate::facts::{ContainerFacts, StopCode, TaskFacts};

/// The class and the sentence for a task that stopped or is stopping.
pub(crate) fn of(
    facts: &TaskFacts,
    worker: Option<&ContainerFacts>,
) -> (FailureClass, Option<String>) {
    let reason = facts.stopped_reason.as_deref().unwrap_or_default();
    let say = |class, message: &str| (class, Some(message.to_owned()));
    if let Some(message) = out_of_memory(facts, worker) {
        return (FailureClass::OutOfMemory, Some(message));
    }
    match &facts.stop_code {
        Some(StopCode::TaskFailedToStart) => not_started(facts, worker),
        Some(StopCode::SpotInterruption) => say(
            FailureClass::Interrupted,
            "Fargate Spot took the task's capacity back",
        ),
        Some(StopCode::TerminationNotice) => say(
            FailureClass::Interrupted,
            "the platform retired the task's machine",
        ),
        Some(StopCode::InfrastructureHealth) => say(
            FailureClass::Interrupted,
            "the task's machine was not healthy",
        ),
        Some(StopCode::ServiceSchedulerInitiated) => {
            say(FailureClass::Interrupted, "a service stopped the task")
        }
        Some(StopCode::UserInitiated) if is_our_reason(reason) => (FailureClass::Cancelled, None),
        Some(StopCode::UserInitiated) => say(
            FailureClass::Cancelled,
            "somebody other than longhaul stopped the task",
        ),
        Some(StopCode::EssentialContainerExited) => ended(facts, worker),
        Some(StopCode::Other(_)) | None => without_code(facts, worker, reason),
    }
}

/// A task without a stop code that this version knows: its words decide.
fn without_code(
    facts: &TaskFacts,
    worker: Option<&ContainerFacts>,
    reason: &str,
) -> (FailureClass, Option<String>) {
    if is_our_reason(reason) {
        (FailureClass::Cancelled, None)
    } else if reason.to_lowercase().contains("spot task was interrupted") {
        let message = "Fargate Spot took the task's capacity back".to_owned();
        (FailureClass::Interrupted, Some(message))
    } else {
        ended(facts, worker)
    }
}

/// A task whose containers ended by themselves.
fn ended(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> (FailureClass, Option<String>) {
    let exit_code = worker.and_then(|container| container.exit_code);
    match exit_code {
        None if never_started(facts, worker) => not_started(facts, worker),
        None => (
            FailureClass::Lost,
            Some(format!(
                "the worker is gone and left no exit code{}",
                others(facts, worker)
            )),
        ),
        Some(0) => (
            FailureClass::Lost,
            Some("the worker ended with exit code 0 and did not complete its callback".to_owned()),
        ),
        Some(137) => (
            FailureClass::Failed,
            Some(format!(
                "exit code 137 means that it was killed; ECS does not say by whom{}",
                others(facts, worker)
            )),
        ),
        Some(_) => {
            let others = others(facts, worker);
            let message = others.strip_prefix("; ").map(str::to_owned);
            (FailureClass::Failed, message)
        }
    }
}

/// The other containers that ended badly, as they may have taken the worker with them.
fn others(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> String {
    let others = facts.containers.iter().filter(|c| worker != Some(*c));
    others
        .filter_map(|container| {
            let code = container.exit_code.filter(|&code| code != 0)?;
            let name = container.name.as_deref().unwrap_or("another container");
            Some(format!("; container `{name}` ended with exit code {code}"))
        })
        .collect()
}

/// The sentence for a task that ran out of memory. The reason alone says so: the kernel's kill
/// may leave exit code 137, 0, or none, and 137 alone proves nothing.
fn out_of_memory(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> Option<String> {
    let says_so = |reason: &Option<String>| {
        let reason = reason.as_deref().unwrap_or_default();
        reason.contains("OutOfMemoryError") || reason.contains("OutOfMemory:")
    };
    if worker.is_some_and(|container| says_so(&container.reason)) || says_so(&facts.stopped_reason)
    {
        return Some(
            "the worker used more memory than it has: give the job more `resources.memory_mib`"
                .to_owned(),
        );
    }
    // A worker with an exit code of its own was not taken down by a neighbour.
    let own_end = worker.and_then(|container| container.exit_code);
    if own_end.is_some_and(|code| ![0, 137, 143].contains(&code)) {
        return None;
    }
    let mut others = facts.containers.iter().filter(|c| worker != Some(*c));
    let container = others.find(|container| says_so(&container.reason))?;
    Some(format!(
        "container `{}` used more memory than it has and took the worker with it",
        container.name.as_deref().unwrap_or("another container")
    ))
}

/// Errors of the container runtime that come before the container runs
/// (Amazon ECS Developer Guide, "Amazon ECS stopped tasks error messages").
const START_ERRORS: [&str; 9] = [
    "CannotPull",
    "CannotStartContainerError",
    "CannotCreateContainerError",
    "CannotCreateVolumeError",
    "CannotInspectContainerError",
    "ContainerRuntimeError",
    "ContainerRuntimeTimeoutError",
    "ResourceInitializationError",
    "TaskFailedToStart",
];

fn never_started(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> bool {
    let words = words(facts, worker);
    START_ERRORS.iter().any(|error| words.contains(error))
}

/// All that the platform says, the worker's container last.
fn words(facts: &TaskFacts, worker: Option<&ContainerFacts>) -> String {
    let of_task = facts.stopped_reason.as_deref().unwrap_or_default();
    let of_worker = worker.and_then(|c| c.reason.as_deref()).unwrap_or_default();
    format!("{of_task} {of_worker}")
}

fn not_started(
    facts: &TaskFacts,
    worker: Option<&ContainerFacts>,
) -> (FailureClass, Option<String>) {
    let words = words(facts, worker).to_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let message = if says(&["cannotpull", "pull image", "manifest"]) {
        Some(
            "the image could not be pulled: check its name and tag, the execution role's access to the registry, and the subnets' way to it",
        )
    } else if says(&["secret", "ssm", "registry auth"]) {
        Some(
            "the secrets or the registry's credentials could not be read: check the execution role's access to them, and the subnets' way to AWS",
        )
    } else if says(&["network interface", "eni "]) {
        Some(
            "the task got no network interface: check that the subnets have free addresses and the security groups exist",
        )
    } else if says(&["logging driver", "logger", "log group", "log stream"]) {
        Some(
            "the logs could not be set up: check the log group and the execution role's access to it",
        )
    } else if says(&["capacity is unavailable"]) {
        Some("Fargate had no capacity left after it had accepted the task")
    } else if says(&[
        "executable file not found",
        "no such file",
        "exec format error",
    ]) {
        Some("the command could not be run: check that the image has it, for the task's processor")
    } else if says(&["efs", "volume", "mount"]) {
        Some("a volume could not be mounted")
    } else {
        None
    };
    (FailureClass::FailedToStart, message.map(str::to_owned))
}
