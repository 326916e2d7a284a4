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
mod job;
mod log;
mod memory;
mod outcome;
mod payload;
mod result;
mod signals;
mod speaker;
mod stop;
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
