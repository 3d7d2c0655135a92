//! Leads and deals as sources: with the person who asks, by list, by id and by webhook.

use usher_connector::{Batch, Fetched, Subscription};
use usher_model::Record;
use usher_sandbox::lead_uuid;

use super::*;

const SOURCES: [(&str, &str); 2] = [
    ("leads", "connector: pipedrive\nobject: leads\ninbound: { secret: { env: HOOK } }\n"),
    ("deals", "connector: pipedrive\nobject: deals\ninbound: { secret: { env: HOOK } }\n"),
];

/// The vendor's id of the object that the simulator knows by number.
fn id(object: &str, number: u64) -> ExternalId {
    ExternalId::new(if object == "leads" { lead_uuid(number) } else { number.to_string() })
}

fn own<'a>(batch: &'a Batch, id: &ExternalId) -> &'a Record {
    batch.records.iter().find(|record| record.external_id == *id).unwrap()
}

fn payload(record: &Record) -> Value {
    serde_json::from_str(record.payload.get()).unwrap()
}

#[tokio::test]
async fn a_lead_or_deal_comes_with_its_person_the_same_by_pull_and_by_fetch() {
    for (object, settings) in SOURCES {
        let door = Door::with(settings, None).await;
        let (source, start) = (door.connection.source.clone().unwrap(), door.now());
        assert_eq!(
            source.streams().iter().map(|stream| stream.object.as_str()).collect::<Vec<_>>(),
            [object]
        );
        let org = door.make("organizations", &json!({ "name": "Acme" }));
        let ana = door.person(&json!({ "name": "Ana Cruz", "emails": emails("ana@acme.example") }));
        let with = |fields: Value| id(object, door.make(object, &fields));
        let asked = with(json!({ "title": "SEO", "person_id": ana }));
        let tied = if object == "leads" { "organization_id" } else { "org_id" };
        let alone = with(json!({ "title": "Acme", tied: org }));
        let batch = source.pull(&door.pull_of(object, Lane::Live, None, start)).await.unwrap();
        let lead = payload(own(&batch, &asked));
        assert_eq!((&lead["title"], &lead["person"]["id"]), (&json!("SEO"), &json!(ana)));
        assert_eq!(lead["person"]["emails"][0]["value"], "ana@acme.example");
        assert!(lead["person"]["custom_fields"].get("First message").is_some(), "by name: {lead}");
        assert_eq!(payload(own(&batch, &alone))["person"], Value::Null);
        let fetched = source.fetch(&object.into(), std::slice::from_ref(&asked)).await.unwrap();
        let (_, Fetched::Found(fetched)) = &fetched[0] else { panic!("{fetched:?}") };
        assert_eq!(fetched, own(&batch, &asked));
        // What becomes of the person is no version of the lead.
        door.sim().assign_as_human("persons", ana, 11).unwrap();
        let again =
            source.pull(&door.pull_of(object, Lane::Live, Some(batch.next.clone()), start)).await.unwrap();
        assert_eq!(own(&again, &asked).revision, own(&batch, &asked).revision);
        let number = door.sim().ids(object)[0];
        door.sim().assign_as_human(object, number, 11).unwrap();
        let again = source.pull(&door.pull_of(object, Lane::Live, Some(again.next), start)).await.unwrap();
        assert_ne!(own(&again, &asked).revision, own(&batch, &asked).revision);
    }
}

#[tokio::test]
async fn fm_019_what_is_deleted_or_archived_is_gone_and_leaves_the_list() {
    for (object, settings) in SOURCES {
        let door = Door::with(settings, None).await;
        let (source, start) = (door.connection.source.clone().unwrap(), door.now());
        let ana = door.person(&json!({ "name": "Ana Cruz", "emails": emails("ana@acme.example") }));
        let numbers: Vec<u64> =
            (0..3).map(|_| door.make(object, &json!({ "title": "SEO", "person_id": ana }))).collect();
        door.sim().delete(object, numbers[0]).unwrap();
        door.sim().archive(object, numbers[1], true).unwrap();
        let ids: Vec<ExternalId> = numbers.iter().map(|number| id(object, *number)).collect();
        let outcomes = source.fetch(&object.into(), &ids).await.unwrap();
        let gone: Vec<bool> = outcomes.iter().map(|(_, outcome)| matches!(outcome, Fetched::Gone)).collect();
        assert_eq!(gone, [true, true, false], "{object}: her address is no reason to take another for them");
        let batch = source.pull(&door.pull_of(object, Lane::Live, None, start)).await.unwrap();
        let listed: Vec<&ExternalId> = batch.records.iter().map(|record| &record.external_id).collect();
        assert_eq!(listed, [&ids[2]]);
    }
}

