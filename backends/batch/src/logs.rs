//! The link to a job's logs in the CloudWatch console.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encodeURIComponent` leaves alone, which the console uses.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The console's page of `stream` of `group`, in the region and partition that the ARN of the
/// job names; `None` where `arn` is no ARN.
pub(crate) fn console_link(arn: &str, group: &str, stream: &str) -> Option<String> {
    let mut parts = arn.split(':');
    let (scheme, partition) = (parts.next()?, parts.next()?);
    let (_service, region) = (parts.next()?, parts.next()?);
    if scheme != "arn" || region.is_empty() {
        return None;
    }
    let host = match partition {
        "aws-cn" => format!("{region}.console.amazonaws.cn"),
        "aws-us-gov" => format!("{region}.console.amazonaws-us-gov.com"),
        _ => format!("{region}.console.aws.amazon.com"),
    };
    Some(format!(
        "https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{}/log-events/{}",
        fragment(group),
        fragment(stream),
    ))
}

/// `text` as the console writes names behind the `#`: percent-encoded twice, with `$` for `%`.
fn fragment(text: &str) -> String {
    let once = utf8_percent_encode(text, PLAIN).to_string();
    let twice = utf8_percent_encode(&once, PLAIN).to_string();
    twice.replace('%', "$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_opens_the_stream_in_the_console_of_the_jobs_region() {
        assert_eq!(
            console_link(
                "arn:aws:batch:eu-west-1:123456789012:job/1",
                "/aws/batch/job",
                "worker/default/abc"
            )
            .unwrap(),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Fbatch$252Fjob/log-events/worker$252Fdefault$252Fabc"
        );
    }

    #[test]
    fn each_partition_has_its_own_console() {
        for (partition, host) in [
            ("aws-cn", "https://r.console.amazonaws.cn/"),
            ("aws-us-gov", "https://r.console.amazonaws-us-gov.com/"),
        ] {
            let arn = format!("arn:{partition}:batch:r:1:job/1");
            assert!(console_link(&arn, "g", "s").unwrap().starts_with(host));
        }
    }

    #[test]
    fn what_is_no_arn_has_no_link() {
        for arn in ["", "job", "arn:aws", "arn:aws:batch::1:job/1"] {
            assert_eq!(console_link(arn, "g", "s"), None, "{arn}");
        }
    }
}
