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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From a request to the head of its answer, and from one piece of the answer to the next; the store's retries bound the whole.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of object_store's own HTTP client that hold for this one.
const HONOURED: [ClientConfigKey; 6] = [
    ClientConfigKey::AllowHttp,
    ClientConfigKey::ConnectTimeout,
    ClientConfigKey::DefaultContentType,
    ClientConfigKey::ProxyExcludes,
    ClientConfigKey::ProxyUrl,
    ClientConfigKey::ReadTimeout,
];

/// Whether this client does what the setting says.
pub(crate) fn honours(key: &ClientConfigKey) -> bool {
    HONOURED.contains(key)
}

/// Makes the clients of a store: that of the store itself and that of its credentials.
#[derive(Debug)]
pub(crate) struct Http;

impl HttpConnector for Http {
    /// Whether plain HTTP is allowed is the store's to say: it refuses its endpoint before it comes to this.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let seconds = |key, default| match options.get_config_value(&key) {
            Some(text) => humantime::parse_duration(&text).map_err(|error| invalid(&key, error)),
            None => Ok(default),
        };
        let mut proxy = ProxyConfig::from_env();
        if let Some(url) = options.get_config_value(&ClientConfigKey::ProxyUrl) {
            proxy = ProxyConfig::all(url)
                .map_err(|error| invalid(&ClientConfigKey::ProxyUrl, error))?;
        }
        if let Some(excludes) = options.get_config_value(&ClientConfigKey::ProxyExcludes) {
            proxy = proxy.no_proxy(excludes);
        }
        Ok(HttpClient::new(Client {
            connect_timeout: seconds(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)?,
            read_timeout: seconds(ClientConfigKey::ReadTimeout, READ_TIMEOUT)?,
            proxy,
            plain: OnceLock::new(),
            encrypted: OnceLock::new(),
        }))
    }
}

fn invalid(
    key: &ClientConfigKey,
    error: impl Error + Send + Sync + 'static,
) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: format!("AWS_{}: {error}", key.as_ref().to_uppercase()).into(),
    }
}

/// One pool of connections for each kind, made at the first request of the kind: to make TLS ready is to read all the
/// authorities that the system trusts, and a store on loopback needs none of them.
struct Client {
    connect_timeout: Duration,
    read_timeout: Duration,
    proxy: ProxyConfig,
    plain: OnceLock<Connector>,
    encrypted: OnceLock<Connector>,
}

impl fmt::Debug for Client {
    /// Not the proxy: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// The connector of the request's scheme.
    fn connector(&self, request: &HttpRequest) -> &Connector {
        let builder = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(self.connect_timeout)
                .read_timeout(self.read_timeout)
                .build();
            ConnectorBuilder::default()
                .connector_settings(settings)
                .sleep_impl(TokioSleep::new())
                .proxy_config(self.proxy.clone())
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
            let body = TimeoutBody::new(self.read_timeout, body);
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

    async fn get(url: String) -> Result<HttpResponse, HttpError> {
        get_with(ClientOptions::new(), url).await
    }

    async fn get_with(options: ClientOptions, url: String) -> Result<HttpResponse, HttpError> {
        let request = http::Request::get(url).body(HttpRequestBody::empty());
        let client = Http.connect(&options).unwrap();
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

    #[test]
    fn a_setting_that_is_not_understood_is_named_and_a_proxys_password_is_not_shown() {
        let options = ClientOptions::new().with_config(ClientConfigKey::ReadTimeout, "soon");
        let error = Http.connect(&options).unwrap_err();
        assert!(error.to_string().contains("AWS_READ_TIMEOUT"), "{error}");

        let options = ClientOptions::new().with_proxy_url("http://user:hush@127.0.0.1:1");
        let client = Http.connect(&options).unwrap();
        assert!(!format!("{client:?}").contains("hush"));
        let options = ClientOptions::new().with_proxy_url("http://user:hush@exa mple");
        let error = Http.connect(&options).unwrap_err();
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}
