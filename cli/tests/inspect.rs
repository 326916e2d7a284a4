//! `longhaul ps`, `show`, `logs`, `stop` and `callback` against services of `serve` and `run`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod serving;
mod support;

use serde_json::{Value, json};
use serving::{
    Said, Serve, longhaul, longhaul_with, wait_line, wait_shown, wait_status, wait_suspended,
};
use support::{World, wait_gone};

const LASTING: &str = "sleep 600";

fn names(said: &Said) -> Vec<String> {
    let name = |line: &Value| line["name"].as_str().unwrap().to_owned();
    said.lines().iter().map(name).collect()
}

#[test]
fn ps_lists_what_is_open_in_the_service_and_in_every_run() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    serve.job("done", "true");
    wait_status(&world, "done", "SUCCEEDED");
    serve.job("lasting", LASTING);
    let mut run = world.start(&["--execution", "side", "--", "sleep", "600"]);
    run.event("suspended");

    assert_eq!(
        names(&longhaul(&world, &["ps", "--json"])),
        ["side", "lasting"]
    );
    let all = longhaul(&world, &["ps", "--all", "--json"]);
    assert_eq!(names(&all), ["side", "lasting", "done"]);
    let kinds: Vec<_> = all
        .lines()
        .iter()
        .map(|it| it["service"]["kind"].clone())
        .collect();
    assert_eq!(kinds, ["run", "serve", "serve"]);
    for (words, wanted) in [
        (&["--status", "succeeded"][..], &["done"][..]),
        (
            &["--status", "running", "--status", "succeeded"],
            &["side", "lasting", "done"],
        ),
        (&["--status", "timed-out"], &[]),
        (&["--all", "--limit", "2"], &["side", "lasting"]),
        (
            &["--all", "--function", "longhaul"],
            &["side", "lasting", "done"],
        ),
    ] {
        let said = longhaul(&world, &[&["ps", "--json"][..], words].concat());
        assert_eq!(names(&said), wanted, "{words:?}");
    }
    let table = longhaul(&world, &["ps"]);
    let lines: Vec<Vec<&str>> = table
        .out()
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["EXECUTION", "STATUS", "FUNCTION"]);
    assert_eq!(lines[1][..3], ["side", "running", "longhaul"]);
    assert!(!table.stdout.contains('\u{1b}'), "colours in a pipe");
    let nobody = longhaul(&world, &["ps", "--function", "nobody"]);
    assert_eq!(nobody.code, Some(1), "{nobody:#?}");
    run.signal("INT");
    run.finish();
}

#[test]
fn show_finds_an_execution_by_name_or_arn_and_tells_all_but_secrets() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let id = waiting(&world, &serve, "one");
    let result = format!("{{\"frames\":7,\"leak\":\"{id}\"}}");
    let succeed = [
        "callback",
        "succeed",
        "--execution",
        "one",
        "--result",
        &result,
    ];
    assert_eq!(longhaul(&world, &succeed).code, Some(0));
    let shown = wait_status(&world, "one", "SUCCEEDED");
    assert_eq!(shown["result"]["frames"], 7);
    assert_eq!(shown["invocations"], 2);
    let kinds: Vec<_> = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds[..2], ["ExecutionStarted", "CallbackStarted"]);
    assert_eq!(kinds.last(), Some(&&json!("ExecutionSucceeded")));

    let text = longhaul(&world, &["show", shown["arn"].as_str().unwrap()]);
    for part in [
        "one  succeeded",
        "in 2 invocations, suspended",
        "CallbackStarted        callback one",
        "one: process:",
        "\"frames\": 7",
    ] {
        assert!(text.out().contains(part), "{part}: {}", text.stdout);
    }
    for said in [text.stdout, shown.to_string()] {
        assert!(!said.contains(&id), "{said}");
        assert!(said.contains("[callback id]"), "{said}");
    }
    let missing = longhaul(&world, &["show", "two"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("there is no execution two"),
        "{missing:#?}"
    );
    assert_eq!(longhaul(&world, &["show", "arn:aws:nothing"]).code, Some(2));
}

