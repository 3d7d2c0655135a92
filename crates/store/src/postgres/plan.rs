//! Inserting effects: each once by its key, blocked until the slots that it needs are bound.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{EpisodeId, LeadId};

use super::column;
use crate::codec::{json, ms, slot_name, text};
use crate::deciding::NewEffect;
use crate::fault::Fault;

struct Row<'a> {
    new: &'a NewEffect,
    key: String,
    binds: Option<String>,
    needs: Vec<String>,
    body: String,
    /// The number under which it is stored, and whether it was there before.
    seq: i64,
    existed: bool,
}

impl Row<'_> {
    fn state(&self) -> &'static str {
        match (self.new.observed, self.needs.is_empty()) {
            (true, _) => "cancelled",
            (false, true) => "planned",
            (false, false) => "blocked",
        }
    }
}

/// Stores the effects. Returns the leads that count on effects which were there before.
pub(super) async fn effects(
    conn: &mut PgConnection,
    effects: &[NewEffect],
    now: Timestamp,
) -> Result<BTreeSet<String>, Fault> {
    if effects.is_empty() {
        return Ok(BTreeSet::new());
    }
    let bound = bound_slots(conn, effects).await?;
    let mut rows = Vec::with_capacity(effects.len());
    for new in effects {
        let body = &new.effect.body;
        let mut needs: Vec<String> =
            body.needs().map(slot_name).filter(|name| !bound.contains(name)).collect();
        needs.dedup();
        let (key, binds) = (text(new.effect.key.as_str()), body.binds().map(slot_name));
        rows.push(Row { new, key, binds, needs, body: json(body)?, seq: 0, existed: false });
    }
    insert(conn, &mut rows, now).await?;
    need(conn, &rows).await?;
    let mut leads = share(conn, &rows).await?;
    // Whoever needs a slot may find that its writer was refused or parked long ago.
    leads.extend(needs_leads(&rows));
    Ok(leads)
}

