//! Follows an execution to its end: its history and its job's output.

use std::time::Duration;

use aws_sdk_lambda::types::{ErrorObject, ExecutionStatus};
use longhaul_core::JobHandle;
use longhaul_process::ProcessBackend;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::happening::{self, Happening};
use super::local::Local;
use super::tail::Tail;
use super::view::View;
use crate::error::CliError;

/// How often the job's output is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With this result, JSON.
    Succeeded(String),
    /// Without one.
    Failed {
        status: String,
        error: Option<ErrorObject>,
    },
}

/// Follows one execution.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    local: &'a Local,
    jobs: ProcessBackend,
    arn: String,
    seen: i32,
    logs: Option<(Tail, Tail)>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(local: &'a Local, jobs: ProcessBackend, arn: String) -> Self {
        Self {
            local,
            jobs,
            arn,
            seen: 0,
            logs: None,
        }
    }

    /// Shows what happens until the execution is over.
    pub(crate) async fn follow(&mut self, view: &mut View) -> Result<End, CliError> {
        let mut news = self.local.service.subscribe();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.read_history(view).await? {
            // Until the service has something to say, the job's output.
            loop {
                tokio::select! {
                    said = news.recv() => match said {
                        // A receiver that has fallen behind loses nothing: the history has it all.
                        Ok(_) | Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => {
                            return Err(CliError::broken(
                                "the execution cannot be followed",
                                "the local durable service has ended",
                            ));
                        }
                    },
                    _ = look.tick() => self.show_output(view),
                }
            }
        }
        self.show_output(view);
        self.show_rest(view);
        end_of(self.local, &self.arn).await
    }

    /// Shows the events since the last call. Returns whether the execution is over.
    async fn read_history(&mut self, view: &mut View) -> Result<bool, CliError> {
        let mut ended = false;
        let mut pages = self
            .local
            .client
            .get_durable_execution_history()
            .durable_execution_arn(&self.arn)
            .include_execution_data(true)
            .into_paginator()
            .items()
            .send();
        while let Some(event) = pages.next().await {
            let event = event.map_err(|error| {
                CliError::broken(
                    "the execution's history cannot be read",
                    error.into_service_error(),
                )
            })?;
            if event.event_id <= self.seen {
                continue;
            }
            self.seen = event.event_id;
            let Some(happening) = happening::read(&event) else {
                continue;
            };
            ended |= happening == Happening::Ended;
            self.show_output(view);
            let pid = match &happening {
                Happening::Started { handle } => self.watch_job(handle),
                _ => None,
            };
            view.happened(&happening, pid);
        }
        Ok(ended)
    }

    /// Begins to show the output of a local job. Returns its process id.
    fn watch_job(&mut self, handle: &JobHandle) -> Option<u32> {
        if handle.backend() != super::job::LOCAL {
            return None;
        }
        let logs = self.jobs.logs(handle)?;
        self.logs = Some((Tail::new(logs.stdout), Tail::new(logs.stderr)));
        self.jobs.pid(handle)
    }

    fn show_output(&mut self, view: &View) {
        if let Some((stdout, stderr)) = &mut self.logs {
            for line in stdout.lines() {
                view.output("stdout", &line);
            }
            for line in stderr.lines() {
                view.output("stderr", &line);
            }
        }
    }

    fn show_rest(&mut self, view: &View) {
        if let Some((stdout, stderr)) = &mut self.logs {
            for (stream, tail) in [("stdout", stdout), ("stderr", stderr)] {
                if let Some(rest) = tail.rest() {
                    view.output(stream, &rest);
                }
            }
        }
    }
}

/// How the execution ended.
pub(super) async fn end_of(local: &Local, arn: &str) -> Result<End, CliError> {
    let execution = local
        .client
        .get_durable_execution()
        .durable_execution_arn(arn)
        .send()
        .await
        .map_err(|error| {
            CliError::broken(
                "the execution's result cannot be read",
                error.into_service_error(),
            )
        })?;
    if execution.status == ExecutionStatus::Succeeded {
        return Ok(End::Succeeded(
            execution.result.unwrap_or_else(|| "null".to_owned()),
        ));
    }
    Ok(End::Failed {
        status: execution.status.as_str().to_owned(),
        error: execution.error,
    })
}
