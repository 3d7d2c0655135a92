//! The HTTP side of a simulator: a loopback listener whose connections can be cut, and plain requests.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::reply::Reply;

/// Cuts a connection: nothing more is read or written, so the client sees it close without an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kill(Arc<AtomicBool>);

impl Kill {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// A TCP stream with a [`Kill`].
#[derive(Debug)]
pub(crate) struct CutStream {
    stream: TcpStream,
    kill: Kill,
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.kill.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.kill.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts connections that can be cut.
#[derive(Debug)]
pub(crate) struct CutListener(TcpListener);

impl CutListener {
    /// Binds to loopback; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map(Self)
    }
}

impl Listener for CutListener {
    type Io = CutStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, from)) => {
                    // Small answers leave at once; otherwise loopback latency is Nagle's, not ours.
                    let _ = stream.set_nodelay(true);
                    return (CutStream { stream, kill: Kill::default() }, from);
                }
                // Out of file handles: wait for some to close.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CutListener>> for Kill {
    fn connect_info(stream: IncomingStream<'_, CutListener>) -> Self {
        stream.io().kill.clone()
    }
}

/// A request as the simulators read it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    /// Pipedrive's own header, `x-api-token`.
    pub(crate) api_token: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// The decoded parts of the path; a slash at the end adds none.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }
}

/// Percent-decoding of one path segment; a plus sign stays one.
fn decode(part: &str) -> String {
    let (bytes, mut out, mut at) = (part.as_bytes(), Vec::with_capacity(part.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| part.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

const MAX_BODY: usize = 64 * 1024 * 1024;

/// Reads a request whole.
pub(crate) async fn read(request: Request) -> Option<(Wire, Kill)> {
    let kill = request.extensions().get::<ConnectInfo<Kill>>().map(|info| info.0.clone()).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.ok()?;
    let query = parts.uri.query().unwrap_or_default();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let wire = Wire {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        authorization: text(header::AUTHORIZATION.as_str()),
        api_token: text("x-api-token"),
        body: body.to_vec(),
    };
    Some((wire, kill))
}

/// Writes an answer.
pub(crate) fn write(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.status != 204 {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// Serves until `end` is ready; then connections get a moment to finish.
pub(crate) async fn serve(
    listener: CutListener,
    app: Router,
    end: impl Future<Output = ()> + Send + 'static,
) {
    let service = app.into_make_service_with_connect_info::<Kill>();
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(end).await {
        tracing::error!(%error, "the simulator stopped serving");
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn path_segments_are_decoded_once() {
        assert_eq!(decode("ana%40acme.example"), "ana@acme.example");
        assert_eq!(decode("ana+x%2Fy"), "ana+x/y");
        assert_eq!(decode("100%"), "100%");
    }
}
