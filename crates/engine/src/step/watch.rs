//! Watch: what people did at the CRM to what leads hang on. Each step's events and cursor are stored in one transaction.

use std::collections::BTreeSet;

use usher_connector::{Activity, ActivityBatch, Cursor, Pull, RowProblem, Sight};
use usher_model::{ChangedBy, CrmEvent, ExternalId, Happening, Lane, ObjectType, SlotKind};
use usher_store::{Direction, Hanging, KnownObject, NewEvent, SeenObject, WatchCommit};

use crate::breaker::Leave;
use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;

/// What leads hang on.
const KINDS: [SlotKind; 3] = [SlotKind::Person, SlotKind::Lead, SlotKind::Deal];

/// What a pass brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchReport {
    /// Events that were new, one for each lead that they are about.
    pub new: u64,
    /// Steps taken.
    pub steps: u64,
    /// True if the stream is read up to now.
    pub done: bool,
}

/// One list of the CRM's activities, in one lane.
struct Stream<'a> {
    connected: &'a Connected,
    activity: &'a dyn Activity,
    ask: Pull,
    name: String,
}

impl Engine {
    /// The CRM's streams to watch, each with its lanes; none if it tells of nothing or is not to be asked.
    #[must_use]
    pub fn watched_streams(&self) -> Vec<(ObjectType, Lane)> {
        let watched = self.connections.get(&self.crm).filter(|connected| connected.watch_every.is_some());
        let streams = watched
            .and_then(|connected| connected.roles.activity.as_ref())
            .map(|activity| activity.streams())
            .unwrap_or_default();
        let lanes = |stream: &usher_connector::StreamSpec| {
            let object = stream.object.clone();
            stream.lanes.iter().map(move |lane| (object.clone(), *lane)).collect::<Vec<_>>()
        };
        streams.iter().flat_map(lanes).collect()
    }

    /// Reads one of the CRM's streams of activity up to now, at most `max_steps` steps.
    ///
    /// # Errors
    /// If the CRM or the storage fails; what was stored before stays, and the next pass starts there. An endpoint that rests
    /// is not asked.
    pub async fn watch(
        &self,
        object: &ObjectType,
        lane: Lane,
        max_steps: u64,
    ) -> Result<WatchReport, EngineError> {
        let connected = self.connection(&self.crm)?;
        let mut report = WatchReport { done: true, ..WatchReport::default() };
        let Some(activity) = &connected.roles.activity else { return Ok(report) };
        let max_steps = match self.may_call(&connected.name, Direction::Pull) {
            Leave::Go => max_steps,
            Leave::Probe => 1,
            Leave::Rest(_) => return Ok(report),
        };
        report.done = false;
        let name = format!("activity/{object}/{lane:?}").to_lowercase();
        let cursor = self.stored_cursor(&connected.name, &name).await?;
        let ask = Pull { object: object.clone(), lane, cursor, now: self.now(), start: connected.started_at };
        let mut stream = Stream { connected, activity: &**activity, ask, name };
        let read = self.watch_steps(&mut stream, max_steps, &mut report).await;
        let problems = self.watched(&connected.name, &stream.name, read).await?;
        if let Some(last) = problems.last() {
            let problem = format!("{} rows could not be read, {last}", problems.len());
            self.trouble(&connected.name, &stream.name, Some(problem)).await?;
        }
        Ok(report)
    }

    /// The rows that could not be read.
    async fn watch_steps(
        &self,
        stream: &mut Stream<'_>,
        max_steps: u64,
        report: &mut WatchReport,
    ) -> Result<Vec<RowProblem>, EngineError> {
        let mut problems = Vec::new();
        while !report.done && report.steps < max_steps && !self.is_stopping() {
            let name = &stream.connected.name;
            stream.ask.now = self.now();
            let answer = stream.activity.pull(&stream.ask).await;
            self.note(name, Direction::Pull, answer.as_ref().err()).await?;
            let batch = answer.map_err(EngineError::vendor(name, "watching activities"))?;
            let ActivityBatch { mut events, sights, problems: bad, next, done } = batch;
            let seen = self.look_closer(stream, sights, &mut events).await?;
            let commit = WatchCommit {
                connection: name.clone(),
                stream: stream.name.clone(),
                previous: stream.ask.cursor.as_ref().map(opaque).transpose()?,
                cursor: opaque(&next)?,
                events: events.into_iter().map(|event| self.new_event(event)).collect(),
                seen,
                now: self.now(),
            };
            report.new += self.store.commit_watch(commit).await?;
            problems.extend(bad);
            report.steps += 1;
            report.done = done;
            stream.ask.cursor = Some(next);
        }
        Ok(problems)
    }

