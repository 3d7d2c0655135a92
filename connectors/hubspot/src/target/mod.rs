//! The target role: which writes there are, and the way from a write to its outcome.

mod batch;
mod close;
mod companies;
mod entered;
mod history;
mod inquiries;
mod keys;
mod made;
mod persons;
mod plan;
mod rules;
mod tasks;
mod update;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{
    Capability, Fault, FaultClass, Http, KeyProperty, OwnerEntry, Request, SendFailure, Target, Verdict,
    VerifyBy, Write, Written, bound,
};
use usher_model::{EffectBody, EffectKind, ExternalId, ObjectRef, ObjectType, SlotKind, SlotOrigin};

use crate::api::{self, BATCH, BURST, COMPANIES, CONTACTS, DEALS, HISTORY_BATCH, LEADS, TASKS};
use batch::{Batch, Outcome, Parts};
pub(crate) use inquiries::{CHOICES, Carrier};
pub(crate) use keys::Keys;
use rules::Rules;

/// The target role.
pub(crate) struct HubSpotTarget {
    http: Arc<dyn Http>,
    keys: Keys,
    carrier: Carrier,
    rules: Rules,
}

impl HubSpotTarget {
    pub(crate) fn new(http: Arc<dyn Http>, keys: Keys, carrier: Carrier) -> Self {
        Self { http, keys, carrier, rules: Rules::default() }
    }

    /// The object type that is made for each inquiry, if one is.
    fn inquiries(&self) -> Option<&'static str> {
        object_name(self.carrier.kind).filter(|_| self.carrier.kind.is_inquiry())
    }

    /// The batches for these writes, which are of one kind.
    fn plan(&self, writes: &[Write], outcomes: &mut Outcomes) -> Vec<Batch> {
        match writes.first().map(|write| write.body.kind()) {
            Some(EffectKind::EnsureInquiry) => {
                inquiries::batches(&self.carrier, &self.keys, writes, outcomes)
            }
            _ => plan::all(&self.keys, writes, outcomes),
        }
    }
}

/// The outcome of one write.
type Sent = Result<Written, SendFailure>;

/// Outcomes of writes as they become known, by position.
struct Outcomes(Vec<Option<Sent>>);

impl Outcomes {
    fn new(writes: usize) -> Self {
        Self((0..writes).map(|_| None).collect())
    }

    fn set(&mut self, write: usize, outcome: Sent) {
        if let Some(place) = self.0.get_mut(write) {
            *place = Some(outcome);
        }
    }

    fn is_open(&self, write: usize) -> bool {
        self.0.get(write).is_some_and(Option::is_none)
    }

    /// Gives every write that has no outcome yet this fault.
    fn fail_open(&mut self, fault: &Fault) {
        for place in &mut self.0 {
            place.get_or_insert_with(|| Err(fault.repeat().into()));
        }
    }

    fn finish(mut self) -> Vec<Sent> {
        self.fail_open(&unmentioned());
        self.0.into_iter().flatten().collect()
    }
}

#[async_trait]
impl Target for HubSpotTarget {
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType> {
        object_name(kind).map(ObjectType::from)
    }

    fn carrier(&self) -> SlotKind {
        self.carrier.kind
    }

    fn capabilities(&self) -> Vec<Capability> {
        let can = |kind, object, verify| Capability { kind, object, max_batch: BATCH, keyed: false, verify };
        let made = |kind, object| match self.keys.of(object) {
            Some(_) => Capability { keyed: true, ..can(kind, object, VerifyBy::UniqueKey) },
            None => can(kind, object, VerifyBy::ParentListing),
        };
        let inquiry = self.inquiries().map(|object| made(EffectKind::EnsureInquiry, object));
        let carrier = self.inquiries().unwrap_or(CONTACTS);
        let mut all = vec![
            Capability {
                keyed: self.keys.contacts.is_some(),
                ..can(EffectKind::EnsurePerson, CONTACTS, VerifyBy::UniqueKey)
            },
            // A domain is not unique at HubSpot, and a search proves nothing: it is found among those of its person.
            Capability { max_batch: companies::MOST, ..made(EffectKind::EnsureCompany, COMPANIES) },
            Capability {
                keyed: true,
                ..can(EffectKind::Associate, "contacts, leads, deals → companies", VerifyBy::Id)
            },
            can(EffectKind::UpdateObject, carrier, VerifyBy::Id),
            made(EffectKind::CreateTask, TASKS),
            can(EffectKind::ReassignTask, TASKS, VerifyBy::Id),
            can(EffectKind::CloseTask, TASKS, VerifyBy::Id),
            can(EffectKind::ArchiveObject, "contacts, companies, tasks", VerifyBy::Id),
        ];
        all.extend(inquiry);
        all
    }

