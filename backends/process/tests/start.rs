//! Starting: the job gets exactly what it was given, and what cannot start is refused at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use common::{Folder, ended, job, script, spec, start};
use longhaul_core::{BackendErrorKind, ComputeBackend, FailureClass, JobState, JobStatus, Retry};
use longhaul_process::{ProcessBackend, ProcessConfig};

const AWKWARD: [&str; 8] = [
    "",
    " ",
    "two\nlines\n",
    "it's \"quoted\" `here` $HOME \\",
    "😀 ünïcödé \u{202e}",
    "-n",
    "*",
    "\t\u{1}\u{7f}",
];

#[tokio::test]
async fn arguments_and_variables_arrive_unchanged() {
    let folder = Folder::new();
    let backend = folder.backend();
    let mut spec = spec([
        "sh",
        "-c",
        "printf '%s\\0' \"$@\" > argv; env -0 > env",
        "sh",
    ]);
    spec.command
        .as_mut()
        .unwrap()
        .extend(AWKWARD.map(String::from));
    for (at, value) in AWKWARD.into_iter().enumerate() {
        spec.environment
            .insert(format!("AWKWARD_{at}"), value.into());
    }
    spec.input = serde_json::json!({"message": AWKWARD[3], "list": AWKWARD});
    let input = spec.input.to_string();
    let handle = start(&backend, spec, "t").await;
    assert_eq!(ended(&backend, &handle).await.exit_code, Some(0));

    let strings = |name: &str| -> Vec<String> {
        let text = folder.read(name);
        text.strip_suffix('\0')
            .unwrap()
            .split('\0')
            .map(String::from)
            .collect()
    };
    assert_eq!(strings("argv"), AWKWARD);
    let environment = strings("env");
    for (at, value) in AWKWARD.into_iter().enumerate() {
        assert!(
            environment.contains(&format!("AWKWARD_{at}={value}")),
            "{at}"
        );
    }
    for (name, value) in [
        ("CALLBACK_ID", folder.token("t").expose()),
        ("LONGHAUL_INPUT", input.as_str()),
        ("LONGHAUL_JOB_NAME", "test"),
        ("LONGHAUL_START_KEY", handle.id()),
        ("LONGHAUL_ATTEMPT", "1"),
        // Of the 5 s that the shim gives it.
        ("LONGHAUL_GRACE_SECONDS", "4"),
        ("MESSAGE", AWKWARD[3]),
    ] {
        assert!(environment.contains(&format!("{name}={value}")), "{name}");
    }
}

#[tokio::test]
async fn a_nul_is_refused_before_anything_is_started() {
    let folder = Folder::new();
    let backend = folder.backend();
    let error = refused(&backend, spec(["echo", "a\0b"])).await;
    assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
    assert!(!folder.jobs().exists());
}

#[tokio::test]
async fn the_worker_gets_the_jobs_command_appended_to_its_own() {
    let folder = Folder::new();
    let config = folder
        .config()
        .with_worker(["sh", "-c", "printf '%s ' \"$@\" > argv", "worker"]);
    let backend = ProcessBackend::new(config);
    let handle = start(&backend, spec(["render", "--quality", "high"]), "t").await;
    ended(&backend, &handle).await;
    assert_eq!(folder.read("argv"), "render --quality high ");
}

#[tokio::test]
async fn a_job_runs_where_it_says_or_where_the_backend_says() {
    let folder = Folder::new();
    let backend = folder.backend();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    for (own, expected) in [
        (None, folder.path().to_owned()),
        (Some("below".to_owned()), below.clone()),
        (Some("/".to_owned()), "/".into()),
    ] {
        let mut spec = script("pwd -P > \"$TEST_FOLDER\"/where");
        spec.working_directory.clone_from(&own);
        let handle = start(&backend, spec, &format!("{own:?}").replace(' ', "")).await;
        ended(&backend, &handle).await;
        let expected = expected.canonicalize().unwrap();
        assert_eq!(folder.read("where"), format!("{}\n", expected.display()));
    }
}

#[tokio::test]
async fn standard_input_is_empty_and_output_goes_to_the_logs() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, script("cat; echo out; echo err >&2"), "t").await;
    ended(&backend, &handle).await;
    let logs = backend.logs(&handle).unwrap();
    assert_eq!(fs::read_to_string(logs.stdout).unwrap(), "out\n");
    assert_eq!(fs::read_to_string(logs.stderr).unwrap(), "err\n");
}

