//! What a job written in Rust returns when it fails.

use std::any::Any;
use std::error::Error;
use std::fmt::Display;

use longhaul_core::{FailureClass, JobFailure};

/// The failure of a job written in Rust.
///
/// Anything that can be displayed becomes one, so `?` works on every error: it fails the job as
/// `Longhaul.Failed` with the error and its causes as the message. A [`JobFailure`] passes
/// through unchanged. A type of the job's own lets the durable function tell failures apart.
///
/// ```
/// use longhaul_worker::WorkerError;
///
/// fn render(frame: u32) -> Result<(), WorkerError> {
///     if frame > 100 {
///         return Err(WorkerError::with_type("BadFrame", format!("there is no frame {frame}")));
///     }
///     std::fs::read("/nonexistent/scene")?;
///     Ok(())
/// }
///
/// assert_eq!(render(101).unwrap_err().failure().error_type(), "BadFrame");
/// assert_eq!(render(1).unwrap_err().failure().error_type(), "Longhaul.Failed");
/// ```
// No `Display`, and so no `Error`: otherwise the conversion below could not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerError(Box<JobFailure>);

impl WorkerError {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(
            JobFailure::new(FailureClass::Failed).with_message(message),
        ))
    }

    /// A failure with an `ErrorType` of the job's own, such as `BadFrame`. A type that begins
    /// with `Longhaul.` is read as one of longhaul's classes.
    pub fn with_type(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(message);
        error.0.own_type = Some(error_type.into());
        error
    }

    /// The same failure with data of the job's own, for the durable function to read.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<String>) -> Self {
        self.0.own_data = Some(data.into());
        self
    }

    /// The failure as it will be reported.
    #[must_use]
    pub fn failure(&self) -> &JobFailure {
        &self.0
    }

    pub(crate) fn into_failure(self) -> JobFailure {
        *self.0
    }
}

impl<E: Display + 'static> From<E> for WorkerError {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(failure) = any.downcast_ref::<JobFailure>() {
            return Self(Box::new(failure.clone()));
        }
        if let Some(error) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
            return from_boxed(error.as_ref());
        }
        if let Some(error) = any.downcast_ref::<Box<dyn Error>>() {
            return from_boxed(error.as_ref());
        }
        // The alternate form of `anyhow` and its like has the causes.
        Self::new(format!("{error:#}"))
    }
}

fn from_boxed(error: &(dyn Error + 'static)) -> WorkerError {
    if let Some(failure) = error.downcast_ref::<JobFailure>() {
        return WorkerError(Box::new(failure.clone()));
    }
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    WorkerError::new(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn anything_that_can_be_displayed_is_a_failure_with_it_as_the_message() {
        let failure = WorkerError::from("no scene").into_failure();
        assert_eq!(failure.error_type(), "Longhaul.Failed");
        assert_eq!(failure.error_message(), "no scene");
    }

    #[test]
    fn a_boxed_error_keeps_its_causes() {
        let outer = || Outer(std::io::Error::other("disk is full"));
        let shared: Box<dyn Error + Send + Sync> = Box::new(outer());
        let plain: Box<dyn Error> = Box::new(outer());
        for error in [WorkerError::from(shared), WorkerError::from(plain)] {
            assert_eq!(error.failure().error_message(), "outer: disk is full");
        }
    }

    #[test]
    fn a_job_failure_passes_through_unchanged_boxed_or_not() {
        let failure = JobFailure::new(FailureClass::OutOfMemory).with_exit_code(7);
        let boxed: Box<dyn Error + Send + Sync> = Box::new(failure.clone());
        assert_eq!(WorkerError::from(failure.clone()).into_failure(), failure);
        assert_eq!(WorkerError::from(boxed).into_failure(), failure);
    }

    #[test]
    fn a_type_and_data_of_the_jobs_own_are_what_travels() {
        let error = WorkerError::with_type("BadFrame", "frame 7").with_data("{\"frame\":7}");
        assert_eq!(error.failure().error_type(), "BadFrame");
        assert_eq!(error.failure().error_data(), "{\"frame\":7}");
    }
}
