//! Which service to ask, and which execution a name means.

use std::error::Error;
use std::fmt;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use longhaul_emulator::ExecutionArn;

use super::Where;
use crate::endpoint::Endpoint;
use crate::error::CliError;
use crate::run::local::{FUNCTION, client};
use crate::state::StateDir;

/// A service that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) client: Client,
    /// The functions whose executions it is asked for.
    pub(super) functions: Vec<String>,
    pub(super) kind: Kind,
}

/// What a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `longhaul serve`, or another service on this machine, at this address.
    Local(String),
    /// The `longhaul run` that carries this execution.
    Run(String),
    Aws,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Local(url) => write!(f, "the service at {url}"),
            Kind::Run(execution) => write!(f, "the longhaul run of {execution}"),
            Kind::Aws => f.write_str("AWS Lambda"),
        }
    }
}

impl Place {
    pub(super) fn is_local(&self) -> bool {
        self.kind != Kind::Aws
    }

    /// What a call that failed means, after what was tried.
    pub(super) fn error<E, R>(&self, what: &str, error: SdkError<E, R>) -> CliError
    where
        E: Error + Send + Sync + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(context) => CliError::broken(what, context.into_err()),
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) if self.is_local() => {
                CliError::broken(format!("{what}: {self} does not answer"), error)
            }
            error => CliError::broken(what, error),
        }
    }

    fn of_endpoint(endpoint: Endpoint, run: Option<String>) -> Self {
        Self {
            client: client(&endpoint.url),
            functions: endpoint.functions,
            kind: run.map_or(Kind::Local(endpoint.url), Kind::Run),
        }
    }
}

impl Where {
    /// The state folder, for what is local.
    pub(super) fn state_dir(&self) -> Result<StateDir, CliError> {
        StateDir::find(self.state.as_deref())
    }

    /// A place that answers calls which name neither function nor execution.
    pub(super) async fn any(&self, endpoint: Option<&str>) -> Result<Place, CliError> {
        if self.aws {
            return Ok(aws(Vec::new(), None).await);
        }
        if let Some(url) = self.endpoint.as_deref().or(endpoint) {
            return self.at(url);
        }
        let state = self.state_dir()?;
        Endpoint::of_serve(&state)
            .map(|endpoint| Place::of_endpoint(endpoint, None))
            .ok_or_else(|| nobody(&state))
    }

    /// Every place that is meant, each with the functions that are meant.
    pub(super) async fn places(&self) -> Result<Vec<Place>, CliError> {
        let named: Vec<String> = self.function.iter().cloned().collect();
        if self.aws {
            if named.is_empty() {
                return Err(CliError::Usage(
                    "--aws needs a function: add --function NAME".to_owned(),
                ));
            }
            return Ok(vec![aws(named, None).await]);
        }
        let mut places = self.local()?;
        if !named.is_empty() {
            for place in &mut places {
                match place.kind {
                    // A run has executions of one function only, and does not know of others.
                    Kind::Run(_) => place.functions.retain(|function| named.contains(function)),
                    _ => place.functions.clone_from(&named),
                }
            }
        }
        if places.iter().all(|place| place.functions.is_empty()) && self.endpoint.is_some() {
            return Err(CliError::Usage(
                "--endpoint needs a function: add --function NAME".to_owned(),
            ));
        }
        Ok(places)
    }

    /// The local services that are up.
    fn local(&self) -> Result<Vec<Place>, CliError> {
        if let Some(url) = &self.endpoint {
            return Ok(vec![self.at(url)?]);
        }
        let state = self.state_dir()?;
        let serve = Endpoint::of_serve(&state).map(|endpoint| Place::of_endpoint(endpoint, None));
        let runs = Endpoint::of_runs(&state)
            .into_iter()
            .map(|(execution, endpoint)| Place::of_endpoint(endpoint, Some(execution)));
        let places: Vec<_> = serve.into_iter().chain(runs).collect();
        if places.is_empty() {
            return Err(nobody(&state));
        }
        Ok(places)
    }

