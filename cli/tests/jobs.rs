//! Jobs to their ends, each with the real command, function, service, worker and process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{World, is_alive, kill, wait_gone};

/// A command that answers with its input.
const ECHO: [&str; 3] = [
    "sh",
    "-c",
    "printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"",
];

fn echo(world: &World, input: &Value) -> Value {
    let job = json!({"name": "echo", "command": ECHO, "input": input});
    let job = world.file("echo.json", &job.to_string());
    world.run(&[&job]).result()
}

#[test]
fn the_example_job_gives_exactly_its_result_on_standard_output() {
    let world = World::new();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = world
        .command(&[
            "run",
            "workers/examples/hello.json",
            "--input",
            r#"{"message":"Test ECS task","processingTime":1}"#,
        ])
        .current_dir(root)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"status\":\"completed\",\"message\":\"Processed: Test ECS task\"}\n"
    );
    for line in [
        "callback created",
        "process started (pid ",
        "suspended, no compute while it waits",
        "Message: Test ECS task",
        "Processing Time: 1 seconds",
        "Simulating work...",
        "Result: ",
        "resumed after ",
        "done in ",
    ] {
        assert!(stderr.contains(line), "{line}: {stderr}");
    }
    assert!(!stderr.contains('\u{1b}'), "colours in a pipe: {stderr}");
}

#[test]
fn a_command_is_told_the_trace_that_it_belongs_to() {
    let world = World::new();
    let command = "printf '\"%s %s\"' \"$TRACEPARENT\" \"$TRACESTATE\" > \"$LONGHAUL_RESULT_FILE\"";
    let trace = |name: &str, input: &Value| {
        let job = json!({"name": "traced", "command": ["sh", "-c", command], "input": input});
        let job = world.file(name, &job.to_string());
        let result = world.run(&[&job]).result();
        result.as_str().unwrap().to_owned()
    };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let given = json!({"traceparent": parent, "tracestate": "rojo=1"});
    assert_eq!(trace("given.json", &given), format!("{parent} rojo=1"));
    let derived = trace("derived.json", &json!(null));
    assert!(
        longhaul_core::TraceContext::from_traceparent(&derived).is_some(),
        "{derived}"
    );
}

#[test]
fn a_new_function_process_for_every_invocation_works_the_same() {
    let world = World::new();
    let job = json!({"name": "echo", "command": ECHO, "input": {"k": 1}});
    let job = world.file("echo.json", &job.to_string());
    assert_eq!(world.run(&["--fresh", &job]).result(), json!({"k": 1}));
}

