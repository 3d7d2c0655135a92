//! What Typeform sends, as far as it is read.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// An error's body.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) code: String,
}

/// One page of `GET /forms/{id}/responses`. Both keys must be there: a body without them is no page.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) total_items: u64,
    /// Read one by one, so that a bad one harms no other.
    pub(crate) items: Vec<Box<RawValue>>,
}

/// A response, the same in a page and in a webhook.
#[derive(Debug, Deserialize)]
pub(crate) struct Response {
    pub(crate) token: String,
    /// Missing while a response is only started.
    #[serde(default)]
    pub(crate) submitted_at: Option<String>,
    #[serde(default)]
    pub(crate) hidden: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) variables: Option<Vec<Variable>>,
    #[serde(default)]
    pub(crate) answers: Option<Vec<Answer>>,
}

/// A variable that the form's logic computed; the value stands under the key that `type` names.
#[derive(Debug, Deserialize)]
pub(crate) struct Variable {
    pub(crate) key: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// An answer; the value stands under the key that `type` names.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) field: FieldRef,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The question that an answer belongs to.
#[derive(Debug, Deserialize)]
pub(crate) struct FieldRef {
    pub(crate) id: String,
    #[serde(default, rename = "ref")]
    pub(crate) reference: Option<String>,
}

/// The body of `GET /forms/{id}`. Without questions it is no form, and its titles must not count as read.
#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub(crate) fields: Vec<Field>,
}

/// The webhooks of a form.
#[derive(Debug, Deserialize)]
pub(crate) struct Subscriptions {
    pub(crate) items: Vec<Webhook>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) tag: String,
    pub(crate) url: String,
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) verify_ssl: bool,
}

/// The questions in a webhook's body.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Definition {
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
}

/// A question, or a group of questions.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Field {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) title: String,
    /// Groups hold their questions here.
    #[serde(default)]
    pub(crate) properties: Option<Properties>,
}

/// The part of a question's properties that is read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Properties {
    #[serde(default)]
    pub(crate) fields: Option<Vec<Field>>,
}

/// A webhook's body.
#[derive(Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) event_type: String,
    #[serde(default)]
    pub(crate) form_response: Option<HookResponse>,
}

/// The response in a webhook's body.
#[derive(Debug, Deserialize)]
pub(crate) struct HookResponse {
    pub(crate) form_id: String,
    #[serde(default)]
    pub(crate) definition: Definition,
    #[serde(flatten)]
    pub(crate) response: Response,
}
