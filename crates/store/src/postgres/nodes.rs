//! Nodes on Postgres: heartbeats, burials, and the fenced lease of the leader.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::{PostgresStore, finish};
use crate::codec::instant;
use crate::error::StoreError;
use crate::fault::Fault;
use crate::nodes::{Fence, NodeStatus, Nodes};

/// What the leader's lease is called: deciding, and everything else that only one node may do.
const LEADER: &str = "leader";
/// A dead node is remembered for a day.
const REMEMBERED: i64 = 24 * 3600 * 1000;

#[async_trait]
impl Nodes for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn beat(&self, ttl: Duration) -> Result<Timestamp, StoreError> {
        let node = self.node.clone();
        self.beat_with("says that this node lives", move |conn| {
            Box::pin(async move {
                let (clock,): (i64,) = sqlx::query_as(
                    "INSERT INTO node (name, since, until) VALUES ($1, usher_now(), usher_now() + $2) \
                     ON CONFLICT (name) DO UPDATE SET until = excluded.until, buried = FALSE RETURNING usher_now()",
                )
                .bind(node)
                .bind(millis(ttl))
                .fetch_one(&mut *conn)
                .await?;
                bury(conn).await?;
                instant(clock)
            })
        })
        .await
    }

    async fn lead(&self, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let node = self.node.clone();
        self.beat_with("asks who leads", move |conn| {
            Box::pin(async move {
                // One row at a time: whoever waits for it sees what the other made of it.
                let fence: Option<(i64,)> = sqlx::query_as(
                    "INSERT INTO lease (role, holder, fence, until) VALUES ($1, $2, 1, usher_now() + $3) \
                     ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, until = excluded.until, fence = lease.fence \
                     + CASE WHEN lease.holder = excluded.holder AND lease.until > usher_now() THEN 0 ELSE 1 END \
                     WHERE lease.holder = excluded.holder OR lease.until <= usher_now() RETURNING fence",
                )
                .bind(LEADER)
                .bind(node)
                .bind(millis(ttl))
                .fetch_optional(conn)
                .await?;
                Ok(fence.map(|(fence,)| Fence(fence.unsigned_abs())))
            })
        })
        .await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let node = self.node.clone();
        self.beat_with("leaves in good order", move |conn| {
            Box::pin(async move {
                sqlx::query("UPDATE lease SET until = usher_now() WHERE holder = $1")
                    .bind(&node)
                    .execute(&mut *conn)
                    .await?;
                sqlx::query("UPDATE node SET until = usher_now() WHERE name = $1")
                    .bind(node)
                    .execute(&mut *conn)
                    .await?;
                bury(conn).await
            })
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeStatus>, StoreError> {
        self.read("lists nodes", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, i64, bool, bool)> = sqlx::query_as(
                    "SELECT n.name, n.since, n.until > usher_now(), l.holder IS NOT NULL FROM node n \
                     LEFT JOIN lease l ON l.role = $1 AND l.holder = n.name AND l.until > usher_now() ORDER BY n.name",
                )
                .bind(LEADER)
                .fetch_all(conn)
                .await?;
                let status = |(name, since, alive, leads)| {
                    Ok(NodeStatus { name, since: instant(since)?, alive, leads })
                };
                rows.into_iter().map(status).collect()
            })
        })
        .await
    }
}

/// Lets the claims of dead nodes go, once for each death. What was being sent may have arrived: it is looked up.
pub(super) async fn bury(conn: &mut PgConnection) -> Result<(), Fault> {
    const CLAIMS: [&str; 2] = [
        "WITH gone AS MATERIALIZED (SELECT seq FROM record WHERE state = 'fetched' AND claimed_by = ANY($1) \
         FOR UPDATE SKIP LOCKED) \
         UPDATE record r SET due_at = least(due_at, usher_now() + CASE WHEN attempts > 1 \
         THEN 500::bigint << least(attempts, 7)::int ELSE 0 END), claimed_by = NULL FROM gone WHERE r.seq = gone.seq",
        "WITH gone AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'unknown' AND claimed_by = ANY($1) \
         FOR UPDATE SKIP LOCKED) \
         UPDATE effect e SET due_at = least(due_at, usher_now()), claimed_by = NULL FROM gone WHERE e.seq = gone.seq",
    ];
    let dead: Vec<(String,)> = sqlx::query_as(
        "WITH dead AS MATERIALIZED (SELECT name FROM node WHERE until <= usher_now() AND NOT buried FOR UPDATE SKIP LOCKED) \
         UPDATE node n SET buried = TRUE FROM dead WHERE n.name = dead.name RETURNING n.name",
    )
    .fetch_all(&mut *conn)
    .await?;
    if dead.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = dead.into_iter().map(|(name,)| name).collect();
    for claims in CLAIMS {
        sqlx::query(claims).bind(&names).execute(&mut *conn).await?;
    }
    finish::recover(conn, None, &names).await?;
    sqlx::query("DELETE FROM node WHERE buried AND until < usher_now() - $1")
        .bind(REMEMBERED)
        .execute(conn)
        .await?;
    Ok(())
}

/// Refuses a leader that was replaced. Whoever wants to replace it now waits until this transaction has ended.
pub(super) async fn check_fence(conn: &mut PgConnection, fence: Option<Fence>) -> Result<(), Fault> {
    let Some(fence) = fence else { return Ok(()) };
    let stored: Option<(i64,)> = sqlx::query_as("SELECT fence FROM lease WHERE role = $1 FOR SHARE")
        .bind(LEADER)
        .fetch_optional(conn)
        .await?;
    if stored.map(|(stored,)| Fence(stored.unsigned_abs())) == Some(fence) {
        Ok(())
    } else {
        Err(Fault::Fenced)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
