//! How a command ends, and what the durable function gets to know of it.

use serde_json::json;
use tempfile::TempDir;

use crate::service::{Answer, Call, Service, TOKEN};
use crate::worker::{gone, run, script, stderr, supervisor};

#[tokio::test]
async fn an_exit_code_is_reported_with_the_end_of_standard_error_and_passed_on() {
    let service = Service::up();
    let command = "echo before >&2; echo 'bad frame: 7' >&2; exit 3";
    let output = run(script(&service, &[], command)).await;
    assert_eq!(output.status.code(), Some(3));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert_eq!(failure.message(), "bad frame: 7");
    let data = json!({"exit_code": 3, "stderr": "before\nbad frame: 7"});
    assert_eq!(failure.data(), data);
}

#[tokio::test]
async fn a_killed_command_is_reported_with_its_signal_and_no_exit_code() {
    let service = Service::up();
    let output = run(script(&service, &[], "kill -KILL $$")).await;
    assert_eq!(output.status.code(), Some(137));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert_eq!(failure.data(), json!({"signal": 9}));
}

#[tokio::test]
async fn a_command_that_is_not_there_or_not_executable_failed_to_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("not-executable");
    std::fs::write(&file, "").unwrap();
    for (command, exit_code, reason) in [
        ("no-such-program-anywhere", 127, "No such file"),
        (file.to_str().unwrap(), 126, "Permission denied"),
    ] {
        let service = Service::up();
        let output = run(supervisor(&service, &[], [command, "argument"])).await;
        assert_eq!(output.status.code(), Some(exit_code));
        let failure = service.failure();
        assert_eq!(failure.error_type(), "Longhaul.FailedToStart");
        assert!(failure.message().contains(command), "{failure:?}");
        let told = failure.data()["reason"].as_str().unwrap().to_owned();
        assert!(told.contains(reason), "{failure:?}");
    }
}

#[tokio::test]
async fn an_input_by_reference_and_a_senseless_variable_keep_the_command_from_starting() {
    for (name, value) in [
        ("LONGHAUL_INPUT_URI", "s3://bucket/input.json"),
        ("LONGHAUL_HEARTBEAT_SECONDS", "soon"),
    ] {
        let service = Service::up();
        let mut worker = script(&service, &[], "echo started");
        worker.env(name, value);
        let output = run(worker).await;
        assert_eq!(output.status.code(), Some(126));
        assert_eq!(output.stdout, b"");
        let failure = service.failure();
        assert_eq!(failure.error_type(), "Longhaul.FailedToStart");
        assert!(failure.message().contains(value), "{failure:?}");
    }
}

#[tokio::test]
async fn without_a_callback_nothing_is_run_and_the_reason_is_told() {
    let service = Service::up();
    let mut worker = script(&service, &[], "echo started");
    worker.env_remove("CALLBACK_ID");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let told = stderr(&output);
    assert!(told.contains("CALLBACK_ID is not set"), "{told}");
    assert!(told.contains("starts the job"), "{told}");
    assert_eq!(service.calls(), []);
}

#[tokio::test]
async fn bad_usage_is_exit_code_2() {
    for arguments in [&["run"][..], &["run", "--grace", "soon", "--", "true"]] {
        let service = Service::up();
        let mut worker = crate::worker::worker(&service, env!("CARGO_BIN_EXE_longhaul-worker"));
        worker.args(arguments);
        let output = run(worker).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(service.calls(), []);
    }
}

#[tokio::test]
async fn both_streams_pass_through_unchanged() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bytes");
    // Every byte value, in no order that any text has.
    let bytes: Vec<u8> = (0..300_000u64).map(|n| (n * n / 7 % 256) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let service = Service::up();
    let command = format!("cat {0}; cat {0} >&2", file.display());
    let output = run(script(&service, &[], &command)).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "standard output was changed");
    assert!(output.stderr == bytes, "standard error was changed");
}

#[tokio::test]
async fn of_a_huge_standard_error_everything_passes_and_the_last_4_kib_are_reported() {
    let service = Service::up();
    let command =
        "yes 'a line of standard error, with ümlauts' | head -n 200000 >&2; echo end >&2; exit 1";
    let output = run(script(&service, &[], command)).await;
    let line = "a line of standard error, with ümlauts\n";
    assert_eq!(output.stderr.len(), 200_000 * line.len() + 4);
    let told = service.failure().data()["stderr"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told.len() <= 4096 && told.len() > 4000, "{}", told.len());
    assert!(told.starts_with(line) && told.ends_with("\nend"), "{told}");
}

#[tokio::test]
async fn what_a_command_leaves_running_is_ended_with_it() {
    let service = Service::up();
    let command = "sh -c 'trap \"\" TERM HUP; sleep 1000' & echo $!";
    let output = run(script(&service, &[], command)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    gone(&String::from_utf8(output.stdout).unwrap()).await;
}

#[tokio::test]
async fn the_command_does_not_get_the_secret_unless_it_is_passed() {
    let command = r#"printf '%s' "${CALLBACK_ID-none}""#;
    let service = Service::up();
    assert_eq!(run(script(&service, &[], command)).await.stdout, b"none");
    let output = run(script(&service, &["--pass-callback"], command)).await;
    assert_eq!(output.stdout, TOKEN.as_bytes());
}

#[tokio::test]
async fn the_secret_is_in_no_log_and_no_report() {
    let refuse = |call: &Call, before: &[Call]| match call {
        Call::Heartbeat => Answer::Error(500, "ServiceException"),
        Call::Success(_) => Answer::Error(400, "InvalidParameterValueException"),
        Call::Failure(_) if before.len() < 6 => Answer::Error(403, "AccessDeniedException"),
        Call::Failure(_) => Answer::Accepted,
    };
    let service = Service::with(refuse);
    let mut worker = script(&service, &[], "true");
    worker.env("LONGHAUL_LOG", "trace");
    let output = run(worker).await;
    let told = stderr(&output);
    assert!(told.contains("AccessDeniedException"), "{told}");

    let careless = Service::up();
    let print = "echo \"I am $CALLBACK_ID\" >&2; exit 1";
    run(script(&careless, &["--pass-callback"], print)).await;

    let reports = format!("{:?} {:?}", service.reports(), careless.reports());
    let encoded = TOKEN
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D");
    for secret in [TOKEN, &encoded] {
        assert!(!told.contains(secret), "{told}");
        assert!(!reports.contains(secret), "{reports}");
    }
}
