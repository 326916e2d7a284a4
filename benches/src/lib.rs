//! What the benches share: histories to replay, and the functions that replay them.

pub mod history;
pub mod replay;
