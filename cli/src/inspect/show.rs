//! `longhaul show`: everything about one execution.

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_sdk_lambda::operation::get_durable_execution::GetDurableExecutionOutput;
use aws_sdk_lambda::types::{ErrorObject, Event};
use clap::Args;
use console::Style;
use serde_json::{Value, json};

use super::history::{self, callback_ids, compute, contents, open_callbacks, started};
use super::place::Found;
use super::ps::style;
use super::text::{between, json as value, payload, printable, rfc3339, span, time};
use super::{Where, print};
use crate::error::CliError;

/// Show one execution
///
/// Where it stands, its events, its input, its result or its error.
///
/// The ids of callbacks are secrets and are not shown: `longhaul callback --execution` finds them by itself.
///
/// Exit codes: 0 it is there, however it stands; 1 it is not, or the service failed; 2 bad usage, or no service runs.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its name or its ARN
    execution: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Where,
}

pub(super) async fn run(args: &ShowArgs) -> Result<(), CliError> {
    let found = args.place.find(&args.execution).await?;
    let execution = get(&found).await?;
    let events = history::read(&found).await?;
    let mut text = if args.json {
        format!("{:#}\n", as_json(&found, &execution, &events))
    } else {
        as_text(&found, &execution, &events, SystemTime::now())
    };
    // A function can have recorded one anywhere.
    for id in callback_ids(&events) {
        text = text.replace(id, "[callback id]");
    }
    print(&text)
}

/// The execution itself.
pub(super) async fn get(found: &Found) -> Result<GetDurableExecutionOutput, CliError> {
    found
        .place
        .client
        .get_durable_execution()
        .durable_execution_arn(found.arn.as_str())
        .send()
        .await
        .map_err(|error| {
            found
                .place
                .error(&format!("reading execution {}", found.arn.name()), error)
        })
}

/// A status as it is printed.
pub(super) fn status(execution: &GetDurableExecutionOutput) -> String {
    execution.status.as_str().to_lowercase().replace('_', " ")
}

fn as_text(
    found: &Found,
    execution: &GetDurableExecutionOutput,
    events: &[Event],
    now: SystemTime,
) -> String {
    let began = time(&execution.start_timestamp);
    let until = execution.end_timestamp.as_ref().map_or(now, time);
    let whole = between(began, until);
    let (invocations, active) = compute(events);
    let status = status(execution);
    let bold = Style::new().bold().for_stdout();
    let dim = Style::new().dim().for_stdout();
    let mut text = String::new();
    let mut put = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    put(&format!(
        "{}  {}",
        bold.apply_to(found.arn.name()),
        style(&status).for_stdout().apply_to(&status)
    ));
    let mut fact = |name: &str, value: String| {
        put(&format!(
            "  {} {value}",
            dim.apply_to(format!("{name:<10}"))
        ));
    };
    let version = execution.version.as_deref().unwrap_or("$LATEST");
    fact("function", format!("{}:{version}", found.arn.function()));
    fact("arn", found.arn.to_string());
    fact(
        "started",
        format!(
            "{} ({} ago)",
            rfc3339(&execution.start_timestamp),
            span(between(began, now))
        ),
    );
    if let Some(ended) = &execution.end_timestamp {
        fact("ended", rfc3339(ended));
    }
    fact("took", span(whole));
    fact(
        "compute",
        format!(
            "{} in {invocations} invocation{}, suspended {}",
            span(active),
            if invocations == 1 { "" } else { "s" },
            span(whole.saturating_sub(active))
        ),
    );
    for job in events.iter().filter_map(started) {
        fact("job", format!("{}: {}", job.job, job.handle));
    }
    for callback in open_callbacks(events) {
        fact("waits for", format!("callback {}", callback.name));
    }
    put(&format!("\n{}", bold.apply_to("events")));
    for event in events {
        put(&event_line(event, began));
    }
    if let Some(input) = &execution.input_payload {
        put(&format!("\n{}\n{}", bold.apply_to("input"), payload(input)));
    }
    if let Some(result) = &execution.result {
        put(&format!(
            "\n{}\n{}",
            bold.apply_to("result"),
            payload(result)
        ));
    }
    if let Some(error) = &execution.error {
        put(&format!(
            "\n{}\n{}",
            bold.apply_to("error"),
            error_text(error)
        ));
    }
    text
}

fn event_line(event: &Event, began: SystemTime) -> String {
    let after = event
        .event_timestamp
        .as_ref()
        .map_or_else(String::new, |at| span(between(began, time(at))));
    let kind = event
        .event_type
        .as_ref()
        .map_or("(unknown)", |kind| kind.as_str());
    // The operation of an execution's own events is the execution.
    let operation = if kind.starts_with("Execution") {
        ""
    } else {
        event.name.as_deref().unwrap_or_default()
    };
    let said = contents(event);
    let why = said.error.map(|error| {
        let kind = error.error_type.as_deref().unwrap_or("error");
        let message = error.error_message.as_deref().unwrap_or_default();
        let first = message.lines().next().unwrap_or_default();
        format!("{kind}: {first}")
    });
    let parts = [Some(said.note), why];
    let details: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    let line = format!(
        "  {after:>9}  {kind:<22} {:<24} {}",
        printable(operation),
        printable(&details.join("; "))
    );
    line.trim_end().to_owned()
}

fn error_text(error: &ErrorObject) -> String {
    let mut text = String::new();
    if let Some(kind) = &error.error_type {
        let _ = writeln!(text, "  {}", printable(kind));
    }
    for part in [&error.error_message, &error.error_data]
        .into_iter()
        .flatten()
    {
        let _ = writeln!(text, "{}", payload(part));
    }
    text.trim_end().to_owned()
}

fn as_json(found: &Found, execution: &GetDurableExecutionOutput, events: &[Event]) -> Value {
    let (invocations, active) = compute(events);
    let error = |error: &ErrorObject| {
        json!({
            "type": error.error_type,
            "message": error.error_message,
            "data": error.error_data.as_deref().map(value),
        })
    };
    let events: Vec<Value> = events
        .iter()
        .map(|event| {
            let said = contents(event);
            json!({
                "id": event.event_id,
                "type": event.event_type.as_ref().map(|kind| kind.as_str()),
                "at": event.event_timestamp.as_ref().map(rfc3339),
                "operation": event.id,
                "name": event.name,
                "note": said.note,
                "payload": said.payload.map(value),
                "error": said.error.map(error),
            })
        })
        .collect();
    json!({
        "arn": found.arn.as_str(),
        "name": found.arn.name(),
        "function": found.arn.function(),
        "version": execution.version,
        "status": execution.status.as_str(),
        "started": rfc3339(&execution.start_timestamp),
        "ended": execution.end_timestamp.as_ref().map(rfc3339),
        "invocations": invocations,
        "compute_seconds": active.as_secs_f64(),
        "input": execution.input_payload.as_deref().map(value),
        "result": execution.result.as_deref().map(value),
        "error": execution.error.as_ref().map(error),
        "events": events,
    })
}
