//! One lead's story: what it was made from, how it was decided, what was written.

use sqlx::SqliteConnection;
use usher_model::{Decision, EffectKey, LeadId};

use super::codec::{effect_kind, effect_state, from_json, id, instant, maybe_instant, record_state};
use super::fault::Fault;
use crate::inspection::{AttemptRow, EffectRow, LeadStory, RecordSummary};
use crate::stored_lead::{StoredLead, lead_columns};

pub(super) async fn read(conn: &mut SqliteConnection, wanted: LeadId) -> Result<Option<LeadStory>, Fault> {
    let sql = concat!("SELECT ", lead_columns!(), " FROM lead l WHERE l.id = ?");
    let row: Option<StoredLead<0>> =
        sqlx::query_as(sql).bind(wanted.to_string()).fetch_optional(&mut *conn).await?;
    let Some(StoredLead { read, .. }) = row else { return Ok(None) };
    let (lead, []) = read?;
    Ok(Some(LeadStory {
        lead,
        records: records(conn, wanted).await?,
        decisions: decisions(conn, wanted).await?,
        effects: effects(conn, wanted).await?,
        attempts: attempts(conn, wanted).await?,
    }))
}

async fn records(conn: &mut SqliteConnection, lead: LeadId) -> Result<Vec<RecordSummary>, Fault> {
    let rows: Vec<(i64, String, String, String, String, i64)> = sqlx::query_as(
        "SELECT seq, id, connection, external_id, state, received_at FROM record WHERE state = 'opened' AND lead = ?1 \
         UNION ALL SELECT seq, id, connection, external_id, state, received_at FROM record \
         WHERE state = 'updated' AND lead = ?1 ORDER BY received_at, seq",
    )
    .bind(lead.to_string())
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(_, record, connection, external_id, state, received_at)| {
            Ok(RecordSummary {
                id: id(&record)?,
                connection: connection.into(),
                external_id: external_id.into(),
                state: record_state(&state)?,
                received_at: instant(received_at)?,
            })
        })
        .collect()
}

async fn decisions(conn: &mut SqliteConnection, lead: LeadId) -> Result<Vec<Decision>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT body FROM decision WHERE lead = ? ORDER BY seq")
        .bind(lead.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|(body,)| from_json("decision", body)).collect()
}

async fn effects(conn: &mut SqliteConnection, lead: LeadId) -> Result<Vec<EffectRow>, Fault> {
    type Found = (String, String, String, String, u32, i64, Option<i64>, Option<String>, Option<String>);
    let rows: Vec<Found> = sqlx::query_as(
        "SELECT key, episode, kind, state, attempts, planned_at, ended_at, problem, external_id FROM effect \
         WHERE seq IN (SELECT seq FROM effect WHERE lead = ?1 \
                       UNION SELECT effect FROM shared_effect WHERE lead = ?1) ORDER BY seq",
    )
    .bind(lead.to_string())
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(key, episode, kind, state, attempts, planned_at, ended_at, problem, external_id)| {
            Ok(EffectRow {
                key: EffectKey::new(key),
                episode: id(&episode)?,
                kind: effect_kind(&kind)?,
                state: effect_state(&state)?,
                attempts,
                planned_at: instant(planned_at)?,
                ended_at: maybe_instant(ended_at)?,
                problem,
                external_id: external_id.map(Into::into),
            })
        })
        .collect()
}

async fn attempts(conn: &mut SqliteConnection, lead: LeadId) -> Result<Vec<AttemptRow>, Fault> {
    let rows: Vec<(String, u32, i64, String, Option<String>)> = sqlx::query_as(
        "SELECT e.key, a.number, a.at, a.outcome, a.detail FROM attempt a JOIN effect e ON e.seq = a.effect \
         WHERE a.effect IN (SELECT seq FROM effect WHERE lead = ?1 \
                            UNION SELECT effect FROM shared_effect WHERE lead = ?1) ORDER BY a.at, a.effect, a.number",
    )
    .bind(lead.to_string())
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(key, number, at, outcome, detail)| {
            let outcome = effect_state(&outcome)?;
            Ok(AttemptRow { key: EffectKey::new(key), number, at: instant(at)?, outcome, detail })
        })
        .collect()
}
