//! A thousand jobs in one execution, each a process: none lost, none twice, and what it costs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod counting;
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use counting::set_up_with;
use longhaul_core::{CallbackResult, JobName, JobSpec};
use longhaul_emulator::{Lifetime, Outcome, StartExecution};
use longhaul_lambda::event::FanOut;
use longhaul_lambda::{FanOutReport, RunAllOptions};
use serde_json::json;
use support::World;

const JOBS: usize = 1_000;
const AT_ONCE: usize = 64;

/// A worker that is as light as one can be: it keeps the contract with a shell's own means, notes
/// that it ran, and returns its input.
const WORKER: &str = r#"
echo "begin $LONGHAUL_INPUT" >> "$RAN"
token=${CALLBACK_ID//%/%25}; token=${token//+/%2B}; token=${token//\//%2F}; token=${token//=/%3D}
address=${AWS_ENDPOINT_URL_LAMBDA#http://}
exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
echo "end $LONGHAUL_INPUT" >> "$RAN"
printf 'POST /2025-12-01/durable-execution-callbacks/%s/succeed HTTP/1.1\r\nhost: %s\r\nconnection: close\r\ncontent-length: %s\r\n\r\n%s' \
  "$token" "$address" "${#LONGHAUL_INPUT}" "$LONGHAUL_INPUT" >&3
read -r version status rest <&3
test "$status" = 200
"#;

/// The most memory that a process had, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The processes that this one started and that run `longhaul lambda`.
fn functions() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let path = format!("/proc/{pid}");
            let stat = std::fs::read_to_string(format!("{path}/stat")).unwrap_or_default();
            let parent = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1));
            let command = std::fs::read(format!("{path}/cmdline")).unwrap_or_default();
            parent == Some(&std::process::id().to_string()) && command.ends_with(b"\0lambda\0")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_run_once_each_within_the_limits_of_an_execution() {
    let world = World::new();
    let script = world.file("worker.sh", WORKER);
    let ran = world.path().join("ran");
    let worker = json!(["/bin/bash", script]);
    let setup = set_up_with(world.path(), Lifetime::Reuse, &worker).await;

    let mut job = JobSpec::new(JobName::new("tiny").unwrap()).with_command(["unused"]);
    let ran_text = ran.to_str().unwrap().to_owned();
    job.environment.insert("RAN".to_owned(), ran_text);
    let fan_out = FanOut {
        job,
        inputs: (0..JOBS).map(|n| json!(n)).collect(),
        options: RunAllOptions::new().at_once(AT_ONCE),
    };
    let event = fan_out.event().unwrap().to_string();
    let begun = Instant::now();
    let api = setup.service.api();
    let request = StartExecution::new("jobs:$LATEST", event);
    let arn = api.start_execution(request).await.unwrap().arn;
    let mut memory = 0;
    let ended = async {
        let wait = api.wait(&arn);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                outcome = &mut wait => break outcome.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    memory = functions().into_iter().filter_map(peak).fold(memory, u64::max);
                }
            }
        }
    };
    // Generous: on a loaded machine a process takes its time, and no speed is promised here.
    let outcome = tokio::time::timeout(Duration::from_secs(1_200), ended)
        .await
        .expect("a thousand jobs end");
    let Outcome::Succeeded(Some(text)) = outcome else {
        panic!("{outcome:?}");
    };
    let took = begun.elapsed();

    let report: FanOutReport<CallbackResult> = serde_json::from_str(&text).unwrap();
    assert!(report.met);
    let results: Vec<(usize, String)> = report
        .results()
        .map(|(index, result)| (index, result.encode()))
        .collect();
    let wanted: Vec<(usize, String)> = (0..JOBS).map(|n| (n, n.to_string())).collect();
    assert_eq!(results, wanted, "none is lost, and they are in order");

    let lines = std::fs::read_to_string(&ran).unwrap();
    let begun: Vec<&str> = lines
        .lines()
        .filter_map(|l| l.strip_prefix("begin "))
        .collect();
    assert_eq!(begun.len(), JOBS, "none is run twice");
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), JOBS);
    let (mut now, mut most) = (0_usize, 0);
    for line in lines.lines() {
        now = if line.starts_with("begin") {
            now + 1
        } else {
            now - 1
        };
        most = most.max(now);
    }
    assert!(most <= AT_ONCE, "{most} at once");

    let operations = operations(&setup.client, arn.as_str()).await;
    assert!(operations <= 3_000, "{operations} operations");
    let counts = setup.counter.counts.lock().unwrap().clone();
    let checkpoints = counts["checkpoint"];
    println!(
        "{JOBS} jobs: {took:.1?}, {checkpoints} checkpoint calls, {operations} operations, at most {most} at \
         once, function's peak memory {memory} KiB; requests: {counts:?}"
    );
    assert!(
        checkpoints * 10 <= JOBS * 12,
        "at most 1.2 checkpoint calls a job: {checkpoints}"
    );
    setup.service.shutdown().await;
}

/// How many operations the execution has, by its history.
async fn operations(client: &aws_sdk_lambda::Client, arn: &str) -> usize {
    let mut events = client
        .get_durable_execution_history()
        .durable_execution_arn(arn)
        .max_items(1_000)
        .into_paginator()
        .items()
        .send();
    let mut ids = BTreeSet::new();
    while let Some(event) = events.next().await {
        ids.extend(event.unwrap().id);
    }
    ids.len()
}
