//! The writes that a decision means: person, owner, task, each with its key and its place in the graph.

use std::time::Duration;

use jiff::Timestamp;
use usher_model::{
    Account, Decision, Effect, EffectBody, EffectKey, EffectKind, ExternalId, IdentityKey, Lead, Mode,
    ObjectRef, OwnerChange, Resolution, Slot, SlotKind,
};
use usher_store::NewEffect;

use crate::engine::Engine;
use crate::step::decide::company::Missing;
use crate::step::deliver::signed;

/// What is to be written for one decision.
pub(super) struct Intent<'a> {
    pub(super) lead: &'a Lead,
    pub(super) decision: &'a Decision,
    /// The owner that the decision saw at the CRM.
    pub(super) seen_owner: Option<&'a ExternalId>,
    /// When the CRM surely showed that owner.
    pub(super) seen_at: Option<Timestamp>,
    /// The slot of the person's object at the CRM.
    pub(super) slot: Slot,
    /// The slot is bound: the CRM knows the person.
    pub(super) at_crm: bool,
    pub(super) carrier: Carrier,
    pub(super) account: Option<&'a Account>,
    /// The company to make, where there is no account.
    pub(super) company: Option<Missing>,
    pub(super) also: Vec<Also>,
    /// The CRM's owners who stand for nobody.
    pub(super) nobodies: Vec<ExternalId>,
    pub(super) keys: Vec<IdentityKey>,
}

/// An object that gets the owner too.
pub(super) struct Also {
    pub(super) object: ObjectRef,
    /// Who stands for nobody and owns it.
    pub(super) nobody: Option<ExternalId>,
}

/// What carries owner and task.
pub(super) enum Carrier {
    Person,
    /// A lead or deal of the CRM's from which the lead came.
    There(Slot),
    /// A lead or deal that is made for the lead, with its owner; unless somebody has entered one by hand.
    ToMake(Slot),
}

/// The effects of a decision, in the order in which they happen.
pub(super) fn effects(engine: &Engine, intent: &Intent<'_>, now: Timestamp) -> Vec<NewEffect> {
    let (owner, changes_owner) = match &intent.decision.resolution {
        Resolution::Assigned { owner, .. } => (owner, intent.seen_owner != Some(owner)),
        Resolution::Kept { owner } => (owner, false),
        Resolution::Waiting(_) | Resolution::Dropped { .. } => return Vec::new(),
    };
    let mut bodies = Vec::with_capacity(5);
    let company = intent
        .account
        .map(|account| ObjectRef::Id { kind: SlotKind::Company, id: account.external_id.clone() });
    let person = ObjectRef::Slot { slot: intent.slot.clone() };
    // A lead or deal of the CRM's may be a company's alone: then there is nobody to be found or made.
    let nobody = !intent.at_crm && intent.keys.is_empty() && matches!(intent.carrier, Carrier::There(_));
    if !intent.at_crm && !nobody {
        bodies.push(EffectBody::EnsurePerson {
            slot: intent.slot.clone(),
            keys: intent.keys.clone(),
            fields: intent.lead.fields.values.clone(),
        });
        if let Some(company) = &company {
            bodies.push(EffectBody::Associate { from: person.clone(), to: company.clone() });
        }
    }
    if let Carrier::ToMake(slot) = &intent.carrier {
        bodies.push(EffectBody::EnsureInquiry {
            slot: slot.clone(),
            title: name(intent),
            person: person.clone(),
            company: company.clone(),
            owner: owner.clone(),
            entered_since: intent.lead.received_at.checked_sub(signed(engine.write.same_inquiry_within)).ok(),
        });
    }
    let carrier = match &intent.carrier {
        Carrier::Person => None,
        Carrier::There(slot) | Carrier::ToMake(slot) => Some(ObjectRef::Slot { slot: slot.clone() }),
    };
    let change = match &intent.carrier {
        // Done along with the making.
        Carrier::ToMake(_) => Some(OwnerChange {
            to: Some(owner.clone()),
            entered: Some(intent.nobodies.clone()),
            ..OwnerChange::default()
        }),
        _ => changes_owner.then(|| OwnerChange {
            expected: intent.seen_owner.cloned(),
            to: Some(owner.clone()),
            seen_at: intent.seen_at,
            ..OwnerChange::default()
        }),
    };
    let confirmed = change.is_some().then(|| Slot {
        connection: engine.crm.clone(),
        kind: SlotKind::Owner,
        of: intent.decision.episode.to_string(),
    });
    if change.is_some() {
        bodies.push(EffectBody::UpdateObject {
            target: carrier.clone().unwrap_or_else(|| person.clone()),
            owner: change,
            fields: std::collections::BTreeMap::new(),
            slot: confirmed.clone(),
            after: None,
        });
    }
    let whom = (!nobody).then(|| person.clone());
    let about = carrier.clone().into_iter().chain(whom).chain(company).collect();
    bodies.push(task(engine, intent, owner, about, confirmed.clone(), now));
    if confirmed.is_some() {
        let also = intent.also.iter().filter(|also| !nobody || also.object != person);
        bodies.extend(also.map(|also| also_owned(also, owner, confirmed.clone())));
    }
    if let Some(missing) = intent.company.as_ref().filter(|_| !nobody) {
        bodies.extend(made_company(missing, &person, carrier));
    }
    let observed = engine.mode == Mode::Observe;
    let numbered = (0_u32..).zip(bodies);
    numbered.map(|(ordinal, body)| new_effect(engine, intent, ordinal, body, now, observed)).collect()
}

