//! The state folder: held by one service, private, and never damaged by a service that cannot use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::error::Error as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use longhaul_emulator::{FunctionConfig, Service, ServiceConfig, ServiceError};
use serde_json::json;
use support::service::ServiceProcess;
use support::{client, config, ended, function, invoke, start};

#[tokio::test]
async fn a_second_service_on_the_same_folder_is_refused_until_the_first_has_ended() {
    let state = tempfile::tempdir().unwrap();
    let first = Service::start(config(&state)).await.unwrap();
    let second = Service::start(config(&state)).await.unwrap_err();
    assert!(
        matches!(&second, ServiceError::InUse(path) if path.ends_with("service")),
        "{second}"
    );
    first.shutdown().await;
    let process = ServiceProcess::start(&state.path().join("service"));
    assert!(
        matches!(
            Service::start(config(&state)).await.unwrap_err(),
            ServiceError::InUse(_)
        ),
        "nor beside another process"
    );
    process.kill();
    Service::start(config(&state))
        .await
        .unwrap()
        .shutdown()
        .await;
}

#[tokio::test]
async fn what_is_in_the_folder_is_for_its_owner_only() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("service");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "echo"})).await;
    ended(&client, &arn).await;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        files += 1;
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    assert!(files >= 4, "the database, its log, the lock and the logs");
    service.shutdown().await;
}

#[tokio::test]
async fn a_damaged_database_is_named_and_left_as_it_is() {
    for damage in ["text", "middle"] {
        let state = tempfile::tempdir().unwrap();
        let (service, client) = start(&state).await;
        for _ in 0..20 {
            let arn = invoke(&client, json!({"do": "callback"})).await;
            support::suspended_callback(&client, &arn).await;
        }
        service.shutdown().await;
        let path = state.path().join("service/durable.sqlite3");
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            "text" => bytes = b"this is not a database, whatever its name says".repeat(100),
            _ => bytes[4_096..].fill(0x5a),
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = Service::start(config(&state).function(function()))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, ServiceError::Corrupt { path: named, .. } if *named == path),
            "{error}"
        );
        assert!(error.to_string().contains("nothing was changed") && error.source().is_some());
        assert!(std::fs::read(&path).unwrap() == bytes, "changed: {damage}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    Service::start(config(&state))
        .await
        .unwrap()
        .shutdown()
        .await;
    let path = state.path().join("service/durable.sqlite3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    let error = Service::start(config(&state)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ServiceError::NewerSchema {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(std::fs::read(&path).unwrap() == bytes, "changed");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_a_clear_error() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/nowhere".into()] {
        let error = Service::start(ServiceConfig::new(&path)).await.unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert!(matches!(error, ServiceError::StateDir { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_short_lock_of_another_program_is_waited_for() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let path = state.path().join("service/durable.sqlite3");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { invoke(&client, json!({"do": "echo"})).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(
        !waiting.is_finished(),
        "nothing is answered that is not written"
    );
    other.execute_batch("ROLLBACK").unwrap();
    let arn = waiting.await.unwrap();
    ended(&client, &arn).await;
    service.shutdown().await;
}

#[tokio::test]
async fn configurations_that_cannot_be_right_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let everywhere = config(&state).listen(SocketAddr::from(([0, 0, 0, 0], 0)));
    assert!(matches!(
        Service::start(everywhere).await.unwrap_err(),
        ServiceError::NotLoopback(_)
    ));
    let none = std::iter::empty::<&str>;
    let process = |name: &str| FunctionConfig::process(name, "/bin/true", none());
    for (config, word) in [
        (config(&state).account("12"), "account"),
        (config(&state).region("us east"), "region"),
        (config(&state).access_key_id("no/slash"), "access key"),
        (config(&state).function(process("no name")), "name"),
        (
            config(&state).function(process("a")).function(process("a")),
            "twice",
        ),
        (
            config(&state).function(process("a").version("one")),
            "version",
        ),
        (config(&state).function(process("a").alias("a b")), "alias"),
        (
            config(&state).function(process("a").max_environments(0)),
            "environments",
        ),
        (
            config(&state)
                .function(process("a").durable(longhaul_emulator::DurableConfig::new(0, 1))),
            "timeout",
        ),
        (
            config(&state)
                .function(process("a").durable(longhaul_emulator::DurableConfig::new(1, 91))),
            "retention",
        ),
    ] {
        let error = Service::start(config).await.unwrap_err();
        assert!(
            matches!(&error, ServiceError::Config(message) if message.contains(word)),
            "{word}: {error}"
        );
    }
}

#[tokio::test]
async fn a_port_that_is_taken_now_is_replaced_and_one_that_was_asked_for_is_an_error() {
    let state = tempfile::tempdir().unwrap();
    let service = Service::start(config(&state)).await.unwrap();
    let first: SocketAddr = service
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    service.shutdown().await;
    let taken = std::net::TcpListener::bind(first).unwrap();
    let service = Service::start(config(&state)).await.unwrap();
    assert_ne!(service.url(), format!("http://{first}"));
    service.shutdown().await;
    let error = Service::start(config(&state).listen(first))
        .await
        .unwrap_err();
    assert!(matches!(error, ServiceError::Listen { address, .. } if address == first));
    drop(taken);
    let service = Service::start(config(&state).listen(first)).await.unwrap();
    assert_eq!(service.url(), format!("http://{first}"));
    service.shutdown().await;
}

#[tokio::test]
async fn executions_of_a_function_that_is_not_configured_now_wait_for_it() {
    let state = tempfile::tempdir().unwrap();
    let (service, client_before) = start(&state).await;
    let arn = invoke(&client_before, json!({"do": "callback"})).await;
    let id = support::suspended_callback(&client_before, &arn).await;
    service.shutdown().await;

    let service = Service::start(config(&state)).await.unwrap();
    let without = client(&service.url());
    without
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .send()
        .await
        .unwrap();
    let list = without
        .list_durable_executions_by_function()
        .function_name("job")
        .send()
        .await
        .unwrap();
    assert_eq!(list.durable_executions().len(), 1);
    service.shutdown().await;

    let (service, client_after) = start(&state).await;
    assert_eq!(
        ended(&client_after, &arn).await.0,
        aws_sdk_lambda::types::ExecutionStatus::Succeeded
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_dropped_service_gives_its_folder_back_once_its_last_write_is_done() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = support::suspended_callback(&client, &arn).await;
    // Somebody still holds a way to call it.
    let api = service.api().clone();
    drop(service);
    let service = support::until("the folder", || async {
        match Service::start(config(&state).function(function())).await {
            Ok(service) => Some(service),
            Err(ServiceError::InUse(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let id = longhaul_emulator::CallbackId::parse(&id).unwrap();
    assert!(
        api.succeed_callback(&id, None).await.is_err(),
        "the old service takes nothing any more"
    );
    service
        .api()
        .succeed_callback(&id, Some("1".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        ended(&support::client(&service.url()), &arn).await.1,
        json!(1)
    );
    service.shutdown().await;
}
