//! The names of the durable operations. They are part of running executions: renaming one, or
//! changing the order in which they are made, breaks every execution that is under way.

use std::borrow::Cow;

use longhaul_core::{JobHandle, JobName};

/// What a job is called in the names of its operations: `render`, or `render[7]` for one of several
/// that are run together, which may share a name.
pub(crate) fn label(job: &JobName, index: Option<usize>) -> Cow<'_, str> {
    match index {
        Some(index) => format!("{job}[{index}]").into(),
        None => job.as_str().into(),
    }
}

/// The callback that a job completes.
pub(crate) fn callback(label: &str, attempt: u32) -> String {
    named("callback", label, attempt)
}

/// The step that starts a job.
pub(crate) fn start(label: &str, attempt: u32) -> String {
    named("start", label, attempt)
}

/// The step that asks the platform why a job is silent.
pub(crate) fn describe(label: &str, attempt: u32) -> String {
    named("describe", label, attempt)
}

/// The step that stops a job.
pub(crate) fn cancel(label: &str, attempt: u32) -> String {
    named("cancel", label, attempt)
}

/// The wait before another attempt.
pub(crate) fn backoff(label: &str, attempt: u32) -> String {
    named("backoff", label, attempt)
}

/// The step that records what time it is when an attempt of a job with a deadline has failed.
pub(crate) fn deadline(label: &str, attempt: u32) -> String {
    named("deadline", label, attempt)
}

/// The step that records the trace that the jobs belong to.
pub(crate) fn trace() -> String {
    "trace".to_owned()
}

/// The context that holds all the jobs of a fan-out.
pub(crate) fn fan_out(name: &JobName) -> String {
    format!("fan-out {name}")
}

/// The context of some jobs of a fan-out, which run one after the other: those from `first` to
/// `last`, counted from 0.
pub(crate) fn group(name: &JobName, first: usize, last: usize) -> String {
    if first == last {
        format!("{name}[{first}]")
    } else {
        format!("{name}[{first}-{last}]")
    }
}

/// The chained execution of some jobs of a fan-out: those from `first` to `last`, counted from 0.
pub(crate) fn part(name: &JobName, first: usize, last: usize) -> String {
    format!("part {}", group(name, first, last))
}

/// The step that stops what is left of a fan-out that ended early.
pub(crate) fn stop_rest(name: &JobName) -> String {
    format!("stop-rest {name}")
}

/// The handle that a start recorded, where a step of this name with this payload is one: for
/// readers of an execution's history.
#[must_use]
pub fn started_handle(step_name: &str, payload: &str) -> Option<JobHandle> {
    step_name.strip_prefix("start ")?;
    crate::durable::recorded(payload)
}

fn named(what: &str, label: &str, attempt: u32) -> String {
    // Most are of a first attempt, and a replay makes two for each job.
    let mut name = [what, " ", label].concat();
    if attempt > 1 {
        name.push_str(&format!(" #{attempt}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_what_running_executions_have() {
        let job = JobName::new("render").unwrap();
        let one = label(&job, None);
        assert_eq!(callback(&one, 1), "callback render");
        assert_eq!(start(&one, 1), "start render");
        assert_eq!(start(&one, 2), "start render #2");
        assert_eq!(describe(&one, 1), "describe render");
        assert_eq!(cancel(&one, 3), "cancel render #3");
        assert_eq!(backoff(&one, 1), "backoff render");
        assert_eq!(deadline(&one, 2), "deadline render #2");
        assert_eq!(start(&label(&job, Some(7)), 2), "start render[7] #2");
        assert_eq!(trace(), "trace");
        assert_eq!(fan_out(&job), "fan-out render");
        assert_eq!(group(&job, 3, 3), "render[3]");
        assert_eq!(group(&job, 3, 4), "render[3-4]");
        assert_eq!(part(&job, 3, 4), "part render[3-4]");
        assert_eq!(stop_rest(&job), "stop-rest render");
    }

    #[test]
    fn a_start_tells_the_handle_that_it_recorded() {
        let payload = r#"{"ok":{"backend":"ecs","id":"arn"}}"#;
        let handle = Some(JobHandle::new("ecs", "arn"));
        assert_eq!(started_handle("start render", payload), handle);
        assert_eq!(started_handle("start render #2", payload), handle);
        assert_eq!(started_handle("cancel render", payload), None);
        assert_eq!(started_handle("start render", r#"{"refused":{}}"#), None);
    }
}
