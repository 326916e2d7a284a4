//! The payload words against a store in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{CallbackToken, JobName, JobSpec, contract};

/// Keeps payloads in a map, and lets a test change them.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl PayloadStore for Shelf {
    fn base(&self) -> &'static str {
        "shelf://one/two"
    }

    async fn put(&self, key: &PayloadKey, content: Vec<u8>) -> Result<PayloadUri, PayloadError> {
        let uri = PayloadUri::of_content(self.base(), key.clone(), &content)
            .map_err(|e| PayloadError::new(PayloadErrorKind::InvalidUri, e.to_string()))?;
        self.0.lock().unwrap().insert(key.to_string(), content);
        Ok(uri)
    }

    async fn get(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
        let shelf = self.0.lock().unwrap();
        let missing = || PayloadError::new(PayloadErrorKind::Missing, "nothing there");
        let content = shelf
            .get(&uri.key().to_string())
            .cloned()
            .ok_or_else(missing)?;
        uri.verify(&content)?;
        Ok(content)
    }
}

fn job(input: Value) -> (Job, CallbackToken) {
    let token = CallbackToken::new("dG9rZW4=").unwrap();
    let spec = JobSpec::new(JobName::new("a").unwrap()).with_input(input);
    (
        Job::new(spec, ExecutionId::from_arn("arn"), 1, &token),
        token,
    )
}

fn key(token: &str, kind: PayloadKind) -> PayloadKey {
    let token = CallbackToken::new(token).unwrap();
    PayloadKey::new(ExecutionId::from_arn("arn"), token.start_key(), kind)
}

fn uri() -> PayloadUri {
    PayloadUri::of_content("s3://bucket/p", key("t", PayloadKind::Result), b"[1]").unwrap()
}

#[tokio::test]
async fn an_input_goes_to_the_worker_by_reference() {
    let shelf = Shelf::default();
    let input = json!({"text": "😀\n\u{0}", "list": [1, 2]});
    let (job, token) = job(input.clone());
    let job = put_input(&shelf, job).await.unwrap();
    let environment = job.environment(&token);
    assert_eq!(environment.get(contract::INPUT), None);
    let uri: PayloadUri = environment
        .get(contract::INPUT_URI)
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(*uri.key(), PayloadKey::input(&job));
    assert_eq!(get_input(&shelf, &uri).await.unwrap(), input);
}

#[tokio::test]
async fn an_input_put_twice_has_one_uri() {
    let shelf = Shelf::default();
    let (job, _) = job(json!({"b": 1, "a": 2}));
    let first = put_input(&shelf, job.clone()).await.unwrap();
    assert_eq!(put_input(&shelf, job).await.unwrap(), first);
}

#[tokio::test]
async fn a_result_travels_inline_up_to_the_limit_and_by_reference_beyond() {
    let shelf = Shelf::default();
    let (job, _) = job(Value::Null);
    let (execution, start_key) = (job.execution(), job.start_key());
    for (size, inline) in [
        (4, true),
        (MAX_INLINE_RESULT, true),
        (MAX_INLINE_RESULT + 1, false),
    ] {
        let result = format!("\"{}\"", "x".repeat(size - 2));
        let sent = send_result(Some(&shelf), execution, start_key, result.clone())
            .await
            .unwrap();
        assert_eq!(matches!(sent, CallbackResult::Inline(_)), inline, "{size}");
        let text = sent.encode();
        assert!(text.len() <= MAX_INLINE_RESULT);
        let received = receive_result(Some(&shelf), execution, start_key, &text).await;
        assert_eq!(received.unwrap(), result);
    }
}

