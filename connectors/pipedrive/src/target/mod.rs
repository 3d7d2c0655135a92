//! The target role: which writes there are, and the way from a write to its outcome. Pipedrive takes them one by one.

mod companies;
mod history;
mod inquiries;
mod made;
mod owners;
mod persons;
mod tasks;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{
    CallLane, Capability, Fault, FaultClass, Http, KeyProperty, OwnerEntry, Request, Response, SendFailure,
    Target, Verdict, VerifyBy, Write, Written, bound,
};
use usher_model::{EffectBody, EffectKind, ExternalId, ObjectRef, ObjectType, SlotKind, SlotOrigin};

use crate::api::{self, ACTIVITIES, DEALS, LEADS, ORGANIZATIONS, PERSONS};
use crate::fields::Fields;
use crate::find::is_id;
use crate::me::Me;
use crate::protocol::refusal;
use crate::wire::{self, Object, data};
pub(crate) use inquiries::Carrier;

/// What an account has of its own: custom fields by name, and a type of activity.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    /// The field of persons that carries our keys.
    pub(crate) marker: Option<String>,
    /// Field of the lead, field of the person.
    pub(crate) fields: BTreeMap<String, String>,
    /// The key of the type that tasks have.
    pub(crate) task_type: String,
}

impl Default for Custom {
    fn default() -> Self {
        Self { marker: None, fields: BTreeMap::new(), task_type: "task".to_owned() }
    }
}

/// The target role.
pub(crate) struct PipedriveTarget {
    http: Arc<dyn Http>,
    fields: Arc<Fields>,
    custom: Custom,
    carrier: Carrier,
    me: Arc<Me>,
}

/// The outcome of one write.
type Sent = Result<Written, SendFailure>;

impl PipedriveTarget {
    pub(crate) fn new(
        http: Arc<dyn Http>,
        fields: Arc<Fields>,
        me: Arc<Me>,
        custom: Custom,
        carrier: Carrier,
    ) -> Self {
        Self { http, fields, custom, carrier, me }
    }

    async fn send_one(&self, item: &Write) -> Sent {
        match &item.body {
            EffectBody::EnsurePerson { .. } => persons::send(self, item).await,
            EffectBody::EnsureCompany { .. } => companies::send(self, item).await,
            EffectBody::Associate { .. } => companies::associate(self, item).await,
            EffectBody::EnsureInquiry { .. } => inquiries::send(self, item).await,
            EffectBody::UpdateObject { .. } => owners::send(self, item).await,
            EffectBody::CreateTask { .. } => tasks::create(self, item).await,
            EffectBody::CloseTask { .. } => tasks::close(self, item).await,
            EffectBody::ReassignTask { .. } => tasks::reassign(self, item).await,
            EffectBody::ArchiveObject { .. } => {
                self.write(self.request(item)?).await.map(|_| Written::whole(None, SlotOrigin::Found))
            }
        }
    }

    /// The one call that writes, as a dry run shows it too.
    fn request(&self, item: &Write) -> Result<Request, SendFailure> {
        match &item.body {
            EffectBody::EnsurePerson { .. } => persons::request(self, item),
            EffectBody::EnsureCompany { .. } => companies::request(item),
            EffectBody::Associate { .. } => companies::association(item),
            EffectBody::EnsureInquiry { .. } => inquiries::request(self, item),
            EffectBody::UpdateObject { .. } => owners::request(self, item),
            EffectBody::CreateTask { .. } => tasks::request(self, item),
            EffectBody::CloseTask { .. } | EffectBody::ReassignTask { .. } => tasks::change(item),
            EffectBody::ArchiveObject { target } => {
                let (objects, id) = known(target)?;
                Ok(api::delete(objects, id))
            }
        }
    }

    /// Makes the call and hands out the object as it is afterwards.
    async fn write(&self, request: Request) -> Result<Object, SendFailure> {
        let answer = self.http.send(request).await?;
        written(&answer)
    }
}

#[async_trait]
impl Target for PipedriveTarget {
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType> {
        objects_of(kind).map(ObjectType::from)
    }

    fn carrier(&self) -> SlotKind {
        self.carrier.kind
    }

