//! What the program's database says, read only and by plain SQL: a second opinion beside the store's own queries.
//!
//! The statements keep to what every backend of the store understands; JSON is read here, not there.

use anyhow::Context;
use jiff::Timestamp;
use serde::Deserialize;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use std::collections::{BTreeMap, HashMap};

use super::look::Look;

/// A look into the database. Opened for a moment and closed again, so that a killed program finds nobody else there.
#[derive(Debug)]
pub struct Ledger {
    look: Look,
}

/// How much is stored, and how much of it is still on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Companies of the CRM.
    pub accounts: i64,
    /// Records, whatever became of them.
    pub seen: i64,
    /// Records that have not ended.
    pub records_moving: i64,
    /// Leads, whatever became of them.
    pub leads: i64,
    /// Leads that are decided and not closed.
    pub leads_moving: i64,
    /// Writes that are done.
    pub effects_done: i64,
    /// Writes that have not ended.
    pub effects_moving: i64,
    /// Webhook bodies that are not split.
    pub deliveries_waiting: i64,
    /// Objects hinted at and not fetched.
    pub hints_waiting: i64,
}

impl Standing {
    /// Nothing is on its way.
    #[must_use]
    pub fn rests(self) -> bool {
        self.records_moving
            + self.leads_moving
            + self.effects_moving
            + self.deliveries_waiting
            + self.hints_waiting
            == 0
    }
}

/// A record as it stands.
#[derive(Debug, Clone)]
pub struct RecordRow {
    /// Through which connection.
    pub connection: String,
    /// What it is there, in the vendor's word.
    pub object: String,
    /// The vendor's id.
    pub external_id: String,
    /// Where it stands.
    pub state: String,
}

/// What became of somebody's inquiry.
#[derive(Debug, Clone)]
pub struct LeadRow {
    /// Our id.
    pub id: String,
    /// `decided`, `waiting` or `closed:` and the reason.
    pub state: String,
    /// Whether it was decided for real.
    pub live: bool,
    /// The person's address, in key form.
    pub email: Option<String>,
    /// The CRM's id of the company that was matched.
    pub company: Option<String>,
    /// The CRM's id of the person.
    pub person: Option<String>,
    /// The owner of the last decision.
    pub owner: Option<String>,
    /// When that decision was made.
    pub decided_at: Option<Timestamp>,
    /// Tasks that are done.
    pub tasks: i64,
    /// When the CRM told that its object was deleted, if that ended it.
    pub deleted_at: Option<Timestamp>,
}

/// Up to where a stream says that it has read.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The connection.
    pub connection: String,
    /// The stream with its lane, as `contacts/live`.
    pub stream: String,
    /// Everything that was visible up to here is stored, or so the cursor says.
    pub at: Timestamp,
}

/// A wait that ended because its time had come.
#[derive(Debug, Clone)]
pub struct Waited {
    /// The lead.
    pub lead: String,
    /// Until when it was to wait.
    pub until: Timestamp,
    /// When it was decided again.
    pub decided_at: Timestamp,
}

impl Ledger {
    /// Opens the database for reading: a `postgres:` URL, or a file by its path.
    ///
    /// # Errors
    /// If there is no such database, or it is none.
    pub async fn open(place: &str) -> anyhow::Result<Self> {
        Ok(Self { look: Look::open(place).await? })
    }

    /// Closes it.
    ///
    /// # Errors
    /// If the database can not be closed.
    pub async fn close(self) -> anyhow::Result<()> {
        self.look.close().await
    }

    async fn rows<T>(&mut self, sql: &'static str) -> anyhow::Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.look.rows(sql).await
    }

    async fn texts(&mut self, sql: &'static str) -> anyhow::Result<Vec<String>> {
        Ok(self.rows::<(String,)>(sql).await?.into_iter().map(|(text,)| text).collect())
    }

