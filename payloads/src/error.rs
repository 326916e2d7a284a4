//! What the errors of the store beneath mean.

use std::error::Error;
use std::io;

use longhaul_core::{PayloadError, PayloadErrorKind};

/// Why something failed, with the cause kept.
#[derive(Debug)]
pub(crate) enum Cause {
    Io(io::Error),
    Store(object_store::Error),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<object_store::Error> for Cause {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// The error of `tried`, which failed because of `cause`.
pub(crate) fn failed(tried: &str, cause: Cause) -> PayloadError {
    let (kind, advice) = match &cause {
        Cause::Io(error) => of_io(error),
        Cause::Store(error) => of_store(error),
    };
    let error = PayloadError::new(kind, format!("{tried}: {advice}"));
    match cause {
        Cause::Io(cause) => error.with_source(cause),
        Cause::Store(cause) => error.with_source(cause),
    }
}

fn of_store(error: &object_store::Error) -> (PayloadErrorKind, &'static str) {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => (
            PayloadErrorKind::Missing,
            "nothing is there: it was deleted or has expired, or the bucket or folder is another one",
        ),
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => {
            (PayloadErrorKind::Changed, "something else is there already")
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => (
            PayloadErrorKind::Denied,
            "access is denied: the role needs s3:GetObject and s3:PutObject there, and s3:ListBucket to be told that \
             a payload is missing",
        ),
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => (
            PayloadErrorKind::InvalidUri,
            "the store cannot be named or configured like this",
        ),
        E::NotSupported { .. } | E::NotImplemented { .. } => (
            PayloadErrorKind::InvalidUri,
            "the store cannot write on the condition that nothing is there yet (AWS_CONDITIONAL_PUT)",
        ),
        // The type of the error within is not public; its text is all there is to go by. Where
        // that changes, the store is merely called unavailable.
        _ if chain(error).any(|cause| cause.to_string().contains("configured region")) => (
            PayloadErrorKind::InvalidUri,
            "the bucket is in another region: set AWS_REGION to the bucket's",
        ),
        _ => chain(error)
            .find_map(|cause| cause.downcast_ref())
            .map_or(UNAVAILABLE, of_io),
    }
}

const UNAVAILABLE: (PayloadErrorKind, &str) =
    (PayloadErrorKind::Unavailable, "the store did not do it");

fn of_io(error: &io::Error) -> (PayloadErrorKind, &'static str) {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            PayloadErrorKind::Denied,
            "access is denied: the folder must belong to the user that the function and the worker run as",
        ),
        io::ErrorKind::NotFound => (PayloadErrorKind::Missing, "nothing is there"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (PayloadErrorKind::InvalidUri, "it is not a folder")
        }
        _ => UNAVAILABLE,
    }
}

/// An error and its causes.
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
