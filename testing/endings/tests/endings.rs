//! How an execution ends while jobs of it are running, and that nothing is left running.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use longhaul_endings::{Served, wait_for};
use serde_json::{Value, json};

/// How many jobs it has running when it ends.
const LASTING: usize = 3;

fn serve(words: &[&str]) -> Served {
    let function = format!("ending={}", env!("CARGO_BIN_EXE_endings"));
    let mut all = vec!["--function", &function];
    all.extend(words);
    Served::start(&all)
}

/// The start keys of the lasting jobs that have come to run, as often as they have.
fn started(serve: &Served) -> Vec<String> {
    let text = std::fs::read_to_string(serve.path().join("started")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_running(serve: &Served) {
    wait_for("all its jobs are running", || {
        (started(serve).len() == LASTING).then_some(())
    });
    // Three shims, three supervisors, three commands, and a child of each of those at least.
    let running = serve.jobs();
    assert!(running.len() >= 4 * LASTING, "{running:#?}");
}

/// Runs an execution that ends with `then`, and returns what became of it. Nothing is left running.
fn ended(serve: &Served, then: &str) -> Value {
    let arn = serve.invoke("ending", &json!({ "then": then }));
    let execution = serve.wait_closed(&arn);
    assert_eq!(
        started(serve).len(),
        LASTING,
        "{execution:#} {:#?}",
        serve.history(&arn)
    );
    serve.wait_for_no_jobs();
    execution
}

#[test]
fn a_handler_that_returns_an_error_leaves_nothing_running() {
    let serve = serve(&[]);
    let execution = ended(&serve, "fail");
    assert_eq!(execution["Status"], "FAILED", "{execution:#}");
    assert_eq!(execution["Error"]["ErrorType"], "Ending.Error");
    serve.end();
}

#[test]
fn a_handler_that_panics_leaves_nothing_running() {
    let serve = serve(&[]);
    let execution = ended(&serve, "panic");
    assert_eq!(execution["Status"], "FAILED", "{execution:#}");
    let error = execution["Error"].to_string();
    assert!(error.contains("the handler panics"), "{error}");
    serve.end();
}

#[test]
fn a_function_that_times_out_again_and_again_leaves_nothing_running() {
    let serve = serve(&["--function-timeout", "2s"]);
    let execution = ended(&serve, "hang");
    assert_eq!(execution["Status"], "FAILED", "{execution:#}");
    assert_eq!(execution["Error"]["ErrorType"], "Sandbox.Timedout");
    serve.end();
}

/// Neither a timeout of the function nor the death of its process is an end: the jobs run on, and the
/// next invocation finds them.
#[test]
fn a_function_that_times_out_or_dies_once_finds_its_jobs_again_and_leaves_nothing_running() {
    for then in ["hang_once", "die_once"] {
        let serve = serve(&["--function-timeout", "2s"]);
        let arn = serve.invoke("ending", &json!({ "then": then }));
        wait_running(&serve);
        wait_for("an invocation has failed", || {
            let history = serve.history(&arn);
            let failed = |event: &Value| {
                event["EventType"] == "InvocationCompleted"
                    && !event["InvocationCompletedDetails"]["Error"]["Payload"].is_null()
            };
            history.iter().any(failed).then_some(())
        });
        std::fs::write(serve.path().join("go"), "").unwrap();
        let execution = serve.wait_closed(&arn);
        assert_eq!(execution["Status"], "SUCCEEDED", "{execution:#}");
        assert_eq!(execution["Result"], LASTING.to_string());
        let started = started(&serve);
        assert_eq!(started.len(), LASTING, "none was started twice");
        assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), LASTING);
        serve.wait_for_no_jobs();
        serve.end();
    }
}

#[test]
fn an_execution_that_times_out_leaves_nothing_running() {
    let serve = serve(&["--execution-timeout", "10s"]);
    let execution = ended(&serve, "wait");
    assert_eq!(execution["Status"], "TIMED_OUT", "{execution:#}");
    serve.end();
}

#[test]
fn an_execution_that_is_stopped_leaves_nothing_running() {
    let serve = serve(&[]);
    let arn = serve.invoke("ending", &json!({"then": "wait"}));
    wait_running(&serve);
    serve.stop(&arn);
    assert_eq!(serve.wait_closed(&arn)["Status"], "STOPPED");
    serve.wait_for_no_jobs();
    serve.end();
}
