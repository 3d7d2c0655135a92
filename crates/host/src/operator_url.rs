//! Addresses that the operator wants called: alerts are posted to one, another hears a heartbeat.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;
use usher_connector::Secret;
use usher_connector::signature::hmac_sha256;

use crate::address::{BaseUrl, BaseUrlError, GuardedDns};

/// One call may take so long, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Carries the signature of a post.
const SIGNATURE: &str = "usher-signature";

/// An address to call. The address itself is a secret: whoever knows it can post there, so it is never shown.
pub struct OperatorUrl {
    url: Url,
    client: reqwest::Client,
    key: Option<Secret>,
}

/// Why an address can not be called.
#[derive(Debug, thiserror::Error)]
pub enum OperatorUrlError {
    /// It is no URL that may be called.
    #[error("the address can not be called")]
    Address(#[source] BaseUrlError),
    /// The client can not be built, or the call failed; never names the address.
    #[error("the call did not succeed")]
    Call(#[source] reqwest::Error),
    /// The receiver answered that it did not take it.
    #[error("the receiver answered with status {0}; does it take JSON by POST?")]
    Refused(u16),
}

impl OperatorUrl {
    /// An address with the key that posts are signed with. `https`, or `http` to this machine; makes no call.
    pub fn new(address: &Secret, key: Option<Secret>) -> Result<Self, OperatorUrlError> {
        let text = String::from_utf8_lossy(address.expose());
        let url = Url::parse(text.trim())
            .map_err(|source| OperatorUrlError::Address(BaseUrlError::NotAUrl { source }))?;
        let mut base = url.clone();
        // A query is part of many such addresses, and of no base URL.
        base.set_query(None);
        base.set_fragment(None);
        let base = BaseUrl::parse(base.as_str(), false).map_err(OperatorUrlError::Address)?;
        crate::tls::install();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(GuardedDns);
        if base.is_loopback() {
            builder = builder.no_proxy();
            if !base.is_encrypted() {
                builder = builder.tls_certs_only([]);
            }
        }
        let client = builder.build().map_err(failed)?;
        Ok(Self { url, client, key })
    }

    /// Posts JSON. With a key, `Usher-Signature: t=<seconds>,v1=<hex>` holds the HMAC-SHA256 over `<seconds>.<body>`.
    pub async fn post(&self, body: Vec<u8>, now: Timestamp) -> Result<(), OperatorUrlError> {
        let mut call = self.client.post(self.url.clone()).header("content-type", "application/json");
        if let Some(key) = &self.key {
            call = call.header(SIGNATURE, signature(key, &body, now));
        }
        settle(call.body(body).send().await)
    }

    /// Lets the receiver know that all is well.
    pub async fn ping(&self) -> Result<(), OperatorUrlError> {
        settle(self.client.get(self.url.clone()).send().await)
    }
}

impl fmt::Debug for OperatorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorUrl(…)")
    }
}

fn signature(key: &Secret, body: &[u8], now: Timestamp) -> String {
    let seconds = now.as_second().to_string();
    let digest = hmac_sha256(key, &[seconds.as_bytes(), b".", body]);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn settle(answer: Result<reqwest::Response, reqwest::Error>) -> Result<(), OperatorUrlError> {
    let status = answer.map_err(failed)?.status();
    if status.is_success() { Ok(()) } else { Err(OperatorUrlError::Refused(status.as_u16())) }
}

fn failed(error: reqwest::Error) -> OperatorUrlError {
    OperatorUrlError::Call(error.without_url())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_post_is_signed_over_time_and_body() {
        let key = Secret::new("key");
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        // printf '1790000000.{}' | openssl dgst -sha256 -hmac key
        let expected = "t=1790000000,v1=099d33989336226b12c85da813adf6100e1bbab1e91bede9a41ddeb7882d66b8";
        assert_eq!(signature(&key, b"{}", now), expected);
    }

    #[test]
    fn fm_093_only_safe_addresses_are_called_and_none_is_shown() {
        let new = |address: &str| OperatorUrl::new(&Secret::new(address), None);
        for good in ["https://hooks.example.com/T0/B0?token=x", "http://127.0.0.1:9/alerts"] {
            assert!(new(good).is_ok(), "{good}");
        }
        for wrong in
            ["http://hooks.example.com", "https://169.254.169.254/x", "hooks.example.com", "file:///etc"]
        {
            let error = new(wrong).unwrap_err();
            assert!(!format!("{error:?}").contains("hooks.example.com"), "{error:?}");
        }
        assert_eq!(format!("{:?}", new("https://hooks.example.com/secret").unwrap()), "OperatorUrl(…)");
    }
}