    /// How far the run is.
    ///
    /// # Errors
    /// As every look: if the database does not answer.
    pub async fn standing(&mut self) -> anyhow::Result<Standing> {
        type Row = (i64, i64, i64, i64, i64, i64, i64, i64, i64);
        let rows: Vec<Row> = self
            .rows(
                "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM record), \
                 (SELECT count(*) FROM record WHERE state = 'fetched') + (SELECT count(*) FROM record WHERE state = 'mapped'), \
                 (SELECT count(*) FROM lead), (SELECT count(*) FROM lead WHERE state = 'decided'), \
                 (SELECT count(*) FROM effect WHERE state = 'done'), \
                 (SELECT count(*) FROM effect WHERE state IN ('blocked', 'planned', 'sending', 'unknown')), \
                 (SELECT count(*) FROM delivery WHERE split_at IS NULL), (SELECT count(*) FROM hint)",
            )
            .await?;
        let row = rows.first().context("counting gives a row")?;
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
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn directory_read(&mut self) -> anyhow::Result<bool> {
        let owners = self.texts("SELECT external_id FROM owner LIMIT 1").await?;
        let position = self.texts("SELECT value FROM cursor WHERE stream = 'accounts/refresh'").await?;
        // The listing is over once the position follows changes instead.
        Ok(!owners.is_empty() && position.first().is_some_and(|position| !position.contains("\"list\"")))
    }

    /// Whether a connection was ever connected.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn connected(&mut self, connection: &str) -> anyhow::Result<bool> {
        Ok(self.started().await?.contains_key(connection))
    }

