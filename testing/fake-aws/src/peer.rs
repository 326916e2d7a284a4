//! Servers that play AWS and that nobody here wrote: where they are, and what their own APIs say.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The region that the peers are asked for.
pub const REGION: &str = "eu-west-1";

/// A server that plays AWS, on loopback.
///
/// A test that needs one is *gated*: without the peer's variable it says what it needs and is
/// over. `.ci/peers` starts the peers and counts that no gated test got off so lightly.
#[derive(Debug, Clone)]
pub struct Peer {
    url: String,
}

impl Peer {
    /// Moto, whose URL is in `LONGHAUL_TEST_MOTO_URL`. `None`, with a word on standard output,
    /// where it is not set.
    #[must_use]
    pub fn moto() -> Option<Self> {
        Self::named_by("LONGHAUL_TEST_MOTO_URL", "moto_server -H 127.0.0.1 -p PORT")
    }

    /// Ministack, whose URL is in `LONGHAUL_TEST_MINISTACK_URL`. `None`, with a word on standard
    /// output, where it is not set.
    #[must_use]
    pub fn ministack() -> Option<Self> {
        let start = "BIND_HOST=127.0.0.1 GATEWAY_PORT=PORT ministack";
        Self::named_by("LONGHAUL_TEST_MINISTACK_URL", start)
    }

    fn named_by(variable: &str, start: &str) -> Option<Self> {
        let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
        match url {
            Some(url) => {
                // `.ci/peers` counts these lines.
                println!("peer: {variable}");
                let url = url.trim_end_matches('/').to_owned();
                Some(Self { url })
            }
            None => {
                println!("not run: start the peer ({start}) and set {variable} to its URL");
                None
            }
        }
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `operation` of an AWS service that speaks JSON 1.1, such as `ecs` by the target
    /// `AmazonEC2ContainerServiceV20141113`.
    pub async fn json(&self, service: &str, target: &str, operation: &str, body: &Value) -> Value {
        let target = format!("{target}.{operation}");
        let headers = [
            ("authorization", scope(service)),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target),
        ];
        let text = self.post("/", &headers, body.to_string()).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Calls an AWS service that speaks the query protocol, such as `ec2`; `query` is the form,
    /// such as `Action=DescribeSubnets&Version=2016-11-15`. The answer is XML.
    pub async fn query(&self, service: &str, query: impl Into<String>) -> String {
        let form = "application/x-www-form-urlencoded".to_owned();
        let headers = [("authorization", scope(service)), ("content-type", form)];
        self.post("/", &headers, query.into()).await
    }

    /// A subnet or two and a security group, which every account has from the beginning.
    pub async fn network(&self) -> (Vec<String>, String) {
        let version = "Version=2016-11-15";
        let subnets = format!("Action=DescribeSubnets&{version}");
        let groups = format!("Action=DescribeSecurityGroups&{version}");
        let mut subnets = texts(&self.query("ec2", subnets).await, "subnetId");
        subnets.truncate(2);
        let group = texts(&self.query("ec2", groups).await, "groupId").remove(0);
        (subnets, group)
    }

    /// Moto only: how a model goes from one state to the next, such as `ecs::task`.
    pub async fn set_transition(&self, model: &str, transition: &Value) {
        let body = json!({"model_name": model, "transition": transition});
        self.control("state-manager/set-transition", &body).await;
    }

    /// Moto only: leaves tasks running, where every look at one would take it a step to its end.
    pub async fn let_tasks_run(&self) {
        let never = json!({"progression": "manual", "times": 1_000_000});
        self.set_transition("ecs::task", &never).await;
    }

    /// Moto only: calls its own API.
    pub async fn control(&self, path: &str, body: &Value) {
        let headers = [("content-type", "application/json".to_owned())];
        let path = format!("/moto-api/{path}");
        self.post(&path, &headers, body.to_string()).await;
    }

    /// The body of the answer to a POST, which must be 2xx.
    async fn post(&self, path: &str, headers: &[(&str, String)], body: String) -> String {
        let host = self.url.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::post(path).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(status.is_success(), "{host}{path}: {status}: {text}");
        text
    }
}

/// What tells a peer the service and the region. The peers do not check the signature.
fn scope(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20261101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// The texts of `element` in `xml`, of which there is at least one.
pub fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let parts = xml.split(open.as_str()).skip(1);
    let found: Vec<String> = parts
        .filter_map(|part| Some(part.split_once(close.as_str())?.0.to_owned()))
        .collect();
    assert!(!found.is_empty(), "no {element} in {xml}");
    found
}
