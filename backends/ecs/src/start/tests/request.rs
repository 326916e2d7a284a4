//! What a start asks of ECS, member by member, and what it does not even ask.

use std::collections::BTreeMap;

use longhaul_core::Retry;

use super::*;
use crate::overrides::{ContainerOverride, TaskEnvironment, TaskOverrides};
use crate::testing::{TASK, builder, execution, job, started};
use crate::{CapacityOption, EphemeralStorage};

#[tokio::test]
async fn a_start_asks_for_exactly_one_task_of_the_job() {
    let config = builder()
        .container("app")
        .assign_public_ip(true)
        .platform_version("1.4.0")
        .tags([("team", "render"), ("stage", "test")])
        .propagate_tags(true)
        .managed_tags(true)
        .build()
        .unwrap();
    let job = job(
        r#"{"name":"frame","command":["render","--fast"],"environment":{"A":"b"},
        "input":{"scene":7},"timeout":"1h","heartbeat":"30s","tags":{"stage":"prod"},
        "resources":{"vcpus":0.5,"memory_mib":1024,"ephemeral_storage_gib":30}}"#,
    );
    let (key, execution) = (token().start_key().to_string(), execution());
    let trace = job.trace().traceparent();
    let environment: TaskEnvironment = [
        ("A", "b"),
        ("CALLBACK_ID", token().expose()),
        ("LONGHAUL_ATTEMPT", "1"),
        ("LONGHAUL_EXECUTION_ID", execution.as_str()),
        ("LONGHAUL_HEARTBEAT_SECONDS", "30"),
        ("LONGHAUL_INPUT", r#"{"scene":7}"#),
        ("LONGHAUL_JOB_NAME", "frame"),
        ("LONGHAUL_START_KEY", &key),
        ("LONGHAUL_TIMEOUT_SECONDS", "3600"),
        ("SCENE", "7"),
        ("TRACEPARENT", &trace),
    ]
    .into_iter()
    .collect();
    let tags = [
        ("longhaul:attempt", "1"),
        ("longhaul:execution", execution.as_str()),
        ("longhaul:job", "frame"),
        ("stage", "prod"),
        ("team", "render"),
    ];
    let expected = RunTask {
        client_token: key,
        cluster: "jobs".to_owned(),
        task_definition: "render:7".to_owned(),
        started_by: execution.to_string(),
        capacity: CapacityOption::Fargate,
        platform_version: Some("1.4.0".to_owned()),
        subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
        security_groups: vec!["sg-1".to_owned()],
        assign_public_ip: true,
        overrides: TaskOverrides {
            container_overrides: vec![ContainerOverride {
                name: "app".to_owned(),
                command: Some(vec!["render".to_owned(), "--fast".to_owned()]),
                environment,
            }],
            cpu: Some("512".to_owned()),
            memory: Some("1024".to_owned()),
            ephemeral_storage: Some(EphemeralStorage { size_in_gib: 30 }),
        },
        tags: BTreeMap::from(tags.map(|(k, v)| (k.to_owned(), v.to_owned()))),
        propagate_tags: true,
        managed_tags: true,
    };
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(1).returning(move |request| {
        assert_eq!(*request, expected);
        assert!(!format!("{request:?}").contains(token().expose()));
        Ok(started(TASK))
    });
    let handle = backend(config, api).start(&job, &token()).await.unwrap();
    assert_eq!(handle, JobHandle::new("ecs", TASK));
    assert!(handle.logs().is_none_or(|logs| logs.contains("logsV2")));
}

#[tokio::test]
async fn what_the_job_leaves_open_stays_with_the_task_definition() {
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(1).returning(|request| {
        let TaskOverrides {
            container_overrides,
            cpu,
            memory,
            ephemeral_storage,
        } = &request.overrides;
        assert_eq!((cpu, memory, ephemeral_storage), (&None, &None, &None));
        assert_eq!(container_overrides[0].command, None);
        assert_eq!(request.platform_version, None);
        assert!(!request.assign_public_ip && !request.propagate_tags && !request.managed_tags);
        Ok(started(TASK))
    });
    start(api).await.unwrap();
}

#[tokio::test]
async fn a_job_that_cannot_be_is_refused_before_anything_is_sent() {
    for (json, kind, part) in [
        (
            r#"{"name":"a","working_directory":"/tmp"}"#,
            BackendErrorKind::InvalidSpec,
            "working_directory",
        ),
        (
            r#"{"name":"a","resources":{"gpus":1}}"#,
            BackendErrorKind::InvalidSpec,
            "no GPUs",
        ),
        (
            r#"{"name":"a","resources":{"vcpus":0.3}}"#,
            BackendErrorKind::InvalidSpec,
            "0.25",
        ),
        (
            r#"{"name":"a","tags":{"k":"😀"}}"#,
            BackendErrorKind::InvalidSpec,
            "tags",
        ),
        (
            r#"{"name":"a","command":[]}"#,
            BackendErrorKind::InvalidSpec,
            "command",
        ),
    ] {
        let backend = backend(config(), MockEcsApi::new());
        let error = backend.start(&job(json), &token()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{json}");
        assert_eq!(error.retry(), Retry::Never);
        let text = error.full_message();
        assert!(text.contains("job `a`") && text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_job_of_another_token_is_refused() {
    let other = CallbackToken::new("b3RoZXI=").unwrap();
    let backend = backend(config(), MockEcsApi::new());
    let error = backend.start(&hello(), &other).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
}

/// A job whose overrides are `size` characters of JSON.
fn job_of_size(size: usize) -> Job {
    let with_input = |len: usize| job(&format!(r#"{{"name":"a","input":"{}"}}"#, "x".repeat(len)));
    let size_of = |job: &Job| {
        let start = Start::new(&config(), job, &token()).unwrap();
        start.on(0, CapacityOption::Fargate, job).overrides.size()
    };
    with_input(size - size_of(&with_input(0)))
}

#[tokio::test]
async fn overrides_up_to_the_limit_are_sent_and_one_more_character_is_too_large() {
    let fits = job_of_size(8192);
    let api = answering(Ok(started(TASK)));
    backend(config(), api).start(&fits, &token()).await.unwrap();

    let too_large = job_of_size(8193);
    let backend = backend(config(), MockEcsApi::new());
    let error = backend.start(&too_large, &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::TooLarge);
    let text = error.to_string();
    assert!(
        text.contains("8193 characters") && text.contains("1 more than the 8192"),
        "{text}"
    );
    assert!(text.contains("by reference"), "{text}");
}

#[tokio::test]
async fn an_input_by_reference_fits_and_what_then_does_not_is_told_apart() {
    let large = job(&format!(r#"{{"name":"a","input":"{}"}}"#, "x".repeat(9000)));
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(1).returning(|request| {
        let overrides = &request.overrides;
        assert_eq!(overrides.variable("LONGHAUL_INPUT_URI"), Some("s3://b/k"));
        assert_eq!(overrides.variable("LONGHAUL_INPUT"), None);
        Ok(started(TASK))
    });
    let by_reference = large.with_input_uri("s3://b/k");
    backend(config(), api)
        .start(&by_reference, &token())
        .await
        .unwrap();

    let command = job(&format!(
        r#"{{"name":"a","command":["{}"]}}"#,
        "x".repeat(9000)
    ));
    let backend = backend(config(), MockEcsApi::new());
    let error = backend
        .start(&command.with_input_uri("s3://b/k"), &token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::TooLarge);
    assert!(error.to_string().contains("shorten the command"), "{error}");
}
