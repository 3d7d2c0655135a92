//! The source role against a scripted vendor: what the questions are, and what becomes of leads and deals.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::api::{DEALS, LEADS};
use crate::testing::{listed, query, vendor};
use usher_testkit::Script;

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

fn source(script: &Arc<Script>, object: &'static str) -> PipedriveSource {
    let fields = Arc::new(Fields::new(script.clone()));
    PipedriveSource::new("pipedrive-main".into(), script.clone(), fields, object, Windows::default())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_428_000_000 + ms).unwrap()
}

fn pull(object: &str, lane: Lane, cursor: Option<Cursor>, now: i64) -> Pull {
    Pull { object: object.into(), lane, cursor, now: at(now), start: at(-60_500) }
}

fn person(id: u64, updated: &str) -> Value {
    json!({ "id": id, "name": "Ana", "add_time": "2026-11-23T09:59:00Z", "update_time": updated, "emails": [],
        "is_deleted": false, "custom_fields": {} })
}

#[tokio::test]
async fn questions_are_in_whole_seconds_and_overlap() {
    let script = vendor(|_| listed(&json!([person(7, "2026-11-23T10:00:00Z"), { "name": "no id" }])));
    let pipedrive = source(&script, PERSONS);
    let first = pipedrive.pull(&pull(PERSONS, Lane::Live, None, 700)).await.unwrap();
    assert!(first.done);
    assert_eq!((first.records.len(), first.problems.len()), (1, 1));
    assert_eq!(first.records[0].modified_at, Some(at(0)));
    pipedrive.pull(&pull(PERSONS, Lane::Live, Some(first.next), 300_700)).await.unwrap();
    let asked: Vec<(String, String)> = script
        .seen()
        .iter()
        .map(|request| (query(request, "updated_since"), query(request, "updated_until")))
        .collect();
    let second = |from: &str, until: &str| (format!("2026-11-23T{from}Z"), format!("2026-11-23T{until}Z"));
    // From the start of the connection, then a whole overlap; each bound includes its second.
    assert_eq!(asked, [second("09:58:59", "10:00:01"), second("09:58:59", "10:05:01")]);
    assert_eq!(query(&script.seen()[0], "sort_by"), "update_time");
}

#[tokio::test]
async fn fm_003_more_of_one_second_than_a_page_holds_is_read_to_its_end() {
    let script = vendor(|request| {
        let page = match query(request, "cursor").as_str() {
            "" => 0,
            cursor => cursor.parse().unwrap(),
        };
        // 1,100 rows of one second, then one more.
        let rows: Vec<Value> = (page * 500..(page * 500 + 500).min(1_100))
            .map(|id| person(id, "2026-11-23T10:00:00Z"))
            .collect();
        let rows = if query(request, "updated_since").as_str() > "2026-11-23T10:00:00Z" {
            vec![person(9_999, "2026-11-23T10:00:05Z")]
        } else {
            rows
        };
        let more = rows.len() == 500;
        let next = more.then(|| (page + 1).to_string());
        (200, json!({ "success": true, "data": rows, "additional_data": { "next_cursor": next } }))
    });
    let pipedrive = source(&script, PERSONS);
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    for _ in 0..10 {
        let batch = pipedrive.pull(&pull(PERSONS, Lane::Live, cursor, 10_000)).await.unwrap();
        seen.extend(batch.records.into_iter().map(|record| record.external_id));
        cursor = Some(batch.next);
        if batch.done {
            assert_eq!(seen.len(), 1_101);
            return;
        }
    }
    panic!("the pass never ends");
}

fn lead(id: &str, updated: &str) -> Value {
    json!({ "id": id, "title": "SEO", "person_id": 7, "update_time": updated, "add_time": "2026-11-23T09:59:00.100Z",
        "origin": "Import", KEY: 20_000, format!("{KEY}_currency"): "EUR" })
}

