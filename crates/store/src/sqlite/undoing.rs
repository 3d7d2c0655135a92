//! What can be taken back, on SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use usher_model::Mode;

use super::SqliteStore;
use super::codec::{list, ms, text};
use super::fault::Fault;
use crate::error::StoreError;
use crate::undo_rows::{DecidedRow, Leads, OwnerRow};
use crate::undoing::{UndoFilter, UndoLead, Undoing};

const TASKS: &str = "SELECT e.lead, e.external_id FROM json_each(?1) j CROSS JOIN effect e ON e.lead = j.value \
     WHERE +e.state = 'done' AND e.kind = 'create_task' ORDER BY e.ended_at, e.seq";
const UPDATES: &str = "SELECT e.lead, e.body, e.external_id FROM json_each(?1) j CROSS JOIN effect e ON e.lead = j.value \
     WHERE +e.state = 'done' AND e.kind = 'update_object' ORDER BY e.ended_at, e.seq";
const SLOTS: &str = "SELECT s.name, s.external_id FROM json_each(?1) j CROSS JOIN slot s ON s.name = j.value";
/// Persons, leads and deals that were created for these leads, and not replaced since.
const CREATED: &str = "SELECT e.lead, s.kind, s.external_id FROM json_each(?1) j CROSS JOIN effect e ON e.lead = j.value \
     CROSS JOIN slot s ON s.name = e.binds AND s.external_id = e.external_id AND s.origin = 'created' \
     WHERE +e.state = 'done' AND e.kind IN ('ensure_person', 'ensure_inquiry')";
/// Ledger lines of the leads' decisions that no later line of the same decision takes back.
const TURNS: &str = "SELECT d.lead, t.pool, t.mode, t.decision, t.at, t.rep, t.count, t.reason, t.shares FROM json_each(?1) j \
     CROSS JOIN decision d ON d.lead = j.value CROSS JOIN turn t ON t.decision = d.id AND t.count > 0 \
     WHERE t.mode = ?2 AND NOT EXISTS (SELECT 1 FROM turn b WHERE b.decision = t.decision AND b.count < 0) ORDER BY t.seq";

#[async_trait]
impl Undoing for SqliteStore {
    async fn undoable(&self, filter: &UndoFilter) -> Result<Vec<UndoLead>, StoreError> {
        let filter = filter.clone();
        self.read("lists what can be undone", move |conn| Box::pin(undoable(conn, filter))).await
    }
}

async fn undoable(conn: &mut SqliteConnection, filter: UndoFilter) -> Result<Vec<UndoLead>, Fault> {
    let mut leads = Leads::of(decided(conn, filter).await?)?;
    let ids = list(leads.ids())?;
    leads.tasks(sqlx::query_as(TASKS).bind(ids.clone()).fetch_all(&mut *conn).await?)?;
    let owners = OwnerRow::of(sqlx::query_as(UPDATES).bind(ids.clone()).fetch_all(&mut *conn).await?)?;
    let names = list(owners.iter().filter_map(OwnerRow::slot))?;
    let slots: Vec<(String, String)> = sqlx::query_as(SLOTS).bind(names).fetch_all(&mut *conn).await?;
    leads.owners(owners, &slots.into_iter().collect())?;
    leads.created(sqlx::query_as(CREATED).bind(ids.clone()).fetch_all(&mut *conn).await?)?;
    let turns = sqlx::query_as(TURNS).bind(ids).bind(Mode::Live.as_str()).fetch_all(conn).await?;
    leads.turns(turns)
}

async fn decided(conn: &mut SqliteConnection, filter: UndoFilter) -> Result<Vec<DecidedRow>, Fault> {
    Ok(sqlx::query_as(
        "SELECT l.id, l.state, d.path, d.at, \
           EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id AND e.state IN ('sending', 'unknown')), \
           (SELECT n.id FROM lead n WHERE n.person = l.person AND n.seq > l.seq AND n.mode = 'live' \
            AND coalesce(n.close_reason, '') != 'suppressed' ORDER BY n.seq DESC LIMIT 1) \
         FROM decision d CROSS JOIN lead l ON l.id = d.lead AND l.mode = 'live' \
         WHERE d.at >= ?1 AND d.at < ?2 \
         AND (?3 IS NULL OR d.path = ?3 OR substr(d.path, 1, length(?3) + 3) = ?3 || ' → ') \
         AND (?4 IS NULL OR d.lead = ?4) AND d.body ->> '$.trigger' != 'undone' \
         AND d.seq = (SELECT max(seq) FROM decision WHERE lead = d.lead) \
         AND NOT (l.state = 'closed' AND l.close_reason = 'suppressed') \
         ORDER BY d.seq DESC LIMIT ?5",
    )
    .bind(ms(filter.since))
    .bind(ms(filter.until))
    .bind(filter.path.map(text))
    .bind(filter.lead.map(|lead| lead.to_string()))
    .bind(filter.limit)
    .fetch_all(conn)
    .await?)
}
