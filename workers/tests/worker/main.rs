//! The worker as a platform runs it: real processes, and a service on loopback that plays the
//! three callback calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers outside of #[test] functions fail a test in the same way"
)]

mod delivery;
mod ending;
mod hello;
#[cfg(feature = "payload")]
mod payload;
mod python;
mod result;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_peer;
mod service;
mod stopping;
mod worker;
