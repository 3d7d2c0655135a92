//! Many rows by few statements, and several statements by one trip to the connection's thread.
//!
//! `VALUES` lists of a few fixed lengths, so that each is prepared once and reused. Binding values beats one JSON
//! parameter here by the cost of escaping and parsing payload-sized texts. A list that is longer than its rows ends in
//! rows of NULL, which cost next to nothing, while a trip to the thread and back costs more than a small statement does.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use futures::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Either, Executor as _, Sqlite, SqliteConnection};

use super::fault::Fault;

/// A statement with values to bind.
pub(super) type Bound = Query<'static, Sqlite, SqliteArguments>;

/// Rows per statement.
const LENGTHS: [usize; 5] = [1, 4, 16, 64, 128];

/// A statement over rows of `columns` placeholders each.
#[derive(Debug)]
pub(super) struct Bulk {
    head: &'static str,
    before: &'static str,
    columns: usize,
    after: &'static str,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; LENGTHS.len()],
}

impl Bulk {
    /// `head` is an `INSERT INTO t (…)` whose first column is never null, `tail` what to do on conflict.
    pub(super) const fn insert(head: &'static str, columns: usize, tail: &'static str) -> Self {
        let (before, after) = ("SELECT * FROM (VALUES", ") WHERE column1 IS NOT NULL");
        Self { head, before, columns, after, tail, texts: [const { OnceLock::new() }; LENGTHS.len()] }
    }

    /// `head` is a `WITH v (…)` that names the columns, `tail` the statement that reads `v`; it must do nothing with a
    /// row of NULL, as a join by the first column does.
    pub(super) const fn over(head: &'static str, columns: usize, tail: &'static str) -> Self {
        let (before, after) = ("AS (VALUES", ")");
        Self { head, before, columns, after, tail, texts: [const { OnceLock::new() }; LENGTHS.len()] }
    }

    /// Runs the statement over all rows; returns how many rows it changed.
    pub(super) async fn run<T: Sync>(
        &'static self,
        conn: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(Bound, &T) -> Bound + Send + Sync,
    ) -> Result<u64, Fault> {
        Ok(Script::new().then(self, rows, bind).run(conn).await?.into_iter().sum())
    }

    fn text(&self, length: usize) -> Arc<str> {
        let text = || {
            let row = format!("({})", vec!["?"; self.columns].join(","));
            let rows = vec![row.as_str(); LENGTHS[length]].join(",");
            format!("{} {} {rows} {} {}", self.head, self.before, self.after, self.tail).into()
        };
        Arc::clone(self.texts[length].get_or_init(text))
    }
}

/// Statements that run one after the other, in one trip unless there are very many rows. A statement that fails ends the
/// script; what ran before it goes with the transaction.
pub(super) struct Script<'a> {
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    bulk: &'static Bulk,
    rows: usize,
    bind: Box<dyn Fn(Bound, Range<usize>) -> Bound + Send + Sync + 'a>,
}

impl<'a> Script<'a> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Adds a statement over rows. Without rows it does nothing, and has changed none.
    pub(super) fn then<T: Sync>(
        mut self,
        bulk: &'static Bulk,
        rows: &'a [T],
        bind: impl Fn(Bound, &T) -> Bound + Send + Sync + 'a,
    ) -> Self {
        let part = move |query: Bound, part: Range<usize>| {
            rows.get(part).unwrap_or_default().iter().fold(query, &bind)
        };
        self.steps.push(Step { bulk, rows: rows.len(), bind: Box::new(part) });
        self
    }

    /// Runs everything. Returns how many rows each statement has changed.
    pub(super) async fn run(self, conn: &mut SqliteConnection) -> Result<Vec<u64>, Fault> {
        let mut changed = vec![0; self.steps.len()];
        let (steps, places): (Vec<&Step<'a>>, Vec<usize>) =
            self.steps.iter().zip(0..).filter(|(step, _)| step.rows > 0).unzip();
        let Some(longest) = steps.iter().map(|step| step.rows).max() else { return Ok(changed) };
        if longest <= most() {
            for (place, count) in places.into_iter().zip(trip(conn, &steps, 0..longest).await?) {
                changed[place] = count;
            }
            return Ok(changed);
        }
        for (step, place) in steps.into_iter().zip(places) {
            for begin in (0..step.rows).step_by(most()) {
                let end = step.rows.min(begin + most());
                changed[place] += trip(conn, &[step], begin..end).await?.into_iter().sum::<u64>();
            }
        }
        Ok(changed)
    }
}

fn most() -> usize {
    LENGTHS[LENGTHS.len() - 1]
}

