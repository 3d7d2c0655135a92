//! Webhooks: `Typeform-Signature: sha256=<base64>` over the raw body, then one response per body.

use http::Method;
use jiff::Timestamp;
use usher_connector::signature::matches_base64;
use usher_connector::{Check, Inbound, Item, Parts, Secret, SplitError};
use usher_model::ConnectionName;

use crate::payload::{Titles, record};
use crate::wire::Hook;

/// Takes the webhooks of one form.
#[derive(Debug)]
pub(crate) struct Hooks {
    connection: ConnectionName,
    form: String,
    secrets: Vec<Secret>,
}

impl Hooks {
    /// An empty secret would let anybody sign, so it counts as none.
    pub(crate) fn new(connection: ConnectionName, form: String, secrets: Vec<Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| !secret.expose().is_empty()).collect();
        Self { connection, form, secrets }
    }

    fn signed(&self, parts: &Parts, body: &[u8]) -> bool {
        let given =
            parts.header("typeform-signature").and_then(|header| header.trim().strip_prefix("sha256="));
        given.is_some_and(|given| self.secrets.iter().any(|secret| matches_base64(secret, &[body], given)))
    }
}

impl Inbound for Hooks {
    fn check(&self, parts: &Parts, body: &[u8], _now: Timestamp) -> Check {
        if parts.method != Method::POST {
            return Check::refuse(400, "a webhook is sent by POST");
        }
        if parts.header("typeform-signature").is_none() {
            return Check::refuse(
                401,
                "the header Typeform-Signature is missing: set a secret for the webhook in Typeform",
            );
        }
        if !self.signed(parts, body) {
            let reason = "no active secret matches Typeform-Signature: compare the webhook's secret in Typeform \
                          with the one that `inbound.secret` points to";
            return Check::refuse(401, reason);
        }
        let content_type = parts.header("content-type").unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Check::refuse(415, "the body is not declared as application/json");
        }
        Check::Store
    }

    /// Nothing but the body is signed; a copy of it makes the same record.
    fn event(&self, _parts: &Parts) -> Option<String> {
        None
    }

    fn split(&self, body: &[u8], _received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        match self.read(body) {
            Ok(Some(item)) => vec![Ok(item)],
            Ok(None) => Vec::new(),
            Err(reason) => vec![Err(SplitError { index: 0, reason: reason.to_owned() })],
        }
    }
}

impl Hooks {
    fn read(&self, body: &[u8]) -> Result<Option<Item>, &'static str> {
        let hook: Hook = serde_json::from_slice(body).map_err(|_| "the body is no Typeform webhook")?;
        match hook.event_type.as_str() {
            "form_response" => {}
            // Typeform sends it where partial responses are collected; the completed one follows.
            "form_response_partial" => return Ok(None),
            _ => return Err("the webhook has an event type that is not known here"),
        }
        let sent = hook.form_response.ok_or("the webhook has no `form_response`")?;
        if sent.form_id != self.form {
            return Err("the webhook belongs to another form: give each form a connection of its own");
        }
        let titles = Titles::new(&sent.definition.fields);
        record(&self.connection, &self.form, &sent.response, &titles).map(|record| Some(Item::Record(record)))
    }
}
