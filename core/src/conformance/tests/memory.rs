//! A small correct backend in memory, and the flaws that it can be given.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::flaw::Flaw;
use crate::conformance::{Census, Received};
use crate::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId,
    FailureClass, Job, JobFailure, JobHandle, JobState, JobStatus, Locate, StartKey,
};

/// What a job's environment may hold, in bytes.
pub(super) const MAX_ENVIRONMENT: usize = 8192;

/// Jobs that are entries of a list: `["run"]` runs until it is cancelled, `["exit", "3"]` has
/// ended with 3 when it is started.
pub(super) struct Memory {
    pub(super) name: &'static str,
    flaw: Option<Flaw>,
    /// Whether there is room for another job. Having none is no flaw.
    full: bool,
    jobs: Mutex<Vec<Entry>>,
}

struct Entry {
    id: String,
    /// Where the id's text was when it was handed out, for a flaw that relies on it.
    address: usize,
    key: StartKey,
    execution: ExecutionId,
    token: String,
    received: Received,
    exit_code: Option<i32>,
    cancels: usize,
    /// Jobs beside this one that show only when it has ended.
    twins: usize,
}

impl Entry {
    fn runs(&self) -> bool {
        self.exit_code.is_none() && self.cancels == 0
    }
}

impl Memory {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            flaw: None,
            full: false,
            jobs: Mutex::default(),
        }
    }

    pub(super) fn with_flaw(flaw: Flaw) -> Self {
        Self {
            flaw: Some(flaw),
            ..Self::new("memory")
        }
    }

    #[cfg(feature = "wrappers")]
    pub(super) fn full(name: &'static str) -> Self {
        Self {
            full: true,
            ..Self::new(name)
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.jobs.lock().unwrap()
    }

    pub(super) fn tokens(&self) -> Vec<String> {
        self.jobs()
            .iter()
            .map(|entry| entry.token.clone())
            .collect()
    }

    pub(super) fn running(&self) -> usize {
        self.jobs().iter().filter(|entry| entry.runs()).count()
    }

    pub(super) fn census(&self, job: &Job) -> Census {
        let jobs = self.jobs();
        let of_job = || jobs.iter().filter(|entry| entry.key == *job.start_key());
        Census {
            started: of_job()
                .map(|entry| if entry.runs() { 1 } else { 1 + entry.twins })
                .sum(),
            running: of_job().filter(|entry| entry.runs()).count(),
        }
    }

    pub(super) fn received(&self, job: &Job) -> Option<Received> {
        let jobs = self.jobs();
        let entry = jobs.iter().find(|entry| entry.key == *job.start_key());
        entry.map(|entry| entry.received.clone())
    }

    /// The handle of the job that the start already has, as far as the flaw lets it be seen.
    fn existing(&self, job: &Job) -> Option<JobHandle> {
        let mut jobs = self.jobs();
        let same = |entry: &&mut Entry| match self.flaw {
            Some(Flaw::NewJobEveryStart) => false,
            Some(Flaw::OneJobPerExecution) => entry.execution == *job.execution(),
            Some(Flaw::ForgetsWhatEnded) => entry.key == *job.start_key() && entry.runs(),
            _ => entry.key == *job.start_key(),
        };
        let entry = jobs.iter_mut().find(same)?;
        match self.flaw {
            Some(Flaw::RestartsWhatEnded) => entry.cancels = 0,
            Some(Flaw::SecondJobShowsLate) => entry.twins += 1,
            _ => {}
        }
        Some(self.handle(entry, job))
    }

    fn handle(&self, entry: &mut Entry, job: &Job) -> JobHandle {
        let name = match self.flaw {
            Some(Flaw::OtherNameInHandles) => "other",
            _ => self.name,
        };
        let id = match self.flaw {
            Some(Flaw::TokenInHandle) => format!("{}-{}", entry.id, entry.token),
            Some(Flaw::AttemptInSecondHandle) if entry.address != 0 => {
                format!("{}-{}", entry.id, job.attempt())
            }
            _ => entry.id.clone(),
        };
        let handle = JobHandle::new(name, id);
        entry.address = handle.id().as_ptr() as usize;
        handle
    }

    pub(super) fn size(job: &Job, token: &CallbackToken) -> usize {
        let environment = job.environment(token);
        environment.iter().map(|(n, v)| n.len() + v.len()).sum()
    }

    fn check_size(&self, job: &Job, token: &CallbackToken) -> Result<(), BackendError> {
        let size = Self::size(job, token);
        let max = match self.flaw {
            Some(Flaw::LimitLowerThanItSays) => MAX_ENVIRONMENT - 1,
            Some(Flaw::NoLimit) => usize::MAX,
            _ => MAX_ENVIRONMENT,
        };
        if size <= max {
            return Ok(());
        }
        if self.has(Flaw::StartsWhatItRefuses) {
            self.add(job, token);
        }
        let kind = match self.flaw {
            Some(Flaw::LimitSaysUnavailable) => BackendErrorKind::Unavailable,
            _ => BackendErrorKind::TooLarge,
        };
        let secret = match self.flaw {
            Some(Flaw::TokenInError) => token.expose(),
            _ => "",
        };
        let error = BackendError::new(kind, format!("{size} bytes are more than {max}{secret}"));
        Err(match self.flaw {
            Some(Flaw::LimitIsRetried) => error.with_retry(crate::Retry::Backoff),
            Some(Flaw::TokenInCauseOfError) => {
                error.with_source(std::io::Error::other(token.expose().to_owned()))
            }
            _ => error,
        })
    }

    fn add(&self, job: &Job, token: &CallbackToken) -> JobHandle {
        let environment = job.environment(token);
        let mut received = Received {
            command: job.spec().command.clone(),
            environment: Some(
                environment
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            ),
            tags: Some(job.spec().tags.clone()),
        };
        if let Some(flaw) = self.flaw {
            flaw.mangle(&mut received, token);
        }
        let exit_code = match job.spec().command.as_deref() {
            Some([exit, code]) if exit == "exit" => code.parse().ok(),
            _ => None,
        };
        let mut jobs = self.jobs();
        let mut entry = Entry {
            id: format!("job-{}", jobs.len() + 1),
            address: 0,
            key: job.start_key().clone(),
            execution: job.execution().clone(),
            token: token.expose().to_owned(),
            received,
            exit_code,
            cancels: 0,
            twins: 0,
        };
        let handle = self.handle(&mut entry, job);
        jobs.push(entry);
        handle
    }

    fn find<'a>(&self, jobs: &'a mut [Entry], handle: &JobHandle) -> Option<&'a mut Entry> {
        let id = handle.id().split('-').take(2).collect::<Vec<_>>().join("-");
        let entry = jobs.iter_mut().find(|entry| entry.id == id)?;
        let moved = entry.address != handle.id().as_ptr() as usize;
        (!moved || !self.has(Flaw::HandleKnownByAddress)).then_some(entry)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Memory");
        debug.field("name", &self.name);
        if self.has(Flaw::TokenInDebug) {
            let tokens: Vec<_> = self.jobs().iter().map(|e| e.token.clone()).collect();
            debug.field("tokens", &tokens);
        }
        debug.finish_non_exhaustive()
    }
}

