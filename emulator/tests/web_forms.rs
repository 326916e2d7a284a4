//! The buttons of the web page: what they do, and whose requests are refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod page;
mod support;

use aws_sdk_lambda::types::{EventType, ExecutionStatus};
use page::World;
use serde_json::json;
use support::{ended, event, history, types};

const PATH: &str = "/executions/job/one";
const SUCCEED: &str = "/executions/job/one/callbacks/callback-1/succeed";
const FAIL: &str = "/executions/job/one/callbacks/callback-1/fail";
const HEARTBEAT: &str = "/executions/job/one/callbacks/callback-1/heartbeat";
const STOP: &str = "/executions/job/one/stop";

/// A world with the execution `one`, which waits for its callback; its ARN, and the token of its forms.
async fn waiting() -> (World, String, String) {
    let world = World::start().await;
    world.waiting("one", &json!({})).await;
    let arn = world.invoke("job", "one", &json!({})).await;
    let token = world.token(PATH).await;
    (world, arn, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_gives_the_function_the_result() {
    let (world, arn, token) = waiting().await;
    let sent = world
        .send(SUCCEED, &token, &[("result", " {\"frames\": [1, 2]} ")])
        .await;
    assert_eq!(sent.status, 200);
    assert_eq!(sent.json()["message"], "Completed: approval");
    let (status, result) = ended(&world.client, &arn).await;
    assert_eq!(
        (status, result),
        (ExecutionStatus::Succeeded, json!({"frames": [1, 2]}))
    );
    let page = world.page(PATH).await;
    assert!(
        !page.contains("<form method=\"post\""),
        "nothing is left to press"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_no_json_is_explained_and_changes_nothing() {
    let (world, arn, token) = waiting().await;
    let sent = world.send(SUCCEED, &token, &[("result", "done")]).await;
    assert_eq!(sent.status, 400);
    let message = sent.json()["error"].as_str().unwrap().to_owned();
    assert!(message.contains("Put text in double quotes"), "{message}");
    assert!(!types(&history(&world.client, &arn).await).contains(&"CallbackSucceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_gives_the_function_the_error() {
    let (world, arn, token) = waiting().await;
    let fields = [("type", "Rejected"), ("message", "not today")];
    assert_eq!(world.send(FAIL, &token, &fields).await.status, 200);
    let (status, error) = ended(&world.client, &arn).await;
    assert_eq!(status, ExecutionStatus::Failed);
    assert_eq!(error, json!({"type": "Rejected", "message": "not today"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_puts_off_the_moment_when_it_is_due() {
    let (world, _, token) = waiting().await;
    let due = |page: String| -> i64 {
        let start = page.find("heartbeat due in <span data-until=\"").unwrap() + 35;
        page[start..].split('"').next().unwrap().parse().unwrap()
    };
    let before = due(world.page(PATH).await);
    assert_eq!(world.send(HEARTBEAT, &token, &[]).await.status, 200);
    assert!(due(world.page(PATH).await) > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_is_too_late_and_is_told_so() {
    let (world, arn, token) = waiting().await;
    assert_eq!(world.send(SUCCEED, &token, &[]).await.status, 200);
    ended(&world.client, &arn).await;
    for path in [SUCCEED, FAIL, HEARTBEAT] {
        let late = world.send(path, &token, &[]).await;
        assert_eq!(late.status, 400, "{path}");
        let message = late.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains("already closed"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_the_execution_with_the_reason() {
    let (world, arn, token) = waiting().await;
    let sent = world.send(STOP, &token, &[("reason", "wrong scene")]).await;
    assert_eq!(sent.status, 200);
    let stopped = event(&world.client, &arn, EventType::ExecutionStopped).await;
    let error = stopped
        .execution_stopped_details()
        .unwrap()
        .error()
        .unwrap();
    assert_eq!(
        error.payload().unwrap().error_message(),
        Some("wrong scene")
    );
    assert!(world.page(PATH).await.contains("wrong scene"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_script_a_form_leads_back_to_the_page() {
    let (world, arn, token) = waiting().await;
    let browser = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];
    let bad = world
        .send_with(SUCCEED, &token, &[("result", "done")], &browser)
        .await;
    assert_eq!(bad.status, 400);
    assert!(String::from_utf8(bad.body).unwrap().contains("<h1>"));
    let sent = world.send_with(SUCCEED, &token, &[], &browser).await;
    assert_eq!((sent.status, sent.header("location")), (303, Some(PATH)));
    assert_eq!(
        ended(&world.client, &arn).await.0,
        ExecutionStatus::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_form_is_refused_and_changes_nothing() {
    let (world, arn, token) = waiting().await;
    let own = format!(
        "http://{}",
        world.service.url().trim_start_matches("http://")
    );
    let elsewhere = [("host", "evil.example")];
    let none: [(&str, &str); 0] = [];
    for path in [SUCCEED, FAIL, HEARTBEAT, STOP] {
        // From another page, or from none, even with the token.
        for headers in [
            &none[..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", &own)],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &elsewhere,
        ] {
            let answer = world.send_with(path, &token, &[], headers).await;
            assert_eq!(answer.status, 403, "{path} {headers:?}");
        }
        // From the own page without its token.
        for token in ["", "x", &token[1..]] {
            let answer = world.send(path, token, &[]).await;
            assert_eq!(answer.status, 403, "{path}");
        }
        // A link cannot press a button.
        assert_eq!(world.get(path).await.status, 405, "{path}");
    }
    let events = history(&world.client, &arn).await;
    assert_eq!(types(&events).last(), Some(&"InvocationCompleted"));
    assert_eq!(
        world
            .send_with(SUCCEED, &token, &[], &[("origin", &own)])
            .await
            .status,
        303,
        "a browser without fetch metadata"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_pressed() {
    let (world, _, token) = waiting().await;
    for path in [
        "/executions/job/nobody/stop",
        "/executions/nobody/one/stop",
        "/executions/job/one/callbacks/step-1/succeed",
        "/executions/job/one/callbacks/nothing/succeed",
        "/executions/job/one/callbacks/callback-1/explode",
        "/executions/%22%3E/one/stop",
    ] {
        assert_eq!(world.send(path, &token, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_bounded() {
    let (world, _, token) = waiting().await;
    let large = format!("\"{}\"", "x".repeat(1_048_576));
    let answer = world.send(SUCCEED, &token, &[("result", &large)]).await;
    assert_eq!(answer.status, 400, "over the limit of a callback's result");
    let reason = "x".repeat(2_000);
    assert_eq!(
        world
            .send(STOP, &token, &[("reason", &reason)])
            .await
            .status,
        400
    );
    let huge = "%".repeat(1_100_000);
    let answer = world.send(STOP, &token, &[("reason", &huge)]).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_to_the_page_makes_it_fail() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    use proptest::test_runner::TestRunner;

    let (world, _, token) = waiting().await;
    let mut runner = TestRunner::default();
    let mut text = |pattern: &'static str| {
        let strategy = proptest::string::string_regex(pattern).unwrap();
        strategy.new_tree(&mut runner).unwrap().current()
    };
    for n in 0..300 {
        let (a, b) = (text("[!-~é]{0,12}"), text("[0-9.-]{0,24}"));
        let query = format!(
            "?{}={}&before={b}&after={b}&{}",
            support::raw::encode(&a),
            support::raw::encode(&b),
            text("[%a-f0-9=&+;]{0,20}")
        );
        let segment = support::raw::encode(&a);
        let path = match n % 6 {
            0 => format!("/{query}"),
            1 => format!("{PATH}{query}"),
            2 => format!("{PATH}/events/{b}"),
            3 => format!("/executions/{segment}/{b}{query}"),
            4 => format!("/assets/{segment}"),
            _ => format!("{PATH}/callbacks/{segment}/{b}"),
        };
        let answer = if n % 6 == 5 {
            world.send(&path, &token, &[(&segment, &b)]).await
        } else {
            world.get(&path).await
        };
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
}
