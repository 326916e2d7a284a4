//! Tests of the configuration.

use std::collections::BTreeMap;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::read(|name| variables.get(name).cloned())
}

#[test]
fn a_missing_backend_lists_what_is_allowed() {
    let error = read(&[]).unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert!(
        error.to_string().contains("LONGHAUL_BACKEND is not set"),
        "{error}"
    );
    for name in COMPILED {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn an_unknown_backend_lists_what_is_allowed() {
    let error = read(&[("LONGHAUL_BACKEND", "kubernetes")]).unwrap_err();
    assert!(error.to_string().contains("\"kubernetes\""), "{error}");
    for name in COMPILED {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = read(&[
        ("LONGHAUL_BACKEND", "mainframe"),
        ("LONGHAUL_JOB", r#"{"name":"a","retry":{"attemps":1}}"#),
        ("LONGHAUL_HEARTBEAT", "soon"),
    ])
    .unwrap_err();
    assert_eq!(error.problems().len(), 3, "{error}");
    assert!(error.to_string().contains("retry"), "{error}");
}

#[test]
fn a_namespace_for_metrics_is_checked_and_none_is_none() {
    let problems = |namespace| {
        let error = read(&[("LONGHAUL_METRICS", namespace)]).unwrap_err();
        error.problems().len()
    };
    // The backend is missing in both.
    assert_eq!(problems("none"), 1);
    assert_eq!(problems("AWS/Lambda"), 2);
}

#[cfg(feature = "process")]
mod process {
    use super::*;

    #[test]
    fn the_process_backend_needs_nothing_else() {
        let config = read(&[("LONGHAUL_BACKEND", "process")]).unwrap();
        assert_eq!(config.backends.len(), 1);
        assert!(config.job.is_none());
    }

    #[test]
    fn a_backend_is_named_once() {
        let error = read(&[("LONGHAUL_BACKEND", "process, process")]).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn the_configured_job_and_heartbeat_are_read() {
        let config = read(&[
            ("LONGHAUL_BACKEND", "process"),
            ("LONGHAUL_JOB", r#"{"name":"sample","command":["work"]}"#),
            ("LONGHAUL_HEARTBEAT", "90s"),
        ])
        .unwrap();
        assert_eq!(config.job.unwrap().name.as_str(), "sample");
        assert_eq!(config.heartbeat, Some(Duration::from_secs(90)));
    }
}

fn store_problem(url: &str) -> String {
    let error = read(&[("LONGHAUL_PAYLOAD_STORE", url)]).unwrap_err();
    // The backend is missing too, and is reported beside it.
    assert_eq!(error.problems().len(), 2, "{error}");
    error.problems()[1].clone()
}

#[cfg(feature = "payload")]
mod payload {
    use super::*;

    #[test]
    fn a_payload_store_that_cannot_be_is_reported_with_the_rest() {
        for (url, part) in [
            ("payloads", "no URL"),
            ("https://bucket/x", "no store of the kind `https:`"),
            ("memory:", "no worker can reach"),
            ("file:///dev/null/x", "/dev/null/x"),
        ] {
            let problem = store_problem(url);
            assert!(
                problem.starts_with("LONGHAUL_PAYLOAD_STORE is wrong: ") && problem.contains(part),
                "{url}: {problem}"
            );
        }
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_store_on_s3_needs_the_feature_and_says_so() {
        let problem = store_problem("s3://bucket/x");
        assert!(problem.contains("the feature `s3`"), "{problem}");
    }

    #[cfg(feature = "process")]
    #[test]
    fn the_handler_that_is_built_has_the_payload_store() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let config = read(&[
            ("LONGHAUL_BACKEND", "process"),
            ("LONGHAUL_PAYLOAD_STORE", &url),
        ])
        .unwrap();
        let sdk = aws_config::SdkConfig::builder().build();
        let handler = config.build(&sdk).unwrap();
        let text = format!("{:?}", handler.runner());
        assert!(text.contains(&url), "{text}");
    }
}

#[test]
fn no_payload_store_can_be_said_in_every_build() {
    let error = read(&[("LONGHAUL_PAYLOAD_STORE", " none ")]).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
}

#[cfg(not(feature = "payload"))]
#[test]
fn a_payload_store_needs_the_feature_and_says_so() {
    let problem = store_problem("file:///tmp");
    assert!(problem.contains("the feature `payload`"), "{problem}");
}
