//! Lead labels, v1 only and never paged.

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::state::Drive;

/// A label of leads.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) id: String,
    name: &'static str,
    color: &'static str,
}

impl Label {
    /// What a new account has (v1 document, getLeadLabels).
    pub(crate) fn usual() -> Vec<Self> {
        let labels = [("Hot", "red"), ("Cold", "blue"), ("Warm", "yellow")];
        (0..)
            .zip(labels)
            .map(|(at, (name, color))| Self {
                id: format!("f08b42a{at}-4e75-11ea-9643-03698ef1cfd6"),
                name,
                color,
            })
            .collect()
    }

    fn json(&self) -> Value {
        let time = "2024-01-08T09:00:00.000Z";
        json!({"id": self.id, "name": self.name, "color": self.color, "add_time": time, "update_time": time})
    }
}

/// `GET /v1/leadLabels`.
pub(crate) fn list(drive: &mut Drive, _call: &Call<'_>) -> Answer {
    let labels: Vec<Value> = drive.labels.iter().map(Label::json).collect();
    ok(&json!({"success": true, "data": labels}))
}

/// `GET /v1/leadSources`: fixed (v1 document, getLeadSources).
pub(crate) fn sources(_drive: &mut Drive, _call: &Call<'_>) -> Answer {
    let names =
        ["Manually created", "Deal", "Web forms", "Prospector", "Leadbooster", "Live chat", "Import", "API"];
    let data: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    ok(&json!({"success": true, "data": data}))
}
