//! The backend in memory as the suite sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::memory::{MAX_ENVIRONMENT, Memory};
use crate::conformance::{Cannot, Census, Limit, Patience, Received, Subject};
use crate::{CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec, Locate};

/// A subject in memory, seen through `backend`: itself, or a wrapper of it.
pub(super) struct MemorySubject<'a> {
    pub(super) backend: &'a dyn ComputeBackend,
    pub(super) locate: Option<&'a dyn Locate>,
    /// Where jobs really are.
    pub(super) places: Vec<&'a Memory>,
    pub(super) cannot: Vec<Cannot>,
    /// Whether a check that cannot be kept should say so sooner.
    pub(super) quick: bool,
}

impl<'a> MemorySubject<'a> {
    pub(super) fn of(memory: &'a Memory) -> Self {
        Self {
            backend: memory,
            locate: Some(memory),
            places: vec![memory],
            cannot: Vec::new(),
            quick: false,
        }
    }
}

#[async_trait]
impl Subject for MemorySubject<'_> {
    fn backend(&self) -> &dyn ComputeBackend {
        self.backend
    }

    fn long_job(&self) -> JobSpec {
        JobSpec::new(JobName::from_text("long")).with_command(["run"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        let command = ["exit".to_owned(), code.to_string()];
        Some(JobSpec::new(JobName::from_text("short")).with_command(command))
    }

    fn unknown_handle(&self) -> JobHandle {
        let name = self.places.first().map_or("memory", |place| place.name);
        JobHandle::new(name, "job-1000000")
    }

    fn locate(&self) -> Option<&dyn Locate> {
        self.locate
    }

    fn names(&self) -> Vec<String> {
        self.places
            .iter()
            .map(|place| place.name.to_owned())
            .collect()
    }

    fn limits(&self, execution: &ExecutionId, token: &CallbackToken) -> Vec<Limit> {
        let sized = |size: usize| {
            let mut spec = self.long_job();
            spec.environment = BTreeMap::from([("PAD".to_owned(), String::new())]);
            let empty = Memory::size(&Job::new(spec.clone(), execution.clone(), 1, token), token);
            spec.environment
                .insert("PAD".to_owned(), "x".repeat(size - empty));
            spec
        };
        vec![Limit {
            name: "environment".to_owned(),
            at: sized(MAX_ENVIRONMENT),
            beyond: sized(MAX_ENVIRONMENT + 1),
        }]
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let all = self.places.iter().map(|place| place.census(job));
        Some(all.fold(
            Census {
                started: 0,
                running: 0,
            },
            |sum, one| Census {
                started: sum.started + one.started,
                running: sum.running + one.running,
            },
        ))
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        self.places.iter().find_map(|place| place.received(job))
    }

    fn patience(&self) -> Patience {
        Patience {
            within: Duration::from_millis(if self.quick { 5 } else { 2000 }),
            every: Duration::from_millis(2),
            at_most: Duration::from_millis(if self.quick { 250 } else { 20_000 }),
        }
    }

    fn cannot(&self) -> Vec<Cannot> {
        self.cannot.clone()
    }
}
