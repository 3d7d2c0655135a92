//! Preparation on Postgres.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use usher_model::{Account, AccountKey, AccountKeyKind, ConnectionName};

use super::{PostgresStore, column, lasts};
use crate::codec::{count, fresh_since, id, instant, json, lane, maybe_instant, ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::preparation::{Preparation, Prepared, StoredRecord, Verdict};
use crate::quota::most_fresh;

/// `$1` is the clock, `$2` how long the claim lasts, `$3` how many, `$5` since when a record is fresh, `$6` how many of
/// those at most.
macro_rules! claim {
    ($due:literal) => {
        concat!(
            "WITH RECURSIVE ",
            $due,
            ", claimed AS (UPDATE record r SET due_at = coalesce($1, usher_now()) + $2, attempts = attempts + 1, \
             claimed_by = $4 FROM due WHERE r.seq = due.seq RETURNING r.*) \
             SELECT r.id, r.connection, r.object, r.external_id, r.created_at, r.modified_at, r.imported, r.gone, r.lane, \
             r.received_at, r.attempts, p.body FROM claimed r JOIN payload p ON p.record = r.seq \
             ORDER BY r.lane, r.received_at, r.seq"
        )
    };
}

/// Records whose earlier preparation gave no outcome, the least suspicious first, in groups as on SQLite.
const DIED_BEFORE: &str = claim!(
    "least (attempts) AS MATERIALIZED (SELECT attempts FROM record WHERE state = 'fetched' AND attempts > 0 \
       AND due_at <= coalesce($1, usher_now()) ORDER BY attempts LIMIT 1), \
     due AS MATERIALIZED (SELECT seq FROM record WHERE state = 'fetched' AND attempts > 0 \
       AND attempts = (SELECT attempts FROM least) AND due_at <= coalesce($1, usher_now()) \
       ORDER BY due_at, seq LIMIT (SELECT greatest(1, $3 >> (2 * attempts)::int) FROM least) FOR UPDATE SKIP LOCKED)"
);
/// From every connection in turn, of each the fresh ones first.
const IN_TURN: &str = claim!(
    "c (name) AS (SELECT min(connection) FROM record WHERE state = 'fetched' UNION ALL \
       SELECT (SELECT min(connection) FROM record WHERE state = 'fetched' AND connection > c.name) FROM c \
       WHERE c.name IS NOT NULL), \
     fresh AS MATERIALIZED (SELECT seq, row_number() OVER (PARTITION BY c.name ORDER BY f.received_at, seq) AS place \
       FROM c CROSS JOIN LATERAL (SELECT seq, received_at FROM record WHERE state = 'fetched' AND connection = c.name \
         AND lane = 0 AND received_at >= $5 AND due_at <= coalesce($1, usher_now()) \
         ORDER BY received_at, seq LIMIT $6 FOR UPDATE SKIP LOCKED) f ORDER BY place LIMIT $6), \
     oldest AS MATERIALIZED (SELECT seq, row_number() OVER (PARTITION BY c.name ORDER BY f.lane, f.received_at, seq) AS place \
       FROM c CROSS JOIN LATERAL (SELECT seq, lane, received_at FROM record WHERE state = 'fetched' AND connection = c.name \
         AND due_at <= coalesce($1, usher_now()) ORDER BY lane, received_at, seq LIMIT $3 FOR UPDATE SKIP LOCKED) f), \
     due AS (SELECT seq FROM (SELECT 0 AS tier, * FROM fresh UNION ALL SELECT 1, * FROM oldest) both_tiers \
       GROUP BY seq ORDER BY min(tier), min(place), seq LIMIT $3)"
);

#[async_trait]
impl Preparation for PostgresStore {
    async fn claim_records(
        &self,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let (clock, node) = (self.asked(now), self.node.clone());
        self.write("claims records", move |conn| {
            Box::pin(async move {
                let claim = |which: &'static str| {
                    let claim = sqlx::query(which).bind(clock).bind(lasts(now, lease_until));
                    claim.bind(i64::from(limit)).bind(&node)
                };
                let mut rows = claim(DIED_BEFORE).fetch_all(&mut *conn).await?;
                if rows.is_empty() {
                    let claim = claim(IN_TURN).bind(ms(fresh_since(now)));
                    rows = claim.bind(i64::from(most_fresh(limit))).fetch_all(&mut *conn).await?;
                }
                readable(conn, &rows, now).await
            })
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
        self.read("looks up accounts", move |conn| Box::pin(accounts(conn, connection, keys, per_key))).await
    }

    async fn commit_prepared(&self, prepared: Vec<Prepared>, now: Timestamp) -> Result<(), StoreError> {
        self.write("stores prepared records", move |conn| Box::pin(commit_prepared(conn, prepared, now)))
            .await
    }

    async fn hasten_records(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        self.write("hastens records", move |conn| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE record SET due_at = $1 WHERE seq IN (SELECT seq FROM record WHERE state = 'fetched' \
                     AND due_at > $1 AND attempts = 0 LIMIT $2 FOR UPDATE SKIP LOCKED)",
                );
                Ok(done.bind(ms(now)).bind(i64::from(limit)).execute(conn).await?.rows_affected())
            })
        })
        .await
    }
}

