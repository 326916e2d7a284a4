//! What a command leaves behind as its result.

use serde_json::json;
use tempfile::TempDir;

use crate::service::{Call, Service};
use crate::worker::{run, script, stderr};

#[tokio::test]
async fn the_result_file_is_delivered_byte_for_byte() {
    let service = Service::up();
    let output = run(script(
        &service,
        &[],
        r#"printf '{ "a": [1, "😀\\u0000"] }\n' >"$LONGHAUL_RESULT_FILE""#,
    ))
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = "{ \"a\": [1, \"😀\\u0000\"] }\n";
    assert_eq!(service.reports(), [Call::Success(result.into())]);
}

#[tokio::test]
async fn without_a_result_file_the_result_is_null() {
    for command in ["true", ": >\"$LONGHAUL_RESULT_FILE\""] {
        let service = Service::up();
        let output = run(script(&service, &[], command)).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(service.reports(), [Call::Success(b"null".to_vec())]);
    }
}

#[tokio::test]
async fn a_result_that_is_not_json_is_a_failure_that_says_where() {
    let service = Service::up();
    let command = "echo '{\"a\": oops}' >\"$LONGHAUL_RESULT_FILE\"; echo to stderr >&2";
    let output = run(script(&service, &[], command)).await;
    assert_eq!(output.status.code(), Some(1));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert!(failure.message().contains("not JSON"), "{failure:?}");
    assert!(failure.message().contains("line 1 column 7"), "{failure:?}");
    assert_eq!(
        failure.data(),
        json!({"exit_code": 0, "stderr": "to stderr"})
    );
}

#[tokio::test]
async fn a_result_over_256_kib_is_a_failure_with_its_size_and_the_limit() {
    let service = Service::up();
    let command = r#"(printf '"'; head -c 300000 /dev/zero | tr '\0' x; printf '"') >"$LONGHAUL_RESULT_FILE""#;
    let output = run(script(&service, &[], command)).await;
    assert_eq!(output.status.code(), Some(1));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert!(failure.message().contains("300002 bytes"), "{failure:?}");
    assert!(failure.message().contains("262144"), "{failure:?}");
}

#[tokio::test]
async fn the_largest_result_is_delivered() {
    let service = Service::up();
    let command = r#"(printf '"'; head -c 262142 /dev/zero | tr '\0' x; printf '"') >"$LONGHAUL_RESULT_FILE""#;
    let output = run(script(&service, &[], command)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = format!("\"{}\"", "x".repeat(262_142));
    assert_eq!(service.reports(), [Call::Success(result.into())]);
}

#[tokio::test]
async fn the_result_lies_in_a_private_folder_that_is_gone_afterwards() {
    let service = Service::up();
    let command = r#"folder=$(dirname "$LONGHAUL_RESULT_FILE"); echo "$folder"; ls -ld "$folder""#;
    let output = run(script(&service, &[], command)).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let (folder, listing) = text.split_once('\n').unwrap();
    assert!(listing.starts_with("drwx------"), "{listing}");
    assert!(!std::path::Path::new(folder).exists(), "{folder}");
}

#[tokio::test]
async fn a_named_result_file_is_used_kept_and_never_read_from_an_earlier_run() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("result.json");
    let options = ["--result-file", file.to_str().unwrap()];
    std::fs::write(&file, "\"stale\"").unwrap();

    let service = Service::up();
    run(script(&service, &options, "true")).await;
    assert_eq!(service.reports(), [Call::Success(b"null".to_vec())]);

    let service = Service::up();
    let command = "echo 7 >\"$LONGHAUL_RESULT_FILE\"";
    run(script(&service, &options, command)).await;
    assert_eq!(service.reports(), [Call::Success(b"7\n".to_vec())]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "7\n");
}
