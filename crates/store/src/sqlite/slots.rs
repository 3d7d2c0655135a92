//! Binding slots: the first vendor id that arrives for a slot is its id for ever.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::bulk::Bulk;
use super::codec::{list, ms, numbers, slot_name, text};
use super::fault::Fault;
use crate::ended::Binding;

static BIND: Bulk = Bulk::insert(
    "INSERT INTO slot (name, connection, kind, of, external_id, origin, object, bound_at, made_at)",
    9,
    // What was first seen in a poll may turn out to be ours.
    "ON CONFLICT DO UPDATE SET origin = 'created' WHERE external_id = excluded.external_id \
     AND excluded.origin = 'created'",
);

static OTHER: Bulk = Bulk::over(
    "WITH v (name, external_id, origin, effect, at)",
    5,
    "INSERT INTO slot_other (name, external_id, origin, effect, at) \
     SELECT v.name, v.external_id, v.origin, v.effect, v.at FROM v CROSS JOIN slot ON slot.name = v.name \
     WHERE slot.external_id != v.external_id ON CONFLICT DO NOTHING",
);

/// Binds what is unbound, keeps further ids aside, and frees the effects that waited for nothing else.
pub(super) async fn bind(
    conn: &mut SqliteConnection,
    bindings: &[Binding],
    now: Timestamp,
) -> Result<(), Fault> {
    if bindings.is_empty() {
        return Ok(());
    }
    let new = BIND
        .run(conn, bindings, |query, binding| {
            query
                .bind(slot_name(&binding.slot))
                .bind(text(&binding.slot.connection))
                .bind(binding.slot.kind.as_str())
                .bind(text(&binding.slot.of))
                .bind(text(&binding.id))
                .bind(binding.origin.as_str())
                .bind(binding.object.clone())
                .bind(ms(now))
                .bind(binding.made_at)
        })
        .await?;
    if new < bindings.len() as u64 {
        let others = OTHER
            .run(conn, bindings, |query, binding| {
                query
                    .bind(slot_name(&binding.slot))
                    .bind(text(&binding.id))
                    .bind(binding.origin.as_str())
                    .bind(binding.effect.clone())
                    .bind(ms(now))
            })
            .await?;
        if others > 0 {
            tracing::warn!(
                others,
                "vendor ids arrived for slots that hold another id; the first one is kept"
            );
        }
    }
    unblock(conn, list(bindings.iter().map(|binding| slot_name(&binding.slot)))?).await
}

async fn unblock(conn: &mut SqliteConnection, names: String) -> Result<(), Fault> {
    let met: Vec<(i64,)> =
        sqlx::query_as("DELETE FROM need WHERE slot IN (SELECT value FROM json_each(?)) RETURNING effect")
            .bind(names)
            .fetch_all(&mut *conn)
            .await?;
    if met.is_empty() {
        return Ok(());
    }
    let met: Vec<i64> = met.into_iter().map(|(effect,)| effect).collect();
    sqlx::query(
        "UPDATE effect SET state = 'planned' WHERE seq IN (SELECT value FROM json_each(?)) AND +state = 'blocked' \
         AND NOT EXISTS (SELECT 1 FROM need WHERE need.effect = effect.seq)",
    )
    .bind(numbers(&met)?)
    .execute(conn)
    .await?;
    Ok(())
}
