//! Watching on SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{ConnectionName, LeadId};

use super::SqliteStore;
use super::bulk::Bulk;
use super::codec::{json, ms, text};
use super::fault::Fault;
use super::intake;
use super::writer::Priority;
use crate::error::StoreError;
use crate::watching::{
    self, Hit, HitRow, KnownObject, LeadEvents, Question, READ_LATE, Responses, SeenObject, WatchCommit,
    Watching,
};

static HAPPENED: Bulk = Bulk::insert(
    "INSERT INTO happening (lead, connection, event, at, stored_at, outcome, body)",
    7,
    "ON CONFLICT DO NOTHING",
);

static TOUCHED: Bulk = Bulk::insert(
    "INSERT INTO first_touch (lead, arrived_at, at, how, owner)",
    5,
    "ON CONFLICT DO UPDATE SET at = excluded.at, how = excluded.how, owner = excluded.owner WHERE excluded.at < at",
);

static SEEN: Bulk = Bulk::insert(
    "INSERT INTO sight (connection, object, external_id, owner, print, at)",
    6,
    "ON CONFLICT DO UPDATE SET owner = excluded.owner, print = excluded.print, at = excluded.at WHERE excluded.at >= at",
);

#[async_trait]
impl Watching for SqliteStore {
    async fn known_objects(
        &self,
        connection: &ConnectionName,
        seen: &[SeenObject],
    ) -> Result<Vec<KnownObject>, StoreError> {
        let (connection, seen) = (text(connection), seen.to_vec());
        self.read("looks for objects of leads", move |conn| {
            Box::pin(async move {
                let hits = hits(conn, &connection, watching::questions_of_sights(&seen)).await?;
                let ids: Vec<[String; 2]> =
                    seen.iter().map(|seen| [text(&seen.object.object), text(&seen.object.id)]).collect();
                let rows: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
                    "SELECT s.object, s.external_id, s.owner, s.print FROM json_each(?2) j CROSS JOIN sight s \
                     ON s.connection = ?1 AND s.object = j.value ->> 0 AND s.external_id = j.value ->> 1",
                )
                .bind(connection)
                .bind(json(&ids)?)
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
        self.write(Priority::Maintain, "stores what happened at the CRM", move |conn| {
            Box::pin(store(conn, commit))
        })
        .await
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
async fn hits(
    conn: &mut SqliteConnection,
    connection: &str,
    questions: Vec<Question>,
) -> Result<Vec<Hit>, Fault> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HitRow> = sqlx::query_as(
        "WITH v (n, kind, object, id, owner, task) AS MATERIALIZED (SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, \
           j.value ->> 3, j.value ->> 4, j.value ->> 5 FROM json_each(?2) j), \
         hit (n, kind, id, owner, task, lead) AS ( \
           SELECT v.n, v.kind, v.id, v.owner, v.task, l.id FROM v CROSS JOIN link k ON k.connection = ?1 \
             AND k.object = v.object AND k.external_id = v.id CROSS JOIN lead l ON l.person = k.person WHERE v.kind = 'person' \
           UNION SELECT v.n, v.kind, v.id, v.owner, v.task, l.id FROM v CROSS JOIN slot s ON s.external_id = v.id \
             AND s.connection = ?1 AND s.kind = 'person' CROSS JOIN lead l ON l.person = s.of WHERE v.kind = 'person' \
           UNION SELECT v.n, v.kind, v.id, v.owner, v.task, l.id FROM v CROSS JOIN link k ON k.connection = ?1 \
             AND k.object = v.object AND k.external_id = v.id CROSS JOIN lead l ON l.person = k.person \
             CROSS JOIN slot s ON s.name = v.kind || '/' || l.id || '/' || ?1 AND s.external_id = v.id \
             WHERE v.kind IN ('lead', 'deal')) \
         SELECT h.n, h.kind, l.id, coalesce((SELECT min(r.created_at) FROM record r WHERE r.state = 'opened' \
             AND r.lead = l.id AND r.created_at BETWEEN l.received_at - ?3 AND l.received_at), l.received_at), \
           (SELECT CASE o.outcome WHEN 'reopened' THEN NULL ELSE o.at END FROM happening o WHERE o.lead = l.id \
             AND o.outcome IS NOT NULL ORDER BY o.at DESC LIMIT 1), \
           EXISTS (SELECT 1 FROM decision d WHERE d.lead = l.id AND d.owner = h.owner) \
             OR EXISTS (SELECT 1 FROM owner_write w WHERE w.connection = ?1 AND w.kind = h.kind \
               AND w.external_id = h.id AND w.owner = h.owner) \
             OR EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.kind = 'close_task' \
               AND +e.state IN ('sending', 'unknown', 'done') AND e.body ->> '$.task.id' = h.task), \
           CASE l.mode WHEN 'live' THEN (SELECT d.owner FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1) \
             ELSE l.crm_owner END \
         FROM hit h CROSS JOIN lead l ON l.id = h.lead WHERE coalesce(l.close_reason, '') NOT IN ('merged', 'suppressed')",
    )
    .bind(connection.to_owned())
    .bind(json(&questions)?)
    .bind(i64::try_from(READ_LATE.as_millis()).unwrap_or(i64::MAX))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Hit::of).collect()
}

async fn store(conn: &mut SqliteConnection, commit: WatchCommit) -> Result<u64, Fault> {
    let WatchCommit { connection, stream, previous, cursor, events, seen, now } = commit;
    intake::step_cursor(conn, (&connection, &stream), previous.as_ref(), &cursor, now).await?;
    let connection = text(&connection);
    let hits = hits(conn, &connection, watching::questions(&events)).await?;
    let (rows, touches) = watching::rows(&events, &hits)?;
    let new = HAPPENED
        .run(conn, &rows, |query, row| {
            query
                .bind(row.lead.clone())
                .bind(connection.clone())
                .bind(row.event.clone())
                .bind(row.at)
                .bind(ms(now))
                .bind(row.outcome)
                .bind(row.body.clone())
        })
        .await?;
    TOUCHED
        .run(conn, &touches, |query, row| {
            query.bind(row.lead.clone()).bind(row.arrived_at).bind(row.at).bind(row.how).bind(row.by.clone())
        })
        .await?;
    SEEN.run(conn, &watching::last_sights(seen), |query, seen| {
        query
            .bind(connection.clone())
            .bind(text(&seen.object.object))
            .bind(text(&seen.object.id))
            .bind(seen.owner.as_ref().map(text))
            .bind(text(&seen.print))
            .bind(ms(seen.at))
    })
    .await?;
    Ok(new)
}
