//! The longhaul worker: what runs inside the container or process of a job.
//!
//! A job's callback is completed by its worker. There are three kinds:
//!
//! - **Any command** under the supervisor: `longhaul-worker run -- CMD ARGS…`, or [`supervise`] as a
//!   library. The command reads `LONGHAUL_INPUT`, writes its result to `LONGHAUL_RESULT_FILE` and
//!   ends; the supervisor does the rest.
//! - **A job written in Rust**: [`run`].
//! - **Any program** that keeps the worker contract ([`longhaul_core::contract`]) by itself, in any
//!   language with an AWS SDK. `examples/self_worker.py` is one.
//!
//! # A job in Rust
//!
//! Its input is a type of its own, and so is its result. It learns that it is to end, and what it has
//! by then is still delivered.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use longhaul_worker::JobInfo;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Scene {
//!     frames: u32,
//! }
//!
//! #[derive(Serialize)]
//! struct Film {
//!     rendered: u32,
//! }
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     longhaul_worker::run(render).await
//! }
//!
//! async fn render(scene: Scene, job: JobInfo) -> Result<Film, std::io::Error> {
//!     let mut rendered = 0;
//!     while rendered < scene.frames && !job.is_cancelled() {
//!         tokio::fs::write(format!("frame-{rendered}"), b"pixels").await?;
//!         rendered += 1;
//!     }
//!     Ok(Film { rendered })
//! }
//! ```
//!
//! An error or a panic is a failure; [`WorkerError`] gives it a type of its own, which a caller can
//! tell it by. `longhaul run -- target/debug/render` would run it under the supervisor, as a command;
//! by itself it needs `CALLBACK_ID`.
//!
//! # A command from a program of one's own
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use longhaul_worker::{Attempt, LambdaCallbacks, Options, Signals, callback_token, supervise};
//!
//! # async fn example() -> Result<ExitCode, Box<dyn std::error::Error>> {
//! let callbacks = Arc::new(LambdaCallbacks::new(callback_token()?));
//! let mut signals = Signals::install()?;
//! let options = Options::new(["render", "--fast"]);
//! let outcome = supervise(&options, &Attempt::from_env()?, callbacks, &mut signals).await;
//! Ok(ExitCode::from(outcome.exit_code()))
//! # }
//! ```
//!
//! All of them keep the same promises: a heartbeat at once and then in every third of the
//! heartbeat timeout, SIGTERM answered in time and reported as an interruption, a report that is
//! delivered as soon as the durable service can be reached, and an end to the work as soon as
//! nobody listens any more.
//!
//! # What it needs, and what it cannot do
//!
//! Unix: process groups and signals. A process that leaves the command's group (a daemon) is not
//! ended with it, except where the worker is the first process of its container: then the kernel
//! ends it. As such a first process the worker does not reap orphans while the command runs: where
//! a command leaves many behind, give the container an init (ECS: `initProcessEnabled`).
//!
//! # Features
//!
//! - `cli` (default): the command `longhaul-worker`, and the module `cli` for commands that embed
//!   it.
//! - `s3` (default), `payload`: inputs and results by reference, see below. `payload` alone knows
//!   stores in folders. Without either the worker refuses an input by reference, and a result
//!   that does not travel with the callback, with a message that says so.
//!
//! # Large inputs and results
//!
//! An input that the platform cannot carry comes as `LONGHAUL_INPUT_URI`. The supervisor reads it
//! from the payload store, checks it against the SHA-256 in the URI, and hands it to the command
//! as the file that `LONGHAUL_INPUT_FILE` names, and as `LONGHAUL_INPUT` when it has 100 KiB at
//! most. [`run`] reads it into the job's own type. While the store is not available it is tried
//! again, for ten minutes; an input that is missing, changed or denied fails the job as
//! `Longhaul.FailedToStart`.
//!
//! A result of more than 256 KiB is put into the store that `LONGHAUL_PAYLOAD_STORE` names, which
//! takes 64 MiB, and the callback carries a reference to it: tried until the attempt's timeout, as
//! the report itself is. Without a store it is a failure that tells its size and the limit.
//!
//! The store is not touched before one of the two is needed. The worker reaches S3 as
//! `longhaul_payload` describes; its role needs `s3:GetObject` and `s3:PutObject` below the
//! store's base.

mod attempt;
mod backoff;
mod callback;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod command;
mod delivery;
mod ending;
mod error;
mod heartbeat;
mod input;
mod job;
mod json;
mod keep;
mod log;
mod memory;
mod outcome;
mod payload;
mod result;
mod signals;
mod speaker;
mod stop;
mod stopwatch;
mod supervise;
mod tail;

pub use attempt::{Attempt, Input, InvalidVariable, NoCallback, callback_token};
pub use callback::{CallbackApi, CallbackError, CallbackErrorKind};
pub use client::LambdaCallbacks;
pub use error::WorkerError;
pub use job::{JobInfo, run};
pub use outcome::Outcome;
pub use signals::Signals;
pub use supervise::{Options, supervise};
