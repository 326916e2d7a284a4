//! What a job's processes take over of their starter's environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use longhaul_core::contract;

/// This process's variables, as far as they are for others too.
pub(crate) fn inherited() -> BTreeMap<OsString, OsString> {
    std::env::vars_os()
        .filter(|(name, _)| !is_the_functions_own(name))
        .collect()
}

/// Whether a variable tells a Lambda function, or a worker of longhaul, about itself. A job that
/// is started by either must not take it for its own.
fn is_the_functions_own(name: &OsStr) -> bool {
    const NAMES: [&str; 7] = [
        "_HANDLER",
        contract::TRACEPARENT,
        contract::TRACESTATE,
        contract::XRAY_TRACE_ID,
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        contract::CALLBACK_ID,
    ];
    NAMES.iter().any(|own| name == *own)
        || name.as_bytes().starts_with(b"AWS_LAMBDA_")
        || name.as_bytes().starts_with(b"LONGHAUL_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_functions_own_is_not_handed_on() {
        for own in [
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_LAMBDA_FUNCTION_NAME",
            "_HANDLER",
            "LAMBDA_TASK_ROOT",
            "LAMBDA_RUNTIME_DIR",
            "LONGHAUL_BACKEND",
            "LONGHAUL_START_KEY",
            "CALLBACK_ID",
            "_X_AMZN_TRACE_ID",
        ] {
            assert!(is_the_functions_own(OsStr::new(own)), "{own}");
        }
        for shared in [
            "AWS_REGION",
            "AWS_ENDPOINT_URL_LAMBDA",
            "PATH",
            "HOME",
            "LONGHAULER",
        ] {
            assert!(!is_the_functions_own(OsStr::new(shared)), "{shared}");
        }
    }
}
