//! An object that is gone at the vendor: its slot is emptied and filled again, once for a lead.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{EffectBody, EffectState, ExternalId};

use super::codec::{from_json, id, ms, slot_name, text};
use super::fault::Fault;
use super::{operation, plan, slots};
use crate::ended::{Gone, can_do, made_anew};

/// What becomes of the effect that found its object gone, and why.
pub(super) async fn settle(
    conn: &mut SqliteConnection,
    seq: i64,
    lead: &str,
    gone: Gone,
    now: Timestamp,
) -> Result<(EffectState, String), Fault> {
    let Some(again) = gone.again else {
        operation::suppress(conn, id(lead)?, gone.reason.clone(), now).await?;
        return Ok((EffectState::Cancelled, gone.reason));
    };
    let slot = slot_name(&gone.lost.0);
    if !empty(conn, &slot, &gone.lost.1, now).await? {
        // Another write found it gone before, and the slot holds a living object meanwhile, or will.
        wait(conn, seq, &slot).await?;
        return Ok((state(conn, &slot).await?, gone.reason));
    }
    let known: Option<(i64,)> = sqlx::query_as("SELECT seq FROM effect WHERE key = ?")
        .bind(text(again.effect.key.as_str()))
        .fetch_optional(&mut *conn)
        .await?;
    if known.is_some() {
        return Ok((EffectState::Rejected, format!("{}; it was created again once already", gone.reason)));
    }
    plan::effects(conn, &[*again], &[], now).await?;
    wait(conn, seq, &slot).await?;
    hold_back(conn, lead, &slot).await?;
    Ok((EffectState::Blocked, gone.reason))
}

/// Empties the slot if it still holds the lost object; the id is kept aside.
async fn empty(
    conn: &mut SqliteConnection,
    slot: &str,
    lost: &ExternalId,
    now: Timestamp,
) -> Result<bool, Fault> {
    sqlx::query(
        "INSERT INTO slot_other (name, external_id, origin, effect, at) \
         SELECT name, external_id, origin, '', ?3 FROM slot WHERE name = ?1 AND external_id = ?2 ON CONFLICT DO NOTHING",
    )
    .bind(slot.to_owned())
    .bind(text(lost))
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    let emptied = sqlx::query("DELETE FROM slot WHERE name = ?1 AND external_id = ?2")
        .bind(slot.to_owned())
        .bind(text(lost))
        .execute(conn)
        .await?;
    Ok(emptied.rows_affected() > 0)
}

/// What a write that needs the slot can do: be sent, wait for what fills it, or nothing.
async fn state(conn: &mut SqliteConnection, slot: &str) -> Result<EffectState, Fault> {
    let (bound,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM slot WHERE name = ?1)")
        .bind(slot.to_owned())
        .fetch_one(&mut *conn)
        .await?;
    Ok(can_do(bound, slots::awaited(conn, &[slot.to_owned()]).await?))
}

/// Lets the effect wait for the slot, if it is empty.
async fn wait(conn: &mut SqliteConnection, seq: i64, slot: &str) -> Result<(), Fault> {
    let (body,): (String,) =
        sqlx::query_as("SELECT body FROM effect WHERE seq = ?").bind(seq).fetch_one(&mut *conn).await?;
    sqlx::query("UPDATE effect SET body = ? WHERE seq = ?")
        .bind(made_anew(&body)?)
        .bind(seq)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO need (slot, effect) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM slot WHERE name = ?1) \
         ON CONFLICT DO NOTHING",
    )
    .bind(slot.to_owned())
    .bind(seq)
    .execute(conn)
    .await?;
    Ok(())
}

/// Holds back the lead's other writes that need the slot: they would only meet the same. What was done to the lost object
/// is to be done to the next one.
async fn hold_back(conn: &mut SqliteConnection, lead: &str, slot: &str) -> Result<(), Fault> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT seq, body FROM effect WHERE lead = ? AND (+state IN ('planned', 'blocked') OR \
             +state = 'done' AND kind IN ('associate', 'update_object'))",
    )
    .bind(lead.to_owned())
    .fetch_all(&mut *conn)
    .await?;
    for (seq, body) in rows {
        let body: EffectBody = from_json("effect", &body)?;
        if body.needs().any(|need| slot_name(need) == slot) {
            wait(conn, seq, slot).await?;
            sqlx::query("UPDATE effect SET state = 'blocked', ended_at = NULL WHERE seq = ?")
                .bind(seq)
                .execute(&mut *conn)
                .await?;
        }
    }
    Ok(())
}
