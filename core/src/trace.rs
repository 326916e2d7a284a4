//! The trace context that a worker is handed, so that what it traces has a place.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{ExecutionId, StartKey};

/// The longest `tracestate` that is passed on, in bytes (W3C Trace Context, section 3.3.1.5: "at
/// least 512 characters").
const MAX_STATE: usize = 512;

/// A position in a distributed trace: W3C Trace Context, level 1.
///
/// A repeated start must hand over the same environment as the first one, or a platform that
/// keeps to idempotency keys refuses it (ECS, `ConflictException`). So a context is either
/// [derived](Self::derived) from what every repetition knows, or it comes from something recorded.
/// It is no secret: [`derived`](Self::derived) hashes what is a hash already.
///
/// ```
/// use longhaul_core::TraceContext;
///
/// let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
/// let trace = TraceContext::from_xray(header).unwrap();
/// assert_eq!(
///     trace.traceparent(),
///     "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: String,
    parent_id: String,
    sampled: bool,
    state: Option<String>,
    from_xray: bool,
}

impl TraceContext {
    /// The context of one attempt where nobody gave one: the trace is the execution's, the parent
    /// the attempt's, each the start of a SHA-256. Sampled, for that is what a worker does that
    /// is handed no parent.
    #[must_use]
    pub fn derived(execution: &ExecutionId, start_key: &StartKey) -> Self {
        let hash = |what: &str, of: &str, digits: usize| {
            let mut id = hex::encode(Sha256::digest(format!("longhaul {what}:{of}")));
            id.truncate(digits);
            id
        };
        Self {
            trace_id: hash("trace", execution.as_str(), 32),
            parent_id: hash("attempt", start_key.as_str(), 16),
            sampled: true,
            state: None,
            from_xray: false,
        }
    }

    /// Reads a `traceparent` of version 00, or what version 00 knows of a later one (W3C Trace
    /// Context, sections 3.2 and 4). `None` where it is malformed or an id is all zeroes.
    #[must_use]
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (parent_id, flags) = (parts.next()?, parts.next()?);
        let well_formed = is_hex(version, 2)
            && version != "ff"
            && is_id(trace_id, 32)
            && is_id(parent_id, 16)
            && is_hex(flags, 2)
            && (version != "00" || parts.next().is_none());
        let flags = u8::from_str_radix(flags, 16).ok()?;
        well_formed.then(|| Self {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            sampled: flags & 1 == 1,
            state: None,
            from_xray: false,
        })
    }

    /// Reads an X-Ray trace header, as a Lambda function finds it in `_X_AMZN_TRACE_ID` (AWS
    /// X-Ray Developer Guide, "Tracing header"): `Root=1-8 digits-24 digits;Parent=16
    /// digits;Sampled=1`, with other fields ignored. `None` without a root and a parent, for a
    /// `traceparent` needs both.
    #[must_use]
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| {
            header
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find_map(|(found, value)| (found == name).then_some(value))
        };
        let mut root = field("Root")?.split('-');
        let (version, time, unique) = (root.next()?, root.next()?, root.next()?);
        let trace_id = format!("{time}{unique}");
        let parent_id = field("Parent")?;
        let well_formed = version == "1"
            && root.next().is_none()
            && is_hex(time, 8)
            && is_id(&trace_id, 32)
            && is_id(parent_id, 16);
        well_formed.then(|| Self {
            parent_id: parent_id.to_owned(),
            trace_id,
            sampled: field("Sampled") == Some("1"),
            state: None,
            from_xray: true,
        })
    }

    /// The same context with a `tracestate`, which is passed on as it is. One that is empty,
    /// longer than 512 bytes or not printable ASCII is left out, as the specification allows.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        let sound =
            state.len() <= MAX_STATE && state.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
        self.state = (sound && !state.trim().is_empty()).then(|| state.to_owned());
        self
    }

    /// The 32 hexadecimal digits of the trace's id.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// `00-`, the trace's id, the parent's id, and `01` where it is sampled, else `00`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", self.trace_id, self.parent_id)
    }

    /// The `tracestate`, where there is one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The X-Ray trace header, where the context came from one.
    #[must_use]
    pub fn xray(&self) -> Option<String> {
        let (time, unique) = self.trace_id.split_at_checked(8)?;
        let (parent, sampled) = (&self.parent_id, u8::from(self.sampled));
        self.from_xray
            .then(|| format!("Root=1-{time}-{unique};Parent={parent};Sampled={sampled}"))
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::CallbackToken;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn derived(arn: &str, token: &str) -> TraceContext {
        let token = CallbackToken::new(token).unwrap();
        TraceContext::derived(&ExecutionId::from_arn(arn), &token.start_key())
    }

    #[test]
    fn a_repeated_start_derives_the_same_context_and_another_attempt_another_parent() {
        let first = derived("arn", "t1");
        assert_eq!(first, derived("arn", "t1"));
        let second = derived("arn", "t2");
        assert_eq!(first.trace_id(), second.trace_id());
        assert_ne!(first, second);
        assert_ne!(first.trace_id(), derived("other", "t1").trace_id());
    }

    #[test]
    fn what_the_specification_calls_malformed_is_no_context() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::from_traceparent(text), None, "{text}");
        }
        for header in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e98-8bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Parent=53995c3f42cd8ad8;Sampled=1",
        ] {
            assert_eq!(TraceContext::from_xray(header), None, "{header}");
        }
    }

    #[test]
    fn the_header_of_x_ray_comes_back_as_it_was() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        let lineage = format!("{header};Lineage=a87bd80c:1|68fd508a:5");
        let trace = TraceContext::from_xray(&lineage).unwrap();
        assert_eq!(trace.xray().as_deref(), Some(header));
        assert!(trace.traceparent().ends_with("-00"), "{trace}");
        assert_eq!(TraceContext::from_traceparent(W3C).unwrap().xray(), None);
    }

    #[test]
    fn a_state_that_no_variable_should_hold_is_left_out() {
        let with = |state: &str| {
            let trace = TraceContext::from_traceparent(W3C).unwrap();
            trace.with_state(state).tracestate().map(str::to_owned)
        };
        assert_eq!(
            with("congo=t61,rojo=00").as_deref(),
            Some("congo=t61,rojo=00")
        );
        assert_eq!(with(""), None);
        assert_eq!(with("a=\0"), None);
        assert_eq!(with(&"a".repeat(513)), None);
    }

    proptest! {
        #[test]
        fn a_derived_context_is_one_that_the_specification_allows(arn in ".{0,80}", token in "[!-~]{1,80}") {
            let text = derived(&arn, &token).traceparent();
            let read = TraceContext::from_traceparent(&text).unwrap();
            prop_assert_eq!(read.traceparent(), text);
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".{0,120}") {
            let _ = (TraceContext::from_traceparent(&text), TraceContext::from_xray(&text));
        }
    }
}
