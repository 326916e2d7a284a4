//! What a backend promises about the jobs that it is given: whole, or not at all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bench::{Attempt, Bench};
use super::promise::Seen;
use super::{BrokenPromise, Limit, Promise, Received, Subject};
use crate::{BackendErrorKind, Job, Retry, contract};

/// Checks that a job as large as each limit allows is started.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_spec_at_the_limit_starts(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::SpecAtTheLimitStarts);
    bench
        .run(async |bench| {
            let mut nth = 0;
            while let Some((fresh, limit)) = nth_limit(bench, nth) {
                nth += 1;
                let execution = fresh.job.execution().clone();
                let attempt = bench.with_token(execution, fresh.token, limit.at);
                if let Err(seen) = bench.start(&attempt).await {
                    return Err(seen.at(&format!("at the limit {:?}", limit.name)));
                }
                bench.started_once(&attempt).await?;
            }
            some(bench, nth)
        })
        .await
}

/// Checks that a job beyond each limit is refused as `TooLarge` or `InvalidSpec`, never to be
/// retried, and that nothing was started.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_spec_beyond_the_limit_starts_nothing(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::SpecBeyondTheLimitStartsNothing);
    bench
        .run(async |bench| {
            let mut nth = 0;
            while let Some((fresh, limit)) = nth_limit(bench, nth) {
                nth += 1;
                let execution = fresh.job.execution().clone();
                let attempt = bench.with_token(execution, fresh.token, limit.beyond);
                let backend = bench.subject.backend();
                let error = match backend.start(&attempt.job, &attempt.token).await {
                    Ok(handle) => {
                        let name = limit.name;
                        return Err(Seen::new(format!(
                            "beyond the limit {name:?}, {handle} was started"
                        )));
                    }
                    Err(error) => error,
                };
                let refused = matches!(
                    error.kind(),
                    BackendErrorKind::TooLarge | BackendErrorKind::InvalidSpec
                );
                if !refused || error.retry() != Retry::Never {
                    let advice = error.retry();
                    return Err(Seen::error(
                        &format!(
                            "start beyond the limit {:?}, to be retried {advice:?},",
                            limit.name
                        ),
                        error,
                    ));
                }
                bench.started_never(&attempt).await?;
            }
            some(bench, nth)
        })
        .await
}

/// No limit at all is a finding: it must be declared.
fn some(bench: &Bench<'_>, limits: usize) -> Result<(), Seen> {
    match limits {
        0 => Err(bench.undeclared("the subject has no `limits`")),
        _ => Ok(()),
    }
}

/// The limit number `nth`, with the job and token that it was made for.
fn nth_limit(bench: &Bench<'_>, nth: usize) -> Option<(Attempt, Limit)> {
    let fresh = bench.fresh(bench.subject.long_job());
    let limits = bench.subject.limits(fresh.job.execution(), &fresh.token);
    let limit = limits.into_iter().nth(nth)?;
    Some((fresh, limit))
}

/// Text with what breaks careless quoting: letters outside ASCII, emoji made of several code
/// points, quotes of every kind, what a shell would expand, line ends, and no NUL, which no
/// command can hold.
const TEXT: &str = "Grüße, 漢字, עברית, e\u{301}, 👩‍🚀🏳️‍🌈 'single' \"double\" `tick` $HOME ${x} $(id) %s \\n \\ \
                    line one\nline two\r\n\ttabbed; & | > < * ? [a] #~ \u{7f}\u{1b}[0m\u{feff}";

/// What AWS takes in a tag (Tagging AWS Resources, "Tag naming limits and requirements").
const TAG: (&str, &str) = ("größe 漢字", "Zürich 7 + - = . _ : / @ 東京");

/// Checks that command, environment, input and tags arrive as they were given, whatever Unicode,
/// quotes and line ends they hold.
///
/// # Errors
///
/// The promise, broken.
pub async fn unicode_arrives_unchanged(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::UnicodeArrivesUnchanged);
    bench
        .run(async |bench| {
            let mut spec = bench.subject.long_job();
            if let Some(command) = &mut spec.command {
                command.push(TEXT.to_owned());
            }
            spec.environment
                .insert("LH_TEXT".to_owned(), TEXT.to_owned());
            spec.input = json!({"text": TEXT, "nul": "a\u{0}b", TEXT: [TEXT, {"": null}]});
            spec.tags.insert(TAG.0.to_owned(), TAG.1.to_owned());
            let attempt = bench.fresh(spec);
            bench.start(&attempt).await?;
            bench
                .eventually(async || {
                    let Some(received) = bench.subject.received(&attempt.job).await else {
                        return Ok(Err("the subject's `received` tells nothing".to_owned()));
                    };
                    Ok(differs(&attempt.job, &received).map_or(Ok(()), Err))
                })
                .await
        })
        .await
}

/// How what was received differs from what was sent.
fn differs(job: &Job, received: &Received) -> Option<String> {
    let spec = job.spec();
    if let (Some(sent), Some(arrived)) = (&spec.command, &received.command)
        && sent != arrived
    {
        return Some(format!("the command {sent:?} arrived as {arrived:?}"));
    }
    if let Some(arrived) = &received.environment {
        let sent = spec.environment.get("LH_TEXT");
        if sent != arrived.get("LH_TEXT") {
            let arrived = arrived.get("LH_TEXT");
            return Some(format!("the variable {sent:?} arrived as {arrived:?}"));
        }
        let input = arrived.get(contract::INPUT);
        let read = input.and_then(|text| serde_json::from_str::<Value>(text).ok());
        if read.as_ref() != Some(job.input()) {
            return Some(format!("the input {} arrived as {input:?}", job.input()));
        }
        if arrived.get("TEXT").map(String::as_str) != Some(TEXT) {
            let arrived = arrived.get("TEXT");
            return Some(format!(
                "the input's scalar {TEXT:?} arrived as {arrived:?}"
            ));
        }
    }
    if let Some(arrived) = &received.tags {
        let missing = |(key, value): (&String, &String)| arrived.get(key) != Some(value);
        if spec.tags.iter().any(missing) {
            let sent: &BTreeMap<_, _> = &spec.tags;
            return Some(format!("the tags {sent:?} arrived as {arrived:?}"));
        }
    }
    let told = [
        received.command.is_some(),
        received.environment.is_some(),
        received.tags.is_some(),
    ];
    if told.contains(&true) {
        None
    } else {
        Some("the subject's `received` tells nothing".to_owned())
    }
}
