//! The request that a job becomes, field by field, and the jobs that become none.

use std::collections::BTreeMap;

use longhaul_core::{ExecutionId, JobSpec, Retry};
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "dG9rZW4tMQ==";

fn token() -> CallbackToken {
    CallbackToken::new(TOKEN).unwrap()
}

fn job(spec: &str) -> Job {
    let spec: JobSpec = serde_json::from_str(spec).unwrap();
    Job::new(spec, ExecutionId::from_arn("arn"), 2, &token())
}

fn config() -> BatchConfig {
    BatchConfig::new("jobs", "worker:7")
}

fn submit_input(config: &BatchConfig, job: &Job) -> SubmitJobInput {
    submit(config, job, &token()).unwrap().build().unwrap()
}

fn refused(spec: &str) -> BackendError {
    submit(&config(), &job(spec), &token()).unwrap_err()
}

#[test]
fn a_job_becomes_a_request_field_by_field() {
    let mut config = config();
    config.share_identifier = Some("research".to_owned());
    config.scheduling_priority = Some(7);
    config.propagate_tags = Some(true);
    config.tags = BTreeMap::from([
        ("team".to_owned(), "render".to_owned()),
        ("stage".to_owned(), "dev".to_owned()),
    ]);
    let job = job(
        r#"{"name":"hello","command":["render","--name","für 😀"],"environment":{"A":"1"},
            "input":{"message":"hi"},"resources":{"vcpus":0.25,"memory_mib":512,"gpus":1},
            "timeout":"2h","heartbeat":"30s","tags":{"stage":"prod"}}"#,
    );
    let input = submit_input(&config, &job);

    assert_eq!(
        input.job_name(),
        Some(&*format!("lh-{}-{}", job.execution(), token().start_key()))
    );
    assert_eq!(input.job_queue(), Some("jobs"));
    assert_eq!(input.job_definition(), Some("worker:7"));
    assert_eq!(input.share_identifier(), Some("research"));
    assert_eq!(input.scheduling_priority_override(), Some(7));
    assert_eq!(input.propagate_tags(), Some(true));
    assert_eq!(
        input.timeout().unwrap().attempt_duration_seconds(),
        Some(7200)
    );
    let retry = input.retry_strategy().unwrap();
    assert_eq!(retry.attempts(), Some(1));
    assert!(retry.evaluate_on_exit().is_empty());

    let overrides = input.container_overrides().unwrap();
    assert_eq!(overrides.command(), ["render", "--name", "für 😀"]);
    let environment: Vec<_> = overrides
        .environment()
        .iter()
        .map(|pair| (pair.name().unwrap(), pair.value().unwrap()))
        .collect();
    let expected = job.environment(&token());
    assert_eq!(environment, expected.iter().collect::<Vec<_>>());
    assert!(environment.contains(&("CALLBACK_ID", TOKEN)));
    assert!(environment.contains(&("A", "1")));
    assert!(environment.contains(&("MESSAGE", "hi")));
    let requirements: Vec<_> = overrides
        .resource_requirements()
        .iter()
        .map(|one| (one.r#type().unwrap().as_str(), one.value().unwrap()))
        .collect();
    assert_eq!(
        requirements,
        [("VCPU", "0.25"), ("MEMORY", "512"), ("GPU", "1")]
    );

    let tags: BTreeMap<_, _> = input.tags().unwrap().clone().into_iter().collect();
    let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        tags,
        [
            ("longhaul:attempt", "2"),
            ("longhaul:execution", job.execution().as_str()),
            ("longhaul:job", "hello"),
            ("stage", "prod"),
            ("team", "render"),
        ]
    );

    // What is not ours to set.
    assert_eq!(input.array_properties(), None);
    assert!(input.depends_on().is_empty());
    assert_eq!(input.parameters(), None);
    assert_eq!(input.node_overrides(), None);
    assert_eq!(input.eks_properties_override(), None);
    assert_eq!(input.ecs_properties_override(), None);
    #[expect(deprecated, reason = "to see that the deprecated fields stay unused")]
    let deprecated = (overrides.vcpus(), overrides.memory());
    assert_eq!(deprecated, (None, None));
    assert_eq!(overrides.instance_type(), None);
}

