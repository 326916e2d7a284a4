//! The serialisations that some requirements configure instead of JSON.

use aws_durable_execution_sdk as durable;
use durable::serdes::{JsonSerdes, SerdesContext};
use durable::{BoxError, Serdes};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The text itself, in capitals on the wire and back.
pub(crate) struct Uppercase;

impl Serdes<String> for Uppercase {
    async fn serialize(&self, value: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(value.to_uppercase())
    }

    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(wire.to_uppercase())
    }
}

/// A JSON object whose `timestamp` is a moment in RFC 3339 on the wire and in seconds since 1970 here.
pub(crate) struct Moment;

impl Serdes<Value> for Moment {
    async fn serialize(&self, value: Value, ctx: SerdesContext) -> Result<String, BoxError> {
        JsonSerdes.serialize(value, ctx).await
    }

    async fn deserialize(&self, wire: String, ctx: SerdesContext) -> Result<Value, BoxError> {
        let mut value: Value = JsonSerdes.deserialize(wire, ctx).await?;
        let moment = value["timestamp"].as_str().ok_or("no timestamp")?;
        let seconds = OffsetDateTime::parse(moment, &Rfc3339)?.unix_timestamp();
        value["timestamp"] = seconds.into();
        Ok(value)
    }
}

/// A whole number, in decimal on the wire.
pub(crate) struct Number;

impl Serdes<i64> for Number {
    async fn serialize(&self, value: i64, _: SerdesContext) -> Result<String, BoxError> {
        Ok(value.to_string())
    }

    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<i64, BoxError> {
        Ok(wire.trim().parse()?)
    }
}
