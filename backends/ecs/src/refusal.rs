//! What an error of the ECS API means: the kind that decides what is tried next, and what the
//! caller must do.

use longhaul_core::BackendErrorKind;

use crate::api::{ApiError, ApiErrorKind};

/// What a failed call means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no capacity of the kind that was asked for.
    NoCapacity,
    /// The client token stands for these tasks, started with other parameters.
    Conflict(Vec<String>),
    /// The task definition has no container of the name that the overrides give.
    UnknownContainer,
    /// The cluster is not there.
    UnknownCluster,
    /// The task definition is not there, or is inactive.
    UnknownTaskDefinition,
    /// The task is not there, or no longer.
    UnknownTask,
    /// The cluster does not offer the capacity provider that was asked for.
    NoSuchCapacity,
    /// The caller may not do this; the action and the resource, where ECS names them.
    Denied(Option<(String, Option<String>)>),
    /// ECS could not take the task's roles on, which the caller must be allowed to pass.
    RoleNotPassed,
    /// The credentials themselves were not accepted.
    BadCredentials,
    /// Anything else.
    Other(BackendErrorKind),
}

/// What `error` means.
pub(crate) fn read(error: &ApiError) -> Refusal {
    match error.kind {
        ApiErrorKind::NotSent => Refusal::Other(BackendErrorKind::Unavailable),
        ApiErrorKind::NoAnswer => Refusal::Other(BackendErrorKind::Ambiguous),
        ApiErrorKind::Refused => read_answer(error),
    }
}

fn read_answer(error: &ApiError) -> Refusal {
    let code = error.code.as_deref().unwrap_or_default();
    let message = error.message.to_lowercase();
    if is_throttling_code(code) || error.status == Some(429) {
        return Refusal::Other(BackendErrorKind::Throttled);
    }
    if is_denial_code(code) || not_authorized(&error.message).is_some() {
        return Refusal::Denied(not_authorized(&error.message));
    }
    if is_credential_code(code) {
        return Refusal::BadCredentials;
    }
    match code {
        "ConflictException" => Refusal::Conflict(error.resource_ids.clone()),
        "ClusterNotFoundException" => Refusal::UnknownCluster,
        "PlatformUnknownException" => Refusal::Other(BackendErrorKind::NotFound),
        "PlatformTaskDefinitionIncompatibilityException"
        | "UnsupportedFeatureException"
        | "SerializationException"
        | "ValidationException" => Refusal::Other(BackendErrorKind::InvalidSpec),
        "InvalidParameterException" | "ClientException" => read_words(&message),
        _ if speaks_of_throttling(&message) => Refusal::Other(BackendErrorKind::Throttled),
        "ServerException" => Refusal::Other(BackendErrorKind::Ambiguous),
        _ if error.status.is_some_and(|status| status >= 500) => {
            Refusal::Other(BackendErrorKind::Ambiguous)
        }
        // An answer without a name did not come from ECS itself: a proxy, another server.
        "" => Refusal::Other(BackendErrorKind::Unavailable),
        _ => Refusal::Other(BackendErrorKind::InvalidSpec),
    }
}

/// `InvalidParameterException` and `ClientException` stand for many things: the words decide.
fn read_words(message: &str) -> Refusal {
    let says = |words: &[&str]| words.iter().all(|word| message.contains(word));
    if speaks_of_throttling(message) {
        Refusal::Other(BackendErrorKind::Throttled)
    } else if speaks_of_capacity(message) {
        Refusal::NoCapacity
    } else if says(&["override", "not a container"]) {
        Refusal::UnknownContainer
    } else if says(&["overrides", "length must be at most"]) {
        Refusal::Other(BackendErrorKind::TooLarge)
    } else if says(&["taskdefinition", "not found"])
        || says(&["task definition", "not found"])
        || says(&["task definition", "does not exist"])
        || says(&["taskdefinition is inactive"])
        || says(&["unable to describe task definition"])
        || says(&["unable to find task definition"])
    {
        Refusal::UnknownTaskDefinition
    } else if says(&["task was not found"]) || says(&["task not found"]) {
        Refusal::UnknownTask
    } else if says(&["unable to assume the role"]) || says(&["passrole"]) {
        Refusal::RoleNotPassed
    } else if says(&["capacity provider", "not associated"])
        || says(&["capacity provider", "not found"])
    {
        Refusal::NoSuchCapacity
    } else if says(&["not exist"]) || says(&["not found"]) {
        Refusal::Other(BackendErrorKind::NotFound)
    } else {
        Refusal::Other(BackendErrorKind::InvalidSpec)
    }
}

