//! The backend against servers that play AWS and that nobody here wrote.
//!
//! Each test runs when `LONGHAUL_TEST_MOTO_URL` or `LONGHAUL_TEST_MINISTACK_URL` holds the URL of
//! its peer, on loopback, and otherwise says what it needs; `.ci/peers` runs them all. What a peer
//! cannot play is listed at its test; `longhaul-fake-aws` plays it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod stage;
#[path = "../common/subject.rs"]
mod subject;

use longhaul_core::{
    BackendErrorKind, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, JobHandle,
    JobState, JobStatus,
};
use longhaul_ecs::CapacityOption;
use longhaul_fake_aws::peer::Peer;
use stage::Stage;

/// Starts, describes, lists and cancels a job, and looks at each with the AWS SDK too.
async fn a_job_lives_and_is_cancelled(stage: &Stage) {
    let config = stage
        .config()
        .assign_public_ip(true)
        .tags([("team", "render")])
        .logs("/ecs/longhaul", "jobs");
    let backend = stage.backend(config);
    let (job, token) = stage.job(
        r#"{"name":"hello","command":["sh","-c","echo \"ü\""],"input":{"message":"hi 😀"},
            "resources":{"vcpus":0.5,"memory_mib":1024,"ephemeral_storage_gib":30}}"#,
        "life",
    );
    let handle = backend.start(&job, &token).await.unwrap();

    let task = stage.task(&handle).await;
    assert_eq!(task.started_by(), Some(stage.execution.as_str()));
    assert!(task.task_definition_arn().unwrap().contains(&stage.family));
    assert_eq!(task.launch_type().map(|l| l.as_str()), Some("FARGATE"));
    let tags: Vec<_> = task.tags().iter().map(|t| (t.key(), t.value())).collect();
    assert!(tags.contains(&(Some("team"), Some("render"))), "{tags:?}");
    assert!(
        tags.contains(&(Some("longhaul:job"), Some("hello"))),
        "{tags:?}"
    );
    let overrides = task.overrides().unwrap();
    assert_eq!(
        (overrides.cpu(), overrides.memory()),
        (Some("512"), Some("1024"))
    );
    let container = &overrides.container_overrides()[0];
    assert_eq!(container.name(), Some("worker"));
    assert_eq!(container.command(), ["sh", "-c", "echo \"ü\""]);
    let found: Vec<_> = container
        .environment()
        .iter()
        .map(|pair| (pair.name().unwrap(), pair.value().unwrap()))
        .collect();
    let environment = job.environment(&token);
    assert_eq!(found, environment.iter().collect::<Vec<_>>());

    let status = backend.describe(&handle).await.unwrap();
    assert!(
        matches!(status.state, JobState::Pending | JobState::Running),
        "{status:?}"
    );
    assert_eq!(status.failure, None);
    assert!(status.logs.unwrap().contains("$252Fecs$252Flonghaul"));

    let (second, second_token) = stage.job(r#"{"name":"second"}"#, "second");
    let second = backend.start(&second, &second_token).await.unwrap();
    let mut found = backend.list(&stage.execution).await.unwrap();
    let mut expected = vec![handle.clone(), second.clone()];
    found.sort_by(|a, b| a.id().cmp(b.id()));
    expected.sort_by(|a, b| a.id().cmp(b.id()));
    assert_eq!(found, expected);
    let nobody = ExecutionId::from_arn("nobody");
    assert_eq!(backend.list(&nobody).await.unwrap(), []);

    for _ in 0..2 {
        let outcome = backend.cancel(&handle, "the job timed out").await.unwrap();
        assert_eq!(outcome, CancelOutcome::Cancelled);
    }
    let status = backend.describe(&handle).await.unwrap();
    assert!(
        matches!(status.state, JobState::Stopping | JobState::Ended),
        "{status:?}"
    );
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Cancelled);
    let reason = failure.reason.unwrap();
    assert!(
        reason.starts_with("longhaul: the job timed out"),
        "{reason}"
    );
    assert_eq!(
        backend.list(&stage.execution).await.unwrap(),
        std::slice::from_ref(&second)
    );
    backend.cancel(&second, "clean up").await.unwrap();
    assert_eq!(backend.list(&stage.execution).await.unwrap(), []);
}

