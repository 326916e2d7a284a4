//! The backend against servers that play AWS and that nobody here wrote.
//!
//! Each test runs when the variable that it names holds the URL of its peer, on loopback, and
//! otherwise says what it needs. What a peer cannot play is listed at its test; `support` plays it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, NetworkMode, Task, TaskField};
use common::{job, sdk};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use longhaul_core::{
    BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job,
    JobHandle, JobState, JobStatus,
};
use longhaul_ecs::{CapacityOption, EcsBackend, EcsConfig, EcsConfigBuilder};

/// The URL in the variable, or a word on what is needed.
fn peer(variable: &str, start: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("not run: start the peer ({start}) and set {variable} to its URL");
    }
    url
}

/// A cluster, a task definition and a network on a peer, and an execution that nobody else has.
struct Stage {
    url: String,
    client: Client,
    cluster: String,
    family: String,
    subnets: Vec<String>,
    security_group: String,
    execution: ExecutionId,
}

impl Stage {
    async fn set(url: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let unique = format!("longhaul-{}-{}", std::process::id(), now.as_nanos());
        let client = Client::new(&sdk(&url).build());
        let cluster = client.create_cluster().cluster_name(&unique);
        cluster
            .capacity_providers("FARGATE")
            .capacity_providers("FARGATE_SPOT")
            .send()
            .await
            .unwrap();
        let container = |name: &str| {
            ContainerDefinition::builder()
                .name(name)
                .image("public.ecr.aws/docker/library/busybox:stable")
                .memory(128)
                .build()
        };
        client
            .register_task_definition()
            .family(&unique)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("256")
            .memory("512")
            .container_definitions(container("worker"))
            .container_definitions(container("sidecar"))
            .send()
            .await
            .unwrap();
        let subnets = ec2(&url, "DescribeSubnets", "subnetId").await;
        let groups = ec2(&url, "DescribeSecurityGroups", "groupId").await;
        Self {
            client,
            subnets: subnets.into_iter().take(2).collect(),
            security_group: groups.into_iter().next().unwrap(),
            execution: ExecutionId::from_arn(&unique),
            cluster: unique.clone(),
            family: unique,
            url,
        }
    }

    fn config(&self) -> EcsConfigBuilder {
        self.config_of(&self.cluster, &self.family)
    }

    fn config_of(&self, cluster: &str, definition: &str) -> EcsConfigBuilder {
        EcsConfig::builder(cluster, definition)
            .subnets(self.subnets.clone())
            .security_groups([self.security_group.clone()])
    }

    fn backend(&self, config: EcsConfigBuilder) -> EcsBackend {
        EcsBackend::from_sdk(config.build().unwrap(), &sdk(&self.url).build())
    }

    /// An attempt of this stage's execution, and its token.
    fn job(&self, json: &str, token: &str) -> (Job, CallbackToken) {
        let token = common::token(&format!("{}-{token}", self.family));
        let spec = job(json, &token).spec().clone();
        (Job::new(spec, self.execution.clone(), 1, &token), token)
    }

    /// The task as the peer knows it, asked for with the AWS SDK.
    async fn task(&self, handle: &JobHandle) -> Task {
        let tasks = self.client.describe_tasks().cluster(&self.cluster);
        let answer = tasks
            .tasks(handle.id())
            .include(TaskField::Tags)
            .send()
            .await;
        answer.unwrap().tasks.unwrap().remove(0)
    }
}

/// The texts of `element` in the answer to a query of the EC2 API. The peers read the service
/// from the signature's scope and do not check the signature.
async fn ec2(url: &str, action: &str, element: &str) -> Vec<String> {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20261101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [
        ("authorization", scope),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let query = format!("Action={action}&Version=2016-11-15");
    let text = post(url, "/", &headers, query).await;
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let parts = text.split(open.as_str()).skip(1);
    let found: Vec<String> = parts
        .filter_map(|part| Some(part.split_once(close.as_str())?.0.to_owned()))
        .collect();
    assert!(!found.is_empty(), "{action}: {text}");
    found
}

/// Tells moto to leave tasks running: otherwise every look at one takes it a step to its end.
async fn let_tasks_run(url: &str) {
    let never =
        r#"{"model_name":"ecs::task","transition":{"progression":"manual","times":1000000}}"#;
    let headers = [("content-type", "application/json")];
    let path = "/moto-api/state-manager/set-transition";
    post(url, path, &headers, never.to_owned()).await;
}

/// The body of the answer to a POST, which must be 2xx.
async fn post(url: &str, path: &str, headers: &[(&str, &str)], body: String) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = hyper::Request::post(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(status.is_success(), "{path}: {status}: {text}");
    text
}

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
    let Some(url) = peer("LONGHAUL_TEST_MOTO_URL", "moto_server -H 127.0.0.1 -p PORT") else {
        return;
    };
    let_tasks_run(&url).await;
    let stage = Stage::set(url).await;
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
    let start = "BIND_HOST=127.0.0.1 GATEWAY_PORT=PORT ministack";
    let Some(url) = peer("LONGHAUL_TEST_MINISTACK_URL", start) else {
        return;
    };
    let stage = Stage::set(url).await;
    a_job_lives_and_is_cancelled(&stage).await;
    spot_is_a_capacity_provider(&stage).await;
    an_unknown_task_definition_is_told(&stage).await;
    let unknown = an_unknown_job_is_described_as_unknown(&stage).await;
    let backend = stage.backend(stage.config());
    let outcome = backend.cancel(&unknown, "clean up").await.unwrap();
    assert_eq!(outcome, CancelOutcome::NotFound);
}
