//! Search: by term in groups of fields, or in one field; through an index that lags.

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::cursor::page;
use super::errors::Problem;
use super::index::{Doc, Scope};
use super::kinds::Kind;
use super::state::Drive;

fn scopes(kind: Kind) -> &'static [(&'static str, Scope)] {
    match kind {
        Kind::Person => &[
            ("name", Scope::Name),
            ("email", Scope::Email),
            ("phone", Scope::Phone),
            ("notes", Scope::Notes),
            ("custom_fields", Scope::Custom),
        ],
        Kind::Organization => &[
            ("name", Scope::Name),
            ("address", Scope::Address),
            ("notes", Scope::Notes),
            ("custom_fields", Scope::Custom),
        ],
        _ => &[("title", Scope::Name), ("notes", Scope::Notes), ("custom_fields", Scope::Custom)],
    }
}

/// At least two characters, one if the match is exact (v2 document, searchPersons).
fn term<'a>(call: &'a Call<'_>, exact: bool) -> Result<&'a str, Problem> {
    let term = call.query("term").unwrap_or_default().trim();
    let least = if exact { 1 } else { 2 };
    if term.chars().count() >= least {
        Ok(term)
    } else {
        Err(Problem::schema("term", &format!("must have at least {least} characters")))
    }
}

/// `GET /v2/{object}/search`.
pub(crate) fn search(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let exact = call.query_flag("exact_match")?.unwrap_or(false);
    let lower = term(call, exact)?.to_lowercase();
    let known = scopes(kind);
    let mut wanted = Vec::new();
    for name in call.query_list("fields") {
        let scope = known.iter().find(|(field, _)| *field == name);
        wanted.push(scope.ok_or_else(|| Problem::schema("fields", &format!("{name} is not allowed")))?.1);
    }
    let (person, organization) =
        (call.query_number::<u64>("person_id")?, call.query_number::<u64>("organization_id")?);
    let linked = |doc: &Doc| {
        person.is_none_or(|id| kind != Kind::Lead || doc.person == Some(id))
            && organization.is_none_or(|id| doc.organization == Some(id))
    };
    let mut found: Vec<Value> = Vec::new();
    for (_, doc) in drive.index.of(kind).filter(|(_, doc)| linked(doc)) {
        let terms = doc.terms.iter().filter(|term| wanted.is_empty() || wanted.contains(&term.scope));
        let hits = terms.filter(|term| if exact { term.lower == lower } else { term.lower.contains(&lower) });
        // The score is the vendor's secret; here a longer part of the value counts for more.
        let score = hits.map(|term| share(&lower, &term.lower)).fold(0.0, f64::max);
        if score > 0.0 {
            found.push(json!({"result_score": score, "item": doc.item}));
        }
    }
    found.sort_by(|a, b| {
        b["result_score"]
            .as_f64()
            .partial_cmp(&a["result_score"].as_f64())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let (mut items, cursor) = page(call, found)?;
    drive.untidy(call, &mut items);
    ok(&json!({"success": true, "data": {"items": items}, "additional_data": {"next_cursor": cursor}}))
}

#[allow(clippy::cast_precision_loss)]
fn share(part: &str, whole: &str) -> f64 {
    part.len() as f64 / whole.len().max(1) as f64
}

/// `GET /v2/itemSearch/field`: case-sensitive, in one field.
///
/// The document's schema wraps each result in `item`, its example does not; the switch `flat_field_search` chooses.
pub(crate) fn in_field(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let how = call.query("match").unwrap_or("exact");
    if !matches!(how, "exact" | "beginning" | "middle") {
        return Err(Problem::schema("match", "must be exact, beginning or middle"));
    }
    let term = term(call, how == "exact")?;
    let kind =
        call.query("entity_type").and_then(|name| Kind::ALL.into_iter().find(|kind| kind.singular() == name));
    let kind = kind.filter(|kind| !matches!(kind, Kind::Activity | Kind::Note)).ok_or_else(|| {
        Problem::schema("entity_type", "must be deal, lead, person, organization, product or project")
    })?;
    let key = call.query("field").ok_or_else(|| Problem::schema("field", "is required"))?;
    let standard = matches!(key, "name" | "title" | "email" | "phone" | "address");
    if !standard && !drive.fields.find(kind, key).is_some_and(super::fields::Field::searchable) {
        return Err(Problem::schema("field", "is not searchable"));
    }
    let fits = |text: &str| match how {
        "exact" => text == term,
        "beginning" => text.starts_with(term),
        _ => text.contains(term),
    };
    let flat = drive.faults.flat_field_search;
    let found: Vec<Value> = drive
        .index
        .of(kind)
        .filter(|(_, doc)| doc.terms.iter().any(|term| term.key == key && fits(&term.text)))
        .map(|(_, doc)| {
            let name = if doc.item["name"].is_null() { "title" } else { "name" };
            let item = json!({"id": doc.item["id"], name: doc.item[name]});
            if flat { item } else { json!({"result_score": 1.0, "item": item}) }
        })
        .collect();
    let (items, cursor) = page(call, found)?;
    ok(&json!({"success": true, "data": items, "additional_data": {"next_cursor": cursor}}))
}

impl Drive {
    /// The switch `shuffled`: a page's rows out of order, a tenth of them twice.
    pub(crate) fn untidy(&mut self, call: &Call<'_>, rows: &mut Vec<Value>) {
        let rate = self.faults.shuffled;
        if self.fires(rate, "shuffled", call.by.at, call.by.correlation) {
            self.dice.untidy(rows);
        }
    }
}
