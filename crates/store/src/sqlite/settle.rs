//! Closing leads by their effects, and cancelling what can not be sent any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::codec::{list, ms, text};
use super::fault::Fault;

/// Closes those of the leads that are done: written once every effect that the last episode counts on is final, failed
/// as soon as one of them can not be done. A refusal is none if the slot was bound in another way. Unless something `bad`
/// happened, leads with anything still to be done are passed over.
pub(super) async fn close_leads(
    conn: &mut SqliteConnection,
    leads: &BTreeSet<String>,
    bad: bool,
    now: Timestamp,
) -> Result<(), Fault> {
    if leads.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH asked (seq, id, episode) AS MATERIALIZED (SELECT l.seq, l.id, l.episode FROM json_each(?1) j \
           CROSS JOIN lead l ON l.id = j.value AND +l.state = 'decided' AND l.mode = 'live' WHERE ?3 OR NOT EXISTS \
           (SELECT 1 FROM effect e WHERE e.lead = l.id AND +e.episode = l.episode \
             AND +e.state IN ('blocked', 'planned', 'sending', 'unknown'))), \
         part (lead, effect) AS (SELECT a.seq, e.seq FROM asked a CROSS JOIN effect e ON e.lead = a.id \
           AND e.episode = a.episode UNION SELECT a.seq, s.effect FROM asked a \
           CROSS JOIN shared_effect s ON s.lead = a.id AND s.episode = a.episode), \
         told (lead, open, bad, note) AS (SELECT p.lead, e.state IN ('blocked', 'planned', 'sending', 'unknown'), \
           CASE e.state WHEN 'cancelled' THEN e.cancelled = 'refused' \
           WHEN 'blocked' THEN EXISTS (SELECT 1 FROM need n CROSS JOIN effect b ON b.binds = n.slot \
             WHERE n.effect = e.seq AND +b.state IN ('rejected', 'parked')) \
           WHEN 'rejected' THEN e.binds IS NULL OR NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = e.binds) \
           WHEN 'parked' THEN e.binds IS NULL OR NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = e.binds) \
           ELSE 0 END, CASE WHEN e.state IN ('rejected', 'parked') OR e.cancelled IN ('refused', 'vendor') \
           THEN e.problem END \
           FROM part p CROSS JOIN effect e ON e.seq = p.effect), \
         sums (lead, open, bad, note) AS MATERIALIZED (SELECT lead, sum(open), sum(bad), \
           coalesce(max(CASE WHEN bad THEN note END), max(note)) FROM told GROUP BY lead) \
         UPDATE lead SET state = 'closed', close_reason = CASE WHEN sums.bad > 0 THEN 'failed' ELSE 'written' END, \
         detail = coalesce(sums.note, CASE WHEN sums.bad > 0 THEN 'an earlier write that it needs failed' END, \
         lead.detail), closed_at = ?2 \
         FROM sums WHERE lead.seq = sums.lead AND (sums.bad > 0 OR sums.open = 0)",
    )
    .bind(list(leads)?)
    .bind(ms(now))
    .bind(bad)
    .execute(&mut *conn)
    .await?;
    if !bad {
        return Ok(());
    }
    // What a failed lead still waits to send would surprise whoever settles the failure by hand; a retry revives it.
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'refused', ended_at = ?2, problem = 'the lead failed' \
         WHERE +state = 'blocked' AND kind NOT IN ('ensure_person', 'ensure_company') AND lead IN \
         (SELECT l.id FROM json_each(?1) j CROSS JOIN lead l ON l.id = j.value AND +l.close_reason = 'failed')",
    )
    .bind(list(leads)?)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels what was not sent of leads that were closed from outside. What ensures a person or a company goes on if
/// another lead counts on it.
pub(super) async fn cancel_unsent(
    conn: &mut SqliteConnection,
    leads: String,
    problem: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'suppressed', problem = ?2, ended_at = ?3 \
         WHERE lead IN (SELECT value FROM json_each(?1)) AND +state IN ('blocked', 'planned') \
         AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.effect = effect.seq AND s.lead != effect.lead) \
         AND NOT EXISTS (SELECT 1 FROM need n CROSS JOIN effect e ON e.seq = n.effect WHERE n.slot = effect.binds \
           AND e.state = 'blocked' AND e.lead NOT IN (SELECT value FROM json_each(?1)))",
    )
    .bind(leads)
    .bind(text(problem))
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels those of the effects that were under way when their lead was closed from outside and would be sent again now or
/// later.
pub(super) async fn recall(
    conn: &mut SqliteConnection,
    effects: String,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'suppressed', problem = lead.detail, ended_at = ?2 FROM lead \
         WHERE effect.seq IN (SELECT value FROM json_each(?1)) AND +effect.state IN ('blocked', 'planned') AND lead.id = effect.lead \
         AND +lead.close_reason IN ('merged', 'suppressed') AND effect.planned_at < lead.closed_at \
         AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.effect = effect.seq AND s.lead != effect.lead) \
         AND NOT EXISTS (SELECT 1 FROM need n CROSS JOIN effect e ON e.seq = n.effect WHERE n.slot = effect.binds \
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
    conn: &mut SqliteConnection,
    slots: &[String],
    cancelled: &'static str,
    problem: &str,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    let leads: Vec<(String,)> = sqlx::query_as(
        "WITH RECURSIVE dead (slot) AS (SELECT j.value FROM json_each(?1) j \
           WHERE NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = j.value) \
           UNION SELECT e.binds FROM dead CROSS JOIN need n ON n.slot = dead.slot \
           CROSS JOIN effect e ON e.seq = n.effect WHERE +e.state = 'blocked' AND e.binds IS NOT NULL) \
         UPDATE effect SET state = 'cancelled', cancelled = ?2, problem = ?3, ended_at = ?4 \
         WHERE seq IN (SELECT n.effect FROM dead CROSS JOIN need n ON n.slot = dead.slot) AND +state = 'blocked' \
         RETURNING lead",
    )
    .bind(list(slots)?)
    .bind(cancelled)
    .bind(text(problem))
    .bind(ms(now))
    .fetch_all(conn)
    .await?;
    Ok(leads.into_iter().map(|(lead,)| lead).collect())
}

/// Leads that count on one of the effects without owning it: by sharing it, or by waiting for a slot that it binds.
pub(super) async fn leads_behind(conn: &mut SqliteConnection, effects: String) -> Result<Vec<String>, Fault> {
    let leads: Vec<(String,)> = sqlx::query_as(
        "SELECT s.lead FROM json_each(?1) j CROSS JOIN shared_effect s ON s.effect = j.value \
         UNION SELECT e.lead FROM json_each(?1) j CROSS JOIN effect b ON b.seq = j.value \
         CROSS JOIN need n ON n.slot = b.binds CROSS JOIN effect e ON e.seq = n.effect",
    )
    .bind(effects)
    .fetch_all(conn)
    .await?;
    Ok(leads.into_iter().map(|(lead,)| lead).collect())
}
