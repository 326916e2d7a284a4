//! Disks that are full, folders that cannot be written, databases that others hold: a clear error, and nothing damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ExecutionStatus, InvocationType};
use longhaul_emulator::{Service, ServiceError};
use serde_json::json;
use support::service::ServiceProcess;
use support::{client, config, ended, example, invoke, start, suspended_callback, until};

/// A client that does not try again by itself: a refusal is what these tests are about.
fn one_try(url: &str) -> Client {
    let config = client(url).config().to_builder();
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

/// Starts an execution that keeps `input`, or returns what the refusal says.
async fn fill(client: &Client, input: &str) -> Result<String, String> {
    let call = client
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .invocation_type(InvocationType::Event);
    let event = json!({"do": "callback", "input": input}).to_string();
    match call.payload(Blob::new(event)).send().await {
        Ok(output) => Ok(output.durable_execution_arn.unwrap()),
        Err(error) => Err(format!("{:?}", error.into_service_error())),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing_it_has_kept() {
    let state = tempfile::tempdir().unwrap();
    // No file may grow beyond two megabytes or so, which is an error to the writer as a full disk is.
    let mut service = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(example("durable-service"))
        .arg(state.path())
        .arg(format!("job={}", example("durable-function").display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(service.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let before = one_try(url.trim());
    let first = fill(&before, "first").await.unwrap();
    let id = suspended_callback(&before, &first).await;
    let large = "x".repeat(200_000);
    let mut kept = vec![first.clone()];
    let refusal = loop {
        match fill(&before, &large).await {
            Ok(arn) => kept.push(arn),
            Err(refusal) => break refusal,
        }
        assert!(kept.len() < 1_000, "the disk is never full");
    };
    assert!(refusal.contains("ServiceException"), "{refusal}");
    assert!(
        refusal.contains("could not be written; nothing was changed"),
        "{refusal}"
    );
    let known = before.get_durable_execution().durable_execution_arn(&first);
    assert!(known.send().await.is_ok(), "what is kept can still be read");
    service.kill().unwrap();
    service.wait().unwrap();

    let service = ServiceProcess::start(state.path());
    let after = client(&service.url);
    let page = after
        .list_durable_executions_by_function()
        .function_name("job")
        .max_items(1_000);
    let listed = page.send().await.unwrap();
    let mut listed: Vec<&str> = listed
        .durable_executions()
        .iter()
        .map(|it| it.durable_execution_arn())
        .collect();
    listed.sort_unstable();
    kept.sort_unstable();
    assert_eq!(listed, kept, "what was accepted and nothing else");
    let success = after.send_durable_execution_callback_success();
    let success = success.callback_id(id).result(Blob::new("1"));
    success.send().await.unwrap();
    assert_eq!(
        ended(&after, &first).await,
        (ExecutionStatus::Succeeded, json!(1))
    );
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    files
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_and_left_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    suspended_callback(&client, &arn).await;
    service.shutdown().await;
    let folder = state.path().join("service");
    // Permissions do not bind the superuser, so the service runs as somebody else where this test is root's.
    let root = rustix::process::geteuid().is_root();
    let program = state.path().join("durable-service");
    std::fs::copy(example("durable-service"), &program).unwrap();
    let (files, folders) = if root { (0o444, 0o555) } else { (0o400, 0o500) };
    for name in contents(&folder).keys() {
        set_mode(&folder.join(name), files);
    }
    set_mode(&folder, folders);
    set_mode(state.path(), if root { 0o755 } else { 0o700 });
    let before = contents(&folder);
    let mut command = Command::new(&program);
    command.arg(&folder).current_dir("/");
    if root {
        command.uid(65_534);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(folder.to_str().unwrap()), "{said}");
    assert!(said.contains("StateDir"), "{said}");
    assert!(contents(&folder) == before, "changed");
    set_mode(&folder, 0o700);
}

#[tokio::test]
async fn a_service_does_not_start_on_a_database_that_another_program_keeps_locked() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    suspended_callback(&client, &arn).await;
    service.shutdown().await;
    let path = state.path().join("service/durable.sqlite3");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Service::start(config(&state)).await.unwrap_err();
    assert!(
        matches!(&error, ServiceError::Database { path: named, .. } if *named == path),
        "{error}"
    );
    let source = error.source().unwrap().to_string();
    assert!(source.contains("locked"), "{source}");
    other.execute_batch("ROLLBACK").unwrap();
    let (service, client) = start(&state).await;
    let known = client.get_durable_execution().durable_execution_arn(&arn);
    assert!(known.send().await.is_ok());
    service.shutdown().await;
}

#[tokio::test]
async fn a_write_that_a_lock_keeps_out_is_refused_and_goes_through_once_the_lock_is_gone() {
    let state = tempfile::tempdir().unwrap();
    let (service, _) = start(&state).await;
    let client = one_try(&service.url());
    let path = state.path().join("service/durable.sqlite3");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refusal = fill(&client, "refused").await.unwrap_err();
    assert!(
        refusal.contains("could not be written; nothing was changed"),
        "{refusal}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    let arn = until("the write", || async { fill(&client, "taken").await.ok() }).await;
    let page = client
        .list_durable_executions_by_function()
        .function_name("job");
    let page = page.send().await.unwrap();
    let listed: Vec<&str> = page
        .durable_executions()
        .iter()
        .map(|it| it.durable_execution_arn())
        .collect();
    assert_eq!(listed, [arn.as_str()], "the refused one left nothing");
    service.shutdown().await;
}