#[tokio::test]
async fn a_large_result_without_a_store_says_which_variable_to_set() {
    let (job, _) = job(Value::Null);
    let result = "1".repeat(MAX_INLINE_RESULT + 1);
    let error = send_result(None, job.execution(), job.start_key(), result)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::TooLarge);
    assert!(
        error.to_string().contains("LONGHAUL_PAYLOAD_STORE"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reference_to_anything_but_the_attempts_own_result_is_not_followed() {
    let shelf = Shelf::default();
    let (job, _) = job(json!(1));
    let own = PayloadKey::result(&job);
    let others = [
        PayloadKey::input(&job),
        key("other", PayloadKind::Result),
        PayloadKey::new(
            ExecutionId::from_arn("other"),
            job.start_key().clone(),
            PayloadKind::Result,
        ),
    ];
    for other in others {
        let uri = shelf.put(&other, b"1".to_vec()).await.unwrap();
        let text = CallbackResult::Reference(uri).encode();
        let error = receive_result(Some(&shelf), job.execution(), job.start_key(), &text)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
        assert!(error.to_string().contains(&own.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_reference_that_cannot_be_followed_is_a_clear_error() {
    let (job, _) = job(json!(1));
    let receive = async |store: Option<&dyn PayloadStore>, text: String| {
        receive_result(store, job.execution(), job.start_key(), &text)
            .await
            .unwrap_err()
    };
    let uri = PayloadUri::of_content("shelf://one/two", PayloadKey::result(&job), b"\xff").unwrap();
    let reference = CallbackResult::Reference(uri.clone()).encode();

    let error = receive(None, reference.clone()).await;
    assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
    assert!(
        error.to_string().contains("LONGHAUL_PAYLOAD_STORE"),
        "{error}"
    );

    let shelf = Shelf::default();
    let error = receive(Some(&shelf), reference.clone()).await;
    assert_eq!(error.kind(), PayloadErrorKind::Missing);

    shelf.put(uri.key(), b"\xfe".to_vec()).await.unwrap();
    let error = receive(Some(&shelf), reference.clone()).await;
    assert_eq!(error.kind(), PayloadErrorKind::Changed);

    shelf.put(uri.key(), b"\xff".to_vec()).await.unwrap();
    let error = receive(Some(&shelf), reference).await;
    assert!(error.to_string().contains("not UTF-8"), "{error}");

    let error = receive(Some(&shelf), "longhaul-payload/2 x".to_owned()).await;
    assert!(
        error.full_message().contains("update the function"),
        "{}",
        error.full_message()
    );
}

#[test]
fn what_begins_as_a_reference_and_is_none_is_an_error() {
    for text in [
        "longhaul-payload/",
        "longhaul-payload/1",
        "longhaul-payload/1 ",
        "longhaul-payload/1 s3://b/k",
        "longhaul-payload/1  s3://b/k",
        &format!("longhaul-payload/2 {}", uri()),
        &format!("longhaul-payload/1 {}\n", uri()),
    ] {
        assert!(CallbackResult::decode(text).is_err(), "{text:?}");
    }
    let reference = CallbackResult::Reference(uri());
    assert_eq!(CallbackResult::decode(&reference.encode()), Ok(reference));
}

#[test]
fn times_before_a_result_or_a_reference_are_read_and_change_neither() {
    let at = |ms| std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    let times = crate::JobTimes::new(at(7), at(9));
    for result in [
        CallbackResult::Inline("{\n\"a\": 1}".to_owned()),
        CallbackResult::Reference(uri()),
    ] {
        let text = CallbackResult::timed(times, &result.encode());
        assert!(text.starts_with("longhaul-result/1 begun=7 ended=9\n"));
        let (read, rest) = CallbackResult::split_times(&text);
        assert_eq!((read, rest), (Some(times), result.encode().as_str()));
        assert_eq!(CallbackResult::decode(&text), Ok(result));
    }
    assert_eq!(CallbackResult::split_times("1"), (None, "1"));
    let later = CallbackResult::decode("longhaul-result/2 x\n1").unwrap_err();
    assert!(later.to_string().contains("version \"2\""), "{later}");
}

#[test]
fn a_changed_payload_is_told_by_size_and_hash() {
    let uri = uri();
    uri.verify(b"[1]").unwrap();
    for other in [&b"[2]"[..], b"[1] ", b""] {
        let error = uri.verify(other).unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Changed);
        assert!(error.to_string().contains(&uri.sha256()), "{error}");
    }
}

#[test]
fn a_uri_has_one_form_only() {
    let good = uri().to_string();
    assert_eq!(good.parse(), Ok(uri()));
    let (location, fragment) = good.split_once('#').unwrap();
    let with_base = |base: &str| format!("{base}/{}#{fragment}", uri().key());
    for bad in [
        String::new(),
        location.to_owned(),
        format!("{location}#"),
        format!("{good}&x=1"),
        format!(" {good}"),
        good.replace("size=3", "size=+3"),
        good.replace("size=3", "size=03"),
        good.replace("size=3", "size=18446744073709551616"),
        good.replace("size=3", "size="),
        good.replace("sha256=", "sha256=0"),
        good.replace("sha256=", "sha1="),
        good.replace(fragment, &fragment.to_uppercase()),
        good.replace("result.json", "result.JSON"),
        good.replace("result.json", "passwd"),
        good.replace("/result.json", "//result.json"),
        good.replace("/result.json", "/../result.json"),
        with_base("s3://bucket/.."),
        with_base("s3://bucket/../other"),
        with_base("s3://bucket/."),
        with_base("s3://bucket/%2E%2e/x"),
        with_base("s3://bucket/a//b"),
        with_base("s3://bucket/a/"),
        with_base("s3://bucket/a b"),
        with_base("s3://bucket/a?b"),
        with_base("s3://bucket/a\\b"),
        with_base("s3://bucket/ä"),
        with_base("s3://bucket/%"),
        with_base("s3://bucket/%a"),
        with_base("s3://bucket/%zz"),
        with_base("S3://bucket"),
        with_base("bucket"),
        with_base("//bucket"),
        with_base(":x"),
        with_base(&format!("s3://{}", "x".repeat(2048))),
    ] {
        assert!(bad.parse::<PayloadUri>().is_err(), "{bad}");
    }
    for base in [
        "s3://bucket",
        "s3://bucket/a/b.c",
        "file:///x%20y",
        "file://",
        "memory:",
        "s3://b/...",
    ] {
        let text = with_base(base);
        let parsed: PayloadUri = text.parse().unwrap();
        assert_eq!(parsed.base(), base);
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn a_cause_that_an_error_tells_itself_is_not_told_again() {
    #[derive(Debug, thiserror::Error)]
    #[error("no object: {0}")]
    struct Repeating(#[source] std::io::Error);

    let cause = Repeating(std::io::Error::other("404"));
    let error = PayloadError::new(PayloadErrorKind::Missing, "read it").with_source(cause);
    assert_eq!(error.full_message(), "read it: no object: 404");
}

#[test]
fn an_error_of_a_long_text_stays_short() {
    let error = "x".repeat(100_000).parse::<PayloadUri>().unwrap_err();
    assert!(error.to_string().len() < 400);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!(CallbackResult::Reference(uri()).encode())),
        Just(json!({"longhaul_payload": uri().to_string()})),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_is_taken_for_a_reference(json in any_json(), pretty in any::<bool>(), space in "[ \t\r\n]{0,3}") {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
        let text = format!("{space}{}{space}", text.unwrap());
        prop_assert_eq!(CallbackResult::decode(&text), Ok(CallbackResult::Inline(text)));
    }

    #[test]
    fn a_reference_reads_back_and_is_no_json(bucket in "[a-z0-9-]{3,20}", content in any::<Vec<u8>>()) {
        let uri = PayloadUri::of_content(format!("s3://{bucket}"), key("t", PayloadKind::Result), &content).unwrap();
        let reference = CallbackResult::Reference(uri);
        let text = reference.encode();
        prop_assert!(serde_json::from_str::<Value>(&text).is_err());
        prop_assert_eq!(CallbackResult::decode(&text), Ok(reference));
    }

    #[test]
    fn a_uri_reads_back(
        scheme in "[a-z][a-z0-9+.-]{0,5}", host in "[a-zA-Z0-9._-]{1,20}", path in "(/[a-zA-Z0-9_~!$&'()*+,;=:@-]{1,10}){0,4}",
        token in "[!-~]{1,50}", content in any::<Vec<u8>>(), input in any::<bool>(),
    ) {
        prop_assume!(host != "." && host != "..");
        let kind = if input { PayloadKind::Input } else { PayloadKind::Result };
        let uri = PayloadUri::of_content(format!("{scheme}://{host}{path}"), key(&token, kind), &content).unwrap();
        uri.verify(&content).unwrap();
        prop_assert_eq!(uri.to_string().parse::<PayloadUri>(), Ok(uri.clone()));
        let json = serde_json::to_string(&uri).unwrap();
        prop_assert_eq!(serde_json::from_str::<PayloadUri>(&json).unwrap(), uri);
    }

    #[test]
    fn text_that_is_read_as_a_uri_is_its_own_form(base in "[a-z0-9:/%.?#@\\\\ é-]{0,30}", tail in "(/[a-f0-9./]{0,30}){0,3}") {
        let good = uri().to_string();
        let fragment = good.split_once('#').unwrap().1;
        for text in [format!("{base}{tail}"), format!("{base}{tail}#{fragment}"), format!("{base}{tail}/{}#{fragment}", uri().key())] {
            if let Ok(uri) = text.parse::<PayloadUri>() {
                prop_assert_eq!(uri.to_string(), text);
            }
        }
    }
}
