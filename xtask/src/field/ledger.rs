//! What the program's database says, read only and by plain SQL: a second opinion beside the store's own queries.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// A look into the database. Opened for a moment and closed again, so that a killed program finds nobody else there.
#[derive(Debug)]
pub(crate) struct Ledger {
    conn: SqliteConnection,
}

/// How much is stored, and how much of it is still on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) accounts: i64,
    pub(crate) seen: i64,
    pub(crate) records_moving: i64,
    pub(crate) leads: i64,
    pub(crate) leads_moving: i64,
    pub(crate) effects_done: i64,
    pub(crate) effects_moving: i64,
    pub(crate) deliveries_waiting: i64,
    pub(crate) hints_waiting: i64,
}

impl Standing {
    /// Nothing is on its way.
    pub(crate) fn rests(self) -> bool {
        self.records_moving
            + self.leads_moving
            + self.effects_moving
            + self.deliveries_waiting
            + self.hints_waiting
            == 0
    }
}

/// A record as it ended.
#[derive(Debug)]
pub(crate) struct RecordRow {
    pub(crate) connection: String,
    pub(crate) external_id: String,
    pub(crate) state: String,
}

/// What became of somebody's inquiry.
#[derive(Debug)]
pub(crate) struct LeadRow {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) email: Option<String>,
    /// The CRM's id of the company that was matched.
    pub(crate) company: Option<String>,
    /// The CRM's id of the person.
    pub(crate) person: Option<String>,
    /// The owner of the last decision, and when it was made.
    pub(crate) owner: Option<String>,
    pub(crate) decided_at: Option<Timestamp>,
    /// Tasks that are done.
    pub(crate) tasks: i64,
}

