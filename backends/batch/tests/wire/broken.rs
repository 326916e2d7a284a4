//! Refusals, garbage and silence.

use tokio::net::TcpSocket;

use super::*;

#[tokio::test]
async fn what_only_asks_is_repeated_by_the_sdk() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    for call in ["listjobs", "describejobs", "terminatejob"] {
        fake.fail(call, Fault::CutBefore);
        fake.fail(call, Fault::Then(500, ""));
    }
    let handle = backend.start(&job(), &token()).await.unwrap();
    let outcome = backend.cancel(&handle, "x").await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    assert_eq!(fake.calls("listjobs").len(), 4);
    assert_eq!(fake.calls("describejobs").len(), 3);
    assert_eq!(fake.calls("terminatejob").len(), 3);
}

#[tokio::test]
async fn garbage_from_batch_is_an_error_that_can_be_tried_again() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    let handle = JobHandle::new("batch", "1");
    for call in ["listjobs", "describejobs"] {
        for _ in 0..6 {
            fake.fail(call, Fault::Then(200, "<html>"));
        }
    }
    let errors = [
        backend.start(&job(), &token()).await.unwrap_err(),
        backend.list(&execution()).await.unwrap_err(),
        backend.describe(&handle).await.unwrap_err(),
        backend.cancel(&handle, "x").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(
            error.kind(),
            BackendErrorKind::Unavailable,
            "{}",
            error.full_message()
        );
        assert_eq!(error.retry(), Retry::Backoff);
    }
    assert_eq!(fake.accepted(), 0);
}

#[tokio::test]
async fn an_unknown_queue_and_a_missing_permission_say_what_to_do() {
    let fake = FakeBatch::start().await;
    let config = BatchConfig::new("nowhere", "worker");
    let backend = BatchBackend::from_sdk(config, &shared(fake.url()));
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    assert!(error.to_string().contains("BATCH_JOB_QUEUE"), "{error}");

    let message = "User: u is not authorized to perform: batch:TagResource on resource: r";
    let denied = Fault::Answer(403, "AccessDeniedException", message.to_owned());
    fake.fail("submitjob", denied);
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (BackendErrorKind::Denied, Retry::Never)
    );
    assert!(error.to_string().contains("batch:TagResource"), "{error}");
}

#[tokio::test]
async fn an_answer_that_quotes_the_request_does_not_give_the_token_away() {
    let fake = FakeBatch::start().await;
    let quoting = format!("Invalid value: CALLBACK_ID={TOKEN}");
    fake.fail("submitjob", Fault::Answer(400, "ClientException", quoting));
    let error = backend(&fake).start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
    let text = format!("{error:?} {}", error.full_message());
    assert!(
        !text.contains(TOKEN) && text.contains("CALLBACK_ID=(redacted)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_batch_that_is_not_there_is_unavailable() {
    // Bound and not listening: nobody else gets the port, and every connection is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let backend = BatchBackend::from_sdk(BatchConfig::new("jobs", "worker"), &shared(&url));
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        BackendErrorKind::Unavailable,
        "{}",
        error.full_message()
    );
    assert_eq!(error.retry(), Retry::Backoff);
}
