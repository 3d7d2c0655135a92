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
    room: OwnedSemaphorePermit,
}

impl Held {
    /// The body, without a copy, and its room: to be kept until the body is.
    pub(crate) fn into_parts(self) -> (Vec<u8>, OwnedSemaphorePermit) {
        (self.bytes.into(), self.room)
    }
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
            Ok(Ok(bytes)) => Ok(Held { bytes, room }),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::response::IntoResponse;
    use futures::stream;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn endless() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
    }

    async fn status(room: &Room, pairs: &[(&'static str, &str)], body: Body) -> u16 {
        match room.read(&headers(pairs), body).await {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fm_036_what_is_too_large_or_compressed_is_refused_before_a_byte_is_read() {
        let room = Room::default();
        // An endless body would hang whoever reads it.
        for (pairs, expected) in [
            (&[("content-length", "1048577")][..], 413),
            (&[("content-length", "99999999999999999999")], 413),
            (&[("content-length", "-1")], 413),
            (&[("content-encoding", "gzip"), ("content-length", "10")], 415),
        ] {
            assert_eq!(status(&room, pairs, endless()).await, expected, "{pairs:?}");
        }
        assert_eq!(status(&room, &[], Body::from(vec![0; MAX_BODY])).await, 200);
        assert_eq!(status(&room, &[], Body::from(vec![0; MAX_BODY + 1])).await, 413, "undeclared");
        assert_eq!(status(&room, &[("content-length", "3")], Body::from("four")).await, 413, "declared less");
    }

    #[tokio::test(start_paused = true)]
    async fn fm_036_a_sender_that_never_ends_its_body_is_given_up() {
        let room = Room::default();
        let slow = status(&room, &[("content-length", "10")], endless());
        assert_eq!(tokio::time::timeout(PATIENCE * 2, slow).await, Ok(408));
    }

    #[tokio::test]
    async fn fm_030_more_bodies_than_there_is_room_for_are_asked_to_come_again() {
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..ROOM_KIB * 1024 / MAX_BODY {
            held.push(
                room.read(&headers(&[]), Body::from("small, but it did not say so")).await.ok().unwrap(),
            );
        }
        let answer = room.read(&headers(&[("content-length", "10")]), Body::from("0123456789")).await;
        let answer = answer.err().unwrap().into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        held.pop();
        assert_eq!(status(&room, &[("content-length", "10")], Body::from("0123456789")).await, 200);
    }
}
