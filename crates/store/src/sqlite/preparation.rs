//! Preparation on SQLite.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::SqliteConnection;
use usher_model::{Account, AccountKey, AccountKeyKind, ConnectionName};

use super::SqliteStore;
use super::bulk::{Bulk, Script};
use super::codec::{clean, fresh_since, id, instant, json, lane, maybe_instant, ms, numbers, text};
use super::fault::Fault;
use super::writer::Priority;
use crate::error::StoreError;
use crate::preparation::{Preparation, Prepared, StoredRecord, Verdict};
use crate::quota::most_fresh;

/// The sign keeps the planner on the id, away from the queue's index.
static VERDICT: Bulk = Bulk::over(
    "WITH v (id, state, due_at, reason, detail, ended_at)",
    6,
    "UPDATE record SET state = v.state, due_at = coalesce(v.due_at, record.due_at), reason = v.reason, \
     detail = v.detail, ended_at = v.ended_at, attempts = 0 FROM v WHERE record.id = v.id AND +record.state = 'fetched'",
);

static DRAFT: Bulk = Bulk::over(
    "WITH v (id, body)",
    2,
    "INSERT INTO draft (record, body) SELECT record.seq, v.body FROM v CROSS JOIN record ON record.id = v.id \
     AND +record.state = 'fetched' ON CONFLICT DO UPDATE SET body = excluded.body",
);

#[async_trait]
impl Preparation for SqliteStore {
    async fn claim_records(
        &self,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.write(Priority::Decide, "claims records", move |conn| {
            Box::pin(claim(conn, limit, now, lease_until))
        })
        .await
    }

    async fn accounts_by_keys(
        &self,
        connection: &ConnectionName,
        keys: &[AccountKey],
        per_key: u32,
    ) -> Result<Vec<(Account, Vec<AccountKey>)>, StoreError> {
        let (connection, keys) = (connection.clone(), keys.to_vec());
        self.look("looks up accounts", move |conn| Box::pin(accounts(conn, connection, keys, per_key))).await
    }

    async fn commit_prepared(&self, prepared: Vec<Prepared>, now: Timestamp) -> Result<(), StoreError> {
        self.write(Priority::Decide, "stores prepared records", move |conn| {
            Box::pin(commit_prepared(conn, prepared, now))
        })
        .await
    }

    async fn hasten_records(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        self.write(Priority::Maintain, "hastens records", move |conn| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE record SET due_at = ?1 WHERE seq IN (SELECT seq FROM record WHERE state = 'fetched' \
                     AND due_at > ?1 AND attempts = 0 LIMIT ?2)",
                );
                Ok(done.bind(ms(now)).bind(limit).execute(conn).await?.rows_affected())
            })
        })
        .await
    }
}

/// Records whose earlier preparation gave no outcome, the least suspicious first: one of them may take the process down
/// again. Each death costs the group that it happened to, and quarters what its records are claimed with the next time,
/// so that a poison record is alone after four deaths and its neighbours are not slowed down by doing each by itself.
const DIED_BEFORE: &str = "WITH least (attempts) AS (SELECT attempts FROM record INDEXED BY record_again \
      WHERE state = 'fetched' AND attempts > 0 AND due_at <= ?2 ORDER BY attempts LIMIT 1) \
    UPDATE record SET due_at = ?1, attempts = attempts + 1 WHERE seq IN (SELECT seq FROM record INDEXED BY record_again \
      WHERE state = 'fetched' AND attempts > 0 AND attempts = (SELECT attempts FROM least) AND due_at <= ?2 \
      ORDER BY due_at, seq LIMIT coalesce((SELECT max(1, ?3 >> (2 * attempts)) FROM least), 0)) RETURNING seq";

