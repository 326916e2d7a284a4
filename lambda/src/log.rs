//! The handler's log: JSON lines on Lambda, on standard error.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Sets the log up once. `LONGHAUL_LOG` holds the filter (`info` by default), as in
/// `longhaul_lambda=debug,warn`.
pub(crate) fn init() {
    set_up(holds_no_secret);
}

/// Sets the log up once for a process that sends callback tokens in the paths of its requests.
#[cfg(feature = "reconciler")]
pub(crate) fn init_without_requests() {
    set_up(holds_no_request);
}

fn set_up(allowed: fn(&Metadata<'_>) -> bool) {
    let filter = EnvFilter::try_from_env("LONGHAUL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .with_filter(filter_fn(allowed));
    // A second call (tests, embedding programs with a log of their own) changes nothing.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// At TRACE the AWS SDK and the HTTP stack write whole requests, callback tokens included.
fn holds_no_secret(event: &Metadata<'_>) -> bool {
    *event.level() < Level::TRACE || event.target().starts_with("longhaul")
}

/// At DEBUG they write errors whole, answers included, and behind a proxy the URLs of requests.
#[cfg(feature = "reconciler")]
fn holds_no_request(event: &Metadata<'_>) -> bool {
    *event.level() < Level::DEBUG || event.target().starts_with("longhaul")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of three lines: another crate's trace and debug, and our trace.
    fn written(allowed: fn(&Metadata<'_>) -> bool) -> String {
        let written = Lines::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_filter(filter_fn(allowed));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "aws_smithy_runtime::client", "their trace");
            tracing::debug!(target: "aws_smithy_runtime::client", "their debug");
            tracing::info!(target: "aws_smithy_runtime::client", "their info");
            tracing::trace!(target: "longhaul_lambda", "our trace");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn other_crates_traces_are_never_written() {
        let text = written(holds_no_secret);
        assert!(!text.contains("their trace"), "{text}");
        assert!(
            text.contains("their debug") && text.contains("our trace"),
            "{text}"
        );
    }

    #[cfg(feature = "reconciler")]
    #[test]
    fn where_tokens_are_in_requests_other_crates_write_no_debug_either() {
        let text = written(holds_no_request);
        assert!(!text.contains("their trace"), "{text}");
        assert!(!text.contains("their debug"), "{text}");
        assert!(
            text.contains("their info") && text.contains("our trace"),
            "{text}"
        );
    }
}
