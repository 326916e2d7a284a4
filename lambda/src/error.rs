//! Why a run has no result.

use longhaul_core::{InvalidSpec, JobFailure, JobHandle, JobName, PayloadError, PayloadErrorKind};

use crate::durable::DurableError;

/// Why [`JobRunner::run`](crate::JobRunner::run) has no result.
///
/// Every variant has an [`error_type`](Self::error_type), which is what the execution fails with
/// when the handler returns it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The job can never run as it is described.
    #[error("job `{job}` cannot run as it is described")]
    InvalidJob {
        /// The job.
        job: JobName,
        /// What is wrong with it.
        source: InvalidSpec,
    },
    /// The job names a backend that this runner has not enabled.
    #[error(
        "job `{job}` wants backend `{wanted}`, which is not enabled (enabled: {})",
        enabled.join(", ")
    )]
    UnknownBackend {
        /// The job.
        job: JobName,
        /// The backend that it names.
        wanted: String,
        /// The backends that it may name.
        enabled: Vec<String>,
    },
    /// The job did not start: the backend refused it, or could not be reached often enough.
    #[error("job `{job}` did not start: {message}")]
    NotStarted {
        /// The job.
        job: JobName,
        /// The backend error's kind, as in `Longhaul.Backend.Denied`.
        error_type: String,
        /// What the backend said.
        message: String,
    },
    /// The job started and did not succeed.
    #[error("job `{job}` ran and has no result")]
    Failed {
        /// The job.
        job: JobName,
        /// The job's last attempt.
        handle: JobHandle,
        /// How many attempts were made.
        attempts: u32,
        /// Why.
        source: Box<JobFailure>,
    },
    /// The job succeeded with something that is not what the caller wants.
    #[error("the result of job `{job}` cannot be read, at `{path}`")]
    Decode {
        /// The job.
        job: JobName,
        /// The job's last attempt.
        handle: JobHandle,
        /// Where in the result, as in `frames[3].size`; `.` is the result as a whole.
        path: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// The job succeeded with a result that is in the payload store and cannot be had from it.
    #[error("the result of job `{job}` cannot be had from the payload store")]
    Payload {
        /// The job.
        job: JobName,
        /// The job's last attempt.
        handle: JobHandle,
        /// Why.
        source: Box<PayloadError>,
    },
    /// The durable service or the SDK failed.
    #[error("job `{job}`: the durable execution cannot go on")]
    Durable {
        /// The job.
        job: JobName,
        /// What failed.
        source: DurableError,
    },
}

impl RunError {
    /// The `ErrorType` of an execution that fails with this error: `Longhaul.Lost`,
    /// `Longhaul.Backend.Denied`, or the job's own.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::InvalidJob { .. } => "Longhaul.InvalidJob",
            Self::UnknownBackend { .. } => "Longhaul.UnknownBackend",
            Self::NotStarted { error_type, .. } => error_type,
            Self::Failed { source, .. } => source.error_type(),
            Self::Decode { .. } => "Longhaul.InvalidResult",
            Self::Payload { source, .. } => match source.kind() {
                PayloadErrorKind::Missing => "Longhaul.Payload.Missing",
                PayloadErrorKind::Changed => "Longhaul.Payload.Changed",
                PayloadErrorKind::Denied => "Longhaul.Payload.Denied",
                PayloadErrorKind::Unavailable => "Longhaul.Payload.Unavailable",
                PayloadErrorKind::InvalidUri => "Longhaul.Payload.InvalidUri",
                PayloadErrorKind::TooLarge => "Longhaul.Payload.TooLarge",
                _ => "Longhaul.Payload",
            },
            Self::Durable { .. } => "Longhaul.Durable",
        }
    }

    /// The `ErrorMessage` of an execution that fails with this error.
    #[must_use]
    pub fn error_message(&self) -> String {
        match self {
            Self::Failed { source, .. } => source.error_message(),
            error => full_message(error),
        }
    }

    /// The `ErrorData` of an execution that fails with this error: for a job that failed, what
    /// [`JobFailure::error_data`] says.
    #[must_use]
    pub fn error_data(&self) -> Option<String> {
        match self {
            Self::Failed { source, .. } => Some(source.error_data()),
            _ => None,
        }
    }

    /// The failure of the job, where it started and did not succeed.
    #[must_use]
    pub fn job_failure(&self) -> Option<&JobFailure> {
        match self {
            Self::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An error's message and those of its causes, joined by `: `. A cause that is in the text already
/// is not repeated: some libraries' errors tell theirs themselves.
pub(crate) fn full_message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(link) = cause {
        let part = link.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = link.source();
    }
    text
}
