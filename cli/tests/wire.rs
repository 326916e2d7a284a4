//! What one job costs on the wire, counted between the function and the durable service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod counting;
mod support;

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Event, EventType, ExecutionStatus, InvocationType};
use counting::{Setup, set_up};
use longhaul_emulator::Lifetime;
use serde_json::{Value, json};
use support::{LONGEST, World, is_alive};

impl Setup {
    async fn invoke(&self, job: &Value) -> String {
        let answer = self
            .client
            .invoke()
            .function_name("jobs")
            .qualifier("$LATEST")
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(job.to_string()))
            .send()
            .await
            .unwrap();
        answer.durable_execution_arn().unwrap().to_owned()
    }

    async fn status(&self, arn: &str) -> ExecutionStatus {
        let execution = self
            .client
            .get_durable_execution()
            .durable_execution_arn(arn)
            .send()
            .await
            .unwrap();
        execution.status
    }

    async fn wait_end(&self, arn: &str) -> ExecutionStatus {
        let mut news = self.service.subscribe();
        tokio::time::timeout(LONGEST, async {
            loop {
                let status = self.status(arn).await;
                if status != ExecutionStatus::Running {
                    return status;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), news.recv()).await;
            }
        })
        .await
        .unwrap()
    }

    async fn history(&self, arn: &str) -> Vec<Event> {
        let history = self
            .client
            .get_durable_execution_history()
            .durable_execution_arn(arn)
            .include_execution_data(true)
            .send()
            .await
            .unwrap();
        history.events
    }
}

fn kinds(history: &[Event]) -> Vec<EventType> {
    history
        .iter()
        .map(|event| event.event_type.clone().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_costs_3_checkpoint_calls_and_2_invocations() {
    for lifetime in [Lifetime::Reuse, Lifetime::Fresh] {
        let world = World::new();
        let setup = set_up(world.path(), lifetime).await;
        // The job waits for the function to be gone, so that it cannot report before.
        let script = "while [ ! -e go ]; do sleep 0.02; done";
        let job = json!({
            "name": "quick", "command": ["sh", "-c", script],
            "working_directory": world.path(),
        });
        let arn = setup.invoke(&job).await;
        tokio::time::timeout(LONGEST, async {
            while !kinds(&setup.history(&arn).await).contains(&EventType::InvocationCompleted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        world.file("go", "");
        assert_eq!(setup.wait_end(&arn).await, ExecutionStatus::Succeeded);
        assert_eq!(
            kinds(&setup.history(&arn).await),
            [
                EventType::ExecutionStarted,
                EventType::CallbackStarted,
                EventType::StepStarted,
                EventType::StepSucceeded,
                EventType::InvocationCompleted,
                EventType::CallbackSucceeded,
                EventType::InvocationCompleted,
                EventType::ExecutionSucceeded,
            ]
        );
        let counts = setup.counter.counts.lock().unwrap().clone();
        assert_eq!(counts.get("checkpoint"), Some(&3), "{counts:?}");
        assert_eq!(counts.get("state"), None, "{counts:?}");
        assert_eq!(counts.get("succeed"), Some(&1), "{counts:?}");
        setup.service.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_stopped_leaves_no_command_running() {
    let world = World::new();
    let setup = set_up(world.path(), Lifetime::Reuse).await;
    let script = "echo $$ > pid.new; mv pid.new pid; sleep 1000 & wait";
    let job = json!({
        "name": "endless", "command": ["sh", "-c", script], "heartbeat": "3s",
        "working_directory": world.path(),
    });
    let arn = setup.invoke(&job).await;
    let file = world.path().join("pid");
    tokio::time::timeout(LONGEST, async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let pid: u32 = std::fs::read_to_string(&file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(pid));
    setup
        .client
        .stop_durable_execution()
        .durable_execution_arn(&arn)
        .send()
        .await
        .unwrap();
    // Nobody cancels: the worker's next heartbeat, at most a second later, is told that the
    // callback is closed.
    tokio::time::timeout(LONGEST, async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(setup.status(&arn).await, ExecutionStatus::Stopped);
    setup.service.shutdown().await;
}
