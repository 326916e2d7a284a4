//! The names of the durable operations. They are part of running executions: renaming one, or
//! changing the order in which they are made, breaks every execution that is under way.

use longhaul_core::{JobHandle, JobName};

/// The callback that a job completes.
pub(crate) fn callback(job: &JobName, attempt: u32) -> String {
    named("callback", job, attempt)
}

/// The step that starts a job.
pub(crate) fn start(job: &JobName, attempt: u32) -> String {
    named("start", job, attempt)
}

/// The step that asks the platform why a job is silent.
pub(crate) fn describe(job: &JobName, attempt: u32) -> String {
    named("describe", job, attempt)
}

/// The step that stops a job.
pub(crate) fn cancel(job: &JobName, attempt: u32) -> String {
    named("cancel", job, attempt)
}

/// The wait before another attempt.
pub(crate) fn backoff(job: &JobName, attempt: u32) -> String {
    named("backoff", job, attempt)
}

/// The handle that a start recorded, where a step of this name with this payload is one: for
/// readers of an execution's history.
#[must_use]
pub fn started_handle(step_name: &str, payload: &str) -> Option<JobHandle> {
    step_name.strip_prefix("start ")?;
    crate::durable::recorded(payload)
}

fn named(what: &str, job: &JobName, attempt: u32) -> String {
    if attempt == 1 {
        format!("{what} {job}")
    } else {
        format!("{what} {job} #{attempt}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_what_running_executions_have() {
        let job = JobName::new("render").unwrap();
        assert_eq!(callback(&job, 1), "callback render");
        assert_eq!(start(&job, 1), "start render");
        assert_eq!(start(&job, 2), "start render #2");
        assert_eq!(describe(&job, 1), "describe render");
        assert_eq!(cancel(&job, 3), "cancel render #3");
        assert_eq!(backoff(&job, 1), "backoff render");
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
