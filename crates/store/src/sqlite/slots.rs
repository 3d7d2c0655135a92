//! Binding slots: the first vendor id that arrives for a slot is its id for ever.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::bulk::{Bound, Bulk, Script};
use super::codec::{list, ms, slot_name, text};
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

/// What waits for one of these slots, and for none that is unbound, may be sent.
static FREE: Bulk = Bulk::over(
    "WITH v (name)",
    1,
    "UPDATE effect SET state = 'planned' WHERE seq IN (SELECT n.effect FROM v CROSS JOIN need n ON n.slot = v.name) \
     AND +state = 'blocked' AND NOT EXISTS (SELECT 1 FROM need n WHERE n.effect = effect.seq \
       AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.name = n.slot))",
);

static MET: Bulk = Bulk::over("WITH v (name)", 1, "DELETE FROM need WHERE slot IN (SELECT name FROM v)");

/// Runs the script, binds what is unbound, keeps further ids aside, and frees the effects that waited for nothing else.
pub(super) async fn bind(
    conn: &mut SqliteConnection,
    script: Script<'_>,
    bindings: &[Binding],
    now: Timestamp,
) -> Result<Vec<u64>, Fault> {
    let name = |query: Bound, binding: &Binding| query.bind(slot_name(&binding.slot));
    let changed = script
        .then(&BIND, bindings, |query, binding| {
            name(query, binding)
                .bind(text(&binding.slot.connection))
                .bind(binding.slot.kind.as_str())
                .bind(text(&binding.slot.of))
                .bind(text(&binding.id))
                .bind(binding.origin.as_str())
                .bind(binding.object.clone())
                .bind(ms(now))
                .bind(binding.made_at)
        })
        .then(&FREE, bindings, name)
        .then(&MET, bindings, name)
        .run(conn)
        .await?;
    let new = changed.iter().rev().nth(2).copied().unwrap_or_default();
    if new < bindings.len() as u64 {
        let others = OTHER
            .run(conn, bindings, |query, binding| {
                name(query, binding)
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
    Ok(changed)
}

/// Whether one of the slots is still to be filled by an effect that has not ended.
pub(super) async fn awaited(conn: &mut SqliteConnection, names: &[String]) -> Result<bool, Fault> {
    let (awaited,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM json_each(?1) j CROSS JOIN effect e ON e.binds = j.value \
         WHERE +e.state IN ('blocked', 'planned', 'sending', 'unknown'))",
    )
    .bind(list(names)?)
    .fetch_one(conn)
    .await?;
    Ok(awaited)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use usher_model::{Slot, SlotKind, SlotOrigin};

    use super::*;
    use crate::sqlite::codec::numbers;
    use crate::sqlite::open;

    static NEED: Bulk = Bulk::insert("INSERT INTO need (slot, effect)", 2, "");

    fn binding(of: i64, id: &str) -> Binding {
        let slot = Slot { connection: "crm".into(), kind: SlotKind::Person, of: of.to_string() };
        let origin = SlotOrigin::Created;
        Binding {
            slot,
            id: id.into(),
            origin,
            object: None,
            person: None,
            made_at: None,
            effect: String::new(),
        }
    }

    fn name(of: i64) -> String {
        slot_name(&binding(of, "").slot)
    }

    /// Two slots more than go into one statement; each effect needs one from either end of them.
    #[tokio::test]
    async fn effects_are_freed_once_all_their_slots_are_bound_however_many_come_at_a_time() {
        let mut conn = open::open_in_memory().await.unwrap();
        let effects: Vec<i64> = (0..130).collect();
        sqlx::query(
            "INSERT INTO effect (seq, key, connection, kind, lead, episode, ordinal, state, due_at, planned_at, body) \
             SELECT value, value, 'crm', 'create_task', 'l', 'e', 1, 'blocked', 0, 0, '{}' FROM json_each(?)",
        )
        .bind(numbers(&effects).unwrap())
        .execute(&mut conn)
        .await
        .unwrap();
        let mut needs: Vec<(i64, i64)> = effects.iter().flat_map(|n| [(*n, *n), (129 - n, *n)]).collect();
        // One effect needs a slot that stays unbound as well.
        needs.push((1_000, 5));
        let now = Timestamp::UNIX_EPOCH;
        bind(&mut conn, Script::new(), &[binding(7, "first")], now).await.unwrap();

        let script =
            Script::new().then(&NEED, &needs, |query, (slot, effect)| query.bind(name(*slot)).bind(*effect));
        let bindings: Vec<Binding> = effects.iter().map(|n| binding(*n, "new")).collect();
        let changed = bind(&mut conn, script, &bindings, now).await.unwrap();

        // What was in the script before, slots that were unbound, effects freed, needs met.
        assert_eq!(changed, [261, 129, 129, 260]);
        let blocked: Vec<(i64,)> = sqlx::query_as("SELECT seq FROM effect WHERE state != 'planned'")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let unmet: Vec<(String, i64)> =
            sqlx::query_as("SELECT slot, effect FROM need").fetch_all(&mut conn).await.unwrap();
        assert_eq!((blocked, unmet), (vec![(5,)], vec![(name(1_000), 5)]));
        let others: Vec<(String, String)> =
            sqlx::query_as("SELECT name, external_id FROM slot_other").fetch_all(&mut conn).await.unwrap();
        assert_eq!(others, [(name(7), "new".to_owned())]);
    }
}
