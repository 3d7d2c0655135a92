//! Webhooks: people as they are now, signed with time and id.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use usher_connector::signature::{matches_hex, within};
use usher_connector::{Check, Inbound, Item, Parts, Secret, SplitError};
use usher_model::ConnectionName;

use crate::record::record;
use crate::wire::Hook;

const DELIVERY: &str = "skeleton-delivery";
const TIMESTAMP: &str = "skeleton-timestamp";
const SIGNATURE: &str = "skeleton-signature";
/// How far from now a call may have been signed, in either direction.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Takes webhooks.
#[derive(Debug)]
pub(crate) struct SkeletonInbound {
    connection: ConnectionName,
    secrets: Vec<Secret>,
}

impl SkeletonInbound {
    /// An empty secret would let anybody sign, so it counts as none.
    pub(crate) fn new(connection: &ConnectionName, secrets: Vec<Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| !secret.expose().is_empty()).collect();
        Self { connection: connection.clone(), secrets }
    }
}

impl Inbound for SkeletonInbound {
    /// The signature is hexadecimal HMAC-SHA256 over `<delivery>.<timestamp>.<raw body>`, the time in seconds since 1970.
    fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Check {
        if parts.method != Method::POST {
            return Check::refuse(400, "a webhook is sent by POST");
        }
        let headers = (parts.header(DELIVERY), parts.header(TIMESTAMP), parts.header(SIGNATURE));
        let (Some(delivery), Some(stamp), Some(given)) = headers else {
            return Check::refuse(401, "the signature headers are missing: the call is not from Skeleton");
        };
        let sent = stamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        if !sent.is_some_and(|sent| within(now, sent, TOLERANCE)) {
            let reason = "signed more than 5 minutes from now: a replay, or this machine's clock is wrong";
            return Check::refuse(401, reason);
        }
        let signed = [delivery.as_bytes(), b".", stamp.as_bytes(), b".", body];
        if !self.secrets.iter().any(|secret| matches_hex(secret, &signed, given)) {
            return Check::refuse(
                401,
                "the signature does not match: compare `inbound.secret` with Skeleton's",
            );
        }
        Check::Store
    }

    fn event(&self, parts: &Parts) -> Option<String> {
        parts.header(DELIVERY).map(str::to_owned)
    }

    fn split(&self, body: &[u8], _received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        let Ok(hook) = serde_json::from_slice::<Hook>(body) else {
            return vec![Err(SplitError {
                index: 0,
                reason: "the body is no webhook of Skeleton's".to_owned(),
            })];
        };
        let item = |(index, row)| match record(&self.connection, row) {
            Ok(record) => Ok(Item::Record(record)),
            Err(problem) => Err(SplitError { index, reason: problem.reason }),
        };
        hook.people.iter().map(|row| &**row).enumerate().map(item).collect()
    }
}
