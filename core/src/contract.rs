//! The worker contract: the environment variables by which a job and its worker meet.
//!
//! Any program is a worker if it reads `CALLBACK_ID` and completes that callback through the
//! AWS Lambda API (`SendDurableExecutionCallbackSuccess`, `…Failure`, `…Heartbeat`). The
//! supervisor `longhaul-worker run -- CMD…` does it for any command.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CALLBACK_ID` | the callback token |
//! | `LONGHAUL_INPUT` | the job's input, JSON, when it travels inline |
//! | `LONGHAUL_INPUT_URI` | else: where the input is in the payload store |
//! | `LONGHAUL_INPUT_FILE` | where the supervisor put an input that came by reference, JSON; it sets `LONGHAUL_INPUT` as well when that is 100 KiB at most |
//! | `LONGHAUL_PAYLOAD_STORE` | the base of the payload store, for results that do not travel inline; absent when there is none |
//! | `LONGHAUL_RESULT_FILE` | where the command may write its result, JSON; set by the supervisor. No file means `null` |
//! | `LONGHAUL_HEARTBEAT_SECONDS` | the heartbeat timeout; 0 means none |
//! | `LONGHAUL_TIMEOUT_SECONDS` | the attempt's timeout, counted from before its start: nobody listens after it |
//! | `LONGHAUL_JOB_NAME`, `LONGHAUL_EXECUTION_ID`, `LONGHAUL_ATTEMPT` | for logs |
//! | `LONGHAUL_TIMES` | `1`: whoever reads the report reads times too. A worker may then put the line `longhaul-result/1 begun=… ended=…` before its result ([`CallbackResult::timed`](crate::CallbackResult::timed)), and `"times":{"begun":…,"ended":…}` into the data of a failure, in milliseconds since 1970. The supervisor does |
//! | `LONGHAUL_START_KEY` | hash of the token: tells one attempt from another without the secret |
//! | `TRACEPARENT`, `TRACESTATE`, `_X_AMZN_TRACE_ID` | where the job's own traces belong; see below |
//! | `MESSAGE`, `PROCESSING_TIME`, … | every top-level scalar of an object input, in upper snake case; of an input by reference those of 256 bytes at most, and the supervisor adds longer ones as far as 100 KiB go |
//! | `AWS_ENDPOINT_URL_LAMBDA`, `AWS_REGION` | set for local jobs: the standard variables of the AWS SDKs |
//!
//! # Trace context
//!
//! `TRACEPARENT` is always set, in the form of W3C Trace Context; the OpenTelemetry convention for
//! environment variables has the same name. The first of these that there is, is what it holds:
//!
//! 1. the job's own `environment`, if it sets `TRACEPARENT` or `_X_AMZN_TRACE_ID`: then longhaul sets none
//!    of the three;
//! 2. what the durable function recorded of its invocation ([`Job::with_trace`](crate::Job::with_trace)):
//!    `_X_AMZN_TRACE_ID` is set as well, for SDKs of X-Ray. A function asks for it with
//!    `JobRunner::in_trace_of` of `longhaul-lambda`;
//! 3. a well-formed `traceparent` among the top-level members of the input, with its `tracestate`: whoever started the
//!    execution has the job in their trace;
//! 4. ids derived from the execution and the attempt ([`TraceContext::derived`](crate::TraceContext::derived)): the jobs
//!    of one execution are one trace.
//!
//! All of these are the same when a start is repeated. The supervisor passes the variables on to its command.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The callback token.
pub const CALLBACK_ID: &str = "CALLBACK_ID";
/// The job's input, JSON.
pub const INPUT: &str = "LONGHAUL_INPUT";
/// Where the job's input is in the payload store, when it does not travel inline.
pub const INPUT_URI: &str = "LONGHAUL_INPUT_URI";
/// The file that an input by reference is handed to the command in; set by the supervisor.
pub const INPUT_FILE: &str = "LONGHAUL_INPUT_FILE";
/// The base of the payload store, such as `s3://bucket/prefix`.
pub const PAYLOAD_STORE: &str = "LONGHAUL_PAYLOAD_STORE";
/// Where the command may write its result, JSON.
pub const RESULT_FILE: &str = "LONGHAUL_RESULT_FILE";
/// The heartbeat timeout in seconds; 0 means none.
pub const HEARTBEAT_SECONDS: &str = "LONGHAUL_HEARTBEAT_SECONDS";
/// The attempt's timeout in seconds.
pub const TIMEOUT_SECONDS: &str = "LONGHAUL_TIMEOUT_SECONDS";
/// The job's name.
pub const JOB_NAME: &str = "LONGHAUL_JOB_NAME";
/// The execution's id.
pub const EXECUTION_ID: &str = "LONGHAUL_EXECUTION_ID";
/// The number of the attempt, from 1.
pub const ATTEMPT: &str = "LONGHAUL_ATTEMPT";
/// `1` where the reader of the report reads when the job ran.
pub const TIMES: &str = "LONGHAUL_TIMES";
/// The start key.
pub const START_KEY: &str = "LONGHAUL_START_KEY";

/// The W3C trace context of the worker.
pub const TRACEPARENT: &str = "TRACEPARENT";
/// The W3C trace state, where there is one.
pub const TRACESTATE: &str = "TRACESTATE";
/// The trace header of X-Ray, where the context came from one.
pub const XRAY_TRACE_ID: &str = "_X_AMZN_TRACE_ID";

