//! The handle of a started job.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::times;

/// What a backend returns from `start`: enough to find the job again, recorded durably.
///
/// Serialised as `{"backend":"ecs","id":"arn:…"}`, with `"version"` when the backend has changed
/// the meaning of its ids since version 1. Never holds a secret.
///
/// It also carries what is known once of a start and is wanted later: where the job's logs will be,
/// with `"logs"`, and when the start was answered, with `"started_at"` in milliseconds since 1970.
/// Two handles are equal when they are of the same job, whatever else they know of it.
///
/// ```
/// use longhaul_core::JobHandle;
///
/// let handle = JobHandle::new("ecs", "arn:aws:ecs:eu-west-1:123456789012:task/c/1");
/// let json = serde_json::to_string(&handle).unwrap();
/// assert_eq!(json, r#"{"backend":"ecs","id":"arn:aws:ecs:eu-west-1:123456789012:task/c/1"}"#);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobHandle {
    // Boxed and not growing, because a handle is a part of many errors.
    backend: Box<str>,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    version: u32,
    id: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logs: Option<Box<str>>,
    /// 0 where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    started_at: u64,
}

impl JobHandle {
    fn job(&self) -> (&str, u32, &str) {
        (&self.backend, self.version, &self.id)
    }
}

impl PartialEq for JobHandle {
    fn eq(&self, other: &Self) -> bool {
        self.job() == other.job()
    }
}

impl Eq for JobHandle {}

impl Hash for JobHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.job().hash(state);
    }
}

fn first() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(at: &u64) -> bool {
    *at == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_first(version: &u32) -> bool {
    *version == 1
}

impl JobHandle {
    /// A handle of version 1.
    pub fn new(backend: impl Into<String>, id: impl Into<String>) -> Self {
        Self::with_version(backend, 1, id)
    }

    /// A handle whose id has the meaning that the backend gave it in `version`.
    pub fn with_version(backend: impl Into<String>, version: u32, id: impl Into<String>) -> Self {
        Self {
            backend: backend.into().into(),
            version,
            id: id.into().into(),
            logs: None,
            started_at: 0,
        }
    }

    /// The same handle with the place of the job's logs, a URL or a path, where a backend knows it
    /// when it starts the job.
    #[must_use]
    pub fn with_logs(mut self, logs: impl Into<Option<String>>) -> Self {
        self.logs = logs.into().map(Into::into);
        self
    }

    /// The same handle with the moment at which its start was answered. The runner notes it.
    #[must_use]
    pub fn with_started_at(mut self, at: SystemTime) -> Self {
        self.started_at = times::millis(at);
        self
    }

    /// Where the job's logs are or will be: a URL or a path. `None` where the backend did not know
    /// it at the start.
    #[must_use]
    pub fn logs(&self) -> Option<&str> {
        self.logs.as_deref()
    }

    /// When the start was answered, by the clock of whoever asked for it, to the millisecond. `None`
    /// of a handle that did not come from a start.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        (self.started_at > 0).then(|| times::time(self.started_at))
    }

    /// The name of the backend that started the job.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Which meaning the id has, from 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The platform's id of the job: an ARN, a job id, a start key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_without_a_version_is_of_version_1() {
        let handle: JobHandle = serde_json::from_str(r#"{"backend":"x","id":"y"}"#).unwrap();
        assert_eq!(handle, JobHandle::new("x", "y"));
    }

    #[test]
    fn what_else_is_known_of_a_start_is_kept_and_makes_no_other_job() {
        let plain = JobHandle::new("x", "y");
        let at = times::time(1_767_225_600_123);
        let full = plain
            .clone()
            .with_logs("logs".to_owned())
            .with_started_at(at);
        let json = serde_json::to_string(&full).unwrap();
        assert_eq!(
            json,
            r#"{"backend":"x","id":"y","logs":"logs","started_at":1767225600123}"#
        );
        let read: JobHandle = serde_json::from_str(&json).unwrap();
        assert_eq!((read.logs(), read.started_at()), (Some("logs"), Some(at)));
        assert_eq!(read, plain);
        assert_ne!(read, JobHandle::new("x", "z").with_logs("logs".to_owned()));
    }

    #[test]
    fn a_later_version_is_written_and_read() {
        let handle = JobHandle::with_version("x", 2, "y");
        let json = serde_json::to_string(&handle).unwrap();
        assert_eq!(json, r#"{"backend":"x","version":2,"id":"y"}"#);
        assert_eq!(serde_json::from_str::<JobHandle>(&json).unwrap(), handle);
    }
}
