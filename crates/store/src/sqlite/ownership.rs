//! Owner writes on SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::SqliteConnection;
use usher_model::ConnectionName;

use super::SqliteStore;
use super::bulk::Bulk;
use super::codec::{json, list, ms, slot_kind, text};
use super::fault::Fault;
use super::plan;
use super::writer::Priority;
use crate::error::StoreError;
use crate::ownership::{CheckRow, FORGOTTEN, Owned, OwnerCheck, OwnerChecked, OwnerWrite, Ownership};

static NOTE: Bulk = Bulk::insert(
    "INSERT INTO owner_write (effect, connection, kind, external_id, expected, owner, at, check_at)",
    8,
    "ON CONFLICT DO NOTHING",
);

static CHECKED: Bulk = Bulk::over(
    "WITH v (effect, overwritten)",
    2,
    "UPDATE owner_write SET check_at = NULL, overwritten = v.overwritten FROM v WHERE owner_write.effect = v.effect",
);

/// The lead of the effect says it, unless a later episode has its own story.
static TOLD: Bulk = Bulk::over(
    "WITH v (effect, overwritten)",
    2,
    "UPDATE lead SET detail = v.overwritten FROM v CROSS JOIN effect e ON e.key = v.effect \
     WHERE lead.id = e.lead AND lead.episode = e.episode AND v.overwritten IS NOT NULL",
);

#[async_trait]
impl Ownership for SqliteStore {
    async fn note_owner_writes(&self, writes: Vec<OwnerWrite>) -> Result<(), StoreError> {
        self.write(Priority::Decide, "notes owner writes", move |conn| {
            Box::pin(async move {
                NOTE.run(conn, &writes, |query, write| {
                    query
                        .bind(text(write.effect.as_str()))
                        .bind(text(&write.connection))
                        .bind(write.object.0.as_str())
                        .bind(text(&write.object.1))
                        .bind(write.expected.as_ref().map(text))
                        .bind(write.owner.as_ref().map(text))
                        .bind(ms(write.at))
                        .bind(write.check_at.map(ms))
                })
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn owner_writes_since(
        &self,
        connection: &ConnectionName,
        objects: &[Owned],
        since: Timestamp,
    ) -> Result<BTreeMap<Owned, u64>, StoreError> {
        let connection = text(connection);
        let asked: Vec<[String; 2]> =
            objects.iter().map(|(kind, id)| [kind.as_str().to_owned(), text(id)]).collect();
        self.read("counts owner writes", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64)> = sqlx::query_as(
                    "SELECT w.kind, w.external_id, count(*) FROM (SELECT DISTINCT value AS of FROM json_each(?2)) j \
                     CROSS JOIN owner_write w ON w.connection = ?1 AND w.kind = j.of ->> 0 \
                     AND w.external_id = j.of ->> 1 AND w.at >= ?3 GROUP BY w.kind, w.external_id",
                )
                .bind(connection)
                .bind(json(&asked)?)
                .bind(ms(since))
                .fetch_all(conn)
                .await?;
                rows.into_iter()
                    .map(|(kind, object, count)| {
                        Ok(((slot_kind(&kind)?, object.into()), count.unsigned_abs()))
                    })
                    .collect()
            })
        })
        .await
    }

    async fn claim_owner_checks(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<OwnerCheck>, StoreError> {
        let connection = connection.clone();
        self.write(Priority::Maintain, "claims owner checks", move |conn| {
            Box::pin(claim(conn, connection, limit, now, lease_until))
        })
        .await
    }

    async fn finish_owner_checks(
        &self,
        checked: Vec<OwnerChecked>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(Priority::Maintain, "stores owner checks", move |conn| {
            Box::pin(finish(conn, checked, now))
        })
        .await
    }
}

async fn claim(
    conn: &mut SqliteConnection,
    connection: ConnectionName,
    limit: u32,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<OwnerCheck>, Fault> {
    let claimed: Vec<(String,)> = sqlx::query_as(
        "UPDATE owner_write SET check_at = ?4 WHERE effect IN (SELECT effect FROM owner_write \
         WHERE connection = ?1 AND check_at IS NOT NULL AND check_at <= ?3 ORDER BY check_at LIMIT ?2) \
         RETURNING effect",
    )
    .bind(text(&connection))
    .bind(limit)
    .bind(ms(now))
    .bind(ms(lease_until))
    .fetch_all(&mut *conn)
    .await?;
    let rows: Vec<CheckRow> = sqlx::query_as(
        "SELECT w.effect, w.kind, w.external_id, w.expected, w.owner, w.at, e.lead, e.episode FROM json_each(?) j \
         CROSS JOIN owner_write w ON w.effect = j.value CROSS JOIN effect e ON e.key = w.effect",
    )
    .bind(list(claimed.iter().map(|(effect,)| effect))?)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| OwnerCheck::of(&connection, row)).collect()
}

async fn finish(
    conn: &mut SqliteConnection,
    checked: Vec<OwnerChecked>,
    now: Timestamp,
) -> Result<(), Fault> {
    for statement in [&CHECKED, &TOLD] {
        statement
            .run(conn, &checked, |query, each| {
                query.bind(text(each.effect.as_str())).bind(each.overwritten.as_ref().map(text))
            })
            .await?;
    }
    let effects: Vec<_> = checked.into_iter().flat_map(|each| each.effects).collect();
    plan::effects(conn, &effects, &[], now).await?;
    let old = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    sqlx::query(
        "DELETE FROM owner_write WHERE effect IN (SELECT effect FROM owner_write \
         WHERE at < ? AND check_at IS NULL AND overwritten IS NULL LIMIT ?)",
    )
    .bind(ms(old))
    .bind(FORGOTTEN)
    .execute(conn)
    .await?;
    Ok(())
}