/// The largest result that travels inline: 256 KiB, the lower of the limits that AWS documents.
pub const MAX_INLINE_RESULT: usize = 256 * 1024;

/// The largest input that a supervisor hands to its command as a variable: 100 KiB. Linux takes
/// 128 KiB for one variable with its name (`MAX_ARG_STRLEN`, execve(2)).
pub const MAX_INPUT_VARIABLE: usize = 100 * 1024;

/// The longest scalar of an input that becomes a variable when the input itself travels by
/// reference, in bytes.
pub(crate) const MAX_REFERENCED_SCALAR: usize = 256;

/// The environment of a worker. Holds the token, so `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkerEnvironment(BTreeMap<String, String>);

impl WorkerEnvironment {
    pub(crate) fn new(variables: BTreeMap<String, String>) -> Self {
        Self(variables)
    }

    /// The value of one variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets or replaces a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }
}

impl fmt::Debug for WorkerEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether `name` is letters, digits and `_`, not a digit first.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether longhaul sets the variable itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    name == CALLBACK_ID || name.starts_with("LONGHAUL_")
}

/// Whether the variable steers the loader, the shell, an interpreter, a toolchain or an SDK.
/// The input is data: it must not do that. A job that wants to set one says so in its
/// `environment`.
fn steers_the_process(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "BASH_ENV",
        "CDPATH",
        "ENV",
        "HOME",
        "HOSTNAME",
        "IFS",
        "LOGNAME",
        "PATH",
        "PERL5LIB",
        "PERL5OPT",
        "PWD",
        "SHELL",
        "SHELLOPTS",
        "TMPDIR",
        "USER",
        "RUBYOPT",
    ];
    const PREFIXES: [&str; 15] = [
        "AWS_",
        "DYLD_",
        "ECS_",
        "GIT_",
        "GLIBC_",
        "HTTPS_",
        "HTTP_",
        "JAVA_",
        "JDK_",
        "LD_",
        "LONGHAUL_",
        "MALLOC_",
        "NODE_",
        "PYTHON",
        "SSL_",
    ];
    name == CALLBACK_ID
        || NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Every top-level scalar of an object input as a variable in upper snake case, so that a
/// container that reads `MESSAGE` and `PROCESSING_TIME` needs no change. Left out: null, values
/// with a NUL character, names that are no variable names, and variables that steer the process
/// (`PATH`, `LD_…`, `AWS_…` and the like). The whole input is in `LONGHAUL_INPUT` all the same.
#[must_use]
pub fn input_variables(input: &Value) -> BTreeMap<String, String> {
    let Value::Object(members) = input else {
        return BTreeMap::new();
    };
    members
        .iter()
        .filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            let name = upper_snake_case(key);
            (is_variable_name(&name) && !steers_the_process(&name) && !value.contains('\0'))
                .then_some((name, value))
        })
        .collect()
}

/// `processingTime` as `PROCESSING_TIME`, `HTTPServer` as `HTTP_SERVER`, `a-b` as `A_B`.
fn upper_snake_case(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    let mut name = String::with_capacity(key.len() + 4);
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        let starts_word = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if starts_word {
            name.push('_');
        }
        match c {
            '-' | '.' | ' ' => name.push('_'),
            _ => name.extend(c.to_uppercase()),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_become_upper_snake_case() {
        for (key, name) in [
            ("message", "MESSAGE"),
            ("processingTime", "PROCESSING_TIME"),
            ("HTTPServer", "HTTP_SERVER"),
            ("frame2Render", "FRAME2_RENDER"),
            ("a-b.c d", "A_B_C_D"),
            ("already_snake", "ALREADY_SNAKE"),
            ("UPPER_CASE", "UPPER_CASE"),
        ] {
            assert_eq!(upper_snake_case(key), name);
        }
    }

    #[test]
    fn scalars_become_variables_and_nothing_else_does() {
        let variables = input_variables(&json!({
            "text": "a \"b\"\n😀", "number": 1.5, "truth": true,
            "nothing": null, "list": [1], "object": {}, "nul": "a\u{0}b", "ключ": "x", "": "x", "1a": "x",
        }));
        let expected = [
            ("NUMBER", "1.5"),
            ("TEXT", "a \"b\"\n😀"),
            ("TRUTH", "true"),
        ];
        let found: Vec<_> = variables
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected);
        assert!(input_variables(&json!("text")).is_empty());
    }

    #[test]
    fn the_input_cannot_steer_the_process() {
        let variables = input_variables(&json!({
            "path": "/evil", "ldPreload": "x.so", "awsEndpointUrlLambda": "http://evil",
            "callbackId": "x", "longhaulInput": "x", "PYTHONPATH": "x", "nodeOptions": "x",
        }));
        assert_eq!(variables, BTreeMap::new());
    }

    proptest! {
        #[test]
        fn every_variable_of_an_input_is_one_that_a_process_can_have(keys in proptest::collection::vec(any::<String>(), 0..8), value in any::<String>()) {
            let input = Value::Object(keys.into_iter().map(|k| (k, json!(value))).collect());
            for (name, value) in input_variables(&input) {
                prop_assert!(is_variable_name(&name) && !is_reserved(&name) && !value.contains('\0'));
            }
        }
    }
}
