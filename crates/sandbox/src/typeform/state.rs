//! The forms account: forms, their responses and webhooks.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::{Millis, iso, iso_seconds};

/// One question of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The field's id, made up from the ref if empty.
    #[serde(default)]
    pub id: String,
    /// The stable name that mappings use.
    #[serde(rename = "ref")]
    pub reference: String,
    /// `email`, `phone_number`, `short_text`, `long_text`, `dropdown`, `multiple_choice`, `number`, `website`.
    #[serde(rename = "type")]
    pub field_type: String,
    /// The question as people see it.
    #[serde(default)]
    pub title: String,
}

/// A form as defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormSpec {
    /// The form's id.
    pub id: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Its questions.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// A stored answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) token: String,
    pub(crate) landed_at: Millis,
    pub(crate) submitted_at: Millis,
    /// When the list shows it (Typeform docs, Retrieve responses: very recent ones may be missing).
    pub(crate) visible_at: Millis,
    pub(crate) answers: Vec<Value>,
    pub(crate) hidden: Map<String, Value>,
}

/// A webhook of a form.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) url: String,
    pub(crate) enabled: bool,
    pub(crate) secret: Option<String>,
    pub(crate) verify_ssl: bool,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
}

/// A form with what came in.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) spec: FormSpec,
    /// In the order of processing.
    pub(crate) responses: Vec<Response>,
    pub(crate) hooks: BTreeMap<String, Hook>,
}

/// All forms.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    pub(crate) all: BTreeMap<String, Form>,
    pub(crate) tokens: Vec<String>,
    /// Requests per second and token; none is unlimited.
    pub(crate) limit: Option<usize>,
    pub(crate) window: BTreeMap<String, VecDeque<Millis>>,
    /// Factor on the waits between webhook retries.
    pub(crate) time_scale: f64,
}

impl Forms {
    /// Defines a form or replaces its questions.
    pub(crate) fn define(&mut self, mut spec: FormSpec) {
        for field in &mut spec.fields {
            if field.id.is_empty() {
                field.id = format!("f_{}", field.reference);
            }
            if field.title.is_empty() {
                field.title.clone_from(&field.reference);
            }
        }
        match self.all.get_mut(&spec.id) {
            Some(form) => form.spec = spec,
            None => {
                let form = Form { responses: Vec::new(), hooks: BTreeMap::new(), spec: spec.clone() };
                self.all.insert(spec.id, form);
            }
        }
    }
}

impl Response {
    /// The item of the list.
    pub(crate) fn item(&self) -> Value {
        json!({
            "landing_id": self.token,
            "token": self.token,
            "response_id": self.token,
            "response_type": "completed",
            "landed_at": iso_seconds(self.landed_at),
            "submitted_at": iso_seconds(self.submitted_at),
            "metadata": {"user_agent": "Mozilla/5.0", "platform": "other", "referer": "https://example.com/",
                "network_id": "0", "browser": "default"},
            "hidden": self.hidden,
            "calculated": {"score": 0},
            "answers": self.answers,
        })
    }
}

impl Form {
    /// The body of a webhook (API-FACTS Typeform: Body).
    pub(crate) fn event(&self, response: &Response, event_id: &str) -> Value {
        let fields: Vec<Value> = self
            .spec
            .fields
            .iter()
            .map(|field| {
                json!({"id": field.id, "ref": field.reference, "type": field.field_type, "title": field.title,
                    "properties": {}})
            })
            .collect();
        json!({
            "event_id": event_id,
            "event_type": "form_response",
            "form_response": {
                "form_id": self.spec.id,
                "token": response.token,
                "landed_at": iso_seconds(response.landed_at),
                "submitted_at": iso_seconds(response.submitted_at),
                "hidden": response.hidden,
                "calculated": {"score": 0},
                "definition": {"id": self.spec.id, "title": self.spec.title, "fields": fields},
                "answers": response.answers,
            },
        })
    }
}

impl Hook {
    pub(crate) fn json(&self, form: &str, tag: &str) -> Value {
        json!({
            "id": format!("hook_{form}_{tag}"),
            "form_id": form,
            "tag": tag,
            "url": self.url,
            "enabled": self.enabled,
            "verify_ssl": self.verify_ssl,
            "secret": self.secret,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        })
    }
}
