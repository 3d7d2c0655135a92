//! Watching on Postgres.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, LeadId};

use super::{PostgresStore, column, intake};
use crate::codec::{ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::watching::{
    self, Hit, HitRow, KnownObject, LeadEvents, Question, READ_LATE, Responses, SeenObject, WatchCommit,
    Watching,
};

#[async_trait]
impl Watching for PostgresStore {
    async fn known_objects(
        &self,
        connection: &ConnectionName,
        seen: &[SeenObject],
    ) -> Result<Vec<KnownObject>, StoreError> {
        let (connection, seen) = (text(connection), seen.to_vec());
        self.read("looks for objects of leads", move |conn| {
            Box::pin(async move {
                let hits = hits(conn, &connection, &watching::questions_of_sights(&seen)).await?;
                let rows: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
                    "SELECT s.object, s.external_id, s.owner, s.print FROM unnest($2::text[], $3::text[]) AS v (object, id) \
                     JOIN sight s ON s.connection = $1 AND s.object = v.object AND s.external_id = v.id",
                )
                .bind(connection)
                .bind(column(&seen, |seen| text(&seen.object.object)))
                .bind(column(&seen, |seen| text(&seen.object.id)))
                .fetch_all(conn)
                .await?;
                let last: BTreeMap<_, _> =
                    rows.into_iter().map(|(object, id, owner, print)| ((object, id), (owner, print))).collect();
                watching::known(&seen, hits, &last)
            })
        })
        .await
    }

    async fn commit_watch(&self, commit: WatchCommit) -> Result<u64, StoreError> {
        self.write("stores what happened at the CRM", move |conn| Box::pin(store(conn, commit))).await
    }

    async fn lead_events(&self, lead: LeadId) -> Result<LeadEvents, StoreError> {
        self.read("reads what happened to a lead", move |conn| {
            Box::pin(async move {
                let lead = lead.to_string();
                let first =
                    sqlx::query_as(watching::FIRST).bind(lead.clone()).fetch_optional(&mut *conn).await?;
                let events: Vec<String> =
                    sqlx::query_scalar(watching::EVENTS).bind(lead).fetch_all(conn).await?;
                watching::lead_events(first, &events)
            })
        })
        .await
    }

    async fn responses(&self, since: Timestamp) -> Result<Responses, StoreError> {
        self.read("reads how soon leads were touched", move |conn| {
            Box::pin(async move {
                let since = ms(since);
                let waited: Vec<i64> =
                    sqlx::query_scalar(watching::WAITED).bind(since).fetch_all(&mut *conn).await?;
                let untouched = sqlx::query_scalar(watching::UNTOUCHED).bind(since).fetch_one(conn).await?;
                Ok(watching::responses(&waited, untouched))
            })
        })
        .await
    }
}

/// The leads that these objects belong to: those of a person, and the one whose lead or deal it is.
async fn hits(conn: &mut PgConnection, connection: &str, questions: &[Question]) -> Result<Vec<Hit>, Fault> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HitRow> = sqlx::query_as(
        "WITH v AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], \
           $7::text[]) AS v (n, kind, object, id, owner, task)), \
         hit AS ( \
           SELECT v.n, v.kind, v.id, v.owner, v.task, l.id AS lead FROM v JOIN link k ON k.connection = $1 \
             AND k.object = v.object AND k.external_id = v.id JOIN lead l ON l.person = k.person WHERE v.kind = 'person' \
           UNION SELECT v.n, v.kind, v.id, v.owner, v.task, l.id FROM v JOIN slot s ON s.external_id = v.id \
             AND s.connection = $1 AND s.kind = 'person' JOIN lead l ON l.person = s.of WHERE v.kind = 'person' \
           UNION SELECT v.n, v.kind, v.id, v.owner, v.task, l.id FROM v JOIN link k ON k.connection = $1 \
             AND k.object = v.object AND k.external_id = v.id JOIN lead l ON l.person = k.person \
             JOIN slot s ON s.name = v.kind || '/' || l.id || '/' || $1 AND s.external_id = v.id \
             WHERE v.kind IN ('lead', 'deal')) \
         SELECT h.n, h.kind, l.id, coalesce((SELECT min(r.created_at) FROM record r WHERE r.state = 'opened' \
             AND r.lead = l.id AND r.created_at BETWEEN l.received_at - $8 AND l.received_at), l.received_at), \
           (SELECT CASE o.outcome WHEN 'reopened' THEN NULL ELSE o.at END FROM happening o WHERE o.lead = l.id \
             AND o.outcome IS NOT NULL ORDER BY o.at DESC LIMIT 1), \
           EXISTS (SELECT 1 FROM decision d WHERE d.lead = l.id AND d.owner = h.owner) \
             OR EXISTS (SELECT 1 FROM owner_write w WHERE w.connection = $1 AND w.kind = h.kind \
               AND w.external_id = h.id AND w.owner = h.owner) \
             OR EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.kind = 'close_task' \
               AND e.state IN ('sending', 'unknown', 'done') AND e.body::json #>> '{task,id}' = h.task), \
           CASE l.mode WHEN 'live' THEN (SELECT d.owner FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1) \
             ELSE l.crm_owner END \
         FROM hit h JOIN lead l ON l.id = h.lead WHERE coalesce(l.close_reason, '') NOT IN ('merged', 'suppressed')",
    )
    .bind(connection)
    .bind(column(questions, |question| question.0))
    .bind(column(questions, |question| question.1.as_str()))
    .bind(column(questions, |question| question.2.as_str()))
    .bind(column(questions, |question| question.3.as_str()))
    .bind(column(questions, |question| question.4.as_deref()))
    .bind(column(questions, |question| question.5.as_deref()))
    .bind(i64::try_from(READ_LATE.as_millis()).unwrap_or(i64::MAX))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Hit::of).collect()
}

