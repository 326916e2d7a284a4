//! What the wrappers' tests share.

use crate::{CallbackToken, ExecutionId, Job, JobName, JobSpec};

/// A job of this name, and a token that belongs to it.
pub(super) fn attempt(name: &str) -> (Job, CallbackToken) {
    let token = CallbackToken::new(format!("c2VjcmV0-of-{name}")).unwrap();
    let spec = JobSpec::new(JobName::new(name).unwrap());
    let job = Job::new(spec, ExecutionId::from_arn("arn"), 2, &token);
    (job, token)
}