    async fn send(&self, writes: &[Write]) -> Vec<Sent> {
        let mut outcomes = Outcomes::new(writes.len());
        match writes.first().map(|write| write.body.kind()) {
            None => {}
            Some(EffectKind::EnsurePerson) => {
                persons::send(&*self.http, &self.keys, &self.rules, writes, &mut outcomes).await;
            }
            Some(EffectKind::EnsureCompany) => {
                companies::send(&*self.http, &self.keys, writes, &mut outcomes).await;
            }
            Some(EffectKind::CreateTask) => {
                let batches = self.plan(writes, &mut outcomes);
                made::send(&*self.http, &self.keys, TASKS, writes, batches, &mut outcomes).await;
            }
            Some(EffectKind::EnsureInquiry) => {
                entered::look(&*self.http, writes, &mut outcomes).await;
                // Both, where the settings were changed since some were planned.
                let batches = self.plan(writes, &mut outcomes).into_iter();
                let (leads, deals) = batches.partition(|batch| batch.path == api::batch(LEADS, "create"));
                made::send(&*self.http, &self.keys, LEADS, writes, leads, &mut outcomes).await;
                made::send(&*self.http, &self.keys, DEALS, writes, deals, &mut outcomes).await;
            }
            Some(EffectKind::UpdateObject | EffectKind::ReassignTask) => {
                let batches = plan::all(&self.keys, writes, &mut outcomes);
                update::send(&*self.http, writes, batches, &mut outcomes).await;
            }
            Some(EffectKind::CloseTask) => close::send(&*self.http, &self.keys, writes, &mut outcomes).await,
            Some(_) => {
                let batches = plan::all(&self.keys, writes, &mut outcomes);
                run(&*self.http, writes, batches, &mut outcomes).await;
            }
        }
        outcomes.finish()
    }

    async fn verify(&self, write: &Write, _since: Timestamp) -> Result<Verdict, Fault> {
        verify::verify(&*self.http, &self.keys, write).await
    }

    async fn key_properties(&self, create: bool) -> Result<Vec<KeyProperty>, Fault> {
        let companies = self.keys.companies.as_ref().map(|_| COMPANIES);
        let objects = [CONTACTS, TASKS].into_iter().chain(companies).chain(self.inquiries());
        self.keys.properties(&*self.http, objects, create).await
    }

    fn history_batch(&self) -> usize {
        HISTORY_BATCH
    }

    async fn owner_history(&self, objects: &[(SlotKind, ExternalId)]) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
        history::owners(&*self.http, objects).await
    }

    async fn ours_since(&self, write: &Write, since: Timestamp) -> Result<Vec<ExternalId>, Fault> {
        verify::ours_since(&*self.http, write, since).await
    }

    fn describe(&self, writes: &[Write]) -> Result<Vec<Request>, Fault> {
        let mut outcomes = Outcomes::new(writes.len());
        let batches = self.plan(writes, &mut outcomes);
        batches.iter().map(Batch::request).collect()
    }
}

/// Sends batches whose rows need no more than the common reading of an answer.
async fn run(http: &dyn Http, writes: &[Write], batches: Vec<Batch>, outcomes: &mut Outcomes) {
    for batch in batches {
        let mut parts = Parts::of(batch);
        while let Some(rows) = parts.next() {
            run_part(http, writes, &mut parts, rows, outcomes).await;
        }
    }
}

async fn run_part(
    http: &dyn Http,
    writes: &[Write],
    parts: &mut Parts,
    rows: Vec<batch::Row>,
    outcomes: &mut Outcomes,
) {
    for (write, outcome) in parts.send(http, rows).await {
        let sent = match outcome {
            Outcome::Done(_) => Ok(done(writes.get(write))),
            other => Err(failure(other)),
        };
        outcomes.set(write, sent);
    }
}

/// What a write binds that makes no object: an owner slot, if any, holds the owner.
fn done(write: Option<&Write>) -> Written {
    let id = match write.map(|write| &write.body) {
        Some(EffectBody::UpdateObject { owner: Some(change), slot: Some(_), .. }) => change.to.clone(),
        _ => None,
    };
    Written::whole(id, SlotOrigin::Found)
}

/// What an outcome other than done means to the host.
fn failure(outcome: Outcome) -> SendFailure {
    match outcome {
        Outcome::Refused(error) if error.is_not_found() => SendFailure::Gone,
        Outcome::Refused(error) if error.is_about_owner() => {
            SendFailure::OwnerRejected { reason: error.words() }
        }
        Outcome::Refused(error) if error.is("RATE_LIMITS") || error.is("RATE_LIMIT") => {
            let class = FaultClass::Throttled { limit: BURST, retry_after: None };
            Fault::new(class, "HubSpot left a row undone for its rate limit").into()
        }
        Outcome::Refused(error) if error.is("INTERNAL_ERROR") => unmentioned().into(),
        Outcome::Refused(error) => {
            let message = format!("HubSpot refused the write: {}", error.words());
            Fault::new(FaultClass::Rejected, message)
                .advise("correct the value in HubSpot or in the mapping, then retry it")
                .into()
        }
        Outcome::Failed(fault) => fault.into(),
        Outcome::Done(_) | Outcome::Unmentioned => unmentioned().into(),
    }
}

fn unmentioned() -> Fault {
    Fault::new(FaultClass::OutcomeUnknown, "HubSpot's answer does not say what became of the write")
}

fn defect(message: &str) -> SendFailure {
    Fault::new(FaultClass::Defect, message).into()
}

/// HubSpot's object type for what a slot holds.
fn object_name(kind: SlotKind) -> Option<&'static str> {
    match kind {
        SlotKind::Person => Some(CONTACTS),
        SlotKind::Company => Some(COMPANIES),
        SlotKind::Lead => Some(LEADS),
        SlotKind::Deal => Some(DEALS),
        SlotKind::Task => Some(TASKS),
        SlotKind::Owner => None,
    }
}

/// The object's type and id; a slot must have been resolved by the host.
fn known(object: &ObjectRef) -> Result<(&'static str, &ExternalId), SendFailure> {
    let (kind, id) = bound(object)?;
    Ok((object_name(kind).ok_or_else(|| defect("an owner is no object that can be written"))?, id))
}

/// Writes of one call are of one kind.
fn mixed(body: &EffectBody) -> SendFailure {
    defect(&format!("a {} was handed over among writes of another kind", body.kind().as_str()))
}

#[cfg(test)]
mod tests;