/// Whether the lower-case words of an answer mean that there were too many requests. ECS passes
/// on what EC2 and others answer it, inside of errors that look permanent.
pub(crate) fn speaks_of_throttling(message: &str) -> bool {
    [
        "rate exceeded",
        "request limit exceeded",
        "requestlimitexceeded",
        "errorcode: throttling",
        "throttlingexception",
        "too many requests",
        "toomanyrequests",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Whether the lower-case words of an answer mean that there is no room of the kind asked for.
/// Quotas are counted for Fargate and Fargate Spot apart, so they count as capacity.
pub(crate) fn speaks_of_capacity(message: &str) -> bool {
    [
        "capacity is unavailable",
        "reached the limit on the number of",
        "capacity limit exceeded",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn is_throttling_code(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "LimitExceededException"
            | "SlowDown"
    )
}

fn is_denial_code(code: &str) -> bool {
    matches!(
        code,
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "BlockedException"
    )
}

fn is_credential_code(code: &str) -> bool {
    matches!(
        code,
        "ExpiredTokenException"
            | "ExpiredToken"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "OptInRequired"
    )
}

/// The action and the resource of `… is not authorized to perform: ACTION on resource: RESOURCE …`.
fn not_authorized(message: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let word = |text: &str| -> Option<String> {
        let word = text
            .split_whitespace()
            .next()?
            .trim_end_matches(['.', ',', ';']);
        (!word.is_empty()).then(|| word.to_owned())
    };
    let resource = rest
        .split_once("on resource: ")
        .and_then(|(_, rest)| word(rest));
    Some((word(rest)?, resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: fn(BackendErrorKind) -> Refusal = Refusal::Other;

    #[test]
    fn every_answer_has_its_meaning() {
        use BackendErrorKind::{Ambiguous, InvalidSpec, NotFound, Throttled, TooLarge};
        for (code, message, meaning) in [
            ("ThrottlingException", "Rate exceeded", OTHER(Throttled)),
            (
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)",
                OTHER(Throttled),
            ),
            (
                "InvalidParameterException",
                "Error retrieving security group information for [sg-1]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)",
                OTHER(Throttled),
            ),
            (
                "ClientException",
                "Too many requests, slow down",
                OTHER(Throttled),
            ),
            (
                "ClientException",
                "Capacity is unavailable at this time. Please try again later or in a different availability zone",
                Refusal::NoCapacity,
            ),
            (
                "ClientException",
                "You've reached the limit on the number of vCPUs you can run concurrently",
                Refusal::NoCapacity,
            ),
            (
                "InvalidParameterException",
                "Override for container named worker is not a container in the TaskDefinition.",
                Refusal::UnknownContainer,
            ),
            (
                "InvalidParameterException",
                "Container Overrides length must be at most 8192",
                OTHER(TooLarge),
            ),
            (
                "ClusterNotFoundException",
                "Cluster not found.",
                Refusal::UnknownCluster,
            ),
            (
                "ClientException",
                "TaskDefinition not found.",
                Refusal::UnknownTaskDefinition,
            ),
            (
                "InvalidParameterException",
                "TaskDefinition is inactive",
                Refusal::UnknownTaskDefinition,
            ),
            (
                "ClientException",
                "Unable to describe task definition.",
                Refusal::UnknownTaskDefinition,
            ),
            (
                "InvalidParameterException",
                "The referenced task was not found.",
                Refusal::UnknownTask,
            ),
            (
                "ClientException",
                "ECS was unable to assume the role 'arn:aws:iam::1:role/task' that was provided for this task.",
                Refusal::RoleNotPassed,
            ),
            (
                "InvalidParameterException",
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster.",
                Refusal::NoSuchCapacity,
            ),
            (
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist",
                OTHER(NotFound),
            ),
            (
                "InvalidParameterException",
                "No Fargate configuration exists for given values.",
                OTHER(InvalidSpec),
            ),
            (
                "PlatformUnknownException",
                "No such platform.",
                OTHER(NotFound),
            ),
            ("UnsupportedFeatureException", "No.", OTHER(InvalidSpec)),
            ("ServerException", "Service failure.", OTHER(Ambiguous)),
            (
                "ServerException",
                "Rate exceeded on the way",
                OTHER(Throttled),
            ),
            ("NewException", "New.", OTHER(InvalidSpec)),
            (
                "ExpiredTokenException",
                "The security token is expired",
                Refusal::BadCredentials,
            ),
        ] {
            assert_eq!(
                read(&ApiError::refused(code, message)),
                meaning,
                "{code}: {message}"
            );
        }
    }

    #[test]
    fn a_denial_names_the_action_and_the_resource() {
        let message = "User: arn:aws:sts::1:assumed-role/handler/x is not authorized to perform: ecs:RunTask \
                       on resource: arn:aws:ecs:eu-west-1:1:task-definition/render:7 because no identity-based policy allows the ecs:RunTask action";
        let denied = Refusal::Denied(Some((
            "ecs:RunTask".to_owned(),
            Some("arn:aws:ecs:eu-west-1:1:task-definition/render:7".to_owned()),
        )));
        for code in ["AccessDeniedException", "ClientException"] {
            assert_eq!(read(&ApiError::refused(code, message)), denied);
        }
        let bare = ApiError::refused("AccessDeniedException", "No.");
        assert_eq!(read(&bare), Refusal::Denied(None));
    }

    #[test]
    fn a_name_that_sounds_like_throttling_does_not_count() {
        let error = ApiError::refused("ClusterNotFoundException", "Cluster throttling not found.");
        assert_eq!(read(&error), Refusal::UnknownCluster);
    }

    #[test]
    fn silence_is_ambiguous_and_what_was_not_sent_is_not() {
        let unread = ApiError::new(ApiErrorKind::NoAnswer, "connection reset");
        assert_eq!(read(&unread), OTHER(BackendErrorKind::Ambiguous));
        let unsent = ApiError::new(ApiErrorKind::NotSent, "no region");
        assert_eq!(read(&unsent), OTHER(BackendErrorKind::Unavailable));
    }

    #[test]
    fn an_answer_without_a_name_is_told_by_its_status() {
        let answer = |status| ApiError {
            status: Some(status),
            ..ApiError::new(ApiErrorKind::Refused, "")
        };
        assert_eq!(read(&answer(500)), OTHER(BackendErrorKind::Ambiguous));
        assert_eq!(read(&answer(429)), OTHER(BackendErrorKind::Throttled));
        assert_eq!(read(&answer(404)), OTHER(BackendErrorKind::Unavailable));
    }
}
