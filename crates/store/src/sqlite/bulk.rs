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
