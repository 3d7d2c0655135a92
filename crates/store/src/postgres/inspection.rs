//! Inspection on Postgres: counts, lists and comparisons. One lead's story is in `story`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{CloseReason, EffectState, LeadId, LeadState, Mode};

use super::PostgresStore;
use super::{failures, operation, story};
use crate::codec::{close_reason, effect_state, id, instant, lead_state, maybe_instant, ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::inspection::{
    Comparison, ConnectionStatus, Counts, DecidedOwner, FailedFilter, FailedItem, Inspection, LeadFilter,
    LeadStory, LeadSummary,
};
use crate::stored_lead::{StoredLead, lead_columns};

#[async_trait]
impl Inspection for PostgresStore {
    async fn counts(&self) -> Result<Counts, StoreError> {
        self.read("counts", move |conn| Box::pin(counts(conn))).await
    }

    async fn connections(&self) -> Result<Vec<ConnectionStatus>, StoreError> {
        self.read("lists connections", move |conn| Box::pin(connections(conn))).await
    }

    async fn leads(&self, filter: &LeadFilter) -> Result<Vec<LeadSummary>, StoreError> {
        let filter = filter.clone();
        self.read("lists leads", move |conn| Box::pin(leads(conn, filter))).await
    }

    async fn lead_story(&self, lead: LeadId) -> Result<Option<LeadStory>, StoreError> {
        self.read("reads a lead's story", move |conn| Box::pin(story::read(conn, lead))).await
    }

    async fn failed(&self, filter: &FailedFilter) -> Result<Vec<FailedItem>, StoreError> {
        let filter = filter.clone();
        self.read("lists failures", move |conn| Box::pin(failures::list(conn, filter))).await
    }

    async fn comparisons(&self, since: Timestamp) -> Result<Vec<Comparison>, StoreError> {
        self.read("compares owners", move |conn| Box::pin(comparisons(conn, since))).await
    }

    async fn task_latencies(&self, since: Timestamp) -> Result<Vec<u64>, StoreError> {
        self.read("measures latencies", move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64,)> = sqlx::query_as(
                    "SELECT greatest(0, e.ended_at - l.received_at) FROM effect e \
                     JOIN lead l ON l.id = e.lead \
                     WHERE e.state = 'done' AND e.kind = 'create_task' AND e.ended_at >= $1 ORDER BY e.ended_at",
                )
                .bind(ms(since))
                .fetch_all(conn)
                .await?;
                Ok(rows.into_iter().map(|(ms,)| ms.unsigned_abs()).collect())
            })
        })
        .await
    }

    async fn decided_owners(&self) -> Result<Vec<DecidedOwner>, StoreError> {
        self.read("lists decided owners", move |conn| Box::pin(decided_owners(conn))).await
    }

    async fn mode(&self) -> Result<Option<Mode>, StoreError> {
        self.read("reads the mode", move |conn| Box::pin(operation::read_mode(conn))).await
    }

    async fn audit(
        &self,
    ) -> Result<Vec<(LeadId, LeadState, Option<CloseReason>, Vec<EffectState>)>, StoreError> {
        self.read("audits all leads", move |conn| Box::pin(audit(conn))).await
    }
}

async fn tally(conn: &mut PgConnection, sql: &'static str) -> Result<BTreeMap<String, u64>, Fault> {
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(name, count)| (name, count.unsigned_abs())).collect())
}

/// Each count reads the index of its own queue and no row.
async fn counts(conn: &mut PgConnection) -> Result<Counts, Fault> {
    let records = tally(
        conn,
        "SELECT 'fetched', count(*) FROM record WHERE state = 'fetched' \
         UNION ALL SELECT 'mapped', count(*) FROM record WHERE state = 'mapped' \
         UNION ALL SELECT 'opened', count(*) FROM record WHERE state = 'opened' \
         UNION ALL SELECT 'updated', count(*) FROM record WHERE state = 'updated' \
         UNION ALL SELECT 'ignored', count(*) FROM record WHERE state = 'ignored' \
         UNION ALL SELECT 'failed', count(*) FROM record WHERE state = 'failed'",
    )
    .await?;
    let ignored =
        tally(conn, "SELECT reason, count(*) FROM record WHERE state = 'ignored' GROUP BY reason").await?;
    let leads = tally(
        conn,
        "SELECT 'decided', count(*) FROM lead WHERE state = 'decided' \
         UNION ALL SELECT 'waiting', count(*) FROM lead WHERE state = 'waiting' \
         UNION ALL SELECT 'closed:' || close_reason, count(*) FROM lead WHERE state = 'closed' GROUP BY close_reason",
    )
    .await?;
    let effects = tally(
        conn,
        "SELECT 'blocked', count(*) FROM effect WHERE state = 'blocked' \
         UNION ALL SELECT 'planned', count(*) FROM effect WHERE state = 'planned' \
         UNION ALL SELECT 'sending', count(*) FROM effect WHERE state = 'sending' \
         UNION ALL SELECT 'unknown', count(*) FROM effect WHERE state = 'unknown' \
         UNION ALL SELECT 'done', count(*) FROM effect WHERE state = 'done' \
         UNION ALL SELECT 'rejected', count(*) FROM effect WHERE state = 'rejected' \
         UNION ALL SELECT 'parked', count(*) FROM effect WHERE state = 'parked' \
         UNION ALL SELECT 'cancelled', count(*) FROM effect WHERE state = 'cancelled'",
    )
    .await?;
    let (deliveries, hints, undecided, unwritten): (i64, i64, Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM delivery WHERE split_at IS NULL), (SELECT count(*) FROM hint), \
         (SELECT min(at) FROM (SELECT min(received_at) AS at FROM record WHERE state = 'fetched' \
            UNION ALL SELECT min(received_at) FROM record WHERE state = 'mapped') m), \
         (SELECT min(at) FROM (SELECT min(planned_at) AS at FROM effect WHERE state = 'blocked' \
            UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'planned' \
            UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'sending' \
            UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'unknown') m)",
    )
    .fetch_one(conn)
    .await?;
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

