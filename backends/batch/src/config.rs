//! Where Batch jobs run: the queue, the definition and what goes with them.

use std::collections::BTreeMap;
use std::fmt;

use crate::tags;

/// The log group of jobs whose definition names none (AWS Batch User Guide, "Use the awslogs
/// log driver").
pub const DEFAULT_LOG_GROUP: &str = "/aws/batch/job";

/// Where Batch jobs run.
///
/// | variable | meaning |
/// | --- | --- |
/// | `BATCH_JOB_QUEUE` | the queue, name or ARN. Required |
/// | `BATCH_JOB_DEFINITION` | the job definition: `name`, `name:revision` or ARN; without a revision the latest active one. Required |
/// | `BATCH_SHARE_IDENTIFIER` | the share that jobs are counted to. Needed if, and only if, the queue has a fair-share policy |
/// | `BATCH_SCHEDULING_PRIORITY` | 0 to 9999, the higher the sooner within the share; needs `BATCH_SHARE_IDENTIFIER` |
/// | `BATCH_TAGS` | more tags for every job: `key=value,key=value` |
/// | `BATCH_PROPAGATE_TAGS` | `true` or `false`: whether the ECS task carries the job's tags too. Absent: as the definition says |
/// | `BATCH_LOG_GROUP` | the log group for links to logs, where Batch does not name it itself; `/aws/batch/job` by default |
///
/// ```
/// use longhaul_batch::BatchConfig;
///
/// let error = BatchConfig::from_env(|name| match name {
///     "BATCH_SCHEDULING_PRIORITY" => Some("high".to_owned()),
///     _ => None,
/// })
/// .unwrap_err();
/// assert_eq!(error.problems().len(), 3); // no queue, no definition, a priority that is no number
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchConfig {
    /// The queue, name or ARN.
    pub job_queue: String,
    /// The job definition: `name`, `name:revision` or ARN.
    pub job_definition: String,
    /// The share that jobs are counted to, for queues with a fair-share policy.
    pub share_identifier: Option<String>,
    /// 0 to 9999, the higher the sooner within the share.
    pub scheduling_priority: Option<i32>,
    /// More tags for every job. A tag of the job's spec with the same key wins.
    pub tags: BTreeMap<String, String>,
    /// Whether the ECS task carries the job's tags too. `None`: as the definition says.
    pub propagate_tags: Option<bool>,
    /// The log group for links to logs, where Batch does not name it itself.
    pub log_group: String,
}

impl BatchConfig {
    /// Jobs on `job_queue` from `job_definition`, with defaults for everything else.
    #[must_use]
    pub fn new(job_queue: impl Into<String>, job_definition: impl Into<String>) -> Self {
        Self {
            job_queue: job_queue.into(),
            job_definition: job_definition.into(),
            share_identifier: None,
            scheduling_priority: None,
            tags: BTreeMap::new(),
            propagate_tags: None,
            log_group: DEFAULT_LOG_GROUP.to_owned(),
        }
    }

    /// Reads the variables of the table above through `variable`, such as
    /// `|name| std::env::var(name).ok()`. An empty variable is an absent one.
    ///
    /// # Errors
    ///
    /// Every missing or wrong variable, all of them together.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut reader = Reader {
            variable,
            problems: Vec::new(),
        };
        let config = Self {
            job_queue: reader.required(
                "BATCH_JOB_QUEUE",
                "the name or ARN of the queue that jobs are submitted to",
            ),
            job_definition: reader.required(
                "BATCH_JOB_DEFINITION",
                "the name, name:revision or ARN of the definition that jobs are made from",
            ),
            share_identifier: reader.optional("BATCH_SHARE_IDENTIFIER"),
            scheduling_priority: reader.priority(),
            tags: reader.tags(),
            propagate_tags: reader.truth("BATCH_PROPAGATE_TAGS"),
            log_group: reader
                .optional("BATCH_LOG_GROUP")
                .unwrap_or_else(|| DEFAULT_LOG_GROUP.to_owned()),
        };
        if let Some(share) = &config.share_identifier
            && share.chars().count() > 255
        {
            reader.problem(
                "BATCH_SHARE_IDENTIFIER",
                "has more than 255 characters, which Batch refuses",
            );
        }
        if config.scheduling_priority.is_some() && config.share_identifier.is_none() {
            reader.problem(
                "BATCH_SCHEDULING_PRIORITY",
                "counts within a share only: set BATCH_SHARE_IDENTIFIER too, or leave it out",
            );
        }
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors {
                problems: reader.problems,
            })
        }
    }
}

/// What is wrong with a configuration: every problem, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<String>,
}

