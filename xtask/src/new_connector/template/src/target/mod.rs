//! The target role: which writes there are, and the way from a write to its outcome. Skeleton takes them one by one.

mod people;
mod tasks;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use usher_connector::{
    Capability, Fault, FaultClass, Http, KeyProperty, OwnerEntry, Request, Response, SendFailure, Target,
    Verdict, VerifyBy, Write, Written, bound,
};
use usher_model::{EffectBody, EffectKind, ExternalId, ObjectRef, ObjectType, SlotKind, SlotOrigin};

use crate::api;
use crate::wire::{Deleted, Person, Refusal};

const PEOPLE: &str = "/people";
const TASKS: &str = "/tasks";

/// The outcome of one write.
type Sent = Result<Written, SendFailure>;

/// The target role.
#[derive(Debug)]
pub(crate) struct SkeletonTarget {
    http: Arc<dyn Http>,
}

impl SkeletonTarget {
    pub(crate) fn new(http: Arc<dyn Http>) -> Self {
        Self { http }
    }

    async fn send_one(&self, item: &Write) -> Sent {
        match &item.body {
            EffectBody::EnsurePerson { .. } => people::ensure(self, item).await,
            EffectBody::UpdateObject { .. } => people::update(self, item).await,
            EffectBody::CreateTask { .. } => tasks::create(self, item).await,
            EffectBody::ReassignTask { to, .. } => tasks::reassign(self, item, to).await,
            EffectBody::CloseTask { task, only_untouched } => {
                tasks::close(self, item, task, *only_untouched).await
            }
            EffectBody::Associate { .. } => {
                self.write::<Person>(self.request(item)?).await?;
                Ok(Written::whole(None, SlotOrigin::Found))
            }
            EffectBody::ArchiveObject { .. } => {
                self.write::<Deleted>(self.request(item)?).await?;
                Ok(Written::whole(None, SlotOrigin::Found))
            }
            EffectBody::EnsureCompany { .. } | EffectBody::EnsureInquiry { .. } => Err(not_offered()),
        }
    }

    /// The one call that writes, as a dry run shows it too.
    fn request(&self, item: &Write) -> Result<Request, SendFailure> {
        match &item.body {
            EffectBody::EnsurePerson { .. } => people::creation(item),
            EffectBody::UpdateObject { .. } => people::change(item),
            EffectBody::Associate { from, to } => {
                let company = serde_json::json!({ "company": number(id_of(to)?)? });
                Ok(api::change(PEOPLE, id_of(from)?, &company)?)
            }
            EffectBody::CreateTask { .. } => tasks::creation(item),
            EffectBody::ReassignTask { .. } | EffectBody::CloseTask { .. } => tasks::change(item),
            EffectBody::ArchiveObject { target } => {
                let path = if bound(target)?.0 == SlotKind::Task { TASKS } else { PEOPLE };
                Ok(api::delete(path, id_of(target)?))
            }
            EffectBody::EnsureCompany { .. } | EffectBody::EnsureInquiry { .. } => Err(not_offered()),
        }
    }

    /// Makes the call and hands out the object as it is afterwards.
    async fn write<T: DeserializeOwned>(&self, request: Request) -> Result<T, SendFailure> {
        let answer = self.http.send(request).await?;
        refused(&answer)?;
        // Something happened, and the answer does not say what.
        answer.json().map_err(|fault| fault.reclassed(FaultClass::OutcomeUnknown).into())
    }

    /// Reads an object that is to be written or verified; `None` if it is gone.
    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<Option<T>, Fault> {
        let answer = self.http.send(request).await?;
        if answer.status == 404 { Ok(None) } else { answer.json().map(Some) }
    }
}

#[async_trait]
impl Target for SkeletonTarget {
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType> {
        match kind {
            SlotKind::Person => Some(ObjectType::new("people")),
            SlotKind::Company => Some(ObjectType::new("companies")),
            SlotKind::Task => Some(ObjectType::new("tasks")),
            SlotKind::Lead | SlotKind::Deal | SlotKind::Owner => None,
        }
    }

