//! The oracle's verdict on the Pipedrive account, in the same terms as HubSpot's.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::kinds::Kind;
use super::row::Row;
use super::state::Drive;
use crate::clock::Millis;
use crate::oracle::{Actor, Change, Event, PIPEDRIVE};
use crate::summary::{Duplicate, ObjectCount, Ownership, Summary, duplicates, marker_line};

fn is_of(event: &Event, kind: Kind) -> bool {
    event.kind == PIPEDRIVE + kind as u8
}

/// Judges the account as it is now.
pub(crate) fn summarize(drive: &Drive, marker: &str) -> Summary {
    let mut summary = Summary {
        objects: count(drive),
        faults: drive.oracle.counts().clone(),
        requests: drive.oracle.requests().clone(),
        calls: drive.oracle.requested(&["pipedrive request", "pipedrive search"]),
        over_limit: drive.oracle.requested(&["pipedrive 429", "pipedrive 403 page"]),
        pending: drive.later.len(),
        ..Summary::default()
    };
    persons(drive, &mut summary);
    tasks(drive, marker, &mut summary);
    summary.duplicate_leads = leads(drive);
    for owned in [Kind::Person, Kind::Lead, Kind::Deal].into_iter().flat_map(|kind| ownership(drive, kind)) {
        let Some(api_owner) = owned.api_owner else { continue };
        summary.owners_set += 1;
        if owned.changed_later_by.is_some() {
            summary.owners_changed_later += 1;
        } else if owned.owner != api_owner {
            summary.owners_lost += 1;
        }
    }
    summary
}

fn count(drive: &Drive) -> BTreeMap<&'static str, ObjectCount> {
    let mut counts = BTreeMap::new();
    for kind in Kind::ALL {
        let mut count =
            ObjectCount { live: drive.table(kind).all_living().count(), ..ObjectCount::default() };
        for event in drive.oracle.events().iter().filter(|event| is_of(event, kind)) {
            match (event.change, event.actor) {
                (Change::Create, Actor::Api(_)) => count.created_by_api += 1,
                (Change::Create, _) => count.created_by_others += 1,
                (Change::Archive, _) => count.archived += 1,
                (Change::Merge, _) => count.merged += 1,
                _ => {}
            }
        }
        if count != ObjectCount::default() {
            counts.insert(kind.plural(), count);
        }
    }
    counts
}

pub(crate) fn contact_values<'a>(row: &'a Row, name: &str) -> impl Iterator<Item = &'a str> {
    let rows = row.fields.get(name).and_then(Value::as_array);
    rows.into_iter().flatten().filter_map(|row| row["value"].as_str())
}

fn persons(drive: &Drive, summary: &mut Summary) {
    let (mut emails, mut phones) = (HashMap::<String, Vec<u64>>::new(), HashMap::<String, Vec<u64>>::new());
    for row in drive.table(Kind::Person).all_living() {
        let mut own: Vec<String> =
            contact_values(row, "emails").map(|text| text.trim().to_lowercase()).collect();
        own.sort();
        own.dedup();
        if own.is_empty() {
            let mut numbers: Vec<String> = contact_values(row, "phones")
                .map(|text| text.chars().filter(char::is_ascii_digit).collect::<String>())
                .filter(|digits| digits.len() >= 7)
                .collect();
            numbers.sort();
            numbers.dedup();
            numbers.into_iter().for_each(|digits| phones.entry(digits).or_default().push(row.id));
        }
        own.into_iter().for_each(|email| emails.entry(email).or_default().push(row.id));
    }
    (summary.duplicate_persons, summary.duplicate_person_list) = duplicates(emails);
    summary.duplicate_phones = duplicates(phones).0;
}

/// Living leads beyond the first of each source id.
fn leads(drive: &Drive) -> usize {
    let mut groups = HashMap::<String, Vec<u64>>::new();
    for row in drive.table(Kind::Lead).all_living() {
        if let Some(origin) = row.text("origin_id") {
            groups.entry(origin.to_owned()).or_default().push(row.id);
        }
    }
    duplicates(groups).0
}

/// Whom an activity is about: its lead, its deal, its person after merges, its organization.
fn subject_of(drive: &Drive, row: &Row) -> Option<String> {
    let person = row.number("person_id").map(|id| drive.table(Kind::Person).resolve(id));
    row.text("lead_id")
        .map(str::to_owned)
        .or_else(|| row.number("deal_id").map(|id| format!("deal {id}")))
        .or_else(|| person.map(|id| format!("person {id}")))
        .or_else(|| row.number("org_id").map(|id| format!("organization {id}")))
}

fn tasks(drive: &Drive, marker: &str, summary: &mut Summary) {
    let marker = marker.to_lowercase();
    let mut groups = HashMap::<String, Vec<u64>>::new();
    for event in drive.oracle.events().iter().filter(|event| is_of(event, Kind::Activity)) {
        if !matches!(event.actor, Actor::Api(_)) || event.change != Change::Create {
            continue;
        }
        summary.tasks_created += 1;
        let Some(row) = drive.table(Kind::Activity).rows.get(&event.id) else { continue };
        let texts = ["note", "public_description", "subject"].map(|name| row.text(name).unwrap_or_default());
        let marked = texts.iter().find(|text| text.to_lowercase().contains(&marker));
        let key = marked.map_or(texts[2], |text| marker_line(text, &marker));
        let about = subject_of(drive, row);
        summary.tasks_without_contact += usize::from(about.is_none());
        groups.entry(format!("{key} @ {}", about.unwrap_or_default())).or_default().push(event.id);
    }
    let found: (usize, Vec<Duplicate>) = duplicates(groups);
    (summary.duplicate_tasks, summary.duplicate_task_list) = found;
}

/// Every living record's owner, from the log and the record.
pub(crate) fn ownership(drive: &Drive, kind: Kind) -> Vec<Ownership> {
    #[derive(Default, Clone, Copy)]
    struct Story {
        api: Option<(u64, Millis)>,
        changes: u32,
        later: Option<Actor>,
    }
    let mut stories = HashMap::<u64, Story>::new();
    for event in drive.oracle.events().iter().filter(|event| is_of(event, kind)) {
        let written = matches!(event.change, Change::Create | Change::Update);
        if !written || event.old_owner == event.new_owner {
            continue;
        }
        let story = stories.entry(event.id).or_default();
        if matches!(event.actor, Actor::Api(_)) {
            story.api = Some((event.new_owner, event.at));
            story.changes += 1;
            story.later = None;
        } else {
            story.later = Some(event.actor);
        }
    }
    let owned = |row: &Row| {
        let story = stories.get(&row.id).copied().unwrap_or_default();
        Ownership {
            id: row.id,
            email: contact_values(row, "emails").next().map(str::to_owned),
            owner: row.owner(),
            api_owner: story.api.map(|(owner, _)| owner),
            api_at: story.api.map(|(_, at)| at),
            api_changes: story.changes,
            changed_later_by: story.later.filter(|_| story.api.is_some()),
        }
    };
    drive.table(kind).all_living().map(owned).collect()
}
