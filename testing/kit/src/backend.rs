//! The backend in memory, as a test sets it up and looks at it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, Job, JobFailure, JobHandle, JobStatus,
};
use longhaul_emulator::{Api, Clock as _, TestClock, Timestamp};
use serde_json::Value;

use crate::job::{Body, Parts, Record};
use crate::{Fault, JobCall};

/// The moment at which every backend's time begins: 1 January 2026, in milliseconds.
const BEGINNING: i64 = 1_767_225_600_000;

/// A compute backend whose jobs are closures, in virtual time.
///
/// A job takes as long as [`lasting`](Self::lasting) says, one second where nothing is said; then its closure is called, and
/// what that returns is reported to the durable service. Until then it sends heartbeats, as the supervisor does. Nobody waits
/// for any of it: a [`Harness`](crate::Harness) moves the time from one thing that happens to the next.
///
/// Clones are one backend.
#[derive(Clone)]
pub struct InMemory {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) clock: TestClock,
    world: Mutex<World>,
}

#[derive(Default)]
pub(crate) struct World {
    bodies: BTreeMap<String, Body>,
    otherwise: Option<Body>,
    lasting: BTreeMap<String, Option<Duration>>,
    faults: Vec<Injected>,
    pub(crate) jobs: Vec<Record>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The service of the execution that is under way, and since when it is.
    pub(crate) service: Option<(Api, Timestamp)>,
}

struct Injected {
    job: String,
    /// `None` is every attempt.
    attempt: Option<u32>,
    fault: Fault,
}

/// One report of a job to the durable service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The job's name.
    pub job: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When, in virtual time since the execution's start.
    pub at: Duration,
    /// Whether the service took it; it does not when the callback is closed already.
    pub accepted: bool,
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl InMemory {
    /// A backend that knows no job yet. Its name is `memory`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                clock: TestClock::new(Timestamp::from_millis(BEGINNING)),
                world: Mutex::default(),
            }),
        }
    }

    /// Adds a job: every job of this name is `body`.
    ///
    /// A failure that `body` returns is reported as it is, so a closure can run out of memory or be interrupted. It is boxed,
    /// because it is large.
    #[must_use]
    pub fn job<F>(self, name: &str, body: F) -> Self
    where
        F: Fn(&JobCall) -> Result<Value, Box<JobFailure>> + Send + Sync + 'static,
    {
        self.world().bodies.insert(name.to_owned(), Arc::new(body));
        self
    }

    /// What a job is whose name was not added. Without it such a start is refused.
    #[must_use]
    pub fn any_job<F>(self, body: F) -> Self
    where
        F: Fn(&JobCall) -> Result<Value, Box<JobFailure>> + Send + Sync + 'static,
    {
        self.world().otherwise = Some(Arc::new(body));
        self
    }

    /// How long jobs of this name take, in virtual time. One second by default; `None` is until they are stopped.
    #[must_use]
    pub fn lasting(self, job: &str, duration: impl Into<Option<Duration>>) -> Self {
        self.world().lasting.insert(job.to_owned(), duration.into());
        self
    }

    /// Lets `fault` happen to every attempt of the jobs of this name.
    #[must_use]
    pub fn inject(self, job: &str, fault: Fault) -> Self {
        self.add_fault(job, None, fault)
    }

    /// Lets `fault` happen to one attempt, from 1, of the jobs of this name.
    #[must_use]
    pub fn inject_at(self, job: &str, attempt: u32, fault: Fault) -> Self {
        self.add_fault(job, Some(attempt), fault)
    }

    fn add_fault(self, job: &str, attempt: Option<u32>, fault: Fault) -> Self {
        self.world().faults.push(Injected {
            job: job.to_owned(),
            attempt,
            fault,
        });
        self
    }

    /// What was started, in order, whatever became of it.
    #[must_use]
    pub fn started(&self) -> Vec<JobCall> {
        let world = self.world();
        world
            .jobs
            .iter()
            .map(|record| record.call.clone())
            .collect()
    }

    /// The jobs that still run. Empty after an execution that cleaned up.
    #[must_use]
    pub fn running(&self) -> Vec<JobHandle> {
        let world = self.world();
        let running = world.jobs.iter().filter(|record| record.runs());
        running.map(|record| record.handle.clone()).collect()
    }

    /// What the platform knows of each attempt of the jobs of this name, in the order of their starts.
    #[must_use]
    pub fn statuses(&self, job: &str) -> Vec<JobStatus> {
        let world = self.world();
        let named = world.jobs.iter().filter(|record| record.call.name == job);
        named.map(Record::status).collect()
    }

    /// Every report to the durable service, in order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.world().deliveries.clone()
    }

    /// What time it is where the jobs are: for
    /// `JobRunner::with_clock`, so that a function's deadlines are in virtual time too.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        crate::job::system_time(self.shared.clock.now())
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The world as it is now: what a job does by itself where nobody listens has happened.
    pub(crate) fn now(&self) -> (MutexGuard<'_, World>, Timestamp) {
        let now = self.shared.clock.now();
        let mut world = self.world();
        if world.service.is_none() {
            for record in &mut world.jobs {
                if record.next().is_some_and(|(at, _)| at <= now) {
                    record.finish(now);
                }
            }
        }
        (world, now)
    }
}

impl World {
    /// Starts `job`, unless its key was used before.
    pub(crate) fn start(
        &mut self,
        job: &Job,
        token: &CallbackToken,
        now: Timestamp,
    ) -> Result<&mut Record, BackendError> {
        let key = job.start_key();
        if let Some(index) = self.jobs.iter().position(|record| record.key == *key) {
            return self.at(index);
        }
        let name = job.name().to_string();
        let faults: Vec<Fault> = (self.faults.iter())
            .filter(|injected| injected.job == name)
            .filter(|injected| injected.attempt.is_none_or(|it| it == job.attempt()))
            .map(|injected| injected.fault)
            .collect();
        for fault in &faults {
            if let Fault::StartFails(kind) = fault {
                return Err(BackendError::new(
                    *kind,
                    format!("start job `{name}`: the test injected {fault:?}"),
                ));
            }
        }
        let Some(body) = self.bodies.get(&name).or(self.otherwise.as_ref()) else {
            let known: Vec<_> = self.bodies.keys().map(String::as_str).collect();
            return Err(BackendError::new(
                BackendErrorKind::NotFound,
                format!(
                    "start job `{name}`: the test has no such job (it has: {}); add it with InMemory::job",
                    known.join(", ")
                ),
            ));
        };
        let second = Some(Duration::from_secs(1));
        let parts = Parts {
            handle: JobHandle::new("memory", format!("job-{}", self.jobs.len() + 1)),
            body: Arc::clone(body),
            faults,
            lasting: self.lasting.get(&name).copied().unwrap_or(second),
        };
        self.jobs.push(Record::start(parts, job, token, now));
        self.at(self.jobs.len() - 1)
    }

    fn at(&mut self, index: usize) -> Result<&mut Record, BackendError> {
        self.jobs
            .get_mut(index)
            .ok_or_else(|| BackendError::new(BackendErrorKind::Unavailable, "the job is not there"))
    }

    pub(crate) fn find(&mut self, handle: &JobHandle) -> Option<&mut Record> {
        self.jobs.iter_mut().find(|record| record.handle == *handle)
    }
}

impl fmt::Debug for InMemory {
    // The jobs stay out: they hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world();
        f.debug_struct("InMemory")
            .field("jobs", &world.jobs.len())
            .finish_non_exhaustive()
    }
}