#[tokio::test]
async fn persons_are_read_together_and_history_is_listed_whole() {
    for (object, settings) in SOURCES {
        let door = Door::with(settings, None).await;
        let source = door.connection.source.clone().unwrap();
        let person = |n: u64| json!({ "object": "persons", "id": n, "fields": { "name": format!("P{n}") } });
        let lead =
            |n: u64| json!({ "object": object, "fields": { "title": "SEO", "person_id": 1_000 + n % 150 } });
        let lines: Vec<String> =
            (1_000..1_150).map(person).chain((0..1_200).map(lead)).map(|line| line.to_string()).collect();
        door.sim().seed(&lines.join("\n")).unwrap();
        let (mut seen, mut cursor, mut steps) = (BTreeMap::new(), None, 0);
        loop {
            let batch = source.pull(&door.pull_of(object, Lane::Backfill, cursor, door.now())).await.unwrap();
            let of =
                |record: &Record| (record.external_id.clone(), payload(record)["person"]["name"].clone());
            seen.extend(batch.records.iter().map(of));
            (cursor, steps) = (Some(batch.next), steps + 1);
            if batch.done {
                break;
            }
        }
        assert_eq!((seen.len(), steps), (1_200, 3));
        assert!(seen.values().all(Value::is_string), "each has its person");
        // Three pages, of each 100 and 50 persons, whose fields are asked for once, and the deals' own.
        let page = if object == "leads" { 20 } else { 10 };
        let fields = if object == "leads" { 10 } else { 20 };
        assert_eq!(door.used("tokens"), Some(3 * (page + 20) + fields));
    }
}

#[tokio::test]
async fn fm_011_after_forty_days_away_the_feed_has_forgotten_nothing() {
    for (object, settings) in SOURCES {
        let door = Door::with(settings, None).await;
        let source = door.connection.source.clone().unwrap();
        assert!(source.streams().iter().all(|stream| stream.horizon.is_none()), "so nothing is listed anew");
        let ana = door.person(&json!({ "name": "Ana" }));
        let start = door.now() - jiff::SignedDuration::from_hours(40 * 24);
        // More of one second than a page holds, each of a time of its own where there are such, and the rest over all days.
        let line = |n: i64| {
            let minutes = jiff::SignedDuration::from_mins(if n < 600 { 5 } else { n * 40 });
            let at = start + minutes + jiff::SignedDuration::from_millis(n);
            json!({ "object": object, "fields": { "title": "SEO", "person_id": ana },
                "add_time": at.to_string(), "update_time": at.to_string() })
        };
        let lines: Vec<String> = (0..1_300).map(|n| line(n).to_string()).collect();
        door.sim().seed(&lines.join("\n")).unwrap();
        let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
        for _ in 0..20 {
            let batch = source.pull(&door.pull_of(object, Lane::Live, cursor, start)).await.unwrap();
            seen.extend(batch.records.into_iter().map(|record| record.external_id));
            cursor = Some(batch.next);
            if batch.done {
                break;
            }
        }
        assert_eq!(seen.len(), 1_300, "{object}");
    }
}

#[tokio::test]
async fn fm_031_their_webhooks_are_made_and_name_them() {
    for (object, settings) in SOURCES {
        let door = Door::with(settings, None).await;
        let url = "https://usher.example/hooks/pipedrive-main".to_owned();
        let wanted = Subscription { wanted: vec![url.clone()], url, marker: "usher-1a2b".to_owned() };
        let subscriber = door.connection.subscriber.clone().unwrap();
        assert!(subscriber.ensure(&wanted).await.unwrap().created);
        assert_eq!(subscriber.ensure(&wanted).await.unwrap(), usher_connector::Subscribed::default());
        let entity = object.trim_end_matches('s');
        // v2's entity names (guide for webhooks v2); a lead's id is its UUID.
        let body = json!({ "meta": { "entity": entity, "entity_id": id(object, 5).as_str(), "action": "delete" },
            "data": null, "previous": {} });
        let inbound = door.connection.inbound.clone().unwrap();
        let items = inbound.split(body.to_string().as_bytes(), door.now());
        let Ok(usher_connector::Item::Hint { object: hinted, id: about }) = &items[0] else {
            panic!("{items:?}")
        };
        assert_eq!((hinted.as_str(), about), (object, &id(object, 5)));
    }
}
