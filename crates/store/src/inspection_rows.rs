//! What an operator sees, as both backends read it; both take `$1` for a parameter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_model::{CloseReason, Decision, EffectKey, EffectState, Lead, LeadId, LeadState};

use crate::codec::{
    close_reason, count, effect_kind, effect_state, from_json, id, instant, lead_state, maybe_instant,
    record_state,
};
use crate::fault::Fault;
use crate::inspection::{
    AttemptRow, Comparison, ConnectionStatus, Counts, DecidedOwner, EffectRow, LeadStory, LeadSummary,
    RecordSummary,
};
use crate::stored_lead::StoredLead;

/// How many there are by name, each read from the index of its own queue and from no row: records, ignored records,
/// leads, effects.
pub(crate) const TALLIES: [&str; 4] = [
    "SELECT 'fetched', count(*) FROM record WHERE state = 'fetched' \
     UNION ALL SELECT 'mapped', count(*) FROM record WHERE state = 'mapped' \
     UNION ALL SELECT 'opened', count(*) FROM record WHERE state = 'opened' \
     UNION ALL SELECT 'updated', count(*) FROM record WHERE state = 'updated' \
     UNION ALL SELECT 'ignored', count(*) FROM record WHERE state = 'ignored' \
     UNION ALL SELECT 'failed', count(*) FROM record WHERE state = 'failed'",
    "SELECT reason, count(*) FROM record WHERE state = 'ignored' GROUP BY reason",
    "SELECT 'decided', count(*) FROM lead WHERE state = 'decided' \
     UNION ALL SELECT 'waiting', count(*) FROM lead WHERE state = 'waiting' \
     UNION ALL SELECT 'closed:' || close_reason, count(*) FROM lead WHERE state = 'closed' GROUP BY close_reason",
    "SELECT 'blocked', count(*) FROM effect WHERE state = 'blocked' \
     UNION ALL SELECT 'planned', count(*) FROM effect WHERE state = 'planned' \
     UNION ALL SELECT 'sending', count(*) FROM effect WHERE state = 'sending' \
     UNION ALL SELECT 'unknown', count(*) FROM effect WHERE state = 'unknown' \
     UNION ALL SELECT 'done', count(*) FROM effect WHERE state = 'done' \
     UNION ALL SELECT 'rejected', count(*) FROM effect WHERE state = 'rejected' \
     UNION ALL SELECT 'parked', count(*) FROM effect WHERE state = 'parked' \
     UNION ALL SELECT 'cancelled', count(*) FROM effect WHERE state = 'cancelled'",
];

/// Bodies and hints that wait, and since when something is undecided and unwritten.
pub(crate) const WAITING: &str = "SELECT (SELECT count(*) FROM delivery WHERE split_at IS NULL), (SELECT count(*) FROM hint), \
     (SELECT min(at) FROM (SELECT min(received_at) AS at FROM record WHERE state = 'fetched' \
        UNION ALL SELECT min(received_at) FROM record WHERE state = 'mapped') m), \
     (SELECT min(at) FROM (SELECT min(planned_at) AS at FROM effect WHERE state = 'blocked' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'planned' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'sending' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'unknown') m)";

/// A row of [`TALLIES`].
pub(crate) type Tally = (String, i64);

pub(crate) fn counts(
    tallies: [Vec<Tally>; 4],
    (deliveries, hints, undecided, unwritten): (i64, i64, Option<i64>, Option<i64>),
) -> Result<Counts, Fault> {
    let sum = |rows: Vec<Tally>| rows.into_iter().map(|(name, count)| (name, count.unsigned_abs())).collect();
    let [records, ignored, leads, effects] = tallies.map(sum);
    Ok(Counts {
        records,
        ignored,
        leads,
        effects,
        deliveries_waiting: deliveries.unsigned_abs(),
        hints_waiting: hints.unsigned_abs(),
        oldest_undecided: maybe_instant(undecided)?,
        oldest_unwritten: maybe_instant(unwritten)?,
    })
}

/// Every connection: name, since when, held since and why, how many records.
pub(crate) const CONNECTIONS: &str = "SELECT c.name, c.started_at, c.held_at, c.held_reason, \
     (SELECT count(*) FROM record r WHERE r.connection = c.name) FROM connection c ORDER BY c.name";

/// A row of [`CONNECTIONS`].
type StoredConnection = (String, i64, Option<i64>, Option<String>, i64);

/// When each stream's cursor moved last.
pub(crate) const CURSORS: &str = "SELECT connection, stream, moved_at FROM cursor";

pub(crate) fn connections(
    rows: Vec<StoredConnection>,
    cursors: Vec<(String, String, i64)>,
) -> Result<Vec<ConnectionStatus>, Fault> {
    let mut streams: BTreeMap<String, BTreeMap<String, Timestamp>> = BTreeMap::new();
    for (connection, stream, moved_at) in cursors {
        streams.entry(connection).or_default().insert(stream, instant(moved_at)?);
    }
    rows.into_iter()
        .map(|(name, started_at, held_at, held_reason, seen)| {
            Ok(ConnectionStatus {
                streams: streams.remove(&name).unwrap_or_default(),
                name: name.into(),
                started_at: instant(started_at)?,
                held: maybe_instant(held_at)?.zip(held_reason),
                seen: seen.unsigned_abs(),
            })
        })
        .collect()
}

