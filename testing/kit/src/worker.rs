//! What the worker of a job in memory does: heartbeats, and the report at its end.

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackResult, CallbackToken, JobFailure, JobHandle, JobTimes,
};
use longhaul_emulator::{Api, ApiError, ApiErrorKind, CallbackId, ErrorObject, Timestamp};
use serde_json::Value;

use crate::backend::Delivery;
use crate::job::{Act, End};
use crate::{Fault, InMemory};

/// When a job of `backend` does something next, and which one.
pub(crate) fn next(backend: &InMemory) -> Option<(Timestamp, JobHandle)> {
    let world = backend.world();
    let moments = world.jobs.iter().filter_map(|record| {
        let (at, _) = record.next()?;
        Some((at, record.handle.clone()))
    });
    // Of several at one moment the one that was started first.
    moments.min_by_key(|(at, _)| *at)
}

/// What there is to tell the service.
enum Message {
    Alive,
    Report(Result<String, Box<JobFailure>>, usize),
}

/// What a supervisor makes of what the job returned: with the times, where somebody reads them.
fn text(
    result: Result<Value, Box<JobFailure>>,
    ran: Option<JobTimes>,
) -> Result<String, Box<JobFailure>> {
    match (result, ran) {
        (Ok(value), Some(times)) => Ok(CallbackResult::timed(times, &value.to_string())),
        (Ok(value), None) => Ok(value.to_string()),
        (Err(mut failure), ran) => {
            failure.times = failure.times.or(ran);
            Err(failure)
        }
    }
}

/// Does the next thing that the job does by itself.
pub(crate) async fn act(backend: &InMemory, handle: &JobHandle) -> Result<(), BackendError> {
    let (message, token, service, mut delivery) = {
        let (mut world, now) = backend.now();
        let service = world.service.clone();
        let Some(record) = world.find(handle) else {
            return Ok(());
        };
        let Some((_, act)) = record.next() else {
            return Ok(());
        };
        let message = match act {
            Act::Heartbeat => {
                record.beaten();
                Message::Alive
            }
            Act::End => {
                record.finish(now);
                let times = if record.has(Fault::ResultTwice) { 2 } else { 1 };
                let ran = record.ran();
                match &record.end {
                    Some((_, End::Reported(result))) => {
                        Message::Report(text(result.clone(), ran), times)
                    }
                    _ => return Ok(()),
                }
            }
        };
        let Some((api, since)) = service else {
            return Ok(());
        };
        let delivery = Delivery {
            job: record.call.name.clone(),
            attempt: record.call.attempt,
            at: now.since(since),
            accepted: false,
        };
        (message, record.token.clone(), api, delivery)
    };
    match message {
        Message::Alive => {
            let answer = service.heartbeat_callback(&callback(&token)?).await;
            if !accepted(answer)? {
                // The supervisor stops its command when nobody listens any more.
                let (mut world, now) = backend.now();
                if let Some(record) = world.find(handle) {
                    record.end = Some((now, End::Stopped));
                }
            }
        }
        Message::Report(result, times) => {
            for _ in 0..times {
                delivery.accepted = accepted(report(&service, &token, &result).await?)?;
                backend.world().deliveries.push(delivery.clone());
            }
        }
    }
    Ok(())
}

async fn report(
    service: &Api,
    token: &CallbackToken,
    result: &Result<String, Box<JobFailure>>,
) -> Result<Result<(), ApiError>, BackendError> {
    let id = callback(token)?;
    Ok(match result {
        Ok(text) => service.succeed_callback(&id, Some(text.clone())).await,
        Err(failure) => {
            let error = ErrorObject {
                error_type: Some(failure.error_type().to_owned()),
                error_message: Some(failure.error_message()),
                error_data: Some(failure.error_data()),
                ..ErrorObject::default()
            };
            service.fail_callback(&id, error).await
        }
    })
}

fn callback(token: &CallbackToken) -> Result<CallbackId, BackendError> {
    CallbackId::parse(token.expose()).map_err(|error| {
        BackendError::new(
            BackendErrorKind::InvalidSpec,
            "the token is no callback of the service",
        )
        .with_source(error)
    })
}

/// Whether the service took it; a callback that is closed is no error.
fn accepted(answer: Result<(), ApiError>) -> Result<bool, BackendError> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ApiErrorKind::CallbackTimeout => Ok(false),
        Err(error) => Err(BackendError::new(
            BackendErrorKind::Unavailable,
            "the durable service did not take what a job reported",
        )
        .with_source(error)),
    }
}
