//! Operation and inspection.

use usher_model::{EffectKind, EffectState, LeadState, Mode, RecordId, WaitReason};

use super::Backend;
use super::fixture::{
    at, claim, crm, decided, decided_in, done, end, finish, form, mapped, new_record, opening, standing,
    states,
};
use crate::{EffectEnd, FailedFilter, FailedKind, LeadFilter, NewRecord, Prepared, Verdict};

use EffectKind::{CreateTask, EnsurePerson, UpdateObject};
use EffectState::{Blocked, Cancelled, Done, Planned, Unknown};

fn refuse(claim: &crate::ClaimedEffect) -> crate::EffectOutcome {
    end(claim, EffectEnd::Rejected { reason: "no such owner".to_owned() })
}

pub(crate) async fn a_pause_stops_claims_and_nothing_else(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.paused().await.unwrap(), None);
    store.set_paused(true, "holiday", at(1)).await.unwrap();
    store.set_paused(true, "still holiday", at(2)).await.unwrap();
    assert_eq!(store.paused().await.unwrap(), Some((at(1), "holiday".to_owned())));
    decided(&store, 3).await;
    assert!(claim(&store, EnsurePerson, 5).await.is_empty());
    store.set_paused(false, "", at(6)).await.unwrap();
    assert_eq!(store.paused().await.unwrap(), None);
    assert_eq!(claim(&store, EnsurePerson, 7).await.len(), 1);
}

pub(crate) async fn failed_records_get_another_try(backend: impl Backend) {
    let store = backend.store();
    let ids = store.store_records((1..=3).map(new_record).collect()).await.unwrap();
    store.claim_records(9, at(5), at(6)).await.unwrap();
    let fail =
        |id: &RecordId| Prepared { record: *id, verdict: Verdict::Failed { problem: "no".to_owned() } };
    store.commit_prepared(ids.iter().map(fail).collect(), at(6)).await.unwrap();
    assert_eq!(store.retry_records(&ids[..1], at(7)).await.unwrap(), 1);
    assert_eq!(store.retry_records(&[], at(7)).await.unwrap(), 2);
    assert_eq!(store.retry_records(&[], at(7)).await.unwrap(), 0);
    let claimed = store.claim_records(9, at(7), at(9)).await.unwrap();
    assert_eq!(claimed.len(), 3);
    assert!(claimed.iter().all(|record| record.attempts == 1), "a retry starts afresh");
}

pub(crate) async fn a_retry_reopens_what_failed(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, refuse).await;
    assert_eq!(standing(&store, ana.lead).await, "closed:failed");
    assert!(matches!(
        store.failed(&FailedFilter::newest(9)).await.unwrap()[0].kind,
        FailedKind::Rejected(_, EnsurePerson)
    ));
    assert_eq!(store.retry_effects(&[], false, at(6)).await.unwrap(), 1);
    assert_eq!(standing(&store, ana.lead).await, "decided");
    assert_eq!(states(&store, ana.lead).await, [Planned, Blocked, Blocked]);
    finish(&store, EnsurePerson, 7, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 8, |claim| done(claim, "c1")).await;
    finish(&store, CreateTask, 9, |claim| done(claim, "t1")).await;
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    assert_eq!(store.retry_effects(&[], false, at(9)).await.unwrap(), 0);
}

pub(crate) async fn a_parked_effect_is_looked_up_before_it_is_sent(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let park = |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Parked { reason: "unclear".to_owned() });
    finish(&store, EnsurePerson, 5, park).await;
    let key = claim(&store, EnsurePerson, 5).await;
    assert!(key.is_empty());
    let FailedKind::Parked(key, _) = store.failed(&FailedFilter::newest(9)).await.unwrap().remove(0).kind
    else {
        panic!("not parked")
    };
    assert_eq!(store.retry_effects(&[key], false, at(6)).await.unwrap(), 1);
    assert_eq!(states(&store, ana.lead).await, [Unknown, Blocked, Blocked]);
    assert_eq!(standing(&store, ana.lead).await, "decided");
    assert!(claim(&store, EnsurePerson, 7).await.is_empty());
    let looked = store.claim_unknown(&crm(), 9, at(7), at(9)).await.unwrap();
    store.finish_effects(vec![done(&looked[0], "c1")], at(8)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Planned]);
}

pub(crate) async fn a_parked_effect_is_sent_again_if_somebody_looked(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let park = |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Parked { reason: "unclear".to_owned() });
    finish(&store, EnsurePerson, 5, park).await;
    let FailedKind::Parked(key, _) = store.failed(&FailedFilter::newest(9)).await.unwrap().remove(0).kind
    else {
        panic!("not parked")
    };
    assert_eq!(store.retry_effects(&[key], true, at(6)).await.unwrap(), 1);
    assert_eq!(states(&store, ana.lead).await, [Planned, Blocked, Blocked]);
    assert_eq!(claim(&store, EnsurePerson, 7).await.len(), 1);
}

