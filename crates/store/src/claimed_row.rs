//! A claimed effect as each backend reads it.

use usher_model::{ConnectionName, Effect, EffectBody, EffectKey};

use crate::codec::{count, from_json, id, instant, maybe_instant};
use crate::delivering::ClaimedEffect;
use crate::fault::Fault;

/// `due_at`, `seq`, `key`, `lead`, `episode`, `attempts`, when it was sent before, `planned_at`, `verified`,
/// `doubt_since`, `lapses`, `body`.
pub(crate) type ClaimedRow =
    (i64, i64, String, String, String, i64, Option<i64>, i64, i64, Option<i64>, i64, String);

/// The effect, without its bindings.
pub(crate) fn read(connection: &ConnectionName, row: ClaimedRow) -> Result<ClaimedEffect, Fault> {
    let (_, _, key, lead, episode, attempts, sent_at, planned_at, verified, doubt_since, lapses, body) = row;
    let body: EffectBody = from_json("effect", &body)?;
    let (key, lead, episode) = (EffectKey::new(key), id(&lead)?, id(&episode)?);
    Ok(ClaimedEffect {
        effect: Effect { key, connection: connection.clone(), lead, episode, body },
        bindings: Vec::new(),
        attempt: count(attempts)?,
        sent_at: maybe_instant(sent_at)?,
        planned_at: instant(planned_at)?,
        verified: count(verified)?,
        doubt_since: maybe_instant(doubt_since)?,
        lapses: count(lapses)?,
        along: None,
    })
}
