//! `longhaul run`: a job from a durable function to its result, on this machine.

mod board;
mod each;
mod follow;
pub(crate) mod happening;
mod job;
pub(crate) mod local;
mod payloads;
pub(crate) mod tail;
mod view;

use std::io::Write as _;
use std::process::ExitCode;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ErrorObject, InvocationType};
use longhaul_core::{ExecutionId, JobFailure};
use longhaul_emulator::Lifetime;
use longhaul_lambda::JobRunner;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::RunArgs;
use crate::error::{CliError, full_message};
use crate::state::{self, StateDir};
use follow::{End, Follower};
pub(crate) use job::LOCAL;
use local::{FUNCTION, FunctionEnvironment, Local};
use view::{Mode, View};

/// Runs the command and says how it ended.
pub(crate) async fn main(args: RunArgs) -> ExitCode {
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "error: {}", full_message(&error));
            error.exit_code()
        }
    }
}

async fn run(args: &RunArgs) -> Result<ExitCode, CliError> {
    if args.many.each.is_some() {
        return each::run(args).await;
    }
    let job = job::read(args)?;
    let state = StateDir::find(args.state.as_deref())?;
    let execution = match &args.execution {
        Some(name) => execution_name(name)?,
        None => uuid::Uuid::now_v7().to_string(),
    };
    let backend = job::backend(&job);
    let store = args.payload_store.as_deref();
    let store = payloads::url(store, backend, &state.payloads(&execution))?;
    let environment =
        FunctionEnvironment::new(backend, &state)?.with_payload_store(store.as_deref());
    environment.config()?;
    let mut signals = Signals::listen()?;
    let lifetime = if args.fresh {
        Lifetime::Fresh
    } else {
        Lifetime::Reuse
    };
    let jobs = environment.local_jobs()?;
    state.prune();
    // Best effort: what is left over is tried again by the next run.
    let _ = jobs.prune(state::KEPT).await;
    let local = Local::start(&state, &execution, &environment, lifetime).await?;
    let mut view = View::new(Mode::choose(args.quiet, args.json));
    let event = serde_json::to_value(&job)
        .map_err(|error| CliError::broken("the job cannot be written as JSON", error))?;
    let arn = invoke(&local, &event, &execution).await?;
    view.execution_started(job.name.as_str(), &execution, &arn);

    let mut follower = Follower::new(&local, jobs, arn.clone());
    let outcome = tokio::select! {
        end = follower.follow(&mut view) => Outcome::Ended(end?),
        signal = signals.next() => Outcome::Signal(signal),
    };
    match outcome {
        Outcome::Ended(mut end) => {
            local.service.shutdown().await;
            if let End::Succeeded(result) = end {
                let id = ExecutionId::from_arn(&arn);
                end = End::Succeeded(payloads::read(result, &id, store.as_deref()).await?);
            }
            finish(&mut view, end)
        }
        Outcome::Signal(signal) => {
            view.stopping(signal.name);
            let cancelled = stop(local, &arn, signal.name).await?;
            view.stopped(cancelled);
            Ok(ExitCode::from(signal.exit_code))
        }
    }
}

enum Outcome {
    Ended(End),
    Signal(Signal),
}

/// A name that the service allows, and that is no path.
fn execution_name(name: &str) -> Result<String, CliError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err(CliError::Usage(format!(
            "--execution {name:?}: use 1 to 64 letters, digits, `-` or `_`"
        )))
    }
}

/// Starts the execution, without waiting for it. Returns its ARN.
async fn invoke(local: &Local, event: &Value, execution: &str) -> Result<String, CliError> {
    let event = event.to_string().into_bytes();
    let size = event.len();
    let answer = local
        .client
        .invoke()
        .function_name(FUNCTION)
        .qualifier("$LATEST")
        .invocation_type(InvocationType::Event)
        .durable_execution_name(execution)
        .payload(Blob::new(event))
        .send()
        .await
        .map_err(|error| {
            let error = error.into_service_error();
            if error.is_durable_execution_already_started_exception() {
                CliError::Usage(format!(
                    "--execution {execution}: an execution of this name is there with another job: choose another name"
                ))
            } else if error.is_request_too_large_exception() {
                CliError::Usage(format!(
                    "too large: an execution takes 1 MiB, and this is {size} bytes as JSON: put the data somewhere \
                     and give their place as the input, or split the file of --each"
                ))
            } else if error.is_invalid_parameter_value_exception() {
                CliError::Usage(format!("the execution cannot start: {}", full_message(&error)))
            } else {
                CliError::broken("the execution did not start", error)
            }
        })?;
    answer
        .durable_execution_arn()
        .map(str::to_owned)
        .ok_or_else(|| CliError::broken("the execution did not start", "the service named no ARN"))
}

