//! Webhooks: proof first, then size and content type; stored bodies are split into submissions.

use http::Method;
use jiff::Timestamp;
use usher_connector::{Check, Inbound, Item, Parts, SplitError};
use usher_model::{ConnectionName, ExternalId, ObjectType, Record};

use crate::auth::Auth;
use crate::body::{self, Submission};
use crate::config::Shape;

/// The object type of every record.
const SUBMISSIONS: &str = "submissions";
/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Takes webhooks of one sender.
#[derive(Debug)]
pub(crate) struct Hooks {
    connection: ConnectionName,
    auth: Auth,
    shape: Shape,
}

impl Hooks {
    /// Takes webhooks with that proof and shape.
    pub(crate) fn new(connection: ConnectionName, auth: Auth, shape: Shape) -> Self {
        Self { connection, auth, shape }
    }

    fn declared(&self, parts: &Parts) -> bool {
        let content_type = parts.header("content-type").unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence == "application/json"
            || essence.starts_with("application/") && essence.ends_with("+json");
        let is_form = essence == "application/x-www-form-urlencoded";
        is_json && self.shape.json || is_form && self.shape.form
    }

    fn record(&self, submission: Submission) -> Result<Item, &'static str> {
        let content = submission.content();
        let id = match &self.shape.id {
            Some(path) => {
                submission.at(path).ok_or("the submission has no text or number where `id` points")?
            }
            None => content.clone(),
        };
        let revision = match &self.shape.revision {
            Some(path) => {
                submission.at(path).ok_or("the submission has no text or number where `revision` points")?
            }
            None => content,
        };
        Ok(Item::Record(Record {
            connection: self.connection.clone(),
            object: ObjectType::new(SUBMISSIONS),
            external_id: ExternalId::new(id),
            revision,
            created_at: None,
            modified_at: None,
            imported: false,
            gone: false,
            payload: submission.payload,
        }))
    }
}

impl Inbound for Hooks {
    fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Check {
        let encoding = parts.header("content-encoding").unwrap_or("identity");
        if parts.method != Method::POST {
            Check::refuse(400, "a webhook is sent by POST")
        } else if body.len() > MAX_BODY {
            Check::refuse(413, "the body is larger than 1 MiB: let the sender post fewer submissions at once")
        } else if let Err(reason) = self.auth.check(parts, body, now) {
            Check::refuse(401, reason)
        } else if !encoding.eq_ignore_ascii_case("identity") {
            Check::refuse(415, "the body is compressed: let the sender post it plain")
        } else if !self.declared(parts) {
            Check::refuse(415, "the content type is not among those that `accepts` lists")
        } else {
            Check::Store
        }
    }

    fn event(&self, parts: &Parts) -> Option<String> {
        self.auth.event(parts)
    }

    fn split(&self, body: &[u8], _received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        // The content type is not stored with a body; the body itself tells it.
        let submissions = if !self.shape.form || self.shape.json && body::looks_like_json(body) {
            body::json(body)
        } else {
            vec![body::form(body)]
        };
        let item = |(index, submission): (usize, Result<Submission, &str>)| {
            let read = submission.and_then(|submission| self.record(submission));
            read.map_err(|reason| SplitError { index, reason: reason.to_owned() })
        };
        submissions.into_iter().enumerate().map(item).collect()
    }
}
