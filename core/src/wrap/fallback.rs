//! Starts a job on the next backend when the first has no room or does not answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus, Locate, Retry, StartKey,
};

/// Several backends in order: a job that the first cannot take goes to the next.
///
/// A start moves on when the error's [`retry`](BackendError::retry) is
/// [`OtherCapacity`](Retry::OtherCapacity) or its kind is
/// [`Unavailable`](BackendErrorKind::Unavailable). Every other error is returned as it is. So is
/// an [`Ambiguous`](BackendErrorKind::Ambiguous) one, above all: that backend may have started
/// the job, and the next one would start it a second time. The start must then be repeated with
/// the same token, as the error's advice says.
///
/// `cancel` and `describe` go to the backend that the handle names; `list` asks all of them and
/// fails when one does, for half a list would leave jobs running unseen.
///
/// # One token, one job
///
/// A start may be repeated by another process, after a crash, when nothing is left of the first
/// try but the job. The first backend may have had no room then and have some now. So each start
/// first asks every later backend whether it [has the job](Locate), and starts nothing when one
/// has it, or cannot say: a start needs the answer of all later backends. The first backend
/// itself is asked by the start, which is idempotent. Within one process, starts with one token
/// wait for each other, and a backend that may have the job is the only one that is asked again.
///
/// What remains, and cannot be ruled out from outside the platforms: a start whose first try was
/// accepted by the first backend, but recorded nowhere, and whose repetition in another process
/// finds that backend unavailable, starts a second job on the next; and likewise a repetition
/// before a later platform shows the job that it has just accepted. Both jobs then have the same
/// callback: the first to complete it wins, and the supervisor stops the other one at its next
/// heartbeat. Where even that must not happen, use one backend.
#[derive(Debug)]
pub struct Fallback {
    name: String,
    first: Arc<dyn ComputeBackend>,
    later: Vec<Arc<dyn Locate>>,
    starts: Starts,
}

/// A backend that cannot be added to a [`Fallback`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two backends are named {name:?}: a handle could not tell which of them has the job")]
#[non_exhaustive]
pub struct InvalidFallback {
    /// The name that is taken.
    pub name: String,
}

impl Fallback {
    /// `first`, with nothing to fall back on yet. `name` is for configuration and errors; handles
    /// name the backend that has the job.
    pub fn new(name: impl Into<String>, first: Arc<dyn ComputeBackend>) -> Self {
        Self {
            name: name.into(),
            first,
            later: Vec::new(),
            starts: Starts::default(),
        }
    }

    /// The same, with `next` for what the ones before it cannot take.
    ///
    /// # Errors
    ///
    /// [`InvalidFallback`] when one of them has the same name.
    pub fn then(mut self, next: Arc<dyn Locate>) -> Result<Self, InvalidFallback> {
        if self.backends().any(|backend| backend.name() == next.name()) {
            let name = next.name().to_owned();
            return Err(InvalidFallback { name });
        }
        self.later.push(next);
        Ok(self)
    }

    /// All backends in order.
    fn backends(&self) -> impl Iterator<Item = &dyn ComputeBackend> {
        let later = self.later.iter().map(|backend| {
            let backend: &dyn ComputeBackend = &**backend;
            backend
        });
        std::iter::once(&*self.first).chain(later)
    }

    /// The backend that the handle names.
    fn of(&self, handle: &JobHandle, call: &str) -> Result<&dyn ComputeBackend, BackendError> {
        self.backends()
            .find(|backend| backend.name() == handle.backend())
            .ok_or_else(|| {
                let names: Vec<&str> = self.backends().map(ComputeBackend::name).collect();
                BackendError::new(
                    BackendErrorKind::NotFound,
                    format!(
                        "{call} {handle}: backend `{}` has no backend of that name (it has: {})",
                        self.name,
                        names.join(", ")
                    ),
                )
            })
    }

    /// The handle of the job where a later backend has it already.
    async fn located(&self, job: &Job) -> Result<Option<(usize, JobHandle)>, BackendError> {
        for (at, backend) in self.later.iter().enumerate() {
            match backend.locate(job).await {
                Ok(Some(handle)) => return Ok(Some((at + 1, handle))),
                Ok(None) => {}
                Err(error) => {
                    let message = format!(
                        "start job `{}`: backend `{}` cannot say whether it has the job already, so none is started",
                        job.name(),
                        backend.name()
                    );
                    let kind = error.kind();
                    let retry = error.retry();
                    return Err(BackendError::new(kind, message)
                        .with_retry(retry)
                        .with_source(error));
                }
            }
        }
        Ok(None)
    }
}

