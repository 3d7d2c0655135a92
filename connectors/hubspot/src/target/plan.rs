//! From writes to batches: the one place where requests that write are built, for sending and for dry runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use usher_connector::{SendFailure, Write};
use usher_model::EffectBody;

use super::batch::{Batch, Name, Row};
use super::keys::Keys;
use super::update::Turns;
use super::{Outcomes, companies, known, mixed, persons, tasks, update};
use crate::api::{self, BATCH, TASKS};

/// The batches for these writes. What can not be planned gets its outcome at once.
pub(super) fn all(keys: &Keys, writes: &[Write], outcomes: &mut Outcomes) -> Vec<Batch> {
    some(keys, writes, 0..writes.len(), outcomes)
}

/// The batches for the writes at these positions.
pub(super) fn some(
    keys: &Keys,
    writes: &[Write],
    which: impl Iterator<Item = usize>,
    outcomes: &mut Outcomes,
) -> Vec<Batch> {
    let mut planned: Vec<(String, Row, bool)> = Vec::new();
    let mut turns = Turns::default();
    for write in which {
        let Some(item) = writes.get(write) else { continue };
        match turns.take(item).and_then(|()| row(keys, write, item)) {
            Ok((path, row, alone)) => planned.push((path, row, alone)),
            Err(failure) => outcomes.set(write, Err(failure)),
        }
    }
    let mut batches = gather(planned);
    for batch in &mut batches {
        let changes =
            batch.rows.iter().filter_map(|row| writes.get(row.write)).filter(|item| update::sets_owner(item));
        batch.before = changes.map(|item| item.owner_read.until).min();
    }
    batches
}

/// The path, the row, and whether the row must be sent alone.
fn row(keys: &Keys, write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    match &item.body {
        EffectBody::EnsurePerson { .. } => persons::row(keys, write, item),
        EffectBody::EnsureCompany { .. } => companies::row(keys, write, item),
        EffectBody::UpdateObject { .. } => update::row(write, item),
        EffectBody::CreateTask { .. } => tasks::row(keys, write, item),
        // What carries owners is a setting of its own (`inquiries::batches`).
        EffectBody::EnsureInquiry { .. } => Err(mixed(&item.body)),
        EffectBody::Associate { from, to } => {
            let ((from_type, from), (to_type, to)) = (known(from)?, known(to)?);
            let input = json!({ "from": { "id": from }, "to": { "id": to } });
            let name = Name::Pair(from.to_string(), to.to_string());
            Ok((
                api::associations(from_type, to_type, "associate/default"),
                Row { write, input, name },
                false,
            ))
        }
        EffectBody::CloseTask { task, .. } => {
            task_update(write, known(task)?.1.as_str(), &json!({ "hs_task_status": "COMPLETED" }))
        }
        EffectBody::ReassignTask { task, to } => {
            task_update(write, known(task)?.1.as_str(), &json!({ "hubspot_owner_id": to }))
        }
        EffectBody::ArchiveObject { target } => {
            let (object, id) = known(target)?;
            let row = Row { write, input: json!({ "id": id }), name: Name::Id(id.to_string()) };
            Ok((api::batch(object, "archive"), row, false))
        }
    }
}

fn task_update(write: usize, id: &str, properties: &Value) -> Result<(String, Row, bool), SendFailure> {
    let input = json!({ "id": id, "properties": properties });
    Ok((api::batch(TASKS, "update"), Row { write, input, name: Name::Id(id.to_owned()) }, false))
}

/// Rows of one path go together, at most a hundred, and never two for one object: HubSpot refuses duplicate inputs,
/// and their order would be open.
pub(super) fn gather(planned: Vec<(String, Row, bool)>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    // By path: the batches in it that still take rows, with the names that they hold.
    let mut open: BTreeMap<String, Vec<(usize, BTreeSet<String>)>> = BTreeMap::new();
    for (path, row, alone) in planned {
        if alone {
            batches.push(Batch { path, rows: vec![row], before: None });
            continue;
        }
        let name = match &row.name {
            Name::Id(name) | Name::Trace(name, None) => name.clone(),
            Name::Trace(_, Some(clue)) => clue.value().to_lowercase(),
            Name::Pair(from, to) => format!("{from} {to}"),
        };
        let candidates = open.entry(path.clone()).or_default();
        let free = candidates.iter_mut().find(|(at, names)| {
            !names.contains(&name) && batches.get(*at).is_some_and(|batch| batch.rows.len() < BATCH)
        });
        match free {
            Some((at, names)) => {
                names.insert(name);
                if let Some(batch) = batches.get_mut(*at) {
                    batch.rows.push(row);
                }
            }
            None => {
                candidates.push((batches.len(), BTreeSet::from([name])));
                batches.push(Batch { path, rows: vec![row], before: None });
            }
        }
    }
    batches
}
