//! What can be taken back, as both backends read it.

use std::collections::HashMap;

use usher_model::{EffectBody, ExternalId, LeadId, ObjectRef, OwnerChange, Turn};

use crate::codec::{from_json, id, instant, lead_state, mode, slot_kind, slot_name};
use crate::fault::Fault;
use crate::undoing::{UndoLead, WrittenOwner};

/// A lead: id, state, path, when it was decided, whether a write is unsettled, the person's later lead.
pub(crate) type DecidedRow = (String, String, String, i64, bool, Option<String>);
/// A lead and the task that was made for it.
pub(crate) type TaskRow = (String, Option<String>);
/// A lead, an update that is done, and the owner that it confirmed, where others waited for that.
pub(crate) type UpdateRow = (String, String, Option<String>);
/// A lead, and kind and id of an object that was created for it.
pub(crate) type CreatedRow = (String, String, String);
/// A lead and its ledger line: pool, mode, decision, instant, rep, count, reason, shares.
pub(crate) type TurnRow = (String, String, String, String, i64, String, i64, String, String);

/// Leads by id, to be filled row by row.
pub(crate) struct Leads {
    leads: Vec<UndoLead>,
    places: HashMap<LeadId, usize>,
}

impl Leads {
    pub(crate) fn of(rows: Vec<DecidedRow>) -> Result<Self, Fault> {
        let leads = rows.into_iter().map(undo_lead).collect::<Result<Vec<_>, _>>()?;
        let places = leads.iter().enumerate().map(|(place, lead)| (lead.lead, place)).collect();
        Ok(Self { leads, places })
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.leads.iter().map(|lead| lead.lead.to_string()).collect()
    }

    fn lead(&mut self, lead: &str) -> Result<Option<&mut UndoLead>, Fault> {
        let place = self.places.get(&id(lead)?);
        Ok(place.and_then(|place| self.leads.get_mut(*place)))
    }

    pub(crate) fn tasks(&mut self, rows: Vec<TaskRow>) -> Result<(), Fault> {
        for (lead, task) in rows {
            if let Some(lead) = self.lead(&lead)? {
                lead.tasks.extend(task.map(ExternalId::from));
            }
        }
        Ok(())
    }

    pub(crate) fn owners(
        &mut self,
        rows: Vec<OwnerRow>,
        slots: &HashMap<String, String>,
    ) -> Result<(), Fault> {
        for OwnerRow { lead, target, change } in rows {
            let object = match target {
                ObjectRef::Id { kind, id } => Some((kind, id)),
                ObjectRef::Slot { slot } => {
                    slots.get(&slot_name(&slot)).map(|id| (slot.kind, ExternalId::new(id.clone())))
                }
            };
            if let (Some(lead), Some(object)) = (self.lead(&lead)?, object) {
                let OwnerChange { expected: before, to: owner, restores: restored, .. } = change;
                lead.owners.push(WrittenOwner { object, before, owner, restored });
            }
        }
        Ok(())
    }

    pub(crate) fn created(&mut self, rows: Vec<CreatedRow>) -> Result<(), Fault> {
        for (lead, kind, id) in rows {
            let object = (slot_kind(&kind)?, id.into());
            if let Some(lead) = self.lead(&lead)? {
                lead.created.push(object);
            }
        }
        Ok(())
    }

    pub(crate) fn turns(mut self, rows: Vec<TurnRow>) -> Result<Vec<UndoLead>, Fault> {
        for (lead, pool, ledger, decision, at, rep, count, reason, shares) in rows {
            let turn = Turn {
                pool,
                mode: mode(&ledger)?,
                decision: id(&decision)?,
                at: instant(at)?,
                rep: rep.into(),
                shares: from_json("turn", &shares)?,
                count: i32::try_from(count).map_err(|error| Fault::unreadable("turn", error))?,
                reason,
            };
            if let Some(lead) = self.lead(&lead)? {
                lead.turns.push(turn);
            }
        }
        Ok(self.leads)
    }
}

fn undo_lead((lead, state, path, at, unsettled, later): DecidedRow) -> Result<UndoLead, Fault> {
    Ok(UndoLead {
        lead: id(&lead)?,
        state: lead_state(&state)?,
        path,
        decided_at: instant(at)?,
        unsettled,
        later: later.as_deref().map(id).transpose()?,
        owners: Vec::new(),
        tasks: Vec::new(),
        created: Vec::new(),
        turns: Vec::new(),
    })
}

/// An owner that was written.
pub(crate) struct OwnerRow {
    lead: String,
    target: ObjectRef,
    change: OwnerChange,
}

impl OwnerRow {
    /// The writes among `rows` that set an owner; one that found another, who kept the object, has set none.
    pub(crate) fn of(rows: Vec<UpdateRow>) -> Result<Vec<Self>, Fault> {
        let mut owners = Vec::with_capacity(rows.len());
        for (lead, body, confirmed) in rows {
            if let EffectBody::UpdateObject { target, owner: Some(change), slot, .. } =
                from_json("effect", &body)?
            {
                let wrote = confirmed.as_deref() == change.to.as_ref().map(ExternalId::as_str);
                if slot.is_none() || wrote {
                    owners.push(Self { lead, target, change });
                }
            }
        }
        Ok(owners)
    }

    /// The slot that holds the object, by name.
    pub(crate) fn slot(&self) -> Option<String> {
        match &self.target {
            ObjectRef::Slot { slot } => Some(slot_name(slot)),
            ObjectRef::Id { .. } => None,
        }
    }
}
