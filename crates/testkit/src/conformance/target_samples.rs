//! Writes to try: one of each kind, about objects of their own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use usher_connector::{Capability, FaultClass, OwnerRead, SendFailure, Target, VerifyBy, Write, Written};
use usher_model::{
    ConnectionName, EffectBody, EffectKey, EffectKind, ExternalId, IdentityKey, IdentityKind, ObjectRef,
    OwnerChange, Slot, SlotKind,
};

use super::CANARY;
use super::bench::Bench;
use super::rig::TargetWorld;

/// What became of one write.
pub(super) type Sent = Result<Written, SendFailure>;

static NEXT: AtomicU32 = AtomicU32::new(1);

pub(super) fn target(bench: &Bench) -> anyhow::Result<(&dyn Target, &dyn TargetWorld)> {
    let target = bench.connection.target.as_deref().context("no target")?;
    Ok((target, bench.world().target().context("the rig knows no target")?))
}

/// Kinds whose unclear outcome can be looked up.
pub(super) fn verifiable(target: &dyn Target) -> impl Iterator<Item = Capability> {
    target.capabilities().into_iter().filter(|capability| capability.verify != VerifyBy::Nothing)
}

/// Whether the target can do this kind of write.
pub(super) fn can(target: &dyn Target, kind: EffectKind) -> bool {
    target.capabilities().iter().any(|capability| capability.kind == kind)
}

/// Sends one write.
pub(super) async fn send(target: &dyn Target, write: &Write) -> anyhow::Result<Sent> {
    let mut sent = target.send(std::slice::from_ref(write)).await;
    match (sent.pop(), sent.len()) {
        (Some(sent), 0) => Ok(sent),
        (_, more) => bail!("{} outcomes for one write", more + 1),
    }
}

/// The class of a failure; `None` for success and for failures that are no fault.
pub(super) fn class(bench: &Bench, sent: &Sent) -> Option<FaultClass> {
    match sent {
        Err(SendFailure::Fault(fault)) => Some(bench.class(fault)),
        _ => None,
    }
}

/// An object known by id.
pub(super) fn by_id(kind: SlotKind, id: &ExternalId) -> ObjectRef {
    ObjectRef::Id { kind, id: id.clone() }
}

/// A write of that kind that nobody has tried before.
pub(super) fn write(bench: &Bench, kind: EffectKind) -> anyhow::Result<Write> {
    let (target, world) = target(bench)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let body = match kind {
        EffectKind::EnsurePerson => person(number),
        EffectKind::EnsureCompany => EffectBody::EnsureCompany {
            slot: slot(SlotKind::Company, number),
            name: format!("Company {number}"),
            domain: Some(format!("company-{number}.example")),
            person: by_id(SlotKind::Person, &world.make(SlotKind::Person)),
        },
        EffectKind::Associate => EffectBody::Associate {
            from: by_id(SlotKind::Person, &world.make(SlotKind::Person)),
            to: by_id(SlotKind::Company, &world.make(SlotKind::Company)),
        },
        EffectKind::EnsureInquiry => EffectBody::EnsureInquiry {
            slot: slot(target.carrier(), number),
            title: format!("{CANARY} {number}"),
            person: by_id(SlotKind::Person, &world.make(SlotKind::Person)),
            company: Some(by_id(SlotKind::Company, &world.make(SlotKind::Company))),
            owner: owner(world)?,
            entered_since: None,
        },
        EffectKind::UpdateObject => {
            update(by_id(target.carrier(), &world.make(target.carrier())), &owner(world)?)
        }
        EffectKind::CreateTask => {
            let mut about = vec![by_id(SlotKind::Person, &world.make(SlotKind::Person))];
            if target.carrier().is_inquiry() {
                about.insert(0, by_id(target.carrier(), &world.make(target.carrier())));
            }
            task(bench, number, about, &owner(world)?)
        }
        EffectKind::ReassignTask => EffectBody::ReassignTask {
            task: by_id(SlotKind::Task, &world.make(SlotKind::Task)),
            to: owner(world)?,
        },
        EffectKind::CloseTask => EffectBody::CloseTask {
            task: by_id(SlotKind::Task, &world.make(SlotKind::Task)),
            only_untouched: false,
        },
        EffectKind::ArchiveObject => {
            EffectBody::ArchiveObject { target: by_id(SlotKind::Person, &world.make(SlotKind::Person)) }
        }
    };
    Ok(Write { key: key(number), body, owner_read: compared(), owner: None })
}

/// The owner was not read; the write is good for a minute.
pub(super) fn compared() -> OwnerRead {
    OwnerRead { fresh: false, until: Instant::now() + Duration::from_secs(60) }
}

/// The key that a test's write number has.
pub(super) fn key(number: u32) -> EffectKey {
    EffectKey::new(format!("c0f0{number:028x}"))
}

/// Surely before any write of the suite was sent, and within what a look at the latest changes covers.
pub(super) fn since(bench: &Bench) -> Timestamp {
    bench.world().now() - SignedDuration::from_mins(5)
}

/// The owner that writes ask for.
pub(super) fn owner(world: &dyn TargetWorld) -> anyhow::Result<ExternalId> {
    world.owners().into_iter().next().context("the rig has no owner")
}

/// An owner write on an object without an owner.
pub(super) fn update(target: ObjectRef, owner: &ExternalId) -> EffectBody {
    let is_person = matches!(target, ObjectRef::Id { kind: SlotKind::Person, .. });
    let name = is_person.then(|| ("last_name".to_owned(), json!(format!("{CANARY}son"))));
    EffectBody::UpdateObject {
        target,
        owner: Some(OwnerChange { to: Some(owner.clone()), ..OwnerChange::default() }),
        fields: name.into_iter().collect(),
        slot: None,
        after: None,
    }
}

/// A task about these objects.
pub(super) fn task(bench: &Bench, number: u32, about: Vec<ObjectRef>, owner: &ExternalId) -> EffectBody {
    EffectBody::CreateTask {
        slot: slot(SlotKind::Task, number),
        subject: format!("Call {CANARY} {number}"),
        body: format!("{CANARY} asked for an offer\nPlease <call> & answer"),
        due: bench.world().now(),
        owner: owner.clone(),
        about,
        after: None,
    }
}

fn person(number: u32) -> EffectBody {
    let email = format!("{CANARY}-{number}@acme.example");
    let fields: [(&str, Value); 3] =
        [("email", json!(email)), ("first_name", json!("Ana")), ("last_name", json!(format!("{CANARY}son")))];
    EffectBody::EnsurePerson {
        slot: slot(SlotKind::Person, number),
        keys: vec![IdentityKey { kind: IdentityKind::Email, value: email }],
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

fn slot(kind: SlotKind, number: u32) -> Slot {
    Slot { connection: ConnectionName::new("under-test"), kind, of: format!("test-{number}") }
}