    /// Counts by a two-column query.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn tally(&mut self, sql: &'static str) -> anyhow::Result<BTreeMap<String, i64>> {
        Ok(self.rows(sql).await?.into_iter().collect())
    }

    /// The problems of failed records and badly ended writes, with how often each occurs.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn problems(&mut self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.tally(
            "SELECT what, count(*) FROM (SELECT 'record: ' || coalesce(detail, '') AS what FROM record WHERE state = 'failed' \
             UNION ALL SELECT kind || ' ' || state || ': ' || coalesce(problem, '') FROM effect \
             WHERE state IN ('rejected', 'parked') OR (state = 'cancelled' AND cancelled <> 'observe')) AS problem \
             GROUP BY what ORDER BY 2 DESC LIMIT 40",
        )
        .await
    }

    /// The node that leads at this moment, by the database's own clock. Only a database of several nodes knows.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn leader(&mut self) -> anyhow::Result<Option<String>> {
        let holders =
            self.texts("SELECT holder FROM lease WHERE role = 'leader' AND until > usher_now()").await?;
        Ok(holders.into_iter().next())
    }

    /// All nodes that the database remembers.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn nodes(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts("SELECT name FROM node").await
    }

    /// Milliseconds from arrival to the task, sorted.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn latencies(&mut self) -> anyhow::Result<Vec<u64>> {
        let sql = "SELECT e.ended_at - l.received_at FROM effect e JOIN lead l ON l.id = e.lead \
                   WHERE e.kind = 'create_task' AND e.state = 'done' ORDER BY 1";
        let rows: Vec<(i64,)> = self.rows(sql).await?;
        Ok(rows.into_iter().map(|(spent,)| spent.max(0).unsigned_abs()).collect())
    }

    /// Writes whose outcome was unclear at some time, because the answer was lost or came too late.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn once_unclear(&mut self) -> anyhow::Result<usize> {
        Ok(self.rows::<(i64,)>("SELECT DISTINCT effect FROM attempt WHERE outcome = 'unknown'").await?.len())
    }

    /// Whether the database is whole, in the words of SQLite.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn integrity(&mut self) -> anyhow::Result<String> {
        self.look.integrity().await
    }

    /// Size of the write-ahead log, bytes.
    pub(super) fn wal_bytes(&self) -> u64 {
        self.look.wal_bytes()
    }

    /// When each connection was first connected.
    pub(super) async fn started(&mut self) -> anyhow::Result<HashMap<String, i64>> {
        Ok(self.rows("SELECT name, started_at FROM connection").await?.into_iter().collect())
    }

    pub(super) async fn records(&mut self) -> anyhow::Result<Vec<RecordRow>> {
        let rows: Vec<(String, String, String, String)> =
            self.rows("SELECT connection, object, external_id, state FROM record").await?;
        let row =
            |(connection, object, external_id, state)| RecordRow { connection, object, external_id, state };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Webhook bodies that are stored and not split: (connection, body).
    pub(super) async fn unsplit(&mut self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        self.rows("SELECT connection, body FROM delivery WHERE split_at IS NULL").await
    }

    pub(super) async fn marks(&mut self) -> anyhow::Result<Vec<Mark>> {
        let rows: Vec<(String, String, String)> =
            self.rows("SELECT connection, stream, value FROM cursor").await?;
        let mark = |(connection, stream, value): (String, String, String)| {
            Some(Mark { connection, stream, at: mark_of(&value)? })
        };
        Ok(rows.into_iter().filter_map(mark).collect())
    }

    pub(super) async fn leads(&mut self) -> anyhow::Result<Vec<LeadRow>> {
        // A deleted contact's slot is let go, and its id kept aside; a link says who it was, too. Slots come last, so that
        // they count.
        let persons: Vec<(String, String)> = self
            .rows(
                "SELECT person, external_id FROM (SELECT person, external_id, 0 AS place FROM link \
                 WHERE connection IN (SELECT connection FROM slot) \
                 UNION ALL SELECT substr(name, 8, 32), external_id, 0 FROM slot_other WHERE name LIKE 'person/%' \
                 UNION ALL SELECT of, external_id, 1 FROM slot WHERE kind = 'person') AS known ORDER BY place",
            )
            .await?;
        let persons: HashMap<String, String> = persons.into_iter().collect();
        let rows: Vec<StoredLead> = self
            .rows(
                "SELECT l.id, coalesce('closed:' || l.close_reason, l.state), l.mode, l.person, l.fields, a.external_id, \
                 d.owner, d.body, \
                 (SELECT count(*) FROM effect e WHERE e.lead = l.id AND e.kind = 'create_task' AND e.state = 'done'), \
                 CASE WHEN l.detail LIKE 'it was deleted%' THEN l.closed_at END \
                 FROM lead l LEFT JOIN account a ON a.id = l.account \
                 LEFT JOIN decision d ON d.seq = (SELECT max(seq) FROM decision WHERE lead = l.id) ORDER BY l.seq",
            )
            .await?;
        rows.into_iter().map(|row| read(row, &persons)).collect()
    }

    /// The vendor ids that done writes of a kind gave.
    pub(super) async fn tasks_done(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT external_id FROM effect WHERE kind = 'create_task' AND state = 'done' AND external_id IS NOT NULL",
        )
        .await
    }

    /// Vendor ids of persons whom we know, and whether we say that we created them.
    pub(super) async fn persons(&mut self) -> anyhow::Result<BTreeMap<String, bool>> {
        let rows: Vec<(String, i64)> = self
            .rows(
                "SELECT external_id, count(CASE WHEN origin = 'created' THEN 1 END) FROM \
                 (SELECT external_id, origin FROM slot WHERE kind = 'person' \
                 UNION ALL SELECT external_id, origin FROM slot_other WHERE name LIKE 'person/%') AS known \
                 GROUP BY external_id",
            )
            .await?;
        Ok(rows.into_iter().map(|(id, created)| (id, created > 0)).collect())
    }

    /// The CRM's leads and deals that stand for ours: (our lead, kind, vendor id). One that was let go counts for nobody.
    pub(super) async fn inquiries(&mut self) -> anyhow::Result<Vec<(String, String, String)>> {
        self.rows("SELECT of, kind, external_id FROM slot WHERE kind IN ('lead', 'deal')").await
    }

    /// Leads whose task was given up because the person is gone at the CRM.
    pub(super) async fn tasks_given_up(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT lead FROM effect WHERE kind = 'create_task' AND state = 'cancelled' AND cancelled = 'vendor'",
        )
        .await
    }

    /// The keys of tasks, leads and deals that are not done and may exist all the same: shown to the operator as failed or unclear, or
    /// still on their way.
    pub(super) async fn tasks_unclear(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT key FROM effect WHERE kind IN ('create_task', 'ensure_inquiry') AND state IN ('rejected', 'parked', 'sending', 'unknown')",
        )
        .await
    }

    /// What persons would be made with whose creation is unclear, shown as failed, or still on its way.
    pub(super) async fn persons_unclear(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT body FROM effect WHERE kind = 'ensure_person' AND state IN ('rejected', 'parked', 'sending', 'unknown')",
        )
        .await
    }

    /// Leads whose owner write did not happen, and how it ended instead.
    pub(super) async fn owners_unwritten(&mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let sql = "SELECT lead, state || ': ' || coalesce(problem, '') FROM effect \
                   WHERE kind IN ('update_object', 'ensure_inquiry') AND state <> 'done'";
        Ok(self.rows(sql).await?.into_iter().collect())
    }

    /// Leads whose owner write found another owner, who keeps the object, and that owner.
    pub(super) async fn owners_kept(&mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let sql = "SELECT lead, external_id FROM effect WHERE kind = 'update_object' AND state = 'done' \
                   AND external_id IS NOT NULL AND problem LIKE 'somebody has chosen %'";
        Ok(self.rows(sql).await?.into_iter().collect())
    }

    /// Leads that count as written with a write that has not ended. (A lead fails as soon as one write can not be.)
    pub(super) async fn closed_too_soon(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT l.id FROM effect e JOIN lead l ON l.id = e.lead AND l.episode = e.episode \
             WHERE l.close_reason = 'written' AND e.state IN ('blocked', 'planned', 'sending', 'unknown')",
        )
        .await
    }

    /// Failed records that were blamed for the end of the process.
    pub(super) async fn given_up(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts("SELECT id FROM record WHERE state = 'failed' AND detail LIKE '%stopped the program%'")
            .await
    }

    /// Addresses that belong to several persons although they name one.
    pub(super) async fn shared_emails(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts("SELECT value FROM identity_key WHERE kind = 'email' GROUP BY value HAVING count(DISTINCT person) > 1")
            .await
    }

    /// Pools and reps whose stored balance is not the sum of their turns.
    pub(super) async fn wrong_balances(&mut self) -> anyhow::Result<Vec<String>> {
        self.texts(
            "SELECT b.pool || '/' || b.rep FROM balance b WHERE abs(b.taken - coalesce((SELECT sum(t.count) FROM turn t \
             WHERE t.pool = b.pool AND t.rep = b.rep AND t.mode = b.mode), 0)) > 0.001",
        )
        .await
    }

    pub(super) async fn waited(&mut self) -> anyhow::Result<Vec<Waited>> {
        let rows: Vec<(String, String)> = self
            .rows(
                "SELECT lead, body FROM decision WHERE lead IN \
                 (SELECT lead FROM decision GROUP BY lead HAVING count(*) > 1) ORDER BY lead, seq",
            )
            .await?;
        let read = |(lead, body): (String, String)| Ok((lead, serde_json::from_str(&body)?));
        let decisions: Vec<(String, StoredDecision)> =
            rows.into_iter().map(read).collect::<anyhow::Result<_>>()?;
        let pairs = decisions.windows(2).filter_map(|pair| match pair {
            [(lead, before), (same, after)] if lead == same && after.trigger == "opened" => {
                Some(Waited { lead: lead.clone(), until: before.resolution.until?, decided_at: after.at })
            }
            _ => None,
        });
        Ok(pairs.collect())
    }
}

