//! Quotas and rests on Postgres.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use usher_model::ConnectionName;

use super::PostgresStore;
use crate::codec::{from_json, json, ms, text};
use crate::error::StoreError;
use crate::quota::{Direction, Quotas, RestingEndpoint};

#[async_trait]
impl Quotas for PostgresStore {
    async fn quotas(&self) -> Result<Vec<(ConnectionName, Value)>, StoreError> {
        self.read("reads quotas", |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String)> =
                    sqlx::query_as("SELECT connection, value FROM quota ORDER BY connection")
                        .fetch_all(conn)
                        .await?;
                rows.into_iter().map(|(name, value)| Ok((name.into(), from_json("quota", &value)?))).collect()
            })
        })
        .await
    }

    async fn put_quota(
        &self,
        connection: &ConnectionName,
        value: Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let connection = text(connection);
        self.write("stores a quota", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO quota (connection, value, saved_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (connection) DO UPDATE SET value = excluded.value, saved_at = excluded.saved_at",
                )
                .bind(connection)
                .bind(json(&value)?)
                .bind(ms(now))
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn resting(&self) -> Result<Vec<RestingEndpoint>, StoreError> {
        self.read("reads what rests", |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64, i64, String)> = sqlx::query_as(
                    "SELECT connection, direction, since, probe_at, problem FROM breaker ORDER BY connection, direction",
                )
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(RestingEndpoint::stored).collect()
            })
        })
        .await
    }

    async fn rest(&self, endpoint: RestingEndpoint) -> Result<(), StoreError> {
        self.write("lets an endpoint rest", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO breaker (connection, direction, since, probe_at, problem) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (connection, direction) DO UPDATE SET since = excluded.since, probe_at = excluded.probe_at, \
                     problem = excluded.problem",
                )
                .bind(text(&endpoint.connection))
                .bind(endpoint.direction.as_str())
                .bind(ms(endpoint.since))
                .bind(ms(endpoint.probe_at))
                .bind(text(&endpoint.problem))
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn well(&self, connection: &ConnectionName, direction: Direction) -> Result<(), StoreError> {
        let connection = text(connection);
        self.write("ends an endpoint's rest", move |conn| {
            Box::pin(async move {
                sqlx::query("DELETE FROM breaker WHERE connection = $1 AND direction = $2")
                    .bind(connection)
                    .bind(direction.as_str())
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
