//! Log records as the suite looks for them: one JSON object a line, with the execution's ARN.

use serde_json::json;

/// Prints `message` as a record of execution `arn`.
pub(crate) fn log(arn: &str, message: &str) {
    println!("{}", json!({"executionArn": arn, "message": message}));
}
