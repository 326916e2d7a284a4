//! Events that are not what they say they are.

use super::*;

#[tokio::test]
async fn a_malformed_event_fails_and_says_what_is_wrong_with_it() {
    let without_token = |job: &str| {
        format!("job {job} has a start key and no CALLBACK_ID: who waits for it is not known")
    };
    for (event, problem) in [
        (
            event!("no-event"),
            "`event`: missing field `detail-type`".to_owned(),
        ),
        (
            json!("x"),
            "`event`: expected struct EventBridgeEvent".to_owned(),
        ),
        (
            event!("ecs-without-task"),
            "`detail`: missing field `taskArn`".to_owned(),
        ),
        (
            event!("ecs-unreadable"),
            "`detail.overrides.containerOverrides[0].environment`: expected a sequence".to_owned(),
        ),
        (event!("ecs-without-token"), without_token(TASK)),
        (
            event!("ecs-bad-token"),
            format!(
                "job {TASK} has a CALLBACK_ID that is none: the callback token has a character that is not printable ASCII"
            ),
        ),
        (
            event!("batch-unreadable"),
            "`detail.container.environment`: expected a sequence".to_owned(),
        ),
        (event!("batch-without-token"), without_token(JOB)),
        (
            event!("execution-without-arn"),
            "`detail`: missing field `durableExecutionArn`".to_owned(),
        ),
    ] {
        let clock = QuickClock::at(Duration::ZERO);
        let error = reconciler(MockCallbackApi::new(), &clock)
            .handle(event)
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Longhaul.Reconciler.Malformed");
        assert_eq!(
            crate::error::full_message(&error),
            format!("the event is malformed: {problem}")
        );
    }
}