    /// The service at this address, which may be the one that the state folder knows.
    fn at(&self, url: &str) -> Result<Place, CliError> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(CliError::Usage(format!(
                "--endpoint {url}: write it as http://127.0.0.1:PORT"
            )));
        }
        let url = url.trim_end_matches('/');
        let known = self
            .state_dir()
            .ok()
            .and_then(|state| Endpoint::of_serve(&state))
            .filter(|endpoint| endpoint.url == url);
        Ok(Place {
            client: client(url),
            functions: known.map(|endpoint| endpoint.functions).unwrap_or_default(),
            kind: Kind::Local(url.to_owned()),
        })
    }

    /// The execution of this name or ARN.
    pub(super) async fn find(&self, execution: &str) -> Result<Found, CliError> {
        if execution.starts_with("arn:") {
            let arn = ExecutionArn::parse(execution).map_err(|error| {
                CliError::Usage(format!(
                    "{execution}: {error}: give its name or its whole ARN"
                ))
            })?;
            let place = self.of_arn(&arn).await?;
            return Ok(Found { place, arn });
        }
        let mut found = Vec::new();
        for place in self.places().await? {
            for function in &place.functions {
                if let Some(arn) = named(&place, function, execution).await? {
                    found.push(Found {
                        place: place.clone(),
                        arn,
                    });
                }
            }
        }
        match found.len() {
            0 => Err(self.missing(execution)),
            1 => found.pop().ok_or_else(|| self.missing(execution)),
            _ => Err(CliError::Usage(format!(
                "{execution} is the name of several executions: say which with --function, or give one's ARN:\n  {}",
                found
                    .iter()
                    .map(|found| found.arn.as_str())
                    .collect::<Vec<_>>()
                    .join("\n  ")
            ))),
        }
    }

    /// The place that an ARN belongs to.
    async fn of_arn(&self, arn: &ExecutionArn) -> Result<Place, CliError> {
        if self.aws {
            let region = arn.as_str().split(':').nth(3).map(str::to_owned);
            return Ok(aws(Vec::new(), region).await);
        }
        let run = if self.endpoint.is_none() && arn.function() == FUNCTION {
            Endpoint::of_run(&self.state_dir()?, arn.name())
        } else {
            None
        };
        match run {
            Some(endpoint) => {
                let place = Place::of_endpoint(endpoint, Some(arn.name().to_owned()));
                // A name can be used for a run and in the service.
                if named(&place, FUNCTION, arn.name()).await?.as_ref() == Some(arn) {
                    Ok(place)
                } else {
                    self.any(None).await
                }
            }
            None => self.any(None).await,
        }
    }

    fn missing(&self, execution: &str) -> CliError {
        let nowhere = |hint: String| {
            CliError::broken(
                format!("there is no execution {execution}"),
                NoExecution(hint),
            )
        };
        if self.aws || self.endpoint.is_some() {
            return nowhere("it never was, or its retention period is over".to_owned());
        }
        let kept = self
            .state_dir()
            .ok()
            .map(|state| state.run(execution))
            .filter(|folder| is_name(execution) && folder.is_dir());
        nowhere(match kept {
            Some(_) => format!(
                "a longhaul run had it, and is over; `longhaul run --execution {execution}` with the same job goes on with it"
            ),
            None => "`longhaul ps --all` lists those that are there".to_owned(),
        })
    }
}

/// Whether this can be an execution's name, and so a part of a path.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoExecution(String);

/// One execution, and whom to ask about it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) arn: ExecutionArn,
}

/// The execution of this name, if the function has one.
async fn named(
    place: &Place,
    function: &str,
    execution: &str,
) -> Result<Option<ExecutionArn>, CliError> {
    let answer = place
        .client
        .list_durable_executions_by_function()
        .function_name(function)
        .durable_execution_name(execution)
        .max_items(1)
        .send()
        .await
        .map_err(|error| {
            place.error(
                &format!("looking for execution {execution} of function {function}"),
                error,
            )
        })?;
    answer
        .durable_executions()
        .first()
        .map(|found| {
            ExecutionArn::parse(found.durable_execution_arn())
                .map_err(|error| CliError::broken("reading the answer of the service", error))
        })
        .transpose()
}

async fn aws(functions: Vec<String>, region: Option<String>) -> Place {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    Place {
        client: Client::new(&loader.load().await),
        functions,
        kind: Kind::Aws,
    }
}

fn nobody(state: &StateDir) -> CliError {
    CliError::Usage(format!(
        "no service runs on {}: start one with `longhaul serve` in another terminal, name one with --endpoint URL, or ask AWS with --aws --function NAME",
        state.path().display()
    ))
}
