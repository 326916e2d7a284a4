//! The name of a Batch job, by which a start that is repeated finds the first.

use longhaul_core::{ExecutionId, StartKey};

const PREFIX: &str = "lh-";

/// The name of the Batch job of one start: `lh-<execution id>-<start key>`, 88 characters.
///
/// Batch allows 128: a letter or digit first, then letters, digits, `_` and `-`
/// (Batch API, `SubmitJob.jobName`).
///
/// ```
/// use longhaul_batch::{job_name, parse_job_name};
/// use longhaul_core::{CallbackToken, ExecutionId};
///
/// let execution = ExecutionId::from_arn("arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/e/1");
/// let key = CallbackToken::new("dG9rZW4=").unwrap().start_key();
/// let name = job_name(&execution, &key);
/// assert_eq!(name.len(), 88);
/// assert_eq!(parse_job_name(&name), Some((execution, key)));
/// ```
#[must_use]
pub fn job_name(execution: &ExecutionId, key: &StartKey) -> String {
    format!("{PREFIX}{execution}-{key}")
}

/// The execution and the start key in the name of one of our jobs; `None` for any other name.
#[must_use]
pub fn parse_job_name(name: &str) -> Option<(ExecutionId, StartKey)> {
    let (execution, key) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some((
        ExecutionId::try_from(execution.to_owned()).ok()?,
        StartKey::try_from(key.to_owned()).ok()?,
    ))
}

/// What the names of all jobs of `execution` start with.
pub(crate) fn execution_prefix(execution: &ExecutionId) -> String {
    format!("{PREFIX}{execution}-")
}

#[cfg(test)]
mod tests {
    use longhaul_core::CallbackToken;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_one_that_batch_allows_and_reads_back(arn in ".{0,100}", token in "[!-~]{1,100}") {
            let execution = ExecutionId::from_arn(&arn);
            let key = CallbackToken::new(token).unwrap().start_key();
            let name = job_name(&execution, &key);
            prop_assert!(name.len() <= 128);
            prop_assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert!(name.starts_with(&execution_prefix(&execution)));
            prop_assert_eq!(parse_job_name(&name), Some((execution, key)));
        }

        #[test]
        fn the_name_of_another_job_is_not_ours(name in "[A-Za-z0-9_-]{1,128}") {
            prop_assert_eq!(parse_job_name(&name), None);
        }
    }

    #[test]
    fn a_name_in_other_letters_is_not_ours() {
        let key = CallbackToken::new("t").unwrap().start_key();
        let name = job_name(&ExecutionId::from_arn("a"), &key);
        assert_eq!(parse_job_name(&name.to_uppercase()), None);
        assert_eq!(parse_job_name(&name[..87]), None);
    }
}
