//! Refusals, as the SDK's typed errors: the way clients tell one from another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ErrorObject, InvocationType};
use serde_json::json;
use support::{client_with_key, config, ended, function, invoke, start, suspended_callback};

const NOWHERE: &str =
    "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/no/where";

#[tokio::test]
async fn a_closed_callback_answers_callback_timeout_and_an_unknown_one_not_found() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .result(Blob::new("1"))
        .send()
        .await
        .unwrap();

    let again = client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(again.into_service_error().is_callback_timeout_exception());
    let again = client
        .send_durable_execution_callback_failure()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(again.into_service_error().is_callback_timeout_exception());
    let again = client
        .send_durable_execution_callback_heartbeat()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(again.into_service_error().is_callback_timeout_exception());
    ended(&client, &arn).await;
    let late = client
        .send_durable_execution_callback_heartbeat()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(
        late.into_service_error().is_callback_timeout_exception(),
        "also once the execution has ended"
    );

    let unknown = client
        .send_durable_execution_callback_success()
        .callback_id("bm8=")
        .send()
        .await
        .unwrap_err();
    assert!(
        unknown
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let malformed = client
        .send_durable_execution_callback_success()
        .callback_id("not base64!")
        .send()
        .await
        .unwrap_err();
    assert!(
        malformed
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_result_over_one_mebibyte_is_refused_and_the_callback_stays_open() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let send = |bytes: Vec<u8>| {
        client
            .send_durable_execution_callback_success()
            .callback_id(&id)
            .result(Blob::new(bytes))
            .send()
    };
    let large = send(vec![b'1'; 1_048_577]).await.unwrap_err();
    assert!(
        large
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    let binary = send(vec![0xff]).await.unwrap_err();
    assert!(
        binary
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    let error = ErrorObject::builder()
        .error_data("x".repeat(1_048_577))
        .build();
    let large = client
        .send_durable_execution_callback_failure()
        .callback_id(&id)
        .error(error)
        .send()
        .await
        .unwrap_err();
    assert!(
        large
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    send(format!("\"{}\"", "x".repeat(1_048_574)).into_bytes())
        .await
        .unwrap();
    assert_eq!(
        ended(&client, &arn).await.1.as_str().unwrap().len(),
        1_048_574
    );
    service.shutdown().await;
}

#[tokio::test]
async fn unknown_executions_and_functions_are_not_found() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let get = client
        .get_durable_execution()
        .durable_execution_arn(NOWHERE)
        .send()
        .await
        .unwrap_err();
    assert!(get.into_service_error().is_resource_not_found_exception());
    let history = client
        .get_durable_execution_history()
        .durable_execution_arn(NOWHERE)
        .send()
        .await
        .unwrap_err();
    assert!(
        history
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let stop = client
        .stop_durable_execution()
        .durable_execution_arn(NOWHERE)
        .send()
        .await
        .unwrap_err();
    assert!(stop.into_service_error().is_resource_not_found_exception());
    let list = client
        .list_durable_executions_by_function()
        .function_name("nobody")
        .send()
        .await
        .unwrap_err();
    assert!(list.into_service_error().is_resource_not_found_exception());
    let malformed = client
        .get_durable_execution()
        .durable_execution_arn("arn:aws:lambda")
        .send()
        .await
        .unwrap_err();
    assert!(
        malformed
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    for (name, qualifier) in [
        ("nobody", "$LATEST"),
        ("job", "7"),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:job",
            "$LATEST",
        ),
    ] {
        let error = client
            .invoke()
            .function_name(name)
            .qualifier(qualifier)
            .send()
            .await
            .unwrap_err();
        assert!(
            error.into_service_error().is_resource_not_found_exception(),
            "{name}:{qualifier}"
        );
    }
    service.shutdown().await;
}

#[tokio::test]
async fn a_durable_function_is_only_invoked_with_a_qualifier() {
    let state = tempfile::tempdir().unwrap();
    let service =
        longhaul_emulator::Service::start(config(&state).function(function().alias("live")))
            .await
            .unwrap();
    let client = support::client(&service.url());
    let error = client
        .invoke()
        .function_name("job")
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .into_service_error()
            .is_invalid_parameter_value_exception()
    );
    for name in [
        "job:$LATEST",
        "job:live",
        "000000000000:function:job:live",
        "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST",
    ] {
        let dry = client
            .invoke()
            .function_name(name)
            .invocation_type(InvocationType::DryRun)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (dry.status_code(), dry.durable_execution_arn()),
            (204, None),
            "{name}"
        );
    }
    for (log, expected) in [("Tail", 204), ("All", 400)] {
        let answer = support::raw::request(
            &service.url(),
            "POST",
            "/2015-03-31/functions/job:live/invocations",
            &[("x-amz-invocation-type", "DryRun"), ("x-amz-log-type", log)],
            b"",
        )
        .await;
        assert_eq!(answer.status, expected, "{log}");
    }
    let both = client
        .invoke()
        .function_name("job:live")
        .qualifier("$LATEST")
        .send()
        .await
        .unwrap_err();
    assert!(
        both.into_service_error()
            .is_invalid_parameter_value_exception()
    );
    let list = client
        .list_durable_executions_by_function()
        .function_name("job")
        .send()
        .await
        .unwrap();
    assert!(
        list.durable_executions().is_empty(),
        "a dry run starts nothing"
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_name_is_taken_by_its_payload() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let call = |name: &'static str, payload: &'static str| {
        client
            .invoke()
            .function_name("job")
            .qualifier("$LATEST")
            .invocation_type(InvocationType::Event)
            .durable_execution_name(name)
            .payload(Blob::new(payload))
            .send()
    };
    let first = call("mine", r#"{"do":"echo","n":1}"#)
        .await
        .unwrap()
        .durable_execution_arn
        .unwrap();
    assert!(first.contains("/durable-execution/mine/"));
    let same = call("mine", r#"{ "do": "echo", "n": 1 }"#)
        .await
        .unwrap()
        .durable_execution_arn
        .unwrap();
    assert_eq!(first, same, "the same JSON is the same payload");
    ended(&client, &first).await;
    let closed = call("mine", r#"{"do":"echo","n":1}"#)
        .await
        .unwrap()
        .durable_execution_arn
        .unwrap();
    assert_eq!(first, closed, "also when it has ended");
    let other = call("mine", r#"{"do":"echo","n":2}"#)
        .await
        .unwrap_err()
        .into_service_error();
    assert!(other.is_durable_execution_already_started_exception());
    assert!(other.message().unwrap().contains("mine"));
    let bad = call("not a name", "{}")
        .await
        .unwrap_err()
        .into_service_error();
    assert!(bad.is_invalid_parameter_value_exception());

    let waiting = client
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .durable_execution_name("mine");
    let waiting = waiting
        .payload(Blob::new(r#"{"do":"echo","n":1}"#))
        .send()
        .await
        .unwrap();
    assert_eq!(
        waiting.payload().unwrap().as_ref(),
        br#"{"do":"echo","n":1}"#,
        "a caller that waits gets the first result"
    );
    service.shutdown().await;
}

#[tokio::test]
async fn payloads_must_be_json_and_within_their_limits() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let call = |kind: InvocationType, payload: Vec<u8>| {
        client
            .invoke()
            .function_name("job")
            .qualifier("$LATEST")
            .invocation_type(kind)
            .payload(Blob::new(payload))
            .send()
    };
    let error = call(InvocationType::Event, b"{not json".to_vec())
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_request_content_exception());
    let error = call(InvocationType::Event, vec![0xff])
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_request_content_exception());
    let padded =
        |size: usize| format!(r#"{{"do":"echo","pad":"{}"}}"#, "x".repeat(size)).into_bytes();
    let error = call(InvocationType::Event, padded(1_048_576))
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_request_too_large_exception());
    let answer = call(InvocationType::RequestResponse, padded(1_048_576))
        .await
        .unwrap();
    assert!(
        answer.payload().unwrap().as_ref().len() > 1_048_576,
        "a caller that waits may send and get more"
    );
    let error = call(InvocationType::RequestResponse, padded(6_291_456))
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_request_too_large_exception());
    service.shutdown().await;
}

#[tokio::test]
async fn with_an_access_key_only_those_who_know_it_are_served() {
    let state = tempfile::tempdir().unwrap();
    let service = longhaul_emulator::Service::start(
        config(&state)
            .function(function())
            .access_key_id("LHKEY123"),
    )
    .await
    .unwrap();
    let stranger = client_with_key(&service.url(), "AKIDSTRANGER");
    let error = stranger
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        error.into_service_error().code(),
        Some("UnrecognizedClientException")
    );
    let friend = client_with_key(&service.url(), "LHKEY123");
    // The function itself gets the key from its environment: it could not write a checkpoint without.
    let arn = invoke(&friend, json!({"do": "greet"})).await;
    assert_eq!(ended(&friend, &arn).await.1, json!("hello, world"));
    service.shutdown().await;
}
