//! Inserting effects: each once by its key, blocked until the slots that it needs are bound.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{EpisodeId, LeadId};

use super::bulk::Bulk;
use super::codec::{id, ids, json, list, ms, slot_name, text};
use super::fault::Fault;
use crate::deciding::{NewEffect, NewLead};

static INSERT: Bulk = Bulk::insert(
    "INSERT INTO effect (seq, key, connection, kind, lead, episode, ordinal, binds, state, cancelled, due_at, \
     planned_at, ended_at, body, received_at)",
    15,
    "ON CONFLICT (key) DO NOTHING",
);

static NEED: Bulk = Bulk::insert("INSERT INTO need (slot, effect)", 2, "ON CONFLICT DO NOTHING");

static SHARED: Bulk =
    Bulk::insert("INSERT INTO shared_effect (effect, lead, episode)", 3, "ON CONFLICT DO NOTHING");

/// What a write that is not wanted any more, or was refused, needed: the newer intent may need something else.
static NEED_NOT: Bulk = Bulk::over(
    "WITH v (effect)",
    1,
    "DELETE FROM need WHERE effect IN (SELECT v.effect FROM v CROSS JOIN effect e ON e.seq = v.effect \
     AND +e.state IN ('cancelled', 'rejected'))",
);

static NEED_ANEW: Bulk = Bulk::over(
    "WITH v (slot, effect)",
    2,
    "INSERT INTO need (slot, effect) SELECT v.slot, v.effect FROM v CROSS JOIN effect e ON e.seq = v.effect \
     AND +e.state IN ('cancelled', 'rejected') WHERE true ON CONFLICT DO NOTHING",
);

/// What was never sent, or was refused, is wanted again: the newer intent replaces it.
static REVIVE: Bulk = Bulk::over(
    "WITH v (seq, due_at, body)",
    3,
    "UPDATE effect SET state = CASE WHEN EXISTS (SELECT 1 FROM need n WHERE n.effect = effect.seq) THEN 'blocked' \
     ELSE 'planned' END, cancelled = NULL, ended_at = NULL, problem = NULL, due_at = v.due_at, \
     body = v.body FROM v WHERE effect.seq = v.seq AND +effect.state IN ('cancelled', 'rejected') \
     AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = effect.binds)",
);

struct Row<'a> {
    seq: i64,
    new: &'a NewEffect,
    binds: Option<String>,
    needs: Vec<String>,
    body: String,
    received_at: i64,
}

/// Stores the effects. Returns the leads that count on effects which were there before.
pub(super) async fn effects(
    conn: &mut SqliteConnection,
    effects: &[NewEffect],
    opened: &[NewLead],
    now: Timestamp,
) -> Result<BTreeSet<String>, Fault> {
    if effects.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (last,): (i64,) =
        sqlx::query_as("SELECT coalesce(max(seq), 0) FROM effect").fetch_one(&mut *conn).await?;
    let bound = bound_slots(conn, effects).await?;
    let received = received(conn, effects, opened).await?;
    let mut rows = Vec::with_capacity(effects.len());
    for (seq, new) in (last + 1..).zip(effects) {
        let body = &new.effect.body;
        let mut needs: Vec<String> =
            body.needs().map(slot_name).filter(|name| !bound.contains(name)).collect();
        needs.dedup();
        let received_at = received.get(&new.effect.lead).copied().unwrap_or_else(|| ms(now));
        rows.push(Row {
            seq,
            new,
            binds: body.binds().map(slot_name),
            needs,
            body: json(body)?,
            received_at,
        });
    }
    let inserted = insert(conn, &rows, now).await?;
    let existing = if inserted < rows.len() as u64 { existing(conn, &rows).await? } else { HashMap::new() };
    let needs: Vec<(&str, i64)> = rows
        .iter()
        .filter(|row| !row.new.observed && !existing.contains_key(&row.seq))
        .flat_map(|row| row.needs.iter().map(|need| (need.as_str(), row.seq)))
        .collect();
    NEED.run(conn, &needs, |query, (slot, effect)| query.bind((*slot).to_owned()).bind(*effect)).await?;
    let mut leads = share(conn, &rows, &existing).await?;
    // Whoever needs a slot may find that its writer was refused or parked long ago.
    leads.extend(needs_leads(&rows));
    Ok(leads)
}

