//! Upkeep: doubt after a restore, retention, vital signs, counts that add up, clock jumps, alerts.

use jiff::{SignedDuration, Timestamp};
use usher_model::{EffectKind, EffectState, Mode, PersonId};

use super::Backend;
use super::fixture::{
    at, claim, crm, decided, done, end, finish, form, mapped, new_record, opening, standing, states,
};
use crate::{Alert, Cutoffs, EffectEnd, Hint, NewDelivery, NewRecord, Prepared, Pruned, Told, Verdict};

use EffectKind::{CreateTask, EnsurePerson, UpdateObject};
use EffectState::{Blocked, Done, Planned, Unknown};

pub(crate) async fn fm_105_what_was_not_done_is_looked_up_after_a_restore(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let ben = decided(&store, 2).await;
    // One owner write is on its way, a task is planned, and everything of the other lead is still to come.
    assert_eq!(claim(&store, UpdateObject, 6).await[0].doubt_since, None);
    assert_eq!(store.distrust(at(7), at(1_000)).await.unwrap(), 5);
    for kind in EffectKind::ALL {
        assert!(claim(&store, kind, 1_001).await.is_empty(), "{kind:?}");
    }
    store.recover_effects(at(1_001)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Unknown, Unknown]);
    assert_eq!(states(&store, ben.lead).await, [Unknown, Blocked, Blocked]);
    let looked = store.claim_unknown(&crm(), 9, at(1_002), at(1_060)).await.unwrap();
    assert_eq!(looked.len(), 3);
    for claim in &looked {
        assert_eq!(claim.doubt_since, Some(at(7) - SignedDuration::from_secs(60)));
        assert_eq!(claim.sent_at, Some(at(1_000)), "the settle window counts from the restore");
    }
    let of = |kind| looked.iter().find(|claim| claim.effect.body.kind() == kind).unwrap();
    // The owner had been written, the task had not: that one may be sent now.
    let absent = EffectEnd::Planned { due_at: at(1_003), reason: "absent".to_owned() };
    let outcomes =
        vec![done(of(UpdateObject), "501"), end(of(CreateTask), absent), done(of(EnsurePerson), "c2")];
    store.finish_effects(outcomes, at(1_003)).await.unwrap();
    store.recover_effects(at(1_004)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Done, Planned]);
    assert_eq!(finish(&store, CreateTask, 1_004, |claim| done(claim, "t1")).await, 1);
    // What was blocked may have been freed and sent since, too.
    assert_eq!(states(&store, ben.lead).await, [Done, Unknown, Unknown]);
}

pub(crate) async fn fm_105_leads_of_the_forgotten_time_are_in_doubt(backend: impl Backend) {
    let store = backend.store();
    store.distrust(at(100), at(200)).await.unwrap();
    let made = |n: i64, created: Option<i64>, received: i64| {
        let mut new = new_record(n);
        (new.record.created_at, new.received_at) = (created.map(at), at(received));
        new
    };
    let day = 24 * 3_600;
    for (n, created, received, doubt) in [
        (1, Some(150), 300, Some(at(150))),
        // From before the backup, but perhaps decided after it.
        (2, Some(50), 300, Some(at(100))),
        (3, Some(290), 300, None),
        (4, None, 300, Some(at(100))),
        (5, None, 300 + day, None),
    ] {
        let record = mapped(&store, made(n, created, received), at(received)).await;
        let opened = opening(record, n, PersonId::new(at(n)), Mode::Live, at(received));
        store.commit_decisions(opened.commit, at(received)).await.unwrap();
        let expected = if doubt.is_some() { Unknown } else { Planned };
        store.recover_effects(at(received + 1)).await.unwrap();
        assert_eq!(states(&store, opened.lead).await, [expected, Blocked, Blocked], "lead {n}");
        let margin = SignedDuration::from_secs(60);
        let looked = store.claim_unknown(&crm(), 99, at(received + 1), at(received + 9)).await.unwrap();
        for claim in looked.iter().filter(|claim| claim.effect.lead == opened.lead) {
            assert_eq!(claim.doubt_since, doubt.map(|since| since - margin), "lead {n}");
        }
    }
}

