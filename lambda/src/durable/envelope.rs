//! Reading the event of an invocation, without what the SDK never looks at.
//!
//! An event holds an operation for all that was recorded, and a replay spends a third of its time on
//! reading it: the SDK takes it as a tree of JSON values, in which every member of every operation is a key and a value that
//! are allocated and compared. Three members of an operation say when it was and what it is a part of; SDK 0.1.0
//! finds operations by their ids and looks at none of the three. So they are passed over as the event is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::sdk;

/// Whether the SDK does not look at this member of an operation.
fn is_unused(key: &str) -> bool {
    matches!(key, "StartTimestamp" | "EndTimestamp" | "ParentId")
}

/// The event of one invocation, as the durable service sends it. `lambda_runtime` reads it and
/// the service function takes it; nobody else looks into it. Of each operation `StartTimestamp`, `EndTimestamp` and `ParentId`
/// are passed over, at which the SDK never looks.
pub struct InvocationPayload(sdk::InvocationPayload);

impl InvocationPayload {
    pub(super) fn into_sdk(self) -> sdk::InvocationPayload {
        self.0
    }
}

impl fmt::Debug for InvocationPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds the checkpoint token and those of callbacks.
        f.debug_struct("InvocationPayload").finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for InvocationPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Reading {
            of: deserializer,
            at: Place::Event,
        };
        sdk::InvocationPayload::deserialize(event).map(Self)
    }
}

/// Where in an event something is, on the way to its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Event,
    State,
    Operations,
    Operation,
    /// Within an operation, or beside the way to them: read as it is.
    Elsewhere,
}

impl Place {
    /// Where the value of the member `key` is.
    fn member(self, key: &str) -> Self {
        match (self, key) {
            (Self::Event, "InitialExecutionState") => Self::State,
            (Self::State, "Operations") => Self::Operations,
            _ => Self::Elsewhere,
        }
    }

    /// Where the elements of a list are.
    fn element(self) -> Self {
        match self {
            Self::Operations => Self::Operation,
            _ => Self::Elsewhere,
        }
    }

    fn passes_over(self, key: &str) -> bool {
        self == Self::Operation && is_unused(key)
    }
}

