//! A start on ECS and on Batch: our code alone, over an API that answers at once, and with the SDK over loopback.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use longhaul_batch::{BatchBackend, BatchConfig};
use longhaul_benches::machine::cpu;
use longhaul_core::{CallbackToken, ComputeBackend, ExecutionId, Job, JobName, JobSpec};
use longhaul_ecs::{
    ApiError, ApiErrorKind, DescribedTask, EcsApi, EcsBackend, EcsConfig, ListTasks, RunTask,
    RunTaskAnswer, TaskFacts, TaskPage,
};
use longhaul_fake_aws::batch::FakeBatch;
use longhaul_fake_aws::ecs::FakeEcs;

use crate::figures::{head, row};

/// Answers every start at once, and nothing else.
#[derive(Debug)]
struct Answers;

fn not_asked<T>() -> Result<T, ApiError> {
    Err(ApiError::new(
        ApiErrorKind::NotSent,
        "a start does not ask for it",
    ))
}

#[async_trait]
impl EcsApi for Answers {
    async fn run_task(&self, _: &RunTask) -> Result<RunTaskAnswer, ApiError> {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task/jobs/0123456789abcdef0123456789abcdef";
        let task = TaskFacts {
            task_arn: Some(arn.to_owned()),
            ..TaskFacts::default()
        };
        Ok(RunTaskAnswer {
            tasks: vec![task],
            failures: Vec::new(),
        })
    }

    async fn stop_task(&self, _: &str, _: &str, _: &str) -> Result<TaskFacts, ApiError> {
        not_asked()
    }

    async fn describe_task(&self, _: &str, _: &str) -> Result<DescribedTask, ApiError> {
        not_asked()
    }

    async fn describe_tasks(&self, _: &str, _: &[String]) -> Result<Vec<TaskFacts>, ApiError> {
        not_asked()
    }

    async fn list_tasks(&self, _: &ListTasks) -> Result<TaskPage, ApiError> {
        not_asked()
    }

    async fn container_names(&self, _: &str) -> Result<Vec<String>, ApiError> {
        Ok(vec!["worker".to_owned()])
    }
}

fn sdk(url: &str) -> SdkConfig {
    let credentials = Credentials::from_keys("bench", "bench", None);
    SdkConfig::builder()
        .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// Starts so many jobs, one after another.
async fn starts(what: &str, backend: &dyn ComputeBackend, count: usize) {
    let execution =
        ExecutionId::from_arn("arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable/e");
    let spec = JobSpec::new(JobName::from_text("render"))
        .with_command(["render", "--quality", "high"])
        .with_input(serde_json::json!({"scene": "s3://scenes/7", "frames": 240}));
    let mut times = Vec::with_capacity(count);
    let before = cpu();
    for number in 0..count {
        let token = CallbackToken::new(format!("{number:064}")).expect("a token");
        let job = Job::new(spec.clone(), execution.clone(), 1, &token);
        let began = Instant::now();
        backend.start(&job, &token).await.expect("a start");
        times.push(began.elapsed());
    }
    let each = (cpu() - before) / u32::try_from(count).expect("not so many");
    row(&format!("{what} ({:.0} µs of CPU)", micros(each)), times);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) async fn measure() {
    head();
    let config = || {
        EcsConfig::builder("jobs", "render:7")
            .subnets(["subnet-1"])
            .security_groups(["sg-1"])
            .build()
            .expect("a configuration")
    };
    let ours = EcsBackend::new(config(), Arc::new(Answers));
    starts("ECS, our code alone", &ours, 20_000).await;
    let ecs = FakeEcs::start().await;
    let backend = EcsBackend::from_sdk(config(), &sdk(&ecs.url()));
    starts("ECS, the SDK and a server on loopback", &backend, 1_000).await;
    let batch = FakeBatch::start().await;
    let backend = BatchBackend::from_sdk(BatchConfig::new("jobs", "worker:7"), &sdk(batch.url()));
    starts("Batch, the SDK and a server on loopback", &backend, 1_000).await;
}
