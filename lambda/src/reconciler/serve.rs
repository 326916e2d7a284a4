//! The life of the reconciler's process.

use std::process::ExitCode;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use super::{Reconciled, Reconciler, ReconcilerConfig};
use crate::durable::BoxError;
use crate::error::full_message;

/// Serves invocations over the Lambda Runtime API until the process is ended. Each is one event,
/// answered with what was done, or failed with why it could not be.
///
/// # Errors
///
/// When the Runtime API cannot be reached, or a backend cannot be built.
pub async fn serve(config: ReconcilerConfig) -> Result<(), BoxError> {
    let sdk = crate::aws::config().await;
    let reconciler = config.build(&sdk)?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let reconciler = reconciler.clone();
        async move { answer(&reconciler, event.payload).await }
    }))
    .await
}

async fn answer(reconciler: &Reconciler, event: Value) -> Result<Reconciled, Diagnostic> {
    let id = text(&event, "id");
    let detail_type = text(&event, "detail-type");
    reconciler.handle(event).await.map_err(|error| {
        let message = full_message(&error);
        tracing::error!(
            event = id, detail_type, error_type = error.error_type(), error = %message,
            "the event was not handled: Lambda tries it again, and then sends it to the dead-letter queue"
        );
        Diagnostic {
            error_type: error.error_type().to_owned(),
            error_message: message,
        }
    })
}

/// A text at the top of an event, where EventBridge itself writes and no token is.
fn text(event: &Value, name: &str) -> Option<String> {
    event.get(name)?.as_str().map(str::to_owned)
}

/// The whole life of the process: configuration, log, [`serve`]. Returns the exit code: 2 for a
/// wrong configuration, 1 when serving failed.
pub async fn main() -> ExitCode {
    crate::log::init_without_requests();
    let config = match ReconcilerConfig::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: the reconciler cannot serve: {}",
                full_message(&*error)
            );
            ExitCode::FAILURE
        }
    }
}