/// The company, and the ties to it. Neither owner nor task waits for them.
fn made_company(
    missing: &Missing,
    person: &ObjectRef,
    carrier: Option<ObjectRef>,
) -> impl Iterator<Item = EffectBody> {
    let company = EffectBody::EnsureCompany {
        slot: missing.slot.clone(),
        name: missing.name.clone(),
        domain: Some(missing.domain.clone()),
        person: person.clone(),
    };
    let to = ObjectRef::Slot { slot: missing.slot.clone() };
    let ends = [person.clone()].into_iter().chain(carrier);
    [company].into_iter().chain(ends.map(move |from| EffectBody::Associate { from, to: to.clone() }))
}

/// The owner on a further object, once it stands on the first; nobody's choice is overwritten.
fn also_owned(also: &Also, owner: &ExternalId, after: Option<Slot>) -> EffectBody {
    let change =
        OwnerChange { expected: also.nobody.clone(), to: Some(owner.clone()), ..OwnerChange::default() };
    let (target, fields) = (also.object.clone(), std::collections::BTreeMap::new());
    EffectBody::UpdateObject { target, owner: Some(change), fields, slot: None, after }
}

fn task(
    engine: &Engine,
    intent: &Intent<'_>,
    owner: &ExternalId,
    about: Vec<ObjectRef>,
    after: Option<Slot>,
    now: Timestamp,
) -> EffectBody {
    let of = format!("{}/{}", intent.lead.id, intent.decision.episode);
    EffectBody::CreateTask {
        slot: Slot { connection: engine.crm.clone(), kind: SlotKind::Task, of },
        subject: format!("New lead: {}", name(intent)),
        body: body(intent),
        due: now.checked_add(engine.write.task_due).unwrap_or_else(|_| now + Duration::from_secs(3600)),
        owner: owner.clone(),
        about,
        after,
    }
}

/// Who asks, and for whom.
fn name(intent: &Intent<'_>) -> String {
    let fields = &intent.lead.fields;
    let name = fields.display_name();
    match intent.account.map(|account| account.name.as_str()).or(fields.text("company")) {
        Some(company) => format!("{name} ({company})"),
        None => name,
    }
}

