//! Inspection on Postgres: counts, lists and comparisons. One lead's story is in `story`.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{LeadId, LeadState, Mode};

use super::PostgresStore;
use super::{failures, operation, story};
use crate::codec::{ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::inspection::{
    Comparison, ConnectionStatus, Counts, DecidedOwner, FailedFilter, FailedItem, Inspection, LeadFilter,
    LeadStory, LeadSummary,
};
use crate::inspection_rows as rows;
use crate::stored_lead::lead_columns;

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

    async fn audit(&self) -> Result<Vec<rows::Audited>, StoreError> {
        self.read("audits all leads", move |conn| Box::pin(audit(conn))).await
    }
}

async fn counts(conn: &mut PgConnection) -> Result<Counts, Fault> {
    let mut tallies: [Vec<rows::Tally>; 4] = Default::default();
    for (tally, sql) in tallies.iter_mut().zip(rows::TALLIES) {
        *tally = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
    }
    rows::counts(tallies, sqlx::query_as(rows::WAITING).fetch_one(conn).await?)
}

async fn connections(conn: &mut PgConnection) -> Result<Vec<ConnectionStatus>, Fault> {
    let found = sqlx::query_as(rows::CONNECTIONS).fetch_all(&mut *conn).await?;
    rows::connections(found, sqlx::query_as(rows::CURSORS).fetch_all(conn).await?)
}

/// Persons whom the filter names; `None` if it names nobody in particular.
async fn filtered_persons(
    conn: &mut PgConnection,
    filter: &LeadFilter,
) -> Result<Option<Vec<String>>, Fault> {
    if filter.email.is_none() && filter.external_id.is_none() {
        return Ok(None);
    }
    let persons = sqlx::query_scalar(
        "SELECT p.id FROM person p WHERE ($1::text IS NULL OR p.id IN \
           (SELECT person FROM identity_key WHERE kind = 'email' AND value = $1)) AND ($2::text IS NULL OR p.id IN \
           (SELECT person FROM link WHERE external_id = $2 \
            UNION SELECT of FROM slot WHERE kind = 'person' AND external_id = $2))",
    )
    .bind(filter.email.as_ref().map(text))
    .bind(filter.external_id.as_ref().map(text))
    .fetch_all(conn)
    .await?;
    Ok(Some(persons))
}

async fn leads(conn: &mut PgConnection, filter: LeadFilter) -> Result<Vec<LeadSummary>, Fault> {
    let persons = filtered_persons(conn, &filter).await?;
    let found: Vec<_> = sqlx::query_as(concat!(
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
    found.into_iter().map(rows::summary).collect()
}

async fn comparisons(conn: &mut PgConnection, since: Timestamp) -> Result<Vec<Comparison>, Fault> {
    // Until a later version of the object showed somebody, the incumbent's choice is whom the CRM showed at arrival.
    let found: Vec<_> = sqlx::query_as(
        "SELECT l.id, l.received_at, d.path, d.owner, coalesce(l.incumbent, l.crm_owner) FROM lead l \
         JOIN decision d ON d.seq = (SELECT max(seq) FROM decision WHERE lead = l.id) \
         WHERE l.mode = 'observe' AND l.received_at >= $1 ORDER BY l.seq",
    )
    .bind(ms(since))
    .fetch_all(conn)
    .await?;
    found.into_iter().map(rows::comparison).collect()
}

async fn decided_owners(conn: &mut PgConnection) -> Result<Vec<DecidedOwner>, Fault> {
    let found: Vec<_> = sqlx::query_as(
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
    found.into_iter().map(rows::decided_owner).collect()
}

async fn audit(conn: &mut PgConnection) -> Result<Vec<rows::Audited>, Fault> {
    let found: Vec<_> = sqlx::query_as(
        "SELECT l.id, l.state, l.close_reason, (SELECT string_agg(state, ',' ORDER BY seq) FROM \
           (SELECT e.seq, e.state FROM effect e WHERE e.lead = l.id UNION SELECT e.seq, e.state \
            FROM shared_effect s JOIN effect e ON e.seq = s.effect WHERE s.lead = l.id) e) \
         FROM lead l ORDER BY l.seq",
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(rows::audited).collect()
}
