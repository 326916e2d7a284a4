//! Tests of the runner with a payload store: inputs and results by reference.

use aws_durable_execution_sdk::test_util::{LocalRunner, TestResult};
use longhaul_core::{JobName, MockComputeBackend, PayloadKey, PayloadUri, StartKey};
use serde_json::{Value, json};

use super::*;
use crate::testing::{BASE, Store};

fn spec() -> JobSpec {
    JobSpec::new(JobName::new("hello").unwrap())
        .with_command(["hello"])
        .with_input(json!({"frames": [1, 2, 3]}))
}

fn mock() -> MockComputeBackend {
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const("mock".to_owned());
    backend
}

async fn run(runner: JobRunner, local: LocalRunner) -> TestResult<Value> {
    local
        .run(
            move |_: Value, ctx: DurableContext| {
                let runner = runner.clone();
                async move {
                    let report = runner.run::<Value>(&ctx, spec()).await;
                    report
                        .map(|report| report.result)
                        .map_err(|e| format!("{} | {}", e.error_type(), e.error_message()).into())
                }
            },
            Value::Null,
        )
        .await
}

#[tokio::test]
async fn an_input_that_the_backend_cannot_carry_goes_by_reference() {
    let store = Arc::new(Store::default());
    let mut backend = mock();
    backend
        .expect_start()
        .times(1)
        .withf(|job, _| job.input_uri().is_none())
        .returning(|_, _| {
            Err(BackendError::new(
                BackendErrorKind::TooLarge,
                "9,000 of 8,192",
            ))
        });
    let kept = Arc::clone(&store);
    backend
        .expect_start()
        .times(1)
        .withf(|job, _| job.input_uri().is_some())
        .returning(move |job, token| {
            let environment = job.environment(token);
            assert_eq!(environment.get("LONGHAUL_INPUT"), None);
            assert_eq!(environment.get("LONGHAUL_PAYLOAD_STORE"), Some(BASE));
            let uri: PayloadUri = environment
                .get("LONGHAUL_INPUT_URI")
                .unwrap()
                .parse()
                .unwrap();
            let content = kept.0.lock().unwrap().get(&uri.location()).unwrap().clone();
            let input: Value = serde_json::from_slice(&content).unwrap();
            assert_eq!(input, json!({"frames": [1, 2, 3]}));
            Ok(JobHandle::new("mock", "1"))
        });
    let runner = JobRunner::new(Arc::new(backend)).with_payload_store(store);
    let result = run(runner, LocalRunner::new().callback_success(&"ok")).await;
    assert_eq!(
        result.output(),
        Some(&json!("ok")),
        "{:?}",
        result.error_message()
    );
}

#[tokio::test]
async fn without_a_store_a_job_that_is_too_large_is_refused() {
    let mut backend = mock();
    backend.expect_start().times(1).returning(|_, _| {
        Err(BackendError::new(
            BackendErrorKind::TooLarge,
            "9,000 of 8,192",
        ))
    });
    let result = run(JobRunner::new(Arc::new(backend)), LocalRunner::new()).await;
    let message = result.error_message().unwrap();
    assert!(
        message.contains("Longhaul.Backend.TooLarge")
            && message.contains("9,000")
            && message.contains("LONGHAUL_PAYLOAD_STORE"),
        "{message}"
    );
}

/// What a runner makes of a completed callback of the execution `arn`.
fn receive(
    runtime: &tokio::runtime::Runtime,
    runner: &JobRunner,
    completed: crate::durable::Completed<JobHandle>,
) -> Result<Value, RunError> {
    let attempts = 1;
    let succeeded = crate::attempts::Succeeded {
        attempts,
        completed,
    };
    let report = succeeded.unread(Arc::new(spec()), "arn")?.report;
    Ok(runtime.block_on(runner.read(report))?.result)
}

#[test]
fn a_reference_is_followed_only_to_this_attempts_result() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = Arc::new(Store::default());
    let runner = JobRunner::new(Arc::new(mock())).with_payload_store(Arc::clone(&store) as _);
    let execution = ExecutionId::from_arn("arn");
    let token = longhaul_core::CallbackToken::new("dG9rZW4=").unwrap();
    let put = |key: &StartKey| {
        let key = PayloadKey::new(
            execution.clone(),
            key.clone(),
            longhaul_core::PayloadKind::Result,
        );
        runtime
            .block_on(store.put(&key, b"[1,2]".to_vec()))
            .unwrap()
    };
    let receive = |uri: PayloadUri| {
        let completed = crate::durable::Completed {
            handle: JobHandle::new("mock", "1"),
            token: token.clone(),
            payload: CallbackResult::Reference(uri).encode(),
        };
        receive(&runtime, &runner, completed)
    };
    assert_eq!(receive(put(&token.start_key())).unwrap(), json!([1, 2]));
    let another = longhaul_core::CallbackToken::new("b3RoZXI=")
        .unwrap()
        .start_key();
    let error = receive(put(&another)).unwrap_err();
    assert_eq!(error.error_type(), "Longhaul.Payload.InvalidUri");
}

#[test]
fn a_result_that_is_gone_from_the_store_is_an_error_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store: Arc<Store> = Arc::default();
    let runner = JobRunner::new(Arc::new(mock())).with_payload_store(Arc::clone(&store) as _);
    let execution = ExecutionId::from_arn("arn");
    let token = longhaul_core::CallbackToken::new("dG9rZW4=").unwrap();
    let key = PayloadKey::new(
        execution.clone(),
        token.start_key(),
        longhaul_core::PayloadKind::Result,
    );
    let uri = runtime.block_on(store.put(&key, b"1".to_vec())).unwrap();
    store.0.lock().unwrap().clear();
    let completed = crate::durable::Completed {
        handle: JobHandle::new("mock", "1"),
        token,
        payload: CallbackResult::Reference(uri).encode(),
    };
    let error = receive(&runtime, &runner, completed).unwrap_err();
    assert_eq!(error.error_type(), "Longhaul.Payload.Missing");
}
