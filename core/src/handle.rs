//! The handle of a started job.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a backend returns from `start`: enough to find the job again, recorded durably.
///
/// Serialised as `{"backend":"ecs","id":"arn:…"}`, with `"version"` when the backend has changed
/// the meaning of its ids since version 1. Never holds a secret.
///
/// ```
/// use longhaul_core::JobHandle;
///
/// let handle = JobHandle::new("ecs", "arn:aws:ecs:eu-west-1:123456789012:task/c/1");
/// let json = serde_json::to_string(&handle).unwrap();
/// assert_eq!(json, r#"{"backend":"ecs","id":"arn:aws:ecs:eu-west-1:123456789012:task/c/1"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobHandle {
    backend: String,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    version: u32,
    id: String,
}

fn first() -> u32 {
    1
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
            backend: backend.into(),
            version,
            id: id.into(),
        }
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
    fn a_later_version_is_written_and_read() {
        let handle = JobHandle::with_version("x", 2, "y");
        let json = serde_json::to_string(&handle).unwrap();
        assert_eq!(json, r#"{"backend":"x","version":2,"id":"y"}"#);
        assert_eq!(serde_json::from_str::<JobHandle>(&json).unwrap(), handle);
    }
}
