//! The test that the README shows is a test that runs.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{JobName, JobSpec};
use longhaul_lambda::{DurableContext, JobRunner, RunError};
use longhaul_testing::{Harness, InMemory};
use serde_json::json;

const TEN_HOURS: Duration = Duration::from_secs(10 * 3600);

/// The function under test.
async fn film(seconds: u64, ctx: DurableContext, runner: JobRunner) -> Result<u64, RunError> {
    let job = JobSpec::new(JobName::from_text("render")).with_input(seconds);
    Ok(runner.run::<u64>(&ctx, job).await?.result)
}

// README: from here
#[tokio::test]
async fn a_film_has_24_frames_a_second() {
    let backend = InMemory::new()
        .job("render", |job| Ok(json!(24 * job.input.as_u64().unwrap())))
        .lasting("render", TEN_HOURS); // of virtual time
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let harness = Harness::new(&backend);
    let film = move |seconds, ctx| film(seconds, ctx, runner.clone());
    let finished = harness.run(film, 10).await.unwrap();
    assert_eq!(finished.took, TEN_HOURS);
    assert_eq!(finished.result(), 240);
}
// README: to here

#[test]
fn the_readme_shows_the_test_above() {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let source = include_str!("readme.rs");
    let shown = source.split("// README: from here\n").nth(1).unwrap();
    let shown = lines(shown.split("// README: to here").next().unwrap());
    let readme = lines(include_str!("../../../README.md"));
    assert!(
        readme.windows(shown.len()).any(|window| window == shown),
        "put this into README.md:\n{}",
        shown.join("\n")
    );
}
