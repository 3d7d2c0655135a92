//! Storing what became of claimed effects, and everything that follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{EffectState, SlotKind, SlotOrigin};

use super::{column, lock, settle, slots};
use crate::codec::{ms, text};
use crate::delivering::EffectOutcome;
use crate::ended::{Binding, Ended, HeldRow};
use crate::fault::Fault;

/// Stores the outcomes whose claims still hold.
pub(super) async fn store(
    conn: &mut PgConnection,
    outcomes: Vec<EffectOutcome>,
    now: Timestamp,
) -> Result<(), Fault> {
    lock::graph(conn).await?;
    let ended = still_held(conn, outcomes).await?;
    if ended.is_empty() {
        return Ok(());
    }
    update(conn, &ended, now).await?;
    bind(conn, &ended, now).await?;
    let again = ended.iter().filter(|end| end.state == EffectState::Planned).map(|end| end.seq);
    settle::recall(conn, &again.collect::<Vec<_>>(), now).await?;
    let mut leads: BTreeSet<String> = ended.iter().map(|end| end.lead.clone()).collect();
    for end in &ended {
        let cancelled = match end.state {
            EffectState::Rejected | EffectState::Parked => "refused",
            EffectState::Cancelled => "vendor",
            _ => continue,
        };
        if let Some(slot) = &end.binds {
            let problem = end.problem.as_deref().unwrap_or_default();
            leads.extend(settle::cancel_dependents(conn, slot, cancelled, problem, now).await?);
        }
    }
    leads.extend(settle::leads_behind(conn, &column(&ended, |end| end.seq)).await?);
    settle::close_leads(conn, &leads, now).await
}

/// Holds the rows, so that nobody takes a claim over between the comparison and the end of this transaction.
async fn still_held(conn: &mut PgConnection, outcomes: Vec<EffectOutcome>) -> Result<Vec<Ended>, Fault> {
    let rows: Vec<HeldRow> = sqlx::query_as(
        "SELECT seq, key, attempts, state, lead, binds, CASE WHEN binds IS NOT NULL THEN body END FROM effect \
         WHERE key = ANY($1) AND state IN ('sending', 'unknown') ORDER BY seq FOR UPDATE",
    )
    .bind(column(&outcomes, |outcome| text(outcome.key.as_str())))
    .fetch_all(conn)
    .await?;
    Ended::of(rows, outcomes)
}

async fn update(conn: &mut PgConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    let in_vain =
        |end: &Ended| i64::from(end.was == EffectState::Unknown && end.state == EffectState::Unknown);
    // The settle window counts from the end of the attempt: a batch may have been minutes on its way. What was looked for
    // in vain is in doubt no more.
    sqlx::query(
        "UPDATE effect e SET doubt_since = CASE WHEN v.state = 'planned' AND e.state = 'unknown' THEN NULL \
         ELSE e.doubt_since END, sent_at = CASE WHEN v.state = 'unknown' AND e.state = 'sending' THEN $9 ELSE e.sent_at END, \
         state = v.state, cancelled = v.cancelled, due_at = coalesce(v.due_at, e.due_at), lease_until = NULL, \
         claimed_by = NULL, verified = e.verified + v.verified, ended_at = v.ended_at, problem = v.problem, \
         external_id = coalesce(v.external_id, e.external_id) FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::text[], $8::text[]) AS v (seq, state, cancelled, due_at, verified, ended_at, problem, \
         external_id) WHERE e.seq = v.seq",
    )
    .bind(column(ended, |end| end.seq))
    .bind(column(ended, |end| end.state.as_str()))
    .bind(column(ended, |end| (end.state == EffectState::Cancelled).then_some("vendor")))
    .bind(column(ended, |end| end.due_at))
    .bind(column(ended, in_vain))
    .bind(column(ended, |end| end.state.is_final().then(|| ms(now))))
    .bind(column(ended, |end| end.problem.as_deref()))
    .bind(column(ended, |end| end.bound.as_ref().map(|(id, _, _)| id.as_str())))
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO attempt (effect, number, at, outcome, detail) SELECT v.effect, v.number, $5, v.outcome, v.detail \
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS v (effect, number, outcome, detail) \
         ON CONFLICT (effect, number) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, detail = excluded.detail",
    )
    .bind(column(ended, |end| end.seq))
    .bind(column(ended, |end| i64::from(end.attempt)))
    .bind(column(ended, |end| end.state.as_str()))
    .bind(column(ended, |end| end.problem.as_deref()))
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Binds the slots of what is done, and ties a person's object to the person: one that we created has opened its lead,
/// so its echo from the vendor is known for what it is.
async fn bind(conn: &mut PgConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    let bindings: Vec<Binding> = ended.iter().filter_map(Ended::binding).collect();
    let persons: Vec<(&Binding, &str)> = bindings
        .iter()
        .filter(|binding| binding.slot.kind == SlotKind::Person)
        .filter_map(|binding| Some((binding, binding.object.as_deref()?)))
        .collect();
    if !persons.is_empty() {
        tie(conn, &persons).await?;
    }
    slots::bind(conn, &bindings, now).await
}

async fn tie(conn: &mut PgConnection, persons: &[(&Binding, &str)]) -> Result<(), Fault> {
    // One object may come back for two persons: the first one keeps it.
    sqlx::query(
        "INSERT INTO link (connection, object, external_id, person, enrolled, ours) \
         SELECT connection, object, external_id, (array_agg(person ORDER BY n))[1], bool_or(created), bool_or(created) \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[]) WITH ORDINALITY \
         AS v (connection, object, external_id, person, created, n) GROUP BY connection, object, external_id \
         ON CONFLICT (connection, object, external_id) DO UPDATE SET enrolled = link.enrolled OR excluded.enrolled, \
         ours = link.ours OR excluded.ours",
    )
    .bind(column(persons, |(binding, _)| text(&binding.slot.connection)))
    .bind(column(persons, |(_, object)| *object))
    .bind(column(persons, |(binding, _)| text(&binding.id)))
    .bind(column(persons, |(binding, _)| text(&binding.slot.of)))
    .bind(column(persons, |(binding, _)| binding.origin == SlotOrigin::Created))
    .execute(conn)
    .await?;
    Ok(())
}
