//! A service killed with SIGKILL at every durable write of a run, one run for each: the execution always ends the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod campaign;
mod support;

use campaign::{Ran, run};
use tokio::task::JoinSet;

/// Runs at the same time. Most of a run is waiting for its timers.
const TOGETHER: u64 = 12;

/// More writes than a run can have.
const TOO_MANY: u64 = 200;

#[tokio::test]
async fn an_execution_ends_the_same_whichever_durable_write_its_service_is_killed_at() {
    let clean = run("clean", |_| None).await;
    assert_eq!(clean.starts, 1);
    let mut runs = JoinSet::new();
    let mut next = 1;
    let mut killed = 0;
    let mut complete = false;
    loop {
        // Each write number in turn, until a run has ended before it came to its number.
        while !complete && runs.len() < TOGETHER as usize {
            let at = next;
            next += 1;
            assert!(at < TOO_MANY, "no run ends without the kill");
            runs.spawn(async move {
                let what = format!("killed at write {at}");
                (at, run(&what, |start| (start == 1).then_some(at)).await)
            });
        }
        let Some(ended) = runs.join_next().await else {
            break;
        };
        let (at, ran) = ended.unwrap();
        same_as(&clean, &ran, &format!("killed at write {at}"));
        if ran.starts == 1 {
            complete = true;
        } else {
            assert_eq!(ran.starts, 2, "killed once and started again");
            killed += 1;
        }
    }
    // Two writes may share a commit in one run and not in another, so the count is not quite the same every time.
    println!("{killed} kill points, every one of them with the same end");
    assert!(killed > 20, "only {killed} durable writes in a run");
}

#[tokio::test]
async fn an_execution_ends_the_same_when_its_service_is_killed_again_and_again() {
    let clean = run("clean", |_| None).await;
    let mut runs = JoinSet::new();
    for every in [1, 2, 3, 5, 8] {
        runs.spawn(async move {
            // A service that dies at every second write or so makes no headway, so each start may write a little more.
            let kills = move |start: u32| Some(every + u64::from(start) / 2);
            (
                every,
                run(&format!("killed after {every} writes"), kills).await,
            )
        });
    }
    for (every, ran) in runs.join_all().await {
        assert!(ran.starts > 2, "{} starts", ran.starts);
        same_as(&clean, &ran, &format!("killed after {every} writes"));
    }
}

/// Invocations may be cut off and repeated; everything else happens exactly once, in the same order.
fn same_as(clean: &Ran, ran: &Ran, what: &str) {
    assert_eq!(ran.lasting(), clean.lasting(), "{what}");
}
