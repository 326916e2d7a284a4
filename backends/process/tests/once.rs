//! One token, one job: however often, however concurrently and by whomever it is started, and
//! whoever is killed meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::{
    Folder, SHIM, ended, execution, gone, job, kill, recorded_pid, script, spec, token_in,
};
use longhaul_core::{
    BackendErrorKind, CallbackToken, ComputeBackend, FailureClass, Job, JobHandle, JobState,
};
use longhaul_process::{ProcessBackend, ProcessConfig};
use rustix::process::Signal;

const TOKEN: &str = "token";

/// Writes a line each time it runs, and lives until it is told to go.
const COUNTED: &str = "echo ran >> ran; while [ ! -e go ]; do sleep 0.01; done";

fn handle(folder: &Folder) -> JobHandle {
    folder.handle(TOKEN)
}

fn counted(jobs: &Path) -> (Job, CallbackToken) {
    let token = token_in(jobs, TOKEN);
    (job(script(COUNTED), &token), token)
}

/// Lets the job end, and checks that it ran exactly once.
async fn ran_once(folder: &Folder) {
    fs::write(folder.path().join("go"), "").unwrap();
    let status = ended(&folder.backend(), &handle(folder)).await;
    assert_eq!(status.exit_code, Some(0), "{status:?}");
    assert_eq!(folder.read("ran"), "ran\n");
}

/// The variable that names the folder for [`the_handle_is_known_from_the_token`] when it plays
/// a starter, and the one that replaces its shim, as JSON.
const PLAY_IN: &str = common::MARK;
const PLAY_SHIM: &str = "STARTER_SHIM";

/// A test of its own, and at the same time the starter that other tests run as a process.
#[tokio::test]
async fn the_handle_is_known_from_the_token() {
    let folder = Folder::new();
    let mut config = folder.config();
    let played = std::env::var_os(PLAY_IN);
    if let Some(path) = &played {
        let path = Path::new(path);
        config = ProcessConfig::new(path.join("jobs"))
            .with_shim([SHIM])
            .with_worker(Vec::<String>::new())
            .with_working_directory(path)
            .with_variable(common::MARK, path);
    }
    if let Ok(shim) = std::env::var(PLAY_SHIM) {
        config = config.with_shim(serde_json::from_str::<Vec<String>>(&shim).unwrap());
    }
    let (job, token) = counted(&config.directory);
    let started = ProcessBackend::new(config)
        .start(&job, &token)
        .await
        .unwrap();
    let expected = JobHandle::new("process", token.start_key().as_str());
    assert_eq!(started, expected);
    if played.is_none() {
        ran_once(&folder).await;
    }
}

/// Runs a starter in a process of its own.
fn starter(folder: &Folder, shim: Option<&[&str]>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_handle_is_known_from_the_token"])
        .env(PLAY_IN, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(shim) = shim {
        command.env(PLAY_SHIM, serde_json::to_string(shim).unwrap());
    }
    command.spawn().unwrap()
}

fn succeeded(child: Child) {
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stdout));
    assert!(String::from_utf8_lossy(&stdout).contains("1 passed"));
}

#[tokio::test]
async fn a_second_start_with_the_same_token_returns_the_first_handle() {
    let folder = Folder::new();
    let (job, token) = counted(&folder.jobs());
    let first = folder.backend().start(&job, &token).await.unwrap();
    let pid = folder.backend().pid(&first);
    assert!(pid.is_some());
    let second = folder.backend().start(&job, &token).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(folder.backend().pid(&second), pid);
    ran_once(&folder).await;
    let third = folder.backend().start(&job, &token).await.unwrap();
    assert_eq!(third, first);
    ran_once(&folder).await;
}

#[tokio::test]
async fn two_tokens_are_two_jobs() {
    let folder = Folder::new();
    let backend = folder.backend();
    let one = common::start(&backend, script("echo one >> one"), "one").await;
    let two = common::start(&backend, script("echo two >> two"), "two").await;
    assert_ne!(one, two);
    ended(&backend, &one).await;
    ended(&backend, &two).await;
    assert_eq!(
        (folder.read("one").as_str(), folder.read("two").as_str()),
        ("one\n", "two\n")
    );
}

#[tokio::test]
async fn of_16_threads_that_start_at_once_all_get_the_handle_of_one_job() {
    let folder = Folder::new();
    let at_once = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (backend, at_once) = (folder.backend(), Arc::clone(&at_once));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let (job, token) = counted(&backend.config().directory);
                at_once.wait();
                runtime.block_on(backend.start(&job, &token)).unwrap()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), handle(&folder));
    }
    ran_once(&folder).await;
}

#[tokio::test]
async fn of_16_processes_that_start_at_once_all_get_the_handle_of_one_job() {
    let folder = Folder::new();
    let starters: Vec<_> = (0..16).map(|_| starter(&folder, None)).collect();
    starters.into_iter().for_each(succeeded);
    ran_once(&folder).await;
}

#[tokio::test]
async fn a_job_outlives_the_process_that_started_it() {
    let folder = Folder::new();
    succeeded(starter(&folder, None));
    assert_eq!(folder.line("ran").await, "ran\n");
    ran_once(&folder).await;
}

#[tokio::test]
async fn a_start_after_one_that_was_killed_before_its_shim_starts_the_job() {
    let folder = Folder::new();
    // What is there when the starter is killed right after it made the directory.
    fs::create_dir_all(folder.job(&handle(&folder))).unwrap();
    let (job, token) = counted(&folder.jobs());
    let started = folder.backend().start(&job, &token).await.unwrap();
    assert_eq!(started, handle(&folder));
    ran_once(&folder).await;
}

