//! Following merges and deletions on Postgres.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{CloseReason, ConnectionName, ExternalId, ObjectType, SlotKind};

use super::{PostgresStore, column, lock, settle, slots};
use crate::codec::{ms, text};
use crate::deciding::LinkKey;
use crate::ended::Binding;
use crate::error::StoreError;
use crate::fault::Fault;
use crate::following::{Followed, Following, Merged, Vanished};

#[async_trait]
impl Following for PostgresStore {
    async fn follow_merges(&self, merged: Merged, now: Timestamp) -> Result<Followed, StoreError> {
        self.write("follows merges", move |conn| {
            Box::pin(async move {
                lock::graph(conn).await?;
                let mut followed = Followed::default();
                let (connection, object) = (text(&merged.connection), text(&merged.object));
                for (loser, winner) in &merged.pairs {
                    let pair = [connection.clone(), object.clone(), text(loser), text(winner)];
                    if learn(conn, &pair, now).await? {
                        followed.merges += 1;
                        followed.leads += follow(conn, merged.kind, &pair, now).await?;
                    }
                }
                Ok(followed)
            })
        })
        .await
    }

    async fn survivors(&self, asked: &[LinkKey]) -> Result<Vec<(LinkKey, ExternalId)>, StoreError> {
        let asked = asked.to_vec();
        self.read("looks merged objects up", move |conn| Box::pin(survivors(conn, asked))).await
    }

    async fn vanish(&self, gone: Vanished, now: Timestamp) -> Result<u64, StoreError> {
        let (connection, object, ids) = (text(&gone.connection), text(&gone.object), column(&gone.ids, text));
        self.write("ends leads whose object is gone", move |conn| {
            Box::pin(async move {
                lock::graph(conn).await?;
                let slots = holding(conn, &connection, &object, gone.kind, &ids).await?;
                let leads = behind(conn, &connection, &object, &ids, &slots).await?;
                let reason = gone.reason();
                let ended = end(conn, &leads, CloseReason::Suppressed, &reason, now).await?;
                unbind(conn, &slots, now).await?;
                Ok(ended)
            })
        })
        .await
    }

    async fn objects_of_open_leads(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        after: Option<&ExternalId>,
        limit: u32,
    ) -> Result<Vec<ExternalId>, StoreError> {
        let (connection, object, after) = (text(connection), text(object), after.map(text));
        self.read("lists objects behind open leads", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String,)> = sqlx::query_as(
                    "SELECT DISTINCT l.external_id FROM (SELECT person FROM lead WHERE state = 'decided' \
                     UNION SELECT person FROM lead WHERE state = 'waiting') d JOIN link l ON l.person = d.person \
                     WHERE l.connection = $1 AND l.object = $2 AND l.external_id > $3 ORDER BY l.external_id LIMIT $4",
                )
                .bind(connection)
                .bind(object)
                .bind(after.unwrap_or_default())
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
                Ok(rows.into_iter().map(|(id,)| id.into()).collect())
            })
        })
        .await
    }
}

/// `[connection, object, loser, winner]`.
type Pair = [String; 4];