/// Something that is read, and where it is.
struct Reading<T> {
    of: T,
    at: Place,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reading<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.of.deserialize_any(Reading {
            of: visitor,
            at: self.at,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Reading<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        match self.at {
            Place::Elsewhere => self.of.deserialize(deserializer),
            at => self.of.deserialize(Reading {
                of: deserializer,
                at,
            }),
        }
    }
}

/// For what JSON has: of anything else an event is refused.
impl<'de, V: Visitor<'de>> Visitor<'de> for Reading<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.expecting(formatter)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.of.visit_map(Members {
            of: map,
            at: self.at,
            next: Place::Elsewhere,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.of.visit_seq(Reading {
            of: seq,
            at: self.at.element(),
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.of.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.of.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.of.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.of.visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.of.visit_str(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<V::Value, E> {
        self.of.visit_string(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.of.visit_unit()
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Reading<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.of.next_element_seed(Reading {
            of: seed,
            at: self.at,
        })
    }
}

/// The members of an object that is at this place.
struct Members<A> {
    of: A,
    at: Place,
    /// Where the value is whose key was read last.
    next: Place,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        while let Some(Key(key)) = self.of.next_key()? {
            if self.at.passes_over(&key) {
                self.of.next_value::<IgnoredAny>()?;
                continue;
            }
            self.next = self.at.member(&key);
            let read = match key {
                Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
                Cow::Owned(key) => seed.deserialize(StringDeserializer::new(key)),
            };
            return read.map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.of.next_value_seed(Reading {
            of: seed,
            at: self.next,
        })
    }
}

/// A key, not copied where that can be.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What the SDK is given, by what it shows of it.
    fn given<'de>(event: impl Deserializer<'de>) -> String {
        format!("{:?}", InvocationPayload::deserialize(event).unwrap().0)
    }

    fn as_it_is(event: &Value) -> String {
        format!("{:?}", sdk::InvocationPayload::deserialize(event).unwrap())
    }

    fn event(operations: &Value) -> Value {
        json!({
            "DurableExecutionArn": "arn",
            "StartTimestamp": 1,
            "InitialExecutionState": {
                "EndTimestamp": 2,
                "Operations": operations,
                "NextMarker": "",
            },
        })
    }

    #[test]
    fn when_an_operation_was_and_what_it_is_a_part_of_is_passed_over_and_nothing_else() {
        let whole = event(&json!([
            {"Id": "1", "StartTimestamp": 1.5, "Type": "STEP", "EndTimestamp": 2.25,
             "StepDetails": {"Result": "\"x\"", "StartTimestamp": 3, "ParentId": null}},
            {"ParentId": "1", "Name": "a \"quoted\" name", "Error": ["EndTimestamp", {"EndTimestamp": 1}]},
            "StartTimestamp",
        ]));
        let lean = event(&json!([
            {"Id": "1", "Type": "STEP",
             "StepDetails": {"Result": "\"x\"", "StartTimestamp": 3, "ParentId": null}},
            {"Name": "a \"quoted\" name", "Error": ["EndTimestamp", {"EndTimestamp": 1}]},
            "StartTimestamp",
        ]));
        assert_ne!(as_it_is(&whole), as_it_is(&lean));
        let text = whole.to_string();
        assert_eq!(
            given(&mut serde_json::Deserializer::from_str(&text)),
            as_it_is(&lean)
        );
        assert_eq!(given(&whole), as_it_is(&lean));
        let reader = text.as_bytes();
        assert_eq!(
            given(&mut serde_json::Deserializer::from_reader(reader)),
            as_it_is(&lean)
        );
    }

    #[test]
    fn an_event_shows_no_token() {
        let event = json!({"CheckpointToken": "secret"});
        let shown = format!("{:?}", InvocationPayload::deserialize(&event).unwrap());
        assert_eq!(shown, "InvocationPayload { .. }");
    }

    /// Any JSON, or an event with any operations.
    fn anything() -> impl Strategy<Value = Value> {
        let operations = proptest::collection::vec(json(), 0..4).prop_map(Value::from);
        prop_oneof![json(), operations.prop_map(|operations| event(&operations))]
    }

    /// Any JSON, its keys those that mean something here.
    fn json() -> impl Strategy<Value = Value> {
        let key = proptest::sample::select(vec![
            "InitialExecutionState",
            "Operations",
            "StartTimestamp",
            "ParentId",
            "Id",
            "",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // In quarters, which text can hold.
            any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|members| json!(
                    members
                        .into_iter()
                        .collect::<std::collections::BTreeMap<_, _>>()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_else_is_read_as_the_sdk_reads_it(event in anything()) {
            let mut lean = event.clone();
            let operations = lean.pointer_mut("/InitialExecutionState/Operations");
            for operation in operations.and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(members) = operation.as_object_mut() {
                    members.retain(|key, _| !is_unused(key));
                }
            }
            let text = event.to_string();
            prop_assert_eq!(given(&mut serde_json::Deserializer::from_str(&text)), as_it_is(&lean));
        }

        #[test]
        fn what_is_no_json_is_refused_as_the_sdk_refuses_it(event in anything(), cut in any::<proptest::sample::Index>()) {
            let text = event.to_string();
            let cut = text.char_indices().map(|(at, _)| at).nth(cut.index(text.chars().count())).unwrap_or(0);
            let text = &text[..cut];
            let ours = serde_json::from_str::<InvocationPayload>(text).map(|read| format!("{:?}", read.0));
            let theirs = serde_json::from_str::<sdk::InvocationPayload>(text).map(|read| format!("{read:?}"));
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
        }
    }
}
