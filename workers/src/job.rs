//! Jobs written in Rust that are their own worker.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use longhaul_core::{FailureClass, JobFailure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{self, Attempt, Input};
use crate::client::LambdaCallbacks;
use crate::delivery::Report;
use crate::error::WorkerError;
use crate::log;
use crate::outcome::Outcome;
use crate::payload::{Payloads, Room};
use crate::speaker::Speaker;

/// The exit code when nothing was run.
const USAGE: u8 = 2;

/// What a job may know of its attempt, and how it learns that it has to stop. Cheap to clone.
#[derive(Clone)]
pub struct JobInfo {
    attempt: Arc<Attempt>,
    cancelled: CancellationToken,
}

impl JobInfo {
    /// The attempt: name, number, execution, timeouts.
    #[must_use]
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Waits until the job has to stop: the platform takes its machine away (SIGTERM), or nobody
    /// listens any more. The job then has the grace (`LONGHAUL_GRACE_SECONDS`, 10 s by default)
    /// to return; a result that it returns in that time is still delivered.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the job has to stop. For jobs that compute and do not wait.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

impl fmt::Debug for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobInfo")
            .field("attempt", &self.attempt)
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}

/// Runs `job` as the attempt that the environment tells of, and completes its callback.
///
/// The job gets its input, read from JSON as `I` wherever it comes from, and a [`JobInfo`]. What it returns is the
/// result, written as JSON; an error or a panic is a failure (see [`WorkerError`]). Heartbeats
/// and the report are sent from a thread of their own, so a job that computes without ever
/// yielding is not taken for dead.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// #[derive(serde::Deserialize)]
/// struct Input {
///     message: String,
/// }
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     longhaul_worker::run(|input: Input, _job| async move {
///         Ok::<_, std::io::Error>(format!("Processed: {}", input.message))
///     })
///     .await
/// }
/// ```
///
/// The exit code is that of [`Outcome`]. A job that has not returned when its grace is over is
/// given up: its failure is reported, and the process exits.
///
/// Problems are logged to standard error by `LONGHAUL_LOG`, unless a `tracing` subscriber is set
/// already. Such a subscriber must not show targets of the AWS SDK or of `hyper` below `info`:
/// they log request paths, which hold the callback token.
pub async fn run<I, U, E, F, Fut>(job: F) -> ExitCode
where
    I: DeserializeOwned,
    U: Serialize + Send + 'static,
    E: Into<WorkerError> + Send + 'static,
    F: FnOnce(I, JobInfo) -> Fut,
    Fut: Future<Output = Result<U, E>> + Send + 'static,
{
    log::init();
    let token = match attempt::callback_token() {
        Ok(token) => token,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(USAGE);
        }
    };
    let read = Attempt::from_env().and_then(|read| Ok((read, attempt::grace_from_env()?)));
    let (attempt, grace, problem) = match read {
        Ok((attempt, grace)) => (attempt, grace, None),
        Err(error) => (Attempt::unknown(), attempt::DEFAULT_GRACE, Some(error)),
    };
    let attempt = Arc::new(attempt);
    let cancelled = CancellationToken::new();
    let (verdict, returned) = oneshot::channel();
    let speaker = Speaker {
        api: Arc::new(LambdaCallbacks::new(token)),
        attempt: attempt.clone(),
        grace,
        started: Instant::now(),
        cancelled: cancelled.clone(),
    };
    let told = speaker.start(returned);

    // The speaker is gone only when the process is about to exit: a send cannot be missed.
    let _ = verdict.send(match problem {
        Some(error) => not_started(error.to_string()),
        None => {
            let payloads = Payloads::of(&attempt);
            perform(job, &payloads, JobInfo { attempt, cancelled }).await
        }
    });
    match told.await {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(_) => ExitCode::from(Outcome::UNDELIVERED),
    }
}

/// Runs the job with its input, and returns what is to be reported.
async fn perform<I, U, E, F, Fut>(job: F, payloads: &Payloads, info: JobInfo) -> Report
where
    I: DeserializeOwned,
    U: Serialize + Send + 'static,
    E: Into<WorkerError> + Send + 'static,
    F: FnOnce(I, JobInfo) -> Fut,
    Fut: Future<Output = Result<U, E>> + Send + 'static,
{
    let input = match &info.attempt.input {
        Input::Inline(text) => serde_json::from_str(text),
        Input::At(uri) => {
            let read = tokio::select! {
                biased;
                () = info.cancelled() => return not_started("it was told to stop".to_owned()),
                read = payloads.input(uri) => read,
            };
            match read {
                Ok(content) => serde_json::from_slice(&content),
                Err(error) => return not_started(error.full_message()),
            }
        }
    };
    let input = match input {
        Ok(input) => input,
        Err(error) => return not_started(format!("its input is not what it takes: {error}")),
    };
    // A task of its own, so that a panic is an answer like any other.
    match tokio::spawn(job(input, info)).await {
        Ok(Ok(result)) => written(&result, payloads.room()),
        Ok(Err(error)) => error.into().into_failure().into(),
        Err(error) => failed(panic_message(error)),
    }
}

/// The result as JSON.
fn written(result: &impl Serialize, room: Room) -> Report {
    match serde_json::to_vec(result) {
        Ok(json) if json.len() > room.bytes() => failed(format!(
            "its result is too large: it has {} bytes as JSON, and {room}",
            json.len()
        )),
        Ok(json) => Report::Success(json),
        Err(error) => failed(format!("its result cannot be written as JSON: {error}")),
    }
}

fn failed(message: String) -> Report {
    JobFailure::new(FailureClass::Failed)
        .with_message(message)
        .into()
}

fn not_started(message: String) -> Report {
    JobFailure::new(FailureClass::FailedToStart)
        .with_message(message)
        .into()
}

fn panic_message(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "its task was dropped".to_owned();
    };
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    match text {
        Some(text) => format!("it panicked: {text}"),
        None => "it panicked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::contract::MAX_INLINE_RESULT;
    use serde_json::{Value, json};

    use super::*;

    fn info(input: Input) -> JobInfo {
        let mut attempt = Attempt::unknown();
        attempt.input = input;
        JobInfo {
            attempt: Arc::new(attempt),
            cancelled: CancellationToken::new(),
        }
    }

    fn inline(json: &Value) -> JobInfo {
        info(Input::Inline(json.to_string()))
    }

    fn failure(report: Report) -> JobFailure {
        match report {
            Report::Failure(failure) => *failure,
            Report::Success(_) => panic!("not a failure"),
        }
    }

    #[tokio::test]
    async fn a_job_gets_its_input_and_its_result_is_json() {
        let job = |input: Vec<u32>, _| async move { Ok::<_, WorkerError>(input.len()) };
        let report = perform(job, &Payloads::none(), inline(&json!([1, 2, 3]))).await;
        assert_eq!(report, Report::Success(b"3".to_vec()));
    }

    #[tokio::test]
    async fn an_error_a_job_failure_and_a_panic_are_failures_in_their_own_words() {
        let job = |(): (), _| async { Err::<(), _>(std::io::Error::other("disk is full")) };
        let failed = failure(perform(job, &Payloads::none(), inline(&Value::Null)).await);
        assert_eq!(failed.to_string(), "the job failed: disk is full");

        let own = JobFailure::new(FailureClass::OutOfMemory).with_message("scene too big");
        let told = own.clone();
        let job = |(): (), _| async move { Err::<(), _>(told) };
        let failed = failure(perform(job, &Payloads::none(), inline(&Value::Null)).await);
        assert_eq!(failed, own);

        let job = |frame: u32, _| async move {
            assert!(frame < 5, "no frame {frame}");
            Ok::<_, WorkerError>(())
        };
        let failed = failure(perform(job, &Payloads::none(), inline(&json!(7))).await);
        assert_eq!(
            failed.to_string(),
            "the job failed: it panicked: no frame 7"
        );
    }

    #[tokio::test]
    async fn an_input_of_another_shape_keeps_the_job_from_starting() {
        let job = |_: u32, _| async { Ok::<(), WorkerError>(()) };
        let failed = failure(perform(job, &Payloads::none(), inline(&json!("seven"))).await);
        assert_eq!(failed.class, FailureClass::FailedToStart);
        assert!(failed.error_message().contains("expected u32"), "{failed}");
    }

    #[tokio::test]
    async fn a_result_over_256_kib_is_a_failure_with_its_size() {
        let job = |(): (), _| async { Ok::<_, WorkerError>("x".repeat(MAX_INLINE_RESULT)) };
        let failed = failure(perform(job, &Payloads::none(), inline(&Value::Null)).await);
        assert!(failed.error_message().contains("262146 bytes"), "{failed}");
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_had_keeps_the_job_from_starting() {
        let job = |input: String, _| async move { Ok::<_, WorkerError>(input) };
        let at = info(Input::At("s3://bucket/key".to_owned()));
        let failed = failure(perform(job, &Payloads::none(), at).await);
        assert_eq!(failed.class, FailureClass::FailedToStart);
        let message = failed.error_message();
        assert!(message.contains("s3://bucket/key"), "{message}");
    }

    #[tokio::test]
    async fn a_job_that_is_told_to_stop_before_its_input_is_there_does_not_start() {
        let job = |_: Value, _| async { Ok::<(), WorkerError>(()) };
        let at = info(Input::At(uri()));
        at.cancelled.cancel();
        // The store is never asked: whether it is there makes no difference.
        let failed = failure(perform(job, &Payloads::none(), at).await);
        assert_eq!(failed.error_message(), "it was told to stop");
    }

    fn uri() -> String {
        let key = format!("{}/{}", "0".repeat(20), "0".repeat(64));
        format!(
            "file:///nowhere/{key}/input.json#sha256={}&size=1",
            "0".repeat(64)
        )
    }
}