pub(crate) async fn the_tasks_of_a_person_are_known(backend: impl Backend) {
    let store = backend.store();
    let (ana, ben) = (decided(&store, 1).await, decided(&store, 2).await);
    finish(&store, EnsurePerson, 5, |claim| done(claim, &claim.effect.lead.to_string())).await;
    finish(&store, UpdateObject, 6, |claim| done(claim, "501")).await;
    assert!(store.known_made(ana.lead, CreateTask).await.unwrap().is_empty());
    finish(&store, CreateTask, 7, |claim| {
        done(claim, if claim.effect.lead == ana.lead { "t1" } else { "t2" })
    })
    .await;
    assert_eq!(store.known_made(ana.lead, CreateTask).await.unwrap(), ["t1".into()]);
    assert_eq!(store.known_made(ben.lead, CreateTask).await.unwrap(), ["t2".into()]);
}

fn all_before(instant: Timestamp) -> Cutoffs {
    Cutoffs { payloads: instant, deliveries: instant, attempts: instant }
}

async fn prune(store: &std::sync::Arc<dyn crate::Store>, keep: Cutoffs) -> Pruned {
    let mut pruned = Pruned::default();
    while !pruned.done {
        pruned = store.prune(keep, pruned).await.unwrap();
    }
    pruned
}

/// Done, with a word that its attempt is kept for.
fn noted(claim: &crate::ClaimedEffect, id: &str) -> crate::EffectOutcome {
    let mut outcome = done(claim, id);
    if let EffectEnd::Done { note, .. } = &mut outcome.end {
        *note = Some("left out: a field".to_owned());
    }
    outcome
}

pub(crate) async fn fm_083_retention_keeps_what_is_still_needed(backend: impl Backend) {
    let store = backend.store();
    for n in 1..=3 {
        let (id, connection) = (usher_model::DeliveryId::new(at(n)), form());
        store
            .store_delivery(NewDelivery { id, connection, received_at: at(n), body: b"{}".to_vec() })
            .await
            .unwrap();
        let problem = (n == 3).then(|| "unreadable".to_owned());
        let mut item = new_record(90 + n);
        (item.record.object, item.record.external_id) = ("deliveries".into(), format!("{id}#0").into());
        let items = if n == 3 { vec![NewRecord { problem, ..item }] } else { vec![] };
        if n > 1 {
            store.commit_split(id, items, Vec::<Hint>::new(), at(n)).await.unwrap();
        }
    }
    // Written and closed, refused and failed, still open, failed in preparation.
    let ana = decided(&store, 11).await;
    for (kind, id) in [(EnsurePerson, "c1"), (UpdateObject, "501"), (CreateTask, "t1")] {
        finish(&store, kind, 20, |claim| noted(claim, id)).await;
    }
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    let ben = decided(&store, 12).await;
    let refused = |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Rejected { reason: "no".to_owned() });
    finish(&store, EnsurePerson, 20, refused).await;
    assert_eq!(standing(&store, ben.lead).await, "closed:failed");
    decided(&store, 13).await;
    let failed = store.store_records(vec![new_record(14)]).await.unwrap()[0];
    store.claim_records(9, at(20), at(21)).await.unwrap();
    let verdict = Verdict::Failed { problem: "no".to_owned() };
    store.commit_prepared(vec![Prepared { record: failed, verdict }], at(20)).await.unwrap();

    let before = store.counts().await.unwrap();
    assert_eq!(prune(&store, all_before(at(1))).await.payloads, 0, "nothing is old enough");
    let pruned = prune(&store, all_before(at(1_000_000))).await;
    // Of the payloads the open lead's and the failed records' stay, of the bodies the unsplit and the unreadable one,
    // of the attempts the refused one.
    assert_eq!((pruned.payloads, pruned.deliveries, pruned.attempts), (2, 1, 3));
    assert_eq!(prune(&store, all_before(at(1_000_000))).await.payloads, 0);
    assert_eq!(store.counts().await.unwrap(), before, "the counts still add up");
    assert!(store.discrepancies().await.unwrap().is_empty());
    // A repeat of what was pruned is still known, and what failed can still be retried.
    let again = store.store_records(vec![new_record(11)]).await.unwrap();
    assert_eq!(store.counts().await.unwrap(), before, "{again:?}");
    assert_eq!(store.retry_records(&[], at(30)).await.unwrap(), 2);
    assert_eq!(store.deliveries_to_split(9).await.unwrap().len(), 2);
    assert_eq!(store.claim_records(9, at(31), at(40)).await.unwrap().len(), 1);
}

