//! The HTTP surface byte by byte: paths, error headers, hosts, bounds, and the calls no SDK here knows yet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_lambda::types::EventType;
use longhaul_emulator::{FunctionConfig, Limits, Service};
use serde_json::{Value, json};
use support::handler::{Call, pending, script, succeeded};
use support::raw::{read, request};
use support::{
    client, config, ended, event, history, invoke, start, suspended_callback, types, until,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[tokio::test]
async fn an_error_is_named_in_the_header_and_described_in_the_body() {
    let state = tempfile::tempdir().unwrap();
    let (service, _client) = start(&state).await;
    let arn =
        encode("arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/a/b");
    let answer = request(
        &service.url(),
        "GET",
        &format!("/2025-12-01/durable-executions/{arn}"),
        &[],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.error()),
        (404, "ResourceNotFoundException")
    );
    let body = answer.json();
    assert_eq!(body["Type"], "User");
    assert!(
        body["Message"]
            .as_str()
            .unwrap()
            .contains("durable-execution/a/b")
    );
    assert_eq!(
        body["message"], body["Message"],
        "some errors of the model spell it this way"
    );
    assert!(answer.header("x-amzn-requestid").is_some());
    service.shutdown().await;
}

#[tokio::test]
async fn requests_that_are_no_operation_are_refused_and_change_nothing() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let (arn, id) = (encode(&arn), encode(&id));
    for (method, path) in [
        ("GET", "/".to_owned()),
        ("GET", format!("/2025-12-01/durable-executions/{arn}/stop")),
        (
            "GET",
            format!("/2025-12-01/durable-execution-callbacks/{id}/succeed"),
        ),
        ("PUT", format!("/2025-12-01/durable-executions/{arn}/stop")),
        ("POST", format!("/2025-12-01/durable-executions/{arn}")),
        (
            "POST",
            format!("/2025-12-01/durable-executions/{arn}/stop/"),
        ),
        (
            "POST",
            format!("/2025-12-01/durable-execution-callbacks/{id}/finish"),
        ),
        ("GET", "/2015-03-31/functions/job/invocations".to_owned()),
        ("POST", "/2015-03-31//functions/job/invocations".to_owned()),
    ] {
        let answer = request(&service.url(), method, &path, &[], b"").await;
        assert_eq!(
            (answer.status, answer.error()),
            (404, "UnknownOperationException"),
            "{method} {path}"
        );
    }
    let answer = request(&service.url(), "GET", "/%ff", &[], b"").await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidParameterValueException")
    );
    let answer = request(
        &service.url(),
        "POST",
        "/2025-12-01/durable-executions/x/stop",
        &[],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidParameterValueException")
    );
    service.shutdown().await;
}

