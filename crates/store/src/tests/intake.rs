//! Intake, preparation and directory.

use serde_json::json;
use serde_json::value::RawValue;
use usher_model::{
    AccountId, AccountKey, AccountKeyKind, CrmOwner, DeliveryId, IgnoreReason, Lane, RecordId, RecordState,
};

use super::Backend;
use super::fixture::{at, crm, draft, form, new_record};
use crate::{
    AccountRow, FailedFilter, FailedKind, FetchCommit, Hint, NewDelivery, NewRecord, Prepared, PullCommit,
    StoreError, Stored, Verdict,
};

pub(crate) async fn fm_026_parallel_copies_give_one_record(backend: impl Backend) {
    let store = backend.store();
    let copies = (0..64).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.store_records(vec![new_record(7)]).await.unwrap()[0] })
    });
    let ids = futures::future::join_all(copies).await;
    let first = ids[0].as_ref().unwrap();
    assert!(ids.iter().all(|id| id.as_ref().unwrap() == first));
    assert_eq!(store.counts().await.unwrap().records["fetched"], 1);
}

pub(crate) async fn a_repeat_returns_the_known_id(backend: impl Backend) {
    let store = backend.store();
    let known = store.store_records(vec![new_record(2)]).await.unwrap()[0];
    let ids = store.store_records(vec![new_record(1), new_record(2), new_record(3)]).await.unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[1], known);
    let mut next = new_record(2);
    next.record.revision = "2".to_owned();
    assert_ne!(store.store_records(vec![next]).await.unwrap()[0], known);
}

/// The `cursor`-th step of a stream.
fn pull(records: Vec<NewRecord>, cursor: i64) -> PullCommit {
    let stream = "responses/live".to_owned();
    let previous = (cursor > 1).then(|| json!({ "at": cursor - 1 }));
    PullCommit {
        connection: form(),
        stream,
        previous,
        cursor: json!({ "at": cursor }),
        records,
        now: at(cursor),
    }
}

pub(crate) async fn a_pull_moves_rows_and_cursor_together(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.cursor(&form(), "responses/live").await.unwrap(), None);
    let stored = store.commit_pull(pull((0..150).map(new_record).collect(), 1)).await.unwrap();
    assert_eq!(stored, Stored { new: 150, repeated: 0 });
    let stored = store.commit_pull(pull((140..160).map(new_record).collect(), 2)).await.unwrap();
    assert_eq!(stored, Stored { new: 10, repeated: 10 });
    assert_eq!(store.cursor(&form(), "responses/live").await.unwrap(), Some(json!({ "at": 2 })));

    // Rows that can not be stored leave the cursor where it was.
    backend.fill_disk(true).await;
    let big = |n| NewRecord { record: big_record(n), ..new_record(n) };
    store.commit_pull(pull((200..300).map(big).collect(), 3)).await.unwrap_err();
    backend.fill_disk(false).await;
    assert_eq!(store.cursor(&form(), "responses/live").await.unwrap(), Some(json!({ "at": 2 })));
    assert_eq!(store.counts().await.unwrap().records["fetched"], 160);
}

pub(crate) async fn fm_008_no_step_is_stored_whose_predecessor_was_not(backend: impl Backend) {
    let store = backend.store();
    store.commit_pull(pull(vec![new_record(1)], 1)).await.unwrap();
    // Step 2 finds no room while step 3 is under way already.
    backend.fill_disk(true).await;
    let big = |n| NewRecord { record: big_record(n), ..new_record(n) };
    let second = store.commit_pull(pull((200..300).map(big).collect(), 2));
    let third = store.commit_pull(pull(vec![], 3));
    let (second, third) = tokio::join!(second, third);
    second.unwrap_err();
    third.unwrap_err();
    backend.fill_disk(false).await;
    let late = store.commit_pull(pull(vec![new_record(3)], 3)).await;
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
    assert_eq!(store.cursor(&form(), "responses/live").await.unwrap(), Some(json!({ "at": 1 })));
    assert_eq!(store.counts().await.unwrap().records["fetched"], 1);
}

