//! The oracle's verdict: duplicate persons, duplicate tasks, owners, all from what was really applied.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::clock::Millis;
use crate::hubspot::kinds::{CONTACTS, DEALS, KINDS, LEADS, TASKS};
use crate::hubspot::record::Record;
use crate::hubspot::state::Hub;
use crate::oracle::{Actor, Change};

/// Records of one object type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCount {
    /// Living now.
    pub live: usize,
    /// Created through the API, ever.
    pub created_by_api: usize,
    /// Created by anybody else, ever.
    pub created_by_others: usize,
    /// Archived, by whomever.
    pub archived: usize,
    /// Merged away.
    pub merged: usize,
}

/// Several records that should be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// What they have in common: a normalised e-mail or phone, or marker and contact.
    pub key: String,
    /// Their ids.
    pub ids: Vec<u64>,
}

/// One contact's owner, and who decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ownership {
    /// The contact.
    pub id: u64,
    /// Its primary e-mail.
    pub email: Option<String>,
    /// The owner now, 0 for none.
    pub owner: u64,
    /// The owner that the API set last, none if it never did.
    pub api_owner: Option<u64>,
    /// When it did.
    pub api_at: Option<Millis>,
    /// How often the API changed the owner.
    pub api_changes: u32,
    /// Who else changed the owner after the API's last change.
    pub changed_later_by: Option<Actor>,
}

/// The verdict.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Per object type with any record.
    pub objects: BTreeMap<&'static str, ObjectCount>,
    /// Living contacts beyond the first of each normalised e-mail.
    pub duplicate_persons: usize,
    /// The first hundred of them.
    pub duplicate_person_list: Vec<Duplicate>,
    /// Living contacts without e-mail beyond the first of each phone number.
    pub duplicate_phones: usize,
    /// Tasks created through the API.
    pub tasks_created: usize,
    /// Of these, without an associated contact.
    pub tasks_without_contact: usize,
    /// Tasks beyond the first with the same marker line and contact.
    pub duplicate_tasks: usize,
    /// The first hundred of them.
    pub duplicate_task_list: Vec<Duplicate>,
    /// Living leads beyond the first of each source id, in Pipedrive `origin_id`; in HubSpot leads and deals of the API
    /// beyond the first of the same name and contact.
    pub duplicate_leads: usize,
    /// Contacts whose owner the API has set; in Pipedrive persons, leads and deals.
    pub owners_set: usize,
    /// Of these, changed by somebody else later.
    pub owners_changed_later: usize,
    /// Of these, neither standing nor changed by anybody: the vendor lost a write.
    pub owners_lost: usize,
    /// Firings per switch.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests by sort.
    pub requests: BTreeMap<&'static str, u64>,
    /// Calls by clients, each once; HubSpot's log has those of the form tool too.
    pub calls: u64,
    /// Calls that the vendor's own limits refused; what a switch refuses at random is not among them.
    pub over_limit: u64,
    /// Things that are still to happen: index lag, late commits, people at work.
    pub pending: usize,
}

const LISTED: usize = 100;

