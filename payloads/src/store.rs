//! The payload store over any object store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use longhaul_core::{PayloadError, PayloadErrorKind, PayloadKey, PayloadStore, PayloadUri};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetResult, ObjectStore, PutMode, PutOptions, PutPayload};

use crate::error::failed;

/// What is asked of an object store. Its own trait can do much more, and a program would carry all of it: lists, copies,
/// uploads in parts, and the XML that goes with them.
#[async_trait]
trait Objects: Send + Sync {
    async fn get(&self, object: &ObjectPath) -> object_store::Result<GetResult>;

    /// Writes, if nothing is there yet.
    async fn create(&self, object: &ObjectPath, content: PutPayload) -> object_store::Result<()>;
}

#[async_trait]
impl<S: ObjectStore> Objects for S {
    async fn get(&self, object: &ObjectPath) -> object_store::Result<GetResult> {
        self.get_opts(object, GetOptions::default()).await
    }

    async fn create(&self, object: &ObjectPath, content: PutPayload) -> object_store::Result<()> {
        let options = PutOptions::from(PutMode::Create);
        self.put_opts(object, content, options).await.map(drop)
    }
}

/// Payloads as objects under a prefix.
pub(crate) struct Payloads {
    base: String,
    objects: Box<dyn Objects>,
    prefix: String,
    max_size: u64,
    /// The folder, when the objects are files.
    folder: Option<PathBuf>,
}

impl Payloads {
    pub(crate) fn new(
        base: String,
        objects: impl ObjectStore,
        prefix: impl Into<String>,
        max_size: u64,
    ) -> Self {
        Self {
            base,
            objects: Box::new(objects),
            prefix: prefix.into(),
            max_size,
            folder: None,
        }
    }

    /// The same, whose objects are files below `folder`.
    pub(crate) fn in_folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    fn object(&self, key: &PayloadKey) -> Result<ObjectPath, PayloadError> {
        let path = match self.prefix.as_str() {
            "" => key.to_string(),
            prefix => format!("{prefix}/{key}"),
        };
        ObjectPath::parse(&path).map_err(|error| {
            failed(
                &format!("name the payload {path}"),
                object_store::Error::from(error).into(),
            )
        })
    }

    fn too_large(&self, tried: &str, size: u64) -> PayloadError {
        PayloadError::new(
            PayloadErrorKind::TooLarge,
            format!(
                "{tried}: its {size} bytes are more than the {} that this store takes",
                self.max_size
            ),
        )
    }

    /// Reads what is there, as far as it can be what `uri` names.
    async fn read(&self, tried: &str, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
        let object = self.object(uri.key())?;
        let found = self
            .objects
            .get(&object)
            .await
            .map_err(|error| failed(tried, error.into()))?;
        // Before anything is read: what has another size is not it, however large it is.
        if found.meta.size != uri.size() {
            return Err(PayloadError::new(
                PayloadErrorKind::Changed,
                format!(
                    "{tried}: what is there is not what was put: it has {} bytes, and was put with {}",
                    found.meta.size,
                    uri.size()
                ),
            ));
        }
        let content = found
            .bytes()
            .await
            .map_err(|error| failed(tried, error.into()))?;
        uri.verify(&content)?;
        Ok(content.into())
    }

    /// Writes, if nothing is there yet. False when something is.
    async fn create(
        &self,
        tried: &str,
        object: &ObjectPath,
        content: PutPayload,
    ) -> Result<bool, PayloadError> {
        match self.objects.create(object, content).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(tried, error.into())),
        }
    }

    /// Puts folders in place that only their owner can enter, before the file is in them.
    async fn prepare(&self, tried: &str, key: &PayloadKey) -> Result<(), PayloadError> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let execution = folder.join(key.execution().as_str());
        let attempt = execution.join(key.start_key().as_str());
        blocking(move || {
            for folder in [execution, attempt] {
                make_private(&folder)?;
                close_to_others(&folder, 0o700)?;
            }
            Ok(())
        })
        .await
        .map_err(|error| failed(tried, error.into()))
    }

    /// Lets only the owner read the file.
    async fn finish(&self, tried: &str, key: &PayloadKey) -> Result<(), PayloadError> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let file = folder.join(key.to_string());
        blocking(move || close_to_others(&file, 0o600))
            .await
            .map_err(|error| failed(tried, error.into()))
    }
}

impl fmt::Debug for Payloads {
    /// Not the client: it holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads")
            .field("base", &self.base)
            .field("max_size", &self.max_size)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl PayloadStore for Payloads {
    fn base(&self) -> &str {
        &self.base
    }

    async fn put(&self, key: &PayloadKey, content: Vec<u8>) -> Result<PayloadUri, PayloadError> {
        let uri = PayloadUri::of_content(&self.base, key.clone(), &content).map_err(|error| {
            PayloadError::new(
                PayloadErrorKind::InvalidUri,
                format!("keep the payload {key}"),
            )
            .with_source(error)
        })?;
        let tried = format!("keep the payload {}", uri.location());
        if uri.size() > self.max_size {
            return Err(self.too_large(&tried, uri.size()));
        }
        let object = self.object(key)?;
        let content = PutPayload::from(content);
        self.prepare(&tried, key).await?;
        // Twice: S3 answers that something is there also to the loser of two writes at once,
        // when the winner may yet fail (Amazon S3 API, `PutObject`, `409 Conflict`).
        for _ in 0..2 {
            let created = self.create(&tried, &object, content.clone()).await?;
            let kept = if created {
                Ok(())
            } else {
                self.read(&tried, &uri).await.map(drop)
            };
            match kept {
                Ok(()) => {
                    self.finish(&tried, key).await?;
                    return Ok(uri);
                }
                Err(error) if error.kind() == PayloadErrorKind::Missing => {}
                Err(error) if error.kind() == PayloadErrorKind::Changed => {
                    return Err(PayloadError::new(
                        PayloadErrorKind::Changed,
                        format!(
                            "{tried}: another content is there already, and a payload never changes"
                        ),
                    )
                    .with_source(error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(PayloadError::new(
            PayloadErrorKind::Unavailable,
            format!("{tried}: others write there at the same time; try again"),
        ))
    }

    async fn get(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
        let tried = format!("read the payload {}", uri.location());
        if uri.base() != self.base {
            return Err(PayloadError::new(
                PayloadErrorKind::InvalidUri,
                format!(
                    "{tried}: it lies outside this store, which is {}",
                    self.base
                ),
            ));
        }
        if uri.size() > self.max_size {
            return Err(self.too_large(&tried, uri.size()));
        }
        self.read(&tried, uri).await
    }
}

/// Runs what waits for the disk where it holds nobody up.
async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Makes the folder, and those above it, for its owner only, where it is not there.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Takes every right from everybody but the owner. Not through a link: whoever can write the
/// folder could lead it elsewhere.
#[cfg(unix)]
fn close_to_others(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        let problem = format!("{} is a link", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    if metadata.permissions().mode() & 0o7777 != mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