pub(crate) async fn pulls_called_one_after_the_other_are_stored_in_that_order(backend: impl Backend) {
    let store = backend.store();
    let chain = (1..=30).map(|n| store.commit_pull(pull(vec![new_record(n)], n)));
    for stored in futures::future::join_all(chain).await {
        assert_eq!(stored.unwrap().new, 1);
    }
    assert_eq!(store.cursor(&form(), "responses/live").await.unwrap(), Some(json!({ "at": 30 })));
}

fn big_record(n: i64) -> usher_model::Record {
    let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(20_000))).unwrap();
    usher_model::Record { payload, ..new_record(n).record }
}

fn hint(id: &str, second: i64) -> Hint {
    Hint { object: "contacts".into(), external_id: id.into(), hinted_at: at(second), first_at: at(second) }
}

async fn hints_arrive(backend: &impl Backend, hints: Vec<Hint>) {
    let store = backend.store();
    let id = DeliveryId::new(at(1));
    let delivery = NewDelivery { id, connection: crm(), received_at: at(1), body: b"[]".to_vec() };
    store.store_delivery(delivery).await.unwrap();
    store.commit_split(id, Vec::new(), hints, at(1)).await.unwrap();
}

pub(crate) async fn hints_for_one_object_are_one_row(backend: impl Backend) {
    let store = backend.store();
    hints_arrive(&backend, vec![hint("1", 10), hint("2", 11), hint("1", 12)]).await;
    hints_arrive(&backend, vec![Hint { object: "companies".into(), ..hint("9", 13) }]).await;
    let hints = store.hints(&crm(), 10).await.unwrap();
    assert_eq!(hints, vec![Hint { first_at: at(10), ..hint("1", 12) }, hint("2", 11)]);
    assert_eq!(store.hints(&crm(), 1).await.unwrap().len(), 1);
    assert_eq!(store.hints(&form(), 10).await.unwrap(), vec![]);
    assert_eq!(store.counts().await.unwrap().hints_waiting, 3);
}

pub(crate) async fn a_hint_renewed_after_it_was_read_stays(backend: impl Backend) {
    let store = backend.store();
    hints_arrive(&backend, vec![hint("1", 10), hint("2", 10)]).await;
    let read = store.hints(&crm(), 10).await.unwrap();
    // Renewed in the very same millisecond.
    hints_arrive(&backend, vec![hint("1", 10)]).await;
    let commit = FetchCommit { connection: crm(), hints: read, records: vec![new_record(1)], now: at(11) };
    store.commit_fetch(commit).await.unwrap();
    let left = store.hints(&crm(), 10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].external_id.as_str(), "1");
    assert!(left[0].hinted_at > at(10));
    let commit = FetchCommit { connection: crm(), hints: left, records: vec![], now: at(12) };
    store.commit_fetch(commit).await.unwrap();
    assert_eq!(store.hints(&crm(), 10).await.unwrap(), vec![]);
}

pub(crate) async fn a_body_is_split_once(backend: impl Backend) {
    let store = backend.store();
    let id = DeliveryId::new(at(1));
    let body = vec![0, 159, 146, 150];
    let delivery = NewDelivery { id, connection: form(), received_at: at(1), body: body.clone() };
    store.store_delivery(delivery.clone()).await.unwrap();
    store.store_delivery(delivery).await.unwrap();
    let waiting = store.deliveries_to_split(10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].body, body);
    let stored = store.commit_split(id, vec![new_record(1)], vec![], at(2)).await.unwrap();
    assert_eq!(stored.new, 1);
    assert!(store.deliveries_to_split(10).await.unwrap().is_empty());
    let again = store.commit_split(id, vec![new_record(2)], vec![hint("1", 1)], at(2)).await.unwrap();
    assert_eq!(again, Stored { new: 0, repeated: 1 });
    assert_eq!(store.counts().await.unwrap().hints_waiting, 0);
}