/// Judges the account as it is now.
pub(crate) fn summarize(hub: &Hub, marker: &str) -> Summary {
    let mut summary = Summary {
        objects: count(hub),
        faults: hub.oracle.counts().clone(),
        requests: hub.oracle.requests().clone(),
        calls: hub.oracle.requested(&["hubspot request", "hubspot search", "typeform request"]),
        over_limit: hub.oracle.requested(&["hubspot 429"]),
        pending: hub.pending(),
        ..Summary::default()
    };
    persons(hub, &mut summary);
    tasks(hub, marker, &mut summary);
    summary.duplicate_leads = [(LEADS, "hs_lead_name"), (DEALS, "dealname")]
        .into_iter()
        .map(|(kind, name)| duplicates(inquiries(hub, kind, name)).0)
        .sum();
    for owned in ownership(hub) {
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

fn count(hub: &Hub) -> BTreeMap<&'static str, ObjectCount> {
    let mut counts = vec![ObjectCount::default(); KINDS.len()];
    for event in hub.oracle.events() {
        let count = &mut counts[usize::from(event.kind)];
        match (event.change, event.actor) {
            (Change::Create, Actor::Api(_)) => count.created_by_api += 1,
            (Change::Create, _) => count.created_by_others += 1,
            (Change::Archive, _) => count.archived += 1,
            (Change::Merge, _) => count.merged += 1,
            _ => {}
        }
    }
    for (table, count) in hub.tables.iter().zip(&mut counts) {
        count.live = table.live.len();
    }
    KINDS
        .iter()
        .map(|kind| kind.plural)
        .zip(counts)
        .filter(|(_, count)| *count != ObjectCount::default())
        .collect()
}

fn living(hub: &Hub, kind: usize) -> impl Iterator<Item = &Record> {
    hub.tables[kind].records.values().filter(|record| record.lives())
}

pub(crate) fn duplicates(groups: HashMap<String, Vec<u64>>) -> (usize, Vec<Duplicate>) {
    let mut list: Vec<Duplicate> = groups
        .into_iter()
        .filter(|(_, ids)| ids.len() > 1)
        .map(|(key, ids)| Duplicate { key, ids })
        .collect();
    for duplicate in &mut list {
        duplicate.ids.sort_unstable();
    }
    list.sort_by(|a, b| a.ids.cmp(&b.ids));
    let extra = list.iter().map(|duplicate| duplicate.ids.len() - 1).sum();
    list.truncate(LISTED);
    (extra, list)
}

fn persons(hub: &Hub, summary: &mut Summary) {
    let registry = &hub.tables[CONTACTS].registry;
    let props = ["email", "hs_additional_emails", "phone"].map(|name| registry.find(name));
    let (mut emails, mut phones) = (HashMap::<String, Vec<u64>>::new(), HashMap::<String, Vec<u64>>::new());
    for record in living(hub, CONTACTS) {
        let value = |at: usize| props[at].and_then(|prop| record.props.get(prop)).unwrap_or_default();
        let mut own: HashSet<String> = HashSet::new();
        own.extend(value(0).split(';').chain(value(1).split(';')).map(|email| email.trim().to_lowercase()));
        own.remove("");
        if own.is_empty() {
            let digits: String = value(2).chars().filter(char::is_ascii_digit).collect();
            if digits.len() >= 7 {
                phones.entry(digits).or_default().push(record.id);
            }
        }
        for email in own {
            emails.entry(email).or_default().push(record.id);
        }
    }
    (summary.duplicate_persons, summary.duplicate_person_list) = duplicates(emails);
    summary.duplicate_phones = duplicates(phones).0;
}

/// The last line of a task's body that carries the marker, else the whole body.
pub(crate) fn marker_line<'a>(body: &'a str, marker: &str) -> &'a str {
    body.split('\n')
        .flat_map(|line| line.split("<br>"))
        .flat_map(|line| line.split("<br/>"))
        .flat_map(|line| line.split("</p>"))
        .filter(|line| line.to_lowercase().contains(marker))
        .last()
        .unwrap_or(body)
        .trim()
}

