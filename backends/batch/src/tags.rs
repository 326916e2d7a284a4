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

/// The longest key of a tag in characters (Batch API, `TagKey`).
const MAX_KEY: usize = 128;
/// The longest value of a tag in characters (Batch API, `TagValue`).
const MAX_VALUE: usize = 256;

/// Checks a tag that is not longhaul's own, or says in half a sentence why it cannot be.
pub(crate) fn check(key: &str, value: &str) -> Result<(), String> {
    let lower = key.to_ascii_lowercase();
    for reserved in ["aws:", "longhaul:"] {
        if lower.starts_with(reserved) {
            return Err(format!("begins with `{reserved}`, which is reserved"));
        }
    }
    if key.is_empty() {
        return Err("has no key".to_owned());
    }
    if key.chars().count() > MAX_KEY {
        return Err(format!("has a key of more than {MAX_KEY} characters"));
    }
    if value.chars().count() > MAX_VALUE {
        return Err(format!("has a value of more than {MAX_VALUE} characters"));
    }
    match key.chars().chain(value.chars()).find(|&c| !is_allowed(c)) {
        Some(c) => Err(format!(
            "holds {c:?}: Batch takes letters, digits, spaces and `_ . : / = + - @`"
        )),
        None => Ok(()),
    }
}

/// Whether Batch may take the character (AWS Batch User Guide, "Tag restrictions"); where
/// Unicode's classes are not quite its own, yes.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric()
        || (c.is_whitespace() && !c.is_control())
        || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_batch_takes() {
        for (key, value) in [
            ("team", ""),
            ("größe a", "1+1=2 @/:._-"),
            (&"k".repeat(128), "v"),
        ] {
            assert_eq!(check(key, value), Ok(()), "{key}");
        }
        for (key, value, part) in [
            ("", "v", "no key"),
            ("AWS:x", "v", "`aws:`"),
            ("longhaul:job", "v", "`longhaul:`"),
            (&"k".repeat(129), "v", "128"),
            ("k", &"v".repeat(257), "256"),
            ("k", "😀", "'😀'"),
            ("k", "a\nb", "'\\n'"),
        ] {
            let problem = check(key, value).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