#[test]
fn a_run_is_found_by_its_name_while_it_lasts_and_missed_with_a_hint_afterwards() {
    let world = World::new();
    let mut run = world.start(&[
        "--execution",
        "side",
        "--",
        "sh",
        "-c",
        "echo here; sleep 600",
    ]);
    run.event("suspended");
    run.output("here");
    let shown = longhaul(&world, &["show", "side", "--json"]).json();
    assert_eq!(shown["status"], "RUNNING");
    assert_eq!(longhaul(&world, &["logs", "side"]).out(), "here\n");
    assert_eq!(
        longhaul(&world, &["stop", shown["arn"].as_str().unwrap()]).code,
        Some(0)
    );
    assert_eq!(run.finish().code(), Some(1), "stopped from outside");
    let over = longhaul_with(
        &world,
        &["show", "side", "--endpoint", "http://127.0.0.1:9"],
        &[],
        "",
    );
    assert_eq!(
        over.code,
        Some(2),
        "an endpoint needs a function: {over:#?}"
    );
    let _serve = Serve::start(&world, &[]);
    let over = longhaul(&world, &["show", "side"]);
    assert_eq!(over.code, Some(1));
    assert!(
        over.stderr.contains("longhaul run --execution side"),
        "{over:#?}"
    );
}

#[test]
fn logs_keep_the_streams_apart_and_follow_to_the_end() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let go = world.path().join("go");
    let script = format!(
        "echo out-1; echo err-1 >&2; while [ ! -e '{}' ]; do sleep 0.05; done; echo out-2; printf no-newline",
        go.display()
    );
    serve.job("one", &script);
    wait_suspended(&world, "one");
    let follow = world.command(&["logs", "-f", "one"]).spawn().unwrap();
    std::fs::write(&go, "").unwrap();
    let followed = follow.wait_with_output().unwrap();
    wait_status(&world, "one", "SUCCEEDED");
    let whole = longhaul(&world, &["logs", "one"]);
    for (stdout, stderr) in [
        (followed.stdout, followed.stderr),
        (whole.stdout.into_bytes(), whole.stderr.into_bytes()),
    ] {
        assert_eq!(
            String::from_utf8(stdout).unwrap(),
            "out-1\nout-2\nno-newline\n"
        );
        assert_eq!(String::from_utf8(stderr).unwrap(), "err-1\n");
    }
}

#[test]
fn logs_of_several_attempts_say_whose_they_are() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let job = json!({
        "name": "flaky", "command": ["sh", "-c", "echo try $LONGHAUL_ATTEMPT; [ $LONGHAUL_ATTEMPT = 2 ]"],
        "retry": {"attempts": 2, "on": ["Failed"], "backoff": "1s"},
    });
    serve.invoke("longhaul", "flaky", &job);
    wait_status(&world, "flaky", "SUCCEEDED");
    let said = longhaul(&world, &["logs", "flaky"]);
    assert_eq!(said.out(), "try 1\ntry 2\n");
    assert_eq!(said.stderr, "==> flaky <==\n==> flaky #2 <==\n");
}

#[test]
fn stop_ends_the_execution_with_the_reason_and_its_job_with_it() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let pid = world.path().join("pid");
    serve.job("one", &format!("echo $$ > '{}'; sleep 600", pid.display()));
    let job: u32 = wait_line(&pid).parse().unwrap();
    wait_suspended(&world, "one");
    let said = longhaul(&world, &["stop", "one", "--reason", "wrong scene"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stderr.contains("one is stopped"));
    wait_gone(job);
    let shown = wait_status(&world, "one", "STOPPED");
    assert_eq!(shown["error"]["message"], "wrong scene");
    let again = longhaul(&world, &["stop", "one"]);
    assert_eq!(again.code, Some(0));
    assert!(
        again.stderr.contains("had ended already: stopped"),
        "{again:#?}"
    );
    assert_eq!(longhaul(&world, &["stop", "two"]).code, Some(1));
}

/// An execution that waits for its callback, and the callback's id.
fn waiting(world: &World, serve: &Serve, name: &str) -> String {
    serve.job(name, LASTING);
    let shown = wait_suspended(world, name);
    serve.callback_id(shown["arn"].as_str().unwrap())
}

