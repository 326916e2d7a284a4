//! Every promise of a backend, on the server of our own that plays ECS. None is skipped.
//! `peers` runs the same suite on servers that nobody here wrote.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;
#[path = "common/subject.rs"]
mod subject;

use std::collections::BTreeMap;

use async_trait::async_trait;
use common::{config, sdk};
use longhaul_core::conformance::{self, Cannot};
use longhaul_core::{Job, contract};
use longhaul_ecs::{CapacityOption, EcsBackend};
use longhaul_fake_aws::ecs::FakeEcs;
use subject::{EcsSubject, Platform, SeenTask};

#[async_trait]
impl Platform for FakeEcs {
    async fn tasks(&self, job: &Job) -> Vec<SeenTask> {
        let ours = self.tasks().into_iter().filter(|task| {
            let key = task.environment("worker").remove(contract::START_KEY);
            key.as_deref() == Some(job.start_key().as_str())
        });
        ours.map(|task| SeenTask {
            wanted: self.wants_to_run(&task.arn),
            command: task.command("worker"),
            environment: task.environment("worker"),
            tags: task.request["tags"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|tag| {
                    [&tag["key"], &tag["value"]].map(|text| text.as_str().unwrap().to_owned())
                })
                .map(|[key, value]| (key, value))
                .collect::<BTreeMap<_, _>>(),
        })
        .collect()
    }

    fn lets_tasks_exit(&self) -> bool {
        true
    }

    fn cannot(&self) -> Vec<Cannot> {
        Vec::new()
    }
}

async fn keeps_every_promise(ecs: FakeEcs, capacity: &[CapacityOption]) {
    ecs.let_tasks_live();
    let config = config().capacity(capacity.iter().copied());
    let subject = EcsSubject {
        backend: EcsBackend::from_sdk(config.build().unwrap(), &sdk(&ecs.url()).build()),
        platform: ecs,
    };
    let report = conformance::run_all(&subject).await;
    println!("{report}");
    report.assert();
    assert_eq!(report.skipped().count(), 0);
}

#[tokio::test]
async fn the_backend_keeps_every_promise() {
    keeps_every_promise(FakeEcs::start().await, &[CapacityOption::Fargate]).await;
}

#[tokio::test]
async fn it_keeps_them_without_room_on_spot_and_with_lists_of_many_pages() {
    let ecs = FakeEcs::start().await;
    ecs.let_spot_run_out();
    ecs.set_page_size(1);
    let both = [CapacityOption::FargateSpot, CapacityOption::Fargate];
    keeps_every_promise(ecs, &both).await;
}
