//! The source role against a scripted vendor.
#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use usher_connector::Request;
use usher_model::SlotKind;

use crate::api::CONTACTS;
use crate::testing::{at, ids, vendor};
use usher_testkit::{Script, asked};

const MS: SignedDuration = SignedDuration::from_millis(1);

fn source(script: &Arc<Script>) -> HubSpotSource {
    source_of(SlotKind::Person, script)
}

fn source_of(of: SlotKind, script: &Arc<Script>) -> HubSpotSource {
    let live = Window { overlap: SignedDuration::from_mins(2), hold_back: SignedDuration::ZERO, grain: MS };
    let windows = Windows { live, sweep: Window { hold_back: SignedDuration::from_hours(1), ..live } };
    HubSpotSource::new(
        "hubspot-main".into(),
        script.clone(),
        Pulled::of(of),
        &["lead_budget".to_owned()],
        windows,
    )
}

fn pull(lane: Lane, cursor: Option<Cursor>, now: i64) -> Pull {
    Pull { object: CONTACTS.into(), lane, cursor, now: at(now), start: at(-60_000) }
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../fixtures/contacts.json")).unwrap()
}

#[tokio::test]
async fn a_page_becomes_records_with_the_payload_as_it_came() {
    let script = vendor(|_| (200, fixture()));
    let batch = source(&script).pull(&pull(Lane::Live, None, 5_000)).await.unwrap();
    assert!(batch.done && batch.problems.is_empty());
    let [ana, ben, nobody] = &batch.records[..] else { panic!("three records") };
    assert_eq!((ana.external_id.as_str(), ana.revision.as_str()), ("151", "1795341601200"));
    assert_eq!(ana.created_at, Some(at(100)));
    assert_eq!(serde_json::from_str::<Value>(ana.payload.get()).unwrap(), fixture()["results"][0]);
    assert_eq!([ana.imported, ben.imported, nobody.imported], [false, true, false]);
    assert_eq!(nobody.revision, "1795341601400", "without its own time a contact takes the object's");
}

#[tokio::test]
async fn the_search_asks_for_the_window_the_properties_and_no_offset() {
    let script = vendor(|_| (200, json!({ "results": [] })));
    let hubspot = source(&script);
    let first = hubspot.pull(&pull(Lane::Live, None, 0)).await.unwrap();
    hubspot.pull(&pull(Lane::Live, Some(first.next), 300_000)).await.unwrap();
    let [one, two] = &script.seen()[..] else { panic!("two calls") };
    assert_eq!(one.path, "/crm/objects/2026-09/contacts/search");
    assert_eq!((one.limits, one.lane), (&["search", "daily"][..], CallLane::Pull));
    let filters = |request| asked(request)["filterGroups"][0]["filters"].clone();
    assert_eq!(
        filters(one)[0],
        json!({ "propertyName": "lastmodifieddate", "operator": "GTE", "value": "1795341540000" })
    );
    assert_eq!(filters(two)[0]["value"], "1795341540000", "the overlap stops at the start");
    assert_eq!(
        filters(two)[1],
        json!({ "propertyName": "lastmodifieddate", "operator": "LTE", "value": "1795341900000" })
    );
    assert!(asked(two).get("after").is_none());
    let properties = asked(two)["properties"].clone();
    assert!(properties.as_array().unwrap().contains(&json!("lead_budget")));
    assert!(asked(two).to_string().len() < api::SEARCH_BODY);
}

#[tokio::test]
async fn fm_002_ties_at_one_time_are_read_by_id() {
    // 450 contacts changed in one millisecond; a page holds 200.
    let script = vendor(|request| {
        let body = asked(request);
        let filters = body["filterGroups"][0]["filters"].as_array().unwrap().clone();
        let after = filters
            .iter()
            .find(|f| f["operator"] == "GT")
            .map_or(0, |f| f["value"].as_str().unwrap().parse().unwrap());
        let bound = |operator| {
            filters.iter().find(|f| f["operator"] == operator).unwrap()["value"]
                .as_str()
                .unwrap()
                .parse::<i64>()
                .unwrap()
        };
        let inside = bound("GTE") <= 1_795_341_600_007 && 1_795_341_600_007 <= bound("LTE");
        let all: Vec<Value> = (1..=450).filter(|id| inside && *id > after).map(|id| {
            json!({ "id": id.to_string(), "properties": { "lastmodifieddate": "2026-11-22T10:00:00.007Z" } })
        }).collect();
        let more = all.len() > 200;
        let mut page = json!({ "results": all.into_iter().take(200).collect::<Vec<_>>() });
        if more {
            page["paging"] = json!({ "next": { "after": "200" } });
        }
        (200, page)
    });
    let hubspot = source(&script);
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    for _ in 0..10 {
        let batch = hubspot.pull(&pull(Lane::Live, cursor, 1_000)).await.unwrap();
        seen.extend(batch.records.into_iter().map(|record| record.external_id));
        cursor = Some(batch.next);
        if batch.done {
            break;
        }
    }
    assert_eq!(seen.len(), 450);
    let sorts: Vec<Value> =
        script.seen().iter().map(|r| asked(r)["sorts"][0]["propertyName"].clone()).collect();
    assert_eq!(sorts.iter().filter(|sort| **sort == "hs_object_id").count(), 3);
}