    fn capabilities(&self) -> Vec<Capability> {
        let can = |kind, object, verify| Capability { kind, object, max_batch: 1, keyed: false, verify };
        let carrier = objects_of(self.carrier.kind).unwrap_or(PERSONS);
        let mut all = vec![
            // Nothing is unique at Pipedrive and nothing is upserted: what was made is found in the list of changes.
            can(EffectKind::EnsurePerson, PERSONS, VerifyBy::RecentChanges),
            can(EffectKind::EnsureCompany, ORGANIZATIONS, VerifyBy::RecentChanges),
            Capability {
                keyed: true,
                ..can(EffectKind::Associate, "persons, leads, deals → organizations", VerifyBy::Id)
            },
            can(EffectKind::UpdateObject, carrier, VerifyBy::Id),
            can(EffectKind::CreateTask, ACTIVITIES, VerifyBy::ParentListing),
            can(EffectKind::ReassignTask, ACTIVITIES, VerifyBy::Id),
            can(EffectKind::CloseTask, ACTIVITIES, VerifyBy::Id),
            can(EffectKind::ArchiveObject, "persons, organizations, leads, deals, activities", VerifyBy::Id),
        ];
        if self.carrier.kind.is_inquiry() {
            all.push(can(EffectKind::EnsureInquiry, carrier, VerifyBy::ParentListing));
        }
        all
    }

    async fn send(&self, writes: &[Write]) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(writes.len());
        for item in writes {
            sent.push(self.send_one(item).await);
        }
        sent
    }

    async fn verify(&self, write: &Write, since: Timestamp) -> Result<Verdict, Fault> {
        verify::verify(self, write, since).await
    }

    async fn ours_since(&self, write: &Write, since: Timestamp) -> Result<Vec<ExternalId>, Fault> {
        match &write.body {
            EffectBody::EnsureInquiry { .. } => inquiries::ours_since(self, write, since).await,
            _ => tasks::ours_since(self, write, since).await,
        }
    }

    async fn key_properties(&self, _create: bool) -> Result<Vec<KeyProperty>, Fault> {
        // A field may carry a key, but Pipedrive lets two objects have the same.
        Ok(Vec::new())
    }

    fn history_batch(&self) -> usize {
        history::MOST
    }

    async fn owner_history(&self, objects: &[(SlotKind, ExternalId)]) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
        history::owners(self, objects).await
    }

    fn describe(&self, writes: &[Write]) -> Result<Vec<Request>, Fault> {
        Ok(writes.iter().filter_map(|item| self.request(item).ok()).collect())
    }
}

/// The object in the answer to a write, or what the refusal means.
fn written(answer: &Response) -> Result<Object, SendFailure> {
    if answer.is_success() {
        // Something happened, and the answer does not say what.
        return data::<Object>(answer)
            .ok()
            .filter(|object| wire::id(object).is_some())
            .ok_or_else(|| unmentioned().into());
    }
    let refusal = refusal(answer).unwrap_or_default();
    if refusal.is_about_owner() {
        return Err(SendFailure::OwnerRejected { reason: refusal.words() });
    }
    if matches!(answer.status, 404 | 410) {
        return Err(SendFailure::Gone);
    }
    let message = format!("Pipedrive refused the write: {}", refusal.words());
    let advice = "correct the value in Pipedrive or in the mapping, then retry it";
    Err(Fault::new(FaultClass::Rejected, message).advise(advice).into())
}

fn unmentioned() -> Fault {
    Fault::new(FaultClass::OutcomeUnknown, "Pipedrive's answer does not say what became of the write")
}

fn defect(message: &str) -> SendFailure {
    Fault::new(FaultClass::Defect, message).into()
}

fn created(object: &Object) -> Written {
    Written::whole(wire::id(object).map(ExternalId::new), SlotOrigin::Created)
}

fn found(object: &Object) -> Written {
    Written::whole(wire::id(object).map(ExternalId::new), SlotOrigin::Found)
}

/// Pipedrive's objects for what a slot holds.
fn objects_of(kind: SlotKind) -> Option<&'static str> {
    match kind {
        SlotKind::Person => Some(PERSONS),
        SlotKind::Company => Some(ORGANIZATIONS),
        SlotKind::Task => Some(ACTIVITIES),
        SlotKind::Deal => Some(DEALS),
        SlotKind::Lead => Some(LEADS),
        SlotKind::Owner => None,
    }
}

/// The objects and the id; a slot must have been resolved by the host.
fn known(object: &ObjectRef) -> Result<(&'static str, &str), SendFailure> {
    let (kind, id) = bound(object)?;
    let objects = objects_of(kind).ok_or_else(|| defect("an owner is no object that can be written"))?;
    if is_id(id.as_str()) { Ok((objects, id.as_str())) } else { Err(SendFailure::Gone) }
}

/// An id as v2 wants it: a number, never a text.
fn number(id: &str) -> Result<u64, SendFailure> {
    id.parse().map_err(|_| {
        let message = "an id of Pipedrive's is no number";
        Fault::new(FaultClass::Rejected, message)
            .advise("look at where it comes from, then retry the write")
            .into()
    })
}

/// Reads an object that is to be written; it may be gone.
async fn read(target: &PipedriveTarget, object: &ObjectRef, lane: CallLane) -> Result<Object, SendFailure> {
    let (objects, id) = known(object)?;
    crate::find::living(&*target.http, objects, id, lane).await?.ok_or(SendFailure::Gone)
}