/// Whether the merge is news.
async fn learn(conn: &mut PgConnection, pair: &Pair, now: Timestamp) -> Result<bool, Fault> {
    let query = sqlx::query(
        "INSERT INTO merge (connection, object, loser, winner, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    );
    let query = pair.iter().fold(query, |query, part| query.bind(part));
    Ok(query.bind(ms(now)).execute(conn).await?.rows_affected() > 0)
}

/// The names of the slots that hold one of these objects. Those of persons have an index of their own; what stands for a
/// lead is found by whose lead it is.
async fn holding(
    conn: &mut PgConnection,
    connection: &str,
    object: &str,
    kind: Option<SlotKind>,
    ids: &[String],
) -> Result<Vec<String>, Fault> {
    let query = match kind {
        Some(SlotKind::Person) => sqlx::query_as(
            "SELECT name FROM slot WHERE kind = 'person' AND connection = $1 AND external_id = ANY($2)",
        )
        .bind(connection)
        .bind(ids),
        Some(kind) if kind.is_inquiry() => sqlx::query_as(
            "SELECT s.name FROM link k JOIN lead l ON l.person = k.person \
             JOIN slot s ON s.name = $4 || '/' || l.id || '/' || $1 AND s.external_id = k.external_id \
             WHERE k.connection = $1 AND k.object = $3 AND k.external_id = ANY($2)",
        )
        .bind(connection)
        .bind(ids)
        .bind(object)
        .bind(kind.as_str()),
        _ => return Ok(Vec::new()),
    };
    let rows: Vec<(String,)> = query.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Lets the winner be what the loser was. Returns how many leads were closed as merged.
///
/// What we made is ours no more: the merged object carries what others wrote, so nothing may archive it as our own.
async fn follow(
    conn: &mut PgConnection,
    kind: Option<SlotKind>,
    pair: &Pair,
    now: Timestamp,
) -> Result<u64, Fault> {
    let [connection, object, loser, winner] = pair;
    sqlx::query(
        "INSERT INTO link (connection, object, external_id, person, enrolled, ours) \
         SELECT connection, object, $4, person, enrolled, ours FROM link \
         WHERE connection = $1 AND object = $2 AND external_id = $3 ON CONFLICT (connection, object, external_id) \
         DO UPDATE SET enrolled = link.enrolled OR excluded.enrolled, ours = link.ours AND excluded.ours",
    )
    .bind(connection)
    .bind(object)
    .bind(loser)
    .bind(winner)
    .execute(&mut *conn)
    .await?;
    let slots = holding(conn, connection, object, kind, &[loser.clone(), winner.clone()]).await?;
    sqlx::query("UPDATE slot SET external_id = $2, origin = 'found' WHERE name = ANY($1)")
        .bind(&slots)
        .bind(winner)
        .execute(&mut *conn)
        .await?;
    if kind.is_some_and(SlotKind::is_inquiry) {
        return Ok(0);
    }
    let persons: Vec<(String,)> = sqlx::query_as(
        "SELECT person FROM (SELECT person, 0 AS place FROM link WHERE connection = $1 AND object = $2 \
         AND external_id = $4 UNION ALL SELECT person, 1 FROM link WHERE connection = $1 AND object = $2 \
         AND external_id = $3 UNION ALL SELECT slot.of, 2 FROM slot WHERE name = ANY($5)) known \
         GROUP BY person ORDER BY min(place), person",
    )
    .bind(connection)
    .bind(object)
    .bind(loser)
    .bind(winner)
    .bind(slots)
    .fetch_all(&mut *conn)
    .await?;
    let mut closed = 0;
    let Some(((keep,), others)) = persons.split_first() else { return Ok(0) };
    for (lose,) in others {
        closed += unite(conn, connection, keep, lose, now).await?;
    }
    Ok(closed)
}

/// Makes two persons one, because the vendor has one object for both. Returns how many leads were closed as merged.
pub(super) async fn unite(
    conn: &mut PgConnection,
    connection: &str,
    keep: &str,
    lose: &str,
    now: Timestamp,
) -> Result<u64, Fault> {
    let reason = format!("its person was merged with another in {connection}");
    let doubles = doubles(conn, keep, lose).await?;
    let closed = end(conn, &doubles, CloseReason::Merged, &reason, now).await?;
    absorb(conn, keep, lose, now).await?;
    Ok(closed)
}

/// The open leads of two persons but one: what was begun stays, then what has an owner, then the oldest.
async fn doubles(conn: &mut PgConnection, keep: &str, lose: &str) -> Result<BTreeSet<String>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT l.id FROM lead l WHERE l.person IN ($1, $2) AND l.state != 'closed' ORDER BY EXISTS \
         (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.state IN ('sending', 'unknown', 'done')) DESC, \
         l.state = 'decided' DESC, l.opened_at, l.seq OFFSET 1",
    )
    .bind(keep)
    .bind(lose)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(lead,)| lead).collect())
}

/// Moves everything of a person to another. The slots stay beside: writes under way name them.
async fn absorb(conn: &mut PgConnection, keep: &str, lose: &str, now: Timestamp) -> Result<(), Fault> {
    const MOVES: [&str; 3] = [
        "WITH lost AS (DELETE FROM identity_key WHERE person = $2 RETURNING kind, value) \
         INSERT INTO identity_key (kind, value, person) SELECT kind, value, $1 FROM lost ON CONFLICT DO NOTHING",
        "UPDATE link SET person = $1 WHERE person = $2",
        "UPDATE lead SET person = $1 WHERE person = $2",
    ];
    for sql in MOVES {
        sqlx::query(sql).bind(keep).bind(lose).execute(&mut *conn).await?;
    }
    let slots: Vec<(String, String, String)> =
        sqlx::query_as("SELECT connection, external_id, origin FROM slot WHERE kind = 'person' AND of = $1")
            .bind(lose)
            .fetch_all(&mut *conn)
            .await?;
    slots::bind(conn, &Binding::of_person(keep, slots), now).await
}