#[tokio::test]
async fn fm_017_no_broken_answer_ends_a_window() {
    for (status, answer) in [
        (200, json!("<html>sign in</html>")),
        (200, json!("")),
        (200, json!("{\"results\": [")),
        (200, json!({ "total": 0 })),
        (500, json!({})),
        (502, json!("<html>")),
        (429, json!({})),
        (403, json!({ "category": "MISSING_SCOPES" })),
    ] {
        for lane in [Lane::Live, Lane::Backfill] {
            let given = answer.clone();
            let script = vendor(move |_| (status, given.clone()));
            let outcome = source(&script).pull(&pull(lane, None, 0)).await;
            assert!(outcome.is_err(), "{status} {answer}");
        }
    }
}

#[tokio::test]
async fn a_row_without_an_id_is_a_problem_of_its_own() {
    let script = vendor(|_| {
        let mut page = fixture();
        page["results"][1]["id"] = Value::Null;
        (200, page)
    });
    let batch = source(&script).pull(&pull(Lane::Live, None, 5_000)).await.unwrap();
    assert_eq!((batch.records.len(), batch.problems.len()), (2, 1));
    assert!(!batch.problems[0].to_string().contains("ben@"));
}

#[tokio::test]
async fn fm_004_the_sweep_waits_for_the_horizon() {
    let script = vendor(|_| (200, fixture()));
    let batch = source(&script).pull(&pull(Lane::Sweep, None, 0)).await.unwrap();
    assert!(batch.done && script.seen().is_empty(), "nothing is an hour old yet");
    let batch = source(&script).pull(&pull(Lane::Sweep, Some(batch.next), 3_600_000)).await.unwrap();
    assert_eq!((batch.records.len(), script.seen().len()), (3, 1));
}

#[tokio::test]
async fn history_is_listed_page_by_page_and_ends() {
    let script = vendor(|request| {
        let after = request.query.iter().find(|(name, _)| name == "after").map(|(_, value)| value.as_str());
        let mut page = fixture();
        if after.is_none() {
            page["paging"] = json!({ "next": { "after": "152" } });
        }
        (200, page)
    });
    let hubspot = source(&script);
    let first = hubspot.pull(&pull(Lane::Backfill, None, 0)).await.unwrap();
    assert!(!first.done);
    let second = hubspot.pull(&pull(Lane::Backfill, Some(first.next), 0)).await.unwrap();
    assert!(second.done);
    let third = hubspot.pull(&pull(Lane::Backfill, Some(second.next), 0)).await.unwrap();
    assert!(third.done && third.records.is_empty());
    let seen = script.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].lane, seen[0].path.as_str()), (CallLane::Backfill, "/crm/objects/2026-09/contacts"));
    assert!(seen[1].query.contains(&("after".to_owned(), "152".to_owned())));
}

#[tokio::test]
async fn fm_013_a_list_that_points_to_itself_fails() {
    let script = vendor(|_| (200, json!({ "results": [], "paging": { "next": { "after": "7" } } })));
    let hubspot = source(&script);
    let first = hubspot.pull(&pull(Lane::Backfill, None, 0)).await.unwrap();
    assert!(hubspot.pull(&pull(Lane::Backfill, Some(first.next), 0)).await.is_err());
}

#[tokio::test]
async fn fm_019_contacts_that_are_gone_are_told_from_those_unread() {
    let script = vendor(|_| {
        let mut page = fixture();
        page["results"][1]["archived"] = json!(true);
        page["errors"] =
            json!([{ "status": "error", "category": "OBJECT_NOT_FOUND", "context": { "ids": ["9"] } }]);
        (207, page)
    });
    let asked: Vec<ExternalId> = ["9", "152", "151", "151", "8"].map(ExternalId::from).to_vec();
    let found = source(&script).fetch(&CONTACTS.into(), &asked).await.unwrap();
    let there: Vec<bool> = found.iter().map(|(_, fetched)| matches!(fetched, Fetched::Found(_))).collect();
    assert_eq!(there, [false, false, true, true, false]);
    assert_eq!(ids(&script.seen()[0]).len(), 5);
    let script = vendor(|_| {
        (
            207,
            json!({ "results": [], "errors": [{ "category": "INTERNAL_ERROR", "context": { "ids": ["9"] } }] }),
        )
    });
    let fault = source(&script).fetch(&CONTACTS.into(), &asked).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Transient);
}

