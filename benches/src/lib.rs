//! What the benches share: histories to replay, the functions that replay them, what criterion measured of that, jobs
//! that run to their end, and what the machine and this process say of themselves.

pub mod history;
pub mod jobs;
pub mod machine;
pub mod recorded;
pub mod replay;
pub mod results;
