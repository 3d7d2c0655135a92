//! Reading: seconds, names, what is gone, and the webhook that is made.

use usher_connector::{Fetched, Subscription};
use usher_model::Lane;

use super::*;

#[tokio::test]
async fn fm_002_a_change_within_the_same_second_is_a_revision_of_its_own() {
    let door = Door::open(None).await;
    let source = door.connection.source.clone().unwrap();
    let start = door.now() - jiff::SignedDuration::from_mins(2);
    // A second of the vendor's is as long as three, so that two changes share one sooner or later.
    door.set(|faults| faults.ties_ms = 3_000);
    for _ in 0..20 {
        let person = door.person(&json!({ "name": "Ana" }));
        let own = |batch: &usher_connector::Batch| {
            batch
                .records
                .iter()
                .find(|record| record.external_id.as_str() == person.to_string())
                .cloned()
                .unwrap()
        };
        let first = source.pull(&door.pull(Lane::Live, None, start)).await.unwrap();
        let renamed = json!({ "name": "Ana Cruz" });
        door.sim().update("persons", person, renamed.as_object().unwrap(), Actor::Human).unwrap();
        let second = source.pull(&door.pull(Lane::Live, Some(first.next.clone()), start)).await.unwrap();
        let (one, two) = (own(&first), own(&second));
        if one.modified_at == two.modified_at {
            assert_ne!(one.revision, two.revision, "the store would drop the second change");
            let again = source.pull(&door.pull(Lane::Live, Some(second.next), start)).await.unwrap();
            assert_eq!(own(&again).revision, two.revision, "what did not change is no new version");
            return;
        }
    }
    panic!("no two changes shared a time");
}

#[tokio::test]
async fn custom_fields_come_by_name_and_label_by_pull_and_by_fetch() {
    let door = Door::open(None).await;
    let (source, start) = (door.connection.source.clone().unwrap(), door.now());
    let sent = ensure(
        "a1",
        &json!({ "email": "Ana@acme.example", "full_name": "Ana Cruz", "message": "SEO, please", "source": "web form" }),
    );
    let made = door.send(&sent).await.unwrap();
    assert_eq!(made.note, None);
    let id = made.id.unwrap();
    let pulled = source.pull(&door.pull(Lane::Live, None, start)).await.unwrap();
    let payload: Value = serde_json::from_str(pulled.records[0].payload.get()).unwrap();
    assert_eq!(
        payload["custom_fields"],
        json!({ "Usher key": "a1", "First message": "SEO, please", "Lead source": "Web form" })
    );
    let fetched = source.fetch(&"persons".into(), &[id]).await.unwrap();
    let (_, Fetched::Found(fetched)) = &fetched[0] else { panic!("{fetched:?}") };
    assert_eq!(*fetched, pulled.records[0]);

    // A field that is defined later is known as soon as somebody has it.
    let odd = ensure("a2", &json!({ "email": "ben@acme.example", "source": "Radio" }));
    let made = door.send(&odd).await.unwrap();
    assert_eq!(made.note.as_deref(), Some("left out: Lead source (not one of Pipedrive's options)"));
}

#[tokio::test]
async fn who_is_deleted_is_gone_and_who_was_merged_lives_on() {
    let door = Door::open(None).await;
    let source = door.connection.source.clone().unwrap();
    let alone = door.person(&json!({ "name": "Ana", "emails": emails("ana@acme.example") }));
    let one = door.person(&json!({ "name": "Ben", "emails": emails("ben@acme.example") }));
    let other = door.person(&json!({ "name": "Ben B", "emails": emails("ben@work.example") }));
    // No index has heard of it yet.
    door.set(|faults| faults.search_lag_ms = Span(3_600_000, 3_600_000));
    door.sim().delete("persons", alone).unwrap();
    door.sim().merge("persons", one, other).unwrap();
    let many: Vec<ExternalId> = [alone, other, one, 997].iter().map(|id| id.to_string().into()).collect();
    for padding in [0, 12] {
        let asked: Vec<ExternalId> =
            many.iter().cloned().chain((0..padding).map(|id| format!("5{id}000").into())).collect();
        let fetched = source.fetch(&"persons".into(), &asked).await.unwrap();
        let shown: Vec<String> = fetched
            .iter()
            .take(4)
            .map(|(_, outcome)| match outcome {
                Fetched::Gone => "gone".to_owned(),
                Fetched::Found(record) => format!("found {}", record.external_id),
                Fetched::Merged(record) => format!("merged into {}", record.external_id),
            })
            .collect();
        let wanted =
            ["gone".to_owned(), format!("merged into {one}"), format!("found {one}"), "gone".to_owned()];
        assert_eq!(shown, wanted, "with {padding} more ids");
    }
}

#[tokio::test]
async fn a_history_whose_cursor_is_refused_begins_anew_and_lacks_nobody() {
    let door = Door::open(None).await;
    let source = door.connection.source.clone().unwrap();
    let lines: String = (0..1_200)
        .map(|n| format!("{}\n", json!({ "object": "persons", "fields": { "name": format!("P{n}") } })))
        .collect();
    door.sim().seed(&lines).unwrap();
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    door.set(|faults| (faults.cursor_refused, faults.times) = (1.0, Some(1)));
    for step in 0..8 {
        let batch = source.pull(&door.pull(Lane::Backfill, cursor, door.now())).await.unwrap();
        seen.extend(batch.records.into_iter().map(|record| record.external_id));
        cursor = Some(batch.next);
        if batch.done {
            assert_eq!((seen.len(), step), (1_200, 4), "one page, a refusal, three pages");
            return;
        }
    }
    panic!("the listing never ends");
}

