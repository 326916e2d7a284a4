//! Inputs and results by reference, in a folder.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use longhaul_core::{Job, PayloadStore, PayloadUri, payload};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::hello::{delivered, job, with_environment};
use crate::service::{Call, Service};
use crate::worker::{run, rust_hello, script, stderr};

/// A payload store in a folder, as a function has it.
pub(crate) struct Store {
    folder: TempDir,
    store: std::sync::Arc<dyn PayloadStore>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("file://{}/payloads", folder.path().display());
        let store = longhaul_payload::open(&url).unwrap();
        Self { folder, store }
    }

    /// The job with its input in the store.
    pub(crate) async fn with_input(&self, input: Value) -> Job {
        let job = job("hello.json", input).with_payload_store(self.store.base());
        payload::put_input(&*self.store, job).await.unwrap()
    }

    /// The file of the job's input.
    pub(crate) fn input_file(&self, job: &Job) -> PathBuf {
        let uri: PayloadUri = job.input_uri().unwrap().parse().unwrap();
        let folder = self.folder.path().join("payloads");
        folder.join(uri.key().to_string())
    }

    /// What the job's callback refers to.
    async fn result(&self, job: &Job, service: &Service) -> String {
        let [Call::Success(text)] = &service.reports()[..] else {
            panic!("not one success: {:?}", service.reports());
        };
        let text = std::str::from_utf8(text).unwrap();
        assert!(text.starts_with("longhaul-payload/1 file:///"), "{text}");
        let (execution, start_key) = (job.execution(), job.start_key());
        payload::receive_result(Some(&*self.store), execution, start_key, text)
            .await
            .unwrap()
    }
}

/// The supervisor, about to run a shell script as the job.
fn supervised(service: &Service, options: &[&str], job: &Job, text: &str) -> Command {
    with_environment(script(service, options, text), job)
}

#[tokio::test]
async fn a_small_input_by_reference_is_a_variable_and_a_private_file() {
    let store = Store::new();
    let long = "long ".repeat(100);
    let input = json!({"message": long, "n": 7});
    let job = store.with_input(input.clone()).await;
    let service = Service::up();
    let text = r#"[ "$(cat "$LONGHAUL_INPUT_FILE")" = "$LONGHAUL_INPUT" ] || exit 1
        ls -l "$LONGHAUL_INPUT_FILE"; ls -ld "$(dirname "$LONGHAUL_INPUT_FILE")"; echo "$LONGHAUL_INPUT_FILE"
        printf '{"input":%s,"message":"%s","n":"%s"}' "$LONGHAUL_INPUT" "$MESSAGE" "$N" >"$LONGHAUL_RESULT_FILE""#;
    let output = run(supervised(&service, &[], &job, text)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        delivered(&service),
        json!({"input": input, "message": long, "n": "7"})
    );
    let listing = String::from_utf8(output.stdout).unwrap();
    let [file, folder, path] = listing.lines().collect::<Vec<_>>()[..] else {
        panic!("{listing}");
    };
    assert!(file.starts_with("-rw-------"), "{file}");
    assert!(folder.starts_with("drwx------"), "{folder}");
    assert!(!std::path::Path::new(path).exists(), "{path}");
}

