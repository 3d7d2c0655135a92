//! The handle on the forms account: people answer forms here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::state::{Field, Form, FormSpec, Response};
use super::webhooks::{Parcel, post};
use crate::Error;
use crate::clock::Millis;
use crate::hubspot::later::Later;
use crate::hubspot::record::Source;
use crate::hubspot::state::{Hub, Stamp};
use crate::oracle::Actor;
use crate::world::World;

/// Contact properties by name.
type Properties = Vec<(String, String)>;

/// Somebody's answer to a form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The form; in the control API the path names it.
    #[serde(default)]
    pub form: String,
    /// Answers by ref.
    pub answers: Map<String, Value>,
    /// Hidden fields, such as UTM parameters.
    #[serde(default)]
    pub hidden: Map<String, Value>,
    /// The response's token; made up if absent.
    #[serde(default)]
    pub token: Option<String>,
    /// When it was sent, epoch milliseconds; now if absent.
    #[serde(default)]
    pub submitted_at: Option<Millis>,
    /// `FORM` or `INTEGRATION`: the form tool's own CRM integration writes the contact for sure, with this source.
    #[serde(default)]
    pub crm_source: Option<String>,
}

/// A response as the oracle remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The response's token.
    pub token: String,
    /// When it was sent.
    pub submitted_at: Millis,
    /// The first e-mail answer.
    pub email: Option<String>,
}

/// The simulated Typeform account, from behind the counter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TypeformSim {
    pub(crate) world: Arc<World>,
}

impl TypeformSim {
    /// Defines a form or replaces its questions.
    pub fn define(&self, spec: FormSpec) {
        self.world.forms().define(spec);
    }

    /// Forgets every response of a form, as if nobody had ever answered it.
    pub fn forget(&self, form: &str) {
        if let Some(form) = self.world.forms().all.get_mut(form) {
            form.responses.clear();
        }
    }

    /// How many responses a form has.
    #[must_use]
    pub fn count(&self, form: &str) -> usize {
        self.world.forms().all.get(form).map_or(0, |form| form.responses.len())
    }

    /// Every response of a form as it was taken: token, time, e-mail; the truth about what came in.
    #[must_use]
    pub fn taken(&self, form: &str) -> Vec<Taken> {
        let forms = self.world.forms();
        let responses = forms.all.get(form).map(|form| form.responses.as_slice()).unwrap_or_default();
        let email = |response: &Response| {
            let answer = response.answers.iter().find(|answer| answer["type"] == "email");
            answer.and_then(|answer| answer["email"].as_str()).map(str::to_owned)
        };
        responses
            .iter()
            .map(|response| Taken {
                token: response.token.clone(),
                submitted_at: response.submitted_at,
                email: email(response),
            })
            .collect()
    }

    /// Stores an answer, lets the CRM integration do its part, and calls the webhooks. Returns the token.
    ///
    /// # Errors
    /// On an unknown form or question.
    pub fn submit(&self, submission: &Submission) -> Result<String, Error> {
        let world = &self.world;
        let now = world.clock.now();
        let (token, event_id, visible_at) = {
            let mut hub = world.hub();
            let made_up = format!("{:016x}{:016x}", hub.dice.bits(), hub.dice.bits());
            let event = format!("01{:014x}{:010x}", hub.next(), hub.dice.bits() & 0xff_ffff_ffff);
            let lag = hub.faults.form_lag_ms;
            (submission.token.clone().unwrap_or(made_up), event, hub.after(now, lag))
        };
        let (parcels, properties) = self.store(submission, &token, &event_id, (now, visible_at))?;
        self.integrate(submission, properties, now)?;
        world.pump();
        for parcel in &parcels {
            post(world, parcel);
        }
        Ok(token)
    }

