//! What can be taken back, on SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use usher_model::{EffectBody, ExternalId, LeadId, Mode, ObjectRef, Turn};

use super::SqliteStore;
use super::codec::{effect_kind, from_json, id, instant, lead_state, list, mode, ms, slot_name, text};
use super::fault::Fault;
use crate::error::StoreError;
use crate::ownership::Owned;
use crate::undoing::{UndoFilter, UndoLead, Undoing, WrittenOwner};

#[async_trait]
impl Undoing for SqliteStore {
    async fn undoable(&self, filter: &UndoFilter) -> Result<Vec<UndoLead>, StoreError> {
        let filter = filter.clone();
        self.read("lists what can be undone", move |conn| Box::pin(undoable(conn, filter))).await
    }
}

async fn undoable(conn: &mut SqliteConnection, filter: UndoFilter) -> Result<Vec<UndoLead>, Fault> {
    let mut leads = decided(conn, filter).await?;
    let ids = list(leads.iter().map(|lead| lead.lead.to_string()))?;
    let places: HashMap<LeadId, usize> =
        leads.iter().enumerate().map(|(place, lead)| (lead.lead, place)).collect();
    for (lead, kind, external_id, body) in done(conn, &ids).await? {
        let Some(lead) = places.get(&lead).and_then(|place| leads.get_mut(*place)) else { continue };
        match kind {
            usher_model::EffectKind::CreateTask => lead.tasks.extend(external_id),
            usher_model::EffectKind::UpdateObject => lead.owners.extend(written_owner(conn, &body).await?),
            _ => {}
        }
    }
    for (lead, created) in created(conn, &ids).await? {
        if let Some(lead) = places.get(&lead).and_then(|place| leads.get_mut(*place)) {
            lead.created = Some(created);
        }
    }
    for (lead, turn) in turns(conn, &ids).await? {
        if let Some(lead) = places.get(&lead).and_then(|place| leads.get_mut(*place)) {
            lead.turns.push(turn);
        }
    }
    Ok(leads)
}

async fn decided(conn: &mut SqliteConnection, filter: UndoFilter) -> Result<Vec<UndoLead>, Fault> {
    type Found = (String, String, String, i64, bool, Option<String>);
    let rows: Vec<Found> = sqlx::query_as(
        "SELECT l.id, l.state, d.path, d.at, \
           EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.state IN ('sending', 'unknown')), \
           (SELECT n.id FROM lead n WHERE n.person = l.person AND n.seq > l.seq AND n.mode = 'live' \
            AND coalesce(n.close_reason, '') != 'suppressed' ORDER BY n.seq DESC LIMIT 1) \
         FROM decision d CROSS JOIN lead l ON l.id = d.lead AND l.mode = 'live' \
         WHERE d.at >= ?1 AND d.at < ?2 AND (?3 IS NULL OR d.path = ?3 OR substr(d.path, 1, length(?3) + 3) = ?3 || ' → ') \
         AND (?4 IS NULL OR d.lead = ?4) AND d.body ->> '$.trigger' != 'undone' \
         AND d.seq = (SELECT max(seq) FROM decision WHERE lead = d.lead) \
         AND NOT (l.state = 'closed' AND l.close_reason = 'suppressed') \
         ORDER BY d.seq DESC LIMIT ?5",
    )
    .bind(ms(filter.since))
    .bind(ms(filter.until))
    .bind(filter.path.map(text))
    .bind(filter.lead.map(|lead| lead.to_string()))
    .bind(filter.limit)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(lead, state, path, at, unsettled, later)| {
            Ok(UndoLead {
                lead: id(&lead)?,
                state: lead_state(&state)?,
                path,
                decided_at: instant(at)?,
                unsettled,
                later: later.as_deref().map(id).transpose()?,
                owners: Vec::new(),
                tasks: Vec::new(),
                created: None,
                turns: Vec::new(),
            })
        })
        .collect()
}

type DoneWrite = (LeadId, usher_model::EffectKind, Option<ExternalId>, String);

/// Done writes of the leads that set an owner or made a task, oldest first.
async fn done(conn: &mut SqliteConnection, leads: &str) -> Result<Vec<DoneWrite>, Fault> {
    let rows: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
        "SELECT e.lead, e.kind, e.external_id, e.body FROM json_each(?) j CROSS JOIN effect e ON e.lead = j.value \
         WHERE +e.state = 'done' AND e.kind IN ('update_object', 'create_task') ORDER BY e.ended_at, e.seq",
    )
    .bind(leads.to_owned())
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(lead, kind, object, body)| Ok((id(&lead)?, effect_kind(&kind)?, object.map(Into::into), body)))
        .collect()
}

async fn written_owner(conn: &mut SqliteConnection, body: &str) -> Result<Option<WrittenOwner>, Fault> {
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = from_json("effect", body)? else {
        return Ok(None);
    };
    let object: Option<Owned> = match target {
        ObjectRef::Id { kind, id } => Some((kind, id)),
        ObjectRef::Slot { slot } => {
            let bound: Option<(String,)> = sqlx::query_as("SELECT external_id FROM slot WHERE name = ?")
                .bind(slot_name(&slot))
                .fetch_optional(conn)
                .await?;
            bound.map(|(id,)| (slot.kind, id.into()))
        }
    };
    Ok(object.map(|object| WrittenOwner {
        object,
        before: change.expected,
        owner: change.to,
        restored: change.restores,
    }))
}

/// The persons that were created for these leads, and not replaced since.
async fn created(conn: &mut SqliteConnection, leads: &str) -> Result<Vec<(LeadId, ExternalId)>, Fault> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT e.lead, s.external_id FROM json_each(?) j CROSS JOIN effect e ON e.lead = j.value \
         CROSS JOIN slot s ON s.name = e.binds AND s.external_id = e.external_id AND s.origin = 'created' \
         WHERE +e.state = 'done' AND e.kind = 'ensure_person'",
    )
    .bind(leads.to_owned())
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|(lead, object)| Ok((id(&lead)?, object.into()))).collect()
}

/// Ledger lines of the leads' decisions that no later line of the same decision takes back.
async fn turns(conn: &mut SqliteConnection, leads: &str) -> Result<Vec<(LeadId, Turn)>, Fault> {
    type Line = (String, String, String, String, i64, String, i32, String, String);
    let rows: Vec<Line> = sqlx::query_as(
        "SELECT d.lead, t.pool, t.mode, t.decision, t.at, t.rep, t.count, t.reason, t.shares FROM json_each(?) j \
         CROSS JOIN decision d ON d.lead = j.value CROSS JOIN turn t ON t.decision = d.id AND t.count > 0 \
         WHERE t.mode = ? AND NOT EXISTS (SELECT 1 FROM turn b WHERE b.decision = t.decision AND b.count < 0)",
    )
    .bind(leads.to_owned())
    .bind(Mode::Live.as_str())
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(lead, pool, ledger, decision, at, rep, count, reason, shares)| {
            let turn = Turn {
                pool,
                mode: mode(&ledger)?,
                decision: id(&decision)?,
                at: instant(at)?,
                rep: rep.into(),
                shares: from_json("turn", &shares)?,
                count,
                reason,
            };
            Ok((id(&lead)?, turn))
        })
        .collect()
}
