//! How S3 is reached: through the HTTP client that every AWS SDK has, so that a program carries one HTTP client and not two.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use tower_http::timeout::TimeoutBody;

use crate::error::chain;

/// The URL of a proxy, and the connections that get along without one.
const PROXY: [ClientConfigKey; 2] = [ClientConfigKey::ProxyUrl, ClientConfigKey::ProxyExcludes];

/// Whether this client, or the store itself, does what a setting of object_store's own client says.
pub(crate) fn honours(key: &ClientConfigKey) -> bool {
    use ClientConfigKey as Key;
    PROXY.contains(key)
        || matches!(
            key,
            Key::AllowHttp | Key::ConnectTimeout | Key::DefaultContentType | Key::ReadTimeout
        )
}

/// Makes the clients of a store: that of the store itself and that of its credentials.
#[derive(Clone)]
pub(crate) struct Http {
    connect_timeout: Duration,
    /// From a request to the head of its answer, and from one piece of the answer to the next; the store's retries bound the
    /// whole.
    read_timeout: Duration,
    proxy: ProxyConfig,
}

impl fmt::Debug for Http {
    /// Not the proxy: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// With these settings. What is wrong with one is told with the variable that it comes from.
    pub(crate) fn new(setting: impl Fn(ClientConfigKey) -> Option<String>) -> Result<Self, String> {
        let duration = |key: ClientConfigKey, default| match setting(key) {
            Some(text) => humantime::parse_duration(&text).map_err(|error| told(&key, error)),
            None => Ok(default),
        };
        let [url, excludes] = PROXY.map(&setting);
        let proxy = match (url, excludes) {
            (Some(url), excludes) => {
                let proxy = ProxyConfig::all(url)
                    .map_err(|error| told(&ClientConfigKey::ProxyUrl, error))?;
                match excludes {
                    Some(excludes) => proxy.no_proxy(excludes),
                    None => proxy,
                }
            }
            (None, Some(_)) => {
                let problem = "it goes with AWS_PROXY_URL; beside HTTPS_PROXY there is NO_PROXY";
                return Err(told(&ClientConfigKey::ProxyExcludes, problem));
            }
            (None, None) => ProxyConfig::from_env(),
        };
        Ok(Self {
            connect_timeout: duration(ClientConfigKey::ConnectTimeout, Duration::from_secs(5))?,
            read_timeout: duration(ClientConfigKey::ReadTimeout, Duration::from_secs(30))?,
            proxy,
        })
    }
}

fn told(key: &ClientConfigKey, problem: impl fmt::Display) -> String {
    format!("AWS_{}: {problem}", key.as_ref().to_uppercase())
}

impl HttpConnector for Http {
    /// Whether plain HTTP is allowed is the store's to say: it refuses its endpoint before it comes to this.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut http = self.clone();
        // Less for the credentials than for the store: most machines have no service of metadata.
        if let Some(text) = options.get_config_value(&ClientConfigKey::ConnectTimeout)
            && let Ok(timeout) = humantime::parse_duration(&text)
        {
            http.connect_timeout = timeout;
        }
        Ok(HttpClient::new(Client {
            http,
            plain: OnceLock::new(),
            encrypted: OnceLock::new(),
        }))
    }
}

/// One pool of connections for each kind, made at the first request of the kind: to make TLS ready is to read all the
/// authorities that the system trusts, and a store on loopback needs none of them.
struct Client {
    http: Http,
    plain: OnceLock<Connector>,
    encrypted: OnceLock<Connector>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.http.fmt(f)
    }
}

impl Client {
    /// The connector of the request's scheme.
    fn connector(&self, request: &HttpRequest) -> &Connector {
        let builder = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(self.http.connect_timeout)
                .read_timeout(self.http.read_timeout)
                .build();
            ConnectorBuilder::default()
                .connector_settings(settings)
                .sleep_impl(TokioSleep::new())
                .proxy_config(self.http.proxy.clone())
        };
        if request.uri().scheme() == Some(&http::uri::Scheme::HTTP) {
            self.plain.get_or_init(|| builder().build_http())
        } else {
            self.encrypted.get_or_init(|| {
                builder()
                    .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                    .build()
            })
        }
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let connector = self.connector(&request);
        let request = request.map(SdkBody::from_body_1_x);
        let request = orchestrator::HttpRequest::try_from(request)
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let answer = connector.call(request).await.map_err(of_connector)?;
        let answer = answer
            .try_into_http1x()
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
        // What fails here is the connection, while the content is read.
        let interrupted = |error| HttpError::new_boxed(HttpErrorKind::Interrupted, error);
        Ok(answer.map(|body| {
            let body = TimeoutBody::new(self.http.read_timeout, body);
            HttpResponseBody::new(body.map_err(interrupted))
        }))
    }
}