pub(crate) async fn unreadable_items_are_failed_records(backend: impl Backend) {
    let store = backend.store();
    let problem = Some("item 37 is no object".to_owned());
    store.store_records(vec![NewRecord { problem, ..new_record(1) }, new_record(2)]).await.unwrap();
    let failed = store.failed(&FailedFilter::newest(10)).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert!(matches!(failed[0].kind, FailedKind::Record(_)));
    assert_eq!(failed[0].problem, "item 37 is no object");
    assert_eq!(store.claim_records(10, at(9), at(99)).await.unwrap().len(), 1);
}

pub(crate) async fn fm_076_bad_text_is_stored_safely(backend: impl Backend) {
    let store = backend.store();
    let payload = r#"{"name":"a\u0000b","half":"\ud800","emoji":"👩‍🚀"}"#;
    let mut new = new_record(1);
    new.record.payload = RawValue::from_string(payload.to_owned()).unwrap();
    new.record.external_id = "nul\0id".into();
    new.record.revision = "'; DROP TABLE record; --".to_owned();
    let id = store.store_records(vec![new.clone(), new_record(2)]).await.unwrap()[0];
    assert_eq!(store.store_records(vec![NewRecord { id: RecordId::new(at(5)), ..new }]).await.unwrap(), [id]);
    let claimed = store.claim_records(10, at(9), at(99)).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(claimed[0].external_id.as_str(), "nul\u{fffd}id");
    assert_eq!(claimed[0].payload.get(), payload);
    let problem = "the name holds \0".to_owned();
    store
        .commit_prepared(vec![Prepared { record: id, verdict: Verdict::Failed { problem } }], at(9))
        .await
        .unwrap();
    assert_eq!(store.failed(&FailedFilter::newest(1)).await.unwrap()[0].problem, "the name holds \u{fffd}");
}

pub(crate) async fn a_claim_lapses_and_counts_its_attempts(backend: impl Backend) {
    let store = backend.store();
    let backfill = NewRecord { lane: Lane::Backfill, ..new_record(1) };
    store.store_records(vec![backfill, new_record(3), new_record(2)]).await.unwrap();
    let claimed = store.claim_records(2, at(10), at(20)).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|record| record.external_id.as_str()).collect();
    assert_eq!(ids, ["2", "3"]);
    assert_eq!(claimed[0].attempts, 1);
    // The claims hold until they lapse.
    assert_eq!(store.claim_records(9, at(19), at(29)).await.unwrap().len(), 1);
    // Whoever held them may have died of one of them: a quarter of the limit at a time, the least suspicious first.
    let claim = async |limit: u32, now: i64, until: i64| -> Vec<(String, u32)> {
        let claimed = store.claim_records(limit, at(now), at(until)).await.unwrap();
        claimed.iter().map(|record| (record.external_id.to_string(), record.attempts)).collect()
    };
    let told = |id: &str, attempts| (id.to_owned(), attempts);
    assert_eq!(claim(9, 20, 30).await, [told("2", 2), told("3", 2)]);
    store.store_records(vec![new_record(4), new_record(5), new_record(6)]).await.unwrap();
    // The backfill's claim has not lapsed: these are fresh ones.
    assert_eq!(claim(2, 21, 31).await, [told("4", 1), told("5", 1)]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(claim(9, 31, 99).await);
    }
    let groups =
        [vec![told("4", 2), told("1", 2)], vec![told("5", 2)], vec![told("3", 3)], vec![told("2", 3)]];
    assert_eq!(seen[..4], groups);
    assert_eq!(seen[4], [told("6", 1)], "those that nobody died of come after them");
    // After the fourth death each comes alone, whatever the limit.
    for (now, groups) in [(99, vec![1, 3, 2]), (199, vec![1, 3, 1, 1])] {
        let mut lengths = Vec::new();
        for _ in 0..groups.len() {
            lengths.push(claim(256, now, now + 100).await.len());
        }
        assert_eq!(lengths, groups, "at {now}");
    }
}