async fn bound_slots(conn: &mut PgConnection, effects: &[NewEffect]) -> Result<HashSet<String>, Fault> {
    let needed: BTreeSet<String> =
        effects.iter().flat_map(|new| new.effect.body.needs().map(slot_name)).collect();
    if needed.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(String,)> = sqlx::query_as("SELECT name FROM slot WHERE name = ANY($1)")
        .bind(needed.into_iter().collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

async fn insert(conn: &mut PgConnection, rows: &mut [Row<'_>], now: Timestamp) -> Result<(), Fault> {
    let inserted: Vec<(String, i64)> = sqlx::query_as(
        "INSERT INTO effect (key, connection, kind, lead, episode, ordinal, binds, state, cancelled, due_at, planned_at, \
         ended_at, body, received_at) SELECT key, connection, kind, lead, episode, ordinal, binds, state, \
         CASE WHEN state = 'cancelled' THEN 'observe' END, due_at, $11, CASE WHEN state = 'cancelled' THEN $11 END, body, \
         coalesce((SELECT l.received_at FROM lead l WHERE l.id = v.lead), $11) \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], \
         $9::bigint[], $10::text[]) WITH ORDINALITY AS v (key, connection, kind, lead, episode, ordinal, binds, state, due_at, \
         body, n) ORDER BY n ON CONFLICT (key) DO NOTHING RETURNING key, seq",
    )
    .bind(column(rows, |row| row.key.clone()))
    .bind(column(rows, |row| text(&row.new.effect.connection)))
    .bind(column(rows, |row| row.new.effect.body.kind().as_str()))
    .bind(column(rows, |row| row.new.effect.lead.to_string()))
    .bind(column(rows, |row| row.new.effect.episode.to_string()))
    .bind(column(rows, |row| i64::from(row.new.ordinal)))
    .bind(column(rows, |row| row.binds.clone()))
    .bind(column(rows, Row::state))
    .bind(column(rows, |row| ms(row.new.due_at)))
    .bind(column(rows, |row| row.body.clone()))
    .bind(ms(now))
    .fetch_all(&mut *conn)
    .await?;
    let mut inserted: HashMap<String, i64> = inserted.into_iter().collect();
    let stored = if inserted.len() < rows.len() { stored(conn, rows).await? } else { HashMap::new() };
    for row in rows {
        // Removed, so that a key that the same commit repeats counts as one that was there before.
        let new = inserted.remove(&row.key);
        row.existed = new.is_none();
        row.seq = new.or_else(|| stored.get(&row.key).copied()).unwrap_or_default();
    }
    Ok(())
}

/// The numbers of the stored effects that have the rows' keys.
async fn stored(conn: &mut PgConnection, rows: &[Row<'_>]) -> Result<HashMap<String, i64>, Fault> {
    let found: Vec<(String, i64)> = sqlx::query_as("SELECT key, seq FROM effect WHERE key = ANY($1)")
        .bind(column(rows, |row| row.key.as_str()))
        .fetch_all(conn)
        .await?;
    Ok(found.into_iter().collect())
}

async fn need(conn: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), Fault> {
    let needs: Vec<(&str, i64)> = rows
        .iter()
        .filter(|row| !row.new.observed && !row.existed)
        .flat_map(|row| row.needs.iter().map(|need| (need.as_str(), row.seq)))
        .collect();
    sqlx::query(
        "INSERT INTO need (slot, effect) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING",
    )
    .bind(column(&needs, |need| need.0))
    .bind(column(&needs, |need| need.1))
    .execute(conn)
    .await?;
    Ok(())
}

async fn share(conn: &mut PgConnection, rows: &[Row<'_>]) -> Result<BTreeSet<String>, Fault> {
    let mut shared: Vec<(i64, LeadId, EpisodeId)> = Vec::new();
    let mut revived: Vec<(i64, i64, &str)> = Vec::new();
    let mut needs: Vec<(&str, i64)> = Vec::new();
    for row in rows.iter().filter(|row| row.existed && !row.new.observed) {
        shared.push((row.seq, row.new.effect.lead, row.new.effect.episode));
        if row.new.effect.body.kind().ensures() {
            revived.push((row.seq, ms(row.new.due_at), &row.body));
            needs.extend(row.needs.iter().map(|need| (need.as_str(), row.seq)));
        }
    }
    if shared.is_empty() {
        return Ok(BTreeSet::new());
    }
    sqlx::query(
        "INSERT INTO shared_effect (effect, lead, episode) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind(column(&shared, |row| row.0))
    .bind(column(&shared, |row| row.1.to_string()))
    .bind(column(&shared, |row| row.2.to_string()))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "DELETE FROM need USING effect e WHERE need.effect = e.seq AND e.seq = ANY($1) AND e.state IN ('cancelled', 'rejected')",
    )
    .bind(column(&revived, |row| row.0))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO need (slot, effect) SELECT v.slot, v.effect FROM unnest($1::text[], $2::bigint[]) AS v (slot, effect) \
         JOIN effect e ON e.seq = v.effect AND e.state IN ('cancelled', 'rejected') ON CONFLICT DO NOTHING",
    )
    .bind(column(&needs, |need| need.0))
    .bind(column(&needs, |need| need.1))
    .execute(&mut *conn)
    .await?;
    // What was never sent, or was refused, is wanted again: the newer intent replaces it, with what it needs.
    sqlx::query(
        "UPDATE effect e SET state = CASE WHEN EXISTS (SELECT 1 FROM need n WHERE n.effect = e.seq) THEN 'blocked' \
         ELSE 'planned' END, cancelled = NULL, ended_at = NULL, problem = NULL, due_at = v.due_at, body = v.body FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS v (seq, due_at, body) WHERE e.seq = v.seq \
         AND e.state IN ('cancelled', 'rejected') AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = e.binds)",
    )
    .bind(column(&revived, |row| row.0))
    .bind(column(&revived, |row| row.1))
    .bind(column(&revived, |row| row.2))
    .execute(conn)
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
