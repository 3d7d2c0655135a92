//! As much of HTTP/1.1 as the relay speaks: one request with a length, one answer with a length.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::WRITES;

/// The longest request that is read, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The HTTP method.
    pub(crate) method: String,
    /// The path without its query.
    pub(crate) path: String,
    /// The query as encoded.
    pub(crate) query: String,
    /// Every header with its name in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether the connector declared it as a write.
    pub(crate) writes: bool,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers besides the length.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// An answer with that body.
    pub(crate) fn new(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, "application/json", body)
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What belongs to one connection and is not passed on.
const HOP: [&str; 6] = ["connection", "content-length", "host", "transfer-encoding", "keep-alive", WRITES];

impl Seen {
    /// Sends it on.
    pub(super) async fn forward(&self, client: &reqwest::Client, upstream: &str) -> reqwest::Result<Answer> {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let method = self.method.parse().unwrap_or_default();
        let mut request = client.request(method, format!("{upstream}{}{query}", self.path));
        for (name, value) in self.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            request = request.header(name, value);
        }
        let answer = request.body(self.body.clone()).send().await?;
        let status = answer.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    }
}

/// Reads a request whole; `None` if the client went away before it sent one.
pub(crate) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Seen>> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        if let Some(request) = parse(&bytes) {
            return Ok(Some(request));
        }
        let read = stream.read(&mut chunk).await?;
        if read == 0 || bytes.len() > MOST {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// The request, once it is there whole.
fn parse(bytes: &[u8]) -> Option<Seen> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let writes = header(WRITES).is_some();
    Some(Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
        writes,
    })
}

/// Writes the answer and ends the connection.
pub(crate) async fn write_answer(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} .\r\ncontent-length: {}\r\nconnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in answer.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // In one piece: two would wait for each other's acknowledgement.
    let whole = [head.as_bytes(), &answer.body].concat();
    stream.write_all(&whole).await?;
    stream.shutdown().await
}