/// From every connection in turn, of each the fresh ones first.
const IN_TURN: &str = "WITH RECURSIVE c (name) AS (SELECT min(connection) FROM record WHERE state = 'fetched' UNION ALL \
       SELECT (SELECT min(connection) FROM record WHERE state = 'fetched' AND connection > c.name) FROM c \
       WHERE c.name IS NOT NULL) \
     UPDATE record SET due_at = ?1, attempts = attempts + 1 WHERE seq IN (SELECT seq FROM ( \
       SELECT 0 AS tier, seq, place FROM (SELECT r.seq, \
           row_number() OVER (PARTITION BY r.connection ORDER BY r.received_at, r.seq) AS place \
         FROM c CROSS JOIN record r ON r.seq IN (SELECT f.seq FROM record f WHERE f.state = 'fetched' \
           AND f.connection = c.name AND f.lane = 0 AND f.received_at >= ?4 AND f.due_at <= ?2 \
           ORDER BY f.received_at, f.seq LIMIT ?5) ORDER BY place LIMIT ?5) \
       UNION ALL SELECT 1, r.seq, \
           row_number() OVER (PARTITION BY r.connection ORDER BY r.lane, r.received_at, r.seq) \
         FROM c CROSS JOIN record r ON r.seq IN (SELECT f.seq FROM record f WHERE f.state = 'fetched' \
           AND f.connection = c.name AND f.due_at <= ?2 ORDER BY f.lane, f.received_at, f.seq LIMIT ?3)) \
       GROUP BY seq ORDER BY min(tier), min(place), seq LIMIT ?3) RETURNING seq";

type ClaimedRow =
    (String, String, String, String, Option<i64>, Option<i64>, bool, bool, i64, i64, u32, String);

