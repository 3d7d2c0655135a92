//! The activity role against a scripted vendor: what rows tell, what they cost, and what the changelog is asked for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::json;
use usher_connector::Request;
use usher_model::{Happening, Outcome, TouchKind};
use usher_testkit::Script;

use super::*;
use crate::testing::{listed, query, vendor};

const ME: u64 = 1;
const AT: &str = "2026-11-23T10:00:00Z";

fn at() -> Timestamp {
    AT.parse().unwrap()
}

/// A vendor whose list of that name has these rows, and whose token belongs to user 1.
fn having(list: &'static str, rows: Value) -> Arc<Script> {
    vendor(move |request: &Request| match request.path.as_str() {
        path if path.ends_with("/users/me") => (200, json!({ "success": true, "data": { "id": ME } })),
        path if path.ends_with(list) && list != NOTES => listed(&rows),
        _ => {
            let more =
                json!({ "pagination": { "start": 0, "limit": 500, "more_items_in_collection": false } });
            (200, json!({ "success": true, "data": rows, "additional_data": more }))
        }
    })
}

async fn read(script: &Arc<Script>, list: &str) -> ActivityBatch {
    let activity = PipedriveActivity::new(script.clone(), Arc::default(), PERSONS, Windows::default());
    let start = at() - jiff::SignedDuration::from_mins(1);
    let ask = Pull { object: list.into(), lane: Lane::Live, cursor: None, now: at(), start };
    activity.pull(&ask).await.unwrap()
}

fn row(id: u64, further: &Value) -> Value {
    let mut row = json!({ "id": id, "owner_id": 11, "add_time": AT, "update_time": AT, "is_deleted": false });
    row.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    row
}

fn done(id: u64, kind: &str, further: &Value) -> Value {
    let mut row = row(
        id,
        &json!({ "type": kind, "done": true, "marked_as_done_time": "2026-11-23T10:00:05Z",
        "due_date": "2026-11-20", "due_time": "09:00", "note": null, "participants": [{ "person_id": 7, "primary": true }] }),
    );
    row.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    row
}

fn kinds(batch: &ActivityBatch) -> Vec<TouchKind> {
    let kind = |event: &CrmEvent| match &event.what {
        Happening::Touch { how, .. } => *how,
        other => panic!("{other:?}"),
    };
    batch.events.iter().map(kind).collect()
}

#[tokio::test]
async fn an_activity_that_was_done_is_a_touch_of_all_who_took_part() {
    let both = json!({ "participants": [{ "person_id": 7, "primary": true }, { "person_id": 8, "primary": false }],
        "person_id": 7, "deal_id": 5, "lead_id": "adf21080-0e10-11eb-879b-05d71fb426ec", "org_id": 3 });
    let rows = json!([
        done(1, "call", &both),
        done(2, "email", &json!({})),
        done(3, "lunch", &json!({})),
        done(4, "site_visit", &json!({})),
        done(5, "call", &json!({ "note": "Call Ana<br>usher:0a1b" })),
        row(6, &json!({ "type": "call", "done": false })),
        done(9, "call", &json!({ "owner_id": ME })),
        json!({ "done": true }),
    ]);
    let script = having("activities", rows);
    let batch = read(&script, ACTIVITIES).await;
    use TouchKind::{Call, Mail, Meeting, TaskDone};
    assert_eq!(kinds(&batch), [Call, Mail, Meeting, TaskDone, TaskDone]);
    let call = &batch.events[0];
    assert_eq!(call.at, "2026-11-23T10:00:05Z".parse().unwrap(), "when it was marked: due times are plans");
    assert_eq!(call.by, Some("11".into()));
    let about: Vec<String> = call.about.iter().map(|(object, id)| format!("{object} {id}")).collect();
    assert_eq!(
        about,
        ["persons 7", "persons 8", "leads adf21080-0e10-11eb-879b-05d71fb426ec", "deals 5"],
        "companies have no leads"
    );
    let Happening::Touch { task, .. } = &batch.events[4].what else { panic!() };
    assert_eq!(*task, Some("5".into()), "a task of ours");
    assert_eq!(batch.problems.len(), 1);
    let spent: u32 = script.seen().iter().map(|request| request.cost).sum();
    assert_eq!(spent, 12, "a list and, once, who the token belongs to");
    assert!(script.seen().iter().all(|request| request.lane == CallLane::Watch));
}

