//! What goes over the wire, byte for byte where it matters, and what is read from it.
#![allow(
    clippy::unwrap_used,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;

use aws_credential_types::Credentials;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use common::{backend, config, execution, hello, job, sdk, token};
use longhaul_core::{BackendErrorKind, ComputeBackend, Job};
use longhaul_ecs::{CapacityOption, EcsBackend, EcsConfig, MAX_OVERRIDES};
use longhaul_fake_aws::ecs::{FakeEcs, Misbehaviour};
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[tokio::test]
async fn a_start_is_one_request_with_these_members_and_no_others() {
    let ecs = FakeEcs::start().await;
    let config = config()
        .assign_public_ip(true)
        .platform_version("LATEST")
        .tags([("team", "render")])
        .propagate_tags(true)
        .managed_tags(true)
        .build()
        .unwrap();
    let token = token("c2VjcmV0");
    let job = job(
        r#"{"name":"frame","command":["render"],"input":7,"timeout":"1h",
            "resources":{"vcpus":1,"memory_mib":2048,"ephemeral_storage_gib":21}}"#,
        &token,
    );
    let backend = EcsBackend::from_sdk(config, &sdk(&ecs.url()).build());
    backend.start(&job, &token).await.unwrap();
    let (key, trace) = (token.start_key(), job.trace().traceparent());
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let expected = json!({
        "clientToken": key.as_str(),
        "cluster": "jobs",
        "taskDefinition": "render:7",
        "count": 1,
        "startedBy": execution().as_str(),
        "launchType": "FARGATE",
        "platformVersion": "LATEST",
        "networkConfiguration": {"awsvpcConfiguration": {
            "subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
        }},
        "overrides": {
            "containerOverrides": [{
                "name": "worker",
                "command": ["render"],
                "environment": [
                    variable("CALLBACK_ID", "c2VjcmV0"),
                    variable("LONGHAUL_ATTEMPT", "1"),
                    variable("LONGHAUL_EXECUTION_ID", execution().as_str()),
                    variable("LONGHAUL_HEARTBEAT_SECONDS", "0"),
                    variable("LONGHAUL_INPUT", "7"),
                    variable("LONGHAUL_JOB_NAME", "frame"),
                    variable("LONGHAUL_START_KEY", key.as_str()),
                    variable("LONGHAUL_TIMEOUT_SECONDS", "3600"),
                    variable("TRACEPARENT", &trace),
                ],
            }],
            "cpu": "1024",
            "memory": "2048",
            "ephemeralStorage": {"sizeInGiB": 21},
        },
        "tags": [
            {"key": "longhaul:attempt", "value": "1"},
            {"key": "longhaul:execution", "value": execution().as_str()},
            {"key": "longhaul:job", "value": "frame"},
            {"key": "team", "value": "render"},
        ],
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": true,
    });
    let requests = ecs.requests("RunTask");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, expected);
}

#[tokio::test]
async fn spot_is_asked_for_by_its_capacity_provider_and_without_a_launch_type() {
    let ecs = FakeEcs::start().await;
    let spot = config().capacity([CapacityOption::FargateSpot]).build();
    let token = token("spot");
    let backend = EcsBackend::from_sdk(spot.unwrap(), &sdk(&ecs.url()).build());
    backend.start(&hello(&token), &token).await.unwrap();
    let body = &ecs.requests("RunTask")[0].body;
    let strategy = json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]);
    assert_eq!(body["capacityProviderStrategy"], strategy);
    assert_eq!(body["launchType"], Value::Null);
}

#[tokio::test]
async fn every_character_of_a_job_arrives() {
    let ecs = FakeEcs::start().await;
    let odd = "ü € 😀 \" \\ \u{1} \n \u{2028} <&> $HOME `x` 'y'";
    let token = token("unicode");
    let mut spec = hello(&token).spec().clone().with_command(["run", odd]);
    spec.environment.insert("ODD".to_owned(), odd.to_owned());
    let job = Job::new(spec.with_input(json!({"odd": odd})), execution(), 1, &token);
    backend(sdk(&ecs.url())).start(&job, &token).await.unwrap();
    let task = &ecs.tasks()[0];
    assert_eq!(task.command("worker").unwrap(), ["run", odd]);
    let environment = task.environment("worker");
    assert_eq!(environment["ODD"], odd);
    let input: Value = serde_json::from_str(&environment["LONGHAUL_INPUT"]).unwrap();
    assert_eq!(input, json!({"odd": odd}));
    for (name, value) in job.environment(&token).iter() {
        assert_eq!(environment[name], value, "{name}");
    }
}

