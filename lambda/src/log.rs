//! The handler's log: JSON lines on Lambda, on standard error.

use tracing_subscriber::EnvFilter;

/// Sets the log up once. `LONGHAUL_LOG` holds the filter (`info` by default), as in
/// `longhaul_lambda=debug,warn`.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_env("LONGHAUL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call (tests, embedding programs with a log of their own) changes nothing.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
