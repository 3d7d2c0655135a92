//! Catches the call that a simulator makes, as it came over the wire.

use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::net::TcpListener;
use usher_connector::Parts;

use crate::relay::{Answer, read_request, write_answer};

/// Longer than a simulator takes; a call that does not come is a failed test.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener for one call.
pub(super) struct Catcher {
    listener: TcpListener,
    /// What the sender is to call.
    pub(super) url: String,
}

impl Catcher {
    pub(super) async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hooks/under-test", listener.local_addr()?);
        Ok(Self { listener, url })
    }

    /// The first call, answered with 200.
    pub(super) async fn catch(self) -> anyhow::Result<(Parts, Vec<u8>)> {
        let caught = async {
            let (mut stream, _) = self.listener.accept().await?;
            let request = read_request(&mut stream).await?.context("the sender hung up")?;
            write_answer(&mut stream, &Answer::json(200, "{}")).await?;
            anyhow::Ok(request)
        };
        let request = tokio::time::timeout(PATIENCE, caught).await.context("no webhook came")??;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let method = Method::from_bytes(request.method.as_bytes())?;
        Ok((Parts { method, url: self.url, query: Vec::new(), headers }, request.body))
    }
}