async fn store(conn: &mut PgConnection, commit: WatchCommit) -> Result<u64, Fault> {
    let WatchCommit { connection, stream, previous, cursor, events, seen, now } = commit;
    intake::step_cursor(conn, (&connection, &stream), previous.as_ref(), &cursor, now).await?;
    let connection = text(&connection);
    let hits = hits(conn, &connection, &watching::questions(&events)).await?;
    let (rows, touches) = watching::rows(&events, &hits)?;
    let new = sqlx::query(
        "INSERT INTO happening (lead, connection, event, at, stored_at, outcome, body) \
         SELECT v.lead, $1, v.event, v.at, $2, v.outcome, v.body FROM unnest($3::text[], $4::text[], $5::bigint[], \
         $6::text[], $7::text[]) AS v (lead, event, at, outcome, body) ORDER BY v.lead, v.event ON CONFLICT DO NOTHING",
    )
    .bind(&connection)
    .bind(ms(now))
    .bind(column(&rows, |row| row.lead.as_str()))
    .bind(column(&rows, |row| row.event.as_str()))
    .bind(column(&rows, |row| row.at))
    .bind(column(&rows, |row| row.outcome))
    .bind(column(&rows, |row| row.body.as_str()))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO first_touch AS f (lead, arrived_at, at, how, owner) SELECT * FROM unnest($1::text[], $2::bigint[], \
         $3::bigint[], $4::text[], $5::text[]) AS v (lead) ORDER BY v.lead ON CONFLICT (lead) \
         DO UPDATE SET at = excluded.at, how = excluded.how, owner = excluded.owner WHERE excluded.at < f.at",
    )
    .bind(column(&touches, |row| row.lead.as_str()))
    .bind(column(&touches, |row| row.arrived_at))
    .bind(column(&touches, |row| row.at))
    .bind(column(&touches, |row| row.how))
    .bind(column(&touches, |row| row.by.as_deref()))
    .execute(&mut *conn)
    .await?;
    let seen = watching::last_sights(seen);
    sqlx::query(
        "INSERT INTO sight AS s (connection, object, external_id, owner, print, at) SELECT $1, v.* \
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS v (object, id) \
         ORDER BY v.object, v.id ON CONFLICT (connection, object, external_id) \
         DO UPDATE SET owner = excluded.owner, print = excluded.print, at = excluded.at WHERE excluded.at >= s.at",
    )
    .bind(&connection)
    .bind(column(&seen, |seen| text(&seen.object.object)))
    .bind(column(&seen, |seen| text(&seen.object.id)))
    .bind(column(&seen, |seen| seen.owner.as_ref().map(text)))
    .bind(column(&seen, |seen| text(&seen.print)))
    .bind(column(&seen, |seen| ms(seen.at)))
    .execute(conn)
    .await?;
    Ok(new.rows_affected())
}
