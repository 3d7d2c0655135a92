//! Limits before allocation: how much of senders' bodies is held at once, how large one may be, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use http::{HeaderMap, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// The largest body that is taken, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// What all bodies under way may take together, in KiB. 16,000 usual ones, or 64 of the largest.
const ROOM_KIB: usize = 64 * 1024;
/// A sender that takes longer to send one body holds a connection for nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// The room for bodies under way.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// A body in its room; the room is free again when this is dropped.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB)))
    }
}

impl Room {
    /// Reads a body. Nothing is read of one that is declared too large, is compressed, or finds no room.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
        let size = declared(headers)?;
        let room = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.0).try_acquire_many_owned(room) else {
            return Err(Problem::unavailable("too much is coming in at once"));
        };
        match tokio::time::timeout(PATIENCE, to_bytes(body, size)).await {
            Ok(Ok(bytes)) => Ok(Held { bytes, _room: room }),
            Ok(Err(_)) => Err(too_large()),
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "usher:slow",
                "the body did not arrive in time",
            )),
        }
    }
}

/// How large the body says that it is, at most; the largest allowed where it does not say.
fn declared(headers: &HeaderMap) -> Result<usize, Problem> {
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|value| value == "identity");
    if !plain {
        let title = "the body is compressed; send it plain";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "usher:encoding", title));
    }
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(MAX_BODY);
    };
    let length = length.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    length.filter(|length| *length <= MAX_BODY).ok_or_else(too_large)
}

fn too_large() -> Problem {
    let title = "the body is too large or was cut short; at most 1 MiB";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "usher:body", title)
}
