//! Many rows by few statements: `VALUES` lists of a few fixed lengths, so that each is prepared once and reused.
//!
//! Binding values beats one JSON parameter here by the cost of escaping and parsing payload-sized texts. A list that is
//! longer than its rows ends in rows of NULL, which cost next to nothing, while a further statement costs a round trip
//! to the connection's thread.

use std::sync::{Arc, OnceLock};

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

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
    pub(super) async fn run<T>(
        &self,
        conn: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(Bound, &T) -> Bound,
    ) -> Result<u64, Fault> {
        let mut changed = 0;
        for chunk in rows.chunks(LENGTHS[LENGTHS.len() - 1]) {
            let index = LENGTHS.partition_point(|length| *length < chunk.len());
            let text = self.texts[index].get_or_init(|| self.text(LENGTHS[index]));
            let query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
            // What is not bound is NULL.
            let query = chunk.iter().fold(query, &bind);
            changed += query.execute(&mut *conn).await?.rows_affected();
        }
        Ok(changed)
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        let rows = vec![row.as_str(); rows].join(",");
        format!("{} {} {rows} {} {}", self.head, self.before, self.after, self.tail).into()
    }
}