pub(crate) async fn verdicts_end_or_delay_records(backend: impl Backend) {
    let store = backend.store();
    let ids = store.store_records((1..=4).map(new_record).collect()).await.unwrap();
    store.claim_records(9, at(10), at(20)).await.unwrap();
    let verdicts = [
        Verdict::Mapped { draft: Box::new(draft(ids[0], 1)), ready_at: at(15) },
        Verdict::Ignored { reason: IgnoreReason::Imported, detail: Some("marked by the CRM".to_owned()) },
        Verdict::Failed { problem: "no email".to_owned() },
        Verdict::Later { at: at(50), problem: "no answer".to_owned() },
    ];
    let prepared = ids.iter().zip(verdicts).map(|(record, verdict)| Prepared { record: *record, verdict });
    store.commit_prepared(prepared.collect(), at(11)).await.unwrap();

    assert!(store.ready(9, at(14)).await.unwrap().drafts.is_empty());
    assert_eq!(store.ready(9, at(15)).await.unwrap().drafts, [draft(ids[0], 1)]);
    assert!(store.claim_records(9, at(49), at(60)).await.unwrap().is_empty());
    assert_eq!(store.claim_records(9, at(50), at(60)).await.unwrap()[0].id, ids[3]);
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.ignored["imported"], 1);
    assert_eq!(counts.records["failed"], 1);

    // What has ended stays as it is.
    let late = Verdict::Failed { problem: "late".to_owned() };
    store.commit_prepared(vec![Prepared { record: ids[0], verdict: late }], at(12)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().records[RecordState::Mapped.as_str()], 1);
}

pub(crate) async fn what_was_put_off_can_be_hastened_and_nothing_else(backend: impl Backend) {
    let store = backend.store();
    let ids = store.store_records((1..=6).map(new_record).collect()).await.unwrap();
    let claimed = store.claim_records(6, at(10), at(20)).await.unwrap();
    assert_eq!(claimed.len(), 6);
    let later = |record: &RecordId| Prepared {
        record: *record,
        verdict: Verdict::Later { at: at(900), problem: "the CRM rests".to_owned() },
    };
    // One is still being prepared, one is mapped and becomes ready later.
    let draft = Box::new(draft(ids[1], 2));
    let mapped = Prepared { record: ids[1], verdict: Verdict::Mapped { draft, ready_at: at(900) } };
    let prepared = ids[2..].iter().map(later).chain([mapped]).collect();
    store.commit_prepared(prepared, at(11)).await.unwrap();
    assert!(store.claim_records(9, at(12), at(20)).await.unwrap().is_empty());
    assert_eq!(store.hasten_records(3, at(12)).await.unwrap(), 3);
    assert_eq!(store.hasten_records(3, at(12)).await.unwrap(), 1);
    assert_eq!(store.hasten_records(3, at(12)).await.unwrap(), 0);
    let again: Vec<RecordId> =
        store.claim_records(9, at(12), at(20)).await.unwrap().iter().map(|record| record.id).collect();
    assert_eq!(again, ids[2..]);
    assert!(store.ready(9, at(12)).await.unwrap().drafts.is_empty());
}

fn account(n: u32, keys: &[(AccountKeyKind, &str)]) -> AccountRow {
    AccountRow {
        id: AccountId::new(at(0)),
        external_id: format!("{n}").into(),
        name: format!("Account {n}"),
        owner: Some("501".into()),
        country: None,
        gone: false,
        keys: keys
            .iter()
            .map(|(kind, value)| AccountKey { kind: *kind, value: (*value).to_owned() })
            .collect(),
    }
}

