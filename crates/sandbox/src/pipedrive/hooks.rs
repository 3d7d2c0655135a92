//! Webhooks v2: what is told to whom, and how a webhook fares that fails.
//!
//! API-FACTS Pipedrive: Webhooks v2. Where it is silent (types of the ids in `meta`, typed custom fields, `visible_to` as
//! text) the shape is that of bodies which public integrations have written down.

use serde_json::{Map, Value, json};

use super::call::By;
use super::kinds::{Kind, lead_uuid};
use super::later::Later;
use super::notes::note;
use super::row::Row;
use super::show::{Want, lead, v2};
use super::state::Drive;
use super::users::{COMPANY, COMPANY_DOMAIN};
use crate::clock::{Millis, iso};
use crate::oracle::{Actor, correlation_id};

/// A webhook of the account.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) user: u64,
    pub(crate) action: String,
    pub(crate) object: String,
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) active: bool,
    pub(crate) auth_user: Option<String>,
    pub(crate) auth_password: Option<String>,
    pub(crate) added: Millis,
    pub(crate) last_delivery: Option<Millis>,
    pub(crate) last_status: Option<u16>,
    /// First attempts that failed since the last success.
    pub(crate) failed: u32,
    pub(crate) banned_until: Millis,
    /// The first failure since the last success.
    pub(crate) failing_since: Option<Millis>,
}

impl Hook {
    fn wants(&self, action: &str, kind: Kind) -> bool {
        let one = |wanted: &str, is: &str| wanted == "*" || wanted == is;
        self.active && one(&self.action, action) && one(&self.object, kind.singular())
    }
}

/// What happened to a record.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    Create,
    Change {
        before: &'a Row,
    },
    /// Deleted, or merged into another.
    Delete {
        before: &'a Row,
        into: Option<u64>,
    },
}

impl Happening<'_> {
    fn action(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change { .. } => "change",
            Self::Delete { .. } => "delete",
        }
    }
}

/// One delivery on its way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) hook: u64,
    pub(crate) body: Value,
    /// From 1.
    pub(crate) attempt: usize,
}

/// A retry comes so long after the attempt before it.
const RETRY_MS: [Millis; 3] = [3_000, 30_000, 150_000];
const FAILURES_TO_BAN: u32 = 10;
const BAN_MS: Millis = 30 * 60_000;
const FAILING_TO_DELETE_MS: Millis = 3 * 86_400_000;

/// A custom field's value with its type.
fn typed(of: &str, value: &Value) -> Value {
    match (of, value) {
        (_, Value::Null) => Value::Null,
        ("enum" | "user" | "org" | "people", id) => json!({"id": id, "type": of}),
        ("set", Value::Array(ids)) => {
            let values: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
            json!({"type": of, "values": values})
        }
        ("monetary", value) => json!({"type": of, "value": value["value"], "currency": value["currency"]}),
        (_, value) => json!({"type": of, "value": value}),
    }
}

/// A record as webhooks carry it.
fn data(drive: &Drive, kind: Kind, row: &Row) -> Map<String, Value> {
    let shown = match kind {
        Kind::Lead => lead(drive, &Row { custom: Map::new(), ..row.clone() }),
        Kind::Note => note(drive, row, row.owner()),
        _ => v2(drive, kind, row, &Want::default()),
    };
    let Value::Object(mut map) = shown else { return Map::new() };
    map.shift_remove("is_deleted");
    if let Some(Value::Number(number)) = map.get("visible_to") {
        let text = number.to_string();
        map.insert("visible_to".to_owned(), text.into());
    }
    if !matches!(kind, Kind::Activity | Kind::Note) {
        let value = |key: &str| row.custom.get(key).unwrap_or(&Value::Null);
        let custom: Map<String, Value> = drive
            .fields
            .custom(kind)
            .map(|field| (field.key.clone(), typed(&field.of, value(&field.key))))
            .collect();
        map.insert("custom_fields".to_owned(), custom.into());
    }
    map
}

/// Only what differs, custom fields one by one; the time of the update is not among it.
fn previous(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let differs =
        |(name, value): &(&String, &Value)| *name != "update_time" && after.get(*name) != Some(*value);
    let mut changed = Map::new();
    for (name, value) in before.iter().filter(differs) {
        let value = match (value, after.get(name)) {
            (Value::Object(old), Some(Value::Object(new))) if name == "custom_fields" => {
                previous(old, new).into()
            }
            _ => value.clone(),
        };
        changed.insert(name.clone(), value);
    }
    changed
}

