//! The example, run by `longhaul serve` with real processes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use longhaul_endings::Served;
use serde_json::{Value, json};

#[test]
fn a_survey_of_fifty_tiles_bears_those_that_fail_or_are_killed_and_says_which_and_why() {
    let function = format!("survey={}", env!("CARGO_BIN_EXE_three-stages"));
    let serve = Served::start(&["--function", &function]);
    let arn = serve.invoke("survey", &json!({"tiles": 50}));
    let execution = serve.wait_closed(&arn);
    assert_eq!(execution["Status"], "SUCCEEDED", "{execution:#}");
    let survey: Value = serde_json::from_str(execution["Result"].as_str().unwrap()).unwrap();

    let cloudy = json!({"why": "Longhaul.Failed", "exit_code": 3, "signal": null});
    let killed = json!({"why": "Longhaul.Failed", "exit_code": null, "signal": 9});
    let lost = json!({"why": "Longhaul.Lost", "exit_code": null, "signal": 9});
    let mut missing: BTreeMap<usize, &Value> = BTreeMap::from([(25, &lost)]);
    missing.extend([3, 13, 23, 33, 43].map(|tile| (tile, &cloudy)));
    missing.extend([7, 17, 27, 37, 47].map(|tile| (tile, &killed)));
    let measured: Vec<usize> = (0..50).filter(|tile| !missing.contains_key(tile)).collect();
    let heights = || measured.iter().map(|tile| tile * 7 % 101);
    assert_eq!(
        survey,
        json!({
            "summary": {
                "tiles": measured.len(),
                "highest": heights().max(),
                "sum": heights().sum::<usize>(),
            },
            "measured": measured,
            "tried_again": {"35": 2},
            "missing": missing,
        })
    );

    let history = serve.history(&arn);
    let count = |kind: &str| history.iter().filter(|e| e["EventType"] == kind).count();
    // Three stages with 1, 50 and 1 jobs, one of which had two attempts.
    assert_eq!(count("CallbackStarted"), 53);
    assert_eq!(count("CallbackSucceeded"), 41);
    assert_eq!(count("CallbackFailed"), 11, "exit codes, signals, SIGTERM");
    assert_eq!(count("CallbackTimedOut"), 1, "nobody told of tile 25");
    let steps = |begin: &str| {
        let of = |event: &&Value| {
            event["EventType"] == "StepSucceeded"
                && event["Name"].as_str().unwrap().starts_with(begin)
        };
        history.iter().filter(of).count()
    };
    assert_eq!(steps("start plan"), 1);
    assert_eq!(steps("start measure"), 51);
    assert_eq!(steps("start sum-up"), 1);
    assert_eq!(count("StepFailed"), 0, "nothing was started twice");
    assert_eq!(history.last().unwrap()["EventType"], "ExecutionSucceeded");

    serve.wait_for_no_jobs();
    serve.end();
}

#[test]
fn a_survey_with_too_much_trouble_fails_with_what_went_wrong_and_leaves_nothing_running() {
    let function = format!("survey={}", env!("CARGO_BIN_EXE_three-stages"));
    let serve = Served::start(&["--function", &function]);
    // Tile 3 is one of 8 and borne; tile 7 is one too many.
    let arn = serve.invoke("survey", &json!({"tiles": 8, "may_miss": 20}));
    let execution = serve.wait_closed(&arn);
    assert_eq!(execution["Status"], "FAILED", "{execution:#}");
    assert_eq!(execution["Error"]["ErrorType"], "Longhaul.NotMet");
    let message = execution["Error"]["ErrorMessage"].as_str().unwrap();
    assert!(message.contains("2 of 8 jobs failed"), "{message}");
    assert!(message.contains("under cloud"), "{message}");
    serve.wait_for_no_jobs();
    serve.end();
}