fn refused(call: &str) -> BackendError {
    BackendError::new(BackendErrorKind::Denied, format!("{call} is refused"))
}

#[async_trait]
impl ComputeBackend for Memory {
    fn name(&self) -> &str {
        if self.has(Flaw::NameChanges) && !self.jobs().is_empty() {
            return "another";
        }
        self.name
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        if self.has(Flaw::Hangs) {
            std::future::pending::<()>().await;
        }
        if self.has(Flaw::RefusesStarts) {
            return Err(refused("start"));
        }
        self.check_size(job, token)?;
        if let Some(handle) = self.existing(job) {
            return Ok(handle);
        }
        if self.full {
            let kind = BackendErrorKind::Capacity;
            return Err(BackendError::new(kind, "there is no room"));
        }
        if self.has(Flaw::LooksThenStarts) {
            tokio::task::yield_now().await;
        }
        if self.has(Flaw::ForgetsToStart) {
            return Ok(JobHandle::new(self.name, "job-0"));
        }
        Ok(self.add(job, token))
    }

    async fn cancel(&self, handle: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        let mut jobs = self.jobs();
        let Some(entry) = self.find(&mut jobs, handle) else {
            return match self.flaw {
                Some(Flaw::CancelOfUnknownFails) => Err(refused("cancel")),
                Some(Flaw::CancelOfUnknownSaysCancelled) => Ok(CancelOutcome::Cancelled),
                _ => Ok(CancelOutcome::NotFound),
            };
        };
        let ended = !entry.runs();
        match self.flaw {
            Some(Flaw::CancelDoesNothing) => return Ok(CancelOutcome::Cancelled),
            Some(Flaw::CancelFails) => return Err(refused("cancel")),
            Some(Flaw::CancelOfFinishedFails) if entry.exit_code.is_some() => {
                return Err(refused("cancel"));
            }
            Some(Flaw::CancelOfFinishedSaysCancelled) if ended => {
                return Ok(CancelOutcome::Cancelled);
            }
            Some(Flaw::SecondCancelFails) if entry.cancels > 0 => return Err(refused("cancel")),
            Some(Flaw::SecondCancelSaysNotFound) if entry.cancels > 0 => {
                return Ok(CancelOutcome::NotFound);
            }
            _ => {}
        }
        if ended {
            return Ok(CancelOutcome::AlreadyEnded);
        }
        entry.cancels += 1;
        Ok(match self.flaw {
            Some(Flaw::CancelSaysAlreadyEnded) => CancelOutcome::AlreadyEnded,
            _ => CancelOutcome::Cancelled,
        })
    }

