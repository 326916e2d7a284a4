//! `longhaul run --each`: the same job for many inputs, in one execution, or in parts of it that are executions of their own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use longhaul_core::{CallbackResult, ExecutionId, PayloadStore, payload};
use longhaul_emulator::Lifetime;
use longhaul_lambda::event::FanOut;
use longhaul_lambda::{Completion, FanOutReport, JobEnd, RunAllOptions};
use serde_json::{Value, json};

use super::board::Board;
use super::local::{FunctionEnvironment, Local};
use super::view::{Mode, View};
use super::{Signals, end_jobs, execution_name, finish, invoke, job, payloads, stop};
use crate::args::{ManyArgs, RunArgs};
use crate::error::CliError;
use crate::run::follow::End;
use crate::state::{self, StateDir};

/// How many bad lines are named before the rest is only counted.
const NAMED: usize = 5;

pub(super) async fn run(args: &RunArgs) -> Result<ExitCode, CliError> {
    let Some(path) = &args.many.each else {
        return Err(CliError::Usage("--each names no file".to_owned()));
    };
    let from_stdin = |path: &Path| path.as_os_str() == "-";
    if from_stdin(path) && args.file.as_deref().is_some_and(from_stdin) {
        return Err(CliError::Usage(
            "the job and the inputs cannot both come from standard input".to_owned(),
        ));
    }
    let job = job::read(args)?;
    let inputs = inputs(path)?;
    let options = options(&args.many, &job, inputs.len())?;
    let fan_out = FanOut {
        job,
        inputs,
        options,
    };
    let event = fan_out
        .event()
        .map_err(|error| CliError::broken("the jobs cannot be written as JSON", error))?;
    let FanOut { job, inputs, .. } = fan_out;
    let inputs = inputs.iter().map(Value::to_string).collect();

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
    state.prune();
    // Best effort: what is left over is tried again by the next run.
    let _ = environment.local_jobs()?.prune(state::KEPT).await;
    let local = Local::start(&state, &execution, &environment, lifetime).await?;
    let mode = Mode::choose(args.quiet, args.json);
    let mut view = View::new(mode);
    let arn = invoke(&local, &event, &execution).await?;
    view.execution_started(job.name.as_str(), &execution, &arn);

    let mut board = Board::new(&local, arn.clone(), mode, inputs);
    let end = tokio::select! {
        end = board.follow() => end?,
        signal = signals.next() => {
            board.clear();
            view.stopping(signal.name);
            let cancelled = stop(local, &arn, signal.name).await?;
            view.stopped(cancelled);
            return Ok(ExitCode::from(signal.exit_code));
        }
    };
    drop(board);
    let id = ExecutionId::from_arn(&arn);
    let End::Succeeded(result) = end else {
        // It failed, maybe with jobs under way: nobody listens to them any more.
        end_jobs(local, &arn, "the execution failed").await?;
        return finish(&mut view, end);
    };
    local.service.shutdown().await;
    let result = payloads::read(result, &id, store.as_deref()).await?;
    let report: FanOutReport<CallbackResult> = serde_json::from_str(&result)
        .map_err(|error| CliError::broken("the execution's report cannot be read", error))?;
    print(&report, store.as_deref()).await?;
    view.summary(&summary(&report), report.met);
    Ok(if report.met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The inputs, a JSON value a line. Empty lines are none.
fn inputs(path: &Path) -> Result<Vec<Value>, CliError> {
    let (name, text) = if path.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        ("standard input".to_owned(), read.map(|_| text))
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    let text = text.map_err(|error| CliError::Usage(format!("{name} cannot be read: {error}")))?;
    parse(&text).map_err(|problem| CliError::Usage(format!("{name}: {problem}")))
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut inputs = Vec::new();
    let mut bad = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(input) => inputs.push(input),
            Err(error) => {
                // Of one line, serde_json knows only the column.
                let problem = error.to_string();
                let problem = problem.split(" at line ").next().unwrap_or(&problem);
                bad.push(format!(
                    "line {}, column {}: {problem}",
                    number + 1,
                    error.column()
                ));
            }
        }
    }
    if !bad.is_empty() {
        let more = bad.len().saturating_sub(NAMED);
        bad.truncate(NAMED);
        let more = if more > 0 {
            format!("\n  and {more} more")
        } else {
            String::new()
        };
        return Err(format!(
            "not every line is JSON; nothing was started\n  {}{more}",
            bad.join("\n  ")
        ));
    }
    if inputs.is_empty() {
        return Err("holds no input: write one JSON value a line".to_owned());
    }
    Ok(inputs)
}

