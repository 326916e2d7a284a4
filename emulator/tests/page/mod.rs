//! A service with its web page, a function that writes what a test tells it to, and a browser's requests to the page.
#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::sync::{Arc, Mutex};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    CallbackOptions, EventType, InvocationType, OperationAction, OperationType, OperationUpdate,
};
use longhaul_emulator::{
    FunctionConfig, LogSource, LogTail, RecordedStep, Service, ServiceConfig, WebPage,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::handler::{Call, operations, pending, script, succeeded};
use crate::support::raw::{Answer, encode, request};
use crate::support::{client, config, event};

/// What the log source answers for every step: a label and a text.
pub(crate) type Log = Arc<Mutex<Option<(String, String)>>>;

struct Told(Log);

impl LogSource for Told {
    fn tails(&self, _step: &RecordedStep<'_>, _limit: usize) -> Vec<LogTail> {
        let log = self.0.lock().unwrap().clone();
        log.map(|(label, text)| LogTail::new(label, text))
            .into_iter()
            .collect()
    }
}

/// A service, its client, and its page.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) client: Client,
    pub(crate) log: Log,
    _state: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::configured(|config| config).await
    }

    pub(crate) async fn configured(change: impl FnOnce(ServiceConfig) -> ServiceConfig) -> Self {
        let state = TempDir::new().unwrap();
        let log = Log::default();
        let (handler, slot) = script(obey);
        let page = WebPage::new().logs(Arc::new(Told(Arc::clone(&log))));
        let config = config(&state)
            .web_page(page)
            .function(FunctionConfig::handler("job", handler.clone()))
            .function(FunctionConfig::handler("other", handler));
        let service = Service::start(change(config)).await.unwrap();
        let client = client(&service.url());
        assert!(slot.set(client.clone()).is_ok());
        Self {
            service,
            client,
            log,
            _state: state,
        }
    }

    /// Starts an execution and returns its ARN.
    pub(crate) async fn invoke(&self, function: &str, name: &str, event: &Value) -> String {
        let output = self
            .client
            .invoke()
            .function_name(function)
            .qualifier("$LATEST")
            .invocation_type(InvocationType::Event)
            .durable_execution_name(name)
            .payload(Blob::new(event.to_string()))
            .send()
            .await
            .unwrap();
        output.durable_execution_arn().unwrap().to_owned()
    }

    /// Starts an execution of `job` that waits for its callback; returns the callback's id.
    pub(crate) async fn waiting(&self, name: &str, event_: &Value) -> String {
        let arn = self.invoke("job", name, event_).await;
        event(&self.client, &arn, EventType::InvocationCompleted).await;
        let started = event(&self.client, &arn, EventType::CallbackStarted).await;
        started
            .callback_started_details()
            .unwrap()
            .callback_id()
            .to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(&self.service.url(), "GET", path, headers, b"").await
    }

    /// A page as text.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status, 200, "{path}: {text}");
        text
    }

    /// The token in the forms of the page of an execution.
    pub(crate) async fn token(&self, path: &str) -> String {
        let page = self.page(path).await;
        let start = page.find("name=\"token\" value=\"").expect("a form") + 20;
        page[start..].split('"').next().unwrap().to_owned()
    }

    /// Sends a form as the page's script does.
    pub(crate) async fn send(&self, path: &str, token: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [
            ("sec-fetch-site", "same-origin"),
            ("accept", "application/json"),
        ];
        self.send_with(path, token, fields, &headers).await
    }

    pub(crate) async fn send_with(
        &self,
        path: &str,
        token: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut body = format!("token={}", encode(token));
        for (name, value) in fields {
            body.push_str(&format!("&{name}={}", encode(value)));
        }
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        request(&self.service.url(), "POST", path, &all, body.as_bytes()).await
    }
}

fn update(
    kind: OperationType,
    id: &str,
) -> aws_sdk_lambda::types::builders::OperationUpdateBuilder {
    OperationUpdate::builder().r#type(kind).id(id)
}

/// Writes a callback and a step that the input names, waits for the callback, and ends as it did.
async fn obey(call: Call) -> Result<Value, longhaul_emulator::InvocationError> {
    let input =
        call.event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"]
            .as_str()
            .unwrap();
    let input: Value = serde_json::from_str(input).unwrap();
    let text = |key: &str, default: &str| input[key].as_str().unwrap_or(default).to_owned();
    if input["end"] == true {
        return succeeded(&input["result"]);
    }
    match call.status("callback-1") {
        "" => {
            let options = CallbackOptions::builder()
                .timeout_seconds(3_600)
                .heartbeat_timeout_seconds(600)
                .build();
            let started = call
                .checkpoint(vec![
                    update(OperationType::Callback, "callback-1")
                        .action(OperationAction::Start)
                        .name(text("callback", "approval"))
                        .callback_options(options)
                        .build()
                        .unwrap(),
                ])
                .await;
            let id = operations(&started)[0]
                .callback_details()
                .unwrap()
                .callback_id()
                .unwrap()
                .to_owned();
            // What a careless function would record.
            let payload = text("payload", "\"done\"")
                .replace("ENCODED", &encode(&id))
                .replace("ID", &id);
            let step = |action| {
                update(OperationType::Step, "step-1")
                    .action(action)
                    .name(text("step", "prepare"))
            };
            call.checkpoint(vec![
                step(OperationAction::Start).build().unwrap(),
                step(OperationAction::Succeed)
                    .payload(payload)
                    .build()
                    .unwrap(),
            ])
            .await;
            pending()
        }
        "STARTED" => pending(),
        "SUCCEEDED" => {
            let details = &call.find("callback-1").unwrap()["CallbackDetails"];
            let result = details["Result"].as_str().unwrap_or("null");
            succeeded(&serde_json::from_str(result).unwrap())
        }
        _ => {
            let details = &call.find("callback-1").unwrap()["CallbackDetails"];
            Ok(json!({"Status": "FAILED", "Error": details["Error"]}))
        }
    }
}
