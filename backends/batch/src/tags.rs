//! The tags of a job: what Batch allows, and which ones are ours.

use std::collections::BTreeMap;

use longhaul_core::Job;

use crate::BatchConfig;

/// The tag with the job's name.
pub const JOB_TAG: &str = "longhaul:job";
/// The tag with the execution's id.
pub const EXECUTION_TAG: &str = "longhaul:execution";
/// The tag with the number of the attempt.
pub const ATTEMPT_TAG: &str = "longhaul:attempt";

/// The most tags that a job can have (Batch API, `SubmitJob.tags`).
pub(crate) const MAX_TAGS: usize = 50;

/// Whether a person may give a job this tag; if not, why.
pub(crate) fn check(key: &str, value: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        Err("has no key")
    } else if key.chars().count() > 128 {
        Err("has a key of more than 128 characters")
    } else if value.chars().count() > 256 {
        Err("has a value of more than 256 characters")
    } else if key.to_ascii_lowercase().starts_with("aws:") {
        Err("starts with `aws:`, which AWS keeps for itself")
    } else if key.starts_with("longhaul:") {
        Err("starts with `longhaul:`, which longhaul keeps for itself")
    } else {
        Ok(())
    }
}

/// The tags of `job`: the configured ones, the spec's over them, ours over all. Never the token.
pub(crate) fn of(config: &BatchConfig, job: &Job) -> BTreeMap<String, String> {
    let mut tags = config.tags.clone();
    tags.extend(job.spec().tags.clone());
    tags.extend([
        (JOB_TAG.to_owned(), job.name().to_string()),
        (EXECUTION_TAG.to_owned(), job.execution().to_string()),
        (ATTEMPT_TAG.to_owned(), job.attempt().to_string()),
    ]);
    tags
}
