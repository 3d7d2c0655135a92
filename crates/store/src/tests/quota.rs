//! Limits: fresh before backlog with a floor for the backlog, fair shares of the connections, what outlives the process.

use std::collections::BTreeSet;

use serde_json::json;
use usher_model::{ConnectionName, EffectKind, ExternalId};

use super::Backend;
use super::fixture::{at, claim, crm, decided, form, mapped, new_record};
use crate::{Direction, DueEffects, Hint, NewDelivery, RestingEndpoint};

/// Long after a backlog that begins at second 0.
const LATER: i64 = 100_000;

pub(crate) async fn fm_071_fresh_records_go_before_a_backlog_that_still_moves(backend: impl Backend) {
    let store = backend.store();
    let backlog = (0..40).map(new_record);
    store.store_records(backlog.chain((LATER..LATER + 20).map(new_record)).collect()).await.unwrap();
    let claimed = store.claim_records(10, at(LATER + 30), at(LATER + 60)).await.unwrap();
    let ids: Vec<&str> = claimed.iter().map(|record| record.external_id.as_str()).collect();
    let fresh: Vec<String> = (LATER..LATER + 8).map(|n| n.to_string()).collect();
    assert_eq!(ids[..2], ["0", "1"], "in the order of arrival: {ids:?}");
    assert_eq!(ids[2..], fresh);
    // Nothing is fresh any more: the oldest go.
    let claimed = store.claim_records(10, at(LATER + 1_000), at(LATER + 2_000)).await.unwrap();
    assert!(claimed.iter().all(|record| record.received_at < at(LATER)));
}

pub(crate) async fn fm_067_a_flood_through_one_connection_leaves_room_for_the_others(backend: impl Backend) {
    let store = backend.store();
    let mut records: Vec<_> = (0..200).map(new_record).collect();
    for n in 200..212 {
        let mut other = new_record(n);
        other.record.connection = ConnectionName::new(format!("other{}", n % 3));
        records.push(other);
    }
    store.store_records(records).await.unwrap();
    for now in [at(220), at(LATER)] {
        let claimed = store.claim_records(10, now, at(2 * LATER)).await.unwrap();
        let connections: BTreeSet<&str> = claimed.iter().map(|record| record.connection.as_str()).collect();
        assert_eq!((claimed.len(), connections.len()), (10, 4), "{connections:?}");
    }
}

pub(crate) async fn fm_071_fresh_drafts_are_decided_before_a_backlog(backend: impl Backend) {
    let store = backend.store();
    for n in (0..15).chain(LATER..LATER + 12) {
        mapped(&store, new_record(n), at(n)).await;
    }
    let ready = store.ready(10, at(LATER + 30)).await.unwrap();
    let received: Vec<_> = ready.drafts.iter().map(|draft| draft.received_at).collect();
    let expected: Vec<_> = (LATER..LATER + 8).chain(0..2).map(at).collect();
    assert_eq!(received, expected);
}

pub(crate) async fn fm_071_fresh_hints_are_answered_before_a_backlog(backend: impl Backend) {
    let store = backend.store();
    let body = NewDelivery {
        id: usher_model::DeliveryId::new(at(1)),
        connection: form(),
        received_at: at(1),
        body: vec![1],
    };
    let id = body.id;
    store.store_delivery(body).await.unwrap();
    let hint = |n: i64| Hint {
        object: "contacts".into(),
        external_id: ExternalId::new(n.to_string()),
        hinted_at: at(n),
        first_at: at(n),
    };
    store.commit_split(id, Vec::new(), (0..30).map(hint).collect(), at(40)).await.unwrap();
    let hints = store.hints(&form(), 10).await.unwrap();
    let firsts: BTreeSet<_> = hints.iter().map(|hint| hint.first_at).collect();
    assert_eq!(firsts, (0..2).chain(22..30).map(at).collect());
}

pub(crate) async fn fm_071_fresh_writes_go_before_a_backlog_that_still_moves(backend: impl Backend) {
    let store = backend.store();
    for n in (0..15).chain(LATER..LATER + 12) {
        decided(&store, n).await;
    }
    let claimed = store
        .claim_effects(&crm(), EffectKind::EnsurePerson, 10, at(LATER + 30), at(LATER + 60))
        .await
        .unwrap();
    let mut leads = Vec::new();
    for effect in &claimed {
        leads.push(store.lead_story(effect.effect.lead).await.unwrap().unwrap().lead.received_at);
    }
    let expected: Vec<_> = (0..2).chain(LATER..LATER + 8).map(at).collect();
    assert_eq!(leads, expected);
}

pub(crate) async fn due_effects_are_counted_by_kind(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.due_effects(&crm(), 10, at(5)).await.unwrap(), []);
    for n in 1..4 {
        decided(&store, n).await;
    }
    let due = |count, fresh| [DueEffects { kind: EffectKind::EnsurePerson, count, fresh }];
    assert_eq!(store.due_effects(&crm(), 10, at(5)).await.unwrap(), due(3, true));
    assert_eq!(store.due_effects(&crm(), 2, at(LATER)).await.unwrap(), due(2, false));
    assert_eq!(store.due_effects(&crm(), 10, at(0)).await.unwrap(), [], "not due yet");
    store.set_paused(true, "quarter end", at(5)).await.unwrap();
    assert_eq!(store.due_effects(&crm(), 10, at(5)).await.unwrap(), []);
    store.set_paused(false, "", at(6)).await.unwrap();
    claim(&store, EffectKind::EnsurePerson, 6).await;
    assert_eq!(store.due_effects(&crm(), 10, at(6)).await.unwrap(), []);
}

pub(crate) async fn quotas_and_rests_outlive_the_process(backend: impl Backend) {
    let store = backend.store();
    store.put_quota(&crm(), json!([1]), at(1)).await.unwrap();
    store.put_quota(&crm(), json!([{ "limit": "daily" }]), at(2)).await.unwrap();
    let resting = |direction, since, probe_at: i64| RestingEndpoint {
        connection: crm(),
        direction,
        since: at(since),
        probe_at: at(probe_at),
        problem: "no connection".to_owned(),
    };
    for endpoint in
        [resting(Direction::Pull, 1, 31), resting(Direction::Write, 2, 32), resting(Direction::Write, 2, 62)]
    {
        store.rest(endpoint).await.unwrap();
    }
    store.well(&crm(), Direction::Pull).await.unwrap();
    drop(store);
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.quotas().await.unwrap(), [(crm(), json!([{ "limit": "daily" }]))]);
    assert_eq!(store.resting().await.unwrap(), [resting(Direction::Write, 2, 62)]);
}
