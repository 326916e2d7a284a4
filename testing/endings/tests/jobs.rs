//! Every completion rule and every failure class, with real processes.
#![allow(clippy::unwrap_used, reason = "tests")]

use longhaul_core::{ComputeBackend as _, ExecutionId, FailureClass};
use longhaul_endings::{Served, longhaul, wait_for};
use longhaul_process::{ProcessBackend, ProcessConfig};
use serde_json::{Value, json};

fn serve(variables: &[(&str, &str)]) -> Served {
    let function = format!("jobs={}", env!("CARGO_BIN_EXE_endings"));
    Served::start_with(&["--function", &function], variables)
}

fn job(name: &str, script: &str) -> Value {
    json!({"name": name, "command": ["bash", "-c", script], "retry": {"attempts": 1}})
}

/// The report that the execution returned.
fn report(serve: &Served, arn: &str) -> Value {
    let execution = serve.wait_closed(arn);
    assert_eq!(execution["Status"], "SUCCEEDED", "{execution:#}");
    serde_json::from_str(execution["Result"].as_str().unwrap()).unwrap()
}

/// How each of so many jobs ended, in order: its class, `ok`, `stopped` or `never`.
fn ends(report: &Value) -> Vec<String> {
    let count = usize::try_from(report["jobs"].as_u64().unwrap()).unwrap();
    let mut ends = vec!["never".to_owned(); count];
    let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    let index = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    for stopped in list("stopped") {
        ends[index(&stopped[0])] = "stopped".to_owned();
    }
    for ended in list("ended") {
        let class = ended["failed"]["failure"]["class"].as_str();
        ends[index(&ended["index"])] = class.unwrap_or("ok").to_owned();
    }
    ends
}