/// A lead with its last decision, and the rep or owner of that.
pub(crate) fn summary(StoredLead { read, .. }: StoredLead<2>) -> Result<LeadSummary, Fault> {
    let (lead, [decision, owner]) = read?;
    let decision: Option<Decision> = decision.map(|body| from_json("decision", &body)).transpose()?;
    let (path, why) = decision.map(|decision| (decision.path, decision.why)).unzip();
    Ok(LeadSummary { lead, path, why, owner })
}

/// Lead, arrival, path, our owner, the incumbent's.
pub(crate) type Compared = (String, i64, String, Option<String>, Option<String>);

pub(crate) fn comparison((lead, received_at, path, ours, incumbent): Compared) -> Result<Comparison, Fault> {
    let (ours, incumbent) = (ours.map(Into::into), incumbent.map(Into::into));
    Ok(Comparison { lead: id(&lead)?, received_at: instant(received_at)?, path, ours, incumbent })
}

/// Lead, the person's id at the CRM, the owner's.
pub(crate) fn decided_owner((lead, person, owner): (String, String, String)) -> Result<DecidedOwner, Fault> {
    Ok(DecidedOwner { lead: id(&lead)?, person: person.into(), owner: owner.into() })
}

/// A lead with its close reason and its effects' states.
pub(crate) type Audited = (LeadId, LeadState, Option<CloseReason>, Vec<EffectState>);

/// The effects' states come as a list with commas.
pub(crate) fn audited(
    (lead, state, reason, effects): (String, String, Option<String>, Option<String>),
) -> Result<Audited, Fault> {
    let reason = reason.as_deref().map(close_reason).transpose()?;
    let effects = effects.as_deref().unwrap_or_default();
    let effects = effects.split(',').filter(|state| !state.is_empty()).map(effect_state);
    Ok((id(&lead)?, lead_state(&state)?, reason, effects.collect::<Result<_, _>>()?))
}

/// A lead's story from what is stored of it: records, decisions, effects and attempts, in order.
pub(crate) fn story(
    lead: Lead,
    records: Vec<StoryRecord>,
    decisions: &[String],
    effects: Vec<StoryEffect>,
    attempts: Vec<StoryAttempt>,
) -> Result<LeadStory, Fault> {
    Ok(LeadStory {
        lead,
        records: records.into_iter().map(record).collect::<Result<_, _>>()?,
        decisions: decisions.iter().map(|body| from_json("decision", body)).collect::<Result<_, _>>()?,
        effects: effects.into_iter().map(effect).collect::<Result<_, _>>()?,
        attempts: attempts.into_iter().map(attempt).collect::<Result<_, _>>()?,
    })
}

pub(crate) const RECORDS: &str = "SELECT seq, id, connection, external_id, state, received_at FROM record WHERE state = 'opened' AND lead = $1 \
     UNION ALL SELECT seq, id, connection, external_id, state, received_at FROM record \
     WHERE state = 'updated' AND lead = $1 ORDER BY received_at, seq";

/// A row of [`RECORDS`].
pub(crate) type StoryRecord = (i64, String, String, String, String, i64);

fn record(
    (_, record, connection, external_id, state, received_at): StoryRecord,
) -> Result<RecordSummary, Fault> {
    Ok(RecordSummary {
        id: id(&record)?,
        connection: connection.into(),
        external_id: external_id.into(),
        state: record_state(&state)?,
        received_at: instant(received_at)?,
    })
}

pub(crate) const EFFECTS: &str = "SELECT key, episode, kind, state, attempts, planned_at, ended_at, problem, external_id FROM effect \
     WHERE seq IN (SELECT seq FROM effect WHERE lead = $1 \
                   UNION SELECT effect FROM shared_effect WHERE lead = $1) ORDER BY seq";

/// A row of [`EFFECTS`].
pub(crate) type StoryEffect =
    (String, String, String, String, i64, i64, Option<i64>, Option<String>, Option<String>);

fn effect(
    (key, episode, kind, state, attempts, planned_at, ended_at, problem, external_id): StoryEffect,
) -> Result<EffectRow, Fault> {
    Ok(EffectRow {
        key: EffectKey::new(key),
        episode: id(&episode)?,
        kind: effect_kind(&kind)?,
        state: effect_state(&state)?,
        attempts: count(attempts)?,
        planned_at: instant(planned_at)?,
        ended_at: maybe_instant(ended_at)?,
        problem,
        external_id: external_id.map(Into::into),
    })
}

pub(crate) const ATTEMPTS: &str = "SELECT e.key, a.number, a.at, a.outcome, a.detail FROM attempt a JOIN effect e ON e.seq = a.effect \
     WHERE a.effect IN (SELECT seq FROM effect WHERE lead = $1 \
                        UNION SELECT effect FROM shared_effect WHERE lead = $1) ORDER BY a.at, a.effect, a.number";

/// A row of [`ATTEMPTS`].
pub(crate) type StoryAttempt = (String, i64, i64, String, Option<String>);

fn attempt((key, number, at, outcome, detail): StoryAttempt) -> Result<AttemptRow, Fault> {
    let (number, outcome) = (count(number)?, effect_state(&outcome)?);
    Ok(AttemptRow { key: EffectKey::new(key), number, at: instant(at)?, outcome, detail })
}
