//! Storing what became of claimed effects, and everything that follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{EffectState, SlotKind, SlotOrigin};

use super::{column, following, gone, lock, settle, slots};
use crate::codec::{instant, ms, text};
use crate::delivering::{EffectOutcome, MOST_LAPSES};
use crate::ended::{self, Binding, Ended, Fate, HeldRow};
use crate::fault::Fault;

/// Stores the outcomes whose claims still hold.
pub(super) async fn store(
    conn: &mut PgConnection,
    outcomes: Vec<EffectOutcome>,
    now: Timestamp,
) -> Result<(), Fault> {
    lock::graph(conn).await?;
    let mut ended = still_held(conn, outcomes).await?;
    if ended.is_empty() {
        return Ok(());
    }
    for end in &mut ended {
        if let Some(gone) = end.gone.take() {
            end.settled(gone::settle(conn, end.seq, &end.lead, gone, now).await?, now);
        }
    }
    update(conn, &ended, now).await?;
    bind(conn, &ended, now).await?;
    let again = ended.iter().filter(|end| end.waits()).map(|end| end.seq);
    settle::recall(conn, &again.collect::<Vec<_>>(), now).await?;
    let fates: Vec<Fate> = ended.into_iter().map(Fate::from).collect();
    follow(conn, &fates, now).await
}

/// Cancels what can not be sent any more, and closes the leads that are done by it.
async fn follow(conn: &mut PgConnection, fates: &[Fate], now: Timestamp) -> Result<(), Fault> {
    let mut leads: BTreeSet<String> = fates.iter().map(|fate| fate.lead.clone()).collect();
    for fate in fates {
        if let (Some(slot), Some(cancelled)) = (&fate.binds, fate.cancels) {
            let problem = fate.problem.as_deref().unwrap_or_default();
            leads.extend(settle::cancel_dependents(conn, slot, cancelled, problem, now).await?);
        }
    }
    leads.extend(settle::leads_behind(conn, &column(fates, |fate| fate.seq)).await?);
    let bad = fates.iter().any(|fate| fate.cancels.is_some());
    settle::close_leads(conn, &leads, bad, now).await
}

/// Fails claimed effects whose stored form can not be read: rejected if they were about to be sent, parked if they may
/// have been.
pub(super) async fn fail_unreadable(
    conn: &mut PgConnection,
    unreadable: Vec<(i64, String)>,
    now: Timestamp,
) -> Result<(), Fault> {
    lock::graph(conn).await?;
    let mut fates = Vec::with_capacity(unreadable.len());
    for (seq, problem) in unreadable {
        tracing::error!(effect = seq, problem, "a stored write can not be read and fails alone");
        let failed: Option<(String, Option<String>)> = sqlx::query_as(
            "UPDATE effect SET state = CASE state WHEN 'sending' THEN 'rejected' ELSE 'parked' END, \
             lease_until = NULL, claimed_by = NULL, ended_at = $2, problem = $3 \
             WHERE seq = $1 AND state IN ('sending', 'unknown') RETURNING lead, binds",
        )
        .bind(seq)
        .bind(ms(now))
        .bind(text(&problem))
        .fetch_optional(&mut *conn)
        .await?;
        // Another node may have met it at the same time.
        fates.extend(failed.map(|failed| Fate::refused(seq, failed, Some(problem))));
    }
    follow(conn, &fates, now).await
}

/// Whose holder is dead: by its lease at `$1`, or one of the nodes `$2`, if any are named.
macro_rules! lapsed {
    () => {
        "state = 'sending' AND CASE WHEN cardinality($2::text[]) = 0 THEN lease_until <= coalesce($1, usher_now()) \
         ELSE claimed_by = ANY($2) END"
    };
}

/// Makes `sending` effects unknown whose lease lapsed, or that one of the dead nodes held: whoever sent them is dead. One
/// that took its sender down too often is parked.
pub(super) async fn recover(
    conn: &mut PgConnection,
    clock: Option<i64>,
    dead: &[String],
) -> Result<u64, Fault> {
    let parked = park_deadly(conn, clock, dead).await?;
    let revived = sqlx::query(
        concat!(
            "WITH lapsed AS MATERIALIZED (SELECT seq FROM effect WHERE ",
            lapsed!(),
            " AND lapses + 1 < $3 FOR UPDATE SKIP LOCKED) \
             UPDATE effect e SET state = 'unknown', lapses = e.lapses + 1, due_at = coalesce($1, usher_now()), \
             sent_at = coalesce($1, usher_now()), lease_until = NULL, claimed_by = NULL, \
             problem = 'the process that sent it gave no answer' FROM lapsed WHERE e.seq = lapsed.seq"
        ),
    )
    .bind(clock)
    .bind(dead)
    .bind(i64::from(MOST_LAPSES))
    .execute(conn)
    .await?;
    Ok(parked + revived.rows_affected())
}

