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

/// What a vendor answers; status and JSON body are enough.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides content type and length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Value,
}

impl From<(u16, Value)> for Reply {
    fn from((status, body): (u16, Value)) -> Self {
        Self { status, headers: Vec::new(), body }
    }
}

/// Serves a vendor that answers by this closure, on a free port of this machine until the test's runtime ends. The
/// address comes without a slash at its end.
pub async fn serve<R: Into<Reply>>(
    answers: impl Fn(&Asked) -> R + Send + Sync + 'static,
) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let answers = Arc::new(move |asked: &Asked| answers(asked).into());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&answers)));
        }
    });
    Ok(url)
}

async fn answer(mut stream: TcpStream, answers: Arc<impl Fn(&Asked) -> Reply>) {
    let Ok(Some(seen)) = read_request(&mut stream).await else { return };
    let reply: Reply = answers(&seen.into());
    let mut answer = Answer::json(reply.status, &reply.body.to_string());
    for (name, value) in &reply.headers {
        answer = answer.with(name, value);
    }
    // A client that has gone is none of our business.
    let _ = write_answer(&mut stream, &answer).await;
}