#[tokio::test]
async fn the_programs_path_is_looked_up_as_the_job_sets_it() {
    let folder = Folder::new();
    let backend = folder.backend();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    executable(&bin.join("only-here"), "#!/bin/sh\necho found > found\n");
    let mut spec = spec(["only-here"]);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    spec.environment.insert("PATH".into(), path);
    let handle = start(&backend, spec, "t").await;
    assert_eq!(ended(&backend, &handle).await.exit_code, Some(0));
    assert_eq!(folder.read("found"), "found\n");
}

fn executable(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn refused(
    backend: &ProcessBackend,
    spec: longhaul_core::JobSpec,
) -> longhaul_core::BackendError {
    let token = common::token_in(&backend.config().directory, "t");
    backend.start(&job(spec, &token), &token).await.unwrap_err()
}

#[tokio::test]
async fn a_missing_program_is_not_found_each_time_and_the_job_failed_to_start() {
    let folder = Folder::new();
    let backend = folder.backend();
    let first = refused(&backend, spec(["/no/such/program"])).await;
    assert_eq!(first.kind(), BackendErrorKind::NotFound);
    assert_eq!(first.retry(), Retry::Never);
    assert!(first.to_string().contains("/no/such/program"), "{first}");
    assert!(
        first.full_message().contains("No such file"),
        "{}",
        first.full_message()
    );
    // Even where it is there by now: the first answer stands, as with ECS.
    let second = refused(&backend, spec(["true"])).await;
    assert_eq!(second.to_string(), first.to_string());

    let handle = folder.handle("t");
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.failure.unwrap().class, FailureClass::FailedToStart);
    assert_eq!(backend.list(&common::execution()).await.unwrap(), []);
}

#[tokio::test]
async fn what_can_never_start_is_refused_with_its_reason() {
    let folder = Folder::new();
    let backend = folder.backend();
    let no_program = folder.path().join("no-program");
    executable(&no_program, "touch ran\n");
    let not_executable = folder.path().join("not-executable");
    fs::write(&not_executable, "#!/bin/sh\n").unwrap();
    let no_interpreter = folder.path().join("no-interpreter");
    executable(&no_interpreter, "#!/no/such/interpreter\n");
    let [no_program, not_executable, no_interpreter] =
        [&no_program, &not_executable, &no_interpreter].map(|path| path.to_str().unwrap());
    // Found on a PATH of its own, which must not bring in the `execvp` that knows /bin/sh.
    let mut own_path = spec(["no-program"]);
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    own_path.environment.insert("PATH".into(), path);
    let mut no_folder = spec(["true"]);
    no_folder.working_directory = Some("/no/such/folder".into());
    let mut no_command = spec(["true"]);
    no_command.command = None;
    for (at, (spec, kind, part)) in [
        (
            spec([no_program]),
            BackendErrorKind::InvalidSpec,
            "#!/bin/sh",
        ),
        (own_path, BackendErrorKind::InvalidSpec, "#!/bin/sh"),
        (
            spec([not_executable]),
            BackendErrorKind::Denied,
            "executable",
        ),
        (
            spec([no_interpreter]),
            BackendErrorKind::NotFound,
            "interpreter",
        ),
        (no_folder, BackendErrorKind::NotFound, "/no/such/folder"),
        (no_command, BackendErrorKind::InvalidSpec, "no command"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = folder.token(&format!("t{at}"));
        let error = backend.start(&job(spec, &token), &token).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.full_message());
        assert!(error.to_string().contains(part), "{error}");
    }
    // It was not handed to a shell either.
    assert!(!folder.path().join("ran").exists());
}

