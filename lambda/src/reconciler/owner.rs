//! Whose a job is: of this installation's handler, or somebody else's in the same place.

use longhaul_core::contract::CALLBACK_ID;
use longhaul_core::{CallbackToken, JobHandle};

use super::error::Malformed;

/// Whose a job is, by the variables that it was started with.
pub(super) enum Owner {
    Us(CallbackToken),
    SomebodyElse(&'static str),
}

/// Whose the job `job` is that was started with this `CALLBACK_ID` and start key. A token that does not belong to the key is another program's: ours are
/// always of one attempt.
pub(super) fn owner(
    job: &JobHandle,
    callback_id: Option<&str>,
    start_key: Option<&str>,
) -> Result<Owner, Malformed> {
    let Some(start_key) = start_key else {
        return Ok(Owner::SomebodyElse("it has no start key"));
    };
    let Some(callback_id) = callback_id else {
        return Err(Malformed::new(format!(
            "job {job} has a start key and no {CALLBACK_ID}: who waits for it is not known"
        )));
    };
    let token = CallbackToken::new(callback_id).map_err(|error| {
        Malformed::new(format!(
            "job {job} has a {CALLBACK_ID} that is none: {error}"
        ))
    })?;
    if token.start_key().as_str() == start_key {
        Ok(Owner::Us(token))
    } else {
        Ok(Owner::SomebodyElse(
            "its start key is not that of its CALLBACK_ID",
        ))
    }
}

/// The last part of an ARN's resource, or the whole text where it is none: `jobs` of
/// `arn:aws:ecs:eu-west-1:123456789012:cluster/jobs`.
pub(super) fn resource_name(text: &str) -> &str {
    text.rsplit_once('/').map_or(text, |(_, name)| name)
}

/// A definition's name without its revision: `render` of `render:7` and of its ARN.
pub(super) fn unrevised(text: &str) -> &str {
    let name = resource_name(text);
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// Whether the resource `arn` is the one that is configured by its name or its ARN.
pub(super) fn is_configured(configured: &str, arn: &str) -> bool {
    configured == arn || (!configured.starts_with("arn:") && configured == resource_name(arn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_configured_by_its_name_or_by_its_arn() {
        let arn = "arn:aws:ecs:eu-west-1:1:cluster/jobs";
        assert!(is_configured("jobs", arn));
        assert!(is_configured(arn, arn));
        assert!(!is_configured("other", arn));
        assert!(!is_configured("arn:aws:ecs:eu-west-2:1:cluster/jobs", arn));
        assert!(!is_configured("cluster/jobs", arn));
    }

    #[test]
    fn a_definition_is_the_same_in_any_revision() {
        for text in [
            "render",
            "render:7",
            "arn:aws:ecs:eu-west-1:1:task-definition/render:7",
            "arn:aws:batch:eu-west-1:1:job-definition/render",
        ] {
            assert_eq!(unrevised(text), "render");
        }
    }
}
