//! `longhaul run --each`, as a person uses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use serde_json::{Value, json};
use support::{Finished, World, wait_gone, wait_until};

fn job(world: &World, script: &str) -> String {
    let job = json!({"name": "one", "command": ["/bin/sh", "-c", script]});
    world.file("job.json", &job.to_string())
}

fn lines(finished: &Finished) -> Vec<Value> {
    let lines = finished.stdout.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Gives its input back; 3 and 5 fail.
const SOME_FAIL: &str = "case $LONGHAUL_INPUT in 3|5) echo sorry >&2; exit 7;; esac; \
     printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"";

#[test]
fn results_come_in_the_order_of_the_inputs_and_failures_are_grouped() {
    let world = World::new();
    let job = job(&world, SOME_FAIL);
    let inputs = world.file("in.jsonl", "1\n2\n3\n\n4\n5\n");
    let finished = world.run(&["--each", &inputs, "--jobs", "3", &job]);
    assert_eq!(finished.code(), Some(1), "{finished:#?}");
    let lines = lines(&finished);
    let results: Vec<&Value> = lines.iter().map(|line| &line["result"]).collect();
    assert_eq!(
        results,
        [&json!(1), &json!(2), &Value::Null, &json!(4), &Value::Null]
    );
    assert_eq!(lines[2]["error_type"], "Longhaul.Failed");
    assert_eq!(lines[2]["failure"]["exit_code"], 7);
    let end = finished.events.iter().find(|e| e["event"] == "finished");
    let summary = end.unwrap()["summary"].as_array().unwrap();
    let summary: Vec<&str> = summary.iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(summary[0], "3 of 5 succeeded, 2 failed, 0 not finished");
    assert!(
        summary[1].contains("Longhaul.Failed ×2: job 2, 4"),
        "{summary:?}"
    );
    assert_eq!(summary.len(), 2);
}

#[test]
fn failures_that_are_borne_are_a_success() {
    let world = World::new();
    let job = job(&world, SOME_FAIL);
    let inputs = world.file("in.jsonl", "1\n2\n3\n4\n5\n");
    let finished = world.run(&["--each", &inputs, "--jobs", "2", "--tolerate", "40%", &job]);
    assert_eq!(finished.code(), Some(0), "{finished:#?}");
    assert_eq!(lines(&finished).len(), 5);
}

#[test]
fn the_first_failure_stops_the_processes_of_the_others() {
    let world = World::new();
    let script = "if [ \"$LONGHAUL_INPUT\" = 2 ]; then while [ ! -s pid1 ]; do sleep 0.02; done; exit 1; fi; \
         echo $$ > pid.tmp; mv pid.tmp pid$LONGHAUL_INPUT; exec sleep 600";
    let job = job(&world, script);
    let inputs = world.file("in.jsonl", "1\n2\n3\n");
    let finished = world.run(&["--each", &inputs, "--jobs", "2", "--fail-fast", &job]);
    assert_eq!(finished.code(), Some(1), "{finished:#?}");
    let lines = lines(&finished);
    let ends: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(ends, ["unfinished", "failed", "unfinished"]);
    let pid = std::fs::read_to_string(world.path().join("pid1")).unwrap();
    wait_gone(pid.trim().parse().unwrap());
    assert!(
        !world.path().join("pid3").exists(),
        "the third never started"
    );
}

#[test]
fn the_first_successes_are_enough() {
    let world = World::new();
    let script = "if [ \"$LONGHAUL_INPUT\" = 1 ]; then exec sleep 600; fi";
    let job = job(&world, script);
    let inputs = world.file("in.jsonl", "1\n2\n3\n4\n");
    let finished = world.run(&["--each", &inputs, "--jobs", "2", "--first", "2", &job]);
    assert_eq!(finished.code(), Some(0), "{finished:#?}");
    let lines = lines(&finished);
    assert_eq!(lines[0]["status"], "unfinished");
    assert_eq!(lines[1]["status"], "succeeded");
    assert_eq!(lines[2]["status"], "succeeded");
}

fn more_than_an_execution_holds(world: &World) -> String {
    let inputs: String = (0..1_003).map(|input| format!("{input}\n")).collect();
    world.file("in.jsonl", &inputs)
}

#[test]
fn more_inputs_than_an_execution_holds_are_run_in_parts_and_counted_together() {
    let world = World::new();
    let script = "if [ \"$LONGHAUL_INPUT\" = 1001 ]; then exit 7; fi; echo $LONGHAUL_INPUT >> ran; \
         printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"";
    let job = job(&world, script);
    let inputs = more_than_an_execution_holds(&world);
    let finished = world.run(&["--each", &inputs, "--jobs", "32", "--tolerate", "1", &job]);
    assert_eq!(finished.code(), Some(0), "{finished:#?}");
    let lines = lines(&finished);
    for (index, line) in lines.iter().enumerate() {
        let expected = if index == 1_001 {
            Value::Null
        } else {
            index.into()
        };
        assert_eq!(
            (&line["index"], &line["result"]),
            (&json!(index), &expected)
        );
    }
    assert_eq!(lines.len(), 1_003);
    let ran = std::fs::read_to_string(world.path().join("ran")).unwrap();
    let mut ran: Vec<usize> = ran.lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    let once: Vec<usize> = (0..1_003).filter(|input| *input != 1_001).collect();
    assert_eq!(ran, once, "each once");
    let told = |name: &str| -> Vec<&str> {
        let events = finished
            .events
            .iter()
            .filter(|event| event["event"] == name);
        events.map(|event| event["job"].as_str().unwrap()).collect()
    };
    assert_eq!(told("job_failed"), ["one[1001]"]);
    let mut succeeded = told("job_succeeded");
    succeeded.sort_unstable();
    succeeded.dedup();
    assert_eq!(succeeded.len(), 1_002);
}

#[test]
fn a_signal_stops_the_processes_of_a_part() {
    let world = World::new();
    let script = "echo $$ > pid.$LONGHAUL_INPUT.tmp; mv pid.$LONGHAUL_INPUT.tmp pid$LONGHAUL_INPUT; exec sleep 600";
    let job = job(&world, script);
    let inputs = more_than_an_execution_holds(&world);
    let run = world.start(&["--each", &inputs, "--jobs", "2", &job]);
    let pids = || -> Vec<u32> {
        let files = std::fs::read_dir(world.path()).unwrap().map(Result::unwrap);
        let files = files.filter(|file| {
            let name = file.file_name().into_string().unwrap();
            name.strip_prefix("pid")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        });
        files
            .map(|file| std::fs::read_to_string(file.path()).unwrap())
            .map(|pid| pid.trim().parse().unwrap())
            .collect()
    };
    wait_until("two jobs run", || pids().len() == 2);
    run.signal("INT");
    let finished = run.finish();
    assert_eq!(finished.code(), Some(130), "{finished:#?}");
    let pids = pids();
    assert_eq!(pids.len(), 2, "no other began");
    pids.into_iter().for_each(wait_gone);
}

#[test]
fn bad_lines_are_named_and_nothing_starts() {
    let world = World::new();
    let job = job(&world, "echo ran >> ran");
    let inputs = world.file("in.jsonl", "1\n{\"a\":\n3\nsoon\n");
    let finished = world.run(&["--each", &inputs, &job]);
    assert_eq!(finished.code(), Some(2), "{finished:#?}");
    assert_eq!(finished.stdout, "");
    for part in ["in.jsonl", "line 2", "line 4", "nothing was started"] {
        assert!(finished.plain.contains(part), "{part}: {}", finished.plain);
    }
    assert!(!world.path().join("ran").exists());
    for bad in [["--tolerate", "x"], ["--first", "9"], ["--jobs", "0"]] {
        let inputs = world.file("in.jsonl", "1\n");
        let finished = world.run(&["--each", &inputs, bad[0], bad[1], &job]);
        assert_eq!(finished.code(), Some(2), "{bad:?} {finished:#?}");
    }
}