#[tokio::test]
async fn leads_of_v1_are_read_by_offset_up_to_now_and_shaped_as_v2() {
    let script = vendor(|request| {
        if request.path.ends_with("dealFields") {
            let budget = json!({ "field_code": KEY, "field_name": "Budget", "field_type": "monetary", "options": null,
                "is_custom_field": true });
            return listed(&json!([budget]));
        }
        if request.path.ends_with("persons/7") {
            return (200, json!({ "success": true, "data": person(7, "2026-11-23T09:00:00Z") }));
        }
        let rows = json!([
            lead("adf21080-0e10-11eb-879b-05d71fb426ec", "2026-11-23T10:00:00.250Z"),
            lead("bdf2", "2026-11-23T11:00:00Z")
        ]);
        let more = json!({ "start": 0, "limit": 500, "more_items_in_collection": true, "next_start": 500 });
        (200, json!({ "success": true, "data": rows, "additional_data": { "pagination": more } }))
    });
    let batch = source(&script, LEADS).pull(&pull(LEADS, Lane::Live, None, 10_000)).await.unwrap();
    assert!(batch.done, "what lies behind the bound ends the question, whatever more there is");
    let [one] = &batch.records[..] else { panic!("one lead of now: {:?}", batch.records) };
    assert_eq!(one.modified_at, Some(at(250)));
    assert!(one.imported);
    let payload: Value = serde_json::from_str(one.payload.get()).unwrap();
    assert_eq!(payload["custom_fields"], json!({ "Budget": { "value": 20_000, "currency": "EUR" } }));
    assert_eq!((payload.get(KEY), &payload["title"]), (None, &json!("SEO")));
    assert_eq!((&payload["person"]["id"], &payload["person"]["name"]), (&json!(7), &json!("Ana")));
    let asked = &script.seen()[0];
    assert_eq!(
        (asked.path.as_str(), query(asked, "sort"), query(asked, "start")),
        ("/v1/leads", "update_time ASC".to_owned(), String::new())
    );
}

#[tokio::test]
async fn fm_006_what_moves_up_while_leads_are_listed_is_listed_all_the_same() {
    let mut held: Vec<u64> = (1..=1_200).collect();
    let script = vendor(move |request| {
        if request.path != "/v1/leads" {
            return listed(&json!([]));
        }
        let start: usize = query(request, "start").parse().unwrap_or(0);
        let end = held.len().min(start + 500);
        let lead = |id: &u64| json!({ "id": format!("{id:08x}"), "title": "SEO", "add_time": "2026-11-23T09:59:00Z" });
        let rows: Vec<Value> = held[start..end].iter().map(lead).collect();
        let more = json!({ "start": start, "limit": 500, "more_items_in_collection": end < held.len() });
        // Two are archived before the next page is asked for.
        held.drain(10..12);
        (200, json!({ "success": true, "data": rows, "additional_data": { "pagination": more } }))
    });
    let pipedrive = source(&script, LEADS);
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    for _ in 0..5 {
        let batch = pipedrive.pull(&pull(LEADS, Lane::Backfill, cursor, 0)).await.unwrap();
        seen.extend(batch.records.iter().map(|record| record.external_id.clone()));
        if batch.done {
            break;
        }
        cursor = Some(batch.next);
    }
    assert_eq!(seen.len(), 1_200);
}

#[tokio::test]
async fn history_of_leads_goes_on_by_offset_and_that_of_deals_by_cursor() {
    let script = vendor(|request| {
        let started = query(request, "start") == "480" || !query(request, "cursor").is_empty();
        let additional = match (request.path.as_str(), started) {
            ("/v1/leads", false) => {
                json!({ "pagination": { "start": 0, "limit": 500, "more_items_in_collection": true } })
            }
            (_, false) => json!({ "next_cursor": "two" }),
            ("/v1/leads", true) => {
                json!({ "pagination": { "start": 500, "limit": 500, "more_items_in_collection": false } })
            }
            (_, true) => json!({ "next_cursor": null }),
        };
        (200, json!({ "success": true, "data": [], "additional_data": additional }))
    });
    for object in [LEADS, DEALS] {
        let pipedrive = source(&script, object);
        let first = pipedrive.pull(&pull(object, Lane::Backfill, None, 0)).await.unwrap();
        assert!(!first.done);
        let second = pipedrive.pull(&pull(object, Lane::Backfill, Some(first.next), 0)).await.unwrap();
        assert!(second.done);
        let asked = script.seen().len();
        assert!(pipedrive.pull(&pull(object, Lane::Backfill, Some(second.next), 0)).await.unwrap().done);
        assert_eq!(script.seen().len(), asked, "what is finished is not asked for again");
    }
}
