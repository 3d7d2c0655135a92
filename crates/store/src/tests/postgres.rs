//! The Postgres backend under test, and what only Postgres has to prove.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use usher_model::{EffectState, Mode};

use super::Backend;
use super::cluster::Cluster;
use super::fixture::{at, crm, decided, states};
use crate::postgres::{LeaseClock, PostgresOptions, PostgresStore};
use crate::{Store, StoreError};

pub(crate) struct PostgresDatabase {
    cluster: &'static Cluster,
    url: String,
    store: Arc<PostgresStore>,
}

/// Another node on the database.
pub(crate) async fn node(url: &str, name: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(PostgresOptions::new(url, name)?.clock(LeaseClock::Caller)).await
}

impl PostgresDatabase {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// Keeps everybody from changing the table.
    pub(crate) async fn hold(&self, table: &'static str) -> Gate {
        let mut conn = PgConnection::connect(&self.url).await.unwrap();
        let sql = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        Gate(conn)
    }

    fn sql(&self, statement: &str) -> String {
        let (_, name) = self.url.rsplit_once('/').unwrap();
        self.cluster.sql(name, statement)
    }
}

/// A held table.
pub(crate) struct Gate(PgConnection);

impl Gate {
    /// Lets it go once so many sessions wait for a lock.
    pub(crate) async fn open_for(mut self, waiting: i64) {
        let seen = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(seen).fetch_one(&mut self.0).await.unwrap() < waiting {
            // The statistics are read once in a transaction.
            sqlx::raw_sql("SELECT pg_stat_clear_snapshot()").execute(&mut self.0).await.unwrap();
        }
        self.0.close().await.unwrap();
    }
}

impl Backend for PostgresDatabase {
    async fn start() -> Option<Self> {
        let cluster = tokio::task::block_in_place(Cluster::shared)?;
        let url = tokio::task::block_in_place(|| cluster.database());
        let store = Arc::new(node(&url, "one").await.unwrap());
        Some(Self { cluster, url, store })
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn reopen(self) -> Self {
        let Self { cluster, url, store } = self;
        drop(store);
        let store = Arc::new(node(&url, "again").await.unwrap());
        Self { cluster, url, store }
    }

    /// A disk that is really full would stop the whole cluster's other tests: large rows meet the very error that the
    /// server raises when it can not extend a file.
    async fn fill_disk(&self, full: bool) {
        self.sql(if full { FILL } else { "DROP FUNCTION no_room CASCADE" });
    }

    async fn spoil(&self, table: &'static str) {
        let (column, order) = match table {
            "lead" => ("fields", "seq"),
            "effect" => ("body", "seq"),
            _ => ("body", "record"),
        };
        let told = self.sql(&format!(
            "UPDATE {table} SET {column} = '{{' WHERE {order} = (SELECT min({order}) FROM {table}) RETURNING 'spoilt'"
        ));
        assert!(told.contains("spoilt"), "{told}");
    }

    async fn ledger(&self, mode: Mode) -> BTreeMap<(String, String), (f64, f64)> {
        let rows = self.sql(&format!(
            "WITH line AS (SELECT pool, key AS rep, value::float8 AS entitled, 0 AS taken FROM turn, \
             json_each_text(shares::json) WHERE mode = '{0}' UNION ALL SELECT pool, rep, 0, count FROM turn \
             WHERE mode = '{0}') SELECT pool, rep, sum(entitled), sum(taken) FROM line GROUP BY pool, rep",
            mode.as_str()
        ));
        let line = |line: &str| {
            let parts: Vec<&str> = line.split('|').collect();
            let number = |part: &str| part.parse::<f64>().unwrap();
            ((parts[0].to_owned(), parts[1].to_owned()), (number(parts[2]), number(parts[3])))
        };
        rows.lines().map(line).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_105_a_database_that_was_put_back_is_in_doubt() {
    let Some(database) = PostgresDatabase::start().await else { return };
    let store = database.store();
    let lead = decided(&store, 1).await.lead;
    store.prove_writable(at(50)).await.unwrap();
    let refused = store.back_up("dump".as_ref(), at(60)).await.unwrap_err();
    assert!(refused.to_string().contains("pg_dump"), "{refused}");
    store.close().await.unwrap();
    // A copy has the rows and another history, as after `pg_restore`.
    let (server, name) = database.url.rsplit_once('/').unwrap();
    database.cluster.sql("postgres", &format!("CREATE DATABASE {name}_again TEMPLATE {name}"));
    let copy: Arc<dyn Store> = Arc::new(node(&format!("{server}/{name}_again"), "two").await.unwrap());
    copy.recover_effects(at(100)).await.unwrap();
    assert_eq!(states(&copy, lead).await, [EffectState::Unknown, EffectState::Blocked, EffectState::Blocked]);
    let looked = copy.claim_unknown(&crm(), 9, at(101), at(110)).await.unwrap();
    assert_eq!(looked[0].doubt_since, Some(at(50) - SignedDuration::from_secs(60)));
    // Where nothing was put back, nothing is in doubt.
    let store = database.reopen().await.store();
    store.recover_effects(at(100)).await.unwrap();
    assert_eq!(
        states(&store, lead).await,
        [EffectState::Planned, EffectState::Blocked, EffectState::Blocked]
    );
}

const FILL: &str = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; \
     CREATE TRIGGER no_room BEFORE INSERT ON payload FOR EACH ROW WHEN (length(NEW.body) > 10000) EXECUTE FUNCTION no_room(); \
     CREATE TRIGGER no_room BEFORE INSERT ON delivery FOR EACH ROW WHEN (length(NEW.body) > 10000) EXECUTE FUNCTION no_room(); \
     CREATE TRIGGER no_room BEFORE INSERT ON decision FOR EACH ROW WHEN (length(NEW.body) > 10000) EXECUTE FUNCTION no_room()";