fn tasks(hub: &Hub, marker: &str, summary: &mut Summary) {
    let marker = marker.to_lowercase();
    let table = &hub.tables[TASKS];
    let body = table.registry.find("hs_task_body");
    let subject = table.registry.find("hs_task_subject");
    let mut groups = HashMap::<String, Vec<u64>>::new();
    for event in hub.oracle.events() {
        let by_api = matches!(event.actor, Actor::Api(_)) && event.change == Change::Create;
        if !by_api || usize::from(event.kind) != TASKS {
            continue;
        }
        summary.tasks_created += 1;
        let Some(record) = table.records.get(&event.id) else { continue };
        let text = |prop: Option<u16>| prop.and_then(|prop| record.props.get(prop)).unwrap_or_default();
        let line = marker_line(text(body), &marker);
        let key = if line.is_empty() { text(subject) } else { line };
        let contacts = hub.links.ids((TASKS, event.id), CONTACTS);
        if contacts.is_empty() {
            summary.tasks_without_contact += 1;
        }
        let contact = contacts.first().map_or(0, |id| hub.tables[CONTACTS].resolve(*id));
        groups.entry(format!("{key} @ {contact}")).or_default().push(event.id);
    }
    (summary.duplicate_tasks, summary.duplicate_task_list) = duplicates(groups);
}

/// Living leads or deals that the API made, by name and contact.
fn inquiries(hub: &Hub, kind: usize, name: &str) -> HashMap<String, Vec<u64>> {
    let table = &hub.tables[kind];
    let name = table.registry.find(name);
    let mut groups = HashMap::<String, Vec<u64>>::new();
    for event in hub.oracle.events() {
        let by_api = matches!(event.actor, Actor::Api(_)) && event.change == Change::Create;
        let made = by_api && usize::from(event.kind) == kind;
        let Some(record) = table.living(event.id).filter(|_| made) else { continue };
        let text = name.and_then(|prop| record.props.get(prop)).unwrap_or_default();
        let contact = hub.links.ids((kind, event.id), CONTACTS).first().copied().unwrap_or_default();
        let contact = hub.tables[CONTACTS].resolve(contact);
        groups.entry(format!("{text} @ {contact}")).or_default().push(event.id);
    }
    groups
}

/// Every living contact's owner, from the log and the record.
pub(crate) fn ownership(hub: &Hub) -> Vec<Ownership> {
    #[derive(Default, Clone, Copy)]
    struct Story {
        api: Option<(u64, Millis)>,
        changes: u32,
        later: Option<Actor>,
    }
    let table = &hub.tables[CONTACTS];
    let mut stories = HashMap::<u64, Story>::new();
    for event in hub.oracle.events().iter().filter(|event| usize::from(event.kind) == CONTACTS) {
        let written = matches!(event.change, Change::Create | Change::Update);
        if !written || event.old_owner == event.new_owner {
            continue;
        }
        // A merge creates a record with an owner that nobody chose anew.
        let merged = event.change == Change::Create
            && table
                .records
                .get(&event.id)
                .is_some_and(|record| record.source == crate::hubspot::record::Source::Merge);
        if merged {
            continue;
        }
        let story = stories.entry(table.resolve(event.id)).or_default();
        if matches!(event.actor, Actor::Api(_)) {
            story.api = Some((event.new_owner, event.at));
            story.changes += 1;
            story.later = None;
        } else {
            story.later = Some(event.actor);
        }
    }
    let email = table.registry.find("email");
    let mut all: Vec<Ownership> = living(hub, CONTACTS)
        .map(|record| {
            let story = stories.get(&record.id).copied().unwrap_or_default();
            Ownership {
                id: record.id,
                email: email.and_then(|prop| record.props.get(prop)).map(str::to_owned),
                owner: record.owner(&table.registry),
                api_owner: story.api.map(|(owner, _)| owner),
                api_at: story.api.map(|(_, at)| at),
                api_changes: story.changes,
                changed_later_by: story.later.filter(|_| story.api.is_some()),
            }
        })
        .collect();
    all.sort_by_key(|owned| owned.id);
    all
}

#[cfg(test)]
mod tests {
    use super::marker_line;

    #[test]
    fn the_marker_line_is_found_in_text_and_html() {
        assert_eq!(marker_line("Call Ana\nusher:abc", "usher"), "usher:abc");
        assert_eq!(marker_line("<p>Call</p><p>Usher abc</p>", "usher"), "<p>Usher abc");
        assert_eq!(marker_line("no mark", "usher"), "no mark");
    }
}