impl ConfigErrors {
    /// The problems, at least one, each naming its variable and what to do.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration of the AWS Batch backend is wrong")?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads variables and collects what is wrong with them.
struct Reader<F> {
    variable: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn problem(&mut self, variable: &str, problem: &str) {
        self.problems.push(format!("{variable} {problem}"));
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, meaning: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(name, &format!("is not set: it is {meaning}"));
            String::new()
        })
    }

    fn priority(&mut self) -> Option<i32> {
        const NAME: &str = "BATCH_SCHEDULING_PRIORITY";
        let text = self.optional(NAME)?;
        let priority = text.parse().ok().filter(|p| (0..=9999).contains(p));
        if priority.is_none() {
            self.problem(
                NAME,
                &format!("is {text:?}: use a whole number from 0 to 9999"),
            );
        }
        priority
    }

    fn truth(&mut self, name: &str) -> Option<bool> {
        let text = self.optional(name)?;
        let truth = text.parse().ok();
        if truth.is_none() {
            self.problem(name, &format!("is {text:?}: use true or false"));
        }
        truth
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        const NAME: &str = "BATCH_TAGS";
        let Some(text) = self.optional(NAME) else {
            return BTreeMap::new();
        };
        let mut all = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                self.problem(NAME, &format!("has {part:?}: write tags as key=value"));
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            if let Err(problem) = tags::check(key, value) {
                self.problem(NAME, &format!("has the tag {key:?}, which {problem}"));
            } else if all.insert(key.to_owned(), value.to_owned()).is_some() {
                self.problem(NAME, &format!("has the tag {key:?} twice"));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<BatchConfig, Vec<String>> {
        BatchConfig::from_env(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .map_err(|errors| errors.problems().to_vec())
    }

    #[test]
    fn a_queue_and_a_definition_are_enough() {
        let config = read(&[
            ("BATCH_JOB_QUEUE", " jobs "),
            ("BATCH_JOB_DEFINITION", "worker:7"),
            ("BATCH_SHARE_IDENTIFIER", ""),
        ]);
        assert_eq!(config, Ok(BatchConfig::new("jobs", "worker:7")));
        assert_eq!(config.unwrap().log_group, "/aws/batch/job");
    }

    #[test]
    fn every_variable_is_read() {
        let config = read(&[
            ("BATCH_JOB_QUEUE", "jobs"),
            ("BATCH_JOB_DEFINITION", "worker"),
            ("BATCH_SHARE_IDENTIFIER", "research"),
            ("BATCH_SCHEDULING_PRIORITY", "9999"),
            ("BATCH_TAGS", "team=render, stage=dev,,empty="),
            ("BATCH_PROPAGATE_TAGS", "true"),
            ("BATCH_LOG_GROUP", "/jobs"),
        ])
        .unwrap();
        assert_eq!(config.share_identifier.as_deref(), Some("research"));
        assert_eq!(config.scheduling_priority, Some(9999));
        let tags: Vec<_> = config
            .tags
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(tags, [("empty", ""), ("stage", "dev"), ("team", "render")]);
        assert_eq!(config.propagate_tags, Some(true));
        assert_eq!(config.log_group, "/jobs");
    }

    #[test]
    fn all_that_is_wrong_is_reported_together() {
        let errors = read(&[
            ("BATCH_SCHEDULING_PRIORITY", "10000"),
            ("BATCH_TAGS", "plain,aws:x=y,a=1,a=2,longhaul:job=x"),
            ("BATCH_PROPAGATE_TAGS", "yes"),
        ])
        .unwrap_err();
        let expected = [
            "BATCH_JOB_QUEUE is not set",
            "BATCH_JOB_DEFINITION is not set",
            "BATCH_SCHEDULING_PRIORITY is \"10000\"",
            "BATCH_TAGS has \"plain\"",
            "BATCH_TAGS has the tag \"aws:x\", which",
            "BATCH_TAGS has the tag \"a\" twice",
            "BATCH_TAGS has the tag \"longhaul:job\", which",
            "BATCH_PROPAGATE_TAGS is \"yes\"",
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (error, start) in errors.iter().zip(expected) {
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn a_priority_without_a_share_is_contradictory() {
        let base = [
            ("BATCH_JOB_QUEUE", "jobs"),
            ("BATCH_JOB_DEFINITION", "worker"),
            ("BATCH_SCHEDULING_PRIORITY", "1"),
        ];
        let errors = read(&base).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("BATCH_SHARE_IDENTIFIER"), "{errors:?}");
        let long = "x".repeat(256);
        let errors = read(&[&base[..], &[("BATCH_SHARE_IDENTIFIER", long.as_str())]].concat());
        assert!(errors.unwrap_err()[0].contains("255"));
    }

    #[test]
    fn the_errors_are_written_one_a_line() {
        let error = BatchConfig::from_env(|_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration of the AWS Batch backend is wrong\
             \n  - BATCH_JOB_QUEUE is not set: it is the name or ARN of the queue that jobs are submitted to\
             \n  - BATCH_JOB_DEFINITION is not set: it is the name, name:revision or ARN of the definition that jobs are made from"
        );
    }
}