pub(crate) async fn vital_signs_say_since_when_work_is_due(backend: impl Backend) {
    let store = backend.store();
    let idle = store.vitals(at(0), at(0)).await.unwrap();
    assert_eq!(idle, crate::Vitals::default());
    store.connect(&form(), at(0)).await.unwrap();
    let id = usher_model::DeliveryId::new(at(1));
    let body = NewDelivery { id, connection: form(), received_at: at(1), body: b"{}".to_vec() };
    store.store_delivery(body).await.unwrap();
    decided(&store, 4).await;
    mapped(&store, new_record(3), at(3)).await;
    store.store_records(vec![new_record(2)]).await.unwrap();
    let vitals = store.vitals(at(9), at(0)).await.unwrap();
    let due = vitals.overdue;
    assert_eq!(
        (due.split, due.prepare, due.decide, due.deliver),
        (Some(at(1)), Some(at(2)), Some(at(3)), Some(at(4)))
    );
    assert_eq!((vitals.oldest_undecided, vitals.oldest_unwritten), (Some(at(2)), Some(at(4))));
    store.hold(&form(), Some("a flood"), at(9)).await.unwrap();
    store.set_paused(true, "quarter end", at(9)).await.unwrap();
    let vitals = store.vitals(at(9), at(0)).await.unwrap();
    assert_eq!(vitals.held, [(form(), "a flood".to_owned())]);
    assert_eq!((vitals.overdue.decide, vitals.overdue.deliver), (None, None), "an operator said so");
    store.set_paused(false, "", at(9)).await.unwrap();
    let park = |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Parked { reason: "unclear".to_owned() });
    finish(&store, EnsurePerson, 10, park).await;
    assert_eq!(store.vitals(at(11), at(10)).await.unwrap().parked, 1);
    assert_eq!(store.vitals(at(11), at(11)).await.unwrap().parked, 0);
    store.prove_writable(at(12)).await.unwrap();
}

pub(crate) async fn fm_081_a_clock_jump_moves_no_deadline(backend: impl Backend) {
    let store = backend.store();
    decided(&store, 1).await;
    let mut ready = new_record(2);
    ready.received_at = at(2);
    store.store_records(vec![ready]).await.unwrap();
    let sent = claim(&store, EnsurePerson, 10).await;
    let unclear = EffectEnd::Unknown { due_at: at(20), reason: "no answer".to_owned() };
    store.finish_effects(vec![end(&sent[0], unclear)], at(11)).await.unwrap();
    store.shift(SignedDuration::from_secs(3_600)).await.unwrap();
    // An hour later by the clock, nothing is a second nearer.
    assert!(store.claim_unknown(&crm(), 9, at(3_619), at(4_000)).await.unwrap().is_empty());
    let looked = store.claim_unknown(&crm(), 9, at(3_620), at(4_000)).await.unwrap();
    assert_eq!(looked[0].sent_at, Some(at(3_611)), "the settle window is as long as it was");
    assert_eq!(store.claim_records(9, at(3_602), at(4_000)).await.unwrap().len(), 1);
    // And back: what was due waits no hour.
    store.shift(SignedDuration::from_secs(-3_600)).await.unwrap();
    assert_eq!(store.claim_unknown(&crm(), 9, at(400), at(500)).await.unwrap().len(), 1);
}

pub(crate) async fn alerts_are_kept_until_they_are_told(backend: impl Backend) {
    let store = backend.store();
    let mut held = Alert {
        key: "held/site-form".to_owned(),
        problem: "a flood".to_owned(),
        raised_at: at(1),
        ended_at: None,
        told: None,
    };
    store.put_alerts(vec![held.clone()], at(0)).await.unwrap();
    held.told = Some((Told::Raised, at(2)));
    store.put_alerts(vec![held.clone()], at(0)).await.unwrap();
    drop(store);
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.alerts().await.unwrap(), [held.clone()]);
    (held.ended_at, held.told) = (Some(at(3)), Some((Told::Recovered, at(4))));
    store.put_alerts(vec![held.clone()], at(3)).await.unwrap();
    assert_eq!(store.alerts().await.unwrap(), [held]);
    store.put_alerts(Vec::new(), at(5)).await.unwrap();
    assert!(store.alerts().await.unwrap().is_empty());
}
