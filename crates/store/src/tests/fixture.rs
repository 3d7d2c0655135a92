//! A small world for the suite: numbered people who fill in a form, and a CRM to write to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;
use usher_model::{
    ConnectionName, Decision, DecisionId, Draft, Effect, EffectBody, EffectKey, EffectKind, EffectState,
    Enrollment, EpisodeId, ExternalId, Fields, IdentityKey, IdentityKind, Lane, Lead, LeadId, LeadState,
    Mode, ObjectRef, ObjectType, OwnerChange, PersonId, Record, RecordId, RecordState, Resolution, Slot,
    SlotKind, SlotOrigin, Trace, Trigger,
};

use crate::{
    ClaimedEffect, DecisionCommit, EffectEnd, EffectOutcome, IdentityBinding, LinkBinding, LinkKey,
    NewEffect, NewLead, NewRecord, Prepared, RecordEnd, Store, Verdict,
};

/// That many seconds after the beginning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(crate) fn crm() -> ConnectionName {
    "crm".into()
}

pub(crate) fn form() -> ConnectionName {
    "form".into()
}

/// The `n`th record of the form, received at second `n`.
pub(crate) fn new_record(n: i64) -> NewRecord {
    let record = Record {
        connection: form(),
        object: "responses".into(),
        external_id: format!("{n}").into(),
        revision: "1".to_owned(),
        created_at: Some(at(n)),
        modified_at: None,
        imported: false,
        gone: false,
        payload: RawValue::from_string(format!("{{\"email\":\"p{n}@acme.example\"}}")).unwrap(),
    };
    NewRecord { id: RecordId::new(at(n)), record, lane: Lane::Live, received_at: at(n), problem: None }
}

pub(crate) fn fields(n: i64) -> Fields {
    let mut fields = Fields::default();
    fields.values.insert("email".to_owned(), format!("p{n}@acme.example").into());
    fields.values.insert("full_name".to_owned(), format!("Person {n}").into());
    fields
}

pub(crate) fn email_key(n: i64) -> IdentityKey {
    IdentityKey { kind: IdentityKind::Email, value: format!("p{n}@acme.example") }
}

pub(crate) fn link_key(n: i64) -> LinkKey {
    LinkKey { connection: form(), object: "responses".into(), external_id: format!("{n}").into() }
}

pub(crate) fn draft(record: RecordId, n: i64) -> Draft {
    Draft {
        record,
        connection: form(),
        object: ObjectType::new("responses"),
        external_id: ExternalId::new(format!("{n}")),
        in_crm: false,
        lane: Lane::Live,
        received_at: at(n),
        enrollment: Enrollment::EveryTime,
        fields: fields(n),
        keys: vec![email_key(n)],
        account: None,
        account_reason: None,
        crm_owner: None,
        crm_seen_at: None,
        crm_person: None,
        open_deal: None,
    }
}

/// Stores and prepares the record `n`; it is ready from `ready_at` on.
pub(crate) async fn mapped(store: &Arc<dyn Store>, new: NewRecord, ready_at: Timestamp) -> RecordId {
    let n: i64 = new.record.external_id.as_str().parse().unwrap();
    let mut draft = draft(new.id, n);
    draft.lane = new.lane;
    draft.connection = new.record.connection.clone();
    let id = store.store_records(vec![new]).await.unwrap()[0];
    let verdict = Verdict::Mapped { draft: Box::new(draft), ready_at };
    store.commit_prepared(vec![Prepared { record: id, verdict }], at(0)).await.unwrap();
    id
}

/// One lead of person `n` with its usual writes: ensure the person, then the owner and the task.
pub(crate) struct Opened {
    pub(crate) lead: LeadId,
    pub(crate) person: PersonId,
    pub(crate) episode: EpisodeId,
    pub(crate) commit: DecisionCommit,
}

pub(crate) fn person_slot(person: PersonId) -> Slot {
    Slot { connection: crm(), kind: SlotKind::Person, of: person.to_string() }
}

pub(crate) fn deal_slot(lead: LeadId) -> Slot {
    Slot { connection: crm(), kind: SlotKind::Deal, of: lead.to_string() }
}

pub(crate) fn decision(lead: LeadId, episode: EpisodeId, mode: Mode, now: Timestamp) -> Decision {
    Decision {
        id: DecisionId::new(now),
        episode,
        lead,
        trigger: Trigger::Arrived,
        at: now,
        mode,
        path: "everyone > sales".to_owned(),
        resolution: Resolution::Assigned { rep: "ana".into(), owner: "501".into() },
        why: "Ana is next in sales.".to_owned(),
        trace: Trace::default(),
    }
}

pub(crate) fn ensure_person(lead: LeadId, episode: EpisodeId, person: PersonId, n: i64) -> Effect {
    let slot = person_slot(person);
    let body = EffectBody::EnsurePerson { slot, keys: vec![email_key(n)], fields: BTreeMap::new() };
    Effect { key: EffectKey::new(format!("ensure{person}")), connection: crm(), lead, episode, body }
}

pub(crate) fn ensure_deal(lead: LeadId, episode: EpisodeId, person: PersonId) -> Effect {
    let body = EffectBody::EnsureInquiry {
        slot: deal_slot(lead),
        title: "Person".to_owned(),
        person: ObjectRef::Slot { slot: person_slot(person) },
        company: None,
        owner: "501".into(),
        entered_since: None,
    };
    Effect { key: EffectKey::new(format!("deal{lead}")), connection: crm(), lead, episode, body }
}

