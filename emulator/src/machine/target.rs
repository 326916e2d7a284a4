//! Function names as callers write them, and the functions they mean.

use crate::config::DurableConfig;
use crate::error::ApiError;
use crate::model::id::{is_name, is_version};

/// A function name in any form the API accepts: `name`, `name:qualifier`, a partial or a full ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionName {
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
}

/// A function that can be invoked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) durable: DurableConfig,
}

fn is_qualifier(text: &str) -> bool {
    is_version(text) || is_name(text, 128)
}

impl FunctionName {
    /// Reads a function name of at most 256 characters.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let invalid =
            || ApiError::invalid(format!("Invalid function name or ARN: {}", printable(text)));
        if text.is_empty() || text.len() > 256 {
            return Err(invalid());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (region, account, rest) = match parts.as_slice() {
            [
                "arn",
                partition,
                "lambda",
                region,
                account,
                "function",
                rest @ ..,
            ] if partition.starts_with("aws") && !region.is_empty() => {
                (Some(*region), Some(*account), rest)
            }
            [account, "function", rest @ ..] => (None, Some(*account), rest),
            rest => (None, None, rest),
        };
        let (name, qualifier) = match rest {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return Err(invalid()),
        };
        let account_valid = account.is_none_or(|account| {
            account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
        });
        if !is_name(name, 256)
            || !account_valid
            || qualifier.is_some_and(|qualifier| !is_qualifier(qualifier))
        {
            return Err(invalid());
        }
        Ok(Self {
            name: name.to_owned(),
            qualifier: qualifier.map(ToOwned::to_owned),
            region: region.map(ToOwned::to_owned),
            account: account.map(ToOwned::to_owned),
        })
    }

    /// Reads a function name beside which a qualifier may be given.
    pub(crate) fn qualified(text: &str, qualifier: Option<&str>) -> Result<Self, ApiError> {
        let mut name = Self::parse(text)?;
        if let Some(qualifier) = qualifier {
            if name
                .qualifier
                .as_deref()
                .is_some_and(|given| given != qualifier)
            {
                return Err(ApiError::invalid(
                    "The derived qualifier from the function name does not match the specified qualifier.",
                ));
            }
            if !is_qualifier(qualifier) {
                return Err(ApiError::invalid("Invalid qualifier."));
            }
            name.qualifier = Some(qualifier.to_owned());
        }
        Ok(name)
    }
}

/// A caller's text cut and cleaned for an error message.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(100)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_function_name_gives_the_function_and_the_qualifier() {
        let plain = |name: &str, qualifier: Option<&str>| {
            (name.to_owned(), qualifier.map(ToOwned::to_owned))
        };
        for (text, expected) in [
            ("job", plain("job", None)),
            ("job:$LATEST", plain("job", Some("$LATEST"))),
            ("job:live", plain("job", Some("live"))),
            ("000000000000:function:job", plain("job", None)),
            ("000000000000:function:job:7", plain("job", Some("7"))),
            (
                "arn:aws:lambda:us-east-1:000000000000:function:job",
                plain("job", None),
            ),
            (
                "arn:aws:lambda:us-east-1:000000000000:function:job:live",
                plain("job", Some("live")),
            ),
        ] {
            let parsed = FunctionName::parse(text).unwrap();
            assert_eq!((parsed.name, parsed.qualifier), expected, "{text}");
        }
        for bad in [
            "",
            ":",
            "a b",
            "job:",
            "job:a:b",
            "arn:aws:s3:::x",
            "1:function:job",
            "jöb",
        ] {
            assert!(FunctionName::parse(bad).is_err(), "{bad}");
        }
    }
}
