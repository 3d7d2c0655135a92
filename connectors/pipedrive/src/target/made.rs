//! Making what is about others, with an owner: what it is about may be gone, and it may come out without its owner.
//!
//! Pipedrive gives what nobody gave to anybody to the token's user, so that user stands for nobody. Any other owner is
//! somebody's choice, made since.

use serde_json::json;
use usher_connector::{CallLane, Fault, FaultClass, Request, SendFailure, Write};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind};

use super::{PipedriveTarget, known, number};
use crate::api;
use crate::find;
use crate::wire::{self, Object};

/// Makes the object of that write; the note says what was left out of it. Which refusal tells that something is gone, Pipedrive's
/// documents leave open, so after any refusal each end is read. A company that is gone is left out, for who asks is known
/// without it; any other is named.
pub(super) async fn make(
    target: &PipedriveTarget,
    item: &Write,
    request: impl Fn(&Write) -> Result<Request, SendFailure> + Send + Sync,
) -> Result<(Object, Option<String>), SendFailure> {
    let failed = match target.write(request(item)?).await {
        Err(failed) if is_refusal(&failed) => failed,
        made => return made.map(|made| (made, None)),
    };
    match lost(target, item).await? {
        Some((SlotKind::Company, id)) => {
            let made = target.write(request(&without_company(item))?).await?;
            Ok((made, Some(format!("left out: organization {id} (it was deleted in Pipedrive)"))))
        }
        Some((kind, id)) => Err(SendFailure::Lost { kind, id }),
        None => Err(match failed {
            SendFailure::Gone => {
                let message = "Pipedrive does not find something that is to be made, though all that it is about is there";
                Fault::new(FaultClass::Rejected, message)
                    .advise("look whether the connection's user may see it, then retry the write")
                    .into()
            }
            failed => failed,
        }),
    }
}

/// The vendor understood the write and does not take it.
pub(super) fn is_refusal(failed: &SendFailure) -> bool {
    match failed {
        SendFailure::Fault(fault) => fault.class() == FaultClass::Rejected,
        other => matches!(other, SendFailure::Gone),
    }
}

/// The first of the objects that a write is about that is gone, a company last.
async fn lost(target: &PipedriveTarget, item: &Write) -> Result<Option<(SlotKind, ExternalId)>, SendFailure> {
    let ends = item.body.refs().filter_map(|end| match end {
        ObjectRef::Id { kind, id } => Some((*kind, id)),
        ObjectRef::Slot { .. } => None,
    });
    let mut ends: Vec<(SlotKind, &ExternalId)> = ends.collect();
    ends.sort_by_key(|(kind, _)| *kind == SlotKind::Company);
    for (kind, id) in ends {
        let end = ObjectRef::Id { kind, id: id.clone() };
        let (objects, number) = known(&end)?;
        if find::living(&*target.http, objects, number, CallLane::Write).await?.is_none() {
            return Ok(Some((kind, id.clone())));
        }
    }
    Ok(None)
}

fn without_company(item: &Write) -> Write {
    let mut item = item.clone();
    match &mut item.body {
        EffectBody::EnsureInquiry { company, .. } => *company = None,
        EffectBody::CreateTask { about, .. } => {
            about.retain(|end| !matches!(end, ObjectRef::Id { kind: SlotKind::Company, .. }));
        }
        _ => {}
    }
    item
}

/// Sees to it that what was made has its owner: one that came out without is given it, once. One that is still without
/// must not end as refused: trying the write again would make a second one.
pub(super) async fn with_owner(
    target: &PipedriveTarget,
    objects: &str,
    made: &Object,
    owner: &str,
) -> Result<(), Fault> {
    if has_owner(made, owner) {
        return Ok(());
    }
    let id = wire::id(made).unwrap_or_default();
    // It exists: what is unclear now is looked up, never made again.
    let unclear = |fault: Fault| {
        let message = "Pipedrive does not say whether what it made has its owner";
        Fault::new(FaultClass::OutcomeUnknown, message).because(fault.to_string())
    };
    let given = is_bare(target, made, CallLane::Write).await.map_err(unclear)?
        && give(target, objects, &id, owner).await.map_err(unclear)?;
    if given { Ok(()) } else { Err(ownerless(objects, &id)) }
}

/// What a lost answer made may have come out without its owner too.
pub(super) async fn is_owned(
    target: &PipedriveTarget,
    objects: &str,
    made: &Object,
    owner: &str,
) -> Result<(), Fault> {
    if has_owner(made, owner) || !is_bare(target, made, CallLane::Verify).await? {
        return Ok(());
    }
    Err(ownerless(objects, &wire::id(made).unwrap_or_default()))
}

async fn is_bare(target: &PipedriveTarget, made: &Object, lane: CallLane) -> Result<bool, Fault> {
    let Some(shown) = wire::owner(made)? else { return Ok(true) };
    Ok(shown.as_str() == target.me.id(&*target.http, lane).await?.to_string())
}