#[tokio::test]
async fn an_inline_input_is_no_file() {
    let service = Service::up();
    let job = job("hello.json", json!({"n": 7}));
    let text = r#"[ -z "${LONGHAUL_INPUT_FILE+set}" ] && [ "$LONGHAUL_INPUT" = '{"n":7}' ]"#;
    let output = run(supervised(&service, &[], &job, text)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test]
async fn a_store_that_is_not_needed_is_not_touched() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("payloads");
    let url = format!("file://{}", store.display());
    let service = Service::up();
    let job = job("hello.json", Value::Null).with_payload_store(url);
    let text = r#"(printf '"'; head -c 262142 /dev/zero | tr '\0' x; printf '"') >"$LONGHAUL_RESULT_FILE""#;
    let output = run(supervised(&service, &[], &job, text)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(delivered(&service).is_string());
    assert!(!store.exists());
}

#[tokio::test]
async fn a_large_input_is_a_file_and_a_large_result_a_reference() {
    let store = Store::new();
    let input = json!({"message": "short", "frames": "x".repeat(300 * 1024)});
    let job = store.with_input(input.clone()).await;
    let text = r#"[ -z "${LONGHAUL_INPUT+set}" ] && [ "$MESSAGE" = short ] || exit 1
        cat "$LONGHAUL_INPUT_FILE" >"$LONGHAUL_RESULT_FILE""#;
    let folder = TempDir::new().unwrap();
    let result_file = folder.path().join("result.json");
    // With and without a result file of one's own.
    for options in [&[][..], &["--result-file", result_file.to_str().unwrap()]] {
        let service = Service::up();
        let output = run(supervised(&service, options, &job, text)).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(store.result(&job, &service).await, input.to_string());
    }
    let kept = store.input_file(&job).with_file_name("result.json");
    let mode = std::fs::metadata(kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_job_in_rust_takes_and_returns_by_reference() {
    let store = Store::new();
    let message = "m\n".repeat(150 * 1024);
    let input = json!({"message": message, "processingTime": 0});
    let job = store.with_input(input).await;
    let service = Service::up();
    let mut worker = with_environment(rust_hello(&service), &job);
    // It prints its message and its result.
    worker.stdout(std::process::Stdio::null());
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result: Value = serde_json::from_str(&store.result(&job, &service).await).unwrap();
    assert_eq!(
        result,
        json!({"status": "completed", "message": format!("Processed: {message}")})
    );
}

/// What somebody does to the file of an input.
type Spoil = fn(PathBuf);

#[tokio::test]
async fn an_input_that_is_gone_or_changed_keeps_the_command_from_starting() {
    let store = Store::new();
    let place = TempDir::new().unwrap();
    let mark = place.path().join("ran");
    let text = format!("touch {}", mark.display());
    let spoil: [(&str, Spoil); 3] = [
        ("nothing is there", |file| {
            std::fs::remove_file(file).unwrap()
        }),
        ("is not what was put", |file| {
            std::fs::write(file, r#"{"n":2}"#).unwrap()
        }),
        ("is not what was put", |file| {
            std::fs::write(file, r#"{"n":1"#).unwrap()
        }),
    ];
    for (part, spoil) in spoil {
        let job = store.with_input(json!({"n": 1})).await;
        spoil(store.input_file(&job));
        for worker in [script, |service: &Service, _: &[&str], _: &str| {
            rust_hello(service)
        }] {
            let service = Service::up();
            let output = run(with_environment(worker(&service, &[], &text), &job)).await;
            assert!(!output.status.success());
            let failure = service.failure();
            assert_eq!(failure.error_type(), "Longhaul.FailedToStart");
            assert!(failure.message().contains(part), "{failure:?}");
            assert!(failure.message().contains("/input.json"), "{failure:?}");
        }
        assert!(!mark.exists());
        let _ = std::fs::remove_file(store.input_file(&job));
    }
}

#[tokio::test]
async fn a_result_that_no_store_takes_is_a_failure_with_its_size_and_the_limit() {
    let store = Store::new();
    let job = store.with_input(Value::Null).await;
    let service = Service::up();
    let text = r#"truncate -s 67108865 "$LONGHAUL_RESULT_FILE""#;
    let output = run(supervised(&service, &[], &job, text)).await;
    assert_eq!(output.status.code(), Some(1));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert!(failure.message().contains("67108865 bytes"), "{failure:?}");
    assert!(
        failure.message().contains("at most 67108864"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_fails_the_job_with_the_reason() {
    let service = Service::up();
    let job = job("hello.json", Value::Null).with_payload_store("file:///dev/null/payloads");
    let text = r#"(printf '"'; head -c 300000 /dev/zero | tr '\0' x; printf '"') >"$LONGHAUL_RESULT_FILE""#;
    let output = run(supervised(&service, &[], &job, text)).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert!(failure.message().contains("300002 bytes"), "{failure:?}");
    assert!(
        failure.message().contains("/dev/null/payloads"),
        "{failure:?}"
    );
}
