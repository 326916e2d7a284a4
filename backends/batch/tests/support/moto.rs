//! Moto as AWS Batch: what nobody here wrote. It is used when `LONGHAUL_TEST_MOTO_URL` is set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_batch::Client;
use aws_sdk_batch::types::{
    CeState, CeType, ComputeEnvironmentOrder, ContainerProperties, JobDefinitionType, JqState,
    PlatformCapability, ResourceRequirement, ResourceType,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use longhaul_batch::{BatchBackend, BatchConfig};
use longhaul_core::{ComputeBackend, JobHandle, JobState, JobStatus};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::sdk::shared;

/// How moto runs jobs is one setting of the whole server, so one test at a time has it.
static SETTING: Mutex<()> = Mutex::const_new(());

/// What moto does with a job that is submitted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Jobs {
    /// It stays in SUBMITTED.
    Wait,
    /// It has succeeded at once. No container is needed for that.
    Succeed,
}

/// Moto with a queue and a job definition of our own.
pub(crate) struct Moto {
    url: String,
    pub(crate) client: Client,
    pub(crate) config: BatchConfig,
    _setting: MutexGuard<'static, ()>,
}

impl Moto {
    /// `None` when there is no moto to test against.
    pub(crate) async fn with(jobs: Jobs) -> Option<Self> {
        let Ok(url) = std::env::var("LONGHAUL_TEST_MOTO_URL") else {
            eprintln!("not tested: LONGHAUL_TEST_MOTO_URL is not set");
            return None;
        };
        let url = url.trim_end_matches('/').to_owned();
        let setting = SETTING.lock().await;
        let client = Client::new(&shared(&url));
        let config = create_queue_and_definition(&url, &client).await;
        let moto = Self {
            url,
            client,
            config,
            _setting: setting,
        };
        match jobs {
            Jobs::Wait => {
                moto.transition(&json!({"progression": "manual", "times": 1_000_000}))
                    .await;
                moto.api("config", &json!({"batch": {"use_docker": true}}))
                    .await;
            }
            Jobs::Succeed => {
                moto.transition(&json!({"progression": "immediate"})).await;
                moto.api("config", &json!({"batch": {"use_docker": false}}))
                    .await;
            }
        }
        Some(moto)
    }

    pub(crate) fn backend(&self) -> BatchBackend {
        BatchBackend::new(self.config.clone(), self.client.clone())
    }

    /// Lets the waiting jobs go on. Without Docker they fail, and take the reason with them with
    /// which they were terminated.
    pub(crate) async fn go_on(&self) {
        self.transition(&json!({"progression": "manual", "times": 1}))
            .await;
    }

    async fn transition(&self, how: &Value) {
        let body = json!({"model_name": "batch::job", "transition": how});
        self.api("state-manager/set-transition", &body).await;
    }

    async fn api(&self, path: &str, body: &Value) {
        let url = format!("{}/moto-api/{path}", self.url);
        post(&url, "application/json", None, body.to_string()).await;
    }
}

/// The job's status once it has ended. Nothing can be awaited there, so it is asked for until
/// a deadline.
pub(crate) async fn ended(backend: &BatchBackend, job: &JobHandle) -> JobStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = backend.describe(job).await.unwrap();
        if status.state == JobState::Ended {
            return status;
        }
        assert!(Instant::now() < deadline, "{job} is still {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn create_queue_and_definition(url: &str, client: &Client) -> BatchConfig {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let name = format!("longhaul-{}-{}", std::process::id(), now.as_nanos());
    let role = create_role(url, &name).await;
    let environment = client
        .create_compute_environment()
        .compute_environment_name(&name)
        .r#type(CeType::Unmanaged)
        .state(CeState::Enabled)
        .service_role(role)
        .send()
        .await
        .unwrap();
    client
        .create_job_queue()
        .job_queue_name(&name)
        .state(JqState::Enabled)
        .priority(1)
        .compute_environment_order(
            ComputeEnvironmentOrder::builder()
                .order(1)
                .compute_environment(environment.compute_environment_arn().unwrap())
                .build(),
        )
        .send()
        .await
        .unwrap();
    let needs = |kind, value: &str| {
        ResourceRequirement::builder()
            .r#type(kind)
            .value(value)
            .build()
    };
    let definition = client
        .register_job_definition()
        .job_definition_name(&name)
        .r#type(JobDefinitionType::Container)
        .platform_capabilities(PlatformCapability::Fargate)
        .container_properties(
            ContainerProperties::builder()
                .image("busybox")
                .command("true")
                .resource_requirements(needs(ResourceType::Vcpu, "1"))
                .resource_requirements(needs(ResourceType::Memory, "2048"))
                .build(),
        )
        .send()
        .await
        .unwrap();
    BatchConfig::new(name, definition.job_definition_arn().unwrap())
}

/// A role that moto's Batch takes as its service role, made by one plain query call: another
/// SDK crate for it would cost more than it is worth.
async fn create_role(url: &str, name: &str) -> String {
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let body = format!(
        "Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={trust}"
    );
    // Moto tells services apart by the scope of the signature, and checks no signature.
    let signature = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let form = "application/x-www-form-urlencoded";
    let answer = post(url, form, Some(signature), body).await;
    let (_, rest) = answer.split_once("<Arn>").unwrap();
    rest.split_once("</Arn>").unwrap().0.to_owned()
}

async fn post(url: &str, kind: &str, authorization: Option<&str>, body: String) -> String {
    let mut request = Request::post(url).header("content-type", kind);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let http = HttpClient::builder(TokioExecutor::new()).build_http();
    let response = http.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(status.is_success(), "{url}: {status}: {text}");
    text
}
