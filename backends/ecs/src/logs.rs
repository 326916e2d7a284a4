//! Where a task's logs are: the CloudWatch console's page of its log stream.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::arn::TaskArn;

/// Where the containers' `awslogs` driver writes, as the task definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLocation {
    /// The log group: `awslogs-group`.
    pub group: String,
    /// The prefix of the streams: `awslogs-stream-prefix`, which Fargate demands.
    pub stream_prefix: String,
}

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

impl LogLocation {
    /// The console's page of the stream `prefix/container/task id`, in the task's own region.
    pub(crate) fn link(&self, task: &TaskArn<'_>, container: &str) -> String {
        let region = task.region;
        let host = match task.partition {
            "aws-cn" => format!("{region}.console.amazonaws.cn"),
            "aws-us-gov" => format!("{region}.console.amazonaws-us-gov.com"),
            _ => format!("{region}.console.aws.amazon.com"),
        };
        let stream = format!("{}/{container}/{}", self.stream_prefix, task.id);
        format!(
            "https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{}/log-events/{}",
            fragment(&self.group),
            fragment(&stream)
        )
    }
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

    fn link(arn: &str) -> String {
        let logs = LogLocation {
            group: "/ecs/long haul".to_owned(),
            stream_prefix: "jobs".to_owned(),
        };
        logs.link(&TaskArn::parse(arn).unwrap(), "worker")
    }

    #[test]
    fn the_link_names_group_and_stream_as_the_console_encodes_them() {
        assert_eq!(
            link("arn:aws:ecs:eu-west-1:1:task/c/0a1b"),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1\
             #logsV2:log-groups/log-group/$252Fecs$252Flong$2520haul\
             /log-events/jobs$252Fworker$252F0a1b"
        );
    }

    #[test]
    fn other_partitions_have_other_consoles() {
        let china = link("arn:aws-cn:ecs:cn-north-1:1:task/c/0a1b");
        assert!(china.starts_with("https://cn-north-1.console.amazonaws.cn/"));
        let gov = link("arn:aws-us-gov:ecs:us-gov-west-1:1:task/c/0a1b");
        assert!(gov.starts_with("https://us-gov-west-1.console.amazonaws-us-gov.com/"));
    }
}