    fn carrier(&self) -> SlotKind {
        SlotKind::Person
    }

    fn capabilities(&self) -> Vec<Capability> {
        let can = |kind, object, verify| Capability { kind, object, max_batch: 1, keyed: false, verify };
        vec![
            // Skeleton keeps addresses unique and refuses a second person with one.
            Capability { keyed: true, ..can(EffectKind::EnsurePerson, "people", VerifyBy::UniqueKey) },
            can(EffectKind::Associate, "people → companies", VerifyBy::Id),
            can(EffectKind::UpdateObject, "people", VerifyBy::Id),
            can(EffectKind::CreateTask, "tasks", VerifyBy::ParentListing),
            can(EffectKind::ReassignTask, "tasks", VerifyBy::Id),
            can(EffectKind::CloseTask, "tasks", VerifyBy::Id),
            can(EffectKind::ArchiveObject, "people, tasks", VerifyBy::Id),
        ]
    }

    async fn send(&self, writes: &[Write]) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(writes.len());
        for item in writes {
            sent.push(self.send_one(item).await);
        }
        sent
    }

    async fn verify(&self, write: &Write, _since: Timestamp) -> Result<Verdict, Fault> {
        verify::verify(self, write).await
    }

    async fn ours_since(&self, write: &Write, since: Timestamp) -> Result<Vec<ExternalId>, Fault> {
        tasks::ours_since(self, write, since).await
    }

    /// Addresses are unique and tasks have their marker: no property needs to carry keys.
    async fn key_properties(&self, _create: bool) -> Result<Vec<KeyProperty>, Fault> {
        Ok(Vec::new())
    }

    /// Skeleton keeps no history of owners.
    fn history_batch(&self) -> usize {
        0
    }

    async fn owner_history(&self, objects: &[(SlotKind, ExternalId)]) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
        Ok(vec![Vec::new(); objects.len()])
    }

    fn describe(&self, writes: &[Write]) -> Result<Vec<Request>, Fault> {
        Ok(writes.iter().filter_map(|item| self.request(item).ok()).collect())
    }
}

/// What a refusal means that `judge` let through.
fn refused(answer: &Response) -> Result<(), SendFailure> {
    if answer.is_success() {
        return Ok(());
    }
    let code = Refusal::of(answer).map_or_else(String::new, |refusal| refusal.code().to_owned());
    if answer.status == 404 {
        return Err(SendFailure::Gone);
    }
    if answer.status == 409 {
        // Nothing was done, and the next try finds it.
        return Err(
            Fault::new(FaultClass::Transient, "somebody else has just made the same in Skeleton").into()
        );
    }
    if code == "owner_inactive" {
        return Err(SendFailure::OwnerRejected {
            reason: "Skeleton says that the user is not active".to_owned(),
        });
    }
    Err(Fault::new(FaultClass::Rejected, format!("Skeleton refused the write: {code}"))
        .advise("correct the value in Skeleton or in the mapping, then retry it")
        .into())
}

fn not_offered() -> SendFailure {
    Fault::new(FaultClass::Defect, "a write was planned that the connector does not offer").into()
}

/// A write that was taken and did not come true.
fn dropped(what: &str) -> SendFailure {
    Fault::new(FaultClass::Rejected, format!("Skeleton took the write and kept another owner of the {what}"))
        .advise("check that no automation changes it, then retry the write")
        .into()
}

fn id_of(object: &ObjectRef) -> Result<&str, Fault> {
    Ok(bound(object)?.1.as_str())
}

/// An id as Skeleton wants it: a number.
fn number(id: &str) -> Result<u64, Fault> {
    id.parse().map_err(|_| Fault::new(FaultClass::Rejected, "an id of Skeleton's is no number"))
}

fn external(id: u64) -> ExternalId {
    ExternalId::new(id.to_string())
}

/// Whether an owner that was asked for stands.
fn is_owner(stands: Option<u64>, wanted: Option<&ExternalId>) -> bool {
    stands.map(external).as_ref() == wanted
}
