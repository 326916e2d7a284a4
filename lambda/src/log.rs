//! The handler's log: JSON lines on Lambda, on standard error. What a handler says between its
//! operations is not said again by a replay; warnings and errors always are.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::durable::replay_filter;

/// A level, and levels by target: `longhaul_lambda=debug,warn`. `info` where nothing is said.
///
/// Read as [`Targets`], not as the `EnvFilter` that can filter by spans and their fields as well: that one brings a
/// compiler of regular expressions into the functions.
const FILTER: &str = "LONGHAUL_LOG";

/// Sets the log up once.
pub(crate) fn init() {
    set_up(holds_no_secret);
}

/// Sets the log up once for a process that sends callback tokens in the paths of its requests.
#[cfg(feature = "reconciler")]
pub(crate) fn init_without_requests() {
    set_up(holds_no_request);
}

fn set_up(allowed: fn(&Metadata<'_>) -> bool) {
    let text = std::env::var_os(FILTER).unwrap_or_default();
    let (filter, understood) = read_filter(&text.to_string_lossy());
    let grave = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .with_filter(filter_fn(move |event| allowed(event) && is_grave(event)));
    let plain = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .with_filter(news(move |event| allowed(event) && is_plain(event)));
    // A second call (tests, embedding programs with a log of their own) changes nothing.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(grave)
        .with(plain)
        .try_init();
    if !understood {
        tracing::warn!(
            "{FILTER}={text:?} is not levels (off, error, warn, info, debug or trace) as in longhaul_lambda=debug,warn: using info"
        );
    }
}

/// The filter, and whether that is what `text` says.
fn read_filter(text: &str) -> (Targets, bool) {
    let info = || Targets::new().with_default(LevelFilter::INFO);
    if text.trim().is_empty() {
        return (info(), true);
    }
    // A word by itself would be a target, all of it: and so a misspelt level would be no log at all.
    let has_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    match text.parse() {
        Ok(filter) if text.split(',').map(str::trim).all(has_level) => (filter, true),
        _ => (info(), false),
    }
}

/// What somebody may have to act on: a replay says it again.
fn is_grave(event: &Metadata<'_>) -> bool {
    event.is_span() || *event.level() <= Level::WARN
}

fn is_plain(event: &Metadata<'_>) -> bool {
    event.is_span() || *event.level() > Level::WARN
}

/// What is `allowed` and not said by a replay.
fn news<S>(allowed: impl Fn(&Metadata<'_>) -> bool) -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + 'static,
{
    filter_fn(allowed).and(replay_filter())
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
    fn the_filter_is_levels_by_target_and_info_where_it_is_not_understood() {
        let (filter, understood) = read_filter("longhaul_lambda=debug,warn");
        assert!(understood);
        assert!(filter.would_enable("longhaul_lambda::attempt", &Level::DEBUG));
        assert!(filter.would_enable("hyper", &Level::WARN));
        assert!(!filter.would_enable("hyper", &Level::INFO));
        for (text, expected) in [
            ("", true),
            (" ", true),
            ("loud", false),
            ("a=b=c", false),
            ("warn,inof", false),
        ] {
            let (filter, understood) = read_filter(text);
            assert_eq!(understood, expected, "{text:?}");
            assert!(filter.would_enable("hyper", &Level::INFO), "{text:?}");
            assert!(!filter.would_enable("hyper", &Level::DEBUG), "{text:?}");
        }
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

    #[test]
    fn what_a_replay_says_again_is_kept_back_unless_somebody_may_have_to_act_on_it() {
        let written = Lines::default();
        let (one, other) = (written.clone(), written.clone());
        let grave = tracing_subscriber::fmt::layer()
            .with_writer(move || one.clone())
            .with_filter(filter_fn(is_grave));
        let plain = tracing_subscriber::fmt::layer()
            .with_writer(move || other.clone())
            .with_filter(news(is_plain));
        let subscriber = tracing_subscriber::registry().with(grave).with(plain);
        tracing::subscriber::with_default(subscriber, || {
            for replayed in [true, false] {
                // As the SDK names them.
                let span = tracing::info_span!("durable_execution", isReplay = replayed);
                span.in_scope(|| {
                    tracing::info!("said with isReplay {replayed}");
                    tracing::warn!("warned with isReplay {replayed}");
                });
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("said with isReplay true"), "{text}");
        assert!(text.contains("said with isReplay false"), "{text}");
        assert!(text.contains("warned with isReplay true"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
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
