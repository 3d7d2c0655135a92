//! What holds when there are many writers, no disk, or no clean end.

use std::sync::Arc;

use serde_json::value::RawValue;
use usher_model::{DeliveryId, EffectKind, Mode, PersonId};

use super::Backend;
use super::fixture::{at, claim, decided, done, finish, form, mapped, new_record, opening, states};
use crate::{NewDelivery, NewRecord, StoreError};

fn delivery(n: i64) -> NewDelivery {
    NewDelivery { id: DeliveryId::new(at(n)), connection: form(), received_at: at(n), body: b"{}".to_vec() }
}

pub(crate) async fn fm_072_fifty_writers_see_no_busy(backend: impl Backend) {
    let store = backend.store();
    let writers = (0..50).map(|writer: i64| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..20 {
                let n = writer * 1_000 + round;
                store.store_delivery(delivery(n)).await.unwrap();
                store.store_records(vec![new_record(n)]).await.unwrap();
                // Readers beside the writers.
                store.deliveries_to_split(1).await.unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.deliveries_waiting, counts.records["fetched"]), (1_000, 1_000));
}

pub(crate) async fn fm_074_what_was_answered_is_there_after_a_crash(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    store.store_delivery(delivery(2)).await.unwrap();
    let claimed = claim(&store, EffectKind::EnsurePerson, 5).await;
    let before = store.counts().await.unwrap();
    drop(store);
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.counts().await.unwrap(), before);
    // The claim of the process that died is unclear, not forgotten and not sent again.
    assert_eq!(store.recover_effects(at(99)).await.unwrap(), 1);
    store.finish_effects(vec![done(&claimed[0], "c1")], at(99)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await[0], usher_model::EffectState::Done);
}

fn big(n: i64) -> NewRecord {
    let mut new = new_record(n);
    new.record.payload = RawValue::from_string(format!("\"{}\"", "x".repeat(50_000))).unwrap();
    new
}

pub(crate) async fn fm_075_a_full_disk_loses_nothing_and_heals(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let record = mapped(&store, new_record(2), at(2)).await;
    let before = store.counts().await.unwrap();
    backend.fill_disk(true).await;
    for n in 100..103 {
        let error = store.store_records((0..5).map(|k| big(n * 10 + k)).collect()).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
        assert!(error.to_string().contains("free disk space"), "{error}");
    }
    // Decisions with a large trace: all or nothing, also in the company of others that fail.
    let mut fold = opening(record, 2, PersonId::new(at(2)), Mode::Live, at(3));
    fold.commit.decisions[0].why = "x".repeat(200_000);
    let crowd = (0..8).map(|n| {
        let store = &store;
        async move {
            tokio::join!(
                store.store_delivery(delivery(n)),
                store.store_records((0..4).map(|k| big(n * 10 + k)).collect()),
                // A lone row that finds no room makes SQLite give up the whole transaction, savepoints and all.
                store.store_delivery(NewDelivery { body: vec![b'x'; 100_000], ..delivery(n) }),
            )
        }
    });
    let (fold_result, crowd) =
        tokio::join!(store.commit_decisions(fold.commit.clone(), at(3)), futures::future::join_all(crowd));
    assert!(matches!(fold_result, Err(StoreError::NoSpace { .. })), "{fold_result:?}");
    let mut small = 0;
    for (delivered, stored, lone) in crowd {
        assert!(matches!(lone, Err(StoreError::NoSpace { .. })), "{lone:?}");
        assert!(matches!(stored, Err(StoreError::NoSpace { .. })), "{stored:?}");
        // A small neighbour may find room, or goes down with its group and is told why.
        match delivered {
            Ok(()) => small += 1,
            Err(error) => assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}"),
        }
    }
    let before = crate::Counts { deliveries_waiting: small, ..before };
    // Nothing is half written, and what is there stays readable.
    assert_eq!(store.counts().await.unwrap(), before);
    assert!(store.lead_story(fold.lead).await.unwrap().is_none());
    assert!(store.lead_story(ana.lead).await.unwrap().is_some());

    backend.fill_disk(false).await;
    store.commit_decisions(fold.commit, at(4)).await.unwrap();
    store.store_records((0..5).map(big).collect()).await.unwrap();
    assert_eq!(finish(&store, EffectKind::EnsurePerson, 5, |claim| done(claim, "c")).await, 2);
}

pub(crate) async fn a_failing_command_fails_alone(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let opened = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(1));
    // The same fold many times at once, in the company of innocent neighbours: one wins, the others are stale.
    let folds = (0..16).map(|n| {
        let (store, commit) = (Arc::clone(&store), opened.commit.clone());
        tokio::spawn(async move {
            let (fold, stored) =
                tokio::join!(store.commit_decisions(commit, at(1)), store.store_delivery(delivery(n)));
            stored.unwrap();
            fold
        })
    });
    let mut won = 0;
    for fold in futures::future::join_all(folds).await {
        match fold.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Stale), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.deliveries_waiting, counts.leads["decided"], counts.effects["planned"]), (16, 1, 1));
}

pub(crate) async fn a_closed_store_says_so(backend: impl Backend) {
    let store = backend.store();
    let late = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut stored = 0;
            while store.store_delivery(delivery(stored)).await.is_ok() {
                stored += 1;
            }
            stored
        })
    };
    while store.counts().await.unwrap().deliveries_waiting < 3 {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    let stored = late.await.unwrap();
    assert!(matches!(store.store_delivery(delivery(0)).await, Err(StoreError::Closed)));
    assert!(matches!(store.counts().await, Err(StoreError::Closed)));
    // A second close is no mistake.
    store.close().await.unwrap();
    drop(store);
    // Every delivery that was answered is there.
    let backend = backend.reopen().await;
    assert_eq!(backend.store().counts().await.unwrap().deliveries_waiting, stored.unsigned_abs());
}