/// The records; those whose stored form can not be read fail, each alone.
async fn readable(
    conn: &mut PgConnection,
    rows: &[PgRow],
    now: Timestamp,
) -> Result<Vec<StoredRecord>, Fault> {
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let Err(fault) = stored_record(row).map(|stored| records.push(stored)) else { continue };
        let (record, problem) = (row.try_get::<&str, _>(0)?, fault.of_row());
        tracing::error!(record, problem, "a stored record can not be read and fails alone");
        sqlx::query(
            "UPDATE record SET state = 'failed', claimed_by = NULL, detail = $2, ended_at = $3 WHERE id = $1",
        )
        .bind(record)
        .bind(problem)
        .bind(ms(now))
        .execute(&mut *conn)
        .await?;
    }
    Ok(records)
}

fn stored_record(row: &PgRow) -> Result<StoredRecord, Fault> {
    let payload: String = row.try_get(11)?;
    Ok(StoredRecord {
        id: id(row.try_get(0)?)?,
        connection: row.try_get::<&str, _>(1)?.into(),
        object: row.try_get::<&str, _>(2)?.into(),
        external_id: row.try_get::<&str, _>(3)?.into(),
        created_at: maybe_instant(row.try_get(4)?)?,
        modified_at: maybe_instant(row.try_get(5)?)?,
        imported: row.try_get(6)?,
        gone: row.try_get(7)?,
        lane: lane(row.try_get(8)?)?,
        received_at: instant(row.try_get(9)?)?,
        attempts: count(row.try_get(10)?)?,
        payload: RawValue::from_string(payload).map_err(|error| Fault::unreadable("payload", error))?,
    })
}

struct VerdictRow {
    record: String,
    state: &'static str,
    due_at: Option<i64>,
    reason: Option<&'static str>,
    detail: Option<String>,
    ended_at: Option<i64>,
    draft: Option<String>,
}

impl VerdictRow {
    fn of(Prepared { record, verdict }: Prepared, now: Timestamp) -> Result<Self, Fault> {
        let row = |state, due_at: Option<Timestamp>, reason, detail: Option<String>| Self {
            record: record.to_string(),
            state,
            due_at: due_at.map(ms),
            reason,
            detail: detail.map(text),
            ended_at: if due_at.is_none() { Some(ms(now)) } else { None },
            draft: None,
        };
        Ok(match verdict {
            Verdict::Mapped { draft, ready_at } => {
                Self { draft: Some(json(&draft)?), ..row("mapped", Some(ready_at), None, None) }
            }
            Verdict::Ignored { reason, detail } => row("ignored", None, Some(reason.as_str()), detail),
            Verdict::Failed { problem } => row("failed", None, None, Some(problem)),
            Verdict::Later { at, problem } => row("fetched", Some(at), None, Some(problem)),
        })
    }
}

