//! Details, lists and histories: their members, filters, orders and pages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use serde_json::{Value, json};
use support::handler::observed;
use support::raw::{encode, request};
use support::{ended, invoke};

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
    let never =
        "Statuses=DELETING&Statuses=PAUSED&Statuses=PAUSING&Statuses=TIMED_OUT&Statuses=STOPPED";
    assert!(names(&list(never.into()).await).is_empty());
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
        "DurableExecutionName=a%20b",
        "Qualifier=a%20b",
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
