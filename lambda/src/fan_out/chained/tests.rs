//! Tests of jobs in chained executions, with jobs in this process, over the embedded durable
//! service: one function, which asks for the parts and runs them.

use async_trait::async_trait;
use bytes::Bytes;
use longhaul_core::JobName;
use longhaul_emulator::{
    DurableConfig, FunctionConfig, Invocation, InvocationError, InvocationHandler, Outcome,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::tests::script::Script;
use super::*;
use crate::ExecutionError;
use crate::function::{over, with_parts};
use crate::testing::{Setup, Store};

/// What the function is asked for.
#[derive(Serialize, Deserialize)]
struct Asked {
    inputs: Vec<Value>,
    options: RunAllOptions,
    jobs_in_part: usize,
    parts_at_once: usize,
    target: Option<String>,
}

fn asked(inputs: Vec<Value>, jobs_in_part: usize, rule: Completion) -> Asked {
    Asked {
        inputs,
        options: RunAllOptions::new().at_once(2).completion(rule),
        jobs_in_part,
        parts_at_once: 1,
        target: None,
    }
}

async fn set_up(jobs: &Script, store: Option<Arc<Store>>) -> Setup {
    let mut runner = JobRunner::new(Arc::new(jobs.clone()));
    if let Some(store) = store {
        runner = runner.with_payload_store(store);
    }
    let parts = with_parts(run);
    let handle = over(runner, move |event: Value, ctx, runner| {
        // A part that has this input never gets to its jobs.
        let fails = event.get("longhaul_part").is_some() && event.to_string().contains("no part");
        let answer = parts(event, ctx, runner);
        async move {
            if fails {
                return Err(ExecutionError::new("Test.NoPart", "the part fails"));
            }
            answer.await
        }
    });
    let short = FunctionConfig::handler("short", Arc::new(Never)).durable(DurableConfig::new(1, 1));
    let setup = Setup::new(handle, |config| config.function(short)).await;
    jobs.client(setup.client.clone());
    setup
}

/// A function that never answers, whose executions last a second.
struct Never;

#[async_trait]
impl InvocationHandler for Never {
    async fn invoke(&self, _: Invocation) -> Result<Bytes, InvocationError> {
        std::future::pending().await
    }
}

/// Runs jobs with these inputs and tells what became of them.
async fn run(
    asked: Asked,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Value, ExecutionError> {
    let job = |input| JobSpec::new(JobName::from_text("same")).with_input(input);
    let jobs = asked.inputs.into_iter().map(job).collect();
    let mut options = ChainedOptions::new(asked.options)
        .jobs_in_part(asked.jobs_in_part)
        .parts_at_once(asked.parts_at_once);
    options.target = asked.target;
    let (report, problem) = match runner.run_all_chained::<Value>(&ctx, jobs, options).await {
        Ok(report) => (report, Value::Null),
        Err(RunAllError::Parts(failed)) => {
            let parts = failed.parts.iter();
            let parts: Vec<_> = parts
                .map(|part| {
                    json!([
                        part.jobs.start,
                        part.jobs.end,
                        format!("{:?}", part.end),
                        part.error.error_type
                    ])
                })
                .collect();
            let problem = json!({"parts": parts, "text": failed.to_string()});
            (runner.read_all(failed.report).await, problem)
        }
        Err(error) => return Err(error.into()),
    };
    let ends: Vec<Value> = report
        .jobs
        .iter()
        .map(|end| match end {
            JobEnd::Succeeded(report) => report.result.clone(),
            JobEnd::Failed(error) => json!(error.error_type()),
            JobEnd::Unfinished { handle } => json!({"stopped": handle.is_some()}),
        })
        .collect();
    Ok(json!({"ends": ends, "met": report.met, "early": report.ended_early, "problem": problem}))
}

async fn told(setup: &Setup, asked: Asked) -> Value {
    match setup.run(serde_json::to_value(asked).unwrap()).await {
        Outcome::Succeeded(Some(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// How many executions there have been, the first included.
async fn executions(setup: &Setup) -> usize {
    let list = setup.client.list_durable_executions_by_function();
    let list = list.function_name("jobs").send().await.unwrap();
    list.durable_executions().len()
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

fn never() -> Value {
    json!({"stopped": false})
}

#[tokio::test]
async fn every_job_runs_once_in_executions_of_their_own_and_results_are_in_order() {
    for parts_at_once in [1, 2] {
        let jobs = Script::default();
        let setup = set_up(&jobs, None).await;
        let mut asked = asked((0..11).map(give).collect(), 3, Completion::All);
        asked.parts_at_once = parts_at_once;
        let told = told(&setup, asked).await;
        let ends: Vec<usize> = (0..11).collect();
        let all = json!({"ends": ends, "met": true, "early": false, "problem": null});
        assert_eq!(told, all);
        assert_eq!(
            executions(&setup).await,
            1 + 4,
            "a replay begins no part again"
        );
        jobs.state(|state| {
            assert_eq!(state.starts.len(), 11, "each has its own token");
            assert!(state.starts.values().all(|times| *times == 1), "{state:?}");
            assert!(state.most <= 2 * parts_at_once, "{}", state.most);
        });
        setup.service.shutdown().await;
    }
}

#[tokio::test]
async fn failures_of_earlier_parts_count_and_one_too_many_ends_it_all() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let rule = Completion::Tolerate { failures: 1 };
    let inputs = vec![fail(), give(1), hang(), fail(), give(4), give(5)];
    let told = told(&setup, asked(inputs, 2, rule)).await;
    let failed = "Longhaul.Failed";
    let ends = json!([failed, 1, {"stopped": true}, failed, never(), never()]);
    assert_eq!(
        told,
        json!({"ends": ends, "met": false, "early": true, "problem": null})
    );
    assert_eq!(
        executions(&setup).await,
        1 + 2,
        "no part begins after the end"
    );
    jobs.state(|state| assert!(state.running.is_empty(), "nothing is left running"));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_rule_is_for_all_the_jobs_and_not_for_those_of_a_part() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    // Half of all the jobs, and all of the first part.
    let half = Completion::ToleratePercent { percent: 50 };
    let of = asked(vec![fail(), fail(), give(2), give(3)], 2, half);
    let answer = told(&setup, of).await;
    assert_eq!(
        answer["ends"],
        json!(["Longhaul.Failed", "Longhaul.Failed", 2, 3])
    );
    assert_eq!(
        (&answer["met"], &answer["early"]),
        (&json!(true), &json!(false))
    );
    // More successes than a part has jobs, and none in the first part.
    let three = Completion::FirstSuccesses { successes: 3 };
    let inputs = vec![fail(), fail(), give(2), give(3), hang(), give(5), give(6)];
    let answer = told(&setup, asked(inputs, 2, three)).await;
    let failed = "Longhaul.Failed";
    let ends = json!([failed, failed, 2, 3, {"stopped": true}, 5, never()]);
    assert_eq!(answer["ends"], ends);
    assert_eq!(
        (&answer["met"], &answer["early"]),
        (&json!(true), &json!(true))
    );
    // Every failure is borne where none ends it.
    let answer = told(
        &setup,
        asked(vec![fail(), give(1), give(2)], 1, Completion::All),
    )
    .await;
    assert_eq!(answer["ends"], json!([failed, 1, 2]));
    assert_eq!(answer["met"], json!(false));
    jobs.state(|state| assert!(state.running.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn parts_of_one_round_end_by_themselves_and_the_next_round_never_begins() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let inputs = vec![hang(), fail(), give(2), give(3), give(4)];
    let mut asked = asked(inputs, 2, Completion::FirstFailure);
    asked.parts_at_once = 2;
    let told = told(&setup, asked).await;
    let ends = json!([{"stopped": true}, "Longhaul.Failed", 2, 3, never()]);
    assert_eq!(
        told,
        json!({"ends": ends, "met": false, "early": true, "problem": null})
    );
    assert_eq!(executions(&setup).await, 1 + 2);
    jobs.state(|state| assert!(state.running.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_part_that_fails_is_named_and_what_the_others_had_is_kept() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let bad = json!({"give": "no part"});
    let inputs = vec![give(0), give(1), bad, give(3), give(4)];
    let told = told(&setup, asked(inputs, 2, Completion::All)).await;
    assert_eq!(told["ends"], json!([0, 1, never(), never(), never()]));
    let problem = &told["problem"];
    assert_eq!(problem["parts"], json!([[2, 4, "Failed", "Test.NoPart"]]));
    let text = problem["text"].as_str().unwrap();
    for part in [
        "jobs 2 to 3",
        "Test.NoPart",
        "the part fails",
        "2 succeeded",
    ] {
        assert!(text.contains(part), "{text}");
    }
    jobs.state(|state| assert_eq!(state.started.len(), 2, "no part begins after it"));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_part_that_is_stopped_is_told_from_one_that_failed() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let stop = async {
        while jobs.state(|state| state.running.is_empty()) {
            tokio::task::yield_now().await;
        }
        let list = setup.client.list_durable_executions_by_function();
        let list = list.function_name("jobs").send().await.unwrap();
        // The newest is first.
        let part = list.durable_executions()[0].durable_execution_arn();
        let stop = setup.client.stop_durable_execution();
        stop.durable_execution_arn(part).send().await.unwrap();
    };
    let run = told(&setup, asked(vec![hang(), give(1)], 1, Completion::All));
    let (told, ()) = tokio::join!(run, stop);
    let parts = &told["problem"]["parts"];
    assert_eq!(parts[0][2], "Stopped", "{told}");
    assert_eq!(told["ends"], json!([never(), never()]));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_part_whose_time_is_over_is_told_from_one_that_failed() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let mut asked = asked(vec![give(0)], 1, Completion::All);
    asked.target = Some("short:$LATEST".to_owned());
    let told = told(&setup, asked).await;
    assert_eq!(told["problem"]["parts"][0][2], "TimedOut", "{told}");
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_large_report_comes_through_the_payload_store() {
    let store = Arc::new(Store::default());
    let jobs = Script::default();
    let setup = set_up(&jobs, Some(Arc::clone(&store))).await;
    // None is large enough to go there by itself.
    let large = |n: usize| json!({"give": format!("{n}{}", "x".repeat(20_000))});
    let inputs: Vec<_> = (0..20).map(large).collect();
    let results: Vec<_> = inputs.iter().map(|input| input["give"].clone()).collect();
    let told = told(&setup, asked(inputs, 15, Completion::All)).await;
    assert_eq!(told["ends"], json!(results));
    assert_eq!(told["met"], true);
    let stored = store.0.lock().unwrap().len();
    assert_eq!(stored, 1, "the report of the first part");
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_report_that_fits_nowhere_fails_its_part() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let large = vec![json!({"grow": 200_000}); 6];
    let told = told(&setup, asked(large, 6, Completion::All)).await;
    let part = &told["problem"]["parts"][0];
    assert_eq!(
        *part,
        json!([0, 6, "Failed", "Longhaul.Payload.TooLarge"]),
        "{told}"
    );
    setup.service.shutdown().await;
}

#[tokio::test]
async fn what_can_never_run_is_refused_before_anything_starts() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let refused = async |asked: Asked| match setup.run(serde_json::to_value(asked).unwrap()).await {
        Outcome::Failed(error) => error.error_type.unwrap(),
        other => panic!("{other:?}"),
    };
    let one = || asked(vec![give(0)], 1, Completion::All);
    let invalid = "Longhaul.InvalidOptions";
    assert_eq!(
        refused(Asked {
            jobs_in_part: 0,
            ..one()
        })
        .await,
        invalid
    );
    assert_eq!(
        refused(Asked {
            jobs_in_part: MAX_JOBS + 1,
            ..one()
        })
        .await,
        invalid
    );
    assert_eq!(
        refused(Asked {
            parts_at_once: 0,
            ..one()
        })
        .await,
        invalid
    );
    let target = Some("jobs".to_owned());
    assert_eq!(
        refused(Asked { target, ..one() }).await,
        invalid,
        "it has no qualifier"
    );
    let many = Completion::FirstSuccesses { successes: 2 };
    assert_eq!(refused(asked(vec![give(0)], 1, many)).await, invalid);
    assert_eq!(executions(&setup).await, 5, "no part began");
    jobs.state(|state| assert!(state.started.is_empty()));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn no_jobs_are_done_without_a_part() {
    let jobs = Script::default();
    let setup = set_up(&jobs, None).await;
    let told = told(&setup, asked(Vec::new(), 3, Completion::All)).await;
    assert_eq!(told["met"], true);
    assert_eq!(executions(&setup).await, 1);
    setup.service.shutdown().await;
}