/// The lock comes before the rows, so the rare case is asked for first.
async fn park_deadly(conn: &mut PgConnection, clock: Option<i64>, dead: &[String]) -> Result<u64, Fault> {
    let deadly: Vec<(i64,)> =
        sqlx::query_as(concat!("SELECT seq FROM effect WHERE ", lapsed!(), " AND lapses + 1 >= $3"))
            .bind(clock)
            .bind(dead)
            .bind(i64::from(MOST_LAPSES))
            .fetch_all(&mut *conn)
            .await?;
    if deadly.is_empty() {
        return Ok(0);
    }
    lock::graph(conn).await?;
    let rows: Vec<(i64, String, Option<String>, i64)> = sqlx::query_as(
        concat!(
            "UPDATE effect SET state = 'parked', lapses = lapses + 1, sent_at = coalesce($1, usher_now()), \
             ended_at = coalesce($1, usher_now()), lease_until = NULL, claimed_by = NULL, problem = 'sending it stopped \
             the program too often; report it, look at the vendor, then `usher failed retry`' WHERE seq = ANY($3) AND ",
            lapsed!(),
            " RETURNING seq, lead, binds, ended_at"
        ),
    )
    .bind(clock)
    .bind(dead)
    .bind(column(&deadly, |row| row.0))
    .fetch_all(&mut *conn)
    .await?;
    let now = rows.first().map_or(Ok(Timestamp::MIN), |row| instant(row.3))?;
    let fates: Vec<Fate> =
        rows.into_iter().map(|(seq, lead, binds, _)| Fate::refused(seq, (lead, binds), None)).collect();
    follow(conn, &fates, now).await?;
    Ok(fates.len() as u64)
}

/// Holds the rows, so that nobody takes a claim over between the comparison and the end of this transaction.
async fn still_held(conn: &mut PgConnection, outcomes: Vec<EffectOutcome>) -> Result<Vec<Ended>, Fault> {
    let rows: Vec<HeldRow> = sqlx::query_as(
        "SELECT seq, key, attempts, lapses, state, sent_at, lead, binds FROM effect WHERE key = ANY($1) AND state IN ('sending', 'unknown') ORDER BY seq FOR UPDATE",
    )
    .bind(column(&outcomes, |outcome| text(outcome.key.as_str())))
    .fetch_all(conn)
    .await?;
    Ended::of(rows, outcomes)
}