/// Id, state, mode, person, fields, company, owner, decision, tasks.
type StoredLead = (
    String,
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    Option<i64>,
);

fn read(row: StoredLead, persons: &HashMap<String, String>) -> anyhow::Result<LeadRow> {
    let (id, state, mode, person, fields, company, owner, decision, tasks, deleted_at) = row;
    let fields: StoredFields = serde_json::from_str(&fields).context("a lead's fields")?;
    let decision = decision.as_deref().map(serde_json::from_str::<StoredDecision>).transpose()?;
    Ok(LeadRow {
        id,
        state,
        live: mode == "live",
        email: fields.values.email,
        company,
        person: persons.get(&person).cloned(),
        owner,
        decided_at: decision.map(|decision| decision.at),
        tasks,
        deleted_at: deleted_at.map(Timestamp::from_millisecond).transpose()?,
    })
}

#[derive(Deserialize)]
struct StoredFields {
    values: StoredValues,
}

#[derive(Deserialize)]
struct StoredValues {
    email: Option<String>,
}

#[derive(Deserialize)]
struct StoredDecision {
    at: Timestamp,
    trigger: String,
    resolution: StoredResolution,
}

#[derive(Deserialize)]
struct StoredResolution {
    until: Option<Timestamp>,
}

/// The mark of a cursor that follows time: an instant, or whole seconds since 1970.
fn mark_of(cursor: &str) -> Option<Timestamp> {
    let cursor: serde_json::Value = serde_json::from_str(cursor).ok()?;
    let mark = cursor.get("state")?.get("mark")?;
    match mark.as_i64() {
        Some(seconds) => Timestamp::from_second(seconds).ok(),
        None => mark.as_str()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_in_both_forms() {
        let mark = |text| mark_of(text).map(Timestamp::as_second);
        assert_eq!(mark(r#"{"version":1,"state":{"mark":90,"window":null}}"#), Some(90));
        assert_eq!(mark(r#"{"version":1,"state":{"floor":"","mark":"1970-01-01T00:01:30Z"}}"#), Some(90));
        assert_eq!(mark(r#"{"version":1,"state":{"after":"17"}}"#), None);
    }
}
