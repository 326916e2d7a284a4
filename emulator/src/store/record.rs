//! What an execution consists of, each a row of one table: clustered by execution, what one request writes is on few pages.

use std::borrow::Cow;

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::machine::Replay;
use crate::model::Timestamp;
use crate::model::id::CheckpointToken;

use super::StoreError;

/// What a record is. The numbers are on disk. Events come last: an execution is loaded from what is before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// The execution's fixed properties but its input.
    Origin = 1,
    /// The input, as it was given.
    Input = 2,
    Outcome = 3,
    /// The answer to the last checkpoint.
    Replay = 4,
    /// The operation at the position that is the record's id.
    Operation = 5,
    /// The event with the record's id.
    Event = 6,
}

impl RecordKind {
    pub(super) fn of(number: i64) -> Result<Self, StoreError> {
        [
            Self::Origin,
            Self::Input,
            Self::Outcome,
            Self::Replay,
            Self::Operation,
            Self::Event,
        ]
        .into_iter()
        .find(|kind| *kind as i64 == number)
        .ok_or(StoreError::Record("the kind of a record"))
    }
}

impl ToSql for RecordKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

#[derive(Serialize, Deserialize)]
struct StoredReplay<'a> {
    #[serde(borrow)]
    client_token: Cow<'a, str>,
    token: CheckpointToken,
    /// Milliseconds since the epoch.
    at: i64,
    /// As it was answered, to the byte.
    #[serde(borrow)]
    response: &'a RawValue,
}

pub(super) fn write_replay(replay: &Replay) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&StoredReplay {
        client_token: replay.client_token.as_str().into(),
        token: replay.token.clone(),
        at: replay.at.as_millis(),
        response: serde_json::from_slice(&replay.response)?,
    })?)
}

pub(super) fn read_replay(body: &str) -> Result<Replay, StoreError> {
    let stored: StoredReplay<'_> = serde_json::from_str(body)?;
    Ok(Replay {
        client_token: stored.client_token.into_owned(),
        token: stored.token,
        at: Timestamp::from_millis(stored.at),
        response: stored.response.get().to_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written_to_the_byte() {
        let replay = Replay {
            client_token: "a \"quoted\" \\ token".to_owned(),
            token: CheckpointToken::parse("dG9rZW4=").unwrap(),
            at: Timestamp::from_millis(1_795_658_770_696),
            response: r#"{"CheckpointToken":"eA==","n":1.0,"text":"\u00fc \/ \n"}"#.into(),
        };
        assert_eq!(
            read_replay(&write_replay(&replay).unwrap()).unwrap(),
            replay
        );
    }

    #[test]
    fn a_kind_is_known_by_its_number_and_no_other_number_is_one() {
        assert_eq!(RecordKind::of(6).unwrap(), RecordKind::Event);
        for number in [0, 7, -1] {
            assert!(RecordKind::of(number).is_err(), "{number}");
        }
    }
}
