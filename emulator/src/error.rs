//! The two families of errors: an API call that was refused, and a service that cannot run.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{ExecutionArn, InvalidId};

/// Why an API call was refused. Each kind is one error of the API model, or of AWS's front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiErrorKind {
    /// `InvalidParameterValueException`, 400.
    InvalidParameterValue,
    /// `InvalidParameterValueException`, 400: the checkpoint token is not the one that is due.
    InvalidCheckpointToken,
    /// `InvalidRequestContentException`, 400: the payload is not JSON.
    InvalidRequestContent,
    /// `ResourceNotFoundException`, 404.
    ResourceNotFound,
    /// `CallbackTimeoutException`, 400: the callback expired or is closed.
    CallbackTimeout,
    /// `DurableExecutionAlreadyStartedException`, 409.
    DurableExecutionAlreadyStarted,
    /// `ResourceConflictException`, 409.
    ResourceConflict,
    /// `RequestTooLargeException`, 413.
    RequestTooLarge,
    /// `TooManyRequestsException`, 429.
    TooManyRequests,
    /// `UnrecognizedClientException`, 403: the request is not signed with this service's access key.
    UnrecognizedClient,
    /// `AccessDeniedException`, 403: the request did not come from a program on this machine that meant to call this service.
    AccessDenied,
    /// `UnknownOperationException`, 404: no such operation.
    UnknownOperation,
    /// `ServiceException`, 500.
    Service,
}

impl ApiErrorKind {
    /// The error's name on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidParameterValue | Self::InvalidCheckpointToken => {
                "InvalidParameterValueException"
            }
            Self::InvalidRequestContent => "InvalidRequestContentException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::CallbackTimeout => "CallbackTimeoutException",
            Self::DurableExecutionAlreadyStarted => "DurableExecutionAlreadyStartedException",
            Self::ResourceConflict => "ResourceConflictException",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::AccessDenied => "AccessDeniedException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Service => "ServiceException",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidParameterValue
            | Self::InvalidCheckpointToken
            | Self::InvalidRequestContent
            | Self::CallbackTimeout => 400,
            Self::UnrecognizedClient | Self::AccessDenied => 403,
            Self::ResourceNotFound | Self::UnknownOperation => 404,
            Self::DurableExecutionAlreadyStarted | Self::ResourceConflict => 409,
            Self::RequestTooLarge => 413,
            Self::TooManyRequests => 429,
            Self::Service => 500,
        }
    }
}

/// An API call that was refused, or that failed.
#[derive(Debug, Clone)]
pub struct ApiError {
    kind: ApiErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(kind: ApiErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ApiErrorKind::InvalidParameterValue, message)
    }

    pub(crate) const fn stale_token() -> Self {
        Self {
            kind: ApiErrorKind::InvalidCheckpointToken,
            message: Cow::Borrowed("Invalid Checkpoint Token"),
            source: None,
        }
    }

    pub(crate) fn no_execution(arn: &ExecutionArn) -> Self {
        Self::new(
            ApiErrorKind::ResourceNotFound,
            format!("Durable execution not found: {arn}"),
        )
    }

    pub(crate) fn service(
        message: impl Into<Cow<'static, str>>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind: ApiErrorKind::Service,
            message: message.into(),
            source: Some(Arc::new(source)),
        }
    }

    pub(crate) const fn stopping() -> Self {
        Self {
            kind: ApiErrorKind::Service,
            message: Cow::Borrowed("The service is stopping"),
            source: None,
        }
    }

    /// What kind of refusal it is.
    #[must_use]
    pub const fn kind(&self) -> ApiErrorKind {
        self.kind
    }

    /// The message on the wire.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<InvalidId> for ApiError {
    fn from(error: InvalidId) -> Self {
        Self::invalid(format!("{error}"))
    }
}

/// Why the service cannot start, or could not stop cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The address to listen on is not a loopback address.
    #[error(
        "cannot listen on {0}: this service starts programs for whoever reaches it, so it listens on loopback only; use 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// No socket could be opened.
    #[error("cannot listen on {address}; is another program using that port?")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The configuration is contradictory or out of range.
    #[error("{0}")]
    Config(String),
    /// The state folder cannot be made or used.
    #[error("cannot use {} as the state folder: it must be a folder that this user can write", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another service runs on the same state folder.
    #[error("another service is using the state folder {}; stop it, or give this one another folder", .0.display())]
    InUse(PathBuf),
    /// The database was written by a newer version of this program.
    #[error("the database {} has schema version {found}, this program knows up to {known}; use the newer program, or another state folder", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The version found in it.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database cannot be opened or read.
    #[error("cannot open the database {}; nothing was changed", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The file is there and is not a usable database.
    #[error("the database {} is damaged; nothing was changed: move the file away to start afresh, or restore a copy", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The system gave the writer no thread.
    #[error("the service's writer thread could not be started")]
    NoWriter(#[source] std::io::Error),
}