pub(crate) async fn accounts_are_found_by_their_keys(backend: impl Backend) {
    use AccountKeyKind::{Domain, Name};
    let store = backend.store();
    let key = |kind, value: &str| AccountKey { kind, value: value.to_owned() };
    let gone = AccountRow { gone: true, ..account(9, &[(Domain, "acme.example")]) };
    let mut accounts: Vec<_> = (10..20).map(|n| account(n, &[(Name, "acme")])).collect();
    accounts.push(account(1, &[(Domain, "acme.example"), (Name, "acme"), (Domain, "other.example")]));
    accounts.push(gone);
    store.put_accounts(&crm(), "companies", &json!(1), accounts, at(1)).await.unwrap();
    let asked = [key(Domain, "acme.example"), key(Name, "acme"), key(Name, "nobody")];
    let found = store.accounts_by_keys(&crm(), &asked, 3).await.unwrap();
    assert_eq!(found.len(), 4, "three by name, one by domain");
    let (one, keys) = found.iter().find(|(account, _)| account.external_id.as_str() == "1").unwrap();
    assert_eq!(one.name, "Account 1");
    assert_eq!(keys.len(), 2, "both of its keys that were asked for: {keys:?}");
    assert!(store.accounts_by_keys(&form(), &asked, 3).await.unwrap().is_empty());
    assert_eq!(store.cursor(&crm(), "companies").await.unwrap(), Some(json!(1)));

    // A later version keeps the id and loses the old keys.
    let moved = account(1, &[(Domain, "new.example")]);
    store.put_accounts(&crm(), "companies", &json!(2), vec![moved], at(2)).await.unwrap();
    assert!(store.accounts_by_keys(&crm(), &[key(Domain, "acme.example")], 3).await.unwrap().is_empty());
    let found = store.accounts_by_keys(&crm(), &[key(Domain, "new.example")], 3).await.unwrap();
    assert_eq!(found[0].0.id, one.id);
}

pub(crate) async fn accounts_that_a_whole_list_lacks_are_gone(backend: impl Backend) {
    let store = backend.store();
    let key = |n: u32| AccountKey { kind: AccountKeyKind::Domain, value: format!("d{n}.example") };
    let row = |n: u32| account(n, &[(AccountKeyKind::Domain, &format!("d{n}.example"))]);
    store.put_accounts(&crm(), "companies", &json!(1), vec![row(1), row(2)], at(1)).await.unwrap();
    store.put_accounts(&form(), "companies", &json!(1), vec![row(2)], at(1)).await.unwrap();
    store.put_accounts(&crm(), "companies", &json!(2), vec![row(1)], at(5)).await.unwrap();
    assert_eq!(store.forget_accounts(&crm(), at(5)).await.unwrap(), 1);
    assert_eq!(store.forget_accounts(&crm(), at(5)).await.unwrap(), 0, "once");
    let known = async |connection| {
        let found = store.accounts_by_keys(&connection, &[key(1), key(2)], 3).await.unwrap();
        found.into_iter().map(|(account, _)| account.external_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((known(crm()).await, known(form()).await), (vec!["1".to_owned()], vec!["2".to_owned()]));
    // One that is there again is known again.
    store.put_accounts(&crm(), "companies", &json!(3), vec![row(2)], at(9)).await.unwrap();
    assert_eq!(known(crm()).await.len(), 2);
}

pub(crate) async fn owners_that_vanish_become_inactive(backend: impl Backend) {
    let store = backend.store();
    let owner = |id: &str| CrmOwner {
        id: id.into(),
        email: format!("{id}@agency.example"),
        name: id.to_owned(),
        active: true,
        availability: None,
    };
    assert_eq!(store.owners(&crm()).await.unwrap(), (vec![], None));
    store.put_owners(&crm(), &[owner("1"), owner("2")], at(1)).await.unwrap();
    store.put_owners(&crm(), &[owner("2"), owner("3")], at(2)).await.unwrap();
    let (owners, read_at) = store.owners(&crm()).await.unwrap();
    let active: Vec<_> = owners.iter().map(|owner| (owner.id.as_str(), owner.active)).collect();
    assert_eq!(active, [("1", false), ("2", true), ("3", true)]);
    assert_eq!(read_at, Some(at(2)));
}
