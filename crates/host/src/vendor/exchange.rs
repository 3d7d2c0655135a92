//! One exchange on the wire: sends a request and reads the whole answer, within bounds.

use usher_connector::Response;

/// An exchange without a complete answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// No connection came about, so nothing was sent.
    Unsent(reqwest::Error),
    /// No complete answer in time.
    TimedOut(reqwest::Error),
    /// The connection broke, or what came is no HTTP. Also a kept-alive connection that the vendor closed while we
    /// were writing: how much of the request it read is unknown.
    Cut(reqwest::Error),
    /// The body is longer than allowed.
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
}

/// Sends and reads. Repeats nothing itself; the client beneath does so only for a request that it never wrote (the
/// kept-alive connection was found closed) or that the vendor refused unprocessed (HTTP/2 `REFUSED_STREAM`).
pub(crate) async fn exchange(
    client: &reqwest::Client,
    request: reqwest::Request,
    max_body: usize,
) -> Result<Response, Broken> {
    let mut answer = client.execute(request).await.map_err(Broken::from)?;
    let too_long = Broken::TooLong { limit: max_body };
    if answer.content_length().is_some_and(|length| length > max_body as u64) {
        return Err(too_long);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(Broken::from)? {
        if body.len() + chunk.len() > max_body {
            return Err(too_long);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status: answer.status().as_u16(), headers: std::mem::take(answer.headers_mut()), body })
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        // The URL's query may name persons.
        let error = error.without_url();
        if error.is_connect() {
            Self::Unsent(error)
        } else if error.is_timeout() {
            Self::TimedOut(error)
        } else {
            Self::Cut(error)
        }
    }
}
