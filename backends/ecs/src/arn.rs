//! The ARN of a task: which cluster, region and partition it is in.

/// The parts of a task's ARN, `arn:PARTITION:ecs:REGION:ACCOUNT:task/CLUSTER/ID`; the short form
/// of old accounts has no cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskArn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) region: &'a str,
    pub(crate) cluster: Option<&'a str>,
    pub(crate) id: &'a str,
}

impl<'a> TaskArn<'a> {
    /// The parts of `arn`, or `None` when it is not the ARN of a task.
    pub(crate) fn parse(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let path = resource.strip_prefix("task/")?;
        let (cluster, id) = match path.split_once('/') {
            Some((cluster, id)) => (Some(cluster), id),
            None => (None, path),
        };
        let whole = scheme == "arn"
            && service == "ecs"
            && ![partition, region, account, id].contains(&"")
            && cluster != Some("")
            && !id.contains('/');
        whole.then_some(Self {
            partition,
            region,
            cluster,
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_arn_has_its_parts() {
        assert_eq!(
            TaskArn::parse("arn:aws-cn:ecs:cn-north-1:123456789012:task/jobs/0a1b"),
            Some(TaskArn {
                partition: "aws-cn",
                region: "cn-north-1",
                cluster: Some("jobs"),
                id: "0a1b",
            })
        );
        let short = TaskArn::parse("arn:aws:ecs:eu-west-1:1:task/0a1b").unwrap();
        assert_eq!((short.cluster, short.id), (None, "0a1b"));
    }

    #[test]
    fn other_text_is_no_task_arn() {
        for text in [
            "",
            "unknown",
            "arn:aws:ecs:eu-west-1:1:cluster/jobs",
            "arn:aws:ecs:eu-west-1:1:task/",
            "arn:aws:ecs:eu-west-1:1:task/a/b/c",
            "arn:aws:ecs:eu-west-1:1:task//b",
            "arn:aws:batch:eu-west-1:1:task/a",
            "arn:aws:ecs::1:task/a/b",
            "x:aws:ecs:eu-west-1:1:task/a",
        ] {
            assert_eq!(TaskArn::parse(text), None, "{text}");
        }
    }
}