/// The overrides of the first start, as they were written.
fn written_overrides(ecs: &FakeEcs) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        overrides: Box<RawValue>,
    }
    let text = &ecs.requests("RunTask")[0].text;
    let body: Body = serde_json::from_str(text).unwrap();
    body.overrides.get().to_owned()
}

#[tokio::test]
async fn the_size_that_is_checked_is_the_size_that_is_sent() {
    // Grows the input until it is refused: the last one that was taken is exactly at the limit.
    let token = token("size");
    let job_with = |fill: usize| {
        let input = format!("ü\"\\\n{}", "x".repeat(fill));
        let spec = hello(&token)
            .spec()
            .clone()
            .with_input(json!({ "text": input }));
        Job::new(spec, execution(), 1, &token)
    };
    let probe = FakeEcs::start().await;
    backend(sdk(&probe.url()))
        .start(&job_with(0), &token)
        .await
        .unwrap();
    // A character of the input is there twice: in LONGHAUL_INPUT and in TEXT.
    let room = MAX_OVERRIDES - written_overrides(&probe).len();

    let ecs = FakeEcs::start().await;
    let backend = backend(sdk(&ecs.url()));
    let full = job_with(room / 2);
    backend.start(&full, &token).await.unwrap();
    let written = written_overrides(&ecs);
    assert!(written.len() > MAX_OVERRIDES - 2 && written.len() <= MAX_OVERRIDES);

    let error = backend
        .start(&job_with(room / 2 + 1), &token)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::TooLarge);
    let more = written.len() + 2;
    assert!(
        error.to_string().contains(&format!("{more} characters")),
        "{error}"
    );
    assert_eq!(
        ecs.requests("RunTask").len(),
        1,
        "nothing is sent before the check"
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_by_what_to_set() {
    let ecs = FakeEcs::start().await;
    let token = token("nowhere");
    for (cluster, definition, part) in [
        (
            "nowhere",
            "render:7",
            "cluster \"nowhere\" does not exist in this region and account; set ECS_CLUSTER",
        ),
        (
            "jobs",
            "render:9",
            "task definition \"render:9\" does not exist or is inactive; set ECS_TASK_DEFINITION",
        ),
        (
            "jobs",
            "other:1",
            "task definition \"other:1\" has no container \"worker\" (it has: app, sidecar); set ECS_CONTAINER",
        ),
    ] {
        let config = EcsConfig::builder(cluster, definition)
            .subnets(["subnet-1"])
            .security_groups(["sg-1"])
            .build();
        let backend = EcsBackend::from_sdk(config.unwrap(), &sdk(&ecs.url()).build());
        let error = backend.start(&hello(&token), &token).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::NotFound);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(ecs.tasks(), []);
}

#[tokio::test]
async fn a_denial_names_what_the_role_lacks() {
    let ecs = FakeEcs::start().await;
    let words = "User: arn:aws:sts::1:assumed-role/h/x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/task because no identity-based policy allows the iam:PassRole action";
    ecs.plan(
        "RunTask",
        Misbehaviour::Refuse(400, "AccessDeniedException", words),
    );
    let token = token("denied");
    let backend = backend(sdk(&ecs.url()));
    let error = backend.start(&hello(&token), &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    assert!(
        error
            .to_string()
            .contains("lacks iam:PassRole on arn:aws:iam::1:role/task; allow it"),
        "{error}"
    );
    let full = error.full_message();
    assert!(
        full.contains("ECS answered AccessDeniedException") && full.contains("request 0a1b2c3d"),
        "{full}"
    );
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_error_says_so() {
    let ecs = FakeEcs::start().await;
    let unconfigured = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(ecs.url());
    let failing = provide_credentials_fn(async || {
        Err::<Credentials, _>(CredentialsError::not_loaded("no role here"))
    });
    let failing = sdk(&ecs.url()).credentials_provider(SharedCredentialsProvider::new(failing));
    for sdk in [unconfigured, failing] {
        let (backend, token) = (backend(sdk), token("nobody"));
        let error = backend.start(&hello(&token), &token).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error:?}");
        let text = error.full_message();
        assert!(text.contains("could not be sent"), "{text}");
        assert_eq!(ecs.requests("RunTask").len(), 0);
    }
}
