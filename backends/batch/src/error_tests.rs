//! What Batch's refusals and silences mean.

use super::*;

fn refused(status: u16, code: &str, message: &str) -> CallError {
    CallError::Refused {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

fn submit(error: CallError) -> BackendError {
    error.into_backend_error(Call::Submit, "start job `render`")
}

#[test]
fn a_refused_submit_is_told_apart_by_the_words_of_batch() {
    use BackendErrorKind as K;
    for (status, code, message, kind) in [
        (
            400,
            "ClientException",
            "JobQueue jobs not found.",
            K::NotFound,
        ),
        (
            400,
            "ClientException",
            "JobDefinition name worker does not exist or is not in ACTIVE status",
            K::NotFound,
        ),
        (
            400,
            "ClientException",
            "Error executing request, Exception : Job size must be less than 30 KiB, got 47 KiB, RequestId: 5b2a",
            K::TooLarge,
        ),
        (
            400,
            "ClientException",
            "Container Overrides length must be at most 8192",
            K::TooLarge,
        ),
        (413, "RequestTooLarge", "", K::TooLarge),
        (
            400,
            "ClientException",
            "Command cannot be empty",
            K::InvalidSpec,
        ),
        (
            400,
            "ClientException",
            "shareIdentifier must be specified",
            K::InvalidSpec,
        ),
        (400, "ClientException", "Too Many Requests", K::Throttled),
        (400, "ClientException", "Rate exceeded", K::Throttled),
        (
            429,
            "TooManyRequestsException",
            "Too Many Requests",
            K::Throttled,
        ),
        (400, "ThrottlingException", "", K::Throttled),
        (403, "AccessDeniedException", "no", K::Denied),
        (400, "UnrecognizedClientException", "no", K::Denied),
        (
            400,
            "ClientException",
            "User: arn:… is not authorized to perform: batch:TagResource on resource: arn:…",
            K::Denied,
        ),
        (
            400,
            "ClientException",
            "JobQueue jobs is DISABLED",
            K::Unavailable,
        ),
    ] {
        let error = submit(refused(status, code, message));
        assert_eq!(error.kind(), kind, "{code}: {message}");
        assert_eq!(error.retry(), kind.retry(), "{code}: {message}");
    }
}

#[test]
fn an_action_that_is_missing_is_named() {
    let error = submit(refused(
        403,
        "AccessDeniedException",
        "User: arn:aws:sts::1:assumed-role/f is not authorized to perform: batch:TagResource on resource: arn:aws:batch:…",
    ));
    assert_eq!(
        error.to_string(),
        "start job `render`: not allowed; give the caller's role the action batch:TagResource"
    );
    let error = submit(refused(403, "AccessDeniedException", "no"));
    assert!(error.to_string().ends_with("batch:SubmitJob"), "{error}");
}

#[test]
fn a_submit_without_a_clear_answer_may_have_worked() {
    for error in [
        CallError::NoAnswer("connection closed".to_owned()),
        CallError::Broken {
            status: 500,
            code: "ServerException".to_owned(),
            message: "Internal error".to_owned(),
        },
    ] {
        let text = error.to_string();
        let error = submit(error);
        assert_eq!(error.kind(), BackendErrorKind::Ambiguous);
        assert_eq!(error.retry(), Retry::SameToken);
        assert!(error.full_message().ends_with(&text));
    }
}

#[test]
fn a_throttled_503_is_throttled() {
    let error = submit(CallError::Broken {
        status: 503,
        code: "SlowDown".to_owned(),
        message: String::new(),
    });
    assert_eq!(error.kind(), BackendErrorKind::Throttled);
}

#[test]
fn a_request_that_never_left_can_be_repeated() {
    let error = submit(CallError::NotSent("no region".to_owned()));
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    assert_eq!(error.retry(), Retry::Backoff);
}

#[test]
fn other_calls_never_are_ambiguous() {
    for call in [Call::List, Call::Describe, Call::Terminate] {
        let broken = CallError::NoAnswer("cut".to_owned()).into_backend_error(call, "x");
        assert_eq!(broken.kind(), BackendErrorKind::Unavailable);
        assert_eq!(broken.retry(), Retry::Backoff);
        let refused = refused(400, "ClientException", "no").into_backend_error(call, "x");
        assert_eq!(refused.kind(), BackendErrorKind::Unavailable);
        assert_eq!(refused.retry(), Retry::Never);
        assert_eq!(
            refused.to_string(),
            format!("x: {} was refused", call.action())
        );
    }
}

#[test]
fn a_secret_in_an_answer_is_struck_out() {
    let error = refused(400, "ClientException", "bad value c2VjcmV0 here").without("c2VjcmV0");
    let error = submit(error);
    let text = format!("{error:?} {}", error.full_message());
    assert!(!text.contains("c2VjcmV0"), "{text}");
    assert!(text.contains("(redacted)"), "{text}");
}