pub(crate) fn update_owner(lead: LeadId, episode: EpisodeId, person: PersonId) -> Effect {
    let owner = Some(OwnerChange { to: Some("501".into()), ..OwnerChange::default() });
    let target = ObjectRef::Slot { slot: person_slot(person) };
    let body = EffectBody::UpdateObject { target, owner, fields: BTreeMap::new(), slot: None, after: None };
    Effect { key: EffectKey::new(format!("update{episode}")), connection: crm(), lead, episode, body }
}

pub(crate) fn create_task(lead: LeadId, episode: EpisodeId, person: PersonId) -> Effect {
    let key = EffectKey::new(format!("task{episode}"));
    let body = EffectBody::CreateTask {
        slot: Slot { connection: crm(), kind: SlotKind::Task, of: key.as_str().to_owned() },
        subject: "Call Person".to_owned(),
        body: "Ana is next in sales.".to_owned(),
        due: at(3600),
        owner: "501".into(),
        about: vec![ObjectRef::Slot { slot: person_slot(person) }],
        after: None,
    };
    Effect { key, connection: crm(), lead, episode, body }
}

pub(crate) fn planned(effects: Vec<Effect>, now: Timestamp) -> Vec<NewEffect> {
    let plan = |(ordinal, effect)| NewEffect { effect, ordinal, due_at: now, observed: false };
    (0..).zip(effects).map(plan).collect()
}

/// The commit that opens a lead of person `n` from the mapped record.
pub(crate) fn opening(record: RecordId, n: i64, person: PersonId, mode: Mode, now: Timestamp) -> Opened {
    let (lead, episode) = (LeadId::new(now), EpisodeId::new(now));
    let mut effects = planned(
        vec![
            ensure_person(lead, episode, person, n),
            update_owner(lead, episode, person),
            create_task(lead, episode, person),
        ],
        now,
    );
    effects.iter_mut().for_each(|new| new.observed = mode == Mode::Observe);
    let row = Lead {
        id: lead,
        person,
        account: None,
        state: LeadState::Decided,
        close_reason: None,
        detail: None,
        mode,
        connection: form(),
        received_at: at(n),
        opened_at: now,
        fields: fields(n),
    };
    let commit = DecisionCommit {
        records: vec![RecordEnd {
            record,
            state: RecordState::Opened,
            reason: None,
            lead: Some(lead),
            detail: None,
        }],
        persons: vec![person],
        identity: vec![IdentityBinding { key: email_key(n), person }],
        links: vec![LinkBinding { key: link_key(n), person, enrolled: true, seen: None }],
        opened: vec![NewLead { lead: row, crm_owner: None }],
        decisions: vec![decision(lead, episode, mode, now)],
        effects,
        ..DecisionCommit::default()
    };
    Opened { lead, person, episode, commit }
}

/// Takes record `n` all the way to a decided lead of a new person.
pub(crate) async fn decided(store: &Arc<dyn Store>, n: i64) -> Opened {
    decided_in(store, n, Mode::Live).await
}

pub(crate) async fn decided_in(store: &Arc<dyn Store>, n: i64, mode: Mode) -> Opened {
    let record = mapped(store, new_record(n), at(n)).await;
    let opened = opening(record, n, PersonId::new(at(n)), mode, at(n));
    store.commit_decisions(opened.commit.clone(), at(n)).await.unwrap();
    opened
}

pub(crate) async fn claim(store: &Arc<dyn Store>, kind: EffectKind, now: i64) -> Vec<ClaimedEffect> {
    store.claim_effects(&crm(), kind, 100, at(now), at(now + 60)).await.unwrap()
}

pub(crate) fn done(claim: &ClaimedEffect, id: &str) -> EffectOutcome {
    made(claim, "contacts", id)
}

pub(crate) fn made(claim: &ClaimedEffect, object: &str, id: &str) -> EffectOutcome {
    let (id, object) = (Some(id.into()), Some(object.into()));
    end(claim, EffectEnd::Done { id, origin: SlotOrigin::Created, object, note: None })
}

pub(crate) fn end(claim: &ClaimedEffect, end: EffectEnd) -> EffectOutcome {
    EffectOutcome::of(claim, end)
}

/// Claims everything of the kind and ends it as `outcome` says.
pub(crate) async fn finish(
    store: &Arc<dyn Store>,
    kind: EffectKind,
    now: i64,
    outcome: impl Fn(&ClaimedEffect) -> EffectOutcome,
) -> usize {
    let claimed = claim(store, kind, now).await;
    store.finish_effects(claimed.iter().map(outcome).collect(), at(now)).await.unwrap();
    claimed.len()
}

/// The state of the lead as `state` or `closed:reason`.
pub(crate) async fn standing(store: &Arc<dyn Store>, lead: LeadId) -> String {
    let story = store.lead_story(lead).await.unwrap().unwrap();
    match story.lead.close_reason {
        Some(reason) => format!("closed:{}", reason.as_str()),
        None => story.lead.state.as_str().to_owned(),
    }
}

/// The states of the lead's effects, in order.
pub(crate) async fn states(store: &Arc<dyn Store>, lead: LeadId) -> Vec<EffectState> {
    store.lead_story(lead).await.unwrap().unwrap().effects.into_iter().map(|effect| effect.state).collect()
}