#[tokio::test]
async fn a_token_that_is_not_the_jobs_is_refused() {
    let folder = Folder::new();
    let job = job(spec(["true"]), &folder.token("mine"));
    let error = folder
        .backend()
        .start(&job, &folder.token("yours"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
    assert!(!error.full_message().contains("yours"));
}

#[tokio::test]
async fn what_no_process_can_be_given_is_too_large() {
    let folder = Folder::new();
    let backend = folder.backend();
    let long = "x".repeat(128 * 1024);
    let mut input = spec(["true"]);
    input.input = serde_json::json!(["x".repeat(128 * 1024)]);
    let mut many = spec(["true"]);
    for at in 0..100 {
        many.environment
            .insert(format!("V{at}"), "x".repeat(100_000));
    }
    for (at, (spec, part)) in [
        (spec(["echo", &long]), "word 1"),
        (input, "LONGHAUL_INPUT is longer"),
        (many, "by reference"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = folder.token(&format!("t{at}"));
        let error = backend.start(&job(spec, &token), &token).await.unwrap_err();
        assert_eq!(
            error.kind(),
            BackendErrorKind::TooLarge,
            "{}",
            error.full_message()
        );
        assert!(error.to_string().contains(part), "{error}");
        assert!(
            error.full_message().len() < 500,
            "{}",
            error.full_message().len()
        );
    }
}

#[tokio::test]
async fn the_largest_variable_that_a_process_can_be_given_arrives() {
    let folder = Folder::new();
    let backend = folder.backend();
    let mut spec = script("printf %s \"$BIG\" > big");
    // 128 KiB, less `BIG=` and the final NUL.
    let value = "x".repeat(128 * 1024 - 5);
    spec.environment.insert("BIG".into(), value.clone());
    let handle = start(&backend, spec, "t").await;
    ended(&backend, &handle).await;
    assert!(folder.read("big") == value);
}

#[tokio::test]
async fn a_shim_that_is_not_there_is_not_found() {
    let folder = Folder::new();
    let backend = ProcessBackend::new(folder.config().with_shim(["/no/such/shim"]));
    let error = refused(&backend, spec(["true"])).await;
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    let text = error.full_message();
    assert!(
        text.contains("/no/such/shim") && text.contains(ProcessConfig::SHIM),
        "{text}"
    );
    // Nothing was decided: with a shim it starts.
    start(&folder.backend(), spec(["true"]), "t").await;
}

#[tokio::test]
async fn a_shim_that_does_nothing_is_an_error_that_quotes_it_and_may_be_tried_again() {
    let folder = Folder::new();
    for script in [
        "echo 'bad luck' >&2; exit 5",
        "echo nonsense; echo 'bad luck' >&2; exit 5",
    ] {
        let backend = ProcessBackend::new(folder.config().with_shim(["sh", "-c", script]));
        let error = refused(&backend, spec(["true"])).await;
        assert_eq!(error.retry(), Retry::Backoff);
        let text = error.to_string();
        assert!(
            text.contains("exit status: 5") && text.contains("bad luck"),
            "{text}"
        );
    }
    start(&folder.backend(), spec(["true"]), "t").await;
}

#[tokio::test]
async fn a_start_that_fails_for_now_gives_the_job_back() {
    let folder = Folder::new();
    let backend = folder.backend();
    let program = folder.path().join("busy");
    // A program that is open for writing cannot be run: ETXTBSY.
    let mut writing = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o755)
        .open(&program)
        .unwrap();
    writing.write_all(b"#!/bin/sh\nexit 4\n").unwrap();
    let error = refused(&backend, spec([program.to_str().unwrap()])).await;
    assert_eq!(
        error.kind(),
        BackendErrorKind::Unavailable,
        "{}",
        error.full_message()
    );
    assert_eq!(error.retry(), Retry::Backoff);
    let handle = folder.handle("t");
    assert_ne!(
        backend.describe(&handle).await.unwrap(),
        JobStatus::unknown()
    );
    drop(writing);
    // A child that another test is just starting may have the file open for a moment more.
    let token = folder.token("t");
    let job = job(spec([program.to_str().unwrap()]), &token);
    while let Err(error) = backend.start(&job, &token).await {
        assert_eq!(error.retry(), Retry::Backoff, "{}", error.full_message());
    }
    assert_eq!(ended(&backend, &handle).await.exit_code, Some(4));
}

#[tokio::test]
async fn a_folder_that_everybody_can_write_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.jobs()).unwrap();
    fs::set_permissions(folder.jobs(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = refused(&folder.backend(), spec(["true"])).await;
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    assert!(error.full_message().contains(ProcessConfig::DIRECTORY));
}
