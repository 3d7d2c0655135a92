//! The activity role: activities that were done, notes, deals that were won, lost and moved, and who owns what now. Of who
//! changed what, the changelog is asked only for objects that changed and that a lead hangs on.

mod events;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::Value;
use usher_connector::window::WindowState;
use usher_connector::{
    Activity, ActivityBatch, CallLane, Fault, FaultClass, Http, Pull, RowProblem, StreamSpec, signature,
};
use usher_model::{CrmEvent, ExternalId, Lane, ObjectType};

use crate::api::{ACTIVITIES, DEALS, NOTES, PERSONS};
use crate::changelog::{self, Change};
use crate::config::Windows;
use crate::find::{into_object, is_id};
use crate::me::Me;
use crate::pages;
use crate::wire;

/// Objects per look at the history: each is a call of its own.
const HISTORIES: usize = 10;

/// The activity role.
pub(crate) struct PipedriveActivity {
    http: Arc<dyn Http>,
    me: Arc<Me>,
    /// What carries owners.
    carrier: &'static str,
    windows: Windows,
}

impl PipedriveActivity {
    pub(crate) fn new(http: Arc<dyn Http>, me: Arc<Me>, carrier: &'static str, windows: Windows) -> Self {
        Self { http, me, carrier, windows }
    }

    fn lists(&self) -> Vec<&'static str> {
        let carrier = (self.carrier != DEALS).then_some(self.carrier);
        [ACTIVITIES, NOTES, DEALS].into_iter().chain(carrier).collect()
    }

    fn read(&self, list: &'static str, rows: &[Value], me: u64, batch: &mut ActivityBatch) {
        for raw in rows {
            let read = into_object(raw.clone()).and_then(|row| match list {
                ACTIVITIES => events::activity(&row, me).map(|event| batch.events.extend(event)),
                NOTES => events::note(&row, me).map(|event| batch.events.extend(event)),
                _ => {
                    let id = wire::id(&row)?;
                    if list == DEALS {
                        batch.events.extend(events::outcome(&row, &id));
                    }
                    events::sight(list, &row, &id).map(|sight| batch.sights.push(sight))
                }
            });
            if read.is_none() {
                batch.problems.push(unreadable(raw));
            }
        }
    }

    async fn changes(
        &self,
        (object, id): &(ObjectType, ExternalId),
        since: Timestamp,
    ) -> Result<Vec<CrmEvent>, Fault> {
        let objects = match object.as_str() {
            PERSONS => PERSONS,
            DEALS => DEALS,
            _ => return Ok(Vec::new()),
        };
        if !is_id(id.as_str()) {
            return Ok(Vec::new());
        }
        // Changelogs have whole seconds.
        let since = wire::second(since);
        let before = |change: &Change| change.at().is_some_and(|at| at < since);
        let older = |read: &[Change]| read.last().is_some_and(before);
        let changes = changelog::read(&*self.http, (objects, id.as_str(), CallLane::Watch), older).await?;
        let changes = changes.iter().filter(|change| !before(change));
        Ok(changes.filter_map(|change| events::change(objects, id, change)).collect())
    }
}

#[async_trait]
impl Activity for PipedriveActivity {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep];
        let stream = |list| StreamSpec { object: ObjectType::new(list), lanes: LANES, horizon: None };
        self.lists().into_iter().map(stream).collect()
    }

    async fn pull(&self, ask: &Pull) -> Result<ActivityBatch, Fault> {
        let list = self.lists().into_iter().find(|list| *list == ask.object.as_str()).ok_or_else(|| {
            Fault::new(FaultClass::Defect, format!("there is no stream `{}` here", ask.object))
        })?;
        let window = if ask.lane == Lane::Live { self.windows.live() } else { self.windows.sweep() };
        let mut state = match &ask.cursor {
            Some(cursor) => WindowState::from_cursor(cursor)?,
            None => WindowState::starting_at(ask.start),
        };
        let asked = pages::ask(&*self.http, (list, CallLane::Watch), window, &mut state, ask.now).await?;
        let Some(asked) = asked else { return Ok(ActivityBatch::empty(state.to_cursor()?, true)) };
        let changed = asked.rows.iter().filter_map(|row| {
            let id = wire::id(row.as_object()?)?;
            Some((pages::changed_at(row)?, ExternalId::new(id)))
        });
        let done = asked.absorb(window, &mut state, changed)?;
        let mut batch = ActivityBatch::empty(state.to_cursor()?, done);
        let me = match asked.rows.is_empty() {
            true => 0,
            false => self.me.id(&*self.http, CallLane::Watch).await?,
        };
        self.read(list, &asked.rows, me, &mut batch);
        Ok(batch)
    }

    async fn history(
        &self,
        objects: &[(ObjectType, ExternalId)],
        since: Timestamp,
    ) -> Result<Vec<Vec<CrmEvent>>, Fault> {
        try_join_all(objects.iter().map(|object| self.changes(object, since))).await
    }

    fn history_batch(&self) -> usize {
        HISTORIES
    }
}

/// A row without id, or whose time can not be read.
fn unreadable(raw: &Value) -> RowProblem {
    let print = signature::fingerprint(&[raw.to_string().as_bytes()]);
    let id = raw.as_object().and_then(wire::id).unwrap_or_else(|| print.clone());
    RowProblem {
        external_id: ExternalId::new(id),
        revision: print,
        reason: "Pipedrive's row does not have the documented shape".to_owned(),
    }
}
