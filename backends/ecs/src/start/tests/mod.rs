//! What a start asks of ECS and what it makes of every answer.

mod answers;
mod once;
mod request;

use longhaul_core::ComputeBackend;

use super::*;
use crate::api::MockEcsApi;
use crate::testing::{backend, config, hello, token};

/// An API that answers one `RunTask` with `answer`, and fails the test on another.
fn answering(answer: Result<RunTaskAnswer, ApiError>) -> MockEcsApi {
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(1).return_once(move |_| answer);
    api
}

async fn start(api: MockEcsApi) -> Result<JobHandle, BackendError> {
    backend(config(), api).start(&hello(), &token()).await
}

fn refused(code: &str, message: &str) -> Result<RunTaskAnswer, ApiError> {
    Err(ApiError::refused(code, message))
}