/// True if it has it now, false if it may not have it.
async fn give(target: &PipedriveTarget, objects: &str, id: &str, owner: &str) -> Result<bool, Fault> {
    let Ok(owner_id) = number(owner) else { return Ok(false) };
    let request = api::change(objects, id, &json!({ "owner_id": owner_id }))?;
    match target.write(request).await {
        Ok(after) => Ok(has_owner(&after, owner)),
        Err(SendFailure::Fault(fault)) if fault.class() != FaultClass::Rejected => Err(fault),
        Err(_) => Ok(false),
    }
}

pub(super) fn has_owner(object: &Object, owner: &str) -> bool {
    wire::refers(object, "owner_id").as_deref() == Some(owner)
}

fn ownerless(objects: &str, id: &str) -> Fault {
    let one = if objects == api::ACTIVITIES { "activity" } else { objects.trim_end_matches('s') };
    let message = format!("Pipedrive created {one} {id}, but it does not show the owner that was asked for");
    Fault::new(FaultClass::Defect, message).advise(format!(
        "assign the {one} in Pipedrive and check that no automation changes it; then `usher failed retry` finds it \
         and makes no second one"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use http::Method;

    use super::*;
    use usher_model::Slot;

    use crate::fields::Fields;
    use crate::target::{Carrier, Custom};
    use crate::testing::vendor;

    /// What becomes of a lead that came out with that owner, at a vendor that answers the repair so.
    async fn settled(shown: Option<u64>, repair: u16) -> (Result<(), Fault>, usize) {
        let script = vendor(move |request| match request.method {
            Method::PATCH => {
                (repair, json!({ "success": repair == 200, "data": { "id": 7, "owner_id": 11 } }))
            }
            _ => (200, json!({ "success": true, "data": { "id": 1 } })),
        });
        let fields = Arc::new(Fields::new(script.clone()));
        let target = PipedriveTarget::new(
            script.clone(),
            fields,
            Arc::default(),
            Custom::default(),
            Carrier::default(),
        );
        let made = json!({ "id": 7, "owner_id": shown });
        let ended = with_owner(&target, api::LEADS, made.as_object().unwrap(), "11").await;
        (ended, script.writes().len())
    }

    fn class(ended: &Result<(), Fault>) -> Option<FaultClass> {
        ended.as_ref().err().map(Fault::class)
    }

    #[tokio::test]
    async fn a_bare_one_is_given_its_owner_and_what_is_unclear_is_looked_up() {
        let bare = [None, Some(1)];
        for shown in bare {
            let (ended, writes) = settled(shown, 200).await;
            assert_eq!((class(&ended), writes), (None, 1));
            for unclear in [429, 503] {
                let (ended, _) = settled(shown, unclear).await;
                assert_eq!(class(&ended), Some(FaultClass::OutcomeUnknown), "{unclear}: {ended:?}");
            }
            assert_eq!(class(&settled(shown, 400).await.0), Some(FaultClass::Defect), "it may not have it");
        }
    }

    #[tokio::test]
    async fn fm_049_an_owner_whom_somebody_else_chose_is_left_alone() {
        let (ended, writes) = settled(Some(12), 200).await;
        assert_eq!((class(&ended), writes), (Some(FaultClass::Defect), 0));
        let (ended, writes) = settled(Some(11), 200).await;
        assert_eq!((class(&ended), writes), (None, 0));
    }

    /// What becomes of a task about a person who is there or not, at a vendor that answers its creation by "not found".
    async fn not_found(there: bool) -> SendFailure {
        let script = vendor(move |request| match (request.method == Method::POST, there) {
            (true, _) | (false, false) => (404, json!({ "success": false, "error": "not found" })),
            (false, true) => (200, json!({ "success": true, "data": { "id": 7, "name": "Ana" } })),
        });
        let fields = Arc::new(Fields::new(script.clone()));
        let target =
            PipedriveTarget::new(script, fields, Arc::default(), Custom::default(), Carrier::default());
        let body = EffectBody::CreateTask {
            subject: "Call Ana".to_owned(),
            body: String::new(),
            due: jiff::Timestamp::UNIX_EPOCH,
            owner: "11".into(),
            about: vec![ObjectRef::Id { kind: SlotKind::Person, id: "7".into() }],
            after: None,
            slot: Slot { connection: "pipedrive-main".into(), kind: SlotKind::Task, of: "e".to_owned() },
        };
        let read = usher_connector::OwnerRead { fresh: false, until: std::time::Instant::now() };
        let item = Write { key: usher_model::EffectKey::new("k"), body, owner_read: read, owner: None };
        let request = |_: &Write| Ok(api::create(api::ACTIVITIES, &json!({}))?);
        make(&target, &item, request).await.unwrap_err()
    }

    #[tokio::test]
    async fn fm_052_not_found_names_who_is_gone_and_nobody_who_is_there() {
        let failed = not_found(false).await;
        assert!(matches!(&failed, SendFailure::Lost { kind: SlotKind::Person, .. }), "{failed:?}");
        let failed = not_found(true).await;
        let SendFailure::Fault(fault) = &failed else { panic!("nobody is gone: {failed:?}") };
        assert_eq!(fault.class(), FaultClass::Rejected);
    }
}
