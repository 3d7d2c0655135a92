//! Refusals as the vendor writes them.
//!
//! API-FACTS Pipedrive (Error); the 401 and 404 of the v1 document. `ERR_SCHEMA_VALIDATION_FAILED` is what public
//! integrations report for a v2 request that does not fit the schema; the other words are ours.

use serde_json::{Value, json};

use crate::reply::Reply;

/// A refused request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    body: Value,
}

const HELP: &str = "Please check developers.pipedrive.com for more information about Pipedrive API.";

impl Problem {
    pub(crate) fn new(status: u16, error: impl Into<String>) -> Self {
        let error: String = error.into();
        Self {
            status,
            body: json!({"success": false, "error": error, "error_info": HELP, "data": null,
                "additional_data": null}),
        }
    }

    /// A value of the wrong type, an unknown name, a parameter out of bounds.
    pub(crate) fn schema(name: &str, reason: &str) -> Self {
        let mut problem = Self::new(400, format!("Validation failed: {name}: {reason}"));
        problem.body["code"] = "ERR_SCHEMA_VALIDATION_FAILED".into();
        problem
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, format!("requested {what} not found"))
    }

    /// v1 document, getLead 404: field for field.
    pub(crate) fn lead_not_found() -> Self {
        let body = json!({"success": false, "error": "requested lead not found",
            "error_info": "Object was not found.", "data": null, "additional_data": null});
        Self { status: 404, body }
    }

    /// v1 document, getUser 404.
    pub(crate) fn user_not_found() -> Self {
        Self { status: 404, body: json!({"success": false, "error": "User not found or not accessible."}) }
    }

    /// v1 document, getCurrentUser 401.
    pub(crate) fn unauthorized() -> Self {
        let body = json!({"success": false, "error": "unauthorized access", "errorCode": 401});
        Self { status: 401, body }
    }

    /// Which scope is missing the vendor does not say.
    pub(crate) fn scope() -> Self {
        let mut problem = Self::new(403, "Scope and URL mismatch");
        problem.body["errorCode"] = 403.into();
        problem
    }

    /// The body is not documented; the status is.
    pub(crate) fn throttled(error: &str) -> Self {
        let mut problem = Self::new(429, error);
        problem.body["errorCode"] = 429.into();
        problem
    }

    /// v1 document, addWebhook 400 and deleteWebhook 404.
    pub(crate) fn webhook(status: u16, name: &str, reason: &str) -> Self {
        let body = json!({"status": "error", "success": false, "errors": {name: [reason]}});
        Self { status, body }
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::json(self.status, &self.body)
    }
}
