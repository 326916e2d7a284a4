//! The conformance suite on the peers, as far as each can play ECS. What it cannot, and why,
//! stands in [`OnPeer::cannot`] and in the report that each test prints.

use std::collections::BTreeMap;

use async_trait::async_trait;
use longhaul_core::conformance::{self, Cannot, Promise};
use longhaul_core::{Job, contract};
use longhaul_fake_aws::peer::Peer;

use crate::stage::Stage;
use crate::subject::{EcsSubject, Platform, SeenTask};

/// A stage on a peer, with what that peer cannot play.
struct OnPeer {
    stage: Stage,
    cannot: Vec<Cannot>,
}

#[async_trait]
impl Platform for OnPeer {
    async fn tasks(&self, job: &Job) -> Vec<SeenTask> {
        let mut ours = Vec::new();
        for task in self.stage.tasks_of(job.execution()).await {
            let overrides = task.overrides().unwrap();
            let container = &overrides.container_overrides()[0];
            let environment: BTreeMap<_, _> = container
                .environment()
                .iter()
                .map(|pair| {
                    (
                        pair.name().unwrap().to_owned(),
                        pair.value().unwrap().to_owned(),
                    )
                })
                .collect();
            if environment.get(contract::START_KEY).map(String::as_str)
                != Some(job.start_key().as_str())
            {
                continue;
            }
            let tags = task.tags().iter();
            ours.push(SeenTask {
                wanted: task.desired_status() == Some("RUNNING"),
                command: container.command.clone(),
                environment,
                tags: tags
                    .map(|tag| {
                        (
                            tag.key().unwrap().to_owned(),
                            tag.value().unwrap().to_owned(),
                        )
                    })
                    .collect(),
            });
        }
        ours
    }

    fn lets_tasks_exit(&self) -> bool {
        false
    }

    fn cannot(&self) -> Vec<Cannot> {
        self.cannot.clone()
    }
}

/// What neither peer can play.
fn neither_can() -> Vec<Cannot> {
    let no_client_token = "it ignores clientToken";
    let no_exit = "its tasks do nothing, so none ends by itself";
    [
        (Promise::SecondStartReturnsTheFirstHandle, no_client_token),
        (Promise::ConcurrentStartsStartOneJob, no_client_token),
        (Promise::StartAfterTheEndStartsNothing, no_client_token),
        (Promise::CancelOfAFinishedJob, no_exit),
        (Promise::FinishedJobHasItsExitCode, no_exit),
    ]
    .map(|(promise, reason)| Cannot::new(promise, reason))
    .into()
}

/// Runs the suite; every promise that is not named must be kept.
async fn keeps_the_promises(peer: &Peer, more: &[(Promise, &str)]) {
    let stage = Stage::set(peer).await;
    let more = more
        .iter()
        .map(|(promise, reason)| Cannot::new(*promise, *reason));
    let cannot: Vec<_> = neither_can().into_iter().chain(more).collect();
    let skipped = cannot.len();
    let subject = EcsSubject {
        backend: stage.backend(stage.config()),
        platform: OnPeer { stage, cannot },
    };
    let report = conformance::run_all(&subject).await;
    println!("{report}");
    report.assert();
    assert_eq!(report.kept().count(), Promise::ALL.len() - skipped);
}

#[tokio::test]
async fn the_backend_keeps_its_promises_on_moto() {
    let Some(peer) = Peer::moto() else { return };
    peer.let_tasks_run().await;
    let cannot = [
        (
            Promise::RunningJobIsAlive,
            "it gives every container the exit code 0, also one that runs",
        ),
        (
            Promise::CancelOfAnUnknownJob,
            "it answers 500 to StopTask for a task that it does not know",
        ),
    ];
    keeps_the_promises(&peer, &cannot).await;
}

#[tokio::test]
async fn the_backend_keeps_its_promises_on_ministack() {
    let Some(peer) = Peer::ministack() else {
        return;
    };
    keeps_the_promises(&peer, &[]).await;
}
