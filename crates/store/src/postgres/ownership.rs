//! Owner writes on Postgres.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::PgConnection;
use usher_model::ConnectionName;

use super::{PostgresStore, column, lasts, lock, plan};
use crate::codec::{ms, slot_kind, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::ownership::{CheckRow, FORGOTTEN, Owned, OwnerCheck, OwnerChecked, OwnerWrite, Ownership};

#[async_trait]
impl Ownership for PostgresStore {
    async fn note_owner_writes(&self, writes: Vec<OwnerWrite>) -> Result<(), StoreError> {
        self.write("notes owner writes", move |conn| Box::pin(note(conn, writes))).await
    }

    async fn owner_writes_since(
        &self,
        connection: &ConnectionName,
        objects: &[Owned],
        since: Timestamp,
    ) -> Result<BTreeMap<Owned, u64>, StoreError> {
        let (connection, objects) = (text(connection), objects.to_vec());
        self.read("counts owner writes", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64)> = sqlx::query_as(
                    "SELECT w.kind, w.external_id, count(*) FROM (SELECT DISTINCT kind, external_id \
                     FROM unnest($2::text[], $3::text[]) AS v (kind, external_id)) v JOIN owner_write w \
                     ON w.connection = $1 AND w.kind = v.kind AND w.external_id = v.external_id AND w.at >= $4 \
                     GROUP BY w.kind, w.external_id",
                )
                .bind(connection)
                .bind(column(&objects, |(kind, _)| kind.as_str()))
                .bind(column(&objects, |(_, object)| text(object)))
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
        let (connection, clock) = (connection.clone(), self.asked(now));
        self.write("claims owner checks", move |conn| {
            Box::pin(async move {
                let rows: Vec<CheckRow> = sqlx::query_as(
                    "WITH due AS MATERIALIZED (SELECT effect FROM owner_write WHERE connection = $1 \
                     AND check_at <= coalesce($3, usher_now()) ORDER BY check_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
                     claimed AS (UPDATE owner_write w SET check_at = coalesce($3, usher_now()) + $4 FROM due \
                     WHERE w.effect = due.effect RETURNING w.*) \
                     SELECT w.effect, w.kind, w.external_id, w.expected, w.owner, w.at, e.lead, e.episode \
                     FROM claimed w JOIN effect e ON e.key = w.effect",
                )
                .bind(text(&connection))
                .bind(i64::from(limit))
                .bind(clock)
                .bind(lasts(now, lease_until))
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(|row| OwnerCheck::of(&connection, row)).collect()
            })
        })
        .await
    }

    async fn finish_owner_checks(
        &self,
        checked: Vec<OwnerChecked>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("stores owner checks", move |conn| Box::pin(finish(conn, checked, now))).await
    }
}

async fn note(conn: &mut PgConnection, writes: Vec<OwnerWrite>) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO owner_write (effect, connection, kind, external_id, expected, owner, at, check_at) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
         $8::bigint[]) AS v (effect) ORDER BY v.effect ON CONFLICT DO NOTHING",
    )
    .bind(column(&writes, |write| text(write.effect.as_str())))
    .bind(column(&writes, |write| text(&write.connection)))
    .bind(column(&writes, |write| write.object.0.as_str()))
    .bind(column(&writes, |write| text(&write.object.1)))
    .bind(column(&writes, |write| write.expected.as_ref().map(text)))
    .bind(column(&writes, |write| write.owner.as_ref().map(text)))
    .bind(column(&writes, |write| ms(write.at)))
    .bind(column(&writes, |write| write.check_at.map(ms)))
    .execute(conn)
    .await?;
    Ok(())
}

async fn finish(conn: &mut PgConnection, checked: Vec<OwnerChecked>, now: Timestamp) -> Result<(), Fault> {
    const TOLD: [&str; 2] = [
        "UPDATE owner_write w SET check_at = NULL, overwritten = v.overwritten \
         FROM unnest($1::text[], $2::text[]) AS v (effect, overwritten) WHERE w.effect = v.effect",
        // The lead of the effect says it, unless a later episode has its own story.
        "UPDATE lead l SET detail = v.overwritten FROM unnest($1::text[], $2::text[]) AS v (effect, overwritten) \
         JOIN effect e ON e.key = v.effect \
         WHERE l.id = e.lead AND l.episode = e.episode AND v.overwritten IS NOT NULL",
    ];
    lock::graph(conn).await?;
    for statement in TOLD {
        sqlx::query(statement)
            .bind(column(&checked, |each| text(each.effect.as_str())))
            .bind(column(&checked, |each| each.overwritten.as_ref().map(text)))
            .execute(&mut *conn)
            .await?;
    }
    let effects: Vec<_> = checked.into_iter().flat_map(|each| each.effects).collect();
    plan::effects(conn, &effects, now).await?;
    let old = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    sqlx::query(
        "DELETE FROM owner_write WHERE effect IN (SELECT effect FROM owner_write \
         WHERE at < $1 AND check_at IS NULL AND overwritten IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(ms(old))
    .bind(FORGOTTEN)
    .execute(conn)
    .await?;
    Ok(())
}
