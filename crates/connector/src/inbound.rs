//! The inbound role: webhooks. Both steps are pure.

use ::http::{HeaderMap, Method};
use jiff::Timestamp;
use usher_model::{ExternalId, ObjectType, Record};

/// What a webhook request carries besides its body.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The HTTP method.
    pub method: Method,
    /// The full public URL as the sender addressed it, query included: configured public URL plus path, because a
    /// proxy may have rewritten what arrived.
    pub url: String,
    /// The query pairs, decoded.
    pub query: Vec<(String, String)>,
    /// Headers as received.
    pub headers: HeaderMap,
}

impl Parts {
    /// The header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer to a sender's challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request was refused. The sender learns the status only; the operator sees the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status to answer with: 400, 401, 413 or 415.
    pub status: u16,
    /// What was wrong and what to do.
    pub reason: String,
}

impl Refusal {
    /// A refusal for that reason.
    #[must_use]
    pub fn new(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.to_owned() }
    }
}

/// What to do with a webhook request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Genuine: store the body, then answer 2xx.
    Store,
    /// A challenge: answer with this.
    Reply(Reply),
    /// Not genuine.
    Refuse(Refusal),
}

impl Check {
    /// Not genuine, for that reason.
    #[must_use]
    pub fn refuse(status: u16, reason: &str) -> Self {
        Self::Refuse(Refusal::new(status, reason))
    }
}

/// One item of a stored body.
#[derive(Debug, Clone)]
pub enum Item {
    /// Complete in itself.
    Record(Record),
    /// Something happened to an object: fetch it by id.
    Hint {
        /// The vendor's object type.
        object: ObjectType,
        /// The vendor's id.
        id: ExternalId,
    },
}

/// An item that can not be understood; its neighbours are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("item {index} of the webhook body: {reason}")]
pub struct SplitError {
    /// Position in the body, from 0.
    pub index: usize,
    /// What is wrong, without values from the body.
    pub reason: String,
}

/// Takes webhooks.
pub trait Inbound: Send + Sync {
    /// Decides over a request from its raw bytes, before anything is parsed.
    fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Check;

    /// What tells this call from every other, where the sender signs a time or an id: a copy of it within the tolerance
    /// is a replay or a retry, and is answered but not stored again. `None` where nothing in a call is unique.
    fn event(&self, parts: &Parts) -> Option<String>;

    /// Splits a stored body into items. Never fails as a whole: a body that is no list of items is one bad item.
    fn split(&self, body: &[u8], received_at: Timestamp) -> Vec<Result<Item, SplitError>>;
}