    async fn describe(&self, handle: &JobHandle) -> Result<JobStatus, BackendError> {
        let mut jobs = self.jobs();
        let Some(entry) = self.find(&mut jobs, handle) else {
            return match self.flaw {
                Some(Flaw::DescribeOfUnknownFails) => Err(refused("describe")),
                Some(Flaw::DescribeOfUnknownSaysEnded) => Ok(JobStatus::new(JobState::Ended)),
                _ => Ok(JobStatus::unknown()),
            };
        };
        let mut status = JobStatus::new(JobState::Running);
        if entry.cancels > 0 {
            status.state = JobState::Ended;
            status.failure = Some(JobFailure::new(FailureClass::Cancelled));
        } else if let Some(code) = entry.exit_code {
            status.state = JobState::Ended;
            status.exit_code = Some(code);
            let class = match code {
                0 => FailureClass::Lost,
                _ => FailureClass::Failed,
            };
            status.failure = Some(JobFailure::new(class).with_exit_code(code));
        }
        if let Some(flaw) = self.flaw {
            flaw.distort(&mut status, &entry.token);
        }
        Ok(status)
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let jobs = self.jobs();
        let ours = |entry: &&Entry| match self.flaw {
            Some(Flaw::ListHasOthers) => entry.runs(),
            Some(Flaw::ListHasEnded) => entry.execution == *execution,
            Some(Flaw::ListHasFinished) => {
                entry.execution == *execution && (entry.runs() || entry.exit_code.is_some())
            }
            _ => entry.execution == *execution && entry.runs(),
        };
        let mut found: Vec<JobHandle> = jobs
            .iter()
            .filter(ours)
            .map(|entry| JobHandle::new(self.name, entry.id.clone()))
            .collect();
        match self.flaw {
            Some(Flaw::ListMissesOne) if found.len() > 1 => drop(found.pop()),
            Some(Flaw::ListHasTwice) => found.extend(found.clone()),
            Some(Flaw::ListOfUnknownFails) if found.is_empty() => return Err(refused("list")),
            _ => {}
        }
        Ok(found)
    }
}

#[async_trait]
impl Locate for Memory {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let jobs = self.jobs();
        let same = |entry: &&Entry| match self.flaw {
            Some(Flaw::LocatesByExecution) => entry.execution == *job.execution(),
            Some(Flaw::LocatesOnlyRunning) => entry.key == *job.start_key() && entry.runs(),
            _ => entry.key == *job.start_key(),
        };
        let found = jobs.iter().find(same);
        match (self.flaw, found) {
            (Some(Flaw::LocatesNothing), _) => Ok(None),
            (Some(Flaw::LocateOfUnknownFails), None) => Err(refused("locate")),
            (_, found) => Ok(found.map(|entry| JobHandle::new(self.name, entry.id.clone()))),
        }
    }
}
