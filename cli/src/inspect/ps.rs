//! `longhaul ps`: executions, newest first.

use std::time::SystemTime;

use aws_sdk_lambda::types::{Execution, ExecutionStatus};
use clap::{Args, ValueEnum};
use console::{Style, pad_str};
use longhaul_emulator::ExecutionArn;
use serde_json::json;

use super::place::{Kind, Place};
use super::text::{between, rfc3339, span, time};
use super::{Where, print, say};
use crate::error::CliError;

/// List executions
///
/// Those that are open, unless --all or --status says otherwise.
///
/// On this machine: those of `longhaul serve`, and of every `longhaul run` that is under way.
///
/// Exit codes: 0, also when there is none; 1 the service failed; 2 bad usage, or no service runs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  longhaul ps\n  longhaul ps --status failed --json\n  longhaul ps --aws --function longhaul-handler --all"
)]
pub(crate) struct PsArgs {
    /// Only executions of this status. May be given several times
    #[arg(long, value_enum, conflicts_with = "all")]
    status: Vec<Status>,

    /// Also those that have ended
    #[arg(long, short)]
    all: bool,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Print JSON, one execution a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Where,
}

/// A status as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Running,
    Pausing,
    Paused,
    Succeeded,
    Failed,
    TimedOut,
    Stopped,
}

impl From<Status> for ExecutionStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            // Newer than the SDK.
            Status::Pausing => Self::from("PAUSING"),
            Status::Paused => Self::from("PAUSED"),
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::TimedOut => Self::TimedOut,
            Status::Stopped => Self::Stopped,
        }
    }
}

pub(super) async fn run(args: &PsArgs) -> Result<(), CliError> {
    let mut found = Vec::new();
    for place in args.place.places().await? {
        let statuses = statuses(args, &place);
        for function in &place.functions {
            let executions = match list(&place, function, &statuses, args.limit).await {
                Ok(executions) => executions,
                // It may have ended just now: what has ended is not there to be listed.
                Err(_) if matches!(place.kind, Kind::Run(_)) => continue,
                Err(error) => return Err(error),
            };
            found.extend(executions.into_iter().map(|it| (it, place.kind.clone())));
        }
    }
    found.sort_by_key(|(execution, _)| std::cmp::Reverse(time(&execution.start_timestamp)));
    let cut = found.len() > args.limit;
    found.truncate(args.limit);
    let now = SystemTime::now();
    if args.json {
        let lines: String = found.iter().map(|(it, kind)| line(it, kind)).collect();
        return print(&lines);
    }
    print(&table(&found, now))?;
    if found.is_empty() {
        say(if args.all || !args.status.is_empty() {
            "no such execution"
        } else {
            "no open execution; --all lists those that have ended, too"
        });
    } else if cut {
        say("there are more: raise --limit, or ask for less");
    }
    Ok(())
}

fn statuses(args: &PsArgs, place: &Place) -> Vec<ExecutionStatus> {
    if args.all {
        return Vec::new();
    }
    let wanted = match (args.status.as_slice(), place.is_local()) {
        ([], true) => &[Status::Running, Status::Pausing, Status::Paused],
        // Whether AWS takes a status that its SDK does not know is not known either.
        ([], false) => &[Status::Running][..],
        (chosen, _) => chosen,
    };
    wanted.iter().map(|status| (*status).into()).collect()
}

/// The newest executions of a function, one more than `limit` if there are more.
async fn list(
    place: &Place,
    function: &str,
    statuses: &[ExecutionStatus],
    limit: usize,
) -> Result<Vec<Execution>, CliError> {
    let mut pages = place
        .client
        .list_durable_executions_by_function()
        .function_name(function)
        .set_statuses((!statuses.is_empty()).then(|| statuses.to_vec()))
        .max_items(i32::try_from(limit.saturating_add(1).min(1_000)).unwrap_or(1_000))
        .into_paginator()
        .items()
        .send();
    let mut found = Vec::new();
    while found.len() <= limit
        && let Some(execution) = pages.next().await
    {
        found.push(execution.map_err(|error| {
            place.error(&format!("listing the executions of {function}"), error)
        })?);
    }
    Ok(found)
}

fn function_of(execution: &Execution) -> String {
    ExecutionArn::parse(execution.durable_execution_arn()).map_or_else(
        |_| execution.function_arn.clone(),
        |arn| arn.function().to_owned(),
    )
}

fn line(execution: &Execution, kind: &Kind) -> String {
    let service = match kind {
        Kind::Local(url) => json!({ "kind": "serve", "url": url }),
        Kind::Run(_) => json!({ "kind": "run" }),
        Kind::Aws => json!({ "kind": "aws" }),
    };
    let line = json!({
        "arn": execution.durable_execution_arn,
        "name": execution.durable_execution_name,
        "function": function_of(execution),
        "status": execution.status.as_str(),
        "started": rfc3339(&execution.start_timestamp),
        "ended": execution.end_timestamp.as_ref().map(rfc3339),
        "service": service,
    });
    format!("{line}\n")
}

fn table(found: &[(Execution, Kind)], now: SystemTime) -> String {
    if found.is_empty() {
        return String::new();
    }
    let header = [
        "EXECUTION",
        "STATUS",
        "FUNCTION",
        "STARTED",
        "TOOK",
        "SERVICE",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 6]> = found
        .iter()
        .map(|(execution, kind)| {
            let started = time(&execution.start_timestamp);
            let ended = execution.end_timestamp.as_ref().map_or(now, time);
            [
                execution.durable_execution_name.clone(),
                execution.status.as_str().to_lowercase().replace('_', " "),
                function_of(execution),
                format!("{} ago", span(between(started, now))),
                span(between(started, ended)),
                match kind {
                    Kind::Local(_) => "serve".to_owned(),
                    Kind::Run(_) => "run".to_owned(),
                    Kind::Aws => "aws".to_owned(),
                },
            ]
        })
        .collect();
    let mut widths = header.clone().map(|cell| cell.len());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for (number, row) in std::iter::once(&header).chain(&rows).enumerate() {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = pad_str(cell, width + 3, console::Alignment::Left, None);
            let style = match (number, column) {
                (0, _) => Style::new().dim(),
                (_, 1) => style(cell),
                _ => Style::new(),
            };
            text.push_str(&style.for_stdout().apply_to(padded).to_string());
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The colour of a status.
pub(super) fn style(status: &str) -> Style {
    match status {
        "succeeded" => Style::new().green(),
        "failed" | "timed out" => Style::new().red(),
        "stopped" => Style::new().yellow(),
        _ => Style::new().cyan(),
    }
}