async fn update(conn: &mut PgConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    // The settle window counts from the end of the attempt: a batch may have been minutes on its way. What was looked for
    // in vain is in doubt no more.
    sqlx::query(
        "UPDATE effect e SET doubt_since = CASE WHEN v.state = 'planned' AND e.state = 'unknown' THEN NULL \
         ELSE e.doubt_since END, sent_at = CASE WHEN v.state = 'unknown' AND e.state = 'sending' THEN $9 ELSE e.sent_at END, \
         state = v.state, cancelled = v.cancelled, due_at = coalesce(v.due_at, e.due_at), lease_until = NULL, \
         claimed_by = NULL, verified = e.verified + v.verified, lapses = e.lapses + v.lapses, ended_at = v.ended_at, problem = v.problem, \
         external_id = coalesce(v.external_id, e.external_id) FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::text[], $8::text[], $10::bigint[]) AS v (seq, state, cancelled, due_at, verified, \
         ended_at, problem, external_id, lapses) WHERE e.seq = v.seq",
    )
    .bind(column(ended, |end| end.seq))
    .bind(column(ended, |end| end.state.as_str()))
    .bind(column(ended, |end| (end.state == EffectState::Cancelled).then_some("vendor")))
    .bind(column(ended, |end| end.due_at))
    .bind(column(ended, |end| i64::from(end.in_vain())))
    .bind(column(ended, |end| end.state.is_final().then(|| ms(now))))
    .bind(column(ended, |end| end.problem.as_deref()))
    .bind(column(ended, |end| end.bound.as_ref().map(|(id, _, _)| id.as_str())))
    .bind(ms(now))
    .bind(column(ended, |end| i64::from(end.lapsed)))
    .execute(&mut *conn)
    .await?;
    let told: Vec<&Ended> = ended.iter().filter(|end| !end.done_at_once()).collect();
    if told.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempt (effect, number, at, outcome, detail) SELECT v.effect, v.number, $5, v.outcome, v.detail \
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS v (effect, number, outcome, detail) \
         ON CONFLICT (effect, number) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, detail = excluded.detail",
    )
    .bind(column(&told, |end| end.seq))
    .bind(column(&told, |end| i64::from(end.attempt)))
    .bind(column(&told, |end| end.state.as_str()))
    .bind(column(&told, |end| end.problem.as_deref()))
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Binds the slots of what is done, and ties a person's objects to the person: one that we created has opened its lead,
/// so its echo from the vendor is known for what it is.
async fn bind(conn: &mut PgConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    let along: Vec<Binding> = ended.iter().filter_map(Ended::owner_along).collect();
    if !along.is_empty() {
        done_along(conn, &along, now).await?;
    }
    let bindings: Vec<Binding> =
        ended.iter().flat_map(|end| [end.binding(), end.owner_along()]).flatten().collect();
    let mut ties = ended::ties(&bindings);
    if !ties.is_empty() {
        tie(conn, &ties).await?;
    }
    slots::bind(conn, &bindings, now).await?;
    ties.retain(|(binding, ..)| binding.slot.kind == SlotKind::Person);
    for (connection, keep, lose) in known_as_others(conn, &ties).await? {
        following::unite(conn, &connection, &keep, &lose, now).await?;
    }
    Ok(())
}

/// What would have set an owner that is set already.
async fn done_along(conn: &mut PgConnection, along: &[Binding], now: Timestamp) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'done', external_id = v.owner, ended_at = $3, problem = $4 \
         FROM unnest($1::text[], $2::text[]) AS v (key, owner) WHERE effect.key = v.key AND effect.state = 'blocked'",
    )
    .bind(column(along, |owner| owner.effect.as_str()))
    .bind(column(along, |owner| text(&owner.id)))
    .bind(ms(now))
    .bind(ended::MADE_WITH_IT)
    .execute(conn)
    .await?;
    Ok(())
}

/// Persons who were found to be an object that is known as somebody else: (connection, known as, found for).
async fn known_as_others(
    conn: &mut PgConnection,
    ties: &[(&Binding, &str, &str)],
) -> Result<Vec<(String, String, String)>, Fault> {
    let rows = sqlx::query_as(
        "SELECT DISTINCT l.connection, l.person, v.person FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
         AS v (connection, object, external_id, person) JOIN link l ON l.connection = v.connection \
         AND l.object = v.object AND l.external_id = v.external_id WHERE l.person != v.person",
    )
    .bind(column(ties, |(binding, ..)| text(&binding.slot.connection)))
    .bind(column(ties, |(_, object, _)| *object))
    .bind(column(ties, |(binding, ..)| text(&binding.id)))
    .bind(column(ties, |(.., person)| *person));
    Ok(rows.fetch_all(conn).await?)
}

async fn tie(conn: &mut PgConnection, ties: &[(&Binding, &str, &str)]) -> Result<(), Fault> {
    // One object may come back for two persons: the first one keeps it.
    sqlx::query(
        "INSERT INTO link (connection, object, external_id, person, enrolled, ours) \
         SELECT connection, object, external_id, (array_agg(person ORDER BY n))[1], bool_or(created), bool_or(created) \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[]) WITH ORDINALITY \
         AS v (connection, object, external_id, person, created, n) GROUP BY connection, object, external_id \
         ON CONFLICT (connection, object, external_id) DO UPDATE SET enrolled = link.enrolled OR excluded.enrolled, \
         ours = link.ours OR excluded.ours",
    )
    .bind(column(ties, |(binding, ..)| text(&binding.slot.connection)))
    .bind(column(ties, |(_, object, _)| *object))
    .bind(column(ties, |(binding, ..)| text(&binding.id)))
    .bind(column(ties, |(.., person)| *person))
    .bind(column(ties, |(binding, ..)| binding.origin == SlotOrigin::Created))
    .execute(conn)
    .await?;
    Ok(())
}
