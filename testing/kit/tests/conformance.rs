//! Every promise of a backend, kept by the one in memory.

use std::time::Duration;

use async_trait::async_trait;
use longhaul_core::conformance::{self, Cannot, Census, Patience, Promise, Received, Subject};
use longhaul_core::{
    ComputeBackend, FailureClass, Job, JobFailure, JobHandle, JobName, JobSpec, Locate, contract,
};
use longhaul_testing::InMemory;
use serde_json::Value;

struct Memory(InMemory);

#[async_trait]
impl Subject for Memory {
    fn backend(&self) -> &dyn ComputeBackend {
        &self.0
    }

    fn long_job(&self) -> JobSpec {
        JobSpec::new(JobName::from_text("long")).with_command(["long"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        Some(JobSpec::new(JobName::from_text("short")).with_input(code))
    }

    fn unknown_handle(&self) -> JobHandle {
        JobHandle::new("memory", "job-1000000")
    }

    fn locate(&self) -> Option<&dyn Locate> {
        Some(&self.0)
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let key = job.start_key().as_str();
        let calls = self.0.started();
        let ours = calls
            .iter()
            .filter(|call| call.environment[contract::START_KEY] == key);
        let started = ours.count();
        let running = match self.0.locate(job).await {
            Ok(Some(handle)) => usize::from(self.0.running().contains(&handle)),
            _ => 0,
        };
        Some(Census { started, running })
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        let key = job.start_key().as_str();
        let mut calls = self.0.started().into_iter();
        let call = calls.find(|call| call.environment[contract::START_KEY] == key)?;
        Some(Received {
            command: call.command,
            environment: Some(call.environment),
            tags: None,
        })
    }

    fn patience(&self) -> Patience {
        Patience {
            within: Duration::from_secs(2),
            every: Duration::from_millis(1),
            at_most: Duration::from_secs(20),
        }
    }

    fn cannot(&self) -> Vec<Cannot> {
        [
            Promise::SpecAtTheLimitStarts,
            Promise::SpecBeyondTheLimitStartsNothing,
        ]
        .map(|promise| Cannot::new(promise, "memory has no limit on what a job may be"))
        .to_vec()
    }
}

#[tokio::test]
async fn the_backend_in_memory_keeps_its_promises() {
    let backend = InMemory::new()
        .job("long", |_| Ok(Value::Null))
        .lasting("long", None)
        .job("short", |job| match job.input.as_i64().map(i32::try_from) {
            Some(Ok(0)) => Ok(Value::Null),
            Some(Ok(code)) => Err(JobFailure::new(FailureClass::Failed)
                .with_exit_code(code)
                .into()),
            _ => Ok(Value::Null),
        })
        .lasting("short", Duration::ZERO);
    let report = conformance::run_all(&Memory(backend)).await;
    println!("{report}");
    report.assert();
}
