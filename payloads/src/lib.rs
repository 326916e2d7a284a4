//! The longhaul payload store over S3, a local folder or memory.
//!
//! Inputs and results that are too large to travel inline go through a
//! [`PayloadStore`]. This crate opens one by its URL:
//!
//! | URL | where | for |
//! | --- | --- | --- |
//! | `s3://bucket/prefix` | Amazon S3, or what speaks its protocol (feature `aws`) | AWS |
//! | `file:///folder` | a folder of this machine, or one that is shared | local jobs |
//! | `memory:` | this process; every call to [`open`] makes another, empty one | tests |
//!
//! ```
//! use longhaul_core::{CallbackToken, ExecutionId, PayloadKey, PayloadKind};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let url = format!("file://{}/payloads", folder.path().display());
//! let store = longhaul_payload::open(&url)?;
//! let token = CallbackToken::new("from the durable service".replace(' ', "-"))?;
//! let execution = ExecutionId::from_arn("arn:aws:lambda:…");
//! let key = PayloadKey::new(execution, token.start_key(), PayloadKind::Input);
//!
//! let uri = store.put(&key, br#"{"frames": 25000}"#.to_vec()).await?;
//! assert!(uri.to_string().starts_with(&url));
//! assert_eq!(store.get(&uri).await?, br#"{"frames": 25000}"#);
//! # Ok(()) }
//! ```
//!
//! # What is stored
//!
//! `<base>/<execution id>/<start key>/input.json` and `…/result.json`: what one execution has
//! left is under one prefix. Nothing is ever deleted or replaced by this crate; let a lifecycle
//! rule of the bucket expire the prefix, later than any execution can last.
//!
//! A payload is written with the condition that nothing is there yet (`If-None-Match: *`). When
//! something is, it is read: the same content is a success, other content an error.
//!
//! # S3
//!
//! The role of the function and the role of the worker need `s3:PutObject` and `s3:GetObject` on
//! `arn:aws:s3:::bucket/prefix/*`. With `s3:ListBucket` on the bucket a payload that is gone is
//! reported as missing; without it S3 answers "access denied" (Amazon S3 API, `GetObject`,
//! "Permissions").
//!
//! Credentials, region and endpoint come from the environment, as the AWS SDKs read them:
//!
//! - `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`: what Lambda sets;
//! - `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`;
//! - `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`: what ECS sets, and Batch and Fargate with it;
//! - `AWS_CONTAINER_CREDENTIALS_FULL_URI` with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`;
//! - else the metadata of the EC2 instance.
//!
//! Profiles and SSO are not read: `eval "$(aws configure export-credentials --format env)"`.
//!
//! The endpoint is `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`, else Amazon's of `AWS_REGION`.
//! One without TLS is refused, unless it is on this machine or `AWS_ALLOW_HTTP` is `true`. More
//! settings, such as `AWS_SERVER_SIDE_ENCRYPTION` and `AWS_SSE_KMS_KEY_ID`, are those of
//! `object_store::aws::AmazonS3ConfigKey`. Of those of its HTTP client there are `AWS_CONNECT_TIMEOUT` (`5s` by
//! default), `AWS_READ_TIMEOUT` (`30s`), `AWS_PROXY_URL` with `AWS_PROXY_EXCLUDES` (else
//! `HTTPS_PROXY` and `HTTP_PROXY` with `NO_PROXY`); another one is refused.
//!
//! # Folders
//!
//! A folder is made when it is not there. What is written into it can be read by its owner only,
//! whatever the folder's own mode and the umask say, and is on the disk before a put returns.
//! Function and worker must run as the same user and see the same folder.
//!
//! # Features
//!
//! - `aws`: stores on S3. Without it an `s3://` URL is refused with a message that says so.

mod config;
mod error;
#[cfg(feature = "aws")]
mod http;
mod location;
#[cfg(feature = "aws")]
mod s3;
mod store;

pub use config::StoreConfig;

use std::sync::Arc;

use longhaul_core::{PayloadError, PayloadStore};

/// Opens the store at `url`, with the process's environment and default limits.
///
/// Nothing is asked of S3 yet; a folder is made.
///
/// # Errors
///
/// [`InvalidUri`](longhaul_core::PayloadErrorKind::InvalidUri) when `url` is none of the three
/// forms, or the settings contradict each other; `Denied` or `Unavailable` when the folder cannot
/// be made.
pub fn open(url: &str) -> Result<Arc<dyn PayloadStore>, PayloadError> {
    StoreConfig::new(url).open()
}
