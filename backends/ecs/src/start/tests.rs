//! What a start asks of ECS and what it makes of every answer.

use std::collections::BTreeMap;
use std::error::Error;

use longhaul_core::{ComputeBackend, Retry};
use mockall::Sequence;

use super::*;
use crate::api::{ApiErrorKind, MockEcsApi};
use crate::overrides::{ContainerOverride, TaskEnvironment, TaskOverrides};
use crate::testing::{
    TASK, backend, builder, config, execution, failed, hello, job, spot_first, started,
    task_with_key, token,
};
use crate::{CapacityOption, EphemeralStorage};

/// An API that answers every `RunTask` with `answer`.
fn answering(answer: Result<RunTaskAnswer, ApiError>) -> MockEcsApi {
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(1).return_once(move |_| answer);
    api
}

async fn start(api: MockEcsApi) -> Result<JobHandle, BackendError> {
    backend(config(), api).start(&hello(), &token()).await
}

fn refused(code: &str, message: &str) -> Result<RunTaskAnswer, ApiError> {
    Err(ApiError::refused(code, message))
}

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

#[tokio::test]
async fn every_answer_has_its_kind_its_advice_and_its_words() {
    use BackendErrorKind::{
        Ambiguous, Denied, InvalidSpec, NotFound, Throttled, TooLarge, Unavailable,
    };
    let unanswered = Err(ApiError::new(ApiErrorKind::NoAnswer, "connection reset"));
    let unsent = Err(ApiError::new(ApiErrorKind::NotSent, "no region"));
    let denied = "User: arn:aws:sts::1:assumed-role/h/x is not authorized to perform: ecs:RunTask on resource: arn:aws:ecs:eu-west-1:1:task-definition/render:7 because…";
    for (answer, kind, retry, part) in [
        (
            refused("ThrottlingException", "Rate exceeded"),
            Throttled,
            Retry::Backoff,
            "start job `hello` in cluster \"jobs\"",
        ),
        (
            refused(
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)",
            ),
            Throttled,
            Retry::Backoff,
            "Rate exceeded",
        ),
        (
            refused("AccessDeniedException", denied),
            Denied,
            Retry::Never,
            "lacks ecs:RunTask on arn:aws:ecs:eu-west-1:1:task-definition/render:7; allow it",
        ),
        (
            refused("AccessDeniedException", "No."),
            Denied,
            Retry::Never,
            "lacks ecs:RunTask; allow it",
        ),
        (
            refused("ClientException", "ECS was unable to assume the role 'r'"),
            Denied,
            Retry::Never,
            "iam:PassRole",
        ),
        (
            refused(
                "UnrecognizedClientException",
                "The security token is invalid.",
            ),
            Denied,
            Retry::Never,
            "credentials",
        ),
        (
            refused("ClusterNotFoundException", "Cluster not found."),
            NotFound,
            Retry::Never,
            "cluster \"jobs\" does not exist in this region and account; set ECS_CLUSTER",
        ),
        (
            refused("ClientException", "TaskDefinition not found."),
            NotFound,
            Retry::Never,
            "task definition \"render:7\" does not exist or is inactive; set ECS_TASK_DEFINITION",
        ),
        (
            refused(
                "InvalidParameterException",
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster.",
            ),
            NotFound,
            Retry::Never,
            "change ECS_CAPACITY",
        ),
        (
            refused(
                "InvalidParameterException",
                "Container Overrides length must be at most 8192",
            ),
            TooLarge,
            Retry::Never,
            "8192",
        ),
        (
            refused(
                "InvalidParameterException",
                "No Fargate configuration exists for given values.",
            ),
            InvalidSpec,
            Retry::Never,
            "No Fargate configuration",
        ),
        (
            refused("ServerException", "Service failure."),
            Ambiguous,
            Retry::SameToken,
            "repeat it with the same token",
        ),
        (unanswered, Ambiguous, Retry::SameToken, "connection reset"),
        (unsent, Unavailable, Retry::Backoff, "no region"),
        (
            Ok(RunTaskAnswer::default()),
            Ambiguous,
            Retry::SameToken,
            "neither a task nor a failure",
        ),
        (
            Ok(started("")
                .tasks
                .pop()
                .map(|_| RunTaskAnswer {
                    tasks: vec![crate::TaskFacts::default()],
                    failures: vec![],
                })
                .unwrap()),
            Ambiguous,
            Retry::SameToken,
            "neither",
        ),
        (
            Ok(failed("ATTRIBUTE", None)),
            InvalidSpec,
            Retry::Never,
            "ATTRIBUTE",
        ),
        (
            Ok(failed("MISSING", None)),
            NotFound,
            Retry::Never,
            "did not place the task: MISSING",
        ),
        (
            Ok(failed("Rate exceeded", None)),
            Throttled,
            Retry::Backoff,
            "Rate exceeded",
        ),
        (
            Ok(failed("INTERNAL", Some("why"))),
            Unavailable,
            Retry::Backoff,
            "INTERNAL (why)",
        ),
    ] {
        let error = start(answering(answer)).await.unwrap_err();
        let text = error.full_message();
        assert!(text.contains(part), "{text}");
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{text}");
        assert!(
            text.starts_with("start job `hello` in cluster \"jobs\""),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_message_that_quotes_the_token_is_shown_without_it() {
    let quoting = format!("Bad value {} in overrides", token().expose());
    let error = start(answering(refused("InvalidParameterException", &quoting)))
        .await
        .unwrap_err();
    let text = format!("{error:?} {} {:?}", error.full_message(), error.source());
    assert!(!text.contains(token().expose()), "{text}");
    assert!(text.contains("(redacted)"), "{text}");
}

#[tokio::test]
async fn an_unknown_container_is_told_with_those_that_there_are() {
    let words = "Override for container named worker is not a container in the TaskDefinition.";
    let mut api = answering(refused("InvalidParameterException", words));
    api.expect_container_names()
        .times(1)
        .withf(|definition| definition == "render:7")
        .returning(|_| Ok(vec!["app".to_owned(), "sidecar".to_owned()]));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "start job `hello` in cluster \"jobs\": task definition \"render:7\" has no container \"worker\" (it has: app, sidecar); set ECS_CONTAINER"
    );
}

#[tokio::test]
async fn an_unknown_container_is_told_even_when_the_others_are_not_known() {
    let words = "Override for container named worker is not a container in the TaskDefinition.";
    let mut api = answering(refused("InvalidParameterException", words));
    api.expect_container_names()
        .returning(|_| Err(ApiError::refused("AccessDeniedException", "No.")));
    let error = start(api).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has no container \"worker\"; set ECS_CONTAINER"),
        "{error}"
    );
}

