//! Jobs on ECS to their ends, on loopback: the real command, function, durable service and
//! supervisor; ECS is `longhaul-fake-aws`, and Fargate is played by starting what ECS accepted.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/fargate.rs"]
mod fargate;
mod support;

use fargate::{Container, Overrides, service_url};
use longhaul_fake_aws::ecs::{AcceptedTask, FakeEcs};
use serde_json::{Value, json};
use support::{Finished, Running, World, wait_gone};
use tokio::runtime::Runtime;

/// A command that answers with its input.
const ECHO: &str = "printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"";

/// A command that tells its pid and does not end by itself.
const LONG: &str = "echo $$ > pid; sleep 1000";

/// A heartbeat timeout that a container comes up in on a machine that does other things too.
const SILENCE: &str = "10s";

/// ECS, and a world for the command.
struct Stage {
    world: World,
    ecs: FakeEcs,
    runtime: Runtime,
}

impl Stage {
    fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            world: World::new(),
            ecs: runtime.block_on(FakeEcs::start()),
            runtime,
        }
    }

    /// What `longhaul run --backend ecs` needs to know.
    fn variables(&self) -> Vec<(&'static str, String)> {
        [
            ("ECS_CLUSTER", "jobs"),
            ("ECS_TASK_DEFINITION", "render:7"),
            ("ECS_SUBNETS", "subnet-1"),
            ("ECS_SECURITY_GROUP", "sg-1"),
            ("ECS_LOG_GROUP", "/ecs/render"),
            ("ECS_LOG_STREAM_PREFIX", "jobs"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL_ECS", &self.ecs.url()),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    /// Starts `longhaul run --json --backend ecs WORDS` and has Fargate start its task.
    fn start(&self, words: &[&str]) -> Job {
        let all: Vec<&str> = ["--backend", "ecs"].iter().chain(words).copied().collect();
        let mut run = self.world.start_with(&all, &self.variables());
        let execution = run.event("execution_started")["execution"].clone();
        let service = service_url(&self.world, execution.as_str().unwrap());
        let task = self.accepted();
        let overrides = Overrides::of_worker(&task.request["overrides"]).unwrap();
        let container = Container::start(&overrides, &service, self.world.path());
        self.ecs.run(&task.arn);
        Job {
            run,
            task,
            container,
        }
    }

    /// The one task that ECS has accepted, as soon as it has.
    fn accepted(&self) -> AcceptedTask {
        let tasks = self.runtime.block_on(self.ecs.accepted(1));
        assert_eq!(tasks.len(), 1, "{tasks:#?}");
        tasks[0].clone()
    }

    /// The reason that ECS was asked to stop the task for, as soon as it is.
    fn asked_to_stop(&self, task: &AcceptedTask) -> String {
        self.runtime.block_on(self.ecs.asked_to_stop(&task.arn))
    }

    fn pid_of_the_command(&self) -> u32 {
        let file = self.world.path().join("pid");
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        support::wait_until("the command has told its pid", || read().ends_with('\n'));
        read().trim().parse().unwrap()
    }
}

/// A run, its task, and the container that Fargate started for it.
struct Job {
    run: Running,
    task: AcceptedTask,
    container: Container,
}

/// What became of the job of a failed run, and its class.
fn failure(finished: &Finished) -> (&str, &Value) {
    let event = finished.failure();
    (event["error_type"].as_str().unwrap(), &event["failure"])
}

#[test]
fn a_job_on_ecs_gives_its_result_on_standard_output() {
    let stage = Stage::set();
    let input = json!({"message": "Grüße \"x\" 🚚\nnext line", "processingTime": 0});
    let text = input.to_string();
    let mut job = stage.start(&["--input", &text, "--", "sh", "-c", ECHO]);
    let started = job.run.event("job_started");
    let handle = &started["handle"];
    assert_eq!(
        (&handle["backend"], &handle["id"]),
        (&json!("ecs"), &json!(job.task.arn))
    );
    assert_eq!(started["pid"], Value::Null);
    assert_eq!(job.run.finish().result(), input);
    assert_eq!(job.container.wait().code(), Some(0));
    assert_eq!(stage.ecs.requests("RunTask").len(), 1);
    assert_eq!(stage.ecs.requests("StopTask").len(), 0);

    let request = &job.task.request;
    let environment = job.task.environment("worker");
    assert_eq!(
        request["startedBy"],
        environment["LONGHAUL_EXECUTION_ID"].as_str()
    );
    assert_eq!(environment["MESSAGE"], input["message"].as_str().unwrap());
    let token = &environment["CALLBACK_ID"];
    assert!(!request["tags"].to_string().contains(token.as_str()));
}

#[test]
fn a_person_sees_which_task_runs_the_job() {
    let stage = Stage::set();
    let mut command = stage.world.command(&[
        "run",
        "--backend",
        "ecs",
        "--execution",
        "seen",
        "--",
        "sh",
        "-c",
        ECHO,
    ]);
    let run = command.envs(stage.variables()).spawn().unwrap();
    let task = stage.accepted();
    let overrides = Overrides::of_worker(&task.request["overrides"]).unwrap();
    let service = service_url(&stage.world, "seen");
    let container = Container::start(&overrides, &service, stage.world.path());
    let output = run.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(output.stdout, b"null\n");
    let line = format!("longhaul: job started (ecs:{})\n", task.arn);
    assert!(stderr.contains(&line), "{stderr}");
    assert!(container.wait().success());
}

#[test]
fn a_job_on_ecs_that_fails_says_how() {
    let stage = Stage::set();
    let job = stage.start(&["--", "sh", "-c", "echo 'disk on fire' >&2; exit 3"]);
    let finished = job.run.finish();
    let (class, failure) = failure(&finished);
    assert_eq!(class, "Longhaul.Failed", "{finished:#?}");
    assert_eq!(failure["exit_code"], 3);
    assert!(failure["stderr"].as_str().unwrap().contains("disk on fire"));
    assert_eq!(job.container.wait().code(), Some(3));
    assert_eq!(stage.ecs.requests("StopTask").len(), 0);
}

#[test]
fn a_job_that_falls_silent_is_explained_by_what_ecs_says_of_its_task() {
    let stage = Stage::set();
    let mut job = stage.start(&["--heartbeat", SILENCE, "--", "sh", "-c", LONG]);
    job.run.event("suspended");
    let command = stage.pid_of_the_command();
    job.container.kill();
    let arn = &job.task.arn;
    let oom = "OutOfMemoryError: Container killed due to memory usage";
    stage.ecs.end(arn, "worker", Some(137));
    stage.ecs.change(
        arn,
        &json!({"containers": [
            {"name": "worker", "lastStatus": "STOPPED", "exitCode": 137, "reason": oom},
            {"name": "proxy", "lastStatus": "STOPPED", "exitCode": 0},
        ]}),
    );
    let finished = job.run.finish();
    let (class, failure) = failure(&finished);
    assert_eq!(class, "Longhaul.OutOfMemory", "{finished:#?}");
    assert_eq!(failure["exit_code"], 137);
    let reason = failure["reason"].as_str().unwrap();
    assert!(reason.contains(oom), "{reason}");
    let message = failure["message"].as_str().unwrap();
    for part in ["resources.memory_mib", "no heartbeat for 10s"] {
        assert!(message.contains(part), "{message}");
    }
    let logs = failure["logs"].as_str().unwrap();
    assert!(logs.contains("$252Fecs$252Frender"), "{logs}");
    wait_gone(command);
}

#[test]
fn a_supervisor_that_is_killed_is_told_with_the_exit_code_of_its_container() {
    let stage = Stage::set();
    let mut job = stage.start(&["--heartbeat", SILENCE, "--", "sh", "-c", LONG]);
    job.run.event("suspended");
    let command = stage.pid_of_the_command();
    job.container.kill();
    stage.ecs.end(&job.task.arn, "worker", Some(137));
    let finished = job.run.finish();
    let (class, failure) = failure(&finished);
    assert_eq!(class, "Longhaul.Failed", "{finished:#?}");
    assert_eq!(failure["exit_code"], 137);
    let message = failure["message"].as_str().unwrap();
    for part in ["does not say by whom", "no heartbeat for 10s"] {
        assert!(message.contains(part), "{message}");
    }
    wait_gone(command);
}

#[test]
fn a_task_that_is_gone_without_an_exit_code_is_lost() {
    let stage = Stage::set();
    let mut job = stage.start(&["--heartbeat", SILENCE, "--", "sh", "-c", LONG]);
    job.run.event("suspended");
    stage.pid_of_the_command();
    job.container.kill();
    stage.ecs.end(&job.task.arn, "worker", None);
    let finished = job.run.finish();
    let (class, failure) = failure(&finished);
    assert_eq!(class, "Longhaul.Lost", "{finished:#?}");
    assert_eq!(failure.get("exit_code"), None, "{failure}");
}

#[test]
fn a_job_that_outlives_its_timeout_is_stopped_by_ecs() {
    let stage = Stage::set();
    let job = stage.start(&["--timeout", "10s", "--", "sh", "-c", LONG]);
    let command = stage.pid_of_the_command();
    assert_eq!(
        stage.asked_to_stop(&job.task),
        "longhaul: the callback is closed"
    );
    let status = job.container.stop();
    stage.ecs.end(&job.task.arn, "worker", status.code());
    let finished = job.run.finish();
    let (class, failure) = failure(&finished);
    assert_eq!(class, "Longhaul.TimedOut", "{finished:#?}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("no result within 10s"), "{message}");
    assert!(!support::is_alive(command), "the command is still there");
    assert_eq!(stage.ecs.requests("StopTask").len(), 1);
}

#[test]
fn ctrl_c_stops_the_task() {
    let stage = Stage::set();
    let mut job = stage.start(&["--", "sh", "-c", LONG]);
    job.run.event("suspended");
    let command = stage.pid_of_the_command();
    job.run.signal("INT");
    assert_eq!(
        stage.asked_to_stop(&job.task),
        "longhaul: stopped by Ctrl-C"
    );
    job.container.stop();
    let finished = job.run.finish();
    assert_eq!(finished.code(), Some(130), "{finished:#?}");
    let stopped = finished
        .events
        .iter()
        .find(|event| event["event"] == "stopped");
    assert_eq!(stopped.unwrap()["cancelled"], 1, "{finished:#?}");
    assert!(!support::is_alive(command), "the command is still there");
}

#[test]
fn what_the_configuration_of_ecs_lacks_is_told_at_once_and_nothing_is_started() {
    let stage = Stage::set();
    let mut variables = stage.variables();
    variables.retain(|(name, _)| !["ECS_CLUSTER", "ECS_SUBNETS"].contains(name));
    let words = ["--backend", "ecs", "--", "true"];
    let finished = stage.world.start_with(&words, &variables).finish();
    assert_eq!(finished.code(), Some(2), "{finished:#?}");
    for part in ["ECS_CLUSTER is missing", "ECS_SUBNETS is missing"] {
        assert!(finished.plain.contains(part), "{finished:#?}");
    }
    assert_eq!(stage.ecs.tasks(), []);
}
