//! What a store is opened with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use longhaul_core::{PayloadError, PayloadErrorKind, PayloadStore};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use crate::error::failed;
use crate::location::Location;
use crate::store::{Payloads, make_private};

/// The URL of a store, its limit, and the environment that its client is configured from.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    url: String,
    max_size: u64,
    environment: BTreeMap<String, String>,
}

impl StoreConfig {
    /// The largest payload when nothing else is said: 64 MiB. A payload is held in memory
    /// whole, and decoded JSON takes several times its text.
    pub const DEFAULT_MAX_SIZE: u64 = 64 * 1024 * 1024;

    /// The store at `url`, with the `AWS_…` variables of the process's environment.
    pub fn new(url: impl Into<String>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("AWS_"));
        Self {
            url: url.into(),
            max_size: Self::DEFAULT_MAX_SIZE,
            environment: environment.collect(),
        }
    }

    /// The same with another largest payload, in bytes. It holds for puts and for gets.
    #[must_use]
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// The same with these variables in place of the process's.
    #[must_use]
    pub fn with_environment<I, N, V>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        self.environment = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self
    }

    /// Opens the store. See [`open`](crate::open).
    ///
    /// # Errors
    ///
    /// Those of [`open`](crate::open).
    pub fn open(&self) -> Result<Arc<dyn PayloadStore>, PayloadError> {
        let tried = format!("open the payload store {}", self.url);
        let location = Location::parse(&self.url).map_err(|problem| {
            PayloadError::new(PayloadErrorKind::InvalidUri, format!("{tried}: {problem}"))
        })?;
        let base = location.base();
        let store = match location {
            Location::Memory => Payloads::new(base, InMemory::new(), "", self.max_size),
            Location::Folder(folder) => make_private(&folder)
                .and_then(|()| folder.canonicalize())
                .map_err(|error| failed(&tried, error.into()))
                .and_then(|folder| {
                    let files = LocalFileSystem::new_with_prefix(&folder)
                        .map_err(|error| failed(&tried, error.into()))?
                        .with_fsync(true);
                    Ok(Payloads::new(base, files, "", self.max_size).in_folder(folder))
                })?,
            #[cfg(feature = "aws")]
            Location::Bucket { bucket, prefix } => {
                let objects = crate::s3::connect(&tried, &bucket, &self.environment)?;
                Payloads::new(base, objects, prefix, self.max_size)
            }
            #[cfg(not(feature = "aws"))]
            Location::Bucket { .. } => {
                return Err(PayloadError::new(
                    PayloadErrorKind::InvalidUri,
                    format!(
                        "{tried}: this program was built without S3 (feature `aws` of longhaul-payload)"
                    ),
                ));
            }
        };
        Ok(Arc::new(store))
    }
}

impl fmt::Debug for StoreConfig {
    /// The names of the variables, not their values: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &self.url)
            .field("max_size", &self.max_size)
            .field("environment", &self.environment.keys())
            .finish()
    }
}