#[tokio::test]
async fn fm_031_the_webhook_is_made_once_and_repaired() {
    let door = Door::open(None).await;
    let subscriber = door.connection.subscriber.clone().unwrap();
    let url = "https://usher.example/hooks/pipedrive-main".to_owned();
    let wanted = Subscription { wanted: vec![url.clone()], url, marker: "usher-1a2b".to_owned() };
    let ensure = async |wanted: &Subscription| subscriber.ensure(wanted).await.unwrap();
    let done = ensure(&wanted).await;
    assert!(done.created && !done.repaired && done.strays == 0);
    let first = door.sim().webhooks();
    assert_eq!(ensure(&wanted).await, usher_connector::Subscribed::default());
    assert_eq!(door.sim().webhooks(), first, "nothing was made anew");
    // Another address: the new one is made before the old one goes.
    let moved = "https://new.example/hooks/pipedrive-main".to_owned();
    let moved = Subscription { wanted: vec![moved.clone()], url: moved, ..wanted.clone() };
    let done = ensure(&moved).await;
    assert!(done.repaired && !done.created);
    let second = door.sim().webhooks();
    assert!(second.len() == 1 && second != first);
    // After a restart the password that the list shows is enough.
    let (_http, again) = connect(&door.sandbox);
    assert_eq!(
        again.subscriber.unwrap().ensure(&moved).await.unwrap(),
        usher_connector::Subscribed::default()
    );
}

#[tokio::test]
async fn fm_031_a_webhook_whose_password_is_hidden_stays_and_what_is_off_or_has_another_is_made_anew() {
    let door = Door::open(None).await;
    door.set(|faults| faults.hidden_hook_password = true);
    let url = "https://usher.example/hooks/pipedrive-main".to_owned();
    let wanted = Subscription { wanted: vec![url.clone()], url, marker: "usher-1a2b".to_owned() };
    let with = async |connection: &Connection| {
        let done = connection.subscriber.as_ref().unwrap().ensure(&wanted).await.unwrap();
        (done.created, done.repaired, door.sim().webhooks())
    };
    let (created, _, first) = with(&door.connection).await;
    assert!(created && first.len() == 1);
    for _ in 0..2 {
        assert_eq!(with(&door.connection).await, (false, false, first.clone()), "hidden is not another");
    }
    door.sim().switch_webhook(first[0], false);
    let (_, repaired, second) = with(&door.connection).await;
    assert!(repaired && second.len() == 1 && second != first, "switched off");
    // Whether a hidden password is ours a new process can not know, so it says it once.
    let (_http, restarted) = connect(&door.sandbox);
    let (_, repaired, third) = with(&restarted).await;
    assert!(repaired && third.len() == 1 && third != second);
    assert_eq!(with(&restarted).await, (false, false, third.clone()));
    // Where it is shown, another one is seen.
    door.set(|faults| faults.hidden_hook_password = false);
    let (_http, same) = connect(&door.sandbox);
    assert_eq!(with(&same).await, (false, false, third.clone()));
    let (_http, changed) = connect_as(&door.sandbox, SETTINGS, "new password", api_token());
    let (_, repaired, fourth) = with(&changed).await;
    assert!(repaired && fourth.len() == 1 && fourth != third, "another password");
}

#[tokio::test]
async fn fm_019_all_organizations_are_listed_again_once_a_day_so_that_deleted_ones_leave() {
    let door = Door::open(None).await;
    let directory = door.connection.directory.clone().unwrap();
    let line =
        |n: u64| json!({ "object": "organizations", "fields": { "name": format!("O{n}") } }).to_string();
    let ids = door.sim().seed(&(0..700).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let read = async |mut cursor: Option<usher_connector::Cursor>, now: Timestamp| {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let batch = directory.accounts(cursor.as_ref(), now).await.unwrap();
            seen.extend(batch.accounts.into_iter().map(|account| account.external_id));
            cursor = Some(batch.next);
            if batch.done {
                return (seen.len(), batch.whole_since, cursor);
            }
        }
        panic!("the listing never ends");
    };
    let start = door.now();
    let (seen, whole, cursor) = read(None, start).await;
    assert_eq!((seen, whole), (700, Some(start)));
    door.sim().delete("organizations", ids[3]).unwrap();
    let hour = start + jiff::SignedDuration::from_hours(1);
    let (seen, whole, cursor) = read(cursor, hour).await;
    assert!(seen <= 700 && whole.is_none(), "only what changed");
    // A day later all of them, whatever becomes of the cursor on the way.
    door.set(|faults| (faults.cursor_refused, faults.times) = (1.0, Some(1)));
    let day = start + jiff::SignedDuration::from_hours(25);
    let (seen, whole, cursor) = read(cursor, day).await;
    assert_eq!((seen, whole), (699, Some(day)));
    let (_, whole, cursor) = read(cursor, day + jiff::SignedDuration::from_hours(1)).await;
    assert_eq!(whole, None);
    // By a clock that was put back, all that is listed would be older than the listing, as if it were gone.
    let earlier = start - jiff::SignedDuration::from_hours(1);
    let (seen, whole, _) = read(cursor, earlier).await;
    assert_eq!((seen, whole), (699, Some(earlier)));
}
