//! What can be taken back, on Postgres.

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use usher_model::Mode;

use super::PostgresStore;
use crate::codec::{ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::undo_rows::{DecidedRow, Leads, OwnerRow};
use crate::undoing::{UndoFilter, UndoLead, Undoing};

const TASKS: &str = "SELECT e.lead, e.external_id FROM effect e WHERE e.lead = ANY($1) AND e.state = 'done' \
     AND e.kind = 'create_task' ORDER BY e.ended_at, e.seq";
const UPDATES: &str = "SELECT e.lead, e.body, e.external_id FROM effect e WHERE e.lead = ANY($1) AND e.state = 'done' \
     AND e.kind = 'update_object' ORDER BY e.ended_at, e.seq";
const SLOTS: &str = "SELECT name, external_id FROM slot WHERE name = ANY($1)";
/// Persons, leads and deals that were created for these leads, and not replaced since.
const CREATED: &str = "SELECT e.lead, s.kind, s.external_id FROM effect e JOIN slot s ON s.name = e.binds AND s.external_id = e.external_id \
     AND s.origin = 'created' WHERE e.lead = ANY($1) AND e.state = 'done' AND e.kind IN ('ensure_person', 'ensure_inquiry')";
/// Ledger lines of the leads' decisions that no later line of the same decision takes back.
const TURNS: &str = "SELECT d.lead, t.pool, t.mode, t.decision, t.at, t.rep, t.count, t.reason, t.shares FROM decision d \
     JOIN turn t ON t.decision = d.id AND t.count > 0 WHERE d.lead = ANY($1) AND t.mode = $2 \
     AND NOT EXISTS (SELECT 1 FROM turn b WHERE b.decision = t.decision AND b.count < 0) ORDER BY t.seq";

#[async_trait]
impl Undoing for PostgresStore {
    async fn undoable(&self, filter: &UndoFilter) -> Result<Vec<UndoLead>, StoreError> {
        let filter = filter.clone();
        self.read("lists what can be undone", move |conn| Box::pin(undoable(conn, filter))).await
    }
}

async fn undoable(conn: &mut PgConnection, filter: UndoFilter) -> Result<Vec<UndoLead>, Fault> {
    let mut leads = Leads::of(decided(conn, filter).await?)?;
    let ids = leads.ids();
    leads.tasks(sqlx::query_as(TASKS).bind(&ids).fetch_all(&mut *conn).await?)?;
    let owners = OwnerRow::of(sqlx::query_as(UPDATES).bind(&ids).fetch_all(&mut *conn).await?)?;
    let names = owners.iter().filter_map(OwnerRow::slot).collect::<Vec<_>>();
    let slots: Vec<(String, String)> = sqlx::query_as(SLOTS).bind(names).fetch_all(&mut *conn).await?;
    leads.owners(owners, &slots.into_iter().collect())?;
    leads.created(sqlx::query_as(CREATED).bind(&ids).fetch_all(&mut *conn).await?)?;
    let turns = sqlx::query_as(TURNS).bind(ids).bind(Mode::Live.as_str()).fetch_all(conn).await?;
    leads.turns(turns)
}

async fn decided(conn: &mut PgConnection, filter: UndoFilter) -> Result<Vec<DecidedRow>, Fault> {
    Ok(sqlx::query_as(
        "SELECT l.id, l.state, d.path, d.at, \
           EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.state IN ('sending', 'unknown')), \
           (SELECT n.id FROM lead n WHERE n.person = l.person AND n.seq > l.seq AND n.mode = 'live' \
            AND coalesce(n.close_reason, '') != 'suppressed' ORDER BY n.seq DESC LIMIT 1) \
         FROM decision d JOIN lead l ON l.id = d.lead AND l.mode = 'live' \
         WHERE d.at >= $1 AND d.at < $2 \
         AND ($3::text IS NULL OR d.path = $3 OR substr(d.path, 1, length($3) + 3) = $3 || ' → ') \
         AND ($4::text IS NULL OR d.lead = $4) AND strpos(d.body, '\"trigger\":\"undone\"') = 0 \
         AND d.seq = (SELECT max(seq) FROM decision WHERE lead = d.lead) \
         AND NOT (l.state = 'closed' AND l.close_reason = 'suppressed') \
         ORDER BY d.seq DESC LIMIT $5",
    )
    .bind(ms(filter.since))
    .bind(ms(filter.until))
    .bind(filter.path.map(text))
    .bind(filter.lead.map(|lead| lead.to_string()))
    .bind(i64::from(filter.limit))
    .fetch_all(conn)
    .await?)
}
