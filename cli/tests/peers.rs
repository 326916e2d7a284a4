//! A job on ECS to its end, where ECS is moto, which nobody here wrote: Fargate is played by
//! starting what moto says that it has accepted.
//!
//! It runs when `LONGHAUL_TEST_MOTO_URL` holds moto's URL, on loopback, and otherwise says what it
//! needs; `.ci/peers` runs it.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/fargate.rs"]
mod fargate;
mod support;

use std::time::Instant;

use fargate::{Container, Overrides, service_url};
use longhaul_fake_aws::peer::Peer;
use serde_json::{Value, json};
use support::{LONGEST, World};

async fn ecs(peer: &Peer, operation: &str, body: Value) -> Value {
    let target = "AmazonEC2ContainerServiceV20141113";
    peer.json("ecs", target, operation, &body).await
}

/// Moto's only task in `cluster`, as soon as there is one.
async fn accepted(peer: &Peer, cluster: &str) -> Value {
    let deadline = Instant::now() + LONGEST;
    loop {
        let listed = ecs(peer, "ListTasks", json!({"cluster": cluster})).await;
        let arns = &listed["taskArns"];
        if arns.as_array().is_some_and(|arns| !arns.is_empty()) {
            let asked = json!({"cluster": cluster, "tasks": arns});
            let mut described = ecs(peer, "DescribeTasks", asked).await;
            return described["tasks"][0].take();
        }
        assert!(Instant::now() < deadline, "moto was asked for no task");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_the_ecs_of_moto_gives_its_result_on_standard_output() {
    let Some(peer) = Peer::moto() else { return };
    peer.let_tasks_run().await;
    let name = format!("longhaul-run-{}", std::process::id());
    ecs(&peer, "CreateCluster", json!({"clusterName": name})).await;
    let definition = json!({
        "family": name, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "worker", "image": "worker", "memory": 128}],
    });
    ecs(&peer, "RegisterTaskDefinition", definition).await;
    let (subnets, group) = peer.network().await;

    let world = World::new();
    let variables = [
        ("ECS_CLUSTER", name.clone()),
        ("ECS_TASK_DEFINITION", name.clone()),
        ("ECS_SUBNETS", subnets.join(",")),
        ("ECS_SECURITY_GROUP", group),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_ECS", peer.url().to_owned()),
    ];
    let input = json!({"message": "Grüße \"x\" 🚚\nnext line"});
    let text = input.to_string();
    let echo = "printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"";
    let words = ["--backend", "ecs", "--input", &text, "--", "sh", "-c", echo];
    let mut run = world.start_with(&words, &variables);
    let execution = run.event("execution_started")["execution"].clone();
    let service = service_url(&world, execution.as_str().unwrap());

    let task = accepted(&peer, &name).await;
    let overrides = Overrides::of_worker(&task["overrides"]).unwrap();
    let container = Container::start(&overrides, &service, world.path());
    let started = run.event("job_started");
    assert_eq!(started["handle"]["backend"], "ecs");
    assert_eq!(started["handle"]["id"], task["taskArn"]);
    assert_eq!(run.finish().result(), input);
    assert_eq!(container.wait().code(), Some(0));
    let stop = json!({"cluster": name, "task": task["taskArn"], "reason": "clean up"});
    ecs(&peer, "StopTask", stop).await;
}
