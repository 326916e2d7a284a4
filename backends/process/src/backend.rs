//! The backend itself: the trait's promises, kept with directories and shims.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus, StartKey,
};

use crate::ProcessConfig;
use crate::directory::{JobDirectory, Root};
use crate::stage::Stage;

/// The name of the backend in handles and configuration.
const NAME: &str = "process";

/// Runs jobs as processes of this machine. See the [crate's documentation](crate).
///
/// Its methods need a tokio runtime with I/O and time enabled.
#[derive(Debug, Clone)]
pub struct ProcessBackend {
    pub(crate) config: ProcessConfig,
    pub(crate) root: Root,
}

/// Where a worker's output is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPaths {
    /// What it wrote to standard output.
    pub stdout: PathBuf,
    /// What it wrote to standard error.
    pub stderr: PathBuf,
}

impl ProcessBackend {
    /// A backend with these settings. Nothing is touched before the first start.
    #[must_use]
    pub fn new(config: ProcessConfig) -> Self {
        let config = config.absolute();
        Self {
            root: Root::new(config.directory.clone()),
            config,
        }
    }

    /// The settings, with every path absolute.
    #[must_use]
    pub fn config(&self) -> &ProcessConfig {
        &self.config
    }

    /// Where the output of a job's worker is: files that may not be there yet. `None` for a job
    /// that this backend does not know.
    #[must_use]
    pub fn logs(&self, job: &JobHandle) -> Option<LogPaths> {
        let directory = self.find(job).ok().flatten()?;
        directory.exists().then(|| LogPaths {
            stdout: directory.stdout(),
            stderr: directory.stderr(),
        })
    }

    /// The pid of a job's worker while it runs. It leads a process group of the same number.
    #[must_use]
    pub fn pid(&self, job: &JobHandle) -> Option<u32> {
        let worker = self.find(job).ok().flatten()?.journal().ok()?.worker?;
        worker.identity.is_alive().then(|| worker.identity.pid())
    }

    /// The directory that a job would have; `None` if the handle's id cannot be one of ours.
    fn find(&self, job: &JobHandle) -> Result<Option<JobDirectory>, BackendError> {
        if job.backend() != NAME || job.version() != 1 {
            return Err(BackendError::new(
                BackendErrorKind::Unsupported,
                format!(
                    "find job {job} (version {}): it was started by another backend or a later release of this one",
                    job.version()
                ),
            ));
        }
        // Only a start key becomes a part of a path.
        Ok(StartKey::try_from(job.id().to_owned())
            .ok()
            .map(|key| self.root.job(key)))
    }
}

/// The handle of the job with this directory, known before the job is started.
pub(crate) fn handle(directory: &JobDirectory) -> JobHandle {
    let logs = directory.stderr().display().to_string();
    JobHandle::new(NAME, directory.key().as_str()).with_logs(logs)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ComputeBackend for ProcessBackend {
    fn name(&self) -> &str {
        NAME
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        self.start_process(job, token).await
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        match self.find(job)? {
            Some(directory) => self.cancel_process(&directory, reason).await,
            None => Ok(CancelOutcome::NotFound),
        }
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let Some(directory) = self.find(job)? else {
            return Ok(JobStatus::unknown());
        };
        blocking("describe the job", move || directory.status()).await
    }

    /// The jobs of one execution that are not known to have ended. One whose shim was killed
    /// stays listed until it is cancelled, because processes of it may be left.
    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let (root, execution) = (self.root.clone(), execution.clone());
        blocking("list the jobs of an execution", move || {
            let mut handles = Vec::new();
            for directory in root.marked(&execution)? {
                let over = match directory.stage()? {
                    Stage::Unknown | Stage::Ended(..) => true,
                    Stage::Lost(shim, _) => !shim.is_of_this_boot(),
                    _ => false,
                };
                if over {
                    // Whoever should have done it was killed.
                    root.unmark(&execution, directory.key());
                } else {
                    handles.push(handle(&directory));
                }
            }
            Ok(handles)
        })
        .await
    }
}

/// Runs `work`, which reads and writes files, where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BackendError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| local(what, error)),
        Err(error) => {
            Err(BackendError::new(BackendErrorKind::Unavailable, what).with_source(error))
        }
    }
}

/// The error of a backend that could not read or write its own files.
pub(crate) fn local(what: impl Into<String>, error: io::Error) -> BackendError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => BackendErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BackendErrorKind::Denied
        }
        _ => BackendErrorKind::Unavailable,
    };
    BackendError::new(kind, what).with_source(error)
}
