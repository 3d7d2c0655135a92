//! Following merges and deletions on SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{CloseReason, ConnectionName, ExternalId, ObjectType, SlotKind};

use super::SqliteStore;
use super::bulk::Script;
use super::codec::{clean, json, list, ms, text};
use super::fault::Fault;
use super::writer::Priority;
use super::{settle, slots};
use crate::deciding::LinkKey;
use crate::ended::Binding;
use crate::error::StoreError;
use crate::following::{Followed, Following, Merged, Vanished};

#[async_trait]
impl Following for SqliteStore {
    async fn follow_merges(&self, merged: Merged, now: Timestamp) -> Result<Followed, StoreError> {
        self.write(Priority::Decide, "follows merges", move |conn| {
            Box::pin(async move {
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
        let (connection, object) = (text(&gone.connection), text(&gone.object));
        self.write(Priority::Decide, "ends leads whose object is gone", move |conn| {
            Box::pin(async move {
                let ids = list(&gone.ids)?;
                let slots = holding(conn, &connection, &object, gone.kind, ids.clone()).await?;
                let leads = behind(conn, &connection, &object, ids, slots.clone()).await?;
                let reason = gone.reason();
                let ended = end(conn, &leads, CloseReason::Suppressed, &reason, now).await?;
                unbind(conn, slots, now).await?;
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
                     UNION SELECT person FROM lead WHERE state = 'waiting') d CROSS JOIN link l ON l.person = d.person \
                     WHERE l.connection = ?1 AND l.object = ?2 AND l.external_id > ?3 ORDER BY l.external_id LIMIT ?4",
                )
                .bind(connection)
                .bind(object)
                .bind(after.unwrap_or_default())
                .bind(limit)
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
async fn learn(conn: &mut SqliteConnection, pair: &Pair, now: Timestamp) -> Result<bool, Fault> {
    let query = sqlx::query(
        "INSERT INTO merge (connection, object, loser, winner, at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    );
    let query = pair.iter().fold(query, |query, part| query.bind(part.clone()));
    Ok(query.bind(ms(now)).execute(conn).await?.rows_affected() > 0)
}

/// The names of the slots that hold one of these objects. Those of persons have an index of their own; what stands for a
/// lead is found by whose lead it is.
async fn holding(
    conn: &mut SqliteConnection,
    connection: &str,
    object: &str,
    kind: Option<SlotKind>,
    ids: String,
) -> Result<String, Fault> {
    let query = match kind {
        Some(SlotKind::Person) => sqlx::query_as(
            "SELECT s.name FROM json_each(?2) j CROSS JOIN slot s ON s.external_id = j.value \
             AND s.connection = ?1 AND s.kind = 'person'",
        )
        .bind(connection.to_owned())
        .bind(ids),
        Some(kind) if kind.is_inquiry() => sqlx::query_as(
            "SELECT s.name FROM json_each(?2) j CROSS JOIN link k ON k.connection = ?1 AND k.object = ?3 \
             AND k.external_id = j.value CROSS JOIN lead l ON l.person = k.person \
             CROSS JOIN slot s ON s.name = ?4 || '/' || l.id || '/' || ?1 AND s.external_id = j.value",
        )
        .bind(connection.to_owned())
        .bind(ids)
        .bind(object.to_owned())
        .bind(kind.as_str()),
        _ => return Ok("[]".to_owned()),
    };
    let rows: Vec<(String,)> = query.fetch_all(conn).await?;
    list(rows.iter().map(|(name,)| name))
}

/// Lets the winner be what the loser was. Returns how many leads were closed as merged.
///
/// What we made is ours no more: the merged object carries what others wrote, so nothing may archive it as our own.
async fn follow(
    conn: &mut SqliteConnection,
    kind: Option<SlotKind>,
    pair: &Pair,
    now: Timestamp,
) -> Result<u64, Fault> {
    let [connection, object, loser, winner] = pair;
    let link = sqlx::query(
        "INSERT INTO link (connection, object, external_id, person, enrolled, ours) \
         SELECT connection, object, ?4, person, enrolled, ours FROM link \
         WHERE connection = ?1 AND object = ?2 AND external_id = ?3 \
         ON CONFLICT DO UPDATE SET enrolled = max(enrolled, excluded.enrolled), ours = min(ours, excluded.ours)",
    );
    pair.iter().fold(link, |query, part| query.bind(part.clone())).execute(&mut *conn).await?;
    let slots = holding(conn, connection, object, kind, list([loser, winner])?).await?;
    sqlx::query(
        "UPDATE slot SET external_id = ?2, origin = 'found' WHERE name IN (SELECT value FROM json_each(?1))",
    )
    .bind(slots.clone())
    .bind(winner.clone())
    .execute(&mut *conn)
    .await?;
    if kind.is_some_and(SlotKind::is_inquiry) {
        return Ok(0);
    }
    let persons = sqlx::query_as(
        "SELECT person FROM (SELECT person, 0 AS place FROM link WHERE connection = ?1 AND object = ?2 \
         AND external_id = ?4 UNION ALL SELECT person, 1 FROM link WHERE connection = ?1 AND object = ?2 \
         AND external_id = ?3 UNION ALL SELECT s.of, 2 FROM json_each(?5) j CROSS JOIN slot s ON s.name = j.value) \
         GROUP BY person ORDER BY min(place), person",
    );
    let persons = pair.iter().fold(persons, |query, part| query.bind(part.clone()));
    let persons: Vec<(String,)> = persons.bind(slots).fetch_all(&mut *conn).await?;
    let mut closed = 0;
    let Some(((keep,), others)) = persons.split_first() else { return Ok(0) };
    for (lose,) in others {
        closed += unite(conn, connection, keep, lose, now).await?;
    }
    Ok(closed)
}

/// Makes two persons one, because the vendor has one object for both. Returns how many leads were closed as merged.
pub(super) async fn unite(
    conn: &mut SqliteConnection,
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
async fn doubles(conn: &mut SqliteConnection, keep: &str, lose: &str) -> Result<BTreeSet<String>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT l.id FROM lead l WHERE l.person IN (?1, ?2) AND l.state != 'closed' ORDER BY EXISTS \
         (SELECT 1 FROM effect e WHERE e.lead = l.id AND +e.state IN ('sending', 'unknown', 'done')) DESC, \
         l.state = 'decided' DESC, l.opened_at, l.seq LIMIT -1 OFFSET 1",
    )
    .bind(keep.to_owned())
    .bind(lose.to_owned())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(lead,)| lead).collect())
}

/// Moves everything of a person to another. The slots stay beside: writes under way name them.
async fn absorb(conn: &mut SqliteConnection, keep: &str, lose: &str, now: Timestamp) -> Result<(), Fault> {
    const MOVES: [&str; 4] = [
        "INSERT INTO identity_key (kind, value, person) SELECT kind, value, ?1 FROM identity_key WHERE person = ?2 \
         ON CONFLICT DO NOTHING",
        "DELETE FROM identity_key WHERE person = ?2 AND ?1 != ''",
        "UPDATE link SET person = ?1 WHERE person = ?2",
        "UPDATE lead SET person = ?1 WHERE person = ?2",
    ];
    for sql in MOVES {
        sqlx::query(sql).bind(keep.to_owned()).bind(lose.to_owned()).execute(&mut *conn).await?;
    }
    let slots: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT connection, external_id, origin FROM slot WHERE name > 'person/' || ?1 || '/' \
         AND name < 'person/' || ?1 || '0'",
    )
    .bind(lose.to_owned())
    .fetch_all(&mut *conn)
    .await?;
    slots::bind(conn, Script::new(), &Binding::of_person(keep, slots), now).await?;
    Ok(())
}

/// The open leads that hang on one of the objects. An id that was merged away is not gone.
async fn behind(
    conn: &mut SqliteConnection,
    connection: &str,
    object: &str,
    ids: String,
    slots: String,
) -> Result<BTreeSet<String>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "WITH gone (id) AS MATERIALIZED (SELECT j.value FROM json_each(?3) j WHERE NOT EXISTS (SELECT 1 FROM merge m \
           WHERE m.connection = ?1 AND m.object = ?2 AND m.loser = j.value)) \
         SELECT l.id FROM gone CROSS JOIN record r ON r.connection = ?1 AND r.object = ?2 AND r.external_id = gone.id \
           CROSS JOIN lead l ON l.id = r.lead WHERE r.state = 'opened' AND l.state != 'closed' \
         UNION SELECT l.id FROM json_each(?4) j CROSS JOIN slot s ON s.name = j.value \
           CROSS JOIN lead l ON l.person = s.of WHERE l.state != 'closed' \
         UNION SELECT l.id FROM json_each(?4) j CROSS JOIN slot s ON s.name = j.value \
           CROSS JOIN lead l ON l.id = s.of WHERE l.state != 'closed'",
    )
    .bind(connection.to_owned())
    .bind(object.to_owned())
    .bind(ids)
    .bind(slots)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(lead,)| lead).collect())
}

/// Forgets that something is at the vendor under an id that is gone, so that a later inquiry is written anew. A slot that
/// something on its way still needs stays.
async fn unbind(conn: &mut SqliteConnection, slots: String, now: Timestamp) -> Result<(), Fault> {
    // The ids are kept aside: whoever asks later can still be told who it was.
    sqlx::query(
        "INSERT INTO slot_other (name, external_id, origin, effect, at) SELECT s.name, s.external_id, s.origin, '', ?2 \
         FROM json_each(?1) j CROSS JOIN slot s ON s.name = j.value WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(slots.clone())
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    let slots: Vec<(String,)> = sqlx::query_as(
        "DELETE FROM slot WHERE name IN (SELECT value FROM json_each(?1)) \
         AND NOT EXISTS (SELECT 1 FROM lead l WHERE l.person = slot.of AND l.state != 'closed') \
         AND NOT EXISTS (SELECT 1 FROM lead l WHERE l.id = slot.of AND l.state != 'closed') RETURNING name",
    )
    .bind(slots)
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'vendor', ended_at = ?2, problem = 'what it made was deleted' \
         WHERE binds IN (SELECT value FROM json_each(?1)) AND +state = 'done'",
    )
    .bind(list(slots.iter().map(|(name,)| name))?)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels what the leads have not sent, and closes them. What is on its way ends by itself and changes nothing about
/// that. Returns how many were closed.
async fn end(
    conn: &mut SqliteConnection,
    leads: &BTreeSet<String>,
    how: CloseReason,
    reason: &str,
    now: Timestamp,
) -> Result<u64, Fault> {
    if leads.is_empty() {
        return Ok(0);
    }
    let leads = list(leads)?;
    settle::cancel_unsent(conn, leads.clone(), reason, now).await?;
    let done = sqlx::query(
        "UPDATE lead SET state = 'closed', close_reason = ?4, detail = ?2, closed_at = ?3, wait = NULL, wait_until = NULL \
         WHERE id IN (SELECT value FROM json_each(?1)) AND state != 'closed'",
    )
    .bind(leads)
    .bind(text(reason))
    .bind(ms(now))
    .bind(how.as_str())
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

async fn survivors(
    conn: &mut SqliteConnection,
    asked: Vec<LinkKey>,
) -> Result<Vec<(LinkKey, ExternalId)>, Fault> {
    let keys: Vec<[_; 3]> = asked
        .iter()
        .map(|key| {
            [clean(key.connection.as_str()), clean(key.object.as_str()), clean(key.external_id.as_str())]
        })
        .collect();
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(
        "WITH RECURSIVE way (n, connection, object, id, length) AS (SELECT j.key, j.value ->> 0, j.value ->> 1, \
           j.value ->> 2, 0 FROM json_each(?) j UNION ALL SELECT w.n, w.connection, w.object, m.winner, w.length + 1 \
           FROM way w CROSS JOIN merge m ON m.connection = w.connection AND m.object = w.object AND m.loser = w.id \
           WHERE w.length < 100) \
         SELECT n, id, max(length) FROM way GROUP BY n HAVING max(length) > 0",
    )
    .bind(json(&keys)?)
    .fetch_all(conn)
    .await?;
    let found = |(n, id, _): (i64, String, i64)| {
        Some((asked.get(usize::try_from(n).ok()?)?.clone(), ExternalId::new(id)))
    };
    Ok(rows.into_iter().filter_map(found).collect())
}
