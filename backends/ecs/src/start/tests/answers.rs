//! What a start makes of an answer that names no task.

use std::error::Error;

use longhaul_core::Retry;

use super::*;
use crate::api::ApiErrorKind;
use crate::testing::failed;

#[tokio::test]
async fn every_answer_has_its_kind_its_advice_and_its_words() {
    use BackendErrorKind::{
        Ambiguous, Denied, InvalidSpec, NotFound, Throttled, TooLarge, Unavailable,
    };
    let unanswered = Err(ApiError::new(ApiErrorKind::NoAnswer, "connection reset"));
    let unsent = Err(ApiError::new(ApiErrorKind::NotSent, "no region"));
    let denied = "User: arn:aws:sts::1:assumed-role/h/x is not authorized to perform: ecs:RunTask on resource: arn:aws:ecs:eu-west-1:1:task-definition/render:7 because…";
    for (answer, kind, retry, part) in [
        (
            refused("ThrottlingException", "Rate exceeded"),
            Throttled,
            Retry::Backoff,
            "start job `hello` in cluster \"jobs\"",
        ),
        (
            refused(
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)",
            ),
            Throttled,
            Retry::Backoff,
            "Rate exceeded",
        ),
        (
            refused("AccessDeniedException", denied),
            Denied,
            Retry::Never,
            "lacks ecs:RunTask on arn:aws:ecs:eu-west-1:1:task-definition/render:7; allow it",
        ),
        (
            refused("AccessDeniedException", "No."),
            Denied,
            Retry::Never,
            "lacks ecs:RunTask; allow it",
        ),
        (
            refused("ClientException", "ECS was unable to assume the role 'r'"),
            Denied,
            Retry::Never,
            "iam:PassRole",
        ),
        (
            refused(
                "UnrecognizedClientException",
                "The security token is invalid.",
            ),
            Denied,
            Retry::Never,
            "credentials",
        ),
        (
            refused("ClusterNotFoundException", "Cluster not found."),
            NotFound,
            Retry::Never,
            "cluster \"jobs\" does not exist in this region and account; set ECS_CLUSTER",
        ),
        (
            refused("ClientException", "TaskDefinition not found."),
            NotFound,
            Retry::Never,
            "task definition \"render:7\" does not exist or is inactive; set ECS_TASK_DEFINITION",
        ),
        (
            refused(
                "InvalidParameterException",
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster.",
            ),
            NotFound,
            Retry::Never,
            "change ECS_CAPACITY",
        ),
        (
            refused(
                "InvalidParameterException",
                "Container Overrides length must be at most 8192",
            ),
            TooLarge,
            Retry::Never,
            "8192",
        ),
        (
            refused(
                "InvalidParameterException",
                "No Fargate configuration exists for given values.",
            ),
            InvalidSpec,
            Retry::Never,
            "No Fargate configuration",
        ),
        (
            refused("ServerException", "Service failure."),
            Ambiguous,
            Retry::SameToken,
            "repeat it with the same token",
        ),
        (unanswered, Ambiguous, Retry::SameToken, "connection reset"),
        (unsent, Unavailable, Retry::Backoff, "no region"),
        (
            Ok(RunTaskAnswer::default()),
            Ambiguous,
            Retry::SameToken,
            "neither a task nor a failure",
        ),
        (
            Ok(RunTaskAnswer {
                tasks: vec![crate::TaskFacts::default()],
                failures: vec![],
            }),
            Ambiguous,
            Retry::SameToken,
            "neither",
        ),
        (
            Ok(failed("ATTRIBUTE", None)),
            InvalidSpec,
            Retry::Never,
            "ATTRIBUTE",
        ),
        (
            Ok(failed("MISSING", None)),
            NotFound,
            Retry::Never,
            "did not place the task: MISSING",
        ),
        (
            Ok(failed("Rate exceeded", None)),
            Throttled,
            Retry::Backoff,
            "Rate exceeded",
        ),
        (
            Ok(failed("INTERNAL", Some("why"))),
            Unavailable,
            Retry::Backoff,
            "INTERNAL (why)",
        ),
    ] {
        let error = start(answering(answer)).await.unwrap_err();
        let text = error.full_message();
        assert!(text.contains(part), "{text}");
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{text}");
        assert!(
            text.starts_with("start job `hello` in cluster \"jobs\""),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_message_that_quotes_the_token_is_shown_without_it() {
    let quoting = format!("Bad value {} in overrides", token().expose());
    let error = start(answering(refused("InvalidParameterException", &quoting)))
        .await
        .unwrap_err();
    let text = format!("{error:?} {} {:?}", error.full_message(), error.source());
    assert!(!text.contains(token().expose()), "{text}");
    assert!(text.contains("(redacted)"), "{text}");
}

#[tokio::test]
async fn an_unknown_container_is_told_with_those_that_there_are() {
    let words = "Override for container named worker is not a container in the TaskDefinition.";
    let mut api = answering(refused("InvalidParameterException", words));
    api.expect_container_names()
        .times(1)
        .withf(|definition| definition == "render:7")
        .returning(|_| Ok(vec!["app".to_owned(), "sidecar".to_owned()]));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "start job `hello` in cluster \"jobs\": task definition \"render:7\" has no container \"worker\" (it has: app, sidecar); set ECS_CONTAINER"
    );
}

#[tokio::test]
async fn an_unknown_container_is_told_even_when_the_others_are_not_known() {
    let words = "Override for container named worker is not a container in the TaskDefinition.";
    let mut api = answering(refused("InvalidParameterException", words));
    api.expect_container_names()
        .returning(|_| Err(ApiError::refused("AccessDeniedException", "No.")));
    let error = start(api).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has no container \"worker\"; set ECS_CONTAINER"),
        "{error}"
    );
}
