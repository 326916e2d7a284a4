//! Who may call: programs on this machine that meant to, and, when a key is set, only those that know it.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use sha2::{Digest as _, Sha256};

use crate::error::{ApiError, ApiErrorKind};

/// Checks requests before anything of them is acted on.
pub(crate) struct Guard {
    port: u16,
    /// The SHA-256 of the access key id: comparing digests takes the same time wherever the ids differ.
    key: Option<[u8; 32]>,
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Guard {
    pub(crate) fn new(address: SocketAddr, access_key_id: Option<&str>) -> Self {
        Self {
            port: address.port(),
            key: access_key_id.map(|id| digest(id.as_bytes())),
        }
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_host(headers)?;
        self.check_key(headers, credential)
    }

    /// For a person's browser, which cannot sign: the key is the password of HTTP's basic authentication.
    pub(crate) fn check_page(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_host(headers)?;
        self.check_key(headers, |header| {
            let pair = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
            let pair = String::from_utf8(pair).ok()?;
            Some(pair.split_once(':')?.1.to_owned())
        })
    }

    /// A web page can make a browser send requests here under a name of its own (DNS rebinding), or from its own origin.
    /// Neither names this service as its host without naming another origin, so both are refused.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let denied =
            |message: &'static str| Err(ApiError::new(ApiErrorKind::AccessDenied, message));
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return denied("A request must name exactly one host");
        };
        if !self.is_own(host.to_str().unwrap_or_default()) {
            return denied("The host is not this service: use the loopback address it listens on");
        }
        for origin in headers.get_all(ORIGIN) {
            let own = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix("http://"));
            if !own.is_some_and(|host| self.is_own(host)) {
                return denied("Requests from web pages of another origin are not served");
            }
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let Some((name, port)) = host.rsplit_once(':') else {
            return false;
        };
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        loopback && port.parse() == Ok(self.port)
    }

    fn check_key(
        &self,
        headers: &HeaderMap,
        read: impl FnOnce(&str) -> Option<String>,
    ) -> Result<(), ApiError> {
        let Some(expected) = &self.key else {
            return Ok(());
        };
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(read)
            .unwrap_or_default();
        let difference = digest(given.as_bytes())
            .iter()
            .zip(expected)
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        if difference == 0 {
            Ok(())
        } else {
            Err(ApiError::new(
                ApiErrorKind::UnrecognizedClient,
                "The security token included in the request is invalid.",
            ))
        }
    }
}

/// The access key id in a SigV4 `Authorization` header.
fn credential(authorization: &str) -> Option<String> {
    let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let scope = parts
        .split(',')
        .find_map(|part| part.trim().strip_prefix("Credential="))?;
    scope.split('/').next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(key: Option<&str>) -> Guard {
        Guard::new(SocketAddr::from(([127, 0, 0, 1], 4000)), key)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_requests_that_name_this_service_as_their_host_are_served() {
        for own in [
            "127.0.0.1:4000",
            "localhost:4000",
            "LOCALHOST:4000",
            "[::1]:4000",
        ] {
            assert!(
                guard(None).check(&headers(&[("host", own)])).is_ok(),
                "{own}"
            );
        }
        for other in [
            "",
            "evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "10.0.0.1:4000",
            "127.0.0.1.evil.example:4000",
        ] {
            assert!(
                guard(None).check(&headers(&[("host", other)])).is_err(),
                "{other}"
            );
        }
        assert!(guard(None).check(&headers(&[])).is_err());
        assert!(
            guard(None)
                .check(&headers(&[
                    ("host", "127.0.0.1:4000"),
                    ("host", "127.0.0.1:4000")
                ]))
                .is_err()
        );
    }

    #[test]
    fn a_web_page_of_another_origin_is_refused() {
        let own = ("host", "127.0.0.1:4000");
        assert!(
            guard(None)
                .check(&headers(&[own, ("origin", "http://127.0.0.1:4000")]))
                .is_ok()
        );
        for origin in [
            "null",
            "https://evil.example",
            "http://127.0.0.1:9999",
            "https://127.0.0.1:4000",
        ] {
            assert!(
                guard(None)
                    .check(&headers(&[own, ("origin", origin)]))
                    .is_err(),
                "{origin}"
            );
        }
    }

    #[test]
    fn with_a_key_only_requests_signed_with_that_key_are_served() {
        let own = ("host", "127.0.0.1:4000");
        let signed = |id: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential={id}/20261101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
            )
        };
        let check = |value: &str| {
            guard(Some("AKIDLOCAL")).check(&headers(&[own, ("authorization", value)]))
        };
        assert!(check(&signed("AKIDLOCAL")).is_ok());
        for bad in [
            signed("AKIDLOCA"),
            signed("AKIDLOCALX"),
            signed(""),
            "Bearer AKIDLOCAL".to_owned(),
        ] {
            assert_eq!(
                check(&bad).unwrap_err().kind(),
                ApiErrorKind::UnrecognizedClient,
                "{bad}"
            );
        }
        assert!(guard(Some("AKIDLOCAL")).check(&headers(&[own])).is_err());
    }
}