#[tokio::test]
async fn only_requests_meant_for_this_service_are_served() {
    let state = tempfile::tempdir().unwrap();
    let (service, _client) = start(&state).await;
    let url = service.url();
    let path = "/2025-12-01/functions/job/durable-executions";
    let port = url.rsplit(':').next().unwrap();
    assert_eq!(
        request(
            &url,
            "GET",
            path,
            &[("host", &format!("localhost:{port}"))],
            b""
        )
        .await
        .status,
        200
    );
    let rebound = request(
        &url,
        "GET",
        path,
        &[("host", &format!("evil.example:{port}"))],
        b"",
    )
    .await;
    assert_eq!(
        (rebound.status, rebound.error()),
        (403, "AccessDeniedException")
    );
    let invoke = "/2015-03-31/functions/job/invocations?Qualifier=$LATEST";
    let page = request(
        &url,
        "POST",
        invoke,
        &[
            ("origin", "https://evil.example"),
            ("content-type", "text/plain"),
        ],
        b"{}",
    )
    .await;
    assert_eq!((page.status, page.error()), (403, "AccessDeniedException"));
    let list = request(&url, "GET", path, &[], b"").await.json();
    assert_eq!(list["DurableExecutions"], json!([]), "nothing was started");
    service.shutdown().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_slow_clients_are_cut() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.body = 1_000;
    limits.read_timeout = Duration::from_millis(300);
    let service = Service::start(config(&state).limits(limits).function(support::function()))
        .await
        .unwrap();
    let url = service.url();
    let path = "/2015-03-31/functions/job/invocations?Qualifier=$LATEST";
    let answer = request(&url, "POST", path, &[], &vec![b' '; 1_001]).await;
    assert_eq!(
        (answer.status, answer.error()),
        (413, "RequestTooLargeException")
    );

    let address = url.strip_prefix("http://").unwrap().to_owned();
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 10\r\n\r\n{{")
                .as_bytes(),
        )
        .await
        .unwrap();
    let answer = read(&mut stream).await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidRequestContentException"),
        "the body never came"
    );
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "both were cut");
    service.shutdown().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.connections = 1;
    let service = Service::start(config(&state).limits(limits).function(support::function()))
        .await
        .unwrap();
    let url = service.url();
    let idle = TcpStream::connect(url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    // The one place is taken once the idle connection is accepted; a request then waits.
    let waiting = tokio::spawn({
        let url = url.clone();
        async move {
            request(
                &url,
                "GET",
                "/2025-12-01/functions/job/durable-executions",
                &[],
                b"",
            )
            .await
            .status
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    drop(idle);
    assert_eq!(waiting.await.unwrap(), 200);
    service.shutdown().await;
}

/// A service whose function waits for a callback, and hands each of its invocations to the test.
async fn observed(
    state: &tempfile::TempDir,
) -> (Service, aws_sdk_lambda::Client, Arc<Mutex<Vec<Call>>>) {
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let seen = Arc::clone(&calls);
    let (handler, late) = script(move |call| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().unwrap().push(call.clone());
            if call.event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"]
                == "\"quick\""
            {
                return succeeded(&json!(1));
            }
            // Runs until the test has stopped the execution.
            std::future::pending().await
        }
    });
    let service = Service::start(config(state).function(FunctionConfig::handler("job", handler)))
        .await
        .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    (service, client, calls)
}

#[tokio::test]
async fn a_repeated_checkpoint_gets_the_very_same_bytes_and_a_stale_token_the_message_its_sdk_knows()
 {
    let state = tempfile::tempdir().unwrap();
    let (service, client, calls) = observed(&state).await;
    let arn = invoke(&client, json!("slow")).await;
    let call = until("the invocation", || async {
        calls.lock().unwrap().first().cloned()
    })
    .await;
    let path = format!("/2025-12-01/durable-executions/{}/checkpoint", encode(&arn));
    let body = json!({
        "CheckpointToken": call.token().await,
        "ClientToken": "once",
        "Updates": [{"Id": "c", "Type": "CALLBACK", "Action": "START"}],
    });
    let first = request(
        &service.url(),
        "POST",
        &path,
        &[],
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(first.status, 200);
    let second = request(
        &service.url(),
        "POST",
        &path,
        &[],
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(first.body, second.body);
    assert_eq!(
        types(&history(&client, &arn).await),
        ["ExecutionStarted", "CallbackStarted"],
        "done once"
    );

    let stale = json!({"CheckpointToken": call.token().await}).to_string();
    for (agent, message) in [
        (
            "Boto3/1.44.5 md/Botocore#1.44.5",
            "Invalid checkpoint token",
        ),
        ("aws-sdk-rust/1.4.1 os/linux", "Invalid Checkpoint Token"),
        ("aws-sdk-js/3.1000.0", "Invalid Checkpoint Token"),
    ] {
        let answer = request(
            &service.url(),
            "POST",
            &path,
            &[("user-agent", agent)],
            stale.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.error()),
            (400, "InvalidParameterValueException")
        );
        assert_eq!(answer.json()["message"], message);
    }
    let state_path = format!(
        "/2025-12-01/durable-executions/{}/state?CheckpointToken={}",
        encode(&arn),
        encode(&call.token().await)
    );
    assert_eq!(
        request(&service.url(), "GET", &state_path, &[], b"")
            .await
            .status,
        400,
        "the state needs the newest token too"
    );
    for bad in [
        "",
        "{}",
        "[]",
        "{\"CheckpointToken\":\"!\"}",
        "{\"CheckpointToken\":\"YQ==\",\"Updates\":[{\"Id\":\"a\",\"Type\":\"NEW\",\"Action\":\"START\"}]}",
    ] {
        let answer = request(&service.url(), "POST", &path, &[], bad.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.error()),
            (400, "InvalidParameterValueException"),
            "{bad}"
        );
    }
    service.shutdown().await;
}

#[tokio::test]
async fn details_lists_and_histories_have_every_member_of_the_model() {
    let state = tempfile::tempdir().unwrap();
    let (service, client, _calls) = observed(&state).await;
    let arn = invoke(&client, json!("quick")).await;
    ended(&client, &arn).await;
    let open = invoke(&client, json!("slow")).await;
    let get = |arn: &str, query: &str| {
        let (url, path) = (
            service.url(),
            format!("/2025-12-01/durable-executions/{}{query}", encode(arn)),
        );
        async move { request(&url, "GET", &path, &[], b"").await.json() }
    };
    let details = get(&arn, "").await;
    let start = details["StartTimestamp"].as_f64().unwrap();
    let members: Vec<&str> = details
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "DurableConfig",
            "DurableExecutionArn",
            "DurableExecutionName",
            "EndTimestamp",
            "ExecutionDataIncluded",
            "FunctionArn",
            "InputPayload",
            "Result",
            "StartTimestamp",
            "Status",
            "TraceHeader",
            "Version",
        ]
    );
    assert_eq!(
        details["FunctionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST"
    );
    assert_eq!(
        (&details["InputPayload"], &details["Result"]),
        (&json!("\"quick\""), &json!("1"))
    );
    assert_eq!(
        details["DurableConfig"],
        json!({"RetentionPeriodInDays": 7, "ExecutionTimeout": 86_400})
    );
    assert!(
        details["TraceHeader"]["XAmznTraceId"]
            .as_str()
            .unwrap()
            .starts_with("Root=1-")
    );
    assert!(start > 1.7e9 && start < 1e11, "seconds: {start}");
    let bare = get(&arn, "?IncludeExecutionData=false").await;
    assert_eq!(bare["ExecutionDataIncluded"], false);
    assert!(bare.get("InputPayload").is_none() && bare.get("Result").is_none());
    let running = get(&open, "").await;
    assert_eq!(
        running["ExpectedExecutionTimeoutTimestamp"]
            .as_f64()
            .unwrap()
            - running["StartTimestamp"].as_f64().unwrap(),
        86_400.0
    );

    let events = get(&arn, "/history").await;
    assert_eq!(
        events["Events"][0]["ExecutionStartedDetails"],
        json!({"Input": {"Payload": "\"quick\"", "Truncated": false}, "ExecutionTimeout": 86_400})
    );
    let completed = &events["Events"][1]["InvocationCompletedDetails"];
    assert!(
        completed["RequestId"].is_string()
            && completed["EndTimestamp"].as_f64() >= completed["StartTimestamp"].as_f64()
    );
    let bare = get(&arn, "/history?IncludeExecutionData=false").await;
    assert_eq!(
        bare["Events"][0]["ExecutionStartedDetails"]["Input"],
        json!({"Truncated": false})
    );
    assert_eq!(
        bare["Events"][2]["ExecutionSucceededDetails"]["Result"],
        json!({"Truncated": false})
    );
    service.shutdown().await;
}