async fn connections(conn: &mut PgConnection) -> Result<Vec<ConnectionStatus>, Fault> {
    type Found = (String, i64, Option<i64>, Option<String>, i64);
    let rows: Vec<Found> = sqlx::query_as(
        "SELECT c.name, c.started_at, c.held_at, c.held_reason, \
         (SELECT count(*) FROM record r WHERE r.connection = c.name) FROM connection c ORDER BY c.name",
    )
    .fetch_all(&mut *conn)
    .await?;
    let cursors: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT connection, stream, moved_at FROM cursor").fetch_all(conn).await?;
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

/// Persons whom the filter names; `None` if it names nobody in particular.
async fn filtered_persons(
    conn: &mut PgConnection,
    filter: &LeadFilter,
) -> Result<Option<Vec<String>>, Fault> {
    if filter.email.is_none() && filter.external_id.is_none() {
        return Ok(None);
    }
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT p.id FROM person p WHERE ($1::text IS NULL OR p.id IN \
           (SELECT person FROM identity_key WHERE kind = 'email' AND value = $1)) AND ($2::text IS NULL OR p.id IN \
           (SELECT person FROM link WHERE external_id = $2 \
            UNION SELECT of FROM slot WHERE kind = 'person' AND external_id = $2))",
    )
    .bind(filter.email.as_ref().map(text))
    .bind(filter.external_id.as_ref().map(text))
    .fetch_all(conn)
    .await?;
    Ok(Some(rows.into_iter().map(|(person,)| person).collect()))
}

async fn leads(conn: &mut PgConnection, filter: LeadFilter) -> Result<Vec<LeadSummary>, Fault> {
    let persons = filtered_persons(conn, &filter).await?;
    let rows: Vec<StoredLead<2>> = sqlx::query_as(concat!(
        "SELECT ",
        lead_columns!(),
        ", (SELECT d.body FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1), \
         (SELECT coalesce(d.rep, d.owner) FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1) \
         FROM lead l WHERE l.seq IN (SELECT seq FROM lead WHERE ($1::text IS NULL OR state = $1) \
         AND ($2::text[] IS NULL OR person = ANY($2)) ORDER BY seq DESC LIMIT $3) \
         ORDER BY l.seq DESC"
    ))
    .bind(filter.state.map(LeadState::as_str))
    .bind(persons)
    .bind(i64::from(filter.limit))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(LeadSummary::of).collect()
}

async fn comparisons(conn: &mut PgConnection, since: Timestamp) -> Result<Vec<Comparison>, Fault> {
    type Found = (String, i64, String, Option<String>, Option<String>);
    // Until a later version of the object showed somebody, the incumbent's choice is whom the CRM showed at arrival.
    let rows: Vec<Found> = sqlx::query_as(
        "SELECT l.id, l.received_at, d.path, d.owner, coalesce(l.incumbent, l.crm_owner) FROM lead l \
         JOIN decision d ON d.seq = (SELECT max(seq) FROM decision WHERE lead = l.id) \
         WHERE l.mode = 'observe' AND l.received_at >= $1 ORDER BY l.seq",
    )
    .bind(ms(since))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(lead, received_at, path, ours, incumbent)| {
            let (ours, incumbent) = (ours.map(Into::into), incumbent.map(Into::into));
            Ok(Comparison { lead: id(&lead)?, received_at: instant(received_at)?, path, ours, incumbent })
        })
        .collect()
}

async fn decided_owners(conn: &mut PgConnection) -> Result<Vec<DecidedOwner>, Fault> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT l.id, s.external_id, d.owner FROM decision d JOIN lead l ON l.id = d.lead \
         JOIN slot s ON s.kind = 'person' AND s.of = l.person \
         WHERE l.mode = 'live' AND d.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM owner_write w WHERE \
           w.connection = s.connection AND w.kind = 'person' AND w.external_id = s.external_id \
           AND w.overwritten IS NOT NULL) AND d.seq = \
           (SELECT max(d2.seq) FROM lead l2 JOIN decision d2 ON d2.lead = l2.id WHERE l2.person = l.person \
            AND coalesce(l2.close_reason, '') != 'merged')",
    )
    .fetch_all(conn)
    .await?;
    let row = |(lead, person, owner): (String, String, String)| {
        Ok(DecidedOwner { lead: id(&lead)?, person: person.into(), owner: owner.into() })
    };
    rows.into_iter().map(row).collect()
}

async fn audit(
    conn: &mut PgConnection,
) -> Result<Vec<(LeadId, LeadState, Option<CloseReason>, Vec<EffectState>)>, Fault> {
    let rows: Vec<(String, String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT l.id, l.state, l.close_reason, (SELECT string_agg(state, ',' ORDER BY seq) FROM \
           (SELECT e.seq, e.state FROM effect e WHERE e.lead = l.id UNION SELECT e.seq, e.state \
            FROM shared_effect s JOIN effect e ON e.seq = s.effect WHERE s.lead = l.id) e) \
         FROM lead l ORDER BY l.seq",
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(lead, state, reason, effects)| {
            let reason = reason.as_deref().map(close_reason).transpose()?;
            let effects = effects.as_deref().unwrap_or_default();
            let effects = effects.split(',').filter(|state| !state.is_empty()).map(effect_state);
            Ok((id(&lead)?, lead_state(&state)?, reason, effects.collect::<Result<_, _>>()?))
        })
        .collect()
}