#[tokio::test]
async fn a_start_after_one_that_was_killed_with_its_shim_running_finds_or_starts_the_job() {
    // The shim lives on, with or without having heard what to run; or it is killed as well.
    for shim in ["kill -9 $PPID; exec \"$0\" \"$1\"", "kill -9 $PPID; exit 1"] {
        let folder = Folder::new();
        let mut killed = starter(&folder, Some(&["/bin/sh", "-c", shim, SHIM]));
        assert!(!killed.wait().unwrap().success());
        let (job, token) = counted(&folder.jobs());
        let started = folder.backend().start(&job, &token).await.unwrap();
        assert_eq!(started, handle(&folder));
        ran_once(&folder).await;
    }
}

#[tokio::test]
async fn a_start_after_one_that_was_killed_before_it_heard_of_the_job_finds_it() {
    let folder = Folder::new();
    // The shim's answer gets no further than this shell, which kills the starter instead.
    let shim = "answer=$(mktemp -u) && mkfifo $answer && (\"$0\" \"$1\" > $answer &) <&0 && \
                read line < $answer && rm $answer && kill -9 $PPID";
    // A background command's standard input is /dev/null unless it is said otherwise.
    let shim = shim.replace("\"$1\" >", "\"$1\" <&3 >");
    let shim = format!("exec 3<&0; {shim}");
    let mut killed = starter(&folder, Some(&["/bin/sh", "-c", &shim, SHIM]));
    assert!(!killed.wait().unwrap().success());
    assert_eq!(folder.line("ran").await, "ran\n");
    let (job, token) = counted(&folder.jobs());
    let started = folder.backend().start(&job, &token).await.unwrap();
    assert_eq!(started, handle(&folder));
    ran_once(&folder).await;
}

#[tokio::test]
async fn a_start_after_one_that_was_killed_at_any_moment_leaves_one_job() {
    for after in 0..25 {
        let folder = Folder::new();
        let mut killed = starter(&folder, None);
        // Not to wait for something: to kill it at a different moment each time.
        tokio::time::sleep(Duration::from_millis(after)).await;
        kill(killed.id(), Signal::KILL);
        killed.wait().unwrap();
        let (job, token) = counted(&folder.jobs());
        let started = folder.backend().start(&job, &token).await.unwrap();
        assert_eq!(started, handle(&folder));
        ran_once(&folder).await;
    }
}

#[tokio::test]
async fn a_job_whose_shim_was_killed_is_never_started_again() {
    let folder = Folder::new();
    let (job, token) = counted(&folder.jobs());
    let backend = folder.backend();
    backend.start(&job, &token).await.unwrap();
    folder.line("ran").await;
    for record in ["shim", "worker"] {
        let pid = recorded_pid(&folder.job(&handle(&folder)), record);
        kill(pid, Signal::KILL);
        gone(pid).await;
    }
    // As when the shim was killed before it could record the worker.
    for forgotten in [false, true] {
        if forgotten {
            common::rewrite(&folder.job(&handle(&folder)), |name, entry| {
                (name != "worker").then_some(entry)
            });
        }
        assert_eq!(backend.start(&job, &token).await.unwrap(), handle(&folder));
        let status = backend.describe(&handle(&folder)).await.unwrap();
        assert_eq!(status.state, JobState::Ended);
        assert_eq!(status.failure.unwrap().class, FailureClass::Lost);
    }
    assert_eq!(folder.read("ran"), "ran\n");
}

#[tokio::test]
async fn all_concurrent_starts_of_a_job_that_cannot_start_get_the_same_error() {
    let folder = Folder::new();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let backend = folder.backend();
            tokio::spawn(async move {
                let token = token_in(&backend.config().directory, TOKEN);
                let job = job(spec(["/no/such/program"]), &token);
                backend.start(&job, &token).await.unwrap_err()
            })
        })
        .collect();
    for start in starts {
        let error = start.await.unwrap();
        assert_eq!(
            error.kind(),
            BackendErrorKind::NotFound,
            "{}",
            error.full_message()
        );
    }
    assert_eq!(folder.backend().list(&execution()).await.unwrap(), []);
}

#[tokio::test]
async fn the_functions_own_variables_do_not_reach_a_job() {
    let folder = Folder::new();
    let mut starter = Command::new(std::env::current_exe().unwrap());
    let starter = starter
        .args(["--exact", "the_handle_is_known_from_the_token"])
        .env(PLAY_IN, folder.path())
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
        .env("_HANDLER", "h")
        .env("LAMBDA_TASK_ROOT", "/var/task")
        .env("LONGHAUL_BACKEND", "process")
        .env("_X_AMZN_TRACE_ID", "Root=1")
        .env("TRACEPARENT", "of the invocation")
        .env("TRACESTATE", "of=the-invocation")
        .env("CALLBACK_ID", "of another job")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
        .stdout(Stdio::piped());
    succeeded(starter.spawn().unwrap());
    let pid = folder.backend().pid(&handle(&folder)).unwrap();
    // The job has begun to write, so the kernel shows its variables.
    folder.line("ran").await;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let has = |start: &str| {
        environment
            .split('\0')
            .any(|variable| variable.starts_with(start))
    };
    for own in [
        "AWS_LAMBDA_",
        "_HANDLER",
        "LAMBDA_",
        "LONGHAUL_BACKEND",
        "_X_AMZN",
        "TRACEPARENT=of",
        "TRACESTATE",
        "CALLBACK_ID=of",
    ] {
        assert!(!has(own), "{own}");
    }
    for shared in [
        "AWS_REGION=eu-west-1",
        "AWS_ENDPOINT_URL_LAMBDA=http",
        "PATH=",
        "TRACEPARENT=00-",
        "CALLBACK_ID=token",
    ] {
        assert!(has(shared), "{shared}");
    }
    ran_once(&folder).await;
}
