//! Bounds that callers meet: page sizes, markers, payload sizes.

use crate::config::Limits;
use crate::error::ApiError;
use crate::machine::{marker, read_marker};
use crate::model::id::is_name;
use crate::model::{ErrorObject, Timestamp};

/// The largest payload of a call whose caller does not wait, and of a callback: 1 MiB.
pub(crate) const ASYNC_PAYLOAD: usize = 1_048_576;

/// The largest payload of a call whose caller waits: 6 MiB.
pub(crate) const SYNC_PAYLOAD: usize = 6_291_456;

/// The most items on a page.
const MOST_ITEMS: usize = 1_000;

impl Limits {
    /// How many items a page may have when the caller asked for `asked`.
    pub(crate) fn items(&self, asked: usize) -> Result<usize, ApiError> {
        match asked {
            0 => Ok(self.page_items.clamp(1, MOST_ITEMS)),
            1..=MOST_ITEMS => Ok(asked),
            _ => Err(ApiError::invalid(format!(
                "MaxItems must be 0 to {MOST_ITEMS}."
            ))),
        }
    }
}

pub(crate) fn check_error(error: &ErrorObject) -> Result<(), ApiError> {
    if error.size() > ASYNC_PAYLOAD {
        return Err(ApiError::invalid(format!(
            "Error object size must be less than or equal to {ASYNC_PAYLOAD} bytes."
        )));
    }
    Ok(())
}

/// Checks the name of an execution, if there is one.
pub(crate) fn check_name(name: Option<&str>) -> Result<(), ApiError> {
    if name.is_some_and(|name| !is_name(name, 64)) {
        return Err(ApiError::invalid(
            "Invalid durable execution name: use 1 to 64 of [a-zA-Z0-9-_].",
        ));
    }
    Ok(())
}

fn invalid_marker() -> ApiError {
    ApiError::invalid("Invalid marker")
}

pub(crate) fn history_marker(id: u64, now: Timestamp) -> String {
    marker('h', &id.to_string(), now)
}

pub(crate) fn history_from(text: &str, now: Timestamp) -> Result<u64, ApiError> {
    read_marker('h', text, now)?
        .parse()
        .map_err(|_| invalid_marker())
}

pub(crate) fn list_marker(started: Timestamp, key: i64, now: Timestamp) -> String {
    marker('l', &format!("{}/{key}", started.as_millis()), now)
}

pub(crate) fn list_from(text: &str, now: Timestamp) -> Result<(Timestamp, i64), ApiError> {
    let position = read_marker('l', text, now)?;
    let (started, key) = position.split_once('/').ok_or_else(invalid_marker)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| invalid_marker());
    Ok((Timestamp::from_millis(number(started)?), number(key)?))
}