#[test]
fn a_callback_is_completed_by_an_id_from_standard_input_a_variable_or_the_execution() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let succeed = ["callback", "succeed", "--result", "[1]"];

    let id = waiting(&world, &serve, "input");
    let input = [&succeed[..], &["-"]].concat();
    let said = longhaul_with(&world, &input, &[], &format!("{id}\n"));
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(
        wait_status(&world, "input", "SUCCEEDED")["result"],
        json!([1])
    );
    // It is closed now, and the answer does not repeat the secret.
    let late = longhaul_with(&world, &input, &[], &id);
    assert_eq!(late.code, Some(1), "{late:#?}");
    assert!(
        late.stderr.contains("CallbackTimeoutException") && !late.stderr.contains(&id),
        "{late:#?}"
    );

    let id = waiting(&world, &serve, "variable");
    let variables = [
        ("CALLBACK_ID", id.as_str()),
        ("AWS_ENDPOINT_URL_LAMBDA", &serve.url),
    ];
    for words in [&["callback", "heartbeat"][..], &succeed] {
        let said = longhaul_with(&world, words, &variables, "");
        assert_eq!(said.code, Some(0), "{said:#?}");
    }
    wait_status(&world, "variable", "SUCCEEDED");

    waiting(&world, &serve, "named");
    let file = world.file("result.json", "{\"from\":\"a file\"}");
    let words = [
        "callback",
        "succeed",
        "--execution",
        "named",
        "--result-file",
        &file,
    ];
    assert_eq!(longhaul(&world, &words).code, Some(0));
    let shown = wait_status(&world, "named", "SUCCEEDED");
    assert_eq!(shown["result"], json!({"from": "a file"}));
    assert_eq!(
        longhaul(&world, &words).code,
        Some(1),
        "nothing is open any more"
    );
}

#[test]
fn a_callback_is_failed_with_the_error_that_is_given() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    waiting(&world, &serve, "one");
    let words = [
        "callback",
        "fail",
        "--execution",
        "one",
        "--type",
        "Rejected",
        "--message",
        "not today",
    ];
    assert_eq!(longhaul(&world, &words).code, Some(0));
    let shown = wait_status(&world, "one", "FAILED");
    assert_eq!(shown["error"]["type"], "Rejected");
    let events = shown["events"].as_array().unwrap();
    let failed = events
        .iter()
        .find(|it| it["type"] == "CallbackFailed")
        .unwrap();
    assert_eq!(failed["error"]["message"], "not today");
}

#[test]
fn bad_callback_commands_exit_with_2_and_do_nothing() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let id = waiting(&world, &serve, "one");
    for (words, input) in [
        (&["succeed"][..], ""),
        (&["succeed", "-"], ""),
        (&["succeed", "-", "--result", "plain"], id.as_str()),
        (&["succeed", "-", "--result-file", "/nowhere"], &id),
        (&["heartbeat", "-", "--endpoint", "127.0.0.1:1"], &id),
        (&["explode"], ""),
    ] {
        let said = longhaul_with(&world, &[&["callback"][..], words].concat(), &[], input);
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(!said.stderr.contains(&id));
    }
    let unknown = longhaul_with(&world, &["callback", "succeed", "-"], &[], "bm9ib2R5");
    assert_eq!(unknown.code, Some(1));
    wait_shown(&world, "one", "as it was", |shown| {
        shown["status"] == "RUNNING"
    });
}

#[test]
fn a_name_of_several_executions_is_not_guessed() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_longhaul");
    let functions = ["a", "b"].map(|name| format!("{name}={program},lambda"));
    let words = ["--function", &functions[0], "--function", &functions[1]];
    let serve = Serve::start(&world, &words);
    let job = json!({"name": "n", "command": ["true"]});
    serve.invoke("a", "same", &job);
    serve.invoke("b", "same", &job);
    let said = longhaul(&world, &["show", "same"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains(":function:a:") && said.stderr.contains(":function:b:"));
    let one = longhaul(&world, &["show", "same", "--function", "b", "--json"]);
    assert_eq!(one.json()["function"], "b");
}

#[test]
fn an_address_where_nobody_answers_is_said() {
    let world = World::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let words = ["ps", "--endpoint", &url, "--function", "f"];
    let said = longhaul(&world, &words);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.stderr
            .contains(&format!("the service at {url} does not answer")),
        "{said:#?}"
    );
}