/// The kind decides whether the store tries again: always where the request was not answered at all, and where it may have
/// been, only what it may repeat.
fn of_connector(error: ConnectorError) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else {
        chain(&error)
            .find_map(of_cause)
            .unwrap_or(if error.is_io() {
                HttpErrorKind::Interrupted
            } else {
                HttpErrorKind::Unknown
            })
    };
    HttpError::new(kind, error)
}

fn of_cause(cause: &(dyn Error + 'static)) -> Option<HttpErrorKind> {
    if let Some(error) = cause.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect().then_some(HttpErrorKind::Connect);
    }
    let error = cause.downcast_ref::<hyper::Error>()?;
    let unanswered =
        error.is_closed() || error.is_incomplete_message() || error.is_body_write_aborted();
    unanswered.then_some(HttpErrorKind::Request)
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn http(options: &ClientOptions) -> Result<Http, String> {
        Http::new(|key| options.get_config_value(&key))
    }

    async fn get(url: String) -> Result<HttpResponse, HttpError> {
        get_with(ClientOptions::new(), url).await
    }

    async fn get_with(options: ClientOptions, url: String) -> Result<HttpResponse, HttpError> {
        let request = http::Request::get(url).body(HttpRequestBody::empty());
        let client = http(&options).unwrap().connect(&options).unwrap();
        client.execute(request.unwrap()).await
    }

    #[tokio::test]
    async fn an_https_request_is_made_in_tls_and_an_http_one_is_not() {
        const HANDSHAKE: u8 = 22;
        for (scheme, expected) in [("https", HANDSHAKE), ("http", b'G')] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
            let heard = async {
                let (mut connection, _) = listener.accept().await.unwrap();
                connection.read_u8().await.unwrap()
            };
            let (answer, byte) = tokio::join!(get(url), heard);
            assert!(answer.is_err(), "nobody answered");
            assert_eq!(byte, expected);
        }
    }

    /// A connection whose request was read whole: what is left unread would reset it at its end.
    async fn heard(listener: &TcpListener) -> TcpStream {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        connection
    }

    #[tokio::test]
    async fn how_a_request_failed_decides_whether_it_is_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let hang_up = async { drop(heard(&listener).await) };
        let (answer, ()) = tokio::join!(get(url.clone()), hang_up);
        assert_eq!(answer.unwrap_err().kind(), HttpErrorKind::Request);

        let cut_short = async {
            let mut connection = heard(&listener).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive.";
            connection.write_all(answer).await.unwrap();
        };
        let read = async { get(url.clone()).await.unwrap().into_body().bytes().await };
        let (content, ()) = tokio::join!(read, cut_short);
        let error = content.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Interrupted, "{error}");

        drop(listener);
        let error = get(url).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Connect, "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_stalls_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let stall = async {
            let mut connection = heard(&listener).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive.";
            connection.write_all(answer).await.unwrap();
            connection
        };
        let options = ClientOptions::new().with_config(ClientConfigKey::ReadTimeout, "50ms");
        let (answer, _held) = tokio::join!(get_with(options, url), stall);
        let content = answer.unwrap().into_body().bytes().await;
        assert_eq!(content.unwrap_err().kind(), HttpErrorKind::Interrupted);
    }

    #[tokio::test]
    async fn what_is_excluded_goes_past_the_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let options =
            ClientOptions::new().with_proxy_url(format!("http://{}", proxy.local_addr().unwrap()));
        let hang_up = async { drop(heard(&proxy).await) };
        let (answer, ()) = tokio::join!(get_with(options.clone(), url.clone()), hang_up);
        assert!(answer.is_err(), "the proxy hung up");

        let options = options.with_proxy_excludes("127.0.0.1");
        let hang_up = async { drop(heard(&listener).await) };
        let (answer, ()) = tokio::join!(get_with(options, url), hang_up);
        assert!(answer.is_err(), "the server hung up");
    }

    #[test]
    fn a_setting_that_is_not_understood_is_named_and_a_proxys_password_is_not_shown() {
        let options = ClientOptions::new();
        for (key, value, name) in [
            (ClientConfigKey::ReadTimeout, "soon", "AWS_READ_TIMEOUT"),
            (
                ClientConfigKey::ConnectTimeout,
                "-1s",
                "AWS_CONNECT_TIMEOUT",
            ),
            (
                ClientConfigKey::ProxyExcludes,
                "127.0.0.1",
                "AWS_PROXY_EXCLUDES",
            ),
            (
                ClientConfigKey::ProxyUrl,
                "http://user:hush@exa mple",
                "AWS_PROXY_URL",
            ),
        ] {
            let problem = http(&options.clone().with_config(key, value)).unwrap_err();
            assert!(problem.contains(name), "{problem}");
            assert!(!problem.contains("hush"), "{problem}");
        }

        let options = options.with_proxy_url("http://user:hush@127.0.0.1:1");
        let http = http(&options).unwrap();
        let client = http.connect(&options).unwrap();
        assert!(!format!("{http:?} {client:?}").contains("hush"));
    }
}
