//! A backend of one's own, from nothing: a queue that is a folder, and a daemon that works it off.
//!
//! Whoever can write to the folder can queue a job; the machine that runs [`daemon`] runs it. With the
//! folder on a file system that several machines share, the function and the jobs are on different
//! ones. `docs/own-backend.md` tells how it came about.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`queue`] | what the backend needs of a queue, in four methods that a test can mock |
//! | [`backend`] | the trait's promises, kept with those four |
//! | [`spool`] | the queue as a folder |
//! | [`daemon`] | what takes jobs from the folder and runs them |

pub mod backend;
pub mod daemon;
pub mod queue;
pub mod spool;

pub use backend::SpoolBackend;
pub use queue::{End, Queue, Seen, Stage, Ticket, Why};
pub use spool::Spool;

#[cfg(test)]
mod page;
