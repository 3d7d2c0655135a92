//! Error bodies as the vendor writes them.
//!
//! Sources: API-FACTS HubSpot (Error, Owner write, Tasks, Rate limits); for the exact words the
//! public threads HubSpot/hubspot-api-nodejs#50 and #268 (403), #669 (404), hubspot-api-python#51
//! (409), airbytehq/airbyte#74726 (401), PipedreamHQ/pipedream#12366 (task without due date).

use serde_json::{Map, Value, json};

/// A refused request: status and body, the correlation id is added when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) body: Box<Value>,
    /// In a batch it fails every row, not only its own.
    pub(crate) whole: bool,
}

/// One bad property value.
#[derive(Debug, Clone)]
pub(crate) struct BadValue {
    pub(crate) message: String,
    pub(crate) code: &'static str,
    pub(crate) name: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, category: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            body: Box::new(json!({"status": "error", "message": message, "category": category})),
            whole: false,
        }
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.body[key] = value;
        self
    }

    pub(crate) fn category(&self) -> &str {
        self.body.get("category").and_then(Value::as_str).unwrap_or("VALIDATION_ERROR")
    }

    pub(crate) fn message(&self) -> &str {
        self.body.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    /// A body that is no JSON or not of the documented shape.
    pub(crate) fn malformed(detail: &str) -> Self {
        Self::validation(format!("Invalid input JSON on line 1, column 1: {detail}"))
    }

    pub(crate) fn values(bad: &[BadValue]) -> Self {
        let list: Vec<Value> = bad
            .iter()
            .map(|value| {
                json!({"isValid": false, "message": value.message, "error": value.code, "name": value.name,
                    "localizedErrorMessage": value.message})
            })
            .collect();
        let errors: Vec<Value> = bad
            .iter()
            .map(|value| {
                json!({"message": value.message, "code": value.code, "context": {"propertyName": [value.name]}})
            })
            .collect();
        let list = Value::Array(list);
        // A property that is not there, or not writable, is the same mistake in every row.
        let structural =
            bad.iter().any(|value| matches!(value.code, "PROPERTY_DOESNT_EXIST" | "READ_ONLY_VALUE"));
        Self::validation(format!("Property values were not valid: {list}"))
            .with("errors", Value::Array(errors))
            .fail_all(structural)
    }

    fn fail_all(mut self, whole: bool) -> Self {
        self.whole = whole;
        self
    }

    pub(crate) fn not_found(id: &str) -> Self {
        Self::new(404, "OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric.")
            .with("context", json!({"id": [id]}))
    }

    pub(crate) fn contact_exists(id: u64) -> Self {
        Self::new(409, "CONFLICT", format!("Contact already exists. Existing ID: {id}"))
    }

    pub(crate) fn route() -> Self {
        Self {
            status: 404,
            body: Box::new(json!({"status": "error", "message": "resource not found"})),
            whole: true,
        }
    }

    pub(crate) fn method() -> Self {
        let body = json!({"status": "error", "message": "HTTP 405 Method Not Allowed"});
        Self { status: 405, body: Box::new(body), whole: true }
    }

    pub(crate) fn missing_scopes(scopes: &[&str]) -> Self {
        Self::new(
            403,
            "MISSING_SCOPES",
            "This app hasn't been granted all required scopes to make this call. Read more about required scopes \
             here: https://developers.hubspot.com/scopes.",
        )
        .with(
            "errors",
            json!([{"message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": scopes}}]),
        )
        .with("links", json!({"scopes": "https://developers.hubspot.com/scopes"}))
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            401,
            "INVALID_AUTHENTICATION",
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more \
             details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        )
    }

    pub(crate) fn expired(since: &str) -> Self {
        Self::new(
            401,
            "EXPIRED_AUTHENTICATION",
            "The OAuth token used to make this call expired 0 second(s) ago.",
        )
        .with("context", json!({"expire time": [since]}))
    }
}

/// One row's failure inside a batch answer.
pub(crate) fn row_error(error: &ApiError, context: &Map<String, Value>) -> Value {
    let mut row = json!({
        "status": "error",
        "category": error.category(),
        "message": error.message(),
        "context": context,
    });
    for key in ["errors", "subCategory"] {
        if let Some(value) = error.body.get(key) {
            row[key] = value.clone();
        }
    }
    row
}

/// Ids that do not exist, in one row (API-FACTS HubSpot: Batch read).
pub(crate) fn missing_rows(ids: &[String]) -> Value {
    json!({
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some objects, they may be deleted or not exist. Check that ids are valid.",
        "context": {"ids": ids},
    })
}
