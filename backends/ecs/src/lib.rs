//! The longhaul compute backend for Amazon ECS on Fargate.

mod api;
mod arn;
mod backend;
mod cancel;
mod cause;
mod config;
mod facts;
mod find;
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
    ApiError, ApiErrorKind, DescribedTask, EcsApi, Failure, ListTasks, RunTask, RunTaskAnswer,
    TaskPage,
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
