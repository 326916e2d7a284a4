//! Backends around other backends. Each is a [`ComputeBackend`](crate::ComputeBackend) itself, so
//! they stack:
//!
//! ```
//! use std::num::NonZeroU32;
//! use std::sync::Arc;
//! use longhaul_core::ComputeBackend;
//! use longhaul_core::wrap::{Limit, Rate, Traced};
//!
//! # fn wrap(ecs: Arc<dyn ComputeBackend>) -> Arc<dyn ComputeBackend> {
//! // The quota of `RunTask` on Fargate: bursts of 100, then 40 a second.
//! let rate = Rate::per_second(NonZeroU32::MIN.saturating_add(39)).with_burst(NonZeroU32::MIN.saturating_add(99));
//! let backend = Traced::new(Arc::new(Limit::new(ecs).with_rate(rate)));
//! # Arc::new(backend) }
//! ```

mod fallback;
mod limit;
#[cfg(test)]
#[cfg(feature = "mock")]
mod testing;
mod traced;

pub use fallback::{Fallback, InvalidFallback};
pub use limit::{Limit, Rate};
pub use traced::{Counts, OperationCounts, Traced};
