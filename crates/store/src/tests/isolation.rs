//! Poison: what can not be read, or takes its holder down, costs only itself (FM-069).

use usher_model::{EffectKind, EffectState, LeadState, RecordState, Resolution, WaitReason};

use super::Backend;
use super::fixture::{
    at, claim, crm, decided, done, end, finish, mapped, new_record, opening, standing, states,
};
use crate::{EffectEnd, FailedFilter, FailedKind, MOST_LAPSES, RecordEnd};

use EffectKind::EnsurePerson;
use EffectState::{Cancelled, Parked, Rejected, Unknown};

pub(crate) async fn fm_069_an_unreadable_payload_fails_alone(backend: impl Backend) {
    let store = backend.store();
    let ids = store.store_records(vec![new_record(1), new_record(2)]).await.unwrap();
    backend.spoil("payload").await;
    let claimed = store.claim_records(9, at(10), at(20)).await.unwrap();
    let good: Vec<_> = claimed.iter().map(|record| record.id).collect();
    assert_eq!(good, [ids[1]]);
    let failed = store.failed(&FailedFilter::newest(9)).await.unwrap();
    assert_eq!(failed[0].kind, FailedKind::Record(ids[0]));
    assert!(failed[0].problem.contains("can not be read"), "{}", failed[0].problem);
    assert_eq!(store.retry_records(&[ids[0]], at(30)).await.unwrap(), 1, "it can be tried again");
}

pub(crate) async fn fm_069_an_unreadable_draft_or_lead_fails_alone(backend: impl Backend) {
    let store = backend.store();
    let spoilt = mapped(&store, new_record(1), at(1)).await;
    let good = mapped(&store, new_record(2), at(1)).await;
    backend.spoil("draft").await;
    let ready = store.ready(9, at(5)).await.unwrap();
    assert_eq!(ready.drafts.iter().map(|draft| draft.record).collect::<Vec<_>>(), [good]);
    assert_eq!(ready.unreadable.iter().map(|(record, _)| *record).collect::<Vec<_>>(), [spoilt]);
    // What the decider does with it.
    let detail = Some(ready.unreadable[0].1.clone());
    let end = RecordEnd { record: spoilt, state: RecordState::Failed, reason: None, lead: None, detail };
    let commit = crate::DecisionCommit { records: vec![end], ..Default::default() };
    store.commit_decisions(commit, at(6)).await.unwrap();
    assert!(store.ready(9, at(7)).await.unwrap().unreadable.is_empty());

    let mut waits = opening(good, 2, usher_model::PersonId::new(at(2)), usher_model::Mode::Live, at(7));
    let wait = WaitReason { because: "nobody is in".to_owned(), until: at(8), gives_up_at: at(9) };
    waits.commit.decisions[0].resolution = Resolution::Waiting(wait.clone());
    waits.commit.opened[0].lead.state = LeadState::Waiting;
    waits.commit.waits.push((waits.lead, wait));
    waits.commit.effects.clear();
    store.commit_decisions(waits.commit, at(7)).await.unwrap();
    assert_eq!(store.ready(9, at(8)).await.unwrap().waiting.len(), 1);
    backend.spoil("lead").await;
    let ready = store.ready(9, at(8)).await.unwrap();
    assert!(ready.waiting.is_empty());
    assert_eq!(ready.unreadable_leads[0].0, waits.lead);
}

pub(crate) async fn fm_069_an_unreadable_effect_fails_alone(backend: impl Backend) {
    let store = backend.store();
    let (spoilt, good) = (decided(&store, 1).await, decided(&store, 2).await);
    backend.spoil("effect").await;
    let claimed = claim(&store, EnsurePerson, 5).await;
    assert_eq!(claimed.iter().map(|claim| claim.effect.lead).collect::<Vec<_>>(), [good.lead]);
    assert_eq!(states(&store, spoilt.lead).await, [Rejected, Cancelled, Cancelled]);
    assert_eq!(standing(&store, spoilt.lead).await, "closed:failed");
    store.finish_effects(vec![done(&claimed[0], "c2")], at(6)).await.unwrap();
    assert_eq!(standing(&store, good.lead).await, "decided");
}

pub(crate) async fn fm_069_a_write_that_kills_its_sender_is_parked(backend: impl Backend) {
    let store = backend.store();
    let poison = decided(&store, 1).await;
    let absent = |claim: &crate::ClaimedEffect, now| {
        end(claim, EffectEnd::Planned { due_at: at(now), reason: "absent".to_owned() })
    };
    for life in 1..MOST_LAPSES {
        let now = i64::from(life) * 100;
        let claimed = claim(&store, EnsurePerson, now).await;
        assert_eq!(claimed[0].lapses, life - 1);
        if life % 2 == 0 {
            // The process dies. Where others share the database, its lease has to lapse.
            store.take_over(at(now + 1)).await.unwrap();
            store.recover_effects(at(now + 60)).await.unwrap();
        } else {
            let reason = "a panic".to_owned();
            let crashed = end(&claimed[0], EffectEnd::Crashed { due_at: at(now + 1), reason });
            store.finish_effects(vec![crashed], at(now + 1)).await.unwrap();
        }
        assert_eq!(states(&store, poison.lead).await[0], Unknown);
        let looked = store.claim_unknown(&crm(), 9, at(now + 61), at(now + 90)).await.unwrap().remove(0);
        store.finish_effects(vec![absent(&looked, now + 63)], at(now + 63)).await.unwrap();
    }
    claim(&store, EnsurePerson, 900).await;
    store.take_over(at(901)).await.unwrap();
    store.recover_effects(at(960)).await.unwrap();
    assert_eq!(states(&store, poison.lead).await, [Parked, Cancelled, Cancelled]);
    assert_eq!(standing(&store, poison.lead).await, "closed:failed");
    assert_eq!(finish(&store, EnsurePerson, 999, |claim| done(claim, "c1")).await, 0);
}
