//! Runs a durable handler to its end, moving the time from one thing that happens to the next.

use std::fmt::{self, Display};
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_durable_execution_sdk::DurableContext;
use longhaul_emulator::{
    Api, Clock as _, DurableConfig, FunctionConfig, Outcome, Service, ServiceConfig, Settled,
    StartExecution,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::Function;
use crate::{InMemory, worker};

/// How long, in real time, a run may take before it is given up as one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs durable handlers, with the jobs of one backend.
///
/// Every run is an execution of its own on an embedded durable service of its own, in this process and in a temporary folder.
/// The handler is invoked, suspended and replayed as on AWS, with the AWS SDK's client over loopback.
#[derive(Debug, Clone)]
pub struct Harness {
    backend: InMemory,
    execution_timeout: Duration,
    patience: Duration,
}

/// An execution that came to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<T, E> {
    /// What the handler returned, in its own types.
    pub outcome: Result<T, E>,
    /// How often the handler was invoked. One for a handler that never suspended.
    pub invocations: u32,
    /// How long the execution took, in virtual time.
    pub took: Duration,
}

/// A run that did not come to an end of the handler's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The embedded service or its client could not be set up or asked.
    #[error("the harness's own durable service failed: {what}")]
    Service {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The execution's timeout passed.
    #[error("the execution did not end within its timeout of {0:?}, in virtual time")]
    TimedOut(Duration),
    /// The execution ended otherwise than by a return of the handler: it panicked, say, or returned what cannot be serialised.
    #[error("the execution ended, and not by a return of the handler: {0}")]
    Ended(String),
    /// In real time nothing happened for too long: the handler waits for something that is not durable.
    #[error("the handler did not return or suspend within {0:?} of real time")]
    Hangs(Duration),
}

fn failed<E>(what: &'static str) -> impl Fn(E) -> HarnessError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| HarnessError::Service {
        what,
        source: error.into(),
    }
}

/// Lets the backend go on without the service when the run is over, however it ends.
struct Attached<'a>(&'a InMemory);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.world().service = None;
    }
}

impl Harness {
    /// A harness for functions whose jobs are on `backend`. One run at a time on one backend.
    #[must_use]
    pub fn new(backend: &InMemory) -> Self {
        Self {
            backend: backend.clone(),
            execution_timeout: Duration::from_secs(366 * 86_400),
            patience: PATIENCE,
        }
    }

    /// The execution's timeout, in whole seconds of virtual time. 366 days by default, the longest that Lambda takes.
    #[must_use]
    pub fn execution_timeout(mut self, timeout: Duration) -> Self {
        self.execution_timeout = timeout;
        self
    }

    /// How long a run may take in real time before it is given up. 60 s by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs `handler` with `input` to its end, as often as it is replayed.
    ///
    /// Run it in a tokio runtime whose clock is not paused.
    ///
    /// # Errors
    ///
    /// [`HarnessError`] when the execution did not end by a return of the handler. What the handler returns, an error too, is
    /// the [`outcome`](Finished::outcome).
    pub async fn run<I, T, E, F, Fut>(
        &self,
        handler: F,
        input: impl Serialize,
    ) -> Result<Finished<T, E>, HarnessError>
    where
        I: DeserializeOwned + Send + 'static,
        T: Serialize + Send + 'static,
        E: Display + Send + 'static,
        F: Fn(I, DurableContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let input = serde_json::to_string(&input).map_err(failed("write the input as JSON"))?;
        let state = tempfile::tempdir().map_err(failed("make a folder for its state"))?;
        let function = Arc::new(Function::default());
        let clock = self.backend.shared.clock.clone();
        let durable = DurableConfig::new(self.execution_timeout.as_secs(), 1);
        let config = ServiceConfig::new(state.path())
            .clock(Arc::new(clock.clone()))
            .function(
                FunctionConfig::handler("function", function.clone() as Arc<_>).durable(durable),
            );
        let service = Service::start(config).await.map_err(failed("start it"))?;
        let returned = function
            .set(&service.url(), handler)
            .map_err(failed("wrap the handler"))?;

        let began = clock.now();
        let api = service.api().clone();
        self.backend.world().service = Some((api.clone(), began));
        let attached = Attached(&self.backend);
        let outcome = tokio::time::timeout(self.patience, self.drive(&service, &api, input))
            .await
            .map_err(|_| HarnessError::Hangs(self.patience));
        drop(attached);
        let took = clock.now().since(began);
        service.shutdown().await;

        let ended = |what: String| HarnessError::Ended(what);
        let outcome = match outcome?? {
            Outcome::Succeeded(_) => returned.take().filter(Result::is_ok),
            Outcome::Failed(error) => match returned.take().filter(Result::is_err) {
                Some(outcome) => Some(outcome),
                None => {
                    let text = |part: Option<String>| part.unwrap_or_default();
                    return Err(ended(format!(
                        "{}: {}",
                        text(error.error_type),
                        text(error.error_message)
                    )));
                }
            },
            Outcome::TimedOut => return Err(HarnessError::TimedOut(self.execution_timeout)),
            _ => None,
        };
        Ok(Finished {
            outcome: outcome.ok_or_else(|| ended("it was stopped".to_owned()))?,
            invocations: function.invocations(),
            took,
        })
    }

    /// Starts the execution, and moves the time until it is over.
    async fn drive(
        &self,
        service: &Service,
        api: &Api,
        input: String,
    ) -> Result<Outcome, HarnessError> {
        let clock = &self.backend.shared.clock;
        // Before the start, so that no event is missed.
        let mut events = service.subscribe();
        let started = api
            .start_execution(StartExecution::new("function", input))
            .await
            .map_err(failed("start the execution"))?;
        let mut over = pin!(api.wait(&started.arn));
        loop {
            let settled = api
                .settle()
                .await
                .map_err(failed("let it do what is due"))?;
            tokio::select! {
                biased;
                outcome = &mut over => return outcome.map_err(failed("wait for the execution")),
                () = ready(()) => {}
            }
            let due = match settled {
                Settled::Until(due) => due,
                _ => {
                    // An event that was missed is one more reason to look again.
                    drop(events.recv().await);
                    continue;
                }
            };
            match (worker::next(&self.backend), due) {
                // At one moment the service's timers come first: a result at the timeout is late.
                (Some((at, job)), due) if due.is_none_or(|due| at < due) => {
                    clock.advance_to(at);
                    worker::act(&self.backend, &job)
                        .await
                        .map_err(failed("deliver what a job reported"))?;
                }
                (_, Some(due)) => clock.advance_to(due),
                // Over, and the wait is about to say so.
                (_, None) => tokio::task::yield_now().await,
            }
        }
    }
}

impl<T: fmt::Debug, E: fmt::Debug> Finished<T, E> {
    /// What the handler returned.
    ///
    /// # Panics
    ///
    /// When it returned an error.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is the assertion of a test")]
    pub fn result(self) -> T {
        match self.outcome {
            Ok(value) => value,
            Err(error) => panic!("the handler returned an error: {error:?}"),
        }
    }

    /// The error that the handler returned.
    ///
    /// # Panics
    ///
    /// When it returned a result.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is the assertion of a test")]
    pub fn error(self) -> E {
        match self.outcome {
            Ok(value) => panic!("the handler returned a result: {value:?}"),
            Err(error) => error,
        }
    }
}