async fn claim(
    conn: &mut SqliteConnection,
    limit: u32,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<StoredRecord>, Fault> {
    let claim = |which: &'static str| sqlx::query_as(which).bind(ms(lease_until)).bind(ms(now)).bind(limit);
    let mut claimed: Vec<(i64,)> = claim(DIED_BEFORE).fetch_all(&mut *conn).await?;
    if claimed.is_empty() {
        let claim = claim(IN_TURN).bind(ms(fresh_since(now))).bind(most_fresh(limit));
        claimed = claim.fetch_all(&mut *conn).await?;
    }
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<ClaimedRow> = sqlx::query_as(
        "SELECT r.id, r.connection, r.object, r.external_id, r.created_at, r.modified_at, r.imported, r.gone, r.lane, r.received_at, \
         r.attempts, p.body FROM json_each(?) j CROSS JOIN record r ON r.seq = j.value \
         CROSS JOIN payload p ON p.record = r.seq ORDER BY r.lane, r.received_at, r.seq",
    )
    .bind(numbers(&claimed.into_iter().map(|(seq,)| seq).collect::<Vec<i64>>())?)
    .fetch_all(&mut *conn)
    .await?;
    let (mut records, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let record = row.0.clone();
        match stored_record(row) {
            Ok(stored) => records.push(stored),
            Err(fault) => unreadable.push((record, fault.of_row())),
        }
    }
    fail_unreadable(conn, unreadable, now).await?;
    Ok(records)
}

/// Fails records whose stored form can not be read, each alone.
async fn fail_unreadable(
    conn: &mut SqliteConnection,
    unreadable: Vec<(String, String)>,
    now: Timestamp,
) -> Result<(), Fault> {
    for (record, problem) in unreadable {
        tracing::error!(record, problem, "a stored record can not be read and fails alone");
        sqlx::query("UPDATE record SET state = 'failed', detail = ?2, ended_at = ?3 WHERE id = ?1")
            .bind(record)
            .bind(text(problem))
            .bind(ms(now))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

fn stored_record(row: ClaimedRow) -> Result<StoredRecord, Fault> {
    let (
        record,
        connection,
        object,
        external_id,
        created_at,
        modified_at,
        imported,
        gone,
        rank,
        received_at,
        attempts,
        payload,
    ) = row;
    Ok(StoredRecord {
        id: id(&record)?,
        connection: connection.into(),
        object: object.into(),
        external_id: external_id.into(),
        created_at: maybe_instant(created_at)?,
        modified_at: maybe_instant(modified_at)?,
        imported,
        gone,
        lane: lane(rank)?,
        received_at: instant(received_at)?,
        payload: RawValue::from_string(payload).map_err(|error| Fault::unreadable("payload", error))?,
        attempts,
    })
}

struct VerdictRow {
    record: String,
    state: &'static str,
    due_at: Option<i64>,
    reason: Option<&'static str>,
    detail: Option<String>,
    ended_at: Option<i64>,
}

async fn commit_prepared(
    conn: &mut SqliteConnection,
    prepared: Vec<Prepared>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut drafts = Vec::new();
    let mut verdicts = Vec::with_capacity(prepared.len());
    for Prepared { record, verdict } in prepared {
        let record = record.to_string();
        let row = |state, due_at: Option<Timestamp>, reason, detail: Option<String>| VerdictRow {
            record: record.clone(),
            state,
            due_at: due_at.map(ms),
            reason,
            detail: detail.map(text),
            ended_at: if due_at.is_none() { Some(ms(now)) } else { None },
        };
        verdicts.push(match verdict {
            Verdict::Mapped { draft, ready_at } => {
                drafts.push((record.clone(), json(&draft)?));
                row("mapped", Some(ready_at), None, None)
            }
            Verdict::Ignored { reason, detail } => row("ignored", None, Some(reason.as_str()), detail),
            Verdict::Failed { problem } => row("failed", None, None, Some(problem)),
            Verdict::Later { at, problem } => row("fetched", Some(at), None, Some(problem)),
        });
    }
    // Drafts first: they are only stored for records that are still fetched.
    let script = Script::new()
        .then(&DRAFT, &drafts, |query, (record, body)| query.bind(record.clone()).bind(body.clone()))
        .then(&VERDICT, &verdicts, |query, row| {
            query
                .bind(row.record.clone())
                .bind(row.state)
                .bind(row.due_at)
                .bind(row.reason)
                .bind(row.detail.clone())
                .bind(row.ended_at)
        });
    script.run(conn).await?;
    Ok(())
}

type AccountHit = (i64, String, String, String, Option<String>, Option<String>, String, String);

async fn accounts(
    conn: &mut SqliteConnection,
    connection: ConnectionName,
    keys: Vec<AccountKey>,
    per_key: u32,
) -> Result<Vec<(Account, Vec<AccountKey>)>, Fault> {
    let asked: Vec<_> = keys.iter().map(|key| (key.kind.as_str(), clean(&key.value))).collect();
    let rows: Vec<AccountHit> = sqlx::query_as(
        "WITH hit (account) AS MATERIALIZED (SELECT DISTINCT a.seq FROM json_each(?2) j CROSS JOIN account a ON a.seq IN \
         (SELECT k.account FROM account_key k JOIN account b ON b.seq = k.account WHERE k.connection = ?1 \
          AND k.kind = j.value ->> 0 AND k.value = j.value ->> 1 AND b.gone = 0 ORDER BY k.account LIMIT ?3)) \
         SELECT a.seq, a.id, a.external_id, a.name, a.owner, a.country, k.kind, k.value FROM hit \
         CROSS JOIN account a ON a.seq = hit.account CROSS JOIN account_key k ON k.account = a.seq ORDER BY a.seq",
    )
    .bind(text(&connection))
    .bind(json(&asked)?)
    .bind(per_key)
    .fetch_all(conn)
    .await?;
    let asked: HashSet<(&str, &str)> = asked.iter().map(|(kind, value)| (*kind, value.as_ref())).collect();
    let mut found: BTreeMap<i64, (Account, Vec<AccountKey>)> = BTreeMap::new();
    for (seq, account, external_id, name, owner, country, kind, value) in rows {
        let (_, keys) = match found.entry(seq) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let owner = owner.map(Into::into);
                let external_id = external_id.into();
                let connection = connection.clone();
                let account = Account { id: id(&account)?, connection, external_id, name, owner, country };
                entry.insert((account, Vec::new()))
            }
        };
        if asked.contains(&(kind.as_str(), value.as_str())) {
            let kind = if kind == "domain" { AccountKeyKind::Domain } else { AccountKeyKind::Name };
            keys.push(AccountKey { kind, value });
        }
    }
    Ok(found.into_values().collect())
}
