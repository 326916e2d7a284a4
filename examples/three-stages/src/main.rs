//! A durable function of three stages: plan a survey, measure its tiles side by side, sum up.
//!
//! Each stage is a job, or fifty, and the function sleeps while they run. Tiles that cannot be
//! measured are borne up to their share of the whole, and the result says which they were and why.
//!
//! ```console
//! $ cargo build --bins && target/debug/longhaul serve --function survey=target/debug/three-stages
//! $ aws lambda invoke --function-name 'survey:$LATEST' --payload '{"tiles":50}' …
//! ```

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use longhaul_core::{InvalidSpec, JobName, JobSpec};
use longhaul_lambda::{
    Completion, DurableContext, ExecutionError, FanOutReport, JobRunner, RunAllOptions, RunError,
    function,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What is to be surveyed: the function's event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    tiles: u32,
    /// How many in a hundred of the tiles may be missing from the survey.
    #[serde(default = "a_quarter")]
    may_miss: u8,
}

fn a_quarter() -> u8 {
    25
}

/// A tile, as the first stage plans it and the second measures it.
#[derive(Debug, Serialize, Deserialize)]
struct Tile {
    tile: u32,
    echo: i64,
}

/// What the third stage makes of the heights.
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    tiles: u32,
    highest: i64,
    sum: i64,
}

/// The function's result.
#[derive(Debug, Serialize)]
struct Survey {
    summary: Summary,
    /// The tiles that were measured.
    measured: Vec<usize>,
    /// How often each of them was tried that needed more than one attempt.
    tried_again: BTreeMap<usize, u32>,
    /// The tiles that could not be measured.
    missing: BTreeMap<usize, Missing>,
}

/// Why a tile is missing.
#[derive(Debug, Serialize)]
struct Missing {
    why: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    function::main(survey).await
}

async fn survey(
    area: Area,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Survey, ExecutionError> {
    let plan = job(
        "plan",
        include_str!("plan.sh"),
        &json!({"tiles": area.tiles}),
    )?;
    let tiles = runner.run::<Vec<Tile>>(&ctx, plan).await?.result;

    let jobs = tiles.iter().map(measure).collect::<Result<_, _>>()?;
    let options = RunAllOptions::new()
        .name(JobName::from_text("tiles"))
        .at_once(10)
        .completion(Completion::ToleratePercent {
            percent: area.may_miss,
        });
    let measured = runner.run_all::<i64>(&ctx, jobs, options).await?;
    let found = Found::new(&measured);
    let heights = measured.into_results()?;

    let sum_up = job("sum-up", include_str!("sum-up.sh"), &heights)?;
    let summary = runner.run::<Summary>(&ctx, sum_up).await?.result;
    Ok(Survey {
        summary,
        measured: found.measured,
        tried_again: found.tried_again,
        missing: found.missing,
    })
}

/// The job that measures a tile. One whose machine is taken away is tried again by default.
fn measure(tile: &Tile) -> Result<JobSpec, ExecutionError> {
    let mut job = job("measure", include_str!("measure.sh"), tile)?;
    job.heartbeat = Some(Duration::from_secs(10));
    job.retry.backoff = Duration::from_secs(1);
    Ok(job)
}

fn job<I: Serialize + ?Sized>(
    name: &str,
    script: &str,
    input: &I,
) -> Result<JobSpec, ExecutionError> {
    JobSpec::new(JobName::from_text(name))
        .with_command(["sh", "-c", script])
        .with_json_input(input)
        .map_err(|error: InvalidSpec| ExecutionError::new("Survey.Input", error.to_string()))
}

/// What the second stage found, without the heights.
struct Found {
    measured: Vec<usize>,
    tried_again: BTreeMap<usize, u32>,
    missing: BTreeMap<usize, Missing>,
}

impl Found {
    fn new(report: &FanOutReport<i64>) -> Self {
        let ends = || report.jobs.iter().enumerate();
        let succeeded = || ends().filter_map(|(tile, end)| Some((tile, end.report()?)));
        let failed = ends().filter_map(|(tile, end)| Some((tile, end.error()?)));
        Self {
            measured: succeeded().map(|(tile, _)| tile).collect(),
            tried_again: succeeded()
                .filter(|(_, report)| report.attempts > 1)
                .map(|(tile, report)| (tile, report.attempts))
                .collect(),
            missing: failed.map(|(tile, error)| (tile, error.into())).collect(),
        }
    }
}

impl From<&RunError> for Missing {
    fn from(error: &RunError) -> Self {
        let failure = error.job_failure();
        Self {
            why: error.error_type().to_owned(),
            exit_code: failure.and_then(|failure| failure.exit_code),
            signal: failure.and_then(|failure| failure.signal),
        }
    }
}
