//! The worker's own log: on standard error, in lines that can be told from the job's.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// `LONGHAUL_LOG`: `off`, `error`, `warn` (the default), `info`, `debug` or `trace`.
const LEVEL: &str = "LONGHAUL_LOG";

/// Sets up the log, unless the program has set up one already.
pub(crate) fn init() {
    let (level, problem) = match std::env::var(LEVEL) {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(level) => (level, None),
            Err(_) => (LevelFilter::WARN, Some(text)),
        },
        _ => (LevelFilter::WARN, None),
    };
    // Nothing of the AWS SDK and the HTTP client below it: at `debug` they log the paths of
    // requests, and the callback token is part of the path.
    let ours = Targets::new().with_target("longhaul", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Prefixed);
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(ours)
        .try_init();
    if let Some(text) = problem {
        tracing::warn!(
            "{LEVEL}={text:?} is not off, error, warn, info, debug or trace: using warn"
        );
    }
}

/// `longhaul-worker: warning: …`
struct Prefixed;

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warning",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        write!(writer, "longhaul-worker: {level}: ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