fn options(
    args: &ManyArgs,
    job: &longhaul_core::JobSpec,
    jobs: usize,
) -> Result<RunAllOptions, CliError> {
    let at_once = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        usize::from,
    );
    let rule = match (&args.tolerate, args.first) {
        (Some(text), _) => tolerate(text).ok_or_else(|| {
            CliError::Usage(format!(
                "--tolerate {text:?}: use a number of failures, as in 3, or a share, as in 10%"
            ))
        })?,
        (None, Some(successes)) if successes == 0 || successes > jobs => {
            return Err(CliError::Usage(format!(
                "--first {successes}: there are {jobs} inputs: use 1 to {jobs}"
            )));
        }
        (None, Some(successes)) => Completion::FirstSuccesses { successes },
        (None, None) if args.fail_fast => Completion::FirstFailure,
        (None, None) => Completion::All,
    };
    Ok(RunAllOptions::new()
        .name(job.name.clone())
        .at_once(at_once)
        .completion(rule))
}

fn tolerate(text: &str) -> Option<Completion> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
            Some(Completion::ToleratePercent { percent })
        }
        None => Some(Completion::Tolerate {
            failures: text.parse().ok()?,
        }),
    }
}

/// Writes what became of each job, a line each.
async fn print(report: &FanOutReport<CallbackResult>, store: Option<&str>) -> Result<(), CliError> {
    let store = match store {
        Some(url) => Some(
            longhaul_payload::open(url)
                .map_err(|error| CliError::broken("the payload store cannot be opened", error))?,
        ),
        None => None,
    };
    let store: Option<Arc<dyn PayloadStore>> = store;
    let unwritten = |error| CliError::broken("the results cannot be written", error);
    for (index, end) in report.jobs.iter().enumerate() {
        let line = line(index, end, store.as_deref()).await?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").map_err(unwritten)?;
    }
    std::io::stdout().lock().flush().map_err(unwritten)
}

async fn line(
    index: usize,
    end: &JobEnd<CallbackResult>,
    store: Option<&dyn PayloadStore>,
) -> Result<String, CliError> {
    Ok(match end {
        JobEnd::Succeeded(report) => {
            let text = match &report.result {
                CallbackResult::Inline(text) => text.clone(),
                CallbackResult::Reference(uri) => {
                    payload::get_result(store, uri).await.map_err(|error| {
                        CliError::broken(
                            format!("job {index} succeeded, and its result cannot be had from the payload store"),
                            error,
                        )
                    })?
                }
            };
            // As the job wrote it, on one line; what is not JSON is told as a text.
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            json!({"index": index, "status": "succeeded", "attempts": report.attempts, "result": value})
                .to_string()
        }
        JobEnd::Failed(error) => {
            let failure = error.job_failure();
            json!({"index": index, "status": "failed", "error_type": error.error_type(),
                "message": error.error_message(), "failure": failure})
            .to_string()
        }
        _ => json!({"index": index, "status": "unfinished"}).to_string(),
    })
}

/// How many ended how, and the failures by their class.
fn summary(report: &FanOutReport<CallbackResult>) -> Vec<String> {
    let mut lines = vec![format!(
        "{} of {} succeeded, {} failed, {} not finished",
        report.succeeded(),
        report.jobs.len(),
        report.failed(),
        report.unfinished()
    )];
    let mut classes: BTreeMap<&str, Vec<usize>> = report.failures();
    while let Some((class, jobs)) = classes.pop_first() {
        let first = jobs
            .first()
            .and_then(|index| report.jobs.get(*index)?.error());
        let message = first.map(longhaul_lambda::RunError::error_message);
        let numbers: Vec<String> = jobs.iter().take(10).map(usize::to_string).collect();
        let more = if jobs.len() > 10 { ", …" } else { "" };
        lines.push(format!(
            "  {class} ×{}: job {}{more}: {}",
            jobs.len(),
            numbers.join(", "),
            message.unwrap_or_default()
        ));
    }
    if let Some(problem) = &report.unstopped {
        lines.push(format!("  jobs may still be running: {problem}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_input_and_a_bad_one_is_named() {
        let inputs = parse("1\n\n{\"a\": 2}\n\"x\"\n").unwrap();
        assert_eq!(inputs, [json!(1), json!({"a": 2}), json!("x")]);
        let problem = parse("1\n{\"a\":\n2\nsoon\n").unwrap_err();
        assert!(problem.contains("line 2, column 5"), "{problem}");
        assert!(problem.contains("line 4, column 1"), "{problem}");
        assert!(parse(&"x\n".repeat(9)).unwrap_err().contains("and 4 more"));
        assert!(parse("\n").unwrap_err().contains("holds no input"));
    }

    #[test]
    fn a_tolerance_is_a_number_or_a_share() {
        assert_eq!(tolerate("3"), Some(Completion::Tolerate { failures: 3 }));
        let share = Completion::ToleratePercent { percent: 10 };
        assert_eq!(tolerate("10%"), Some(share));
        for bad in ["", "%", "101%", "-1", "some"] {
            assert_eq!(tolerate(bad), None, "{bad}");
        }
    }
}
