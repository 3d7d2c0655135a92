//! Which fields a client may write, of which type, and whether null clears them.
//!
//! v2 document: addPerson, addOrganization, addDeal, addActivity and their updates; v1 document: addLead, updateLead.
//! A name that the document does not have is refused, which is the unkind reading.

use serde_json::{Map, Value};

use super::errors::Problem;
use super::kinds::{Kind, lead_number};
use super::notes::is_attached;
use super::row::Row;
use super::state::Drive;
use super::values::{address, attendees, clock, contacts, is_date, money, participants};

/// The type of a writable field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Text,
    Int,
    Number,
    Bool,
    Date,
    Clock,
    Time,
    Ints,
    Contacts,
    Address,
    Participants,
    Attendees,
    /// A user who may own records.
    User,
    /// A living record.
    Ref(Kind),
    LeadId,
    Labels,
    Money,
    ActivityType,
    One(&'static [&'static str]),
    Visibility,
    /// Accepted and without effect.
    Ignored,
    /// Refused unless contact sync is set up, which it never is here.
    ContactSync,
}

use Of::*;

/// Name, type, whether null clears it.
type Rule = (&'static str, Of, bool);

const PERSON: &[Rule] = &[
    ("name", Text, false),
    ("owner_id", User, false),
    ("org_id", Ref(Kind::Organization), true),
    ("add_time", Time, false),
    ("emails", Contacts, true),
    ("phones", Contacts, true),
    ("visible_to", Visibility, false),
    ("label_ids", Ints, true),
    ("postal_address", ContactSync, true),
    ("notes", ContactSync, true),
    ("im", ContactSync, true),
    ("birthday", ContactSync, true),
    ("job_title", ContactSync, true),
];

const ORGANIZATION: &[Rule] = &[
    ("name", Text, false),
    ("owner_id", User, false),
    ("add_time", Time, false),
    ("visible_to", Visibility, false),
    ("label_ids", Ints, true),
    ("address", Address, true),
    ("website", Text, true),
    ("linkedin", Text, true),
    ("industry", Int, true),
    ("annual_revenue", Int, true),
    ("employee_count", Int, true),
];

const DEAL: &[Rule] = &[
    ("title", Text, false),
    ("owner_id", User, false),
    ("person_id", Ref(Kind::Person), true),
    ("org_id", Ref(Kind::Organization), true),
    ("pipeline_id", Int, false),
    ("stage_id", Int, false),
    ("value", Number, true),
    ("currency", Text, false),
    ("is_deleted", Ignored, false),
    ("is_archived", Bool, false),
    ("archive_time", Ignored, true),
    ("status", One(&["open", "won", "lost"]), false),
    ("probability", Number, true),
    ("lost_reason", Text, true),
    ("visible_to", Visibility, false),
    ("close_time", Time, true),
    ("won_time", Time, true),
    ("lost_time", Time, true),
    ("expected_close_date", Date, true),
    ("label_ids", Ints, true),
];

/// `person_id` may be sent and does nothing: participants say who it is about (API-FACTS Pipedrive: Activity).
const ACTIVITY: &[Rule] = &[
    ("subject", Text, false),
    ("type", ActivityType, false),
    ("owner_id", User, false),
    ("deal_id", Ref(Kind::Deal), true),
    ("lead_id", LeadId, true),
    ("person_id", Ignored, true),
    ("org_id", Ref(Kind::Organization), true),
    ("project_id", Int, true),
    ("due_date", Date, true),
    ("due_time", Clock, true),
    ("duration", Clock, true),
    ("busy", Bool, true),
    ("done", Bool, false),
    ("location", Address, true),
    ("participants", Participants, true),
    ("attendees", Attendees, true),
    ("public_description", Text, true),
    ("priority", Int, true),
    ("note", Text, true),
];

const LEAD: &[Rule] = &[
    ("title", Text, false),
    ("owner_id", User, false),
    ("label_ids", Labels, false),
    ("person_id", Ref(Kind::Person), true),
    ("organization_id", Ref(Kind::Organization), true),
    ("value", Money, true),
    ("expected_close_date", Date, true),
    ("visible_to", One(&["1", "3", "5", "7"]), false),
    ("was_seen", Bool, false),
    ("channel", Int, true),
    ("channel_id", Text, true),
];

/// The author is the token's user (v1 document, addNote: only an admin can name another).
const NOTE: &[Rule] = &[
    ("content", Text, false),
    ("lead_id", LeadId, true),
    ("deal_id", Ref(Kind::Deal), true),
    ("person_id", Ref(Kind::Person), true),
    ("org_id", Ref(Kind::Organization), true),
];

/// Only on create (v1 document, addLead).
const LEAD_CREATE: &[Rule] = &[("origin_id", Text, true)];
/// Only on change (v1 document, updateLead).
const LEAD_CHANGE: &[Rule] = &[("is_archived", Bool, false)];

fn rules(kind: Kind, create: bool) -> [&'static [Rule]; 2] {
    match kind {
        Kind::Person => [PERSON, &[]],
        Kind::Organization => [ORGANIZATION, &[]],
        Kind::Deal => [DEAL, &[]],
        Kind::Activity => [ACTIVITY, &[]],
        Kind::Note => [NOTE, &[]],
        Kind::Lead if create => [LEAD, LEAD_CREATE],
        Kind::Lead => [LEAD, LEAD_CHANGE],
    }
}

/// Checked fields to set, in the normal form of answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) fields: Map<String, Value>,
    pub(crate) custom: Map<String, Value>,
}