/// Runs the steps over a part of their rows, which fits into one statement each.
async fn trip(
    conn: &mut SqliteConnection,
    steps: &[&Step<'_>],
    part: Range<usize>,
) -> Result<Vec<u64>, Fault> {
    let length = LENGTHS.partition_point(|length| *length < part.len());
    let texts: Vec<Arc<str>> = steps.iter().map(|step| step.bulk.text(length)).collect();
    let text = match &texts[..] {
        [text] => Arc::clone(text),
        texts => texts.join(";\n").into(),
    };
    let mut query = sqlx::query(AssertSqlSafe(text));
    for step in steps {
        let bound = step.rows.min(part.end).saturating_sub(part.start);
        query = (step.bind)(query, part.start..part.start + bound);
        for _ in 0..(LENGTHS[length] - bound) * step.bulk.columns {
            query = query.bind(None::<i64>);
        }
    }
    let ends = conn.fetch_many(query).try_filter_map(async |end| match end {
        Either::Left(end) => Ok(Some(end.rows_affected())),
        Either::Right(_) => Ok(None),
    });
    Ok(ends.try_collect().await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::Connection as _;

    use super::*;

    static ADD: Bulk = Bulk::insert("INSERT INTO t (id, n)", 2, "ON CONFLICT DO NOTHING");
    static SET: Bulk =
        Bulk::over("WITH v (id, n)", 2, "UPDATE t SET n = t.n * 10 + v.n FROM v WHERE t.id = v.id");
    static DROP: Bulk = Bulk::over("WITH v (id)", 1, "DELETE FROM t WHERE id IN (SELECT id FROM v)");

    type Row = (i64, i64);

    /// `n` is never 0.
    async fn table() -> SqliteConnection {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n != 0)) STRICT";
        sqlx::query(sql).execute(&mut conn).await.unwrap();
        conn
    }

    fn rows(ids: Range<i64>, n: i64) -> Vec<Row> {
        ids.map(|id| (id, n)).collect()
    }

    fn both(query: Bound, row: &Row) -> Bound {
        query.bind(row.0).bind(row.1)
    }

    async fn stored(conn: &mut SqliteConnection) -> Vec<Row> {
        sqlx::query_as("SELECT id, n FROM t ORDER BY id").fetch_all(conn).await.unwrap()
    }

    #[tokio::test]
    async fn each_statement_changes_its_own_rows_and_counts_them_in_its_place() {
        // On both sides of every length, and more than once the longest.
        for most in [1, 2, 4, 5, 16, 17, 64, 65, 128, 129, 256, 257, 300] {
            let mut conn = table().await;
            let (known, all) = (rows(0..1, 1), rows(0..most, 2));
            let (absent, none) = (rows(most..most + 3, 5), rows(0..0, 5));
            let (end, beyond) = (rows(most - 1..most + 1, 3), rows(most / 2..most + 2, 4));
            let script = Script::new()
                .then(&ADD, &known, both)
                .then(&ADD, &all, both)
                .then(&SET, &absent, both)
                .then(&SET, &none, both)
                .then(&SET, &end, both)
                .then(&SET, &beyond, both)
                .then(&DROP, &known, |query, row| query.bind(row.0));
            let counts = script.run(&mut conn).await.unwrap();
            let later = most - most / 2;
            assert_eq!(counts, [1, most - 1, 0, 0, 1, later, 1].map(|count| count as u64), "{most} rows");
            // Each digit was set by one statement, the later ones to the right.
            let wanted = (1..most).map(|id| {
                let set = [(id == most - 1, 3), (id >= most / 2, 4)];
                let digits = set.iter().filter(|(met, _)| *met).fold(2, |n, (_, digit)| n * 10 + digit);
                (id, digits)
            });
            assert_eq!(stored(&mut conn).await, wanted.collect::<Vec<_>>(), "{most} rows");
        }
    }

    #[tokio::test]
    async fn a_script_without_rows_changes_nothing() {
        let mut conn = table().await;
        let none = rows(0..0, 1);
        let script = Script::new().then(&ADD, &none, both).then(&SET, &none, both);
        assert_eq!(script.run(&mut conn).await.unwrap(), [0, 0]);
        assert_eq!(Script::new().run(&mut conn).await.unwrap(), [0; 0]);
    }

    #[tokio::test]
    async fn what_fails_is_told_and_nothing_runs_after_it() {
        for count in [3, 300] {
            let mut conn = table().await;
            let (mut fails, later) = (rows(0..count, 1), rows(count..count + 3, 1));
            fails[1].1 = 0;
            let script = Script::new().then(&ADD, &fails, both).then(&ADD, &later, both);
            script.run(&mut conn).await.unwrap_err();
            assert_eq!(stored(&mut conn).await, [], "{count} rows");
        }
    }
}
