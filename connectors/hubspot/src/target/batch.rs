//! One batch call: which row of the answer belongs to which write, and the search for a culprit.

use std::time::Instant;

use serde_json::Value;
use usher_connector::{Fault, FaultClass, Http, Request, Response};

use crate::api;
use crate::protocol::error_body;
use crate::wire::{BatchAnswer, BatchRow, ErrorBody};

/// Rows for one call; all of them can be sent together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) path: String,
    pub(crate) rows: Vec<Row>,
    /// When what the rows were decided on is too old.
    pub(crate) before: Option<Instant>,
}

/// One write as a row of a batch.
#[derive(Debug)]
pub(crate) struct Row {
    /// The position of the write among those to send.
    pub(crate) write: usize,
    /// The row as sent.
    pub(crate) input: Value,
    /// How the answer names it.
    pub(crate) name: Name,
}

/// How an answer names a row.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    /// By the object's id.
    Id(String),
    /// By the trace id that we sent; a created row may be known only by what it holds.
    Trace(String, Option<Clue>),
    /// By both ends of an association.
    Pair(String, String),
}

/// What a created row holds that no other row of the batch does.
#[derive(Debug, Clone)]
pub(crate) enum Clue {
    /// A property with this value, whatever its case.
    Equals(&'static str, String),
    /// A property with this text somewhere in it.
    Contains(&'static str, String),
}

/// What became of a row.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Done; the row as answered.
    Done(BatchRow),
    /// Refused for itself.
    Refused(ErrorBody),
    /// The answer says nothing of it.
    Unmentioned,
    /// The call failed.
    Failed(Fault),
}

impl Batch {
    /// The request that the whole batch is sent by.
    pub(crate) fn request(&self) -> Result<Request, Fault> {
        request(&self.path, &self.rows, self.before)
    }
}

/// A batch on its way: one that is refused as a whole wrote nothing, and is halved down to the rows that are to blame.
/// Each part is handed out before it is sent, so that what must hold right before a call can be looked at again.
pub(crate) struct Parts {
    path: String,
    before: Option<Instant>,
    waiting: Vec<Vec<Row>>,
    begun: bool,
}

impl Parts {
    pub(crate) fn of(batch: Batch) -> Self {
        Self { path: batch.path, before: batch.before, waiting: vec![batch.rows], begun: false }
    }

    /// A call was made already.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The rows to send next; the caller may leave rows out.
    pub(crate) fn next(&mut self) -> Option<Vec<Row>> {
        self.waiting.pop()
    }

    /// Sends these rows in one call. Rows of a refused call have no outcome yet: their halves wait.
    pub(crate) async fn send(&mut self, http: &dyn Http, mut rows: Vec<Row>) -> Vec<(usize, Outcome)> {
        if rows.is_empty() {
            return Vec::new();
        }
        self.begun = true;
        match call(http, &self.path, &rows, self.before).await {
            Ok(Answer::Batch(answer)) => settle(rows, answer),
            Ok(Answer::Empty) => {
                rows.into_iter().map(|row| (row.write, Outcome::Done(BatchRow::default()))).collect()
            }
            Ok(Answer::Refused(error)) if rows.len() == 1 => {
                rows.into_iter().map(|row| (row.write, Outcome::Refused(error.clone()))).collect()
            }
            Ok(Answer::Refused(_)) => {
                let second = rows.split_off(rows.len() / 2);
                self.waiting.push(second);
                self.waiting.push(rows);
                Vec::new()
            }
            Err(fault) => rows.into_iter().map(|row| (row.write, Outcome::Failed(fault.repeat()))).collect(),
        }
    }
}

/// Sends the batch, and its parts if need be.
pub(crate) async fn send(http: &dyn Http, batch: Batch) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(batch.rows.len());
    let mut parts = Parts::of(batch);
    while let Some(rows) = parts.next() {
        outcomes.extend(parts.send(http, rows).await);
    }
    outcomes
}

