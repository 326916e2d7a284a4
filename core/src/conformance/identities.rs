//! What handles and secrets promise.

use super::bench::Bench;
use super::promise::Seen;
use super::{BrokenPromise, Promise, Subject};
use crate::{BackendError, CancelOutcome, JobHandle, JobState};

/// Checks that the backend's name stays the same and is the one in its handles.
///
/// # Errors
///
/// The promise, broken.
pub async fn the_name_is_stable_and_stands_in_every_handle(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::NameStandsInEveryHandle);
    bench
        .run(async |bench| {
            let backend = bench.subject.backend();
            let before = backend.name().to_owned();
            let names = bench.subject.names();
            let (attempt, handle) = bench.start_long().await?;
            let after = backend.name();
            if before != after || before.is_empty() {
                return Err(Seen::new(format!(
                    "the name was {before:?}, then {after:?}"
                )));
            }
            let listed = backend.list(attempt.job.execution()).await;
            for handle in listed.unwrap_or_default().iter().chain([&handle]) {
                if !names.iter().any(|name| name == handle.backend()) {
                    return Err(Seen::new(format!(
                        "the handle {handle} is of {:?}, and the backend of {names:?}",
                        handle.backend()
                    )));
                }
            }
            Ok(())
        })
        .await
}

/// Checks that a handle that was written as JSON and read again is the same, and finds and
/// cancels the same job.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_handle_survives_json(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::HandleSurvivesJson);
    bench
        .run(async |bench| {
            let (_, handle) = bench.start_long().await?;
            let json = serde_json::to_string(&handle).map_err(|e| Seen::new(e.to_string()))?;
            let read: JobHandle = serde_json::from_str(&json)
                .map_err(|e| Seen::new(format!("{json} cannot be read: {e}")))?;
            if read != handle {
                return Err(Seen::new(format!("{handle} came back as {read}")));
            }
            bench
                .eventually(async || {
                    Ok(match bench.describe(&read).await?.state {
                        JobState::Unknown => Err(format!("{json} is Unknown")),
                        _ => Ok(()),
                    })
                })
                .await?;
            match bench.cancel(&read).await? {
                CancelOutcome::Cancelled => Ok(()),
                other => Err(Seen::new(format!("cancel of {json} said {other:?}"))),
            }
        })
        .await
}

/// Checks that the token is in no `Debug`, `Display` or JSON of the backend, its handles, statuses
/// and errors, and in no tag of the platform.
///
/// # Errors
///
/// The promise, broken.
pub async fn the_token_shows_nowhere(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::TokenShowsNowhere);
    bench
        .run(async |bench| {
            let backend = bench.subject.backend();
            let (attempt, handle) = bench.start_long().await?;
            let secret = attempt.token.expose();
            let hidden = |what: &str, text: &str| {
                if text.contains(secret) {
                    // Not even here: what is printed may be a log of somebody's CI.
                    let text = text.replace(secret, "«the token»");
                    return Err(Seen::new(format!("{what} is {text}")));
                }
                Ok(())
            };

            hidden("Debug of the backend", &format!("{backend:?} {backend:#?}"))?;
            hidden("the handle", &format!("{handle} {handle:?}"))?;
            let listed = backend.list(attempt.job.execution()).await;
            hidden("what list returned", &told(&listed))?;
            let described = backend.describe(&handle).await;
            hidden("what describe returned", &told(&described))?;
            if let Some(received) = bench.subject.received(&attempt.job).await {
                hidden("the tags", &format!("{:?}", received.tags))?;
                hidden("the command", &format!("{:?}", received.command))?;
            }
            let cancelled = backend.cancel(&handle, "conformance").await;
            hidden("what cancel returned", &told(&cancelled))?;
            let described = backend.describe(&handle).await;
            hidden("what describe returned after cancel", &told(&described))?;

            // The error of a start that is refused, where one can be provoked.
            let refused = bench.fresh(bench.subject.long_job());
            let limits = bench
                .subject
                .limits(refused.job.execution(), &refused.token);
            for limit in limits {
                let execution = refused.job.execution().clone();
                let beyond = bench.with_token(execution, refused.token.clone(), limit.beyond);
                if let Err(error) = backend.start(&beyond.job, &beyond.token).await {
                    let text = told::<()>(&Err(error));
                    if text.contains(refused.token.expose()) {
                        let text = text.replace(refused.token.expose(), "«the token»");
                        return Err(Seen::new(format!(
                            "the error of a start beyond the limit {:?} is {text}",
                            limit.name
                        )));
                    }
                }
            }
            Ok(())
        })
        .await
}

/// Everything that could be printed of an answer.
fn told<T: std::fmt::Debug>(answer: &Result<T, BackendError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?} {answer:#?}"),
        Err(error) => format!("{error:?} {error:#?} {}", error.full_message()),
    }
}