#[tokio::test]
async fn a_note_is_a_touch_when_it_was_written_whatever_time_it_was_given() {
    let note = |id: u64, user: u64, added: &str| {
        json!({ "id": id, "user_id": user, "person_id": 7, "deal_id": null, "lead_id": null, "content": "x",
            "add_time": added, "update_time": "2026-11-23 10:00:00" })
    };
    let rows = json!([
        note(1, 11, "2026-11-23 09:59:00"),
        note(2, ME, "2026-11-23 09:59:00"),
        note(3, 11, "2026-12-24 00:00:00"),
    ]);
    let script = having("notes", rows);
    let batch = read(&script, NOTES).await;
    assert_eq!(kinds(&batch), [TouchKind::Note; 2]);
    let times: Vec<String> = batch.events.iter().map(|event| event.at.to_string()).collect();
    assert_eq!(times, ["2026-11-23T09:59:00Z", AT], "one can be dated into the future");
    assert_eq!(script.seen()[0].cost, 20);
    assert_eq!(query(&script.seen()[0], "sort"), "update_time ASC");
}

#[tokio::test]
async fn a_deal_tells_how_it_ended_and_how_it_looks() {
    let won = json!({ "status": "won", "won_time": AT, "value": 200.5, "currency": "EUR", "person_id": 7, "stage_id": 2 });
    let lost = json!({ "status": "lost", "lost_time": AT, "value": 0, "currency": "EUR", "person_id": null, "stage_id": 3 });
    let open = json!({ "status": "open", "person_id": 7, "stage_id": 3 });
    let script = having("deals", json!([row(5, &won), row(6, &lost), row(8, &open)]));
    let batch = read(&script, DEALS).await;
    let endings: Vec<_> = batch
        .events
        .iter()
        .map(|event| match &event.what {
            Happening::Outcome { outcome, value, currency, .. } => {
                (*outcome, value.clone(), currency.clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let euros = |value: &str| (Some(value.to_owned()), Some("EUR".to_owned()));
    let (worth, nothing) = (euros("200.5"), euros("0"));
    assert_eq!(endings, [(Outcome::Won, worth.0, worth.1), (Outcome::Lost, nothing.0, nothing.1)]);
    let about: Vec<usize> = batch.events.iter().map(|event| event.about.len()).collect();
    assert_eq!(about, [2, 1]);
    let prints: BTreeSet<&str> = batch.sights.iter().map(|sight| sight.print.as_str()).collect();
    assert_eq!(prints.len(), 3, "owner, stage and status: {prints:?}");
}

#[tokio::test]
async fn the_changelog_tells_who_moved_what_and_programs_touch_nobody() {
    let line = |field: &str, old: &str, new: &str, source: &str, time: &str| {
        json!({ "field_key": field, "old_value": old, "new_value": new, "actor_user_id": 26, "time": time,
            "change_source": source, "is_bulk_update_flag": false })
    };
    let rows = json!([
        line("status", "lost", "open", "app", "2026-11-23 10:03:00"),
        line("stage_id", "1", "2", "mobile", "2026-11-23 10:02:00"),
        line("stage_id", "0", "1", "automation", "2026-11-23 10:01:00"),
        line("user_id", "11", "12", "app", "2026-11-23 10:00:00"),
        line("value", "0", "9", "app", "2026-11-23 10:00:00"),
        line("user_id", "10", "11", "app", "2026-11-23 09:00:00"),
    ]);
    let script = vendor(move |_| listed(&rows));
    let activity = PipedriveActivity::new(script.clone(), Arc::default(), DEALS, Windows::default());
    let objects = [(DEALS.into(), "5".into()), ("leads".into(), "6".into())];
    let told = activity.history(&objects, at()).await.unwrap();
    assert!(told[1].is_empty(), "of leads there is none");
    let what: Vec<String> = told[0]
        .iter()
        .map(|event| match &event.what {
            Happening::Outcome { outcome, .. } => outcome.as_str().to_owned(),
            Happening::Touch { how, .. } => how.as_str().to_owned(),
            Happening::OwnerChange { from, to } => format!("{from:?} {to:?}"),
        })
        .collect();
    assert_eq!(what, ["reopened", "stage_change", r#"Some("11") Some("12")"#]);
    assert!(
        told[0]
            .iter()
            .all(|event| event.by == Some("26".into()) && event.hand == usher_connector::ChangedBy::Human)
    );
    assert_eq!(script.seen().len(), 1);
    assert_eq!(script.seen()[0].cost, 20);
}

#[test]
fn what_carries_owners_is_followed_beside_the_deals() {
    let lists = |carrier| {
        let script = vendor(|_| (500, Value::Null));
        PipedriveActivity::new(script, Arc::default(), carrier, Windows::default()).lists()
    };
    assert_eq!(lists(PERSONS), [ACTIVITIES, NOTES, DEALS, PERSONS]);
    assert_eq!(lists(DEALS), [ACTIVITIES, NOTES, DEALS]);
    assert_eq!(lists(crate::api::LEADS), [ACTIVITIES, NOTES, DEALS, crate::api::LEADS]);
}
