//! The backend in memory as Longhaul sees it.

use async_trait::async_trait;
use longhaul_core::{
    BackendError, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job, JobHandle,
    JobStatus, Locate,
};

use crate::job::End;
use crate::worker;
use crate::{Fault, InMemory};

#[async_trait]
impl ComputeBackend for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let (handle, at_once) = {
            let (mut world, now) = self.now();
            let record = world.start(job, token, now)?;
            let at_once = record.runs() && record.has(Fault::ResultBeforeSuspension);
            (record.handle.clone(), at_once)
        };
        if at_once {
            worker::act(self, &handle).await?;
        }
        Ok(handle)
    }

    async fn cancel(&self, handle: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        let (mut world, now) = self.now();
        let Some(record) = world.find(handle) else {
            return Ok(CancelOutcome::NotFound);
        };
        for fault in &record.faults {
            if let Fault::CancelFails(kind) = fault {
                return Err(BackendError::new(
                    *kind,
                    format!("stop {handle}: the test injected {fault:?}"),
                ));
            }
        }
        if !record.runs() {
            return Ok(CancelOutcome::AlreadyEnded);
        }
        record.end = Some((now, End::Stopped));
        Ok(CancelOutcome::Cancelled)
    }

    async fn describe(&self, handle: &JobHandle) -> Result<JobStatus, BackendError> {
        let (mut world, _) = self.now();
        Ok(world
            .find(handle)
            .map_or_else(JobStatus::unknown, |record| record.status()))
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let (world, _) = self.now();
        let running = world.jobs.iter().filter(|record| record.runs());
        Ok(running
            .filter(|record| record.execution == *execution)
            .map(|record| record.handle.clone())
            .collect())
    }
}

#[async_trait]
impl Locate for InMemory {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let world = self.world();
        let found = world
            .jobs
            .iter()
            .find(|record| record.key == *job.start_key());
        Ok(found.map(|record| record.handle.clone()))
    }
}
