//! What a function is: its code, its environments, and the settings that make it durable.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::environment::InvocationHandler;
use crate::error::ServiceError;
use crate::model::id::{is_name, is_version};

use super::LONGEST_EXECUTION;

/// The settings that make a function durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurableConfig {
    /// Seconds an execution may take in all: 1 to 31,622,400.
    pub execution_timeout: u64,
    /// Days a closed execution is kept: 1 to 90.
    pub retention_days: u32,
}

impl Default for DurableConfig {
    fn default() -> Self {
        Self {
            execution_timeout: 86_400,
            retention_days: 7,
        }
    }
}

impl DurableConfig {
    /// `execution_timeout` in seconds, `retention_days` in days.
    #[must_use]
    pub const fn new(execution_timeout: u64, retention_days: u32) -> Self {
        Self {
            execution_timeout,
            retention_days,
        }
    }
}

/// What becomes of an execution environment between two invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lifetime {
    /// It waits for the next one.
    #[default]
    Reuse,
    /// It is killed: every invocation gets a new process.
    Fresh,
    /// It is stopped with SIGSTOP and continued for the next one, as AWS freezes environments.
    Freeze,
}

/// A function the service can invoke.
#[derive(Clone)]
#[non_exhaustive]
pub struct FunctionConfig {
    pub(crate) name: String,
    pub(crate) code: Code,
    pub(crate) version: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) max_environments: usize,
    pub(crate) lifetime: Lifetime,
    pub(crate) durable: DurableConfig,
}

#[derive(Clone)]
pub(crate) enum Code {
    Process(Program),
    Handler(Arc<dyn InvocationHandler>),
}

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) memory_mb: u32,
}

impl fmt::Debug for FunctionConfig {
    // The values of environment variables stay out: they often are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FunctionConfig");
        debug.field("name", &self.name);
        match &self.code {
            Code::Process(program) => debug
                .field("program", &program.path)
                .field("args", &program.args.len()),
            Code::Handler(_) => debug.field("handler", &"in process"),
        };
        debug
            .field("version", &self.version)
            .field("timeout", &self.timeout)
            .field("max_environments", &self.max_environments)
            .field("lifetime", &self.lifetime)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

impl FunctionConfig {
    /// A function that is a program speaking the Lambda Runtime API. `name`: 1 to 64 of `[a-zA-Z0-9-_]`.
    pub fn process<A>(name: impl Into<String>, program: impl AsRef<Path>, args: A) -> Self
    where
        A: IntoIterator,
        A::Item: Into<OsString>,
    {
        Self::new(
            name,
            Code::Process(Program {
                path: program.as_ref().to_path_buf(),
                args: args.into_iter().map(Into::into).collect(),
                environment: BTreeMap::new(),
                memory_mb: 1_024,
            }),
        )
    }

    /// A function that is a handler in this process. `name`: 1 to 64 of `[a-zA-Z0-9-_]`.
    pub fn handler(name: impl Into<String>, handler: Arc<dyn InvocationHandler>) -> Self {
        Self::new(name, Code::Handler(handler))
    }

    fn new(name: impl Into<String>, code: Code) -> Self {
        Self {
            name: name.into(),
            code,
            version: "$LATEST".to_owned(),
            aliases: Vec::new(),
            timeout: Duration::from_secs(15 * 60),
            max_environments: 10,
            lifetime: Lifetime::Reuse,
            durable: DurableConfig::default(),
        }
    }

    /// Adds an environment variable to the function's processes. Overrides what they inherit.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        if let Code::Process(program) = &mut self.code {
            program.environment.insert(name.into(), value.into());
        }
        self
    }

    /// What `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` says, in MB. Nothing is limited to it. Default 1,024.
    #[must_use]
    pub fn memory_mb(mut self, megabytes: u32) -> Self {
        if let Code::Process(program) = &mut self.code {
            program.memory_mb = megabytes;
        }
        self
    }

    /// The version that runs: `$LATEST` (the default) or a number. `$LATEST` is accepted as a qualifier in any case.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds an alias that callers may use as the qualifier.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// How long one invocation may take before its environment is killed. Default 15 minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many invocations may run at once, each in its own environment. Default 10.
    #[must_use]
    pub fn max_environments(mut self, max: usize) -> Self {
        self.max_environments = max;
        self
    }

    /// What becomes of an environment between two invocations.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The durable settings.
    #[must_use]
    pub fn durable(mut self, durable: DurableConfig) -> Self {
        self.durable = durable;
        self
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn validate(&self) -> Result<(), ServiceError> {
        let bad = |what: String| {
            Err(ServiceError::Config(format!(
                "function {:?}: {what}",
                self.name
            )))
        };
        if !is_name(&self.name, 64) {
            return bad("a name is 1 to 64 letters, digits, - and _".to_owned());
        }
        if !is_version(&self.version) {
            return bad(format!(
                "{:?} is not a version: use $LATEST or a number",
                self.version
            ));
        }
        if let Some(alias) = self.aliases.iter().find(|alias| !is_name(alias, 128)) {
            return bad(format!(
                "{alias:?} is not an alias: use 1 to 128 letters, digits, - and _"
            ));
        }
        if self.timeout.is_zero() || self.max_environments == 0 {
            return bad(
                "the timeout and the number of environments must be more than nothing".to_owned(),
            );
        }
        if !(1..=LONGEST_EXECUTION).contains(&self.durable.execution_timeout) {
            return bad(format!(
                "the execution timeout must be 1 to {LONGEST_EXECUTION} seconds"
            ));
        }
        if !(1..=90).contains(&self.durable.retention_days) {
            return bad("the retention must be 1 to 90 days".to_owned());
        }
        Ok(())
    }
}
