//! The promises of the trait, kept with the four methods of a queue.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId,
    FailureClass, Job, JobFailure, JobHandle, JobState, JobStatus, Locate,
};

use crate::queue::{End, Queue, Seen, Stage, Ticket, Why};

/// The name in handles and in the `backend` of a job.
pub const NAME: &str = "spool";

/// The longest word of a command line, and the longest `NAME=value`, that Linux hands to a program:
/// 128 KiB with the NUL at its end (`MAX_ARG_STRLEN`, execve(2)).
pub const MAX_STRING: usize = 128 * 1024;

/// Runs jobs by way of a queue.
#[derive(Debug, Clone)]
pub struct SpoolBackend {
    queue: Arc<dyn Queue>,
    more: BTreeMap<String, String>,
}

impl SpoolBackend {
    /// A backend over `queue`.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self {
            queue,
            more: BTreeMap::new(),
        }
    }

    /// The same with one more variable for every job, such as the URL of the service that it is to
    /// report to. A job's own variables win.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    /// What is put into the queue for a job.
    fn ticket(&self, job: &Job, token: &CallbackToken) -> Result<Ticket, BackendError> {
        let refuse = |kind, problem: &str| {
            BackendError::new(kind, format!("queue job {}: {problem}", job.name()))
        };
        let spec = job.spec();
        let Some(command) = spec.command.clone().filter(|words| !words.is_empty()) else {
            let problem = "it has no command, and the queue knows none; set `command`";
            return Err(refuse(BackendErrorKind::InvalidSpec, problem));
        };
        let mut environment = self.more.clone();
        let own = job.environment(token);
        environment.extend(own.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        let variable = environment.iter().map(|(n, v)| n.len() + 1 + v.len());
        let longest = command.iter().map(String::len).chain(variable).max();
        if longest.is_some_and(|bytes| bytes >= MAX_STRING) {
            let problem = "a word of its command or a variable has 128 KiB or more, which Linux hands to no program; \
                           pass a large input by reference";
            return Err(refuse(BackendErrorKind::TooLarge, problem));
        }
        Ok(Ticket {
            key: job.start_key().to_string(),
            execution: job.execution().to_string(),
            command,
            directory: spec.working_directory.clone(),
            environment,
        })
    }

    /// Asks the queue, which reads and writes files, where that holds up nobody.
    async fn ask<T: Send + 'static>(
        &self,
        what: String,
        otherwise: BackendErrorKind,
        ask: impl FnOnce(&dyn Queue) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BackendError> {
        let queue = Arc::clone(&self.queue);
        let answer = tokio::task::spawn_blocking(move || ask(&*queue)).await;
        match answer.map_err(io::Error::other) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) | Err(error) => {
                Err(BackendError::new(kind_of(&error, otherwise), what).with_source(error))
            }
        }
    }

    async fn look(&self, job: &JobHandle) -> Result<Option<Seen>, BackendError> {
        if job.backend() != NAME {
            return Ok(None);
        }
        let key = job.id().to_owned();
        let what = format!("look for job {key} in the queue");
        self.ask(what, BackendErrorKind::Unavailable, move |queue| {
            queue.look(&key)
        })
        .await
    }
}

/// What an error means for what may be tried next.
fn kind_of(error: &io::Error, otherwise: BackendErrorKind) -> BackendErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => BackendErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BackendErrorKind::Denied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BackendErrorKind::Capacity,
        _ => otherwise,
    }
}

#[async_trait]
impl ComputeBackend for SpoolBackend {
    fn name(&self) -> &str {
        NAME
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let ticket = self.ticket(job, token)?;
        let handle = JobHandle::new(NAME, &ticket.key);
        let what = format!("queue job {}", job.name());
        // What failed halfway may have been queued: the same token again finds it.
        self.ask(what, BackendErrorKind::Ambiguous, move |queue| {
            queue.submit(&ticket)
        })
        .await?;
        Ok(handle)
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        match self.look(job).await? {
            None => Ok(CancelOutcome::NotFound),
            Some(Seen {
                stage: Stage::Ended(_),
                ..
            }) => Ok(CancelOutcome::AlreadyEnded),
            Some(_) => {
                let (key, reason) = (job.id().to_owned(), reason.to_owned());
                let what = format!("tell job {key} to end");
                self.ask(what, BackendErrorKind::Unavailable, move |queue| {
                    queue.cancel(&key, &reason)
                })
                .await?;
                Ok(CancelOutcome::Cancelled)
            }
        }
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let seen = self.look(job).await?;
        Ok(seen.map_or_else(JobStatus::unknown, |seen| status(&seen)))
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let what = format!("list the jobs of execution {execution}");
        let execution = execution.to_string();
        let keys = self
            .ask(what, BackendErrorKind::Unavailable, move |queue| {
                queue.of_execution(&execution)
            })
            .await?;
        Ok(keys.iter().map(|key| JobHandle::new(NAME, key)).collect())
    }
}

/// For those who fall back on this backend from another: `longhaul_core::wrap::Fallback`.
#[async_trait]
impl Locate for SpoolBackend {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let handle = JobHandle::new(NAME, job.start_key().as_str());
        let seen = self.look(&handle).await?;
        Ok(seen.map(|_| handle))
    }
}

/// What the queue saw, in the words of the trait.
fn status(seen: &Seen) -> JobStatus {
    match &seen.stage {
        Stage::Ended(end) => {
            let mut status = JobStatus::new(JobState::Ended);
            status.exit_code = end.exit_code;
            status.signal = end.signal;
            status.failure = failure(end);
            status
        }
        _ if seen.told_to_end => JobStatus::new(JobState::Stopping),
        Stage::Running => JobStatus::new(JobState::Running),
        Stage::Waiting => JobStatus::new(JobState::Pending),
    }
}

/// What a job that ended so has failed with, if its callback never comes; `None` where nobody knows.
fn failure(end: &End) -> Option<JobFailure> {
    let failure = match &end.why {
        Why::Cancelled(reason) => JobFailure::new(FailureClass::Cancelled).with_reason(reason),
        Why::NotStarted(problem) => {
            JobFailure::new(FailureClass::FailedToStart).with_message(problem)
        }
        Why::Unseen => return None,
        // An end that nobody reported is a loss, whatever the exit code; another code is a failure.
        Why::Itself if end.exit_code == Some(0) || end.signal.is_some() => {
            JobFailure::new(FailureClass::Lost)
        }
        Why::Itself => JobFailure::new(FailureClass::Failed),
    };
    let failure = failure.with_exit_code(end.exit_code);
    Some(failure.with_signal(end.signal))
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
