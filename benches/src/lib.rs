//! What the benches share: histories to replay, the functions that replay them, and jobs that run to their end.

pub mod history;
pub mod jobs;
pub mod replay;
