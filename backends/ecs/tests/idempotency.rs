//! However a start goes wrong on the wire, it is repeated and there is one task.
#![allow(
    clippy::unwrap_used,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;

use std::time::Duration;

use aws_sdk_ecs::config::retry::RetryConfig;
use common::{backend, config, execution, hello, sdk, sdk_that_tries_once, timeouts, token};
use longhaul_core::{BackendErrorKind, ComputeBackend, JobHandle, Retry};
use longhaul_ecs::{CapacityOption, EcsBackend};
use longhaul_fake_aws::ecs::{FakeEcs, Misbehaviour};

/// The one task that there must be, as a handle.
fn only_task(ecs: &FakeEcs) -> JobHandle {
    let tasks = ecs.tasks();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    JobHandle::new("ecs", &tasks[0].arn)
}

#[tokio::test]
async fn a_second_start_with_the_same_token_returns_the_first_handle() {
    let ecs = FakeEcs::start().await;
    let token = token("first");
    let first = backend(sdk(&ecs.url())).start(&hello(&token), &token).await;
    let second = backend(sdk(&ecs.url())).start(&hello(&token), &token).await;
    assert_eq!(first.unwrap(), only_task(&ecs));
    assert_eq!(second.unwrap(), only_task(&ecs));
}

#[tokio::test]
async fn starts_with_other_tokens_are_other_tasks() {
    let ecs = FakeEcs::start().await;
    let backend = backend(sdk(&ecs.url()));
    let mut handles = Vec::new();
    for token in [token("a"), token("b")] {
        handles.push(backend.start(&hello(&token), &token).await.unwrap());
    }
    assert_ne!(handles[0], handles[1]);
    assert_eq!(ecs.tasks().len(), 2);
}

#[tokio::test]
async fn concurrent_starts_with_one_token_are_one_task() {
    let ecs = FakeEcs::start().await;
    let backend = backend(sdk(&ecs.url()));
    let starts: Vec<_> = (0..16)
        .map(|_| {
            let (backend, token) = (backend.clone(), token("one"));
            tokio::spawn(async move { backend.start(&hello(&token), &token).await })
        })
        .collect();
    for start in starts {
        assert_eq!(start.await.unwrap().unwrap(), only_task(&ecs));
    }
}

#[tokio::test]
async fn after_an_answer_was_lost_the_next_start_finds_the_first_task() {
    for lost in [
        Misbehaviour::ActThenCut,
        Misbehaviour::ActThenGarbage(200, "<html>"),
        Misbehaviour::ActThenGarbage(200, ""),
        Misbehaviour::ActThenGarbage(200, "{\"tasks\":[{\"taskArn\":7}]}"),
        Misbehaviour::ActThenGarbage(200, "{}"),
        Misbehaviour::ActThenGarbage(500, "{\"__type\":\"ServerException\"}"),
        Misbehaviour::ActThenGarbage(502, "<html>Bad Gateway</html>"),
        Misbehaviour::ActThenGarbage(503, ""),
    ] {
        let ecs = FakeEcs::start().await;
        ecs.plan("RunTask", lost.clone());
        let (backend, token) = (backend(sdk_that_tries_once(&ecs.url())), token("lost"));
        let error = backend.start(&hello(&token), &token).await.unwrap_err();
        assert_eq!(
            error.kind(),
            BackendErrorKind::Ambiguous,
            "{lost:?}: {error:?}"
        );
        assert_eq!(error.retry(), Retry::SameToken);
        let handle = backend.start(&hello(&token), &token).await.unwrap();
        assert_eq!(handle, only_task(&ecs), "{lost:?}");
    }
}

#[tokio::test]
async fn the_sdks_own_repeats_find_the_first_task() {
    for lost in [
        Misbehaviour::ActThenCut,
        Misbehaviour::ActThenGarbage(500, "{\"__type\":\"ServerException\"}"),
        Misbehaviour::ActThenGarbage(503, "no"),
        Misbehaviour::Cut,
        Misbehaviour::Garbage(500, ""),
    ] {
        let ecs = FakeEcs::start().await;
        ecs.plan("RunTask", lost.clone());
        let token = token("lost");
        let handle = backend(sdk(&ecs.url())).start(&hello(&token), &token).await;
        assert_eq!(handle.unwrap(), only_task(&ecs), "{lost:?}");
        let requests = ecs.requests("RunTask");
        assert_eq!(requests.len(), 2, "{lost:?}");
        assert_eq!(requests[0].text, requests[1].text);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_and_the_next_start_finds_the_first_task() {
    let ecs = FakeEcs::start().await;
    ecs.plan_always("RunTask", Misbehaviour::ActThenHang);
    let impatient = timeouts(Duration::from_millis(100), Duration::from_secs(30));
    let sdk = sdk_that_tries_once(&ecs.url()).timeout_config(impatient);
    let (backend, token) = (backend(sdk), token("slow"));
    let error = backend.start(&hello(&token), &token).await.unwrap_err();
    assert_eq!(error.retry(), Retry::SameToken, "{error:?}");
    ecs.forget_plans();
    // A try that is under way when the plans are forgotten has started nothing else either.
    let patient = common::backend(common::sdk(&ecs.url()));
    let handle = patient.start(&hello(&token), &token).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
}

#[tokio::test]
async fn a_start_that_nobody_answers_starts_nothing_and_may_be_repeated() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("unlucky"));
    for broken in [
        Misbehaviour::Cut,
        Misbehaviour::Garbage(500, "<html>"),
        Misbehaviour::Refuse(500, "ServerException", "Service failure."),
        Misbehaviour::Garbage(200, "garbage"),
    ] {
        ecs.plan_always("RunTask", broken.clone());
        let error = backend.start(&hello(&token), &token).await.unwrap_err();
        assert_eq!(error.retry(), Retry::SameToken, "{broken:?}: {error:?}");
        assert_eq!(ecs.tasks(), []);
    }
    ecs.forget_plans();
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
}

