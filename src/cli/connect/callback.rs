//! The server on this machine to which the vendor's page sends the browser back, once.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;
use usher_host::{Attempt, CallbackError, Code};

use crate::daemon::now;
use crate::failure::{Failure, chain};

/// How long somebody may take to consent.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long the last page may take to reach the browser.
const GOODBYE: Duration = Duration::from_secs(2);

/// A browser that came back, and where its page is to be sent.
type Arrival = (Url, oneshot::Sender<(StatusCode, String)>);

/// Waits for the one answer that belongs to the attempt; whatever else comes is refused and changes nothing.
pub(super) async fn wait(listener: TcpListener, attempt: &mut Attempt) -> Result<Code, Failure> {
    let (arrivals, mut arrived) = mpsc::channel::<Arrival>(8);
    let end = CancellationToken::new();
    let server = {
        let (router, end) = (Router::new().fallback(arrive).with_state(arrivals), end.clone());
        let serve = axum::serve(listener, router);
        tokio::spawn(async move { serve.with_graceful_shutdown(end.cancelled_owned()).await })
    };
    let answer = tokio::time::timeout(PATIENCE, async {
        while let Some((url, page)) = arrived.recv().await {
            let taken = attempt.accept(&url, now());
            let shown = match &taken {
                Ok(_) => (StatusCode::OK, "Access was granted; usher goes on in the terminal.".to_owned()),
                Err(CallbackError::Elsewhere) => (StatusCode::NOT_FOUND, String::new()),
                Err(error) => (StatusCode::FORBIDDEN, error.to_string()),
            };
            // A browser that has gone away needs no page.
            let _ = page.send(shown);
            match taken {
                Ok(code) => return Ok(code),
                Err(error) if error.goes_on() => tracing::warn!(%error, "a callback was refused"),
                Err(error) => return Err(Failure::input(chain(&error))),
            }
        }
        Err(Failure::input("the server for the way back ended"))
    });
    let answer = answer.await;
    end.cancel();
    let _ = tokio::time::timeout(GOODBYE, server).await;
    answer.unwrap_or_else(|_| Err(Failure::input("nobody granted access in time: run `usher connect` again")))
}

async fn arrive(State(arrivals): State<mpsc::Sender<Arrival>>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map(|path| path.as_str());
    let url = host.zip(path).and_then(|(host, path)| Url::parse(&format!("http://{host}{path}")).ok());
    let Some(url) = url.filter(|_| request.method() == Method::GET) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (page, shown) = oneshot::channel();
    if arrivals.send((url, page)).await.is_err() {
        return StatusCode::GONE.into_response();
    }
    let (status, text) = shown.await.unwrap_or((StatusCode::GONE, String::new()));
    // The address of this page holds the code: it is neither kept nor told to anybody.
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}
