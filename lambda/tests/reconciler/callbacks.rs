//! The callback API on the wire: what each answer means, and that no error shows the token.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use longhaul_core::{CallbackToken, FailureClass, JobFailure};
use longhaul_lambda::reconciler::{CallbackApi, CallbackApiError, Delivery, LambdaCallbacks};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::stage::Stage;

const TOKEN: &str = "c2VjcmV0L3Rva2VuKzE=";

/// A server that gives the answers that it is told to, and then 200.
struct Server {
    callbacks: LambdaCallbacks,
    paths: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = (u16, &'static str, &'static str)>) -> Self {
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
        let paths = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&paths);
        let routes = Router::new().fallback(move |uri: Uri| async move {
            seen.lock().unwrap().push(uri.path().to_owned());
            match answers.lock().unwrap().pop_front() {
                Some((status, kind, body)) => answer(status, kind, body),
                None => answer(200, "", "{}"),
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(url)
            .build();
        Self {
            callbacks: LambdaCallbacks::from_sdk(&sdk),
            paths,
            server,
        }
    }

    async fn fail(&self) -> Result<Delivery, CallbackApiError> {
        let failure = JobFailure::new(FailureClass::Lost).with_exit_code(0);
        self.callbacks.fail(&token(), &failure).await
    }
}

fn token() -> CallbackToken {
    CallbackToken::new(TOKEN).unwrap()
}

fn answer(status: u16, kind: &'static str, body: &'static str) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if !kind.is_empty() {
        let kind = kind.parse().unwrap();
        response.headers_mut().insert("x-amzn-errortype", kind);
    }
    response
}

#[tokio::test]
async fn the_callback_api_says_open_closed_and_unknown() {
    let stage = Stage::set().await;
    let callbacks = LambdaCallbacks::new(stage.client());
    let job = stage.job(1).await;
    let token = CallbackToken::new(job.token()).unwrap();
    let failure = JobFailure::new(FailureClass::Lost);
    assert_eq!(callbacks.is_open(&token).await, Ok(true));
    assert_eq!(
        callbacks.fail(&token, &failure).await,
        Ok(Delivery::Accepted)
    );
    assert_eq!(callbacks.is_open(&token).await, Ok(false));
    assert_eq!(callbacks.fail(&token, &failure).await, Ok(Delivery::Closed));
    let unknown = CallbackToken::new("bm9ib2R5J3M=").unwrap();
    assert_eq!(callbacks.is_open(&unknown).await, Ok(false));
    assert_eq!(
        callbacks.fail(&unknown, &failure).await,
        Ok(Delivery::Closed)
    );
    stage.service.shutdown().await;
}

#[tokio::test]
async fn what_is_throttled_or_broken_for_a_moment_is_tried_again_within_the_call() {
    for (status, kind) in [(429, "TooManyRequestsException"), (500, "ServiceException")] {
        let server = Server::start([(status, kind, "{}")]).await;
        assert_eq!(server.fail().await, Ok(Delivery::Accepted));
        assert_eq!(server.paths.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_that_says_what_came_back_and_shows_nothing_of_the_token() {
    let server = Server::start([(
        400,
        "InvalidParameterValueException",
        r#"{"message":"callback c2VjcmV0L3Rva2VuKzE= (c2VjcmV0L3Rva2VuKzE%3D) is malformed"}"#,
    )])
    .await;
    let error = server.fail().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "SendDurableExecutionCallbackFailure: InvalidParameterValueException: callback [callback id] ([callback id]) is malformed"
    );
    let paths = server.paths.lock().unwrap().clone();
    assert_eq!(
        paths,
        ["/2025-12-01/durable-execution-callbacks/c2VjcmV0L3Rva2VuKzE%3D/fail"]
    );
}

#[tokio::test]
async fn a_denial_names_the_action_that_the_role_lacks() {
    let denied = (
        403,
        "AccessDeniedException",
        r#"{"Message":"is not authorized to perform this"}"#,
    );
    let server = Server::start([denied, denied]).await;
    let text = server.fail().await.unwrap_err().to_string();
    assert!(
        text.contains("lambda:SendDurableExecutionCallbackFailure"),
        "{text}"
    );
    let text = server.callbacks.is_open(&token()).await.unwrap_err();
    let text = text.to_string();
    assert!(
        text.contains("lambda:SendDurableExecutionCallbackHeartbeat"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_the_services_is_told_by_its_status() {
    let server = Server::start([(403, "", "<html>a proxy</html>")]).await;
    let error = server.fail().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "SendDurableExecutionCallbackFailure: HTTP status 403"
    );
}