/// The body says why this rep has it, then what the person wrote.
fn body(intent: &Intent<'_>) -> String {
    let fields = &intent.lead.fields;
    let mut lines = vec![intent.decision.why.clone()];
    let shown =
        ["email", "phone", "service_line", "urgency", "budget", "country", "source_detail", "message"];
    for name in shown {
        match fields.values.get(name) {
            Some(serde_json::Value::String(text)) => lines.push(format!("{}: {text}", label(name))),
            Some(serde_json::Value::Number(number)) => lines.push(format!("{}: {number}", label(name))),
            _ => {}
        }
    }
    lines.join("\n")
}

fn label(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn new_effect(
    engine: &Engine,
    intent: &Intent<'_>,
    ordinal: u32,
    body: EffectBody,
    now: Timestamp,
    observed: bool,
) -> NewEffect {
    let effect = Effect {
        key: key(engine, intent, ordinal, &body),
        connection: engine.crm.clone(),
        lead: intent.lead.id,
        episode: intent.decision.episode,
        body,
    };
    NewEffect { effect, ordinal, due_at: now, observed }
}

/// `ensure_person` is the same intent for every lead of the person, `ensure_company` for every lead of the domain,
/// `ensure_inquiry` for every episode of the lead;
/// everything else belongs to its episode.
fn key(engine: &Engine, intent: &Intent<'_>, ordinal: u32, body: &EffectBody) -> EffectKey {
    let connection = engine.crm.as_str().as_bytes();
    let kind = body.kind();
    let mode = intent.decision.mode.as_str().as_bytes();
    if kind == EffectKind::EnsurePerson {
        let person = intent.lead.person.as_bytes();
        return engine.install.derive_about(person, &[mode, kind.as_str().as_bytes(), connection, person]);
    }
    if let EffectBody::EnsureCompany { slot, .. } = body {
        return engine.install.derive(&[mode, kind.as_str().as_bytes(), connection, slot.of.as_bytes()]);
    }
    let (lead, episode) = (intent.lead.id.as_bytes(), intent.decision.episode.as_bytes());
    if kind == EffectKind::EnsureInquiry {
        return engine.install.derive_about(lead, &[mode, kind.as_str().as_bytes(), connection, lead]);
    }
    let ordinal = ordinal.to_be_bytes();
    engine
        .install
        .derive_about(episode, &[mode, kind.as_str().as_bytes(), connection, lead, episode, &ordinal])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use usher_model::EpisodeId;

    use super::*;
    use crate::tests::world::World;

    #[tokio::test(flavor = "multi_thread")]
    async fn fm_040_a_later_episode_wants_the_same_person_and_deal_and_another_task() {
        let world = World::carried_by(SlotKind::Deal).await;
        world.inquire("ann").await;
        world.decide().await;
        let story = world.story().await;
        let now = world.engine.now();
        let slot = |kind, of: String| Slot { connection: world.engine.crm.clone(), kind, of };
        let keys = |decision: &Decision| {
            let lead = &story.lead;
            let intent = Intent {
                lead,
                decision,
                seen_owner: None,
                seen_at: None,
                slot: slot(SlotKind::Person, lead.person.to_string()),
                at_crm: false,
                carrier: Carrier::ToMake(slot(SlotKind::Deal, lead.id.to_string())),
                account: None,
                company: None,
                also: Vec::new(),
                nobodies: Vec::new(),
                keys: Vec::new(),
            };
            let planned = effects(&world.engine, &intent, now);
            planned.into_iter().map(|new| (new.effect.body.kind(), new.effect.key)).collect::<Vec<_>>()
        };
        let first = &story.decisions[0];
        let later = Decision { episode: EpisodeId::new(now), ..first.clone() };
        let same = keys(first).into_iter().zip(keys(&later)).filter(|(a, b)| a == b);
        let same: Vec<EffectKind> = same.map(|((kind, _), _)| kind).collect();
        assert_eq!(same, [EffectKind::EnsurePerson, EffectKind::EnsureInquiry]);
    }
}
