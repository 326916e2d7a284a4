//! What the benches share: histories to replay, the functions that replay them, what criterion measured of that, and jobs
//! that run to their end.

pub mod history;
pub mod jobs;
pub mod recorded;
pub mod replay;
pub mod results;