#[tokio::test]
async fn without_capacity_the_next_option_is_asked_with_its_own_token() {
    for lacking in [
        Ok(failed(
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
            None,
        )),
        Ok(failed("RESOURCE:MEMORY", None)),
        Ok(failed("AGENT", None)),
        refused(
            "ClientException",
            "You've reached the limit on the number of vCPUs you can run concurrently",
        ),
    ] {
        let (mut api, mut order) = (MockEcsApi::new(), Sequence::new());
        api.expect_run_task()
            .times(1)
            .in_sequence(&mut order)
            .withf(|request| {
                request.capacity == CapacityOption::FargateSpot
                    && request.client_token == token().start_key().as_str()
            })
            .return_once(move |_| lacking);
        api.expect_run_task()
            .times(1)
            .in_sequence(&mut order)
            .withf(|request| {
                request.capacity == CapacityOption::Fargate
                    && request.client_token == token().start_key().for_capacity_option(1).as_str()
            })
            .returning(|_| Ok(started(TASK)));
        let handle = backend(spot_first(), api).start(&hello(), &token()).await;
        assert_eq!(handle.unwrap().id(), TASK);
    }
}

#[tokio::test]
async fn when_every_option_is_out_the_error_names_each_ones_reason() {
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(2).returning(|request| {
        Ok(match request.capacity {
            CapacityOption::FargateSpot => failed("Capacity is unavailable at this time", None),
            CapacityOption::Fargate => failed("RESOURCE:CPU", Some("256 of 0")),
        })
    });
    let error = backend(spot_first(), api)
        .start(&hello(), &token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Capacity);
    assert_eq!(error.retry(), Retry::OtherCapacity);
    let text = error.to_string();
    assert!(
        text.contains(
            "(FARGATE_SPOT: Capacity is unavailable at this time; FARGATE: RESOURCE:CPU (256 of 0))"
        ),
        "{text}"
    );
    assert!(text.contains("new attempt"), "{text}");
}

#[tokio::test]
async fn only_capacity_moves_on_to_the_next_option() {
    for answer in [
        refused("ThrottlingException", "Rate exceeded"),
        refused("AccessDeniedException", "No."),
        Err(ApiError::new(ApiErrorKind::NoAnswer, "timed out")),
        Ok(RunTaskAnswer::default()),
    ] {
        // `answering` fails the test on a second call.
        let started = backend(spot_first(), answering(answer));
        started.start(&hello(), &token()).await.unwrap_err();
    }
}

fn conflict(tasks: &[&str]) -> Result<RunTaskAnswer, ApiError> {
    Err(ApiError {
        resource_ids: tasks.iter().map(|&task| task.to_owned()).collect(),
        ..ApiError::refused("ConflictException", "The client token is in use.")
    })
}

#[tokio::test]
async fn a_conflict_adopts_the_task_that_carries_the_start_key() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .times(1)
        .withf(|cluster, task| cluster == "jobs" && task == TASK)
        .returning(|_, _| {
            let key = token().start_key().to_string();
            Ok(DescribedTask::Known(Box::new(task_with_key(&key))))
        });
    assert_eq!(start(api).await.unwrap(), JobHandle::new("ecs", TASK));
}

#[tokio::test]
async fn a_conflict_with_a_task_that_ecs_has_forgotten_still_starts_no_second_one() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Ok(DescribedTask::Missing));
    assert_eq!(start(api).await.unwrap().id(), TASK);
}

#[tokio::test]
async fn a_conflict_with_a_task_of_another_start_is_an_error() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Ok(DescribedTask::Known(Box::new(task_with_key("other")))));
    let error = start(api).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (BackendErrorKind::InvalidSpec, Retry::Never)
    );
    assert!(error.to_string().contains(TASK), "{error}");

    let error = start(answering(conflict(&[]))).await.unwrap_err();
    assert!(error.to_string().contains("names no task"), "{error}");
}

#[tokio::test]
async fn a_conflict_that_cannot_be_looked_into_keeps_the_token() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Err(ApiError::new(ApiErrorKind::NoAnswer, "reset")));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.retry(), Retry::SameToken);

    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Err(ApiError::refused("AccessDeniedException", "No.")));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    assert!(error.to_string().contains("ecs:DescribeTasks"), "{error}");
}
