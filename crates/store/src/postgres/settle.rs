//! Closing leads by their effects, and cancelling what can not be sent any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::codec::{ms, text};
use crate::fault::Fault;

/// Closes those of the leads that are done: written once every effect that the last episode counts on is final, failed
/// as soon as one of them can not be done. A refusal is none if the slot was bound in another way. Unless something `bad`
/// happened, leads with anything still to be done are passed over.
pub(super) async fn close_leads(
    conn: &mut PgConnection,
    leads: &BTreeSet<String>,
    bad: bool,
    now: Timestamp,
) -> Result<(), Fault> {
    if leads.is_empty() {
        return Ok(());
    }
    let leads: Vec<&str> = leads.iter().map(String::as_str).collect();
    sqlx::query(
        "WITH asked AS MATERIALIZED (SELECT seq, id, episode FROM lead l WHERE id = ANY($1) AND state = 'decided' \
           AND mode = 'live' AND ($3 OR NOT EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id \
             AND e.episode = l.episode AND e.state IN ('blocked', 'planned', 'sending', 'unknown')))), \
         part (lead, effect) AS (SELECT a.seq, e.seq FROM asked a JOIN effect e ON e.lead = a.id AND e.episode = a.episode \
           UNION SELECT a.seq, s.effect FROM asked a JOIN shared_effect s ON s.lead = a.id AND s.episode = a.episode), \
         told (lead, open, bad, note) AS (SELECT p.lead, e.state IN ('blocked', 'planned', 'sending', 'unknown'), \
           CASE e.state WHEN 'cancelled' THEN e.cancelled = 'refused' \
           WHEN 'blocked' THEN EXISTS (SELECT 1 FROM need n JOIN effect b ON b.binds = n.slot \
             WHERE n.effect = e.seq AND b.state IN ('rejected', 'parked')) \
           WHEN 'rejected' THEN NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = e.binds) \
           WHEN 'parked' THEN NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = e.binds) \
           ELSE FALSE END, CASE WHEN e.state IN ('rejected', 'parked') OR e.cancelled IN ('refused', 'vendor') \
           THEN e.problem END FROM part p JOIN effect e ON e.seq = p.effect), \
         sums (lead, open, bad, note) AS MATERIALIZED (SELECT lead, bool_or(open), bool_or(bad), \
           coalesce(max(note) FILTER (WHERE bad), max(note)) FROM told GROUP BY lead) \
         UPDATE lead SET state = 'closed', close_reason = CASE WHEN sums.bad THEN 'failed' ELSE 'written' END, \
         detail = coalesce(sums.note, CASE WHEN sums.bad THEN 'an earlier write that it needs failed' END, lead.detail), \
         closed_at = $2 FROM sums WHERE lead.seq = sums.lead AND (sums.bad OR NOT sums.open)",
    )
    .bind(&leads)
    .bind(ms(now))
    .bind(bad)
    .execute(&mut *conn)
    .await?;
    if !bad {
        return Ok(());
    }
    // What a failed lead still waits to send would surprise whoever settles the failure by hand; a retry revives it.
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'refused', ended_at = $2, problem = 'the lead failed' \
         WHERE state = 'blocked' AND kind NOT IN ('ensure_person', 'ensure_company') AND lead IN \
         (SELECT id FROM lead WHERE id = ANY($1) AND close_reason = 'failed')",
    )
    .bind(&leads)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels what was not sent of leads that were closed from outside. What ensures a person or a company goes on if
/// another lead counts on it. A claim that is faster than this keeps its effect.
pub(super) async fn cancel_unsent(
    conn: &mut PgConnection,
    leads: &[&str],
    problem: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'suppressed', problem = $2, ended_at = $3 \
         WHERE lead = ANY($1) AND state IN ('blocked', 'planned') \
         AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.effect = effect.seq AND s.lead != effect.lead) \
         AND NOT EXISTS (SELECT 1 FROM need n JOIN effect e ON e.seq = n.effect WHERE n.slot = effect.binds \
           AND e.state = 'blocked' AND e.lead != ALL($1))",
    )
    .bind(leads)
    .bind(problem)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels those of the effects that were under way when their lead was closed from outside and would be sent again now or
/// later.
pub(super) async fn recall(conn: &mut PgConnection, effects: &[i64], now: Timestamp) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'suppressed', problem = lead.detail, ended_at = $2 FROM lead \
         WHERE effect.seq = ANY($1) AND effect.state IN ('blocked', 'planned') AND lead.id = effect.lead \
         AND lead.close_reason IN ('merged', 'suppressed') AND effect.planned_at < lead.closed_at \
         AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.effect = effect.seq AND s.lead != effect.lead) \
         AND NOT EXISTS (SELECT 1 FROM need n JOIN effect e ON e.seq = n.effect WHERE n.slot = effect.binds \
           AND e.state = 'blocked' AND e.lead != effect.lead)",
    )
    .bind(effects)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels the blocked effects that need one of the slots, directly or through each other. Returns their leads.
pub(super) async fn cancel_dependents(
    conn: &mut PgConnection,
    slot: &str,
    cancelled: &'static str,
    problem: &str,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    let leads: Vec<(String,)> = sqlx::query_as(
        "WITH RECURSIVE dead (slot) AS (SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = $1) \
           UNION SELECT e.binds FROM dead JOIN need n ON n.slot = dead.slot JOIN effect e ON e.seq = n.effect \
           WHERE e.state = 'blocked' AND e.binds IS NOT NULL) \
         UPDATE effect SET state = 'cancelled', cancelled = $2, problem = $3, ended_at = $4 \
         WHERE seq IN (SELECT n.effect FROM dead JOIN need n ON n.slot = dead.slot) AND state = 'blocked' RETURNING lead",
    )
    .bind(slot)
    .bind(cancelled)
    .bind(text(problem))
    .bind(ms(now))
    .fetch_all(conn)
    .await?;
    Ok(leads.into_iter().map(|(lead,)| lead).collect())
}

/// Leads that count on one of the effects without owning it: by sharing it, or by waiting for a slot that it binds.
pub(super) async fn leads_behind(conn: &mut PgConnection, effects: &[i64]) -> Result<Vec<String>, Fault> {
    let leads: Vec<(String,)> = sqlx::query_as(
        "SELECT lead FROM shared_effect WHERE effect = ANY($1) \
         UNION SELECT e.lead FROM effect b JOIN need n ON n.slot = b.binds JOIN effect e ON e.seq = n.effect \
         WHERE b.seq = ANY($1)",
    )
    .bind(effects)
    .fetch_all(conn)
    .await?;
    Ok(leads.into_iter().map(|(lead,)| lead).collect())
}