/// A rule, what its jobs do, and what comes of it.
struct Case {
    name: &'static str,
    rule: Value,
    jobs: [&'static str; 4],
    ends: [&'static str; 4],
    met: bool,
    early: bool,
}

/// Two jobs run at once. `long` would run for ever; `ok` and `fail` end once a `long` of their case
/// is running, if there is one.
#[test]
fn each_completion_rule_ends_when_it_is_decided_stops_what_runs_and_starts_nothing_more() {
    let serve = serve(&[]);
    let case = |name, rule, jobs, ends, met, early| Case {
        name,
        rule,
        jobs,
        ends,
        met,
        early,
    };
    let one = json!({"tolerate": {"failures": 1}});
    let quarter = json!({"tolerate_percent": {"percent": 25}});
    let two = json!({"first_successes": {"successes": 2}});
    let three = json!({"first_successes": {"successes": 3}});
    let cases = [
        case(
            "all",
            json!("all"),
            ["ok", "fail", "fail", "ok"],
            ["ok", "Failed", "Failed", "ok"],
            false,
            false,
        ),
        case(
            "all-met",
            json!("all"),
            ["ok", "ok", "ok", "ok"],
            ["ok", "ok", "ok", "ok"],
            true,
            false,
        ),
        case(
            "first-failure",
            json!("first_failure"),
            ["long", "fail", "ok", "ok"],
            ["stopped", "Failed", "never", "never"],
            false,
            true,
        ),
        case(
            "tolerate-met",
            one.clone(),
            ["ok", "fail", "ok", "ok"],
            ["ok", "Failed", "ok", "ok"],
            true,
            false,
        ),
        case(
            "tolerate",
            one,
            ["long", "fail", "fail", "ok"],
            ["stopped", "Failed", "Failed", "never"],
            false,
            true,
        ),
        case(
            "percent-met",
            quarter.clone(),
            ["ok", "fail", "ok", "ok"],
            ["ok", "Failed", "ok", "ok"],
            true,
            false,
        ),
        case(
            "percent",
            quarter,
            ["long", "fail", "fail", "ok"],
            ["stopped", "Failed", "Failed", "never"],
            false,
            true,
        ),
        case(
            "successes",
            two,
            ["long", "ok", "ok", "ok"],
            ["stopped", "ok", "ok", "never"],
            true,
            true,
        ),
        case(
            "successes-impossible",
            three,
            ["long", "fail", "fail", "ok"],
            ["stopped", "Failed", "Failed", "never"],
            false,
            true,
        ),
    ];
    let started: Vec<(Case, String)> = cases
        .into_iter()
        .map(|case| {
            let name = case.name;
            let until = if case.jobs.contains(&"long") {
                format!("while [ ! -e {name}.runs ]; do sleep 0.05; done; ")
            } else {
                String::new()
            };
            let script = |what: &str| match what {
                "long" => format!("touch {name}.runs; sleep 600 & wait"),
                "ok" => until.clone() + "exit 0",
                _ => until.clone() + "exit 7",
            };
            let jobs: Vec<Value> = case
                .jobs
                .iter()
                .map(|what| job(what, &script(what)))
                .collect();
            let options = json!({"at_once": 2, "completion": case.rule});
            let arn = serve.invoke("jobs", &json!({"jobs": jobs, "options": options}));
            (case, arn)
        })
        .collect();
    for (case, arn) in started {
        let report = report(&serve, &arn);
        assert_eq!(ends(&report), case.ends, "{}: {report:#}", case.name);
        assert_eq!(report["met"], case.met, "{}", case.name);
        let early = report["ended_early"].as_bool().unwrap_or_default();
        assert_eq!(early, case.early, "{}", case.name);
        assert_eq!(report["unstopped"], Value::Null, "{}", case.name);
    }
    serve.wait_for_no_jobs();
    serve.end();
}

/// A worker of its own: it completes its callback as the script says, with the shell's own means.
const BARE: &str = r#"
token=${CALLBACK_ID//%/%25}; token=${token//+/%2B}; token=${token//\//%2F}; token=${token//=/%3D}
address=${AWS_ENDPOINT_URL_LAMBDA#http://}
exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
body='{"ErrorType":"Longhaul.OutOfMemory","ErrorMessage":"the heap is full"}'
printf 'POST /2025-12-01/durable-execution-callbacks/%s/fail HTTP/1.1\r\nhost: %s\r\nconnection: close\r\ncontent-length: %s\r\n\r\n%s' \
  "$token" "$address" "${#body}" "$body" >&3
read -r version status rest <&3
test "$status" = 200
"#;

/// The supervisor before every command but those of jobs that are called `bare`.
fn worker() -> String {
    let supervisor = longhaul();
    let supervisor = supervisor.to_str().unwrap();
    let script = format!(
        "case $LONGHAUL_JOB_NAME in bare) exec \"$@\" ;; *) exec '{supervisor}' worker run -- \"$@\" ;; esac"
    );
    json!(["sh", "-c", script, "sh"]).to_string()
}

/// The kernel's own count of kills for want of memory, which the supervisor goes by, is tested where it
/// is read: a control group with a limit cannot be made everywhere.
#[test]
fn each_failure_class_arrives_from_a_process_that_ends_so() {
    let serve = serve(&[("LONGHAUL_WORKER", &worker())]);
    let with = |mut job: Value, name: &str, value: &str| {
        job[name] = json!(value);
        job
    };
    let mut nowhere = job("nowhere", "");
    nowhere["command"] = json!(["no-such-program"]);
    let jobs = [
        (job("fails", "echo sorry >&2; exit 7"), FailureClass::Failed),
        (nowhere, FailureClass::FailedToStart),
        (job("bare", BARE), FailureClass::OutOfMemory),
        (
            job("interrupted", "kill -TERM $PPID; sleep 600"),
            FailureClass::Interrupted,
        ),
        (
            // For ever silent, so that it is the timeout that is noticed.
            with(
                with(job("late", "exec sleep 600"), "timeout", "5s"),
                "heartbeat",
                "0s",
            ),
            FailureClass::TimedOut,
        ),
        (
            with(
                job("lost", "kill -KILL $PPID; sleep 600"),
                "heartbeat",
                "8s",
            ),
            FailureClass::Lost,
        ),
    ];
    let specs: Vec<&Value> = jobs.iter().map(|(job, _)| job).collect();
    let arn = serve.invoke("jobs", &json!({"jobs": specs, "options": {}}));

    // The last class: somebody uses the platform's own way to cancel a job that tells nobody.
    let silent = with(
        job("bare", "touch silent; exec sleep 600"),
        "heartbeat",
        "8s",
    );
    let cancelled = serve.invoke("jobs", &json!({"jobs": [silent], "options": {}}));
    wait_for("the silent job runs", || {
        serve.path().join("silent").exists().then_some(())
    });
    cancel_all(&serve, &cancelled);

    let report_of_all = report(&serve, &arn);
    let wanted: Vec<&str> = jobs.iter().map(|(_, class)| class.as_str()).collect();
    assert_eq!(ends(&report_of_all), wanted, "{report_of_all:#}");
    let failure = |index: usize| &report_of_all["ended"][index]["failed"]["failure"];
    assert_eq!(failure(0)["exit_code"], 7);
    assert_eq!(failure(0)["message"], "sorry");
    assert_eq!(failure(2)["exit_code"], Value::Null, "nobody knows it");
    assert_eq!(failure(5)["signal"], 9, "{report_of_all:#}");
    let report = report(&serve, &cancelled);
    assert_eq!(ends(&report), ["Cancelled"], "{report:#}");
    serve.wait_for_no_jobs();
    serve.end();
}

/// Cancels the jobs of an execution as another program on the machine would.
fn cancel_all(serve: &Served, arn: &str) {
    let config = ProcessConfig::new(serve.path().join("state/jobs"));
    let backend = ProcessBackend::new(config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let jobs = backend.list(&ExecutionId::from_arn(arn)).await.unwrap();
        assert_eq!(jobs.len(), 1);
        for job in &jobs {
            backend.cancel(job, "no longer wanted").await.unwrap();
        }
    });
}