/// The open leads that hang on one of the objects. An id that was merged away is not gone.
async fn behind(
    conn: &mut PgConnection,
    connection: &str,
    object: &str,
    ids: &[String],
    slots: &[String],
) -> Result<BTreeSet<String>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "WITH gone (id) AS MATERIALIZED (SELECT v FROM unnest($3::text[]) AS v WHERE NOT EXISTS (SELECT 1 FROM merge m \
           WHERE m.connection = $1 AND m.object = $2 AND m.loser = v)) \
         SELECT l.id FROM gone JOIN record r ON r.connection = $1 AND r.object = $2 AND r.external_id = gone.id \
           JOIN lead l ON l.id = r.lead WHERE r.state = 'opened' AND l.state != 'closed' \
         UNION SELECT l.id FROM slot s JOIN lead l ON l.person = s.of WHERE s.name = ANY($4) AND l.state != 'closed' \
         UNION SELECT l.id FROM slot s JOIN lead l ON l.id = s.of WHERE s.name = ANY($4) AND l.state != 'closed'",
    )
    .bind(connection)
    .bind(object)
    .bind(ids)
    .bind(slots)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(lead,)| lead).collect())
}

/// Forgets that something is at the vendor under an id that is gone, so that a later inquiry is written anew. A slot that
/// something on its way still needs stays.
async fn unbind(conn: &mut PgConnection, slots: &[String], now: Timestamp) -> Result<(), Fault> {
    // The ids are kept aside: whoever asks later can still be told who it was.
    sqlx::query(
        "INSERT INTO slot_other (name, external_id, origin, effect, at) SELECT name, external_id, origin, '', $2 FROM slot \
         WHERE name = ANY($1) ON CONFLICT DO NOTHING",
    )
    .bind(slots)
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    let slots: Vec<(String,)> = sqlx::query_as(
        "DELETE FROM slot WHERE name = ANY($1) AND NOT EXISTS (SELECT 1 FROM lead l \
         WHERE l.state != 'closed' AND l.person = slot.of OR l.state != 'closed' AND l.id = slot.of) RETURNING name",
    )
    .bind(slots)
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'vendor', ended_at = $2, problem = 'what it made was deleted' \
         WHERE binds = ANY($1) AND state = 'done'",
    )
    .bind(column(&slots, |(name,)| name.as_str()))
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels what the leads have not sent, and closes them. What is on its way ends by itself and changes nothing about
/// that. Returns how many were closed.
async fn end(
    conn: &mut PgConnection,
    leads: &BTreeSet<String>,
    how: CloseReason,
    reason: &str,
    now: Timestamp,
) -> Result<u64, Fault> {
    if leads.is_empty() {
        return Ok(0);
    }
    let leads: Vec<&str> = leads.iter().map(String::as_str).collect();
    settle::cancel_unsent(conn, &leads, reason, now).await?;
    let done = sqlx::query(
        "UPDATE lead SET state = 'closed', close_reason = $4, detail = $2, closed_at = $3, wait = NULL, wait_until = NULL \
         WHERE id = ANY($1) AND state != 'closed'",
    )
    .bind(&leads)
    .bind(reason)
    .bind(ms(now))
    .bind(how.as_str())
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

async fn survivors(
    conn: &mut PgConnection,
    asked: Vec<LinkKey>,
) -> Result<Vec<(LinkKey, ExternalId)>, Fault> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "WITH RECURSIVE way (n, connection, object, id, length) AS (SELECT n, connection, object, id, 0 \
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS v (connection, object, id, n) \
           UNION ALL SELECT w.n, w.connection, w.object, m.winner, w.length + 1 FROM way w \
           JOIN merge m ON m.connection = w.connection AND m.object = w.object AND m.loser = w.id WHERE w.length < 100) \
         SELECT DISTINCT ON (n) n - 1, id FROM way WHERE length > 0 ORDER BY n, length DESC",
    )
    .bind(column(&asked, |key| text(&key.connection)))
    .bind(column(&asked, |key| text(&key.object)))
    .bind(column(&asked, |key| text(&key.external_id)))
    .fetch_all(conn)
    .await?;
    let found = |(n, id): (i64, String)| Some((asked.get(usize::try_from(n).ok()?)?.clone(), id.into()));
    Ok(rows.into_iter().filter_map(found).collect())
}