impl Ledger {
    /// Opens the database for reading.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
        let conn = options.connect().await.with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { conn })
    }

    /// Closes it.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        Ok(self.conn.close().await?)
    }

    /// How far the run is.
    pub(crate) async fn standing(&mut self) -> anyhow::Result<Standing> {
        let row: (i64, i64, i64, i64, i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM record), \
             (SELECT count(*) FROM record WHERE state = 'fetched') + (SELECT count(*) FROM record WHERE state = 'mapped'), \
             (SELECT count(*) FROM lead), (SELECT count(*) FROM lead WHERE state = 'decided'), \
             (SELECT count(*) FROM effect WHERE state = 'done'), \
             (SELECT count(*) FROM effect WHERE state IN ('blocked', 'planned', 'sending', 'unknown')), \
             (SELECT count(*) FROM delivery WHERE split_at IS NULL), (SELECT count(*) FROM hint)",
        )
        .fetch_one(&mut self.conn)
        .await?;
        Ok(Standing {
            accounts: row.0,
            seen: row.1,
            records_moving: row.2,
            leads: row.3,
            leads_moving: row.4,
            effects_done: row.5,
            effects_moving: row.6,
            deliveries_waiting: row.7,
            hints_waiting: row.8,
        })
    }

    /// Whether the first reading of owners and companies has ended.
    pub(crate) async fn directory_read(&mut self) -> anyhow::Result<bool> {
        let owners: i64 = sqlx::query_scalar("SELECT count(*) FROM owner").fetch_one(&mut self.conn).await?;
        let position: Option<String> =
            sqlx::query_scalar("SELECT value FROM cursor WHERE stream = 'accounts/refresh'")
                .fetch_optional(&mut self.conn)
                .await?;
        // The listing is over once the position follows changes instead.
        Ok(owners > 0 && position.is_some_and(|position| !position.contains("\"list\"")))
    }

    /// Counts by a two-column query.
    pub(crate) async fn tally(&mut self, sql: &'static str) -> anyhow::Result<BTreeMap<String, i64>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().collect())
    }

    /// Every record.
    pub(crate) async fn records(&mut self) -> anyhow::Result<Vec<RecordRow>> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT connection, external_id, state FROM record")
                .fetch_all(&mut self.conn)
                .await?;
        let row = |(connection, external_id, state)| RecordRow { connection, external_id, state };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Every lead with what became of it.
    pub(crate) async fn leads(&mut self) -> anyhow::Result<Vec<LeadRow>> {
        type Row = (
            String,
            String,
            Option<String>,
            Option<String>,
            Option<String>,
            Option<String>,
            Option<String>,
            i64,
        );
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT l.id, CASE WHEN l.close_reason IS NULL THEN l.state ELSE 'closed:' || l.close_reason END, \
             json_extract(l.fields, '$.values.email'), a.external_id, s.external_id, d.owner, \
             json_extract(d.body, '$.at'), \
             (SELECT count(*) FROM effect e WHERE e.lead = l.id AND e.kind = 'create_task' AND e.state = 'done') \
             FROM lead l LEFT JOIN account a ON a.id = l.account \
             LEFT JOIN slot s ON s.name > 'person/' || l.person || '/' AND s.name < 'person/' || l.person || '0' \
             LEFT JOIN decision d ON d.seq = (SELECT max(seq) FROM decision WHERE lead = l.id) ORDER BY l.seq",
        )
        .fetch_all(&mut self.conn)
        .await?;
        let row = |row: Row| LeadRow {
            id: row.0,
            state: row.1,
            email: row.2,
            company: row.3,
            person: row.4,
            owner: row.5,
            decided_at: row.6.and_then(|at| at.parse().ok()),
            tasks: row.7,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// The vendor ids that done writes of a kind gave.
    pub(crate) async fn written(&mut self, kind: &str) -> anyhow::Result<Vec<String>> {
        let sql =
            "SELECT external_id FROM effect WHERE kind = ? AND state = 'done' AND external_id IS NOT NULL";
        Ok(sqlx::query_scalar(sql).bind(kind).fetch_all(&mut self.conn).await?)
    }

    /// Vendor ids of persons whom we know, and whether we say that we created them.
    pub(crate) async fn persons(&mut self) -> anyhow::Result<BTreeMap<String, bool>> {
        let sql = "SELECT external_id, max(origin = 'created') FROM (SELECT external_id, origin FROM slot WHERE kind = 'person' \
                   UNION ALL SELECT external_id, origin FROM slot_other WHERE name LIKE 'person/%') GROUP BY external_id";
        let rows: Vec<(String, bool)> = sqlx::query_as(sql).fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().collect())
    }

    /// Leads whose task was given up because the person is gone at the CRM.
    pub(crate) async fn tasks_given_up(&mut self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT lead FROM effect WHERE kind = 'create_task' AND state = 'cancelled' AND cancelled = 'vendor'";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.conn).await?)
    }

    /// The keys of tasks that are shown to the operator as failed or unclear: such a task may well exist.
    pub(crate) async fn tasks_shown(&mut self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT key FROM effect WHERE kind = 'create_task' AND state IN ('rejected', 'parked')";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.conn).await?)
    }

    /// Leads whose owner write did not happen, and how it ended instead.
    pub(crate) async fn owners_unwritten(&mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let sql = "SELECT lead, state || ': ' || coalesce(problem, '') FROM effect WHERE kind = 'update_object' AND state <> 'done'";
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().collect())
    }

    /// Milliseconds from arrival to the task, sorted.
    pub(crate) async fn latencies(&mut self) -> anyhow::Result<Vec<u64>> {
        let sql = "SELECT max(0, e.ended_at - l.received_at) FROM effect e JOIN lead l ON l.id = e.lead \
                   WHERE e.kind = 'create_task' AND e.state = 'done' ORDER BY 1";
        let rows: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().map(i64::unsigned_abs).collect())
    }

    /// Keys that belong to several persons although they name one.
    pub(crate) async fn shared_emails(&mut self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT value FROM identity_key WHERE kind = 'email' GROUP BY value HAVING count(DISTINCT person) > 1";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.conn).await?)
    }

    /// Pools and reps whose stored balance is not the sum of their turns.
    pub(crate) async fn wrong_balances(&mut self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT b.pool || '/' || b.rep FROM balance b WHERE abs(b.taken - coalesce((SELECT sum(t.count) FROM turn t \
                   WHERE t.pool = b.pool AND t.rep = b.rep AND t.mode = b.mode), 0)) > 0.001";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.conn).await?)
    }

    /// The problems of failed records and badly ended writes, with how often each occurs.
    pub(crate) async fn problems(&mut self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.tally(
            "SELECT what, count(*) FROM (SELECT 'record: ' || coalesce(detail, '') AS what FROM record WHERE state = 'failed' \
             UNION ALL SELECT kind || ' ' || state || ': ' || coalesce(problem, '') FROM effect \
             WHERE state IN ('rejected', 'parked') OR (state = 'cancelled' AND cancelled <> 'observe')) \
             GROUP BY what ORDER BY 2 DESC LIMIT 40",
        )
        .await
    }
}
