//! `longhaul ps`, `show`, `logs`, `stop` and `callback` with `--aws`: through the configuration that the AWS SDK reads, which
//! here leads to a service of `serve`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod serving;
mod support;

use serde_json::{Value, json};
use serving::{Said, Serve, longhaul, longhaul_with, wait_status, wait_suspended};
use support::World;

fn names(said: &Said) -> Vec<String> {
    let name = |line: &Value| line["name"].as_str().unwrap().to_owned();
    said.lines().iter().map(name).collect()
}

/// An execution that waits for its callback, and the callback's id.
fn waiting(world: &World, serve: &Serve, name: &str) -> String {
    serve.job(name, "sleep 600");
    let shown = wait_suspended(world, name);
    serve.callback_id(shown["arn"].as_str().unwrap())
}

/// `longhaul WORDS --aws`, where the SDK is configured to ask `serve`.
fn with_aws(world: &World, serve: &Serve, words: &[&str], input: &str) -> Said {
    let variables = [
        ("AWS_ENDPOINT_URL_LAMBDA", serve.url.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    longhaul_with(world, &[words, &["--aws"]].concat(), &variables, input)
}

#[test]
fn with_aws_callbacks_are_completed_and_their_late_answers_refused() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let id = waiting(&world, &serve, "well");
    let succeed = ["callback", "succeed", "-", "--result", "[1]"];
    let said = with_aws(&world, &serve, &succeed, &id);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let shown = wait_status(&world, "well", "SUCCEEDED");
    assert_eq!(shown["result"], json!([1]));
    for words in [&succeed[..], &["callback", "heartbeat", "-"]] {
        let late = with_aws(&world, &serve, words, &id);
        assert_eq!(late.code, Some(1), "{late:#?}");
        assert!(
            late.stderr.contains("CallbackTimeoutException"),
            "{late:#?}"
        );
        assert!(!late.stderr.contains(&id), "{late:#?}");
    }

    waiting(&world, &serve, "badly");
    let arn = wait_suspended(&world, "badly")["arn"].clone();
    let fail = ["callback", "fail", "--type", "Rejected", "--execution"];
    let said = with_aws(
        &world,
        &serve,
        &[&fail[..], &[arn.as_str().unwrap()]].concat(),
        "",
    );
    assert_eq!(said.code, Some(0), "{said:#?}");
    let shown = wait_status(&world, "badly", "FAILED");
    assert_eq!(shown["error"]["type"], "Rejected");
}

#[test]
fn with_aws_lists_hold_the_statuses_asked_for() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    waiting(&world, &serve, "open");
    waiting(&world, &serve, "stopped");
    assert_eq!(longhaul(&world, &["stop", "stopped"]).code, Some(0));
    wait_status(&world, "stopped", "STOPPED");
    let ps = ["ps", "--json", "--function", "longhaul"];
    for (more, expected) in [
        (&[][..], &["open"][..]),
        (&["--all"], &["stopped", "open"]),
        (&["--status", "stopped"], &["stopped"]),
    ] {
        let said = with_aws(&world, &serve, &[&ps[..], more].concat(), "");
        assert_eq!(names(&said), expected, "{more:?}: {said:#?}");
    }
}

#[test]
fn with_aws_the_same_questions_go_where_the_sdk_is_configured_to() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    waiting(&world, &serve, "one");
    let aws = |words: &[&str]| with_aws(&world, &serve, words, "");
    let named = ["--function", "longhaul"];
    let ps = aws(&[&["ps", "--json"][..], &named].concat());
    assert_eq!(names(&ps), ["one"]);
    assert_eq!(ps.lines()[0]["service"]["kind"], "aws");
    let shown = aws(&[&["show", "one", "--json"][..], &named].concat()).json();
    let arn = shown["arn"].as_str().unwrap();
    assert_eq!(aws(&["show", arn, "--json"]).json()["name"], "one");
    let logs = aws(&["logs", arn]);
    assert!(
        logs.out()
            .contains("logsV2:log-groups/log-group/$252Faws$252Flambda$252Flonghaul")
    );
    assert!(
        logs.stderr
            .contains("are in CloudWatch, which this command does not read")
    );
    let beat = aws(&["callback", "heartbeat", "--execution", arn]);
    assert_eq!(beat.code, Some(0), "{beat:#?}");
    assert_eq!(aws(&["stop", arn]).code, Some(0));
    wait_status(&world, "one", "STOPPED");
    for words in [&["ps"][..], &["show", "one"], &["stop", "one"]] {
        let said = aws(words);
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.contains("--function NAME"));
    }
}
