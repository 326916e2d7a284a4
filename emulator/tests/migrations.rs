//! State that earlier versions left goes on under this one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::sync::Arc;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::ExecutionStatus;
use longhaul_emulator::{FunctionConfig, Service, TestClock, Timestamp};
use rusqlite::Connection;
use serde_json::json;
use support::handler::{pending, script, succeeded};
use support::{client, config, ended, history, types};

/// A moment after the one at which the program that wrote the fixture was killed.
const SOON_AFTER: i64 = 1_795_658_780_000;

const WAITING: &str = "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/c19cf1a2-7445-42de-854a-e65717f28b94/4572cf9a-b305-43a4-8371-1fe9b48f99b5";
const ENDED: &str = "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/d29e3239-f6af-4569-a878-b7d8069201e9/0cfee498-accc-428e-b354-701c2c4bec32";
const CALLBACK: &str = "HJt+KB1IUqo5rXS+kya8jPejRp256X2tf8NE59dazT4=";

fn schema(path: &std::path::Path) -> (i64, Vec<String>) {
    let connection = Connection::open(path).unwrap();
    let version = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    let mut statement = connection
        .prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    (version, rows.map(Result::unwrap).collect())
}

#[tokio::test]
async fn executions_of_the_first_version_go_on_and_its_database_becomes_like_a_new_one() {
    goes_on(1, include_str!("fixtures/version-1.sql")).await;
}

#[tokio::test]
async fn executions_of_the_second_version_go_on_and_its_database_becomes_like_a_new_one() {
    goes_on(2, include_str!("fixtures/version-2.sql")).await;
}

async fn goes_on(version: i64, left: &str) {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("service");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("durable.sqlite3");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(left).unwrap();
    drop(old);
    assert_eq!(schema(&path).0, version);

    let (handler, late) = script(|call| async move {
        let operation = &call.operations()[0];
        match operation["Status"].as_str() {
            Some("SUCCEEDED") => succeeded(&operation["CallbackDetails"]["Result"]),
            _ => pending(),
        }
    });
    let clock = TestClock::new(Timestamp::from_millis(SOON_AFTER));
    let service = Service::start(
        config(&state)
            .clock(Arc::new(clock))
            .function(FunctionConfig::handler("job", handler)),
    )
    .await
    .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    assert_eq!(
        ended(&client, ENDED).await,
        (ExecutionStatus::Succeeded, json!({"do": "echo"}))
    );
    let running = client
        .list_durable_executions_by_function()
        .function_name("job")
        .statuses(ExecutionStatus::Running)
        .send()
        .await
        .unwrap();
    let running = running.durable_executions();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].durable_execution_arn(), WAITING);
    let success = client.send_durable_execution_callback_success();
    let success = success.callback_id(CALLBACK).result(Blob::new("yes"));
    success.send().await.unwrap();
    assert_eq!(
        ended(&client, WAITING).await,
        (ExecutionStatus::Succeeded, json!("yes"))
    );
    assert_eq!(
        types(&history(&client, WAITING).await),
        [
            "ExecutionStarted",
            "CallbackStarted",
            "InvocationCompleted",
            "CallbackSucceeded",
            "InvocationCompleted",
            "ExecutionSucceeded"
        ]
    );
    service.shutdown().await;

    let fresh = tempfile::tempdir().unwrap();
    Service::start(config(&fresh))
        .await
        .unwrap()
        .shutdown()
        .await;
    let new = schema(&fresh.path().join("service/durable.sqlite3"));
    assert_eq!(schema(&path), new);
}