/// Whether an error shows that this try has started nothing here, and another place may.
fn moves_on(error: &BackendError) -> bool {
    let doubtful = error.kind() == BackendErrorKind::Ambiguous || error.retry() == Retry::SameToken;
    !doubtful
        && (error.retry() == Retry::OtherCapacity || error.kind() == BackendErrorKind::Unavailable)
}

/// Whether an error shows that the job is not here, not from an earlier try either: a start is
/// idempotent, so a backend that has the job returns it and does not look for room.
fn shows_absence(error: &BackendError) -> bool {
    moves_on(error) && error.retry() == Retry::OtherCapacity
}

/// What all backends answered, in one error.
fn none_took_it(job: &Job, mut passed: Vec<(String, BackendError)>) -> BackendError {
    let answers: Vec<String> = passed
        .iter()
        .map(|(name, error)| format!("{name}: {}", error.full_message()))
        .collect();
    let silent = passed
        .iter()
        .any(|(_, error)| error.kind() == BackendErrorKind::Unavailable);
    let kind = if silent {
        BackendErrorKind::Unavailable
    } else {
        BackendErrorKind::Capacity
    };
    let message = format!(
        "start job `{}`: no backend could take it ({})",
        job.name(),
        answers.join("; ")
    );
    let error = BackendError::new(kind, message).with_retry(Retry::Backoff);
    match passed.pop() {
        // With one backend the answer is its own.
        Some((_, only)) if passed.is_empty() => only,
        _ => error,
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ComputeBackend for Fallback {
    fn name(&self) -> &str {
        &self.name
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let slot = self.starts.slot(job.start_key());
        let mut place = slot.lock().await;

        // An earlier try may have started the job there: only there may it be started again.
        if let Some(backend) = place.and_then(|at| self.backends().nth(at)) {
            match backend.start(job, token).await {
                Err(error) if shows_absence(&error) => *place = None,
                answer => return answer,
            }
        }

        if let Some((at, handle)) = self.located(job).await? {
            *place = Some(at);
            return Ok(handle);
        }

        let mut passed = Vec::new();
        for (at, backend) in self.backends().enumerate() {
            // Noted before the call: whoever drops this future half way has started the job there,
            // for all that anybody knows.
            *place = Some(at);
            match backend.start(job, token).await {
                Ok(handle) => return Ok(handle),
                Err(error) if moves_on(&error) => {
                    *place = None;
                    passed.push((backend.name().to_owned(), error));
                }
                Err(error) => {
                    if error.retry() != Retry::SameToken
                        && error.kind() != BackendErrorKind::Ambiguous
                    {
                        *place = None;
                    }
                    return Err(error);
                }
            }
        }
        Err(none_took_it(job, passed))
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        self.of(job, "cancel")?.cancel(job, reason).await
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        self.of(job, "describe")?.describe(job).await
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let mut all = Vec::new();
        for backend in self.backends() {
            match backend.list(execution).await {
                Ok(handles) => all.extend(handles),
                Err(error) => {
                    let message = format!(
                        "list the jobs of execution {execution}: backend `{}` did not tell its own, so the list would \
                         be incomplete",
                        backend.name()
                    );
                    let (kind, retry) = (error.kind(), error.retry());
                    let error = BackendError::new(kind, message).with_source(error);
                    return Err(error.with_retry(retry));
                }
            }
        }
        Ok(all)
    }
}

/// Which backend may have the job of a start, for the starts that this process has seen last.
#[derive(Debug, Default)]
struct Starts(Mutex<Seen>);

/// The index of the backend. Locked while a start with the key goes on.
type Slot = Arc<tokio::sync::Mutex<Option<usize>>>;

#[derive(Debug, Default)]
struct Seen {
    slots: HashMap<StartKey, Slot>,
    oldest_first: VecDeque<StartKey>,
}

impl Starts {
    /// How many starts are remembered, more than an execution can have operations (3,000).
    const REMEMBERED: usize = 4096;

    fn slot(&self, key: &StartKey) -> Slot {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = seen.slots.get(key) {
            return Arc::clone(slot);
        }
        if seen.slots.len() >= Self::REMEMBERED
            && let Some(oldest) = seen.oldest_first.pop_front()
        {
            let in_use = |slot: &Slot| Arc::strong_count(slot) > 1;
            if seen.slots.get(&oldest).is_some_and(in_use) {
                seen.oldest_first.push_back(oldest);
            } else {
                seen.slots.remove(&oldest);
            }
        }
        let slot = Slot::default();
        seen.slots.insert(key.clone(), Arc::clone(&slot));
        seen.oldest_first.push_back(key.clone());
        slot
    }
}

#[cfg(test)]
#[cfg(feature = "mock")]
#[path = "fallback_tests.rs"]
mod tests;
