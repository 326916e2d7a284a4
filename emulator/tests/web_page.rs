//! The web page over HTTP: what it shows, what it escapes, what it never shows, and what a browser may do with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod page;
mod support;

use aws_sdk_lambda::types::EventType;
use page::World;
use serde_json::json;
use support::raw::encode;
use support::{ended, event};

const HOSTILE: &str = "</title></pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_what_is_not_its_own() {
    let world = World::start().await;
    world.waiting("one", &json!({})).await;
    for path in [
        "/",
        "/executions/job/one",
        "/executions/job/one/events/1",
        "/executions/job/nobody",
        "/assets/page.js",
        "/assets/nothing",
        "/?status=nonsense",
    ] {
        let answer = world.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        for forbidden in ["unsafe", "http:", "https:", "data:", "*"] {
            assert!(!policy.contains(forbidden), "{path}: {policy}");
        }
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_ne!(answer.status, 500, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_needs_no_file_from_another_host_and_nothing_inline() {
    let world = World::start().await;
    world.waiting("one", &json!({})).await;
    for path in ["/", "/executions/job/one", "/executions/job/nobody"] {
        let html = String::from_utf8(world.get(path).await.body).unwrap();
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for value in html.split(attribute).skip(1) {
                assert!(
                    value.starts_with('/') && !value.starts_with("//") || value.starts_with('#'),
                    "{path}: {attribute}{}",
                    &value[..40.min(value.len())]
                );
            }
        }
        assert!(
            !html.contains(" style=") && !html.contains("<style"),
            "{path}"
        );
        assert!(!html.contains(" onclick=") && !html.contains("javascript:"));
    }
    for asset in ["page.css", "page.js", "icon.svg"] {
        let text = world.page(&format!("/assets/{asset}")).await;
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("://"), "{asset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_payloads_errors_and_logs_are_only_ever_text() {
    let world = World::start().await;
    *world.log.lock().unwrap() = Some((HOSTILE.to_owned(), HOSTILE.to_owned()));
    let input = json!({
        "note": HOSTILE, "callback": HOSTILE, "step": HOSTILE, "payload": json!(HOSTILE).to_string(),
    });
    world.waiting("one", &input).await;
    let path = "/executions/job/one";
    let waiting = world.page(path).await;
    let token = world.token(path).await;
    let fail = format!("{path}/callbacks/callback-1/fail");
    let fields = [("type", HOSTILE), ("message", HOSTILE)];
    assert_eq!(world.send(&fail, &token, &fields).await.status, 200);
    let arn = world.invoke("job", "one", &input).await;
    ended(&world.client, &arn).await;
    let failed = world.page(path).await;
    let filter = format!("/?name={0}&function={0}", encode(HOSTILE));
    for html in [&waiting, &failed, &world.page(&filter).await] {
        assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
        assert!(
            !html.contains("<script>") && !html.contains("<img"),
            "{html}"
        );
        assert!(!html.contains("</title></pre>"), "{html}");
    }
    assert!(failed.matches("&#60;img src=x").count() >= 6);
    let event = world.get(&format!("{path}/events/1")).await;
    assert_eq!(event.header("content-type"), Some("application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_callback_is_on_no_page_wherever_a_function_put_it() {
    let world = World::start().await;
    let leak = r#"{"id":"ID","url":"/durable-execution-callbacks/ENCODED/succeed","text":"CALLBACK_ID=ID\n"}"#;
    let id = world.waiting("leaky", &json!({"payload": leak})).await;
    *world.log.lock().unwrap() = Some((format!("log of {id}"), format!("CALLBACK_ID={id}")));
    // Its id travels into another execution, as input and as its result.
    let other = json!({"end": true, "result": {"was": id.replace('/', "\\/")}, "id": id});
    let arn = world.invoke("other", "told", &other).await;
    ended(&world.client, &arn).await;
    let leaky = "/executions/job/leaky";
    let mut pages = vec![
        "/".to_owned(),
        leaky.to_owned(),
        "/executions/other/told".to_owned(),
    ];
    for path in [leaky, "/executions/other/told"] {
        for event in 1..=6 {
            pages.push(format!("{path}/events/{event}"));
        }
    }
    let mut redacted = 0;
    for path in pages {
        let answer = world.get(&path).await;
        let text = String::from_utf8(answer.body).unwrap();
        let plain = text.replace('\\', "");
        for spelling in [id.clone(), encode(&id), id.trim_end_matches('=').to_owned()] {
            assert!(!plain.contains(&spelling), "{path} shows the id: {text}");
        }
        redacted += text.matches("[callback id]").count();
    }
    assert!(
        redacted >= 8,
        "the leaks were on no page at all: {redacted}"
    );
    // It works all the same.
    let token = world.token(leaky).await;
    let succeed = format!("{leaky}/callbacks/callback-1/succeed");
    let sent = world.send(&succeed, &token, &[("result", "7")]).await;
    assert_eq!(sent.status, 200);
    assert!(!String::from_utf8(sent.body).unwrap().contains(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_execution_tells_where_it_stands_and_what_it_waits_for() {
    let world = World::start().await;
    world
        .waiting("one", &json!({"payload": "{\"frame\":7}"}))
        .await;
    *world.log.lock().unwrap() = Some(("render's output".to_owned(), "frame 7 done".to_owned()));
    let html = world.page("/executions/job/one").await;
    for part in [
        "Suspended, no compute while it waits for callback approval.",
        "CallbackStarted",
        "timeout 1 h 00 min, heartbeat timeout 10 min 00 s",
        "&#34;frame&#34;: 7",
        "render&#39;s output",
        "frame 7 done",
        "Stop the execution",
        "step prepare: succeeded after",
        "callback approval: open after",
        "invocation 1: succeeded after",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_payload_is_cut_on_the_page_and_whole_behind_its_link() {
    let world = World::start().await;
    let long = "x".repeat(100_000);
    let arn = world
        .invoke("job", "long", &json!({"end": true, "result": long}))
        .await;
    ended(&world.client, &arn).await;
    let html = world.page("/executions/job/long").await;
    assert!(html.len() < 120_000, "{}", html.len());
    assert!(html.contains("The beginning of 97.7 KiB."));
    let ended = event(&world.client, &arn, EventType::ExecutionSucceeded).await;
    let path = format!("/executions/job/long/events/{}", ended.event_id());
    assert!(html.contains(&path));
    assert!(world.page(&path).await.contains(&long));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_has_not_changed_is_not_sent_again() {
    let world = World::start().await;
    let arn = world.invoke("job", "one", &json!({"end": true})).await;
    ended(&world.client, &arn).await;
    event(&world.client, &arn, EventType::InvocationCompleted).await;
    let first = world.get("/executions/job/one").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = world
        .get_with("/executions/job/one", &[("if-none-match", &tag)])
        .await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = world.get_with("/", &[("if-none-match", &tag)]).await;
    assert_eq!(other.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_filters_by_function_status_and_part_of_a_name() {
    let world = World::start().await;
    world.waiting("render-open", &json!({})).await;
    for (function, name) in [("job", "Render-done"), ("other", "report-done")] {
        let arn = world.invoke(function, name, &json!({"end": true})).await;
        ended(&world.client, &arn).await;
    }
    let all = ["render-open", "Render-done", "report-done"];
    for (query, wanted) in [
        ("", &all[..]),
        ("?name=render", &all[..2]),
        ("?function=other", &all[2..]),
        ("?status=open", &all[..1]),
        ("?status=succeeded&name=done&function=job", &all[1..2]),
        ("?status=failed", &[]),
        ("?function=nobody", &[]),
    ] {
        let html = world.page(&format!("/{query}")).await;
        for name in all {
            let row = format!(">{name}</a>");
            assert_eq!(
                html.contains(&row),
                wanted.contains(&name),
                "{query}: {name}"
            );
        }
    }
    assert_eq!(world.get("/?status=nonsense").await.status, 400);
    assert_eq!(world.get("/?after=nonsense").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_list_hold_every_execution_once() {
    let world = World::start().await;
    for n in 0..120 {
        let function = if n % 3 == 0 { "other" } else { "job" };
        world
            .invoke(function, &format!("n-{n}"), &json!({"end": true}))
            .await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some("/".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        pages += 1;
        let html = world.page(&path).await;
        for row in html.split("data-row>").skip(1) {
            let name = row.split('<').next().unwrap().to_owned();
            assert!(seen.insert(name), "{path}");
        }
        next = html.split("<a href=\"").skip(1).find_map(|link| {
            let (href, rest) = link.split_once('"')?;
            rest.starts_with(" rel=\"next\"")
                .then(|| href.replace("&#38;", "&"))
        });
    }
    assert_eq!((seen.len(), pages), (120, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_page_has_none() {
    let state = tempfile::TempDir::new().unwrap();
    let service = longhaul_emulator::Service::start(support::config(&state))
        .await
        .unwrap();
    let answer = support::raw::request(&service.url(), "GET", "/", &[], b"").await;
    assert_eq!(
        (answer.status, answer.error()),
        (404, "UnknownOperationException")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_access_key_the_page_asks_for_it() {
    use base64::Engine as _;
    let world = World::configured(|config| config.access_key_id("AKIDPAGE")).await;
    let basic = |password: &str| {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
        format!("Basic {pair}")
    };
    let refused = world.get("/").await;
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic ")
    );
    let wrong = basic("AKIDOTHER");
    let right = basic("AKIDPAGE");
    for (value, status) in [(wrong.as_str(), 401), (&right, 200), ("Basic !", 401)] {
        let answer = world.get_with("/", &[("authorization", value)]).await;
        assert_eq!(answer.status, status, "{value}");
    }
}
