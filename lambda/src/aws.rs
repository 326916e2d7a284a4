//! How AWS is reached: one configuration and one HTTP client for every service, without TLS until something asks for it.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// The configuration of the process's environment, as every AWS SDK reads it.
pub(crate) async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Http::new())
        .load()
        .await
}

/// The SDK's own HTTP client, but for when its TLS is made ready. The SDK reads all the authorities that the system trusts
/// as soon as a client is built, which takes longer than all the rest of a cold start; here that waits for the first
/// request that is encrypted, and a service on loopback has none.
#[derive(Debug, Clone)]
struct Http {
    plain: SharedHttpClient,
    encrypted: SharedHttpClient,
}

impl Http {
    fn new() -> Self {
        let plain = Builder::new().build_with_connector_fn(|settings, components| {
            let mut connector = ConnectorBuilder::default();
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            connector.set_proxy_config(Some(ProxyConfig::from_env()));
            connector.build_http()
        });
        // As in `aws_smithy_runtime::client::http::default_https_client`.
        let encrypted = Builder::new().build_with_connector_fn(|settings, components| {
            let mut connector =
                ConnectorBuilder::default().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc));
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            connector.set_proxy_config(Some(ProxyConfig::from_env()));
            connector.build()
        });
        Self { plain, encrypted }
    }
}

/// Without the checks before the first request, in which the SDK's client makes its TLS ready.
impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            http: self.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.encrypted.connector_metadata()
    }
}

/// Chooses by the request's scheme.
struct Connector {
    http: Http,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = if request.uri().starts_with("http://") {
            &self.http.plain
        } else {
            &self.http.encrypted
        };
        // Both keep the connectors that they have made.
        client
            .http_connector(&self.settings, &self.components)
            .call(request)
    }
}

#[cfg(test)]
mod tests {
    use aws_config::Region;
    use aws_config::retry::RetryConfig;
    use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// The first byte that a call of an endpoint of this scheme sends.
    async fn first_byte(scheme: &str) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(format!("{scheme}://{address}"))
            .http_client(Http::new())
            .build();
        let client = aws_sdk_lambda::Client::new(&config);
        let call = client.get_function().function_name("f").send();
        let heard = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_u8().await.unwrap()
        };
        let (answer, byte) = tokio::join!(call, heard);
        assert!(answer.is_err(), "nobody answered");
        byte
    }

    #[tokio::test]
    async fn an_https_endpoint_is_spoken_to_in_tls_and_an_http_one_is_not() {
        const HANDSHAKE: u8 = 22;
        assert_eq!(first_byte("https").await, HANDSHAKE);
        assert_eq!(first_byte("http").await, b'G');
    }
}