    fn store(
        &self,
        submission: &Submission,
        token: &str,
        event_id: &str,
        (now, visible_at): (Millis, Millis),
    ) -> Result<(Vec<Parcel>, Properties), Error> {
        let mut forms = self.world.forms();
        let name = &submission.form;
        let form = forms.all.get_mut(name).ok_or_else(|| Error::Input(format!("there is no form {name}")))?;
        let submitted_at = submission.submitted_at.unwrap_or(now);
        let response = Response {
            token: token.to_owned(),
            landed_at: submitted_at - 42_000,
            submitted_at,
            visible_at: visible_at.max(now),
            answers: answers(form, &submission.answers)?,
            hidden: submission.hidden.clone(),
        };
        let body = serde_json::to_vec(&form.event(&response, event_id)).unwrap_or_default();
        form.responses.push(response);
        let parcels = form
            .hooks
            .iter()
            .filter(|(_, hook)| hook.enabled)
            .map(|(tag, hook)| Parcel {
                form: name.clone(),
                tag: tag.clone(),
                hook: hook.clone(),
                body: body.clone(),
            })
            .collect();
        let properties = form
            .spec
            .fields
            .iter()
            .filter_map(|field| {
                let value = text(submission.answers.get(&field.reference)?)?;
                Some((crm_property(field)?.to_owned(), value))
            })
            .collect();
        Ok((parcels, properties))
    }

    /// The form tool's own CRM integration creates the contact, before or some time after the webhook.
    fn integrate(&self, submission: &Submission, properties: Properties, now: Millis) -> Result<(), Error> {
        let mut hub = self.world.hub();
        let asked = match submission.crm_source.as_deref() {
            None => None,
            Some(name) => {
                Some(Source::parse(name).ok_or_else(|| Error::Input(format!("there is no source {name}")))?)
            }
        };
        let rate = hub.faults.form_tool_first;
        let source = match asked {
            Some(source) => Some(source),
            None => hub.fires(rate, "form_tool_first", now, 0).then_some(Source::Integration),
        };
        let Some(source) = source.filter(|_| !properties.is_empty()) else { return Ok(()) };
        let span = hub.faults.form_tool_delay_ms;
        let due = hub.after(now, span);
        if due <= now {
            write_contact(&mut hub, &properties, source, now);
        } else {
            hub.schedule(due, Later::FormContact { properties, source });
        }
        Ok(())
    }
}

fn write_contact(hub: &mut Hub, properties: &[(String, String)], source: Source, now: Millis) {
    let stamp = Stamp { at: now, actor: Actor::FormTool, correlation: 0 };
    hub.upsert_from_form(properties, source, stamp);
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The contact property that an integration would map a question to.
fn crm_property(field: &Field) -> Option<&'static str> {
    let name = field.reference.to_lowercase();
    match field.field_type.as_str() {
        "email" => Some("email"),
        "phone_number" => Some("phone"),
        _ if name.contains("first") => Some("firstname"),
        _ if name.contains("last") => Some("lastname"),
        _ if name.contains("company") => Some("company"),
        _ if name.contains("website") => Some("website"),
        _ if name.contains("country") => Some("country"),
        _ => None,
    }
}

/// Answers in the vendor's form: `{type, <type>: value, field}`.
fn answers(form: &Form, given: &Map<String, Value>) -> Result<Vec<Value>, Error> {
    given
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(reference, value)| {
            let field = form.spec.fields.iter().find(|field| field.reference == *reference);
            let field = field.ok_or_else(|| Error::Input(format!("the form has no question {reference}")))?;
            let (kind, value) = match (field.field_type.as_str(), value) {
                ("email", value) => ("email", value.clone()),
                ("phone_number", value) => ("phone_number", value.clone()),
                ("website" | "url", value) => ("url", value.clone()),
                ("number" | "rating" | "opinion_scale", value) => ("number", value.clone()),
                ("yes_no" | "legal", value) => ("boolean", value.clone()),
                ("date", value) => ("date", value.clone()),
                ("multiple_choice" | "dropdown", Value::Array(labels)) => {
                    ("choices", json!({"labels": labels}))
                }
                ("multiple_choice" | "dropdown", value) => ("choice", json!({"label": value})),
                (_, value) => ("text", value.clone()),
            };
            Ok(json!({"type": kind, kind: value,
                "field": {"id": field.id, "ref": field.reference, "type": field.field_type}}))
        })
        .collect()
}
