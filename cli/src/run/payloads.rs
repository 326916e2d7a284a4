//! The payload store of a run: which one it is, and results that are in it.

use std::path::Path;

use longhaul_core::{ExecutionId, PayloadError, PayloadErrorKind, PayloadKind, payload};
use longhaul_lambda::StoredResult;
use serde_json::value::RawValue;
use url::Url;

use super::job::LOCAL;
use crate::error::CliError;

/// What is said in place of a URL where there shall be no store.
pub(super) const NONE: &str = "none";

/// The URL of the store that `choice` names. Where it names none, jobs on this machine get the
/// folder `own`; to others this machine's folders are of no use.
pub(crate) fn url(
    choice: Option<&str>,
    backend: &str,
    own: &Path,
) -> Result<Option<String>, CliError> {
    match choice.map(str::trim).filter(|choice| !choice.is_empty()) {
        Some(NONE) => Ok(None),
        Some(url) => Ok(Some(url.to_owned())),
        None if backend != LOCAL => Ok(None),
        None => match Url::from_file_path(own) {
            Ok(url) => Ok(Some(url.into())),
            Err(()) => Err(CliError::Usage(format!(
                "{} is no absolute path: choose another folder with --state DIR",
                own.display()
            ))),
        },
    }
}

/// The result of `execution`. Where the function returned only the place of a result that is in
/// the store at `url`, because it is larger than an execution can return, it is read from there.
///
/// A place that is not in this store, or not of this execution, is a result like any other: what
/// a job returns must not choose what is read.
pub(crate) async fn read(
    returned: String,
    execution: &ExecutionId,
    url: Option<&str>,
) -> Result<String, CliError> {
    let Some(url) = url else {
        return Ok(returned);
    };
    let Ok(StoredResult {
        longhaul_payload: uri,
    }) = serde_json::from_str(&returned)
    else {
        return Ok(returned);
    };
    if uri.key().kind() != PayloadKind::Result || uri.key().execution() != execution {
        return Ok(returned);
    }
    let read = async {
        let store = longhaul_payload::open(url)?;
        if uri.base() != store.base() {
            return Ok(returned);
        }
        let text = payload::get_result(Some(&*store), &uri).await?;
        // As inline ones are: the value without the space around it.
        let value: &RawValue = serde_json::from_str(&text).map_err(|error| {
            PayloadError::new(
                PayloadErrorKind::InvalidUri,
                format!("{} is not JSON", uri.location()),
            )
            .with_source(error)
        })?;
        Ok(value.get().to_owned())
    };
    read.await.map_err(|error: PayloadError| {
        CliError::broken(
            "the job succeeded, and its result cannot be had from the payload store",
            error,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(choice: Option<&str>, backend: &str) -> Option<String> {
        url(choice, backend, Path::new("/state/a b/payloads")).unwrap()
    }

    #[test]
    fn local_jobs_have_a_store_of_their_own_unless_another_or_none_is_named() {
        let own = Some("file:///state/a%20b/payloads".to_owned());
        assert_eq!(chosen(None, LOCAL), own);
        assert_eq!(chosen(Some(""), LOCAL), own);
        assert_eq!(chosen(Some("none"), LOCAL), None);
        assert_eq!(chosen(None, "ecs"), None);
        let bucket = Some("s3://bucket".to_owned());
        assert_eq!(chosen(Some("s3://bucket"), "ecs"), bucket);
        assert_eq!(chosen(Some("s3://bucket"), LOCAL), bucket);
    }
}
