//! The longhaul compute backend for Amazon ECS on Fargate: one job, one task.
//!
//! [`EcsBackend`] starts a job with `RunTask`, hands it its callback token in the environment of
//! one container, and keeps the promises of [`ComputeBackend`](longhaul_core::ComputeBackend):
//! however often a start is repeated with one token, there is one task.
//!
//! ```no_run
//! use longhaul_core::{CallbackToken, ComputeBackend, ExecutionId, Job, JobName, JobSpec};
//! use longhaul_ecs::{EcsBackend, EcsConfig};
//!
//! # async fn example(sdk: &aws_types::SdkConfig, id: String) -> Result<(), Box<dyn std::error::Error>> {
//! // `sdk` is what `aws_config::load_from_env().await` gives.
//! let config = EcsConfig::from_env(|name| std::env::var(name).ok())?;
//! let backend = EcsBackend::from_sdk(config, sdk);
//!
//! // The durable function does this part; the token is the callback's ID.
//! let token = CallbackToken::new(id)?;
//! let execution = ExecutionId::from_arn("arn:aws:lambda:…");
//! let spec = JobSpec::new(JobName::new("render")?).with_command(["render", "--fast"]);
//! let job = Job::new(spec, execution.clone(), 1, &token);
//!
//! let handle = backend.start(&job, &token).await?;
//! let status = backend.describe(&handle).await?;
//! println!("{handle} is {:?}, logs at {:?}", status.state, status.logs);
//! backend.cancel(&handle, "not needed any more").await?;
//! assert!(!backend.list(&execution).await?.contains(&handle));
//! # Ok(())
//! # }
//! ```
//!
//! # Configuration
//!
//! [`EcsConfig::from_env`] reads these and reports everything that is missing or contradictory at
//! once; [`EcsConfig::builder`] takes the same values from code.
//!
//! | variable | value | by default |
//! | --- | --- | --- |
//! | `ECS_CLUSTER` | the cluster's name or ARN | required |
//! | `ECS_TASK_DEFINITION` | family, `family:revision` or ARN | required |
//! | `ECS_SUBNETS` | 1 to 16 subnets, separated by commas | required |
//! | `ECS_SECURITY_GROUP`, `ECS_SECURITY_GROUPS` | one security group; or 1 to 5, separated by commas | one of them is required |
//! | `ECS_CONTAINER` | the container that runs the job | `worker` |
//! | `ECS_ASSIGN_PUBLIC_IP` | `true` or `false` | `false` |
//! | `ECS_PLATFORM_VERSION` | `LATEST`, or such as `1.4.0` | ECS's default |
//! | `ECS_CAPACITY` | `FARGATE`, `FARGATE_SPOT`, or both in the order to try them | `FARGATE` |
//! | `ECS_TAGS` | `key=value,key=value`, at most 7 | none |
//! | `ECS_PROPAGATE_TAGS` | `TASK_DEFINITION` or `NONE` | `NONE` |
//! | `ECS_MANAGED_TAGS` | `true` or `false`: ECS's own tags, such as the cluster's name | `false` |
//! | `ECS_LOG_GROUP`, `ECS_LOG_STREAM_PREFIX` | `awslogs-group` and `awslogs-stream-prefix` of the container, for links to the logs | no links |
//!
//! Without public addresses the subnets need a way to the image registry, to CloudWatch Logs and
//! to the Lambda API: a NAT gateway or VPC endpoints. `FARGATE_SPOT` needs a cluster that has the
//! capacity provider.
//!
//! A job's `vcpus`, `memory_mib` and `ephemeral_storage_gib` replace those of the task
//! definition; its `command` replaces the image's. `gpus` and `working_directory` are refused.
//! Tasks carry the tags `longhaul:job`, `longhaul:execution` and `longhaul:attempt`, and
//! `startedBy` is the execution id.
//!
//! # Permissions
//!
//! | action | on | for |
//! | --- | --- | --- |
//! | `ecs:RunTask` | the task definition | `start` |
//! | `ecs:TagResource` | the cluster's tasks | `start`, because tasks are tagged |
//! | `iam:PassRole` | the task definition's task role and execution role | `start` |
//! | `ecs:DescribeTasks` | the cluster's tasks | `describe`; `start`, when it finds the task of an earlier one; `locate` |
//! | `ecs:StopTask` | the cluster's tasks | `cancel` |
//! | `ecs:ListTasks` | `*` | `list`; `locate` |
//! | `ecs:DescribeTaskDefinition` | `*` | optional: names the containers when `ECS_CONTAINER` is wrong |
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": "ecs:RunTask",
//!       "Resource": "arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:*",
//!       "Condition": {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER"}}
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
//!       "Resource": "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "ecs:TagResource",
//!       "Resource": "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/*",
//!       "Condition": {"StringEquals": {"ecs:CreateAction": "RunTask"}}
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "ecs:ListTasks",
//!       "Resource": "*",
//!       "Condition": {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER"}}
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "iam:PassRole",
//!       "Resource": ["arn:aws:iam::ACCOUNT:role/TASK", "arn:aws:iam::ACCOUNT:role/EXECUTION"],
//!       "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
//!     }
//!   ]
//! }
//! ```
//!
//! The *task* role, which the worker has, needs `lambda:SendDurableExecutionCallbackSuccess`,
//! `…Failure` and `…Heartbeat` on `arn:aws:lambda:REGION:ACCOUNT:function:NAME:*`, and what the
//! job itself does. An error of kind `Denied` names the action and the resource that lack.
//!
//! # Quotas
//!
//! | what | how much |
//! | --- | --- |
//! | `RunTask` and `StopTask` together, an account and region | 100 at once, then 40 a second |
//! | `DescribeTasks`, `ListTasks` and other reads | 100 at once, then 20 a second |
//! | overrides of a task: command, environment, sizes | [`MAX_OVERRIDES`] characters of JSON |
//! | vCPUs of Fargate, and of Fargate Spot | two quotas of the account; full counts as no capacity |
//! | tags of a task | 50: 40 of the job, 7 of the configuration, 3 of longhaul |
//! | a stopped task can be described | for about an hour |
//!
//! A job whose overrides are larger is refused with kind `TooLarge` before anything is sent: give
//! its input by reference, with [`Job::with_input_uri`](longhaul_core::Job::with_input_uri). Most
//! of the room is the input's; the worker contract takes about 600 characters and the token, and a
//! top-level string of the input counts twice, as it becomes a variable too.
//!
//! # Starting once
//!
//! ECS keeps a `clientToken` for 24 hours, or for the task's life and an hour if that is less,
//! and answers a repeated one with its first answer. The token here is the start key, and what a
//! retry costs is this:
//!
//! - **A call that was throttled or not answered** is repeated by the AWS SDK, three tries in all
//!   and a minute at most, with the same token. It costs a request of the quota, and never a task.
//!   Throttling that hides in `InvalidParameterException` is not repeated by the SDK: it comes
//!   back as kind `Throttled`.
//! - **A start that is repeated after it may have worked** (kind `Ambiguous`) finds the first
//!   task. It costs one `RunTask` for every capacity option tried the first time. If the task
//!   definition was changed in between, ECS names the first task in a `ConflictException`; it is
//!   looked at, with one `DescribeTasks`, and adopted.
//! - **Another capacity option** has its own token, derived from the start key and the option's
//!   position, and costs one more `RunTask`. Only a lack of capacity moves on to it.
//! - **When every option is out**, the error is of kind `Capacity`. ECS repeats that answer too,
//!   so the same token cannot succeed later: a new attempt, with a new callback, can.
//! - **A new attempt** is a new task: Fargate bills from the pull of the image, at least a minute.
//!
//! Do not repeat a start that is older than ECS keeps its token: it would be a second task.
//!
//! # Ends
//!
//! [`job_status`] tells from a task's facts what became of the job; its documentation has the
//! table. It is a pure function, for `DescribeTasks` and for events alike ([`TaskFacts`] reads
//! from the `detail` of an `ECS Task State Change`). A missing exit code is never 0.
//!
//! A task that somebody else stopped, by the console or the API, is `Cancelled` too: ECS says that
//! it was a person's or a program's will, and a job that was stopped on purpose is not to be
//! started again. `Interrupted` is what the platform did by itself.
//!
//! `cancel` gives the worker the container's `stopTimeout`, 30 s unless the task definition says
//! otherwise and at most 120 s: SIGTERM, then SIGKILL. Its reason begins with
//! [`CANCEL_REASON_PREFIX`], which tells a cancel from anybody else's stop.
//!
//! ECS is eventually consistent: a task may be missing from `list`, `locate` or `describe` for a
//! moment after its start.
//!
//! # Verified, and not
//!
//! The tests play every answer above, over mocks and over HTTP on loopback. The conformance suite of
//! longhaul-core runs there whole, and against [moto](https://docs.getmoto.org) and ministack, as far
//! as they can play ECS, when `LONGHAUL_TEST_MOTO_URL` and `LONGHAUL_TEST_MINISTACK_URL` name them.
//! Nothing has been run on a real AWS account: the texts by which refusals and failures are told
//! apart come from AWS's documentation and from public reports.
//!
//! # Secrets
//!
//! The token is in no error, no `Debug` and no log of this crate. It is in the task's overrides:
//! whoever may call `ecs:DescribeTasks` on the task can complete its callback. The AWS SDK writes
//! whole requests at the level `TRACE`: keep `aws_smithy_runtime` and `aws_sigv4` at `DEBUG`.

mod api;
mod arn;
mod backend;
mod cancel;
mod cause;
mod config;
mod facts;
mod find;
mod locate;
mod logs;
mod overrides;
mod refusal;
mod request;
mod sdk;
mod size;
mod start;
mod status;
mod tags;
#[cfg(test)]
mod testing;

pub use api::{
    ApiError, ApiErrorKind, DescribedTask, DesiredStatus, EcsApi, Failure, ListTasks, RunTask,
    RunTaskAnswer, TaskPage,
};
pub use backend::EcsBackend;
pub use cancel::CANCEL_REASON_PREFIX;
pub use config::{
    CapacityOption, ConfigError, ConfigErrors, DEFAULT_CONTAINER, EcsConfig, EcsConfigBuilder,
    variables,
};
pub use facts::{ContainerFacts, StopCode, TaskFacts};
pub use logs::LogLocation;
pub use overrides::{
    ContainerOverride, EphemeralStorage, MAX_OVERRIDES, TaskEnvironment, TaskOverrides,
};
pub use sdk::SdkEcs;
pub use status::job_status;
pub use tags::{ATTEMPT_TAG, EXECUTION_TAG, JOB_TAG};

/// The backend's name in handles and configuration.
pub const NAME: &str = "ecs";
