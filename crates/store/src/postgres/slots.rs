//! Binding slots: the first vendor id that arrives for a slot is its id for ever.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::column;
use crate::codec::{ms, slot_name, text};
use crate::ended::Binding;
use crate::fault::Fault;

/// Binds what is unbound, keeps further ids aside, and frees the effects that waited for nothing else.
pub(super) async fn bind(conn: &mut PgConnection, bindings: &[Binding], now: Timestamp) -> Result<(), Fault> {
    if bindings.is_empty() {
        return Ok(());
    }
    let names = column(bindings, |binding| slot_name(&binding.slot));
    let new = sqlx::query(
        "INSERT INTO slot (name, connection, kind, of, external_id, origin, object, made_at, bound_at) \
         SELECT DISTINCT ON (name) name, connection, kind, of, external_id, origin, object, made_at, $9 FROM unnest($1::text[], \
         $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[]) WITH ORDINALITY \
         AS v (name, connection, kind, of, external_id, origin, object, made_at, n) ORDER BY name, n \
         ON CONFLICT (name) DO UPDATE SET origin = 'created' WHERE slot.external_id = excluded.external_id \
         AND excluded.origin = 'created'",
    )
    .bind(&names)
    .bind(column(bindings, |binding| text(&binding.slot.connection)))
    .bind(column(bindings, |binding| binding.slot.kind.as_str()))
    .bind(column(bindings, |binding| text(&binding.slot.of)))
    .bind(column(bindings, |binding| text(&binding.id)))
    .bind(column(bindings, |binding| binding.origin.as_str()))
    .bind(column(bindings, |binding| binding.object.as_deref()))
    .bind(column(bindings, |binding| binding.made_at))
    .bind(ms(now))
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if new < bindings.len() as u64 {
        set_aside(conn, bindings, &names, now).await?;
    }
    unblock(conn, &names).await
}

async fn set_aside(
    conn: &mut PgConnection,
    bindings: &[Binding],
    names: &[String],
    now: Timestamp,
) -> Result<(), Fault> {
    let others = sqlx::query(
        "INSERT INTO slot_other (name, external_id, origin, effect, at) SELECT v.name, v.external_id, v.origin, v.effect, $5 \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS v (name, external_id, origin, effect) \
         JOIN slot ON slot.name = v.name WHERE slot.external_id != v.external_id ON CONFLICT DO NOTHING",
    )
    .bind(names)
    .bind(column(bindings, |binding| text(&binding.id)))
    .bind(column(bindings, |binding| binding.origin.as_str()))
    .bind(column(bindings, |binding| binding.effect.as_str()))
    .bind(ms(now))
    .execute(conn)
    .await?
    .rows_affected();
    if others > 0 {
        tracing::warn!(others, "vendor ids arrived for slots that hold another id; the first one is kept");
    }
    Ok(())
}

async fn unblock(conn: &mut PgConnection, names: &[String]) -> Result<(), Fault> {
    let met: Vec<(i64,)> = sqlx::query_as("DELETE FROM need WHERE slot = ANY($1) RETURNING effect")
        .bind(names)
        .fetch_all(&mut *conn)
        .await?;
    if met.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE effect SET state = 'planned' WHERE seq = ANY($1) AND state = 'blocked' \
         AND NOT EXISTS (SELECT 1 FROM need WHERE need.effect = effect.seq)",
    )
    .bind(column(&met, |effect| effect.0))
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether one of the slots is still to be filled by an effect that has not ended.
pub(super) async fn awaited(conn: &mut PgConnection, names: &[String]) -> Result<bool, Fault> {
    let (awaited,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM effect WHERE binds = ANY($1) \
         AND state IN ('blocked', 'planned', 'sending', 'unknown'))",
    )
    .bind(names)
    .fetch_one(conn)
    .await?;
    Ok(awaited)
}
