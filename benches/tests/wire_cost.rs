//! What jobs cost between function and service: calls, operations, bytes. `cargo test --workspace --test wire_cost -- --nocapture` prints the table of `benches/README.md`.
#![allow(clippy::unwrap_used, reason = "tests")]

use longhaul_benches::jobs::{Cost, Fate, Way, run};

async fn cost(what: &str, jobs: usize, way: Way, fate: Fate) -> Cost {
    let cost = run(jobs, way, fate).await.unwrap();
    println!(
        "| {what} | {jobs} | {} | {} | {} | {} | {} | {} |",
        cost.checkpoints, cost.states, cost.invocations, cost.operations, cost.sent, cost.received
    );
    cost
}

#[tokio::test]
async fn a_job_costs_3_checkpoint_calls_and_2_operations_where_the_sdk_takes_more() {
    let ours = cost("`run`", 1, Way::Run, Fate::Succeed).await;
    assert!(ours.succeeded);
    assert_eq!(
        (
            ours.checkpoints,
            ours.operations,
            ours.invocations,
            ours.states,
            ours.starts
        ),
        (3, 2, 2, 0, 1)
    );
    let ten = cost("`run`, one after another", 10, Way::Run, Fate::Succeed).await;
    assert_eq!(
        (ten.checkpoints, ten.operations, ten.states, ten.starts),
        (30, 20, 0, 10)
    );
    let theirs = cost(
        "the SDK's `wait_for_callback`",
        1,
        Way::SdkWait,
        Fate::Succeed,
    )
    .await;
    assert!(theirs.succeeded);
    assert_eq!((theirs.operations, theirs.invocations), (3, 2));
    assert!(theirs.checkpoints > ours.checkpoints, "{theirs:?}");
    let theirs = cost(
        "the same, one after another",
        10,
        Way::SdkWait,
        Fate::Succeed,
    )
    .await;
    assert_eq!(theirs.operations, 30);
    assert!(
        theirs.checkpoints > ten.checkpoints && theirs.sent > ten.sent,
        "{theirs:?}"
    );
}

#[tokio::test]
async fn a_second_attempt_costs_a_job_more_and_a_wait() {
    let cost = cost(
        "`run`, interrupted once",
        1,
        Way::Run,
        Fate::InterruptedOnce,
    )
    .await;
    assert!(cost.succeeded);
    assert_eq!(cost.starts, 2);
    assert_eq!(cost.operations, 5, "two jobs and the wait between");
    assert!(cost.checkpoints <= 7, "{cost:?}");
}

#[tokio::test]
async fn a_job_that_times_out_costs_its_cancellation_more() {
    let cost = cost("`run`, timed out", 1, Way::Run, Fate::Silent).await;
    assert!(!cost.succeeded);
    assert_eq!(
        cost.operations, 4,
        "the job, and two steps that stop it: {cost:?}"
    );
    assert!(cost.checkpoints <= 7, "{cost:?}");
}

#[tokio::test]
async fn a_fan_out_of_a_hundred_jobs_or_more_costs_at_most_1_2_checkpoint_calls_a_job() {
    for jobs in [10, 100, 1_000] {
        let cost = cost(
            "`run_all`, 64 at once",
            jobs,
            Way::RunAll(64),
            Fate::Succeed,
        )
        .await;
        assert!(cost.succeeded);
        assert_eq!(cost.starts, jobs, "none lost, none twice");
        assert!(cost.operations <= 3_000, "{cost:?}");
        // Ten jobs share their calls with nobody else.
        let most = if jobs == 10 { 20 } else { jobs * 12 / 10 };
        assert!(cost.checkpoints <= most, "{cost:?}");
    }
}