async fn bound_slots(conn: &mut SqliteConnection, effects: &[NewEffect]) -> Result<HashSet<String>, Fault> {
    let needed: BTreeSet<String> =
        effects.iter().flat_map(|new| new.effect.body.needs().map(slot_name)).collect();
    if needed.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT s.name FROM json_each(?) j CROSS JOIN slot s ON s.name = j.value")
            .bind(list(&needed)?)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

async fn insert(conn: &mut SqliteConnection, rows: &[Row<'_>], now: Timestamp) -> Result<u64, Fault> {
    INSERT
        .run(conn, rows, |query, row| {
            let effect = &row.new.effect;
            let (state, cancelled, ended_at) = match (row.new.observed, row.needs.is_empty()) {
                (true, _) => ("cancelled", Some("observe"), Some(ms(now))),
                (false, true) => ("planned", None, None),
                (false, false) => ("blocked", None, None),
            };
            query
                .bind(row.seq)
                .bind(text(effect.key.as_str()))
                .bind(text(&effect.connection))
                .bind(effect.body.kind().as_str())
                .bind(effect.lead.to_string())
                .bind(effect.episode.to_string())
                .bind(row.new.ordinal)
                .bind(row.binds.clone())
                .bind(state)
                .bind(cancelled)
                .bind(ms(row.new.due_at))
                .bind(ms(now))
                .bind(ended_at)
                .bind(row.body.clone())
                .bind(row.received_at)
        })
        .await
}

/// When the leads arrived that the effects belong to: those opened by the same commit, and others.
async fn received(
    conn: &mut SqliteConnection,
    effects: &[NewEffect],
    opened: &[NewLead],
) -> Result<HashMap<LeadId, i64>, Fault> {
    let mut received: HashMap<LeadId, i64> =
        opened.iter().map(|new| (new.lead.id, ms(new.lead.received_at))).collect();
    let others: BTreeSet<LeadId> =
        effects.iter().map(|new| new.effect.lead).filter(|lead| !received.contains_key(lead)).collect();
    if !others.is_empty() {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT l.id, l.received_at FROM json_each(?) j CROSS JOIN lead l ON l.id = j.value",
        )
        .bind(ids(others))
        .fetch_all(conn)
        .await?;
        for (lead, received_at) in rows {
            received.insert(id(&lead)?, received_at);
        }
    }
    Ok(received)
}

/// The stored effects whose keys the rows repeat, by the number that the repeating row would have got.
async fn existing(conn: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<HashMap<i64, i64>, Fault> {
    let keys = list(rows.iter().map(|row| row.new.effect.key.as_str()))?;
    let found: Vec<(String, i64)> =
        sqlx::query_as("SELECT e.key, e.seq FROM json_each(?) j CROSS JOIN effect e ON e.key = j.value")
            .bind(keys)
            .fetch_all(conn)
            .await?;
    let found: BTreeMap<String, i64> = found.into_iter().collect();
    Ok(rows
        .iter()
        .filter_map(|row| {
            let stored = *found.get(row.new.effect.key.as_str())?;
            (stored != row.seq).then_some((row.seq, stored))
        })
        .collect())
}

async fn share(
    conn: &mut SqliteConnection,
    rows: &[Row<'_>],
    existing: &HashMap<i64, i64>,
) -> Result<BTreeSet<String>, Fault> {
    let mut shared: Vec<(i64, LeadId, EpisodeId)> = Vec::new();
    let mut revived: Vec<(i64, i64, String)> = Vec::new();
    let mut needs: Vec<(&str, i64)> = Vec::new();
    for row in rows.iter().filter(|row| !row.new.observed) {
        let Some(stored) = existing.get(&row.seq) else { continue };
        shared.push((*stored, row.new.effect.lead, row.new.effect.episode));
        if row.new.effect.body.kind().ensures() {
            revived.push((*stored, ms(row.new.due_at), row.body.clone()));
            needs.extend(row.needs.iter().map(|need| (need.as_str(), *stored)));
        }
    }
    SHARED
        .run(conn, &shared, |query, (effect, lead, episode)| {
            query.bind(*effect).bind(lead.to_string()).bind(episode.to_string())
        })
        .await?;
    NEED_NOT.run(conn, &revived, |query, (effect, ..)| query.bind(*effect)).await?;
    NEED_ANEW.run(conn, &needs, |query, (slot, effect)| query.bind((*slot).to_owned()).bind(*effect)).await?;
    REVIVE
        .run(conn, &revived, |query, (seq, due_at, body)| query.bind(*seq).bind(*due_at).bind(body.clone()))
        .await?;
    Ok(shared.into_iter().map(|(_, lead, _)| lead.to_string()).collect())
}

/// Leads whose new effects wait for a slot that no effect of the same batch binds.
fn needs_leads(rows: &[Row<'_>]) -> BTreeSet<String> {
    let binds: HashSet<&str> = rows.iter().filter_map(|row| row.binds.as_deref()).collect();
    rows.iter()
        .filter(|row| row.needs.iter().any(|need| !binds.contains(need.as_str())))
        .map(|row| row.new.effect.lead.to_string())
        .collect()
}
