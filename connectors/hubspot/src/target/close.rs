//! Closing tasks, some only if nobody has touched them.

use std::collections::HashMap;

use usher_connector::{CallLane, Fault, Http, SendFailure, Write};
use usher_model::EffectBody;

use super::batch::{Parts, Row};
use super::keys::Keys;
use super::{Outcomes, known, plan, run_part};
use crate::api::{self, TASKS};
use crate::source::unread;
use crate::wire::Objects;

/// How a task of ours begins (`tasks::row`).
pub(super) const UNTOUCHED: &str = "NOT_STARTED";

pub(super) async fn send(http: &dyn Http, keys: &Keys, writes: &[Write], outcomes: &mut Outcomes) {
    for batch in plan::all(keys, writes, outcomes) {
        let mut parts = Parts::of(batch);
        while let Some(rows) = parts.next() {
            let rows = leave_touched(http, writes, rows, outcomes).await;
            run_part(http, writes, &mut parts, rows, outcomes).await;
        }
    }
}

/// Leaves out the rows that may close an untouched task only and whose task is not; these get their outcome.
async fn leave_touched(
    http: &dyn Http,
    writes: &[Write],
    rows: Vec<Row>,
    outcomes: &mut Outcomes,
) -> Vec<Row> {
    let ids: Vec<&str> = rows.iter().filter_map(|row| careful(writes.get(row.write)?)).collect();
    if ids.is_empty() {
        return rows;
    }
    let present = statuses(http, &ids).await;
    let mut still = Vec::with_capacity(rows.len());
    for row in rows {
        let refusal = writes.get(row.write).and_then(careful).and_then(|id| match &present {
            Err(fault) => Some(fault.repeat().into()),
            Ok(present) => match present.get(id).map(Option::as_deref) {
                None => Some(SendFailure::Gone),
                Some(status) => (status != Some(UNTOUCHED)).then_some(SendFailure::Touched),
            },
        });
        match refusal {
            Some(failure) => outcomes.set(row.write, Err(failure)),
            None => still.push(row),
        }
    }
    still
}

/// The task that the write closes only if it is untouched.
fn careful(item: &Write) -> Option<&str> {
    let EffectBody::CloseTask { task, only_untouched: true } = &item.body else { return None };
    known(task).ok().map(|(_, id)| id.as_str())
}

/// The status of each task that is there.
async fn statuses(http: &dyn Http, ids: &[&str]) -> Result<HashMap<String, Option<String>>, Fault> {
    let request = api::read(TASKS, ids.iter().copied(), None, &["hs_task_status"], CallLane::Write)?;
    let answer: Objects = http.send(request).await?.json()?;
    if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
        return Err(unread(error));
    }
    let living = answer.results.into_iter().filter(|task| !task.archived);
    Ok(living.map(|task| (task.id.clone(), task.get("hs_task_status").map(str::to_owned))).collect())
}
