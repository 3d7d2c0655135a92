//! Many rows by few statements: `VALUES` lists of four fixed lengths, so that each is prepared once and reused.
//!
//! Binding values beats one JSON parameter here by the cost of escaping and parsing payload-sized texts.

use std::sync::{Arc, OnceLock};

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::fault::Fault;

/// A statement with values to bind.
pub(super) type Bound = Query<'static, Sqlite, SqliteArguments>;

/// Rows per statement, longest first.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];

/// A statement over rows: `head`, then one group of `columns` placeholders per row, then `tail`.
#[derive(Debug)]
pub(super) struct Bulk {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; 4],
}

impl Bulk {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; 4] }
    }

    /// Runs the statement over all rows; returns how many rows it changed.
    pub(super) async fn run<T>(
        &self,
        conn: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(Bound, &T) -> Bound,
    ) -> Result<u64, Fault> {
        let mut changed = 0;
        let mut rest = rows;
        for (index, length) in LENGTHS.into_iter().enumerate() {
            while rest.len() >= length {
                let (chunk, after) = rest.split_at(length);
                rest = after;
                let text = self.texts[index].get_or_init(|| self.text(length));
                let query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
                let query = chunk.iter().fold(query, &bind);
                changed += query.execute(&mut *conn).await?.rows_affected();
            }
        }
        Ok(changed)
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        format!("{} {} {}", self.head, vec![row.as_str(); rows].join(","), self.tail).into()
    }
}