enum Answer {
    Batch(BatchAnswer),
    /// 204, as an archive answers.
    Empty,
    Refused(ErrorBody),
}

async fn call(http: &dyn Http, path: &str, rows: &[Row], before: Option<Instant>) -> Result<Answer, Fault> {
    let response = http.send(request(path, rows, before)?).await?;
    if response.status == 204 {
        return Ok(Answer::Empty);
    }
    if response.is_success() {
        return read(&response);
    }
    // The protocol lets only refusals of HubSpot's shape through.
    Ok(Answer::Refused(error_body(&response).unwrap_or_default()))
}

/// A 2xx answer of another shape means that something happened, not what.
fn read(response: &Response) -> Result<Answer, Fault> {
    response.json().map(Answer::Batch).map_err(|fault| fault.reclassed(FaultClass::OutcomeUnknown))
}

fn request(path: &str, rows: &[Row], before: Option<Instant>) -> Result<Request, Fault> {
    let inputs: Vec<&Value> = rows.iter().map(|row| &row.input).collect();
    Ok(api::write(path, &inputs)?.before(before))
}

/// Matches results and errors to rows, whatever the 2xx status says: 2026-09 declares no 207.
fn settle(rows: Vec<Row>, answer: BatchAnswer) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(rows.len());
    let alone = rows.len() == 1;
    let mut open: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
    for result in answer.results {
        let own = |row: &Option<Row>| row.as_ref().is_some_and(|row| row.name.is(&result, alone));
        if let Some(row) = open.iter_mut().find(|row| own(row)).and_then(Option::take) {
            outcomes.push((row.write, Outcome::Done(result)));
        }
    }
    for error in answer.errors {
        let left = open.iter().flatten().count();
        for place in &mut open {
            let meant = place
                .as_ref()
                .is_some_and(|row| row.name.is_named_by(&error) || left == 1 && error.names_none());
            if meant && let Some(row) = place.take() {
                outcomes.push((row.write, Outcome::Refused(error.clone())));
            }
        }
    }
    outcomes.extend(open.into_iter().flatten().map(|row| (row.write, Outcome::Unmentioned)));
    outcomes
}

impl Name {
    fn is(&self, result: &BatchRow, alone: bool) -> bool {
        match self {
            Self::Id(id) => result.id.as_deref() == Some(id),
            Self::Trace(trace, clue) => match &result.trace {
                Some(given) => given == trace,
                None => alone || clue.as_ref().is_some_and(|clue| clue.fits(result)),
            },
            Self::Pair(from, to) => {
                result.from.as_ref().is_some_and(|end| end.id == *from)
                    && result.to.as_ref().is_some_and(|end| end.id == *to)
            }
        }
    }

    fn is_named_by(&self, error: &ErrorBody) -> bool {
        let lists =
            |keys: &[&str], name: &str| keys.iter().any(|key| error.context(key).iter().any(|id| id == name));
        match self {
            Self::Id(id) => lists(&["ids", "id"], id),
            Self::Trace(trace, _) => lists(&["objectWriteTraceId"], trace),
            Self::Pair(from, to) => lists(&["fromObjectId"], from) && lists(&["toObjectId"], to),
        }
    }
}

impl Clue {
    fn fits(&self, result: &BatchRow) -> bool {
        let given =
            |property: &str| result.properties.get(property).and_then(Option::as_deref).unwrap_or_default();
        match self {
            Self::Equals(property, value) => given(property).eq_ignore_ascii_case(value),
            Self::Contains(property, text) => given(property).contains(text.as_str()),
        }
    }

    /// What tells rows of one batch apart.
    pub(crate) fn value(&self) -> &str {
        match self {
            Self::Equals(_, value) | Self::Contains(_, value) => value,
        }
    }
}

impl ErrorBody {
    fn names_none(&self) -> bool {
        ["ids", "id", "objectWriteTraceId", "fromObjectId"].iter().all(|key| self.context(key).is_empty())
    }
}
