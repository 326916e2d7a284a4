//! A server that plays AWS Batch on loopback: it keeps jobs, and fails as it is told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::Received;

/// The queue that exists.
pub const QUEUE: &str = "jobs";

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing is done, and the connection is cut.
    CutBefore,
    /// It is done, and the connection is cut before the answer.
    CutAfter,
    /// Nothing is done, and this is answered: status, error type, message.
    Answer(u16, &'static str, String),
    /// It is done, and this is answered: status and body.
    Then(u16, &'static str),
    /// It is done, and nothing is answered.
    Silence,
    /// `ListJobs` only: the answer is empty, as if the list were behind.
    Behind,
}

#[derive(Debug, Default)]
struct State {
    /// In order of creation, as `DescribeJobs` shows them.
    jobs: Vec<Value>,
    calls: Vec<(String, Value)>,
    faults: HashMap<String, VecDeque<Fault>>,
    page_size: Option<usize>,
    jobs_live: bool,
    /// The first lookups, which wait for each other.
    together: Option<(usize, Arc<Barrier>)>,
}

/// A server that plays AWS Batch. Dropping it closes all of its connections.
#[derive(Debug)]
pub struct FakeBatch {
    url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for FakeBatch {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeBatch {
    /// Starts the server on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let (address, server) =
            crate::serve(move |request| answer(Arc::clone(&shared), request)).await;
        let url = format!("http://{address}");
        Self { url, state, server }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next request to `call`, such as `submitjob`, fails like this; later ones follow.
    pub fn fail(&self, call: &str, fault: Fault) {
        let mut state = self.state();
        state
            .faults
            .entry(call.to_owned())
            .or_default()
            .push_back(fault);
    }

    /// At most so many jobs stand on one page.
    pub fn page_size(&self, size: usize) {
        self.state().page_size = Some(size);
    }

    /// The next `n` lookups are answered together, when all of them are there.
    pub fn hold_lookups(&self, n: usize) {
        self.state().together = Some((n, Arc::new(Barrier::new(n))));
    }

    /// Lets the jobs that are accepted from now on live by themselves: each runs at once, and ends
    /// with `CODE`, at once, if its command is `exit CODE`.
    pub fn let_jobs_live(&self) {
        self.state().jobs_live = true;
    }

    /// Every job that was ever accepted, as `DescribeJobs` shows it.
    pub fn jobs(&self) -> Vec<Value> {
        self.state().jobs.clone()
    }

    /// The bodies of the requests to `call` so far.
    pub fn calls(&self, call: &str) -> Vec<Value> {
        let state = self.state();
        let of_call = state.calls.iter().filter(|(name, _)| name == call);
        of_call.map(|(_, body)| body.clone()).collect()
    }

    /// The names of all calls so far, in order.
    pub fn sequence(&self) -> Vec<String> {
        self.state()
            .calls
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The jobs that have neither succeeded nor failed.
    pub fn running(&self) -> Vec<String> {
        let state = self.state();
        let there = state.jobs.iter().filter(|job| !is_over(job));
        there
            .map(|job| job["jobId"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How many jobs were ever accepted.
    pub fn accepted(&self) -> usize {
        self.state().jobs.len()
    }

    /// Adds a job that somebody submitted.
    pub fn add(&self, name: &str) -> String {
        accept(&mut self.state(), &json!({"jobName": name}))
    }

    /// Puts `fields` into a job.
    pub fn change(&self, id: &str, fields: &Value) {
        let mut state = self.state();
        let job = state
            .jobs
            .iter_mut()
            .find(|job| job["jobId"] == id)
            .unwrap();
        for (key, value) in fields.as_object().unwrap() {
            job[key] = value.clone();
        }
    }
}

fn is_over(job: &Value) -> bool {
    matches!(job["status"].as_str(), Some("SUCCEEDED" | "FAILED"))
}

/// Accepts a `SubmitJob` and returns the id of the job.
fn accept(state: &mut State, body: &Value) -> String {
    let number = state.jobs.len() + 1;
    let id = format!("00000000-0000-4000-8000-{number:012}");
    state.jobs.push(json!({
        "jobId": id,
        "jobArn": format!("arn:aws:batch:eu-west-1:123456789012:job/{id}"),
        "jobName": body["jobName"],
        "jobQueue": body["jobQueue"],
        "jobDefinition": body["jobDefinition"],
        "status": "SUBMITTED",
        "createdAt": 1_700_000_000_000_i64 + i64::try_from(number).unwrap(),
        "startedAt": 0,
        "attempts": [],
        "container": body["containerOverrides"],
        "tags": body["tags"],
        "isCancelled": false,
        "isTerminated": false,
    }));
    if state.jobs_live
        && let Some(job) = state.jobs.last_mut()
    {
        live(job);
    }
    id
}

/// Lets a job run, and end if that is its command.
fn live(job: &mut Value) {
    job["status"] = json!("RUNNING");
    job["startedAt"] = json!(1_700_000_001_000_i64);
    let command = job["container"]["command"].as_array();
    let Some([exit, code]) = command.map(Vec::as_slice) else {
        return;
    };
    if exit == "exit"
        && let Some(Ok(code)) = code.as_str().map(str::parse::<i32>)
    {
        let over = if code == 0 { "SUCCEEDED" } else { "FAILED" };
        job["status"] = json!(over);
        job["statusReason"] = json!("Essential container in task exited");
        job["stoppedAt"] = json!(1_700_000_002_000_i64);
        job["container"]["exitCode"] = json!(code);
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Received,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let call = request.path.trim_start_matches("/v1/").to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let (fault, barrier) = {
        let mut state = state.lock().unwrap();
        state.calls.push((call.clone(), body.clone()));
        let fault = state.faults.get_mut(&call).and_then(VecDeque::pop_front);
        let barrier = match &mut state.together {
            Some((left, barrier)) if call == "listjobs" && *left > 0 => {
                *left -= 1;
                Some(Arc::clone(barrier))
            }
            _ => None,
        };
        (fault, barrier)
    };
    match &fault {
        Some(Fault::CutBefore) => return Err(std::io::Error::other("cut")),
        Some(Fault::Answer(status, code, message)) => return Ok(refuse(*status, code, message)),
        Some(Fault::Behind) => return Ok(reply(200, &json!({"jobSummaryList": []}).to_string())),
        _ => {}
    }
    let done = {
        let mut state = state.lock().unwrap();
        handle(&mut state, &call, &body)
    };
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    match (fault, done) {
        (Some(Fault::Silence), _) => std::future::pending().await,
        (Some(Fault::CutAfter), _) => Err(std::io::Error::other("cut")),
        (Some(Fault::Then(status, text)), _) => Ok(reply(status, text)),
        (_, Ok(value)) => Ok(reply(200, &value.to_string())),
        (_, Err(message)) => Ok(refuse(400, "ClientException", &message)),
    }
}

fn handle(state: &mut State, call: &str, body: &Value) -> Result<Value, String> {
    match call {
        "submitjob" => {
            if body["jobQueue"] != QUEUE {
                return Err(format!("JobQueue {} not found.", body["jobQueue"]));
            }
            let id = accept(state, body);
            Ok(json!({"jobId": id, "jobName": body["jobName"]}))
        }
        "listjobs" => Ok(list(state, body)),
        "describejobs" => {
            let asked = body["jobs"].as_array().unwrap();
            let found = state
                .jobs
                .iter()
                .filter(|job| asked.contains(&job["jobId"]));
            Ok(json!({"jobs": found.collect::<Vec<_>>()}))
        }
        "terminatejob" => {
            // As the real one, which answers 200 to any id.
            let job = state
                .jobs
                .iter_mut()
                .find(|job| job["jobId"] == body["jobId"]);
            if let Some(job) = job.filter(|job| !is_over(job)) {
                job["isTerminated"] = json!(true);
                job["statusReason"] = body["reason"].clone();
                job["status"] = json!("FAILED");
            }
            Ok(json!({}))
        }
        other => panic!("unknown call {other}"),
    }
}

/// `ListJobs` with the filter `JOB_NAME`: any case, a trailing `*`, any status, newest first.
fn list(state: &State, body: &Value) -> Value {
    let filter = &body["filters"][0];
    assert_eq!(filter["name"], "JOB_NAME", "{body}");
    let wanted = filter["values"][0].as_str().unwrap().to_lowercase();
    let matches = |job: &&Value| {
        let name = job["jobName"].as_str().unwrap().to_lowercase();
        match wanted.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == wanted,
        }
    };
    let mut found: Vec<_> = state.jobs.iter().filter(matches).collect();
    found.reverse();
    let from: usize = body["nextToken"].as_str().map_or(0, |t| t.parse().unwrap());
    let size = state.page_size.unwrap_or(100);
    let next = (from + size < found.len()).then(|| (from + size).to_string());
    let page: Vec<_> = found.into_iter().skip(from).take(size).collect();
    json!({"jobSummaryList": page, "nextToken": next})
}

fn reply(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

fn refuse(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let mut response = reply(status, &json!({"message": message}).to_string());
    let headers = response.headers_mut();
    headers.insert("x-amzn-errortype", code.parse().unwrap());
    if status == 429 {
        headers.insert("x-amz-retry-after", "1".parse().unwrap());
        headers.insert("retry-after", "0".parse().unwrap());
    }
    response
}