#[tokio::test]
async fn hook_and_pull_give_the_same_record() {
    let script = vendor(|_| (200, fixture()));
    let hubspot = source(&script);
    let pulled = hubspot.pull(&pull(Lane::Live, None, 5_000)).await.unwrap().records.remove(0);
    let mut fetched = hubspot.fetch(&CONTACTS.into(), &["151".into()]).await.unwrap();
    let Some((_, Fetched::Found(hooked))) = fetched.pop() else { panic!("it is there") };
    assert_eq!(hooked, pulled);
}

/// A vendor with contacts (id, stamp) that filters, sorts and pages as the search does.
fn account(contacts: Vec<(u64, Option<i64>)>) -> impl FnMut(&Request) -> (u16, Value) + Send {
    move |request| {
        let body = asked(request);
        let filters = body["filterGroups"][0]["filters"].as_array().unwrap().clone();
        let number = |value: &Value| value.as_str().unwrap().parse::<i64>().unwrap();
        let holds = |(id, stamp): &(u64, Option<i64>)| {
            filters.iter().all(|filter| {
                let value = match filter["propertyName"].as_str().unwrap() {
                    "hs_object_id" => i64::try_from(*id).ok(),
                    _ => *stamp,
                };
                match (filter["operator"].as_str().unwrap(), value) {
                    ("NOT_HAS_PROPERTY", value) => value.is_none(),
                    (_, None) => false,
                    ("GTE", Some(value)) => value >= number(&filter["value"]),
                    ("LTE", Some(value)) => value <= number(&filter["value"]),
                    ("GT", Some(value)) => value > number(&filter["value"]),
                    (other, _) => panic!("{other}"),
                }
            })
        };
        let mut found: Vec<_> = contacts.iter().copied().filter(holds).collect();
        let by_id = body["sorts"][0]["propertyName"] == "hs_object_id";
        found.sort_by_key(|(id, stamp)| if by_id { (*id, None) } else { (0, Some((*stamp, *id))) });
        let more = found.len() > 200;
        let row = |(id, stamp): &(u64, Option<i64>)| {
            let stamp = stamp.map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string());
            json!({ "id": id.to_string(), "properties": { "lastmodifieddate": stamp } })
        };
        let mut page = json!({ "results": found.iter().take(200).map(row).collect::<Vec<_>>() });
        if more {
            page["paging"] = json!({ "next": { "after": "200" } });
        }
        (200, page)
    }
}

/// Reads a lane to its end; ids with repeats.
async fn read(hubspot: &HubSpotSource, lane: Lane, mut cursor: Option<Cursor>, now: i64) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..50 {
        let batch = hubspot.pull(&pull(lane, cursor, now)).await.unwrap();
        ids.extend(batch.records.iter().map(|record| record.external_id.to_string()));
        if batch.done {
            return ids;
        }
        cursor = Some(serde_json::from_value(serde_json::to_value(batch.next).unwrap()).unwrap());
    }
    panic!("it never ends");
}

#[tokio::test]
async fn fm_010_contacts_without_a_time_of_change_are_found_by_the_second_pass() {
    // 1,000 contacts in one pass; every second one has no stamp, so no window ever matches it.
    let stamp = |id: u64| id.is_multiple_of(2).then(|| at(i64::try_from(id).unwrap()).as_millisecond());
    let contacts: Vec<_> = (1..=1_000).map(|id| (id, stamp(id))).collect();
    let hubspot = source(&vendor(account(contacts)));
    let live: std::collections::BTreeSet<String> =
        read(&hubspot, Lane::Live, None, 5_000).await.into_iter().collect();
    assert_eq!(live.len(), 500, "the window sees only what has a time");
    let sweep = read(&hubspot, Lane::Sweep, None, 3_700_000).await;
    let sweep: std::collections::BTreeSet<String> = sweep.into_iter().collect();
    assert_eq!(sweep.len(), 1_000);
}

