//! The embedded durable service with the one function that runs jobs, and a client for it.

use std::ffi::OsString;
use std::path::PathBuf;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Region};
use longhaul_core::contract;
use longhaul_emulator::{FunctionConfig, Lifetime, Service, ServiceConfig, ServiceError};
use longhaul_lambda::{Config, JobRunner};
use longhaul_process::{ProcessBackend, ProcessConfig};

use super::payloads;
use crate::endpoint::{Endpoint, EndpointFile};
use crate::error::{CliError, full_message};
use crate::state::StateDir;

/// The function's name in the local service.
pub(crate) const FUNCTION: &str = "longhaul";
/// The region that local executions are in.
pub(crate) const REGION: &str = "us-east-1";

/// The environment that the function is configured by.
#[derive(Debug, Clone)]
pub(crate) struct FunctionEnvironment(Vec<(String, OsString)>);

impl FunctionEnvironment {
    /// Runs jobs on `backend`; local ones are kept under `state`.
    pub(crate) fn new(backend: &str, state: &StateDir) -> Result<Self, CliError> {
        let this = std::env::current_exe()
            .map_err(|error| CliError::broken("the path of this program is not known", error))?;
        let this = this.into_os_string().into_string().map_err(|path| {
            CliError::Usage(format!(
                "the path of this program is not UTF-8: {}",
                path.display()
            ))
        })?;
        let prefix = |words: &[&str]| {
            let mut command = vec![this.as_str()];
            command.extend(words);
            OsString::from(serde_json::json!(command).to_string())
        };
        Ok(Self(vec![
            ("LONGHAUL_BACKEND".to_owned(), backend.into()),
            (
                "LONGHAUL_PROCESS_DIRECTORY".to_owned(),
                state.jobs().into_os_string(),
            ),
            (
                "LONGHAUL_PROCESS_SHIM".to_owned(),
                prefix(&["process-shim"]),
            ),
            (
                "LONGHAUL_WORKER".to_owned(),
                prefix(&["worker", "run", "--"]),
            ),
        ]))
    }

    /// The same with the payload store at `url`, or with none whatever the caller's own
    /// environment says.
    pub(crate) fn with_payload_store(mut self, url: Option<&str>) -> Self {
        let url = url.unwrap_or(payloads::NONE).into();
        self.0.push((contract::PAYLOAD_STORE.to_owned(), url));
        self
    }

    /// One variable: ours, else the caller's own.
    fn get(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .or_else(|| std::env::var_os(name))
            .and_then(|value| value.into_string().ok())
    }

    /// The handler's configuration, checked before anything is started.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        Config::read(|name| self.get(name)).map_err(|error| CliError::Usage(error.to_string()))
    }

    /// This program as the function that runs jobs.
    pub(crate) fn function(&self, lifetime: Lifetime) -> Result<FunctionConfig, CliError> {
        let this: PathBuf = std::env::current_exe()
            .map_err(|error| CliError::broken("the path of this program is not known", error))?;
        let mut function = with_own_variables(FunctionConfig::process(FUNCTION, this, ["lambda"]));
        for (name, value) in &self.0 {
            function = function.env(name, value);
        }
        Ok(function.lifetime(lifetime))
    }

    /// Tells a function of someone else's where local jobs go, for one that is built on `longhaul-lambda`. What the person
    /// has set stays.
    pub(crate) fn offer(&self, mut function: FunctionConfig) -> FunctionConfig {
        for (name, value) in &self.0 {
            if std::env::var_os(name).is_none() {
                function = function.env(name, value);
            }
        }
        function
    }

    /// The process backend as the function has it, to look at local jobs.
    pub(crate) fn local_jobs(&self) -> Result<ProcessBackend, CliError> {
        let config = ProcessConfig::from_env(|name| self.get(name))
            .map_err(|error| CliError::Usage(error.to_string()))?;
        Ok(ProcessBackend::new(config))
    }
}

/// The embedded service.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) service: Service,
    pub(crate) client: Client,
    /// For cancelling jobs from outside the function.
    pub(crate) runner: JobRunner,
    /// Tells other commands where the service is.
    _endpoint: EndpointFile,
}

impl Local {
    /// Starts the service that carries `execution`, with this program as its function.
    pub(crate) async fn start(
        state: &StateDir,
        execution: &str,
        environment: &FunctionEnvironment,
        lifetime: Lifetime,
    ) -> Result<Self, CliError> {
        let config = environment.config()?;
        let function = environment.function(lifetime)?;
        let service = Service::start(
            ServiceConfig::new(state.run(execution))
                .region(REGION)
                .own_user_only()
                .function(function),
        )
        .await
        .map_err(|error| match error {
            ServiceError::InUse(_) => CliError::Usage(format!(
                "execution {execution} is being run by another longhaul process: wait for it, or choose another name"
            )),
            ServiceError::StateDir { .. } => CliError::Usage(full_message(&error)),
            error => CliError::broken("the local durable service did not start", error),
        })?;
        let endpoint = Endpoint::new(service.url(), [FUNCTION]);
        let endpoint = EndpointFile::of_run(state, execution, &endpoint)?;
        let client = client(service.url());
        let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .load()
            .await;
        let handler = config
            .build(&sdk)
            .map_err(|error| CliError::broken("a backend cannot be used", error))?;
        Ok(Self {
            service,
            client,
            runner: handler.runner().clone(),
            _endpoint: endpoint,
        })
    }
}

/// The function with the person's own variables: a local job runs as if the person had started it.
pub(crate) fn with_own_variables(mut function: FunctionConfig) -> FunctionConfig {
    for (name, value) in std::env::vars_os() {
        if !is_lambdas_own(&name.to_string_lossy()) {
            function = function.env(name, value);
        }
    }
    function
}

/// Variables that the service sets for the function, and that must not come from outside.
fn is_lambdas_own(name: &str) -> bool {
    name.starts_with("AWS_LAMBDA_")
        || name == "AWS_ENDPOINT_URL"
        || name == "AWS_ENDPOINT_URL_LAMBDA"
        || name == "_HANDLER"
        || name == "LAMBDA_TASK_ROOT"
}

/// A client for the service at `url`. The service does not check signatures.
pub(crate) fn client(url: impl Into<String>) -> Client {
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
    Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(credentials)
            .build(),
    )
}