#[tokio::test]
async fn a_start_with_nobody_there_may_be_repeated() {
    let url = FakeEcs::start().await.url();
    let (backend, token) = (backend(sdk_that_tries_once(&url)), token("alone"));
    let error = backend.start(&hello(&token), &token).await.unwrap_err();
    assert_eq!(error.retry(), Retry::SameToken, "{error:?}");
}

#[tokio::test]
async fn a_task_definition_deployed_between_two_starts_adopts_the_first_task() {
    let ecs = FakeEcs::start().await;
    ecs.plan("RunTask", Misbehaviour::ActThenCut);
    let token = token("deployed");
    let sdk = || sdk_that_tries_once(&ecs.url()).build();
    let before = EcsBackend::from_sdk(config().build().unwrap(), &sdk());
    before.start(&hello(&token), &token).await.unwrap_err();
    let deployed = longhaul_ecs::EcsConfig::builder("jobs", "render:8")
        .subnets(["subnet-1"])
        .security_groups(["sg-1"])
        .build();
    let after = EcsBackend::from_sdk(deployed.unwrap(), &sdk());
    let handle = after.start(&hello(&token), &token).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
    assert_eq!(ecs.requests("DescribeTasks").len(), 1);
}

fn spot_first(ecs: &FakeEcs) -> EcsBackend {
    let options = [CapacityOption::FargateSpot, CapacityOption::Fargate];
    let config = config().capacity(options).build().unwrap();
    EcsBackend::from_sdk(config, &sdk_that_tries_once(&ecs.url()).build())
}

const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again later or in a different availability zone";

#[tokio::test]
async fn a_repeated_start_walks_the_same_options_to_the_same_task() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (spot_first(&ecs), token("spot"));
    ecs.plan("RunTask", Misbehaviour::Fail(NO_CAPACITY));
    ecs.plan("RunTask", Misbehaviour::ActThenCut);
    let error = backend.start(&hello(&token), &token).await.unwrap_err();
    assert_eq!(error.retry(), Retry::SameToken, "{error:?}");
    // Spot has room again, but the first answer for its token stands.
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
    let requests = ecs.requests("RunTask");
    let tokens: Vec<_> = requests
        .iter()
        .map(|r| r.body["clientToken"].clone())
        .collect();
    assert_eq!(tokens.len(), 4);
    assert_eq!(tokens[..2], tokens[2..]);
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(
        requests[0].body["capacityProviderStrategy"][0]["capacityProvider"],
        "FARGATE_SPOT"
    );
    assert_eq!(requests[1].body["launchType"], "FARGATE");
}

#[tokio::test]
async fn when_all_capacity_is_out_a_new_attempt_asks_anew() {
    let ecs = FakeEcs::start().await;
    let backend = spot_first(&ecs);
    ecs.plan("RunTask", Misbehaviour::Fail(NO_CAPACITY));
    ecs.plan("RunTask", Misbehaviour::Fail("RESOURCE:MEMORY"));
    let first = token("attempt-1");
    for _ in 0..2 {
        let error = backend.start(&hello(&first), &first).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Capacity);
        assert!(
            error.to_string().contains("FARGATE: RESOURCE:MEMORY"),
            "{error}"
        );
    }
    assert_eq!(ecs.tasks(), []);
    let second = token("attempt-2");
    let handle = backend.start(&hello(&second), &second).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
}

#[tokio::test]
async fn throttling_is_waited_out_as_long_as_ecs_says() {
    let ecs = FakeEcs::start().await;
    ecs.plan(
        "RunTask",
        Misbehaviour::RefuseFor(300, "ThrottlingException", "Rate exceeded"),
    );
    let token = token("throttled");
    let before = std::time::Instant::now();
    // The SDK's own bound on waiting is left as it is.
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let sdk = sdk(&ecs.url()).retry_config(retries);
    let handle = backend(sdk).start(&hello(&token), &token).await;
    assert_eq!(handle.unwrap(), only_task(&ecs));
    assert_eq!(ecs.requests("RunTask").len(), 2);
    let waited = before.elapsed();
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
}

#[tokio::test]
async fn throttling_that_lasts_is_told_as_such_also_where_it_hides() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("throttled"));
    let hidden =
        "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)";
    for (code, words) in [
        ("ThrottlingException", "Rate exceeded"),
        ("InvalidParameterException", hidden),
    ] {
        ecs.plan_always("RunTask", Misbehaviour::Refuse(400, code, words));
        let error = backend.start(&hello(&token), &token).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Throttled, "{error:?}");
        assert_eq!(error.retry(), Retry::Backoff);
        assert_eq!(ecs.tasks(), []);
    }
    ecs.forget_plans();
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    assert_eq!(handle, only_task(&ecs));
    let listed = backend.list(&execution()).await.unwrap();
    assert_eq!(listed, [handle]);
}