/// Starts on Spot, by its capacity provider.
async fn spot_is_a_capacity_provider(stage: &Stage) {
    let backend = stage.backend(stage.config().capacity([CapacityOption::FargateSpot]));
    let (job, token) = stage.job(r#"{"name":"spot"}"#, "spot");
    let handle = backend.start(&job, &token).await.unwrap();
    let task = stage.task(&handle).await;
    assert_eq!(task.capacity_provider_name(), Some("FARGATE_SPOT"));
    backend.cancel(&handle, "clean up").await.unwrap();
}

/// A start of a task definition that is not there.
async fn an_unknown_task_definition_is_told(stage: &Stage) {
    let backend = stage.backend(stage.config_of(&stage.cluster, "nothing:7"));
    let (job, token) = stage.job(r#"{"name":"lost"}"#, "lost");
    let error = backend.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("task definition \"nothing:7\" does not exist"),
        "{error}"
    );
}

/// A handle of a task that never was.
async fn an_unknown_job_is_described_as_unknown(stage: &Stage) -> JobHandle {
    let id = format!(
        "arn:aws:ecs:eu-west-1:123456789012:task/{}/ffffffffffffffffffffffffffffffff",
        stage.cluster
    );
    let handle = JobHandle::new("ecs", id);
    let backend = stage.backend(stage.config());
    assert_eq!(
        backend.describe(&handle).await.unwrap(),
        JobStatus::unknown()
    );
    handle
}

/// Not asked of moto: a second start (it ignores `clientToken`), `failures` (always empty),
/// limits, an unknown container (it takes any), stop codes and exit codes (always 0, even of a
/// running container), and a cancel of an unknown task (it answers 500).
#[tokio::test]
async fn moto_runs_lists_and_stops_the_jobs_of_an_execution() {
    let Some(peer) = Peer::moto() else { return };
    peer.let_tasks_run().await;
    let stage = Stage::set(&peer).await;
    a_job_lives_and_is_cancelled(&stage).await;
    spot_is_a_capacity_provider(&stage).await;
    an_unknown_task_definition_is_told(&stage).await;
    an_unknown_job_is_described_as_unknown(&stage).await;

    let (job, token) = stage.job(r#"{"name":"lost"}"#, "lost");
    let nowhere = stage.backend(stage.config_of("nowhere", &stage.family));
    let error = nowhere.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("cluster \"nowhere\" does not exist"),
        "{error}"
    );

    let adrift = stage.config().subnets(["subnet-0123456789abcdef0"]);
    let error = stage.backend(adrift).start(&job, &token).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            BackendErrorKind::NotFound | BackendErrorKind::InvalidSpec
        ),
        "{error:?}"
    );
    assert!(
        error.full_message().contains("subnet-0123456789abcdef0"),
        "{}",
        error.full_message()
    );
}

/// Not asked of ministack: a second start (it ignores `clientToken`), `failures`, limits, an
/// unknown container, and an unknown cluster (it makes one).
#[tokio::test]
async fn ministack_runs_lists_and_stops_the_jobs_of_an_execution() {
    let Some(peer) = Peer::ministack() else {
        return;
    };
    let stage = Stage::set(&peer).await;
    a_job_lives_and_is_cancelled(&stage).await;
    spot_is_a_capacity_provider(&stage).await;
    an_unknown_task_definition_is_told(&stage).await;
    let unknown = an_unknown_job_is_described_as_unknown(&stage).await;
    let backend = stage.backend(stage.config());
    let outcome = backend.cancel(&unknown, "clean up").await.unwrap();
    assert_eq!(outcome, CancelOutcome::NotFound);
}