/// Checks a body; `before` is the record that it changes, none on create.
pub(crate) fn check(
    drive: &Drive,
    kind: Kind,
    body: Map<String, Value>,
    before: Option<&Row>,
) -> Result<Changes, Problem> {
    let mut changes = Changes::default();
    let known = rules(kind, before.is_none());
    for (name, value) in body {
        if kind == Kind::Lead && is_key(&name) {
            changes.custom.insert(name, value);
            continue;
        }
        if let (true, "custom_fields") =
            (matches!(kind, Kind::Person | Kind::Organization | Kind::Deal), &*name)
        {
            let Value::Object(map) = value else { return Err(Problem::schema(&name, "must be an object")) };
            changes.custom = map;
            continue;
        }
        let rule = known.iter().copied().flatten().find(|rule| rule.0 == name);
        let (_, of, nullable) = *rule.ok_or_else(|| Problem::schema(&name, "is not allowed"))?;
        if of == Ignored {
            continue;
        }
        if of == ContactSync {
            // API-FACTS Pipedrive: Error.
            return Err(Problem::new(403, format!("{name} needs contact sync")));
        }
        let value = match value {
            Value::Null if nullable => cleared(of),
            Value::Null => return Err(Problem::schema(&name, "must not be null")),
            value => normal(drive, of, &name, value)?,
        };
        changes.fields.insert(name, value);
    }
    drive.fields.check(kind, &changes.custom)?;
    required(kind, &changes.fields, before)?;
    Ok(changes)
}

fn is_key(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn cleared(of: Of) -> Value {
    match of {
        Ints | Contacts | Participants | Attendees => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// What a create cannot do without, and what a change must not take away.
fn required(kind: Kind, given: &Map<String, Value>, before: Option<&Row>) -> Result<(), Problem> {
    let name = match kind {
        Kind::Person | Kind::Organization => "name",
        Kind::Deal | Kind::Lead => "title",
        Kind::Note if is_attached(given) => "content",
        Kind::Note => return Err(Problem::new(400, "a note must be attached to something")),
        Kind::Activity => return Ok(()),
    };
    match given.get(name).map(|text| text.as_str().unwrap_or_default().trim().is_empty()) {
        Some(false) => {}
        None if before.is_some() => {}
        _ => return Err(Problem::schema(name, "is required")),
    }
    let links: [&str; 2] = match kind {
        // v1 has required it of deals since 2021; v2 leaves it open (API-FACTS Pipedrive: Deal create).
        Kind::Deal => ["person_id", "org_id"],
        Kind::Lead => ["person_id", "organization_id"],
        _ => return Ok(()),
    };
    let linked = links.iter().any(|name| {
        let value = given.get(*name).or_else(|| before?.fields.get(*name));
        value.is_some_and(|value| !value.is_null())
    });
    if linked {
        Ok(())
    } else {
        Err(Problem::new(400, format!("{} or {} must be given", links[0], links[1])))
    }
}

fn normal(drive: &Drive, of: Of, name: &str, value: Value) -> Result<Value, Problem> {
    let typed = |fits: bool, what: &str| if fits { Ok(()) } else { Err(Problem::schema(name, what)) };
    match of {
        Text => typed(value.is_string(), "must be a string")?,
        Int | User | Ref(_) => typed(value.is_i64() || value.is_u64(), "must be an integer")?,
        Number => typed(value.is_number(), "must be a number")?,
        Bool => typed(value.is_boolean(), "must be a boolean")?,
        Date => typed(value.as_str().is_some_and(is_date), "must be a date, YYYY-MM-DD")?,
        Time => {
            let time = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            typed(time.is_some(), "must be a time in RFC 3339")?;
        }
        Ints => {
            let fits = value.as_array().is_some_and(|list| list.iter().all(Value::is_u64));
            typed(fits, "must be a list of integers")?;
        }
        Visibility => typed(matches!(value.as_u64(), Some(1 | 3 | 5 | 7)), "must be 1, 3, 5 or 7")?,
        One(known) => {
            typed(value.as_str().is_some_and(|text| known.contains(&text)), "is not a known value")?;
        }
        LeadId => typed(value.is_string(), "must be a string")?,
        Labels => {
            let known = |id: &Value| drive.labels.iter().any(|label| Some(label.id.as_str()) == id.as_str());
            let fits = value.as_array().is_some_and(|list| list.iter().all(known));
            typed(fits, "must be a list of label ids")?;
        }
        ActivityType => {
            let key = value.as_str().unwrap_or_default();
            let known = drive.activity_types.iter().any(|of| of.active && of.key == key);
            typed(known, "is not the key of an activity type")?;
        }
        Clock => return clock(name, &value),
        Contacts => return contacts(name, &value),
        Participants => {
            let rows = participants(name, &value)?;
            let missing =
                |row: &&Value| drive.living(Kind::Person, row["person_id"].as_u64().unwrap_or(0)).is_none();
            typed(
                rows.as_array().and_then(|rows| rows.iter().find(missing)).is_none(),
                "has no such person",
            )?;
            return Ok(rows);
        }
        Attendees => return attendees(name, &value),
        Address => return address(name, &value),
        Money => return money(name, &value),
        Ignored | ContactSync => {}
    }
    exists(drive, of, name, &value)?;
    Ok(value)
}

/// What a value points at must be there.
fn exists(drive: &Drive, of: Of, name: &str, value: &Value) -> Result<(), Problem> {
    let number = value.as_u64().unwrap_or(0);
    let there = match of {
        User => drive.users.get(&number).is_some_and(super::users::PipedriveUser::can_own),
        Ref(kind) => drive.living(kind, number).is_some(),
        LeadId => {
            let number = value.as_str().and_then(lead_number);
            number.is_some_and(|number| drive.living(Kind::Lead, number).is_some())
        }
        _ => true,
    };
    if there { Ok(()) } else { Err(Problem::new(400, format!("{name} {value} was not found"))) }
}
