//! Services that are down, broken, busy or unwilling.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::service::{Answer, Call, PATIENCE, Service};
use crate::worker::{finish, run, script, stderr};

#[tokio::test]
async fn a_report_is_delivered_when_the_service_comes_up_after_the_command_has_ended() {
    let mut service = Service::down(|_, _| Answer::Accepted);
    let command = "echo 7 >\"$LONGHAUL_RESULT_FILE\"";
    let mut worker = script(&service, &[], command).spawn().unwrap();
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines();
    let refused = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("the report is not delivered yet") {
                return;
            }
        }
        panic!("the worker ended before it was refused");
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    service.listen();
    // Its standard error is read on, or the worker could not go on writing to it.
    let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    assert_eq!(finish(worker).await.status.code(), Some(0));
    assert_eq!(service.reports(), [Call::Success(b"7\n".to_vec())]);
    rest.await.unwrap();
}

#[tokio::test]
async fn a_service_on_loopback_is_reached_without_a_region_or_a_configuration() {
    let service = Service::with(|_, _| Answer::Accepted);
    let mut worker = script(&service, &[], "true");
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
        worker.env_remove(name);
    }
    worker
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.reports(), [Call::Success(b"null".to_vec())]);
}

#[tokio::test]
async fn a_broken_and_a_busy_service_are_tried_again() {
    let service = Service::with(|call, before| {
        let tries = before.iter().filter(|c| *c == call).count();
        match (call, tries) {
            (Call::Heartbeat, _) => Answer::Accepted,
            (_, 0) => Answer::Error(500, "ServiceException"),
            (_, 1) => Answer::Error(429, "TooManyRequestsException"),
            (_, 2) => Answer::Error(503, ""),
            _ => Answer::Accepted,
        }
    });
    let output = run(script(&service, &[], "true")).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.reports().len(), 4);
}

#[tokio::test]
async fn a_result_that_the_service_refuses_becomes_a_failure() {
    let service = Service::with(|call, _| match call {
        Call::Success(_) => Answer::Error(400, "InvalidParameterValueException"),
        _ => Answer::Accepted,
    });
    let output = run(script(&service, &[], "true")).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let reports = service.reports();
    let [Call::Success(_), Call::Failure(failure)] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(failure["ErrorType"], "Longhaul.Failed");
    let message = failure["ErrorMessage"].as_str().unwrap();
    assert!(
        message.contains("InvalidParameterValueException"),
        "{message}"
    );
}

#[tokio::test]
async fn a_report_that_cannot_be_delivered_in_time_is_exit_code_75() {
    let service = Service::down(|_, _| Answer::Accepted);
    let mut worker = script(&service, &[], "true");
    worker.env("LONGHAUL_TIMEOUT_SECONDS", "2");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(75));
    let told = stderr(&output);
    assert!(told.contains("could not be delivered"), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn a_callback_that_is_closed_at_the_end_is_exit_code_76() {
    let service = Service::with(|call, _| match call {
        Call::Heartbeat => Answer::Accepted,
        _ => Answer::Error(404, "ResourceNotFoundException"),
    });
    let output = run(script(&service, &[], "exit 5")).await;
    assert_eq!(output.status.code(), Some(76), "{}", stderr(&output));
    assert_eq!(service.reports().len(), 1);
}

/// What reads a pipe that nobody writes to never ends.
#[tokio::test]
async fn on_this_machine_no_tls_root_is_read_also_with_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let made = std::process::Command::new("mkfifo").arg(&roots).status();
    assert!(made.unwrap().success());
    let service = Service::up();
    let mut worker = script(&service, &[], "true");
    worker.env("SSL_CERT_FILE", &roots);
    worker.env("AWS_ACCESS_KEY_ID", "local");
    worker.env("AWS_SECRET_ACCESS_KEY", "local");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.reports().len(), 1);
}
