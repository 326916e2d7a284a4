//! What a check works with: fresh jobs, calls whose failure is a finding, and a clean end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::promise::Seen;
use super::{BrokenPromise, Census, Promise, Subject};
use crate::{
    CallbackToken, CancelOutcome, ExecutionId, Job, JobHandle, JobSpec, JobState, JobStatus,
};

const REASON: &str = "longhaul conformance suite";

/// One check of one promise.
pub(super) struct Bench<'a> {
    pub(super) subject: &'a dyn Subject,
    promise: Promise,
    used: Mutex<Used>,
}

/// What is to be cleaned up.
#[derive(Default)]
struct Used {
    handles: Vec<JobHandle>,
    executions: BTreeSet<ExecutionId>,
}

/// A job and the token to start it with.
pub(super) struct Attempt {
    pub(super) job: Job,
    pub(super) token: CallbackToken,
}

impl<'a> Bench<'a> {
    pub(super) fn new(subject: &'a dyn Subject, promise: Promise) -> Self {
        Self {
            subject,
            promise,
            used: Mutex::default(),
        }
    }

    /// Runs the check, then cancels every job that it started, whatever was found.
    pub(super) async fn run(
        self,
        check: impl AsyncFnOnce(&Bench<'a>) -> Result<(), Seen>,
    ) -> Result<(), BrokenPromise> {
        let at_most = self.subject.patience().at_most;
        let found = match timeout(at_most, check(&self)).await {
            Ok(found) => found,
            Err(_) => Err(Seen::new(format!(
                "the check had not come to its end after {at_most:?}"
            ))),
        };
        // A clean-up that fails is not what was asked; promises of their own cover it.
        let _ = timeout(at_most, self.clean_up()).await;
        found.map_err(|seen| seen.breaks(self.promise))
    }

    async fn clean_up(&self) {
        let backend = self.subject.backend();
        let used = std::mem::take(&mut *self.used());
        let mut handles = used.handles;
        for execution in &used.executions {
            handles.extend(backend.list(execution).await.unwrap_or_default());
        }
        for handle in handles {
            let _ = backend.cancel(&handle, REASON).await;
        }
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An execution that nobody has heard of.
    pub(super) fn fresh_execution(&self) -> ExecutionId {
        ExecutionId::from_arn(&fresh("arn:longhaul:conformance"))
    }

    /// A job in an execution of its own.
    pub(super) fn fresh(&self, spec: JobSpec) -> Attempt {
        self.fresh_in(self.fresh_execution(), spec)
    }

    /// A job in this execution, with a token of its own.
    pub(super) fn fresh_in(&self, execution: ExecutionId, spec: JobSpec) -> Attempt {
        self.with_token(execution, fresh_token(), spec)
    }

    /// A job in this execution, with this token.
    pub(super) fn with_token(
        &self,
        execution: ExecutionId,
        token: CallbackToken,
        spec: JobSpec,
    ) -> Attempt {
        self.used().executions.insert(execution.clone());
        let job = Job::new(spec, execution, 1, &token);
        Attempt { job, token }
    }

    /// Starts the job; an error is a finding.
    pub(super) async fn start(&self, attempt: &Attempt) -> Result<JobHandle, Seen> {
        match self
            .subject
            .backend()
            .start(&attempt.job, &attempt.token)
            .await
        {
            Ok(handle) => {
                self.used().handles.push(handle.clone());
                Ok(handle)
            }
            Err(error) => Err(Seen::error("start", error)),
        }
    }

    /// Starts a long job in an execution of its own.
    pub(super) async fn start_long(&self) -> Result<(Attempt, JobHandle), Seen> {
        let attempt = self.fresh(self.subject.long_job());
        let handle = self.start(&attempt).await?;
        Ok((attempt, handle))
    }

    /// A job that exits with `code`, or the finding that the subject has none.
    pub(super) fn exiting(&self, code: i32) -> Result<JobSpec, Seen> {
        self.subject.job_that_exits(code).ok_or_else(|| {
            self.undeclared(&format!(
                "the subject has no job that exits with {code} (`job_that_exits`)"
            ))
        })
    }

    /// The finding that something is missing and was not declared.
    pub(super) fn undeclared(&self, what: &str) -> Seen {
        Seen::new(format!(
            "{what}: if it cannot have, say why in `Subject::cannot` for `Promise::{:?}`",
            self.promise
        ))
    }

    /// Cancels; an error is a finding.
    pub(super) async fn cancel(&self, handle: &JobHandle) -> Result<CancelOutcome, Seen> {
        let outcome = self.subject.backend().cancel(handle, REASON).await;
        outcome.map_err(|error| Seen::error(&format!("cancel of {handle}"), error))
    }

    /// Describes; an error is a finding.
    pub(super) async fn describe(&self, handle: &JobHandle) -> Result<JobStatus, Seen> {
        let status = self.subject.backend().describe(handle).await;
        status.map_err(|error| Seen::error(&format!("describe of {handle}"), error))
    }

    /// Lists, sorted; an error, and a handle that is there twice, is a finding.
    pub(super) async fn list(&self, execution: &ExecutionId) -> Result<BTreeSet<String>, Seen> {
        let handles = self.subject.backend().list(execution).await;
        let handles = handles.map_err(|error| Seen::error("list", error))?;
        let mut set = BTreeSet::new();
        for handle in handles {
            if !set.insert(handle.to_string()) {
                return Err(Seen::new(format!("list has {handle} twice")));
            }
        }
        Ok(set)
    }

    /// Waits until the job is described as ended, and returns that status.
    pub(super) async fn ended(&self, handle: &JobHandle) -> Result<JobStatus, Seen> {
        self.eventually(async || {
            let status = self.describe(handle).await?;
            Ok(if status.state == JobState::Ended {
                Ok(status)
            } else {
                Err(format!("{handle} is {:?}, not Ended", status.state))
            })
        })
        .await
    }

    /// Looks again and again until `look` finds what it wants, or patience ends: then what it
    /// saw last is the finding.
    pub(super) async fn eventually<T>(
        &self,
        look: impl AsyncFn() -> Result<Result<T, String>, Seen>,
    ) -> Result<T, Seen> {
        let patience = self.subject.patience();
        let deadline = Instant::now() + patience.within;
        loop {
            match look().await? {
                Ok(found) => return Ok(found),
                Err(seen) if Instant::now() >= deadline => {
                    return Err(Seen::new(format!("after {:?}, {seen}", patience.within)));
                }
                Err(_) => sleep(patience.every).await,
            }
        }
    }

    /// Checks that exactly one job was started for `attempt`: by the platform's own count, or by
    /// `list` where the platform tells nobody and the job is the only one of its execution.
    pub(super) async fn started_once(&self, attempt: &Attempt) -> Result<(), Seen> {
        self.eventually(async || {
            let started = match self.subject.census(&attempt.job).await {
                Some(Census { started, .. }) => started,
                None => match self.listed(attempt).await {
                    Some(listed) => listed,
                    None => return Ok(Ok(())),
                },
            };
            match started {
                1 => Ok(Ok(())),
                0 => Ok(Err("no job was started".to_owned())),
                more => Err(Seen::new(format!("{more} jobs were started"))),
            }
        })
        .await
    }

    /// Cancels the only job of `attempt`, waits for its end, and checks that there was no other:
    /// one that was slow to show has had its time by then.
    pub(super) async fn was_the_only_one(
        &self,
        attempt: &Attempt,
        handle: &JobHandle,
    ) -> Result<(), Seen> {
        self.cancel(handle).await?;
        self.ended(handle).await?;
        if let Some(Census { started, .. }) = self.subject.census(&attempt.job).await
            && started != 1
        {
            return Err(Seen::new(format!("{started} jobs were started")));
        }
        self.eventually(async || {
            Ok(match self.listed(attempt).await {
                None | Some(0) => Ok(()),
                Some(more) => Err(format!("{more} jobs still run")),
            })
        })
        .await
    }

    /// Checks that no job was started for `attempt`, the only one of its execution.
    pub(super) async fn started_never(&self, attempt: &Attempt) -> Result<(), Seen> {
        let started = match self.subject.census(&attempt.job).await {
            Some(Census { started, .. }) => started,
            None => 0,
        };
        match started.max(self.listed(attempt).await.unwrap_or(0)) {
            0 => Ok(()),
            more => Err(Seen::new(format!("{more} jobs were started"))),
        }
    }

    /// How many jobs of the execution run, where the backend can list.
    async fn listed(&self, attempt: &Attempt) -> Option<usize> {
        let listed = self.subject.backend().list(attempt.job.execution()).await;
        listed.ok().map(|handles| handles.len())
    }
}

/// Text that no other call has made, here or elsewhere.
fn fresh(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hash = Sha256::new();
    hash.update(format!(
        "{:?} {} {}",
        SystemTime::now(),
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    format!("{prefix}:{}", hex::encode(hash.finalize()))
}

/// A token that nobody has used, with the characters that base64 has.
#[expect(clippy::expect_used, reason = "it is made of what a token may hold")]
fn fresh_token() -> CallbackToken {
    CallbackToken::new(format!("{}+/==", fresh("bG9uZ2hhdWw"))).expect("a token")
}