impl Drive {
    /// Tells every webhook that asked; one that is banned misses it for good.
    pub(crate) fn tell(&mut self, kind: Kind, id: u64, what: &Happening<'_>, by: By) {
        let wanting: Vec<u64> =
            self.hooks.values().filter(|hook| hook.wants(what.action(), kind)).map(|hook| hook.id).collect();
        if wanting.is_empty() {
            return;
        }
        let Some(row) = self.table(kind).rows.get(&id) else { return };
        let now = data(self, kind, row);
        let (body, old) = match what {
            Happening::Create => (now.into(), Value::Null),
            Happening::Change { before } => {
                let old = previous(&data(self, kind, before), &now);
                (now.into(), old.into())
            }
            Happening::Delete { before, .. } => (Value::Null, data(self, kind, before).into()),
        };
        let mut meta = self.meta(kind, id, what.action(), by);
        if let Happening::Delete { into: Some(into), .. } = what {
            meta["merged_to_id"] = into.to_string().into();
        }
        for hook in wanting {
            let mut meta = meta.clone();
            meta["webhook_id"] = hook.to_string().into();
            let bits = (self.dice.bits(), self.dice.bits());
            let event = format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                bits.0 >> 32,
                bits.0 & 0xffff,
                (bits.0 >> 16) & 0xfff,
                bits.1 & 0xfff,
                bits.1 >> 16
            );
            meta["id"] = event.into();
            self.post(hook, &json!({"data": body, "previous": old, "meta": meta}), by.at);
        }
    }

    fn meta(&self, kind: Kind, id: u64, action: &str, by: By) -> Value {
        let entity = if kind == Kind::Lead { lead_uuid(id) } else { id.to_string() };
        let source = if matches!(by.actor, Actor::Api(_)) { "api" } else { "app" };
        let users: Vec<String> = self.users.keys().map(u64::to_string).collect();
        json!({
            "action": action,
            "entity": kind.singular(),
            "entity_id": entity,
            "company_id": COMPANY.to_string(),
            "user_id": by.user.to_string(),
            "correlation_id": correlation_id(by.correlation.max(1)),
            "timestamp": iso(by.at),
            "is_bulk_edit": false,
            "type": "general",
            "version": "2.0",
            "webhook_owner_id": "1",
            "change_source": source,
            "permitted_user_ids": users,
            "attempt": 1,
            "host": format!("{COMPANY_DOMAIN}.pipedrive.com"),
        })
    }

    /// Drops, doubles and delays, as the switches say.
    fn post(&mut self, hook: u64, body: &Value, at: Millis) {
        let faults = self.faults.clone();
        if self.fires(faults.webhook_drop, "webhook_drop", at, 0) {
            return;
        }
        let copies = if self.fires(faults.webhook_duplicate, "webhook_duplicate", at, 0) { 2 } else { 1 };
        let late = self.fires(faults.webhook_reorder, "webhook_reorder", at, 0);
        for _ in 0..copies {
            let parcel = Parcel { hook, body: body.clone(), attempt: 1 };
            let due = self.after(at, faults.webhook_delay_ms) + if late { OVERTAKEN_MS } else { 0 };
            if due <= at {
                self.send(parcel, at);
            } else {
                self.schedule(due, Later::Hook(Box::new(parcel)));
            }
        }
    }

    /// Lets a parcel go, unless its webhook is banned now: then it never goes, a retry neither.
    pub(crate) fn send(&mut self, parcel: Parcel, at: Millis) {
        if self.hooks.get(&parcel.hook).is_some_and(|hook| hook.banned_until > at) {
            self.oracle.request("pipedrive webhook missed in a ban");
        } else {
            self.outbox.push(parcel);
        }
    }

    /// Notes how a delivery ended, and what follows from a failure. A status of 0 is no answer.
    pub(crate) fn delivered(&mut self, mut parcel: Parcel, status: u16, now: Millis) {
        let success = (200..300).contains(&status);
        self.oracle.request(if success { "pipedrive webhook accepted" } else { "pipedrive webhook refused" });
        let Some(hook) = self.hooks.get_mut(&parcel.hook) else { return };
        (hook.last_delivery, hook.last_status) = (Some(now), (status != 0).then_some(status));
        if success {
            (hook.failed, hook.failing_since) = (0, None);
            return;
        }
        let since = *hook.failing_since.get_or_insert(now);
        if now - since >= FAILING_TO_DELETE_MS {
            self.hooks.remove(&parcel.hook);
            self.oracle.fire(now, "webhook_deleted", 0);
            return;
        }
        if parcel.attempt == 1 {
            hook.failed += 1;
            if hook.failed >= FAILURES_TO_BAN {
                (hook.failed, hook.banned_until) = (0, now + BAN_MS);
                self.oracle.fire(now, "webhook_banned", 0);
            }
        }
        let Some(wait) = RETRY_MS.get(parcel.attempt - 1) else {
            self.oracle.fire(now, "webhook_given_up", 0);
            return;
        };
        parcel.attempt += 1;
        parcel.body["meta"]["attempt"] = parcel.attempt.into();
        self.schedule(now + wait, Later::Hook(Box::new(parcel)));
    }
}

/// An event that is overtaken comes this much later.
const OVERTAKEN_MS: Millis = 400;