#[test]
fn what_a_job_does_not_say_is_left_to_the_definition() {
    let input = submit_input(&config(), &job(r#"{"name":"a","resources":{"gpus":0}}"#));
    let overrides = input.container_overrides().unwrap();
    assert_eq!(overrides.command, None);
    assert_eq!(overrides.resource_requirements, None);
    assert_eq!(input.share_identifier(), None);
    assert_eq!(input.scheduling_priority_override(), None);
    assert_eq!(input.propagate_tags(), None);
    let whole = submit_input(&config(), &job(r#"{"name":"a","resources":{"vcpus":4}}"#));
    let requirements = whole.container_overrides().unwrap().resource_requirements();
    assert_eq!(requirements[0].value(), Some("4"));
}

#[test]
fn a_timeout_shorter_than_batch_allows_is_raised() {
    for (text, seconds) in [
        ("1s", 60),
        ("59s", 60),
        ("60s", 60),
        ("61s", 61),
        ("366days", 31_622_400),
    ] {
        let job = job(&format!(r#"{{"name":"a","timeout":"{text}"}}"#));
        let input = submit_input(&config(), &job);
        assert_eq!(
            input.timeout().unwrap().attempt_duration_seconds(),
            Some(seconds),
            "{text}"
        );
        let environment = input.container_overrides().unwrap().environment();
        let own = environment
            .iter()
            .find(|pair| pair.name() == Some("LONGHAUL_TIMEOUT_SECONDS"))
            .unwrap();
        assert_eq!(
            own.value().map(str::to_owned),
            Some(job.spec().timeout.as_secs().to_string()),
            "the worker knows the true one"
        );
    }
}

#[test]
fn the_token_is_in_the_environment_and_nowhere_else() {
    let job = job(r#"{"name":"a","command":["x"],"tags":{"t":"v"}}"#);
    let mut input = submit_input(&config(), &job);
    let overrides = input.container_overrides.as_mut().unwrap();
    let environment = overrides.environment.take().unwrap();
    let holding = environment
        .iter()
        .filter(|pair| pair.value().unwrap().contains(TOKEN))
        .count();
    assert_eq!(holding, 1);
    assert!(!format!("{input:?}").contains(TOKEN));
}

#[test]
fn what_batch_cannot_do_is_refused_with_the_field_and_what_to_do() {
    let many: BTreeMap<_, _> = (0..40).map(|n| (format!("t{n}"), "v")).collect();
    let many = serde_json::to_string(&many).unwrap();
    for (spec, parts) in [
        (
            r#"{"name":"a","working_directory":"/tmp"}"#.to_owned(),
            ["working_directory", "WORKDIR"],
        ),
        (
            r#"{"name":"a","resources":{"ephemeral_storage_gib":30}}"#.to_owned(),
            ["resources.ephemeral_storage_gib", "job definition"],
        ),
        (
            r#"{"name":"a","environment":{"AWS_BATCH_X":"1"}}"#.to_owned(),
            ["environment.AWS_BATCH_X", "choose another"],
        ),
        (
            r#"{"name":"a","command":["x",""]}"#.to_owned(),
            ["command[1]", "empty"],
        ),
        (
            r#"{"name":"a","tags":{"aws:x":"1"}}"#.to_owned(),
            ["tags.aws:x", "aws:"],
        ),
        (
            r#"{"name":"a","tags":{"longhaul:job":"1"}}"#.to_owned(),
            ["tags.longhaul:job", "longhaul"],
        ),
        (
            format!(r#"{{"name":"a","tags":{{"{}":"1"}}}}"#, "k".repeat(129)),
            ["tags.k", "128"],
        ),
        (
            format!(r#"{{"name":"a","tags":{{"k":"{}"}}}}"#, "v".repeat(257)),
            ["tags.k", "256"],
        ),
        (
            r#"{"name":"a","timeout":"0s"}"#.to_owned(),
            ["timeout", "1 s"],
        ),
    ] {
        let error = refused(&spec);
        assert_eq!(error.kind(), BackendErrorKind::InvalidSpec, "{spec}");
        assert_eq!(error.retry(), Retry::Never);
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let mut config = config();
    config.tags = (0..8).map(|n| (format!("c{n}"), String::new())).collect();
    let job = job(&format!(r#"{{"name":"a","tags":{many}}}"#));
    let error = submit(&config, &job, &token()).unwrap_err();
    assert!(error.to_string().contains("tags: 51"), "{error}");
    config.tags.pop_first();
    assert!(submit(&config, &job, &token()).is_ok());
}

#[test]
fn overrides_that_do_not_fit_are_refused_by_how_much() {
    let with_input = |length: usize| {
        job(&format!(
            r#"{{"name":"a","input":["{}"]}}"#,
            "x".repeat(length)
        ))
    };
    let size_of = |job: &Job| {
        let input = submit_input(&config(), job);
        size(input.container_overrides().unwrap())
    };
    let empty = size_of(&with_input(0));
    let most = MAX_OVERRIDES - RESERVED_OVERRIDES;
    let fits = with_input(most - empty);
    assert_eq!(size_of(&fits), most);

    let over = with_input(most - empty + 3);
    let error = submit(&config(), &over, &token()).unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::TooLarge);
    assert_eq!(error.retry(), Retry::Never);
    assert!(
        error.to_string().contains("3 more than the 7680"),
        "{error}"
    );
    assert!(!error.to_string().contains(TOKEN));
    let by_reference = over.with_input_uri("s3://bucket/key");
    assert!(submit(&config(), &by_reference, &token()).is_ok());
}

#[test]
fn the_variables_of_batch_fit_in_what_is_kept_free() {
    let longest = "x".repeat(128);
    let batch: Vec<_> = [
        ("AWS_BATCH_JOB_ID", "x".repeat(36)),
        ("AWS_BATCH_JOB_ATTEMPT", "10".to_owned()),
        ("AWS_BATCH_JQ_NAME", longest.clone()),
        ("AWS_BATCH_CE_NAME", longest),
    ]
    .into_iter()
    .map(|(name, value)| json!({"name": name, "value": value}))
    .collect();
    let added = json!(batch).to_string().len() - 2 + 1;
    assert!(added <= RESERVED_OVERRIDES, "{added}");
}

proptest! {
    #[test]
    fn any_input_becomes_a_request_or_an_error_without_the_token(input in any::<String>(), token in "[!-~]{20,60}") {
        let token = CallbackToken::new(token).unwrap();
        let spec = JobSpec::new("a".parse().unwrap()).with_input(input);
        let job = Job::new(spec, ExecutionId::from_arn("arn"), 1, &token);
        match submit(&config(), &job, &token) {
            Ok(_) => {}
            Err(error) => prop_assert!(!error.full_message().contains(token.expose())),
        }
    }
}
