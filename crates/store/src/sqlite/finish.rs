//! Storing what became of claimed effects, and everything that follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{EffectState, SlotKind, SlotOrigin};

use super::bulk::Bulk;
use super::codec::{list, ms, numbers, text};
use super::fault::Fault;
use super::{settle, slots};
use crate::delivering::EffectOutcome;
use crate::ended::{Binding, Ended, HeldRow};

static OUTCOME: Bulk = Bulk::over(
    "WITH v (seq, state, cancelled, due_at, verified, ended_at, problem, external_id, now)",
    9,
    // The settle window counts from the end of the attempt: a batch may have been minutes on its way. What was looked for
    // in vain is in doubt no more.
    "UPDATE effect SET doubt_since = CASE WHEN v.state = 'planned' AND effect.state = 'unknown' THEN NULL \
     ELSE effect.doubt_since END, sent_at = CASE WHEN v.state = 'unknown' AND effect.state = 'sending' THEN v.now \
     ELSE effect.sent_at END, state = v.state, cancelled = v.cancelled, due_at = coalesce(v.due_at, effect.due_at), \
     lease_until = NULL, verified = effect.verified + v.verified, ended_at = v.ended_at, problem = v.problem, \
     external_id = coalesce(v.external_id, effect.external_id) FROM v WHERE effect.seq = v.seq",
);

static ATTEMPT: Bulk = Bulk::insert(
    "INSERT INTO attempt (effect, number, at, outcome, detail)",
    5,
    "ON CONFLICT DO UPDATE SET at = excluded.at, outcome = excluded.outcome, detail = excluded.detail",
);

static LINK: Bulk = Bulk::insert(
    "INSERT INTO link (connection, object, external_id, person, enrolled, ours)",
    6,
    "ON CONFLICT DO UPDATE SET enrolled = max(enrolled, excluded.enrolled), ours = max(ours, excluded.ours)",
);

/// Stores the outcomes whose claims still hold.
pub(super) async fn store(
    conn: &mut SqliteConnection,
    outcomes: Vec<EffectOutcome>,
    now: Timestamp,
) -> Result<(), Fault> {
    let ended = still_held(conn, outcomes).await?;
    if ended.is_empty() {
        return Ok(());
    }
    update(conn, &ended, now).await?;
    bind(conn, &ended, now).await?;
    let again = ended.iter().filter(|end| end.state == EffectState::Planned).map(|end| end.seq);
    settle::recall(conn, numbers(&again.collect::<Vec<_>>())?, now).await?;
    let mut leads: BTreeSet<String> = ended.iter().map(|end| end.lead.clone()).collect();
    for end in &ended {
        let cancelled = match end.state {
            EffectState::Rejected | EffectState::Parked => "refused",
            EffectState::Cancelled => "vendor",
            _ => continue,
        };
        if let Some(slot) = &end.binds {
            let problem = end.problem.as_deref().unwrap_or_default();
            let slots = [slot.clone()];
            leads.extend(settle::cancel_dependents(conn, &slots, cancelled, problem, now).await?);
        }
    }
    let seqs: Vec<i64> = ended.iter().map(|end| end.seq).collect();
    leads.extend(settle::leads_behind(conn, numbers(&seqs)?).await?);
    settle::close_leads(conn, &leads, now).await
}

/// Compares each outcome with its row: a claim that was taken over, or an effect that ended meanwhile, is left alone.
async fn still_held(conn: &mut SqliteConnection, outcomes: Vec<EffectOutcome>) -> Result<Vec<Ended>, Fault> {
    let rows: Vec<HeldRow> = sqlx::query_as(
        "SELECT e.seq, e.key, e.attempts, e.state, e.lead, e.binds, CASE WHEN e.binds IS NOT NULL THEN e.body END \
         FROM json_each(?) j CROSS JOIN effect e ON e.key = j.value WHERE e.state IN ('sending', 'unknown')",
    )
    .bind(list(outcomes.iter().map(|outcome| outcome.key.as_str()))?)
    .fetch_all(conn)
    .await?;
    Ended::of(rows, outcomes)
}

async fn update(conn: &mut SqliteConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    OUTCOME
        .run(conn, ended, |query, end| {
            let in_vain = end.was == EffectState::Unknown && end.state == EffectState::Unknown;
            query
                .bind(end.seq)
                .bind(end.state.as_str())
                .bind((end.state == EffectState::Cancelled).then_some("vendor"))
                .bind(end.due_at)
                .bind(i64::from(in_vain))
                .bind(end.state.is_final().then(|| ms(now)))
                .bind(end.problem.clone())
                .bind(end.bound.as_ref().map(|(id, _, _)| id.clone()))
                .bind(ms(now))
        })
        .await?;
    ATTEMPT
        .run(conn, ended, |query, end| {
            query
                .bind(end.seq)
                .bind(end.attempt)
                .bind(ms(now))
                .bind(end.state.as_str())
                .bind(end.problem.clone())
        })
        .await?;
    Ok(())
}

/// Binds the slots of what is done, and ties a person's object to the person: one that we created has opened its lead,
/// so its echo from the vendor is known for what it is.
async fn bind(conn: &mut SqliteConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    let bindings: Vec<Binding> = ended.iter().filter_map(Ended::binding).collect();
    let persons: Vec<(&Binding, &str)> = bindings
        .iter()
        .filter(|binding| binding.slot.kind == SlotKind::Person)
        .filter_map(|binding| Some((binding, binding.object.as_deref()?)))
        .collect();
    LINK.run(conn, &persons, |query, (binding, object)| {
        let created = binding.origin == SlotOrigin::Created;
        query
            .bind(text(&binding.slot.connection))
            .bind((*object).to_owned())
            .bind(text(&binding.id))
            .bind(text(&binding.slot.of))
            .bind(created)
            .bind(created)
    })
    .await?;
    slots::bind(conn, &bindings, now).await
}
