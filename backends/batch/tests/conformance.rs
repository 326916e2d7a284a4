//! Every promise of a backend, on the server of our own that plays Batch. None is skipped.
//! `peers` runs the same suite on moto.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

#[path = "support/sdk.rs"]
mod sdk;
#[path = "support/subject.rs"]
mod subject;

use async_trait::async_trait;
use longhaul_batch::{BatchBackend, BatchConfig, TWIN_REASON, job_name};
use longhaul_core::Job;
use longhaul_core::conformance::{self, Cannot};
use longhaul_fake_aws::batch::FakeBatch;
use sdk::shared;
use serde_json::Value;
use subject::{BatchSubject, Platform, SeenJob};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[async_trait]
impl Platform for FakeBatch {
    async fn jobs(&self, job: &Job) -> Vec<SeenJob> {
        let name = job_name(job.execution(), job.start_key());
        let jobs = self.jobs().into_iter();
        let ours = jobs
            .filter(|job| job["jobName"] == name.as_str() && job["statusReason"] != TWIN_REASON);
        ours.map(|job| SeenJob {
            running: job["status"] == "RUNNING",
            command: serde_json::from_value(job["container"]["command"].clone()).unwrap(),
            environment: job["container"]["environment"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|pair| (text(&pair["name"]), text(&pair["value"])))
                .collect(),
            tags: serde_json::from_value(job["tags"].clone()).unwrap(),
        })
        .collect()
    }

    fn lets_jobs_exit(&self) -> bool {
        true
    }

    fn cannot(&self) -> Vec<Cannot> {
        Vec::new()
    }
}

async fn keeps_every_promise(batch: FakeBatch) {
    batch.let_jobs_live();
    let config = BatchConfig::new("jobs", "worker:7");
    let subject = BatchSubject {
        backend: BatchBackend::from_sdk(config, &shared(batch.url())),
        platform: batch,
    };
    let report = conformance::run_all(&subject).await;
    println!("{report}");
    report.assert();
    assert_eq!(report.skipped().count(), 0);
}

#[tokio::test]
async fn the_backend_keeps_every_promise() {
    keeps_every_promise(FakeBatch::start().await).await;
}

#[tokio::test]
async fn it_keeps_them_with_lists_of_many_pages() {
    let batch = FakeBatch::start().await;
    batch.page_size(1);
    keeps_every_promise(batch).await;
}
