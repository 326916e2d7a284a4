//! Tests of fan-out with jobs in this process, over the embedded durable service.

pub(crate) mod script;

use std::sync::Arc;

use longhaul_emulator::Outcome;
use serde_json::{Value, json};

use super::*;
use crate::ExecutionError;
use crate::function::over;
use crate::testing::Setup;
use script::Script;

type Jobs = (Vec<Value>, RunAllOptions);

async fn set_up(jobs: &Script) -> Setup {
    let runner = JobRunner::new(Arc::new(jobs.clone()));
    let handle = over(runner, run);
    let setup = Setup::new(handle, |config| config).await;
    jobs.client(setup.client.clone());
    setup
}

/// Runs jobs with these inputs and tells what became of them.
async fn run(
    (inputs, options): Jobs,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Value, ExecutionError> {
    let name = JobName::from_text("same");
    let jobs = inputs
        .into_iter()
        .map(|input| JobSpec::new(name.clone()).with_input(input))
        .collect();
    let report = runner.run_all::<Value>(&ctx, jobs, options).await?;
    let ends: Vec<Value> = report
        .jobs
        .iter()
        .map(|end| match end {
            JobEnd::Succeeded(report) => report.result.clone(),
            JobEnd::Failed(error) => json!(error.error_type()),
            JobEnd::Unfinished { handle } => json!({"stopped": handle.is_some()}),
        })
        .collect();
    Ok(json!({"ends": ends, "met": report.met, "early": report.ended_early}))
}

async fn outcome(setup: &Setup, inputs: Vec<Value>, options: RunAllOptions) -> Value {
    match setup.run(json!([inputs, options])).await {
        Outcome::Succeeded(Some(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn give(n: usize) -> Value {
    json!({"give": n})
}

fn fail() -> Value {
    json!({"fail": "Failed"})
}

fn hang() -> Value {
    json!({"hang": true})
}

#[tokio::test]
async fn results_come_in_the_order_of_the_jobs_and_no_more_run_at_once_than_may() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let options = RunAllOptions::new().at_once(3);
    let told = outcome(&setup, (0..20).map(give).collect(), options).await;
    let ends: Vec<usize> = (0..20).collect();
    assert_eq!(told, json!({"ends": ends, "met": true, "early": false}));
    jobs.state(|state| {
        assert_eq!(state.starts.len(), 20, "each has its own token");
        assert!(state.starts.values().all(|times| *times == 1), "{state:?}");
        assert!(state.most <= 3, "{}", state.most);
        assert_eq!(state.cancelled.len(), 0);
    });
    setup.service.shutdown().await;
}

#[tokio::test]
async fn every_job_runs_to_its_end_whatever_becomes_of_the_others() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let inputs = vec![fail(), give(1), json!({"fail": "OutOfMemory"}), give(3)];
    let told = outcome(&setup, inputs, RunAllOptions::new().at_once(1)).await;
    let ends = json!(["Longhaul.Failed", 1, "Longhaul.OutOfMemory", 3]);
    assert_eq!(told, json!({"ends": ends, "met": false, "early": false}));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn the_first_failure_stops_what_runs_and_starts_nothing_more() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let inputs = vec![hang(), hang(), fail(), hang(), give(4)];
    let options = RunAllOptions::new()
        .at_once(3)
        .completion(Completion::FirstFailure);
    let told = outcome(&setup, inputs, options).await;
    let stopped = json!({"stopped": true});
    let never = json!({"stopped": false});
    let ends = json!([stopped, stopped, "Longhaul.Failed", never, never]);
    assert_eq!(told, json!({"ends": ends, "met": false, "early": true}));
    jobs.state(|state| {
        assert_eq!(state.started.len(), 3);
        assert!(state.running.is_empty(), "nothing is left running");
        assert_eq!(state.cancelled.len(), 2);
    });
    setup.service.shutdown().await;
}

#[tokio::test]
async fn failures_are_borne_up_to_their_number_and_one_more_ends_it() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let options = RunAllOptions::new()
        .at_once(1)
        .completion(Completion::Tolerate { failures: 1 });
    let two = vec![fail(), give(1), fail(), give(3)];
    let told = outcome(&setup, two, options.clone()).await;
    let failed = "Longhaul.Failed";
    let ends = json!([failed, 1, failed, {"stopped": false}]);
    assert_eq!(told, json!({"ends": ends, "met": false, "early": true}));
    let one = vec![fail(), give(1), give(2)];
    let told = outcome(&setup, one, options).await;
    let ends = json!([failed, 1, 2]);
    assert_eq!(told, json!({"ends": ends, "met": true, "early": false}));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn failures_are_borne_up_to_their_share() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let options = RunAllOptions::new()
        .at_once(2)
        .completion(Completion::ToleratePercent { percent: 50 });
    let half = vec![fail(), fail(), give(2), give(3)];
    let told = outcome(&setup, half, options.clone()).await;
    assert_eq!(told["met"], true, "{told}");
    let more = vec![fail(), fail(), fail(), hang()];
    let told = outcome(&setup, more, options).await;
    assert_eq!(told["met"], false, "{told}");
    assert_eq!(told["early"], true, "{told}");
    jobs.state(|state| assert!(state.running.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn the_first_successes_stop_the_rest() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let rule = |successes| {
        RunAllOptions::new()
            .at_once(5)
            .completion(Completion::FirstSuccesses { successes })
    };
    let told = outcome(
        &setup,
        vec![hang(), give(1), fail(), give(3), hang()],
        rule(2),
    )
    .await;
    assert_eq!((&told["met"], &told["early"]), (&json!(true), &json!(true)));
    assert_eq!((&told["ends"][1], &told["ends"][3]), (&json!(1), &json!(3)));
    assert_eq!(told["ends"][0], json!({"stopped": true}));
    // Two of three can no longer succeed: it does not wait for the third.
    let told = outcome(&setup, vec![fail(), fail(), hang()], rule(2)).await;
    assert_eq!(
        (&told["met"], &told["early"]),
        (&json!(false), &json!(true))
    );
    jobs.state(|state| assert!(state.running.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_job_that_is_tried_again_keeps_its_place() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let again = json!({"fail": "Interrupted", "then": {"give": "second"}});
    let options = RunAllOptions::new().at_once(2);
    let told = outcome(&setup, vec![give(0), again, give(2)], options).await;
    assert_eq!(told["ends"], json!([0, "second", 2]));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn what_can_never_run_is_refused_before_anything_starts() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let refused = async |inputs: Vec<Value>, options: RunAllOptions| {
        let event = json!([inputs, options]);
        match setup.run(event).await {
            Outcome::Failed(error) => error.error_type.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let options = RunAllOptions::new();
    let none = refused(vec![give(0)], options.clone().at_once(0)).await;
    assert_eq!(none, "Longhaul.InvalidOptions");
    let rule = Completion::FirstSuccesses { successes: 2 };
    let never = refused(vec![give(0)], options.clone().completion(rule)).await;
    assert_eq!(never, "Longhaul.InvalidOptions");
    let many = refused((0..=MAX_JOBS).map(give).collect(), options).await;
    assert_eq!(many, "Longhaul.TooManyJobs");
    jobs.state(|state| assert!(state.started.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn no_jobs_are_done_at_once() {
    let jobs = Script::default();
    let setup = set_up(&jobs).await;
    let told = outcome(&setup, Vec::new(), RunAllOptions::new()).await;
    assert_eq!(told, json!({"ends": [], "met": true, "early": false}));
    setup.service.shutdown().await;
}