#[tokio::test]
async fn lists_and_histories_are_filtered_ordered_and_paged() {
    let state = tempfile::tempdir().unwrap();
    let (service, client, _calls) = observed(&state).await;
    let mut arns = Vec::new();
    for _ in 0..5 {
        let arn = invoke(&client, json!("quick")).await;
        ended(&client, &arn).await;
        arns.push(arn);
    }
    arns.push(invoke(&client, json!("slow")).await);
    let list = |query: String| {
        let (url, path) = (
            service.url(),
            format!("/2025-12-01/functions/job/durable-executions?{query}"),
        );
        async move { request(&url, "GET", &path, &[], b"").await.json() }
    };
    let names = |page: &Value| -> Vec<String> {
        let executions = page["DurableExecutions"].as_array().unwrap();
        executions
            .iter()
            .map(|execution| {
                execution["DurableExecutionArn"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let newest_first: Vec<String> = arns.iter().rev().cloned().collect();
    assert_eq!(names(&list(String::new()).await), newest_first);
    assert_eq!(names(&list("ReverseOrder=true".into()).await), arns);
    for order in ["true", "false"] {
        let (mut seen, mut marker) = (Vec::new(), String::new());
        loop {
            let page = list(format!("MaxItems=4&ReverseOrder={order}&Marker={marker}")).await;
            seen.extend(names(&page));
            match page["NextMarker"].as_str() {
                Some(next) => marker = encode(next),
                None => break,
            }
        }
        assert_eq!(
            seen,
            if order == "true" {
                arns.clone()
            } else {
                newest_first.clone()
            }
        );
    }
    assert_eq!(
        names(&list("Statuses=RUNNING&Statuses=FAILED".into()).await),
        arns[5..]
    );
    assert_eq!(names(&list("Statuses=SUCCEEDED".into()).await).len(), 5);
    let name = arns[2].rsplit('/').nth(1).unwrap();
    assert_eq!(
        names(&list(format!("DurableExecutionName={name}")).await),
        arns[2..3]
    );
    assert_eq!(names(&list("Qualifier=$LATEST".into()).await).len(), 6);
    assert!(names(&list("Qualifier=7".into()).await).is_empty());
    let third = list(format!("DurableExecutionName={name}")).await["DurableExecutions"][0]["StartTimestamp"].as_f64().unwrap();
    assert_eq!(names(&list(format!("StartedAfter={third}")).await).len(), 3);
    assert_eq!(
        names(&list(format!("StartedBefore={third}")).await).len(),
        2
    );
    assert_eq!(
        names(
            &list(
                "StartedAfter=2020-01-01T00%3A00%3A00Z&StartedBefore=2021-01-01T00:00:00+00:00"
                    .into()
            )
            .await
        )
        .len(),
        0
    );
    for bad in [
        "Statuses=DONE",
        "MaxItems=1001",
        "MaxItems=x",
        "Marker=x",
        "StartedAfter=yesterday",
        "ReverseOrder=yes",
    ] {
        let answer = request(
            &service.url(),
            "GET",
            &format!("/2025-12-01/functions/job/durable-executions?{bad}"),
            &[],
            b"",
        )
        .await;
        assert_eq!(
            (answer.status, answer.error()),
            (400, "InvalidParameterValueException"),
            "{bad}"
        );
    }

    let path = format!(
        "/2025-12-01/durable-executions/{}/history",
        encode(&arns[0])
    );
    let (mut ids, mut marker) = (Vec::new(), String::new());
    loop {
        let page = request(
            &service.url(),
            "GET",
            &format!("{path}?MaxItems=2&ReverseOrder=true&Marker={marker}"),
            &[],
            b"",
        )
        .await
        .json();
        ids.extend(
            page["Events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["EventId"].as_u64().unwrap()),
        );
        match page["NextMarker"].as_str() {
            Some(next) => marker = encode(next),
            None => break,
        }
    }
    assert_eq!(ids, [3, 2, 1]);
    service.shutdown().await;
}

#[tokio::test]
async fn an_execution_can_be_paused_resumed_and_when_it_has_ended_deleted() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let path = |what: &str| format!("/2025-12-01/durable-executions/{}{what}", encode(&arn));
    let post = |what: &str, body: Value| {
        let (url, path) = (service.url(), path(what));
        async move { request(&url, "POST", &path, &[], body.to_string().as_bytes()).await }
    };
    assert_eq!(
        post("/resume", json!({})).await.status,
        409,
        "it is not paused"
    );
    let body = json!({"ClientToken": "t", "Reason": "lunch"});
    assert_eq!(post("/pause", body.clone()).await.status, 202);
    assert_eq!(
        post("/pause", body).await.status,
        202,
        "the same request again"
    );
    assert_eq!(
        post("/pause", json!({"ClientToken": "u"})).await.error(),
        "ResourceConflictException"
    );
    let details = request(&service.url(), "GET", &path(""), &[], b"")
        .await
        .json();
    assert_eq!(details["Status"], "PAUSED");
    assert_eq!(
        (
            &details["PauseDetails"]["Reason"],
            &details["PauseDetails"]["ExecutionTimeoutPaused"]
        ),
        (&json!("lunch"), &json!(true))
    );

    client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .result(aws_sdk_lambda::primitives::Blob::new("7"))
        .send()
        .await
        .unwrap();
    event(&client, &arn, EventType::CallbackSucceeded).await;
    let running = request(&service.url(), "DELETE", &path(""), &[], b"").await;
    assert_eq!(
        (running.status, running.error()),
        (409, "ResourceConflictException")
    );
    assert_eq!(post("/resume", json!({"Reason": "back"})).await.status, 202);
    assert_eq!(ended(&client, &arn).await.1, json!(7));
    let events = request(&service.url(), "GET", &path("/history"), &[], b"")
        .await
        .json();
    let kinds: Vec<&str> = events["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["EventType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[3..],
        [
            "ExecutionPaused",
            "CallbackSucceeded",
            "ExecutionResumed",
            "InvocationCompleted",
            "ExecutionSucceeded"
        ]
    );
    assert_eq!(
        events["Events"][3]["ExecutionPausedDetails"]["Reason"]["Payload"],
        "lunch"
    );
    assert_eq!(post("/pause", json!({})).await.status, 409, "it has ended");

    assert_eq!(
        request(&service.url(), "DELETE", &path(""), &[], b"")
            .await
            .status,
        202
    );
    assert_eq!(
        request(&service.url(), "GET", &path(""), &[], b"")
            .await
            .status,
        404
    );
    assert_eq!(
        request(&service.url(), "GET", &path("/history"), &[], b"")
            .await
            .status,
        404
    );
    let late = client
        .send_durable_execution_callback_heartbeat()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(late.into_service_error().is_resource_not_found_exception());
    service.shutdown().await;
}

#[tokio::test]
async fn a_running_handler_is_paused_at_its_next_checkpoint() {
    let state = tempfile::tempdir().unwrap();
    let (handler, late) = script(|call| async move {
        let start = aws_sdk_lambda::types::OperationUpdate::builder()
            .id("s")
            .r#type(aws_sdk_lambda::types::OperationType::Step)
            .action(aws_sdk_lambda::types::OperationAction::Succeed)
            .build()
            .unwrap();
        if call.status("s") == "SUCCEEDED" {
            return succeeded(&json!("done"));
        }
        // Until the test has asked for the pause.
        until("the pause", || async {
            let output = call
                .client
                .get_durable_execution_history()
                .durable_execution_arn(call.arn())
                .send()
                .await
                .unwrap();
            let details = call
                .client
                .get_durable_execution()
                .durable_execution_arn(call.arn())
                .send()
                .await
                .unwrap();
            assert_eq!(output.events().len(), 1);
            (details.status().as_str() == "PAUSING").then_some(())
        })
        .await;
        let output = call.checkpoint(vec![start]).await;
        assert_eq!(
            output.checkpoint_token(),
            None,
            "no further checkpoint for this invocation"
        );
        assert!(support::handler::operations(&output).is_empty());
        pending()
    });
    let service = Service::start(config(&state).function(FunctionConfig::handler("job", handler)))
        .await
        .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    let mut news = service.subscribe();
    let arn = invoke(&client, json!({})).await;
    while !matches!(
        news.recv().await.unwrap(),
        longhaul_emulator::ServiceEvent::InvocationStarted { .. }
    ) {}
    let path = |what: &str| format!("/2025-12-01/durable-executions/{}/{what}", encode(&arn));
    assert_eq!(
        request(&service.url(), "POST", &path("pause"), &[], b"")
            .await
            .status,
        202
    );
    event(&client, &arn, EventType::InvocationCompleted).await;
    assert_eq!(
        request(&service.url(), "POST", &path("resume"), &[], b"")
            .await
            .status,
        202
    );
    assert_eq!(ended(&client, &arn).await.1, json!("done"));
    service.shutdown().await;
}
