//! Storing what became of claimed effects, and everything that follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{EffectState, SlotKind, SlotOrigin};

use super::bulk::{Bulk, Script};
use super::codec::{json, list, ms, numbers, text};
use super::fault::Fault;
use super::{following, gone, settle, slots};
use crate::delivering::{EffectOutcome, MOST_LAPSES};
use crate::ended::{self, Binding, Ended, Fate, HeldRow};

static OUTCOME: Bulk = Bulk::over(
    "WITH v (seq, state, cancelled, due_at, verified, lapses, ended_at, problem, external_id, now)",
    10,
    // The settle window counts from the end of the attempt: a batch may have been minutes on its way. What was looked for
    // in vain is in doubt no more.
    "UPDATE effect SET doubt_since = CASE WHEN v.state = 'planned' AND effect.state = 'unknown' THEN NULL \
     ELSE effect.doubt_since END, sent_at = CASE WHEN v.state = 'unknown' AND effect.state = 'sending' THEN v.now \
     ELSE effect.sent_at END, state = v.state, cancelled = v.cancelled, due_at = coalesce(v.due_at, effect.due_at), \
     lease_until = NULL, verified = effect.verified + v.verified, lapses = effect.lapses + v.lapses, \
     ended_at = v.ended_at, problem = v.problem, external_id = coalesce(v.external_id, effect.external_id) FROM v WHERE effect.seq = v.seq",
);

static ATTEMPT: Bulk = Bulk::insert(
    "INSERT INTO attempt (effect, number, at, outcome, detail)",
    5,
    "ON CONFLICT DO UPDATE SET at = excluded.at, outcome = excluded.outcome, detail = excluded.detail",
);

/// It would have set an owner that is set already.
static ALONG: Bulk = Bulk::over(
    "WITH v (key, owner, now, problem)",
    4,
    "UPDATE effect SET state = 'done', external_id = v.owner, ended_at = v.now, problem = v.problem FROM v \
     WHERE effect.key = v.key AND +effect.state = 'blocked'",
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
    let again: Vec<i64> = ended.iter().filter(|end| end.waits()).map(|end| end.seq).collect();
    if !again.is_empty() {
        settle::recall(conn, numbers(&again)?, now).await?;
    }
    let fates: Vec<Fate> = ended.into_iter().map(Fate::from).collect();
    follow(conn, &fates, now).await
}

/// Cancels what can not be sent any more, and closes the leads that are done by it.
async fn follow(conn: &mut SqliteConnection, fates: &[Fate], now: Timestamp) -> Result<(), Fault> {
    let mut leads: BTreeSet<String> = fates.iter().map(|fate| fate.lead.clone()).collect();
    for fate in fates {
        if let (Some(slot), Some(cancelled)) = (&fate.binds, fate.cancels) {
            let problem = fate.problem.as_deref().unwrap_or_default();
            let slots = [slot.clone()];
            leads.extend(settle::cancel_dependents(conn, &slots, cancelled, problem, now).await?);
        }
    }
    let seqs: Vec<i64> = fates.iter().map(|fate| fate.seq).collect();
    leads.extend(settle::leads_behind(conn, numbers(&seqs)?).await?);
    let bad = fates.iter().any(|fate| fate.cancels.is_some());
    settle::close_leads(conn, &leads, bad, now).await
}

/// Fails claimed effects whose stored form can not be read: rejected if they were about to be sent, parked if they may
/// have been.
pub(super) async fn fail_unreadable(
    conn: &mut SqliteConnection,
    unreadable: Vec<(i64, String)>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut fates = Vec::with_capacity(unreadable.len());
    for (seq, problem) in unreadable {
        tracing::error!(effect = seq, problem, "a stored write can not be read and fails alone");
        let failed: (String, Option<String>) = sqlx::query_as(
            "UPDATE effect SET state = CASE state WHEN 'sending' THEN 'rejected' ELSE 'parked' END, \
             lease_until = NULL, ended_at = ?2, problem = ?3 WHERE seq = ?1 RETURNING lead, binds",
        )
        .bind(seq)
        .bind(ms(now))
        .bind(text(&problem))
        .fetch_one(&mut *conn)
        .await?;
        fates.push(Fate::refused(seq, failed, Some(problem)));
    }
    if fates.is_empty() { Ok(()) } else { follow(conn, &fates, now).await }
}

