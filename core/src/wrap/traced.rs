//! Tells what a backend does: a span and an event for each call, and counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tracing::field::{Empty, display};
use tracing::{Instrument, Level, Span, event, info_span};

use crate::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus, Locate,
};

/// A backend that tells what it does through [`tracing`].
///
/// Each call has a span, `backend.start`, `backend.cancel`, `backend.describe`, `backend.list` or
/// `backend.locate`, with the fields `backend`, `job`, `attempt`, `execution`, `start_key`,
/// `handle`, `state`, `jobs`, `error.kind` and `error.retry` as far as they apply, and one event
/// at its end: starts and cancels at level INFO, questions at DEBUG, every error at WARN with the
/// message and its causes. What the wrapped backend logs is inside the span.
///
/// The callback token is in none of it: should the wrapped backend break its promise and put it
/// into the handle or the error of a start, it is taken out of what is told.
#[derive(Debug)]
pub struct Traced<B: ?Sized = dyn ComputeBackend> {
    counters: Counters,
    inner: Arc<B>,
}

impl<B: ComputeBackend + ?Sized> Traced<B> {
    /// `inner`, told about.
    #[must_use]
    pub fn new(inner: Arc<B>) -> Self {
        Self {
            counters: Counters::default(),
            inner,
        }
    }

    /// What was counted since the backend was made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            starts: self.counters.starts.counts(),
            cancels: self.counters.cancels.counts(),
            describes: self.counters.describes.counts(),
            lists: self.counters.lists.counts(),
            locates: self.counters.locates.counts(),
        }
    }
}

/// How often each operation was called, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Of `start`.
    pub starts: OperationCounts,
    /// Of `cancel`.
    pub cancels: OperationCounts,
    /// Of `describe`.
    pub describes: OperationCounts,
    /// Of `list`.
    pub lists: OperationCounts,
    /// Of `locate`.
    pub locates: OperationCounts,
}

/// What came of the calls of one operation, since the wrapper was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationCounts {
    /// Calls that have begun.
    pub begun: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed, by the kind of their error.
    pub failed: HashMap<BackendErrorKind, u64>,
    /// Calls whose future was dropped before it was done, as when the function is suspended.
    pub abandoned: u64,
}

#[derive(Debug, Default)]
struct Counters {
    starts: Counter,
    cancels: Counter,
    describes: Counter,
    lists: Counter,
    locates: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    begun: AtomicU64,
    succeeded: AtomicU64,
    abandoned: AtomicU64,
    failed: Mutex<HashMap<BackendErrorKind, u64>>,
}

impl Counter {
    fn counts(&self) -> OperationCounts {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        OperationCounts {
            begun: self.begun.load(Ordering::Relaxed),
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: failed.clone(),
            abandoned: self.abandoned.load(Ordering::Relaxed),
        }
    }

    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One call: in a span, counted, and told about at its end.
struct Call<'a> {
    counter: &'a Counter,
    span: Span,
    token: Option<&'a CallbackToken>,
    done: bool,
}

impl<'a> Call<'a> {
    fn new(counter: &'a Counter, span: Span) -> Self {
        Counter::add(&counter.begun);
        Self {
            counter,
            span,
            token: None,
            done: false,
        }
    }

    /// Waits for the answer and counts it.
    async fn run<T>(
        &mut self,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = call.instrument(self.span.clone()).await;
        self.done = true;
        match &answer {
            Ok(_) => Counter::add(&self.counter.succeeded),
            Err(error) => {
                let failed = self.counter.failed.lock();
                let mut failed = failed.unwrap_or_else(PoisonError::into_inner);
                *failed.entry(error.kind()).or_default() += 1;
                drop(failed);
                self.tell_error(error);
            }
        }
        answer
    }

    fn tell_error(&self, error: &BackendError) {
        self.span
            .record("error.kind", error.kind().as_str())
            .record("error.retry", format!("{:?}", error.retry()));
        let message = self.without_token(error.full_message());
        event!(parent: &self.span, Level::WARN, error = message, "the backend answered an error");
    }

    fn record(&self, field: &str, value: impl ToString) {
        let text = self.without_token(value.to_string());
        self.span.record(field, display(text));
    }

    fn without_token(&self, text: String) -> String {
        match self.token {
            Some(token) => text.replace(token.expose(), "[token]"),
            None => text,
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.done {
            Counter::add(&self.counter.abandoned);
            event!(parent: &self.span, Level::DEBUG, "the call was abandoned");
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: ComputeBackend + ?Sized> ComputeBackend for Traced<B> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let span = info_span!(
            "backend.start",
            backend = self.inner.name(),
            job = %job.name(),
            attempt = job.attempt(),
            execution = %job.execution(),
            start_key = %job.start_key(),
            handle = Empty,
            error.kind = Empty,
            error.retry = Empty,
        );
        let mut call = Call::new(&self.counters.starts, span);
        call.token = Some(token);
        let handle = call.run(self.inner.start(job, token)).await?;
        call.record("handle", &handle);
        event!(parent: &call.span, Level::INFO, "the job was started");
        Ok(handle)
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        let span = info_span!(
            "backend.cancel",
            backend = self.inner.name(),
            handle = %job,
            error.kind = Empty,
            error.retry = Empty,
        );
        let mut call = Call::new(&self.counters.cancels, span);
        let outcome = call.run(self.inner.cancel(job, reason)).await?;
        event!(parent: &call.span, Level::INFO, reason, ?outcome, "the job was cancelled");
        Ok(outcome)
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let span = info_span!(
            "backend.describe",
            backend = self.inner.name(),
            handle = %job,
            state = Empty,
            error.kind = Empty,
            error.retry = Empty,
        );
        let mut call = Call::new(&self.counters.describes, span);
        let status = call.run(self.inner.describe(job)).await?;
        call.record("state", format!("{:?}", status.state));
        event!(parent: &call.span, Level::DEBUG, "the job was described");
        Ok(status)
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let span = info_span!(
            "backend.list",
            backend = self.inner.name(),
            execution = %execution,
            jobs = Empty,
            error.kind = Empty,
            error.retry = Empty,
        );
        let mut call = Call::new(&self.counters.lists, span);
        let handles = call.run(self.inner.list(execution)).await?;
        call.record("jobs", handles.len());
        event!(parent: &call.span, Level::DEBUG, "the jobs were listed");
        Ok(handles)
    }
}

#[async_trait]
impl<B: Locate + ?Sized> Locate for Traced<B> {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let span = info_span!(
            "backend.locate",
            backend = self.inner.name(),
            job = %job.name(),
            execution = %job.execution(),
            start_key = %job.start_key(),
            handle = Empty,
            error.kind = Empty,
            error.retry = Empty,
        );
        let mut call = Call::new(&self.counters.locates, span);
        let found = call.run(self.inner.locate(job)).await?;
        if let Some(handle) = &found {
            call.record("handle", handle);
        }
        event!(parent: &call.span, Level::DEBUG, "the job was looked for");
        Ok(found)
    }
}

#[cfg(test)]
#[cfg(feature = "mock")]
#[path = "traced_tests.rs"]
mod tests;