/// The ARNs of all executions of a run, oldest first: its own and those of parts of its jobs. Each run has a service of its
/// own.
async fn executions(local: &Local) -> Result<Vec<String>, CliError> {
    let list = local.client.list_durable_executions_by_function();
    let mut pages = list.function_name(FUNCTION).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(execution) = pages.next().await {
        let execution = execution.map_err(|error| {
            CliError::broken(
                "the executions cannot be listed",
                error.into_service_error(),
            )
        })?;
        found.push((
            *execution.start_timestamp(),
            execution.durable_execution_arn,
        ));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, arn)| arn).collect())
}

/// Stops what `executions` may have left running. Returns how many jobs were cancelled.
async fn cancel_all(
    runner: &JobRunner,
    executions: &[String],
    reason: &str,
) -> Result<usize, CliError> {
    let mut cancelled = 0;
    let mut failed = None;
    for arn in executions {
        let execution = ExecutionId::from_arn(arn);
        match runner.cancel_all(&execution, reason).await {
            Ok(outcomes) => {
                for (handle, result) in outcomes {
                    match result {
                        Ok(_) => cancelled += 1,
                        Err(error) => {
                            let what = format!("job {handle} could not be cancelled");
                            failed = failed.or(Some(CliError::broken(what, error)));
                        }
                    }
                }
            }
            Err(error) => {
                let error = CliError::broken("the jobs could not be listed", error);
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(cancelled), Err)
}

async fn stop_execution(local: &Local, arn: &str, why: &str) -> Result<(), CliError> {
    let reason = ErrorObject::builder()
        .error_type("Longhaul.Stopped")
        .error_message(why)
        .build();
    let stop = local.client.stop_durable_execution();
    let stopped = stop.durable_execution_arn(arn).error(reason).send().await;
    stopped.map(drop).map_err(|error| {
        CliError::broken(
            "the execution could not be stopped",
            error.into_service_error(),
        )
    })
}

/// Stops the executions of parts of the jobs of `arn`, which begins no part any more. Returns all executions of the run.
async fn stop_parts(local: &Local, arn: &str, why: &str) -> Result<Vec<String>, CliError> {
    let executions = executions(local).await?;
    for part in executions.iter().filter(|part| *part != arn) {
        // One that has ended cannot be stopped, and what of its jobs may run is cancelled in any case.
        drop(stop_execution(local, part, why).await);
    }
    Ok(executions)
}

/// Stops the execution and every job of it; leaves no process behind. Returns how many jobs were
/// cancelled.
async fn stop(local: Local, arn: &str, signal: &str) -> Result<usize, CliError> {
    let reason = format!("stopped by {signal}");
    let stopped = stop_execution(&local, arn, &reason).await;
    let cancelled = end_jobs(local, arn, &reason).await;
    stopped.and(cancelled)
}

/// Ends the service and every job of an execution that is over; leaves no process behind. Returns how many jobs were
/// cancelled.
async fn end_jobs(local: Local, arn: &str, reason: &str) -> Result<usize, CliError> {
    let all = stop_parts(&local, arn, reason).await;
    let known = [arn.to_owned()];
    let executions = all.as_deref().unwrap_or(&known);
    let Local {
        service, runner, ..
    } = local;
    // Once while the service still answers the workers, and once more after the function is gone,
    // for a job that was about to start.
    let first = cancel_all(&runner, executions, reason).await;
    service.shutdown().await;
    let second = cancel_all(&runner, executions, reason).await;
    all?;
    Ok(first? + second?)
}

fn finish(view: &mut View, end: End) -> Result<ExitCode, CliError> {
    match end {
        End::Succeeded(result) => {
            view.succeeded();
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{result}")
                .and_then(|()| stdout.flush())
                .map_err(|error| CliError::broken("the result cannot be written", error))?;
            Ok(ExitCode::SUCCESS)
        }
        End::Failed { status, error } => {
            let error = error.unwrap_or_else(|| ErrorObject::builder().build());
            let failure = JobFailure::from_wire(
                error.error_type.as_deref(),
                error.error_message.as_deref(),
                error.error_data.as_deref(),
            );
            view.failed(&status, &failure);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A signal that ends a run.
#[derive(Debug, Clone, Copy)]
struct Signal {
    name: &'static str,
    exit_code: u8,
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CliError::broken("signals cannot be caught", error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal { name: "Ctrl-C", exit_code: 130 },
            _ = self.terminate.recv() => Signal { name: "SIGTERM", exit_code: 143 },
        }
    }
}