/// Makes `sending` effects unknown whose lease lapsed by then, or all of them: whoever sent them is dead. One that took
/// its sender down too often is parked.
pub(super) async fn recover(
    conn: &mut SqliteConnection,
    lapsed_by: Option<Timestamp>,
    now: Timestamp,
) -> Result<u64, Fault> {
    let rows: Vec<(i64, String, Option<String>, String)> = sqlx::query_as(
        "UPDATE effect SET lapses = lapses + 1, sent_at = ?2, lease_until = NULL, \
         due_at = CASE WHEN lapses + 1 >= ?3 THEN due_at ELSE ?2 END, \
         ended_at = CASE WHEN lapses + 1 >= ?3 THEN ?2 END, \
         state = CASE WHEN lapses + 1 >= ?3 THEN 'parked' ELSE 'unknown' END, \
         problem = CASE WHEN lapses + 1 >= ?3 THEN 'sending it stopped the program too often; report it, look at the \
           vendor, then `usher failed retry`' ELSE 'the process that sent it gave no answer' END \
         WHERE state = 'sending' AND (?1 IS NULL OR lease_until <= ?1) RETURNING seq, lead, binds, state",
    )
    .bind(lapsed_by.map(ms))
    .bind(ms(now))
    .bind(MOST_LAPSES)
    .fetch_all(&mut *conn)
    .await?;
    let count = rows.len() as u64;
    let parked = rows.into_iter().filter(|(.., state)| state == "parked");
    let fates: Vec<Fate> =
        parked.map(|(seq, lead, binds, _)| Fate::refused(seq, (lead, binds), None)).collect();
    if !fates.is_empty() {
        follow(conn, &fates, now).await?;
    }
    Ok(count)
}

/// Compares each outcome with its row: a claim that was taken over, or an effect that ended meanwhile, is left alone.
async fn still_held(conn: &mut SqliteConnection, outcomes: Vec<EffectOutcome>) -> Result<Vec<Ended>, Fault> {
    let rows: Vec<HeldRow> = sqlx::query_as(
        "SELECT e.seq, e.key, e.attempts, e.lapses, e.state, e.sent_at, e.lead, e.binds FROM json_each(?) j \
         CROSS JOIN effect e ON e.key = j.value WHERE e.state IN ('sending', 'unknown')",
    )
    .bind(list(outcomes.iter().map(|outcome| outcome.key.as_str()))?)
    .fetch_all(conn)
    .await?;
    Ended::of(rows, outcomes)
}

/// Stores where the effects stand, binds the slots of what is done, and ties a person's objects to the person: one that we
/// created has opened its lead, so its echo from the vendor is known for what it is.
async fn update(conn: &mut SqliteConnection, ended: &[Ended], now: Timestamp) -> Result<(), Fault> {
    let along: Vec<Binding> = ended.iter().filter_map(Ended::owner_along).collect();
    let bindings: Vec<Binding> =
        ended.iter().flat_map(|end| [end.binding(), end.owner_along()]).flatten().collect();
    let ties = ended::ties(&bindings);
    let told: Vec<&Ended> = ended.iter().filter(|end| !end.done_at_once()).collect();
    let script = Script::new()
        .then(&OUTCOME, ended, |query, end| {
            query
                .bind(end.seq)
                .bind(end.state.as_str())
                .bind((end.state == EffectState::Cancelled).then_some("vendor"))
                .bind(end.due_at)
                .bind(i64::from(end.in_vain()))
                .bind(i64::from(end.lapsed))
                .bind(end.state.is_final().then(|| ms(now)))
                .bind(end.problem.clone())
                .bind(end.bound.as_ref().map(|(id, _, _)| id.clone()))
                .bind(ms(now))
        })
        .then(&ATTEMPT, &told, |query, end| {
            query
                .bind(end.seq)
                .bind(end.attempt)
                .bind(ms(now))
                .bind(end.state.as_str())
                .bind(end.problem.clone())
        })
        .then(&ALONG, &along, |query, owner| {
            query.bind(owner.effect.clone()).bind(text(&owner.id)).bind(ms(now)).bind(ended::MADE_WITH_IT)
        })
        .then(&LINK, &ties, |query, (binding, object, person)| {
            let created = binding.origin == SlotOrigin::Created;
            query
                .bind(text(&binding.slot.connection))
                .bind((*object).to_owned())
                .bind(text(&binding.id))
                .bind((*person).to_owned())
                .bind(created)
                .bind(created)
        });
    slots::bind(conn, script, &bindings, now).await?;
    let persons = ties.iter().filter(|(binding, ..)| binding.slot.kind == SlotKind::Person);
    let tied = persons.map(|(binding, object, person)| {
        let connection = text(&binding.slot.connection);
        [connection, (*object).to_owned(), text(&binding.id), (*person).to_owned()]
    });
    for (connection, keep, lose) in known_as_others(conn, tied.collect()).await? {
        following::unite(conn, &connection, &keep, &lose, now).await?;
    }
    Ok(())
}

/// Persons who were found to be an object that is known as somebody else: (connection, known as, found for).
async fn known_as_others(
    conn: &mut SqliteConnection,
    tied: Vec<[String; 4]>,
) -> Result<Vec<(String, String, String)>, Fault> {
    if tied.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as(
        "SELECT DISTINCT l.connection, l.person, j.value ->> 3 FROM json_each(?1) j CROSS JOIN link l \
         ON l.connection = j.value ->> 0 AND l.object = j.value ->> 1 AND l.external_id = j.value ->> 2 \
         WHERE l.person != j.value ->> 3",
    );
    Ok(rows.bind(json(&tied)?).fetch_all(conn).await?)
}