#[test]
fn quiet_prints_the_result_and_nothing_else() {
    let world = World::new();
    let output = world
        .command(&["run", "--quiet", "--", "true"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"null\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_message_with_quotes_newlines_emoji_and_nul_comes_back_as_it_was() {
    let world = World::new();
    for message in [
        "\"quotes\" 'and' \\backslashes\\ $HOME `id`",
        "lines\nand\r\nreturns\ttabs",
        "emoji 🚚 and ünïcödé \u{202e}",
        "a NUL \u{0} inside",
        "",
    ] {
        let input = json!({"message": message, "processingTime": 0});
        assert_eq!(echo(&world, &input), input);
    }
}

#[test]
fn the_shell_example_escapes_what_json_must_escape() {
    let world = World::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../workers/examples/hello.sh");
    for message in ["\"q\" \\b\\ $HOME", "two\nlines\ttab", "🚚 ü \u{1}"] {
        let job = json!({
            "name": "hello", "command": ["sh", script],
            "input": {"message": message, "processingTime": 0},
        });
        let job = world.file("hello.json", &job.to_string());
        assert_eq!(
            world.run(&[&job]).result(),
            json!({"status": "completed", "message": format!("Processed: {message}")})
        );
    }
}

#[test]
fn a_command_that_exits_3_fails_the_execution_with_code_and_stderr() {
    let world = World::new();
    let finished = world.run(&[
        "--",
        "sh",
        "-c",
        "echo first >&2; echo 'disk on fire' >&2; exit 3",
    ]);
    let failure = finished.failure();
    assert_eq!(failure["error_type"], "Longhaul.Failed");
    assert_eq!(failure["failure"]["exit_code"], 3);
    let stderr = failure["failure"]["stderr"].as_str().unwrap();
    assert!(
        stderr.ends_with("disk on fire\n") || stderr.ends_with("disk on fire"),
        "{stderr}"
    );
}

#[test]
fn a_failure_is_shown_with_class_exit_code_and_end_of_stderr() {
    let world = World::new();
    let output = world
        .command(&["run", "--", "sh", "-c", "echo 'disk on fire' >&2; exit 3"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    for part in [
        "error: ",
        "Longhaul.Failed",
        "exit code  3",
        "    disk on fire",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn a_command_that_is_not_there_failed_to_start() {
    let world = World::new();
    let finished = world.run(&["--", "no-such-command-anywhere"]);
    let failure = finished.failure();
    assert_eq!(failure["error_type"], "Longhaul.FailedToStart");
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("no-such-command-anywhere"),
        "{failure}"
    );
}

#[test]
fn a_result_that_is_not_json_fails_with_what_is_wrong() {
    let world = World::new();
    let finished = world.run(&["--", "sh", "-c", "echo '{oops' > \"$LONGHAUL_RESULT_FILE\""]);
    let failure = finished.failure();
    assert_eq!(failure["error_type"], "Longhaul.Failed");
    assert!(
        failure["message"].as_str().unwrap().contains("JSON"),
        "{failure}"
    );
}

#[test]
fn a_result_over_256_kib_fails_without_a_payload_store_with_its_size_and_the_limit() {
    let world = World::new();
    let script = "(printf '\"'; head -c 262144 /dev/zero | tr '\\0' x; printf '\"') > \"$LONGHAUL_RESULT_FILE\"";
    let finished = world.run(&["--payload-store", "none", "--", "sh", "-c", script]);
    let failure = finished.failure();
    assert_eq!(failure["error_type"], "Longhaul.Failed");
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.contains("262146") && message.contains("262144"),
        "{failure}"
    );
}

#[test]
fn a_worker_killed_by_sigkill_is_lost_within_its_heartbeat_timeout() {
    let world = World::new();
    let mut run = world.start(&[
        "--heartbeat",
        "3s",
        "--",
        "sh",
        "-c",
        "echo pid $$; sleep 1000",
    ]);
    let command: u32 = run.output("pid ").parse().unwrap();
    let worker = run.event("job_started")["pid"].as_u64().unwrap();
    run.event("suspended");
    let killed = Instant::now();
    kill("KILL", u32::try_from(worker).unwrap());
    let finished = run.finish();
    let took = killed.elapsed();
    let failure = finished.failure();
    assert_eq!(failure["error_type"], "Longhaul.Lost", "{finished:#?}");
    assert_eq!(failure["failure"]["signal"], 9, "{finished:#?}");
    assert!(took < Duration::from_secs(3 + 2), "it took {took:?}");
    wait_gone(command);
}

#[test]
fn a_job_that_outlives_its_timeout_is_stopped_with_its_whole_group() {
    let world = World::new();
    let mut run = world.start(&[
        "--timeout",
        "4s",
        "--",
        "sh",
        "-c",
        "echo pid $$; sleep 1000 & echo child $!; wait",
    ]);
    let command: u32 = run.output("pid ").parse().unwrap();
    let child: u32 = run.output("child ").parse().unwrap();
    let finished = run.finish();
    assert_eq!(
        finished.failure()["error_type"],
        "Longhaul.TimedOut",
        "{finished:#?}"
    );
    assert!(
        !is_alive(command) && !is_alive(child),
        "the job is still there"
    );
}

#[test]
fn ctrl_c_stops_the_execution_and_leaves_no_process_behind() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let world = World::new();
        let mut run = world.start(&[
            "--",
            "sh",
            "-c",
            "echo pid $$; sleep 1000 & echo child $!; wait",
        ]);
        let command: u32 = run.output("pid ").parse().unwrap();
        let child: u32 = run.output("child ").parse().unwrap();
        let worker = run.event("job_started")["pid"].as_u64().unwrap();
        run.signal(signal);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(code), "{finished:#?}");
        assert_eq!(finished.stdout, "");
        for pid in [command, child, u32::try_from(worker).unwrap()] {
            assert!(!is_alive(pid), "process {pid} is still there");
        }
    }
}

#[test]
fn a_job_survives_the_death_of_the_service() {
    let world = World::new();
    let script = "echo pid $$; while [ ! -e go ]; do sleep 0.05; done; echo '\"late\"' > \"$LONGHAUL_RESULT_FILE\"";
    let words = ["--execution", "night-run", "--", "sh", "-c", script];
    let mut run = world.start(&words);
    let command: u32 = run.output("pid ").parse().unwrap();
    run.event("suspended");
    run.kill();
    assert!(is_alive(command), "the job died with the service");
    let again = world.start(&words);
    world.file("go", "");
    assert_eq!(again.finish().result(), json!("late"));
}

#[test]
fn a_result_that_comes_while_the_service_is_down_is_delivered_when_it_is_back() {
    let world = World::new();
    let script = "echo pid $$; while [ ! -e go ]; do sleep 0.05; done; echo '\"kept\"' > \"$LONGHAUL_RESULT_FILE\"";
    let words = ["--execution", "night-run", "--", "sh", "-c", script];
    let mut run = world.start(&words);
    let command: u32 = run.output("pid ").parse().unwrap();
    run.event("suspended");
    run.kill();
    world.file("go", "");
    wait_gone(command);
    assert_eq!(world.start(&words).finish().result(), json!("kept"));
}

#[test]
fn the_same_execution_name_with_another_job_is_a_usage_error() {
    let world = World::new();
    assert_eq!(
        world.run(&["--execution", "e", "--", "true"]).result(),
        Value::Null
    );
    let finished = world.run(&["--execution", "e", "--", "false"]);
    assert_eq!(finished.code(), Some(2), "{finished:#?}");
    assert!(
        finished.plain.contains("choose another name"),
        "{finished:#?}"
    );
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let world = World::new();
    let script = "echo pid $$; while [ ! -e go ]; do sleep 0.05; done; echo \"\\\"$WHO\\\"\" > \"$LONGHAUL_RESULT_FILE\"";
    let start = |who: &str| {
        let input = json!({"who": who}).to_string();
        world.start(&["--input", &input, "--", "sh", "-c", script])
    };
    let mut runs = [start("one"), start("two")];
    for run in &mut runs {
        run.output("pid ");
    }
    world.file("go", "");
    let results = runs.map(|run| run.finish().result());
    assert_eq!(results, [json!("one"), json!("two")]);
}

#[test]
fn an_execution_that_is_being_run_is_not_run_twice() {
    let world = World::new();
    let words = [
        "--execution",
        "once",
        "--",
        "sh",
        "-c",
        "echo pid $$; sleep 1000",
    ];
    let mut run = world.start(&words);
    run.output("pid ");
    let second = world.run(&words);
    assert_eq!(second.code(), Some(2), "{second:#?}");
    assert!(
        second.plain.contains("another longhaul process"),
        "{second:#?}"
    );
    run.signal("INT");
    assert_eq!(run.finish().code(), Some(130));
}

#[test]
fn bad_usage_and_bad_job_files_exit_with_2() {
    let world = World::new();
    let file = |content: &str| world.file("job.json", content);
    for (content, part) in [
        (
            r#"{"name":"a","command":["true"],"colour":1}"#,
            "unknown field `colour`",
        ),
        (
            r#"{"name":"a","command":["true"],"timeout":"soon"}"#,
            "\"soon\"",
        ),
        (r#"{"name":"a","command":[]}"#, "command: is empty"),
    ] {
        let finished = world.run(&[&file(content)]);
        assert_eq!(finished.code(), Some(2), "{content}: {finished:#?}");
        assert!(finished.plain.contains(part), "{content}: {finished:#?}");
    }
    for (words, part) in [
        (vec!["--backend", "mainframe", "--", "true"], "mainframe"),
        (vec!["--input", "{", "--", "true"], "--input is not JSON"),
        (vec!["--execution", "../x", "--", "true"], "letters, digits"),
        (vec!["--no-such-option"], "--no-such-option"),
        (vec![], "required"),
    ] {
        let finished = world.run(&words);
        assert_eq!(finished.code(), Some(2), "{words:?}: {finished:#?}");
        assert!(finished.plain.contains(part), "{words:?}: {finished:#?}");
    }
}