    /// Asks what was done to those objects of leads that look otherwise than before; returns how those of leads look.
    async fn look_closer(
        &self,
        stream: &Stream<'_>,
        sights: Vec<Sight>,
        events: &mut Vec<CrmEvent>,
    ) -> Result<Vec<SeenObject>, EngineError> {
        let name = &stream.connected.name;
        let seen: Vec<SeenObject> = sights.into_iter().filter_map(|sight| self.seen(sight)).collect();
        let known = self.store.known_objects(name, &seen).await?;
        let changed: Vec<&KnownObject> = known.iter().filter(|known| known.changed).collect();
        let batch = stream.activity.history_batch();
        for part in changed.chunks(batch.max(1)) {
            let objects: Vec<(ObjectType, ExternalId)> = part
                .iter()
                .filter_map(|known| seen.get(known.index))
                .map(|seen| (seen.object.object.clone(), seen.object.id.clone()))
                .collect();
            let since = part.iter().map(|known| known.since).min().unwrap_or(stream.ask.start);
            let mut told = vec![Vec::new(); part.len()];
            if batch > 0 {
                let answer = stream.activity.history(&objects, since).await;
                told = answer.map_err(EngineError::vendor(name, "reading who changed what"))?;
            }
            for (known, told) in part.iter().zip(told) {
                let unexplained = seen.get(known.index).filter(|seen| !tells(&told, seen.owner.as_ref()));
                events.extend(unexplained.and_then(|seen| owner_changed(known, seen)));
                events.extend(told);
            }
        }
        let of_leads: BTreeSet<usize> = known.iter().map(|known| known.index).collect();
        let keep = |(index, seen)| of_leads.contains(&index).then_some(seen);
        Ok(seen.into_iter().enumerate().filter_map(keep).collect())
    }

    /// What an object of the CRM's is to us, if leads may hang on it.
    fn hanging(&self, (object, id): (ObjectType, ExternalId)) -> Option<Hanging> {
        let target = self.connections.get(&self.crm)?.roles.target.as_ref()?;
        let kind = KINDS.into_iter().find(|kind| target.object_of(*kind).as_ref() == Some(&object))?;
        Some(Hanging { kind, object, id })
    }

    fn new_event(&self, event: CrmEvent) -> NewEvent {
        let about = event.about.iter().cloned().filter_map(|object| self.hanging(object)).collect();
        NewEvent { event, about }
    }

    fn seen(&self, sight: Sight) -> Option<SeenObject> {
        let Sight { object, id, owner, print, at } = sight;
        Some(SeenObject { object: self.hanging((object, id))?, owner, print, at })
    }
}

/// Whether the history has a change to that owner.
fn tells(told: &[CrmEvent], owner: Option<&ExternalId>) -> bool {
    told.iter().any(|event| match &event.what {
        Happening::OwnerChange { to, .. } => to.as_ref() == owner,
        _ => false,
    })
}

/// Another owner of whom no history tells.
fn owner_changed(known: &KnownObject, seen: &SeenObject) -> Option<CrmEvent> {
    if known.owner == seen.owner {
        return None;
    }
    let Hanging { object, id, .. } = seen.object.clone();
    let to = seen.owner.as_ref().map_or("nobody", ExternalId::as_str);
    Some(CrmEvent {
        id: format!("{object}/{id}/owner/{}/{to}", seen.at.as_millisecond()),
        about: vec![(object, id)],
        by: None,
        hand: ChangedBy::Unknown,
        at: seen.at,
        what: Happening::OwnerChange { from: known.owner.clone(), to: seen.owner.clone() },
    })
}

fn opaque(cursor: &Cursor) -> Result<serde_json::Value, EngineError> {
    serde_json::to_value(cursor)
        .map_err(|source| EngineError::Defect { place: "a cursor", source: Box::new(source) })
}