async fn commit_prepared(
    conn: &mut PgConnection,
    prepared: Vec<Prepared>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(prepared.len());
    for each in prepared {
        rows.push(VerdictRow::of(each, now)?);
    }
    // Locked in one order, and held until the end: what is still fetched now is ours to end.
    let fetched: Vec<(String,)> = sqlx::query_as(
        "SELECT id FROM record WHERE id = ANY($1) AND state = 'fetched' ORDER BY seq FOR UPDATE",
    )
    .bind(column(&rows, |row| row.record.clone()))
    .fetch_all(&mut *conn)
    .await?;
    let fetched: HashSet<String> = fetched.into_iter().map(|(record,)| record).collect();
    rows.retain(|row| fetched.contains(&row.record));
    let drafts: Vec<(&str, &str)> =
        rows.iter().filter_map(|row| Some((row.record.as_str(), row.draft.as_deref()?))).collect();
    sqlx::query(
        "INSERT INTO draft (record, body) SELECT r.seq, v.body FROM unnest($1::text[], $2::text[]) AS v (id, body) \
         JOIN record r ON r.id = v.id ON CONFLICT (record) DO UPDATE SET body = excluded.body",
    )
    .bind(column(&drafts, |draft| draft.0))
    .bind(column(&drafts, |draft| draft.1))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE record r SET state = v.state, due_at = coalesce(v.due_at, r.due_at), reason = v.reason, detail = v.detail, \
         ended_at = v.ended_at, attempts = 0, claimed_by = NULL FROM unnest($1::text[], $2::text[], $3::bigint[], \
         $4::text[], $5::text[], $6::bigint[]) AS v (id, state, due_at, reason, detail, ended_at) WHERE r.id = v.id",
    )
    .bind(column(&rows, |row| row.record.as_str()))
    .bind(column(&rows, |row| row.state))
    .bind(column(&rows, |row| row.due_at))
    .bind(column(&rows, |row| row.reason))
    .bind(column(&rows, |row| row.detail.as_deref()))
    .bind(column(&rows, |row| row.ended_at))
    .execute(conn)
    .await?;
    Ok(())
}

type AccountHit = (i64, String, String, String, Option<String>, Option<String>, String, String);

async fn accounts(
    conn: &mut PgConnection,
    connection: ConnectionName,
    keys: Vec<AccountKey>,
    per_key: u32,
) -> Result<Vec<(Account, Vec<AccountKey>)>, Fault> {
    let asked: Vec<(&str, String)> = keys.iter().map(|key| (key.kind.as_str(), text(&key.value))).collect();
    let rows: Vec<AccountHit> = sqlx::query_as(
        "WITH hit AS MATERIALIZED (SELECT DISTINCT near.account FROM unnest($2::text[], $3::text[]) AS v (kind, value) \
         CROSS JOIN LATERAL (SELECT k.account FROM account_key k JOIN account b ON b.seq = k.account \
           WHERE k.connection = $1 AND k.kind = v.kind AND k.value = v.value AND NOT b.gone ORDER BY k.account LIMIT $4) near) \
         SELECT a.seq, a.id, a.external_id, a.name, a.owner, a.country, k.kind, k.value FROM hit \
         JOIN account a ON a.seq = hit.account JOIN account_key k ON k.account = a.seq ORDER BY a.seq, k.kind, k.value",
    )
    .bind(text(&connection))
    .bind(column(&asked, |key| key.0))
    .bind(column(&asked, |key| key.1.as_str()))
    .bind(i64::from(per_key))
    .fetch_all(conn)
    .await?;
    let asked: HashSet<(&str, &str)> = asked.iter().map(|(kind, value)| (*kind, value.as_str())).collect();
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
