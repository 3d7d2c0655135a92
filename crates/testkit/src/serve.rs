//! A small vendor over real HTTP, for the conformance of connectors without a simulator: a closure answers each request.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;

use crate::relay::{Answer, Seen, read_request, write_answer};

/// A request as a vendor sees it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// Every header, its name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The JSON body; `null` if there is none.
    pub body: Value,
}

impl Asked {
    /// The query's value, empty if it is not there.
    #[must_use]
    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The path's parts, as `["people", "7"]`.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }
}

impl From<Seen> for Asked {
    fn from(seen: Seen) -> Self {
        let query = form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        let body = serde_json::from_slice(&seen.body).unwrap_or_default();
        Self {
            method: seen.method,
            path: seen.path,
            query,
            headers: seen.headers.into_iter().collect(),
            body,
        }
    }
}

/// Serves a vendor that answers with status and JSON, on a free port of this machine until the test's runtime ends.
/// The address comes without a slash at its end.
pub async fn serve(answers: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&answers)));
        }
    });
    Ok(url)
}

async fn answer(mut stream: TcpStream, answers: Arc<impl Fn(&Asked) -> (u16, Value)>) {
    let Ok(Some(seen)) = read_request(&mut stream).await else { return };
    let (status, body) = answers(&seen.into());
    // A client that has gone is none of our business.
    let _ = write_answer(&mut stream, &Answer::json(status, &body.to_string())).await;
}