#[tokio::test]
async fn fm_017_whatever_page_fails_nothing_is_lost_and_the_window_stays_open() {
    let answers: [(u16, Value); 8] = [
        (500, json!({})),
        (502, json!("<html>bad gateway</html>")),
        (429, json!({})),
        (423, json!({ "status": "error", "category": "LOCKED" })),
        (477, json!({ "status": "error", "category": "MIGRATION_IN_PROGRESS" })),
        (200, json!("<html>sign in</html>")),
        (200, json!("")),
        (200, json!("{\"results\": [")),
    ];
    let contacts: Vec<_> =
        (1..=700).map(|id| (id, Some(at(i64::try_from(id).unwrap()).as_millisecond()))).collect();
    for (status, answer) in answers {
        for page in 0..4 {
            let (mut call, given, mut account) = (0, answer.clone(), account(contacts.clone()));
            let hubspot = source(&vendor(move |request| {
                call += 1;
                if call == page + 1 { (status, given.clone()) } else { account(request) }
            }));
            let (mut seen, mut cursor, mut failed) = (std::collections::BTreeSet::new(), None, 0);
            loop {
                match hubspot.pull(&pull(Lane::Live, cursor.clone(), 5_000)).await {
                    Ok(batch) => {
                        seen.extend(batch.records.into_iter().map(|record| record.external_id));
                        cursor = Some(batch.next);
                        if batch.done {
                            break;
                        }
                    }
                    Err(_) => failed += 1,
                }
            }
            assert_eq!((seen.len(), failed), (700, 1), "status {status} on page {page}");
        }
    }
}

#[tokio::test]
async fn fm_020_merges_are_told_by_poll_and_by_id() {
    let row = json!({ "id": "30", "properties": { "hs_merged_object_ids": "10;20", "lastmodifieddate": "2026-11-22T10:00:00Z" } });
    let page = json!({ "results": [row] });
    let script = vendor(move |_| (200, page.clone()));
    let hubspot = source(&script);
    let batch = hubspot.pull(&pull(Lane::Live, None, 5_000)).await.unwrap();
    let told: Vec<_> =
        batch.merged.iter().map(|merge| (merge.loser.as_str(), merge.winner.as_str())).collect();
    assert_eq!(told, [("10", "30"), ("20", "30")]);
    let asked: Vec<ExternalId> = ["10", "30", "40"].map(ExternalId::from).to_vec();
    let found = hubspot.fetch(&CONTACTS.into(), &asked).await.unwrap();
    assert!(matches!(&found[0].1, Fetched::Merged(record) if record.external_id.as_str() == "30"));
    assert!(matches!(&found[1].1, Fetched::Found(_)) && matches!(&found[2].1, Fetched::Gone));
}

#[tokio::test]
async fn fm_016_archived_contacts_are_left_out_in_so_many_words() {
    let script = vendor(|_| (200, json!({ "results": [] })));
    source(&script).pull(&pull(Lane::Backfill, None, 0)).await.unwrap();
    assert!(script.seen()[0].query.contains(&("archived".to_owned(), "false".to_owned())));
    let readme = include_str!("../../README.md");
    assert!(readme.contains("Archived contacts are left out"));
}

#[tokio::test]
async fn leads_and_deals_come_with_their_contact() {
    for (kind, object, stamp) in
        [(SlotKind::Lead, "leads", "hs_lastmodifieddate"), (SlotKind::Deal, "deals", "hs_lastmodifieddate")]
    {
        let script = vendor(move |request| match request.path.as_str() {
            path if path.ends_with(&format!("{object}/contacts/batch/read")) => {
                let tied =
                    json!({ "from": { "id": "5" }, "to": [{ "toObjectId": 151 }, { "toObjectId": 152 }] });
                let none = json!({ "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND" });
                (207, json!({ "results": [tied], "errors": [none] }))
            }
            path if path.contains("/contacts/batch/read") => (200, fixture()),
            _ => {
                let row = |id: &str| {
                    json!({ "id": id, "createdAt": "2026-11-22T10:00:00Z",
                        "properties": { stamp: "2026-11-22T10:00:01Z", "lastmodifieddate": "2020-01-01T00:00:00Z" } })
                };
                (200, json!({ "results": [row("5"), row("6")] }))
            }
        });
        let hubspot = source_of(kind, &script);
        let ask = Pull { object: object.into(), ..pull(Lane::Live, None, 5_000) };
        let batch = hubspot.pull(&ask).await.unwrap();
        let payloads: Vec<Value> =
            batch.records.iter().map(|record| serde_json::from_str(record.payload.get()).unwrap()).collect();
        assert_eq!(payloads[0]["contact"], fixture()["results"][0]);
        assert_eq!(payloads[1]["contact"], Value::Null);
        assert_eq!(batch.records[0].modified_at, Some("2026-11-22T10:00:01Z".parse().unwrap()));
        let seen = script.seen();
        assert_eq!(asked(&seen[0])["sorts"][0]["propertyName"], stamp);
        assert_eq!(
            (ids(&seen[1]), ids(&seen[2])),
            (vec!["5".to_owned(), "6".to_owned()], vec!["151".to_owned()])
        );
        let properties = asked(&seen[2])["properties"].as_array().unwrap().clone();
        assert!(properties.contains(&json!("email")) && properties.contains(&json!("lead_budget")));
        let fetched = hubspot.fetch(&object.into(), &["5".into()]).await.unwrap();
        assert!(matches!(&fetched[0].1, Fetched::Found(record) if *record == batch.records[0]));
    }
}
