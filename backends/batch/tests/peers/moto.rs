//! Moto as AWS Batch, with a queue and a job definition of a test's own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_batch::Client;
use aws_sdk_batch::types::{
    CeState, CeType, ComputeEnvironmentOrder, ContainerProperties, JobDefinitionType,
    JobStatus as State, JqState, KeyValuesPair, PlatformCapability, ResourceRequirement,
    ResourceType,
};
use longhaul_batch::{BatchBackend, BatchConfig};
use longhaul_core::{ComputeBackend, JobHandle, JobState, JobStatus};
use longhaul_fake_aws::peer::{Peer, texts};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::sdk::patient;

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
#[derive(Debug)]
pub(crate) struct Moto {
    peer: Peer,
    pub(crate) client: Client,
    pub(crate) config: BatchConfig,
    _setting: MutexGuard<'static, ()>,
}

impl Moto {
    /// `None` when there is no moto to test against.
    pub(crate) async fn with(jobs: Jobs) -> Option<Self> {
        let peer = Peer::moto()?;
        let setting = SETTING.lock().await;
        let client = Client::new(&patient(peer.url()));
        let config = create_queue_and_definition(&peer, &client).await;
        let moto = Self {
            peer,
            client,
            config,
            _setting: setting,
        };
        let docker = |use_docker: bool| json!({"batch": {"use_docker": use_docker}});
        match jobs {
            Jobs::Wait => {
                moto.hold().await;
                moto.peer.control("config", &docker(true)).await;
            }
            Jobs::Succeed => {
                moto.transition(&json!({"progression": "immediate"})).await;
                moto.peer.control("config", &docker(false)).await;
            }
        }
        Some(moto)
    }

    pub(crate) fn backend(&self) -> BatchBackend {
        BatchBackend::new(self.config.clone(), self.client.clone())
    }

    /// Lets jobs stay where they are.
    pub(crate) async fn hold(&self) {
        self.transition(&json!({"progression": "manual", "times": 1_000_000}))
            .await;
    }

    /// Lets the waiting jobs go on, all of the server. Without Docker they fail, and take the
    /// reason with them with which they were terminated.
    pub(crate) async fn go_on(&self) {
        self.transition(&json!({"progression": "manual", "times": 1}))
            .await;
    }

    /// Lets the waiting jobs go on until none of the queue is left, and holds new ones again.
    pub(crate) async fn let_all_end(&self) {
        self.go_on().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        // Nothing can be awaited there.
        while self.has_jobs().await {
            assert!(Instant::now() < deadline, "moto does not end its jobs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.hold().await;
    }

    /// Whether a job of the queue is not over.
    async fn has_jobs(&self) -> bool {
        let all = KeyValuesPair::builder().name("JOB_NAME").values("lh-*");
        let jobs = self.client.list_jobs().job_queue(&self.config.job_queue);
        let listed = jobs.filters(all.build()).send().await.unwrap();
        let mut jobs = listed.job_summary_list().iter();
        jobs.any(|job| !matches!(job.status(), Some(State::Succeeded | State::Failed)))
    }

    async fn transition(&self, how: &Value) {
        self.peer.set_transition("batch::job", how).await;
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

async fn create_queue_and_definition(peer: &Peer, client: &Client) -> BatchConfig {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let name = format!("longhaul-{}-{}", std::process::id(), now.as_nanos());
    let role = create_role(peer, &name).await;
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
async fn create_role(peer: &Peer, name: &str) -> String {
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let query = format!(
        "Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={trust}"
    );
    texts(&peer.query("iam", query).await, "Arn").remove(0)
}