pub(crate) async fn going_live_closes_observed_leads(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.mode().await.unwrap(), None);
    assert_eq!(store.enter_mode(Mode::Observe, at(1)).await.unwrap(), 0);
    let observed = decided_in(&store, 2, Mode::Observe).await;
    let record = mapped(&store, new_record(3), at(3)).await;
    let mut waiting = opening(record, 3, usher_model::PersonId::new(at(3)), Mode::Observe, at(3));
    waiting.commit.opened[0].lead.state = LeadState::Waiting;
    waiting.commit.effects.clear();
    let wait = WaitReason { because: "closed".to_owned(), until: at(99), gives_up_at: at(999) };
    waiting.commit.waits.push((waiting.lead, wait));
    waiting.commit.incumbents.push((observed.lead, "77".into(), at(3)));
    store.commit_decisions(waiting.commit, at(3)).await.unwrap();
    let compared = store.comparisons(at(0)).await.unwrap();
    assert_eq!(compared[0].ours.as_ref().unwrap().as_str(), "501");
    assert_eq!(compared[0].incumbent.as_ref().unwrap().as_str(), "77");

    assert_eq!(store.enter_mode(Mode::Live, at(5)).await.unwrap(), 2);
    assert_eq!(store.mode().await.unwrap(), Some(Mode::Live));
    for lead in [observed.lead, waiting.lead] {
        assert_eq!(standing(&store, lead).await, "closed:suppressed");
    }
    assert_eq!(store.enter_mode(Mode::Live, at(6)).await.unwrap(), 0);
}

pub(crate) async fn a_suppressed_lead_sends_nothing(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    store.suppress(ana.lead, "a test lead", at(2)).await.unwrap();
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
    assert_eq!(states(&store, ana.lead).await, [Cancelled; 3]);
    for kind in EffectKind::ALL {
        assert!(claim(&store, kind, 9).await.is_empty());
    }
}

pub(crate) async fn fm_107_counts_add_up(backend: impl Backend) {
    let store = backend.store();
    store.connect(&form(), at(0)).await.unwrap();
    for n in 1..=4 {
        decided(&store, n).await;
    }
    finish(&store, EnsurePerson, 5, |claim| done(claim, &claim.effect.lead.to_string())).await;
    let updates = claim(&store, UpdateObject, 6).await;
    store.finish_effects(vec![refuse(&updates[0]), done(&updates[1], "c")], at(6)).await.unwrap();
    let problem = Some("unreadable".to_owned());
    store.store_records(vec![NewRecord { problem, ..new_record(10) }, new_record(11)]).await.unwrap();
    mapped(&store, new_record(12), at(12)).await;

    let counts = store.counts().await.unwrap();
    let seen = store.connections().await.unwrap()[0].seen;
    assert_eq!(counts.records.values().sum::<u64>(), seen);
    assert_eq!(seen, 7);
    assert_eq!(counts.leads.values().sum::<u64>(), counts.records["opened"]);
    assert_eq!((counts.leads["decided"], counts.leads["closed:failed"]), (3, 1));
    assert_eq!(counts.effects.values().sum::<u64>(), 12);
    assert_eq!((counts.effects["sending"], counts.effects["rejected"]), (2, 1));
    assert_eq!(counts.oldest_undecided, Some(at(11)));
    assert_eq!(counts.oldest_unwritten, Some(at(1)));
    let audit = store.audit().await.unwrap();
    assert_eq!(audit.len(), 4);
    assert!(audit.iter().all(|(_, _, _, effects)| effects.len() == 3));
}

pub(crate) async fn the_story_tells_everything(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.records.len(), 1);
    assert_eq!(story.decisions, ana.commit.decisions);
    assert_eq!(story.effects.len(), 3);
    let owners = store.decided_owners().await.unwrap();
    assert_eq!(owners.len(), 1);
    let owner = &owners[0];
    assert_eq!((owner.lead, owner.person.as_str(), owner.owner.as_str()), (ana.lead, "c1", "501"));
    let ensured = &story.effects[0];
    assert_eq!((ensured.kind, ensured.attempts, ensured.ended_at), (EnsurePerson, 1, Some(at(5))));
    assert_eq!(ensured.external_id.as_ref().unwrap().as_str(), "c1");
    assert!(story.attempts.is_empty(), "it was done at once");
    assert!(store.lead_story(usher_model::LeadId::new(at(1))).await.unwrap().is_none());
}

pub(crate) async fn leads_are_found(backend: impl Backend) {
    let store = backend.store();
    let (one, two) = (decided(&store, 1).await, decided(&store, 2).await);
    store.suppress(one.lead, "a test lead", at(3)).await.unwrap();
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c2")).await;
    let all = LeadFilter { limit: 9, ..LeadFilter::default() };
    let found = |filter: LeadFilter| {
        let store = store.clone();
        async move { store.leads(&filter).await.unwrap().iter().map(|row| row.lead.id).collect::<Vec<_>>() }
    };
    assert_eq!(found(all.clone()).await, [two.lead, one.lead]);
    assert_eq!(found(LeadFilter { limit: 1, ..all.clone() }).await, [two.lead]);
    let email = Some("p1@acme.example".to_owned());
    assert_eq!(found(LeadFilter { email, ..all.clone() }).await, [one.lead]);
    let nobody = Some("nobody@acme.example".to_owned());
    assert!(found(LeadFilter { email: nobody, ..all.clone() }).await.is_empty());
    let external_id = Some("c2".into());
    assert_eq!(found(LeadFilter { external_id, ..all.clone() }).await, [two.lead]);
    let state = Some(LeadState::Closed);
    assert_eq!(found(LeadFilter { state, ..all.clone() }).await, [one.lead]);
    let row = store.leads(&all).await.unwrap().remove(0);
    assert_eq!(row.path.as_deref(), Some("everyone > sales"));
    assert_eq!(row.owner.as_deref(), Some("ana"));
    assert_eq!(row.why.as_deref(), Some("Ana is next in sales."));
}

pub(crate) async fn the_installation_key_is_made_once(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.install_key([7; 32]).await.unwrap(), [7; 32]);
    assert_eq!(store.install_key([8; 32]).await.unwrap(), [7; 32]);
    drop(store);
    let backend = backend.reopen().await;
    assert_eq!(backend.store().install_key([9; 32]).await.unwrap(), [7; 32]);
}
