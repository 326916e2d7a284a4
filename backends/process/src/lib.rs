//! The longhaul compute backend for local processes.
//!
//! A job is a process of this machine, under the same supervisor, with the same environment and
//! the same promises as a container on ECS: it outlives whoever started it, it is started once
//! however often the start is repeated, and when it ends or is cancelled nothing of it is left.
//!
//! ```no_run
//! use longhaul_core::{CallbackToken, ComputeBackend, ExecutionId, Job, JobName, JobSpec};
//! use longhaul_process::{ProcessBackend, ProcessConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ProcessConfig::from_env(|name| std::env::var(name).ok())?;
//! let backend = ProcessBackend::new(config);
//! let token = CallbackToken::new("from the durable service")?;
//! let spec = JobSpec::new(JobName::new("render")?).with_command(["render", "--quality", "high"]);
//! let job = Job::new(spec, ExecutionId::from_arn("arn:aws:lambda:…"), 1, &token);
//!
//! let handle = backend.start(&job, &token).await?;
//! println!("{handle} runs as pid {:?}", backend.pid(&handle));
//! # Ok(()) }
//! ```
//!
//! # The shim
//!
//! Between the backend and the worker stands a small process, the *shim*, as `containerd-shim`
//! does between containerd and a container:
//!
//! ```text
//! start ─▶ shim ─▶ worker (longhaul-worker run --) ─▶ the job's command ─▶ …
//! ```
//!
//! Whoever starts a job, a function's process above all, may be gone a moment later. The shim is
//! not: it leads a session of its own, it is the worker's parent, so it alone can learn how the
//! worker ended, and it writes that down. It is a *child subreaper*: processes that lose their
//! parent become its children, so it also knows when nothing of the job is left, and kills what
//! the worker leaves behind, as the end of a container's first process does. And because a
//! parent's children keep their pids until it has waited for them, it can signal the worker
//! without ever meeting a stranger.
//!
//! The shim is [`shim::main`]: the program `longhaul-process-shim`, or a subcommand of a larger
//! program that [`ProcessConfig::shim`] names.
//!
//! # What is where
//!
//! Each job has a directory, named by its start key, readable by its owner only:
//!
//! | file | meaning |
//! | --- | --- |
//! | `job.jsonl` | the journal, a line for each thing that became known: `spec`, what is run (no variable of it, so no secret); `shim` and `worker`, boot id, pid and time of start of the two; `exit`, how it ended, the last word, written once |
//! | `cancel.json` | somebody has asked to cancel the job |
//! | `stdout.log`, `stderr.log` | the worker's output; what its shim has to say goes to `stderr.log`, usually nothing |
//!
//! The callback token goes from the starter to the shim through a pipe and on to the worker as
//! `CALLBACK_ID`. It is in no file. (What a job prints is in its logs: a job that prints its own
//! environment puts the token there.)
//!
//! # Promises and their limits
//!
//! - **One token, one job.** Several starts with one token, from several processes, after any of
//!   them was killed at any moment: the first shim that takes the lock on the journal and enters
//!   itself has the job; all others leave it. A shim that is itself killed between that and
//!   the worker's start loses the job (`describe` says `Lost`): it is never started twice. The
//!   promise ends when [`ProcessBackend::prune`] removes the directory.
//! - **A start fails at once** where the worker's program or its working directory is missing:
//!   the starter waits until the shim has started the worker. A repeated start gives the same
//!   error.
//! - **A cancel leaves nothing behind**, including processes that ignore SIGTERM or have left
//!   for a session of their own. The worker's process group has [`ProcessConfig::grace`] after
//!   SIGTERM; whatever is then left, or is left when the worker ends, is killed. Processes of
//!   another user (`sudo`) cannot be killed: they are named in the error.
//! - **No recycled pid is signalled.** A process is its boot id, pid and time of start, checked
//!   behind a pidfd.
//! - **A shim that is killed** (SIGKILL; nothing else ends it early) takes the worker's exit code
//!   with it, not the worker. `describe` says `Running` while the worker does, then `Lost`.
//!   `cancel` then finds the job's processes by the variable `LONGHAUL_START_KEY` in their
//!   environment, and those below them.
//! - **A job that starts jobs of its own** on this machine takes them with it when it ends: their
//!   shims descend from it.
//! - The folder is for the processes of **one machine** and one pid namespace: two containers that
//!   share it take each other's jobs for lost.
//! - Everything above is for **Linux**. Elsewhere the crate is meant to compile: there are no
//!   start times to tell processes apart by, and a cancel ends the worker's process group only.
//!
//! # The worker's environment
//!
//! The starter's own environment, without what tells a Lambda function about itself
//! (`AWS_LAMBDA_…`, `_HANDLER`, `LAMBDA_TASK_ROOT`, `LAMBDA_RUNTIME_DIR`), without the trace of its invocation
//! (`_X_AMZN_TRACE_ID`, `TRACEPARENT`, `TRACESTATE`), and
//! without another job's contract (`LONGHAUL_…`, `CALLBACK_ID`); `LONGHAUL_GRACE_SECONDS`, which is
//! four fifths of [`ProcessConfig::grace`], so that the supervisor can end its command and report
//! before it is killed itself; then [`ProcessConfig::environment`]; then the [worker contract](longhaul_core::contract).
//! Credentials, region and endpoint (`AWS_…`) pass through.

mod backend;
mod cancel;
mod config;
mod directory;
mod environment;
mod journal;
mod locate;
mod processes;
mod prune;
mod record;
pub mod shim;
mod stage;
mod start;
mod status;
mod tail;

pub use backend::{LogPaths, ProcessBackend};
pub use config::{ConfigProblem, InvalidConfig, ProcessConfig};
