//! Everything that a job on ECS meets, on loopback: the durable service with the handler's own
//! binary, and servers that play ECS and Batch, whose jobs never say a word.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::primitives::Blob;
use longhaul_ecs::EcsConfig;
use longhaul_emulator::{
    ErrorObject, ExecutionArn, FunctionConfig, Outcome, Service, ServiceConfig, StartExecution,
};
use longhaul_fake_aws::batch::FakeBatch;
use longhaul_fake_aws::ecs::{AcceptedTask, FakeEcs};
use serde_json::{Value, json};

const HANDLER: &str = "handler";

pub(crate) struct Stage {
    pub(crate) ecs: FakeEcs,
    pub(crate) batch: FakeBatch,
    pub(crate) service: Service,
    _state: tempfile::TempDir,
}

/// A job that was started, and that its execution waits for.
pub(crate) struct Waiting {
    pub(crate) execution: ExecutionArn,
    pub(crate) task: AcceptedTask,
}

impl Waiting {
    pub(crate) fn token(&self) -> String {
        self.task.environment("worker")["CALLBACK_ID"].clone()
    }

    /// Whether `text` shows the token, as it is or as it stands in a path.
    pub(crate) fn is_shown_in(&self, text: &str) -> bool {
        let token = self.token();
        let in_path = ["+%2B", "/%2F", "=%3D"]
            .iter()
            .fold(token.clone(), |path, code| {
                path.replace(&code[..1], &code[1..])
            });
        text.contains(&token) || text.contains(&in_path)
    }
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let ecs = FakeEcs::start().await;
        let batch = FakeBatch::start().await;
        let state = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_longhaul-handler"));
        let mut function = FunctionConfig::process(HANDLER, program, [""; 0]);
        for (name, value) in variables(&ecs, &batch) {
            function = function.env(name, value);
        }
        let service = Service::start(ServiceConfig::new(state.path()).function(function))
            .await
            .unwrap();
        Self {
            ecs,
            batch,
            service,
            _state: state,
        }
    }

    /// What the reconciler is configured by.
    pub(crate) fn variables(&self, grace: &str) -> Vec<(&'static str, String)> {
        let mut variables = variables(&self.ecs, &self.batch);
        variables.extend([
            ("LONGHAUL_RECONCILER_GRACE", grace.to_owned()),
            (
                "LONGHAUL_FUNCTION",
                format!("arn:aws:lambda:us-east-1:000000000000:function:{HANDLER}"),
            ),
            ("AWS_ENDPOINT_URL_LAMBDA", self.service.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]);
        variables
    }

    /// Starts an execution whose job runs as the `number`-th task.
    pub(crate) async fn job(&self, number: usize) -> Waiting {
        let execution = self.start("ecs").await;
        let tasks = self.ecs.accepted(number).await;
        Waiting {
            execution,
            task: tasks[number - 1].clone(),
        }
    }

    /// Starts an execution whose job runs as the `number`-th job on Batch, and returns that job
    /// as `DescribeJobs` shows it.
    pub(crate) async fn batch_job(&self, number: usize) -> (ExecutionArn, Value) {
        let execution = self.start("batch").await;
        let accepted = async {
            loop {
                match self.batch.jobs().get(number - 1) {
                    Some(job) => return job.clone(),
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let job = tokio::time::timeout(Duration::from_secs(60), accepted);
        (execution, job.await.expect("the job is submitted"))
    }

    async fn start(&self, backend: &str) -> ExecutionArn {
        let event = json!({"name": "render", "command": ["render"], "backend": backend});
        let request = StartExecution::new(HANDLER, event.to_string());
        let api = self.service.api();
        api.start_execution(request).await.unwrap().arn
    }

    /// How the execution ended.
    pub(crate) async fn outcome(&self, execution: &ExecutionArn) -> Outcome {
        let api = self.service.api();
        // Far below the heartbeat timeout of 5 min, by which a silent job is noticed otherwise.
        tokio::time::timeout(Duration::from_secs(60), api.wait(execution))
            .await
            .expect("the execution ends long before the heartbeat times out")
            .unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::from_conf(
            aws_sdk_lambda::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(self.service.url())
                .credentials_provider(Credentials::new("test", "test", None, None, "test"))
                .build(),
        )
    }

    /// What the worker says when its work is done.
    pub(crate) async fn succeed(&self, job: &Waiting, result: &Value) {
        self.client()
            .send_durable_execution_callback_success()
            .callback_id(job.token())
            .result(Blob::new(result.to_string()))
            .send()
            .await
            .unwrap();
    }

    /// Ends the task without a word, and returns the event that tells of it: the members of
    /// `worker` are its container's.
    pub(crate) fn end(&self, job: &Waiting, worker: &Value) -> Value {
        let arn = &job.task.arn;
        self.ecs.end(arn, "worker", None);
        let tasks = self.ecs.tasks();
        let mut detail = tasks
            .into_iter()
            .find(|t| t.arn == *arn)
            .expect("the task is known")
            .task;
        // Events have times as text.
        for name in ["createdAt", "startedAt", "stoppedAt"] {
            detail[name] = json!(now());
        }
        for (name, value) in worker.as_object().unwrap() {
            detail["containers"][0][name] = value.clone();
        }
        event("aws.ecs", "ECS Task State Change", detail)
    }

    /// Ends the Batch job without a word, and returns the event that tells of it.
    pub(crate) fn end_batch(&self, job: &Value, status: &str, exit_code: i32) -> Value {
        let id = job["jobId"].as_str().unwrap();
        let mut container = job["container"].clone();
        container["exitCode"] = json!(exit_code);
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let end = u64::try_from(end.as_millis()).unwrap();
        let fields = json!({
            "status": status, "statusReason": "Essential container in task exited",
            "startedAt": end - 1000, "stoppedAt": end, "container": container,
        });
        self.batch.change(id, &fields);
        let jobs = self.batch.jobs().into_iter();
        let mut detail = jobs.into_iter().find(|job| job["jobId"] == id).unwrap();
        // Events have ARNs, whatever the job was submitted with.
        let arn = |kind, name| format!("arn:aws:batch:eu-west-1:123456789012:{kind}/{name}");
        detail["jobQueue"] = json!(arn("job-queue", "jobs"));
        detail["jobDefinition"] = json!(arn("job-definition", "render:3"));
        event("aws.batch", "Batch Job State Change", detail)
    }

    /// Stops the execution, and returns the event that tells of it.
    pub(crate) async fn stop(&self, execution: &ExecutionArn) -> Value {
        let api = self.service.api();
        let error = ErrorObject::new("Stopped", "by a test");
        api.stop_execution(execution, Some(error)).await.unwrap();
        let detail = json!({
            "durableExecutionArn": execution.to_string(),
            "durableExecutionName": "name",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:handler:$LATEST",
            "status": "STOPPED",
            "startTimestamp": now(),
            "endTimestamp": now(),
        });
        event("aws.lambda", "Durable Execution Status Change", detail)
    }
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

fn event(source: &str, detail_type: &str, detail: Value) -> Value {
    json!({
        "version": "0", "id": "3317b2af-7005-947d-b652-f55e762e571a", "account": "123456789012",
        "region": "eu-west-1", "resources": [], "time": now(),
        "source": source, "detail-type": detail_type, "detail": detail,
    })
}

/// What both functions are configured by.
fn variables(ecs: &FakeEcs, batch: &FakeBatch) -> Vec<(&'static str, String)> {
    [
        ("LONGHAUL_BACKEND", "ecs,batch"),
        ("ECS_CLUSTER", "jobs"),
        ("ECS_TASK_DEFINITION", "render:7"),
        ("ECS_SUBNETS", "subnet-1"),
        ("ECS_SECURITY_GROUPS", "sg-1"),
        ("BATCH_JOB_QUEUE", "jobs"),
        ("BATCH_JOB_DEFINITION", "render"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .chain([
        ("AWS_ENDPOINT_URL_ECS", ecs.url()),
        ("AWS_ENDPOINT_URL_BATCH", batch.url().to_owned()),
    ])
    .collect()
}

/// The same configuration, for a reconciler in this process.
pub(crate) fn ecs_config() -> EcsConfig {
    EcsConfig::builder("jobs", "render:7")
        .subnets(["subnet-1"])
        .security_groups(["sg-1"])
        .build()
        .unwrap()
}
