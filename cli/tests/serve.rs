//! `longhaul serve` with real functions, jobs and signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod serving;
mod support;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use serving::{Serve, longhaul, wait_line, wait_status, wait_suspended};
use support::{World, is_alive, wait_gone, wait_until};

#[test]
fn it_runs_jobs_and_shows_them_with_their_output() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    serve.job(
        "greet",
        "echo 'frame <7> done'; echo careful >&2; printf '{\"frames\":7}' > $LONGHAUL_RESULT_FILE",
    );
    let shown = wait_status(&world, "greet", "SUCCEEDED");
    assert_eq!(shown["result"], json!({"frames": 7}));
    assert!(serve.page("/").contains("/executions/longhaul/greet"));
    let page = serve.page("/executions/longhaul/greet");
    for part in [
        "frame &#60;7&#62; done",
        "careful",
        "greet, standard output (ended)",
        "callback greet",
        "&#34;frames&#34;: 7",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_signal_ends_it_in_order_and_the_next_one_goes_on_where_it_stopped() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let url = serve.url.clone();
    let (pid, go) = (world.path().join("pid"), world.path().join("go"));
    let script = format!(
        "echo $$ > '{}'; while [ ! -e '{}' ]; do sleep 0.05; done; printf 1 > $LONGHAUL_RESULT_FILE",
        pid.display(),
        go.display()
    );
    serve.job("lasting", &script);
    let job: u32 = wait_line(&pid).parse().unwrap();
    wait_suspended(&world, "lasting");
    let (code, stdout, stderr) = serve.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains(&format!("export AWS_ENDPOINT_URL_LAMBDA={url} ")),
        "{stdout}"
    );
    assert!(stderr.contains("jobs that run keep running"), "{stderr}");
    assert!(!world.state().join("service.json").exists());
    assert!(is_alive(job));
    let nobody = longhaul(&world, &["ps"]);
    assert_eq!(nobody.code, Some(2), "{nobody:#?}");
    assert!(nobody.stderr.contains("start one with `longhaul serve`"));

    let serve = Serve::start(&world, &[]);
    assert_eq!(serve.url, url, "the worker knows no other address");
    std::fs::write(&go, "").unwrap();
    assert_eq!(wait_status(&world, "lasting", "SUCCEEDED")["result"], 1);
    assert_eq!(serve.end("INT").0, Some(0));
}

#[test]
fn the_folder_has_one_service_and_the_second_is_told_where_the_first_is() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let second = longhaul(&world, &["serve"]);
    assert_eq!(second.code, Some(2));
    assert_eq!(second.stdout, "");
    for part in [serve.url.as_str(), &format!("kill {}", serve.pid())] {
        assert!(second.stderr.contains(part), "{part}: {}", second.stderr);
    }
    let file = world.state().join("service.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others could learn where it is");
    // What a killed service leaves is not believed.
    serve.end("KILL");
    assert!(file.exists());
    assert_eq!(longhaul(&world, &["ps"]).code, Some(2));
}

#[test]
fn stopping_an_execution_by_the_api_or_the_page_stops_its_job() {
    let world = World::new();
    let serve = Serve::start(&world, &[]);
    let pid = world.path().join("pid");
    serve.job(
        "endless",
        &format!("echo $$ > '{}'; sleep 600", pid.display()),
    );
    let job: u32 = wait_line(&pid).parse().unwrap();
    wait_suspended(&world, "endless");
    let page = serve.page("/executions/longhaul/endless");
    let start = page.find("name=\"token\" value=\"").unwrap() + 20;
    let token = page[start..].split('"').next().unwrap();
    let headers =
        "sec-fetch-site: same-origin\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    let (status, body) = serve.request(
        "POST",
        "/executions/longhaul/endless/stop",
        headers,
        &format!("token={token}"),
    );
    assert_eq!(status, 303, "{body}");
    wait_gone(job);
    assert_eq!(
        wait_status(&world, "endless", "STOPPED")["result"],
        json!(null)
    );
}

#[test]
fn other_functions_run_beside_each_other_in_any_lifetime() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_longhaul");
    for (lifetime, flag) in [
        ("reuse", &[][..]),
        ("fresh", &["--fresh"]),
        ("freeze", &["--freeze"]),
    ] {
        let functions = ["one", "two"].map(|name| format!("{name}={program},lambda"));
        let words = ["--function", &functions[0], "--function", &functions[1]];
        let serve = Serve::start(&world, &[flag, &words].concat());
        for function in ["one", "two"] {
            let name = format!("{function}-{lifetime}");
            let job =
                json!({"name": "n", "command": ["sh", "-c", "printf 3 > $LONGHAUL_RESULT_FILE"]});
            serve.invoke(function, &name, &job);
            let shown = wait_status(&world, &name, "SUCCEEDED");
            assert_eq!(
                (&shown["function"], &shown["result"]),
                (&json!(function), &json!(3))
            );
        }
        assert!(serve.page("/").contains("<option>two</option>"));
        serve.end("TERM");
    }
}

#[test]
fn what_cannot_be_served_is_said_and_exits_with_2() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (words, part) in [
        (["--function", "orders"], "NAME=PATH"),
        (["--function", "orders=/nowhere/orders"], "/nowhere/orders"),
        (["--function", "bad name=/bin/sh"], "bad name"),
        (["--port", &port], "is another program using that port"),
        (["--fresh", "--freeze"], "cannot be used with"),
        (["--function-timeout", "0s"], "the timeout"),
        (["--execution-timeout", "0s"], "1 to 31622400 seconds"),
        (["--execution-timeout", "1500ms"], "whole seconds"),
        (["--execution-timeout", "soon"], "write it as 90s"),
    ] {
        let said = longhaul(&world, &[&["serve"][..], &words].concat());
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

#[test]
fn the_function_of_a_job_is_not_there_between_its_invocations() {
    let world = World::new();
    let serve = Serve::start(&world, &["--fresh"]);
    let go = world.path().join("go");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
    serve.job("waiting", &script);
    wait_suspended(&world, "waiting");
    let children = || {
        let children = format!("/proc/{0}/task/{0}/children", serve.pid());
        std::fs::read_to_string(children).unwrap()
    };
    wait_until("no function process is left", || {
        children().trim().is_empty()
    });
    std::fs::write(&go, "").unwrap();
    wait_status(&world, "waiting", "SUCCEEDED");
}
