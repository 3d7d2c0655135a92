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

/// A statement over rows: `head`, then one group of `columns` placeholders per row, then `tail`.
#[derive(Debug)]
pub(super) struct Bulk {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; LENGTHS.len()],
}

impl Bulk {
    /// A statement that reads its rows from a common table expression: `head` ends in `AS (VALUES`, `tail` starts with
    /// the closing parenthesis. A row of NULL must do nothing, as one that is joined by its first column does.
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; LENGTHS.len()] }
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
        format!("{} {} {}", self.head, vec![row.as_str(); rows].join(","), self.tail).into()
    }
}
