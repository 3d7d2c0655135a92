//! The pull: a bounded number of rows a step, file after file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{
    Batch, Fault, FaultClass, Fetched, FileEntry, Files, Pull, RowProblem, Source, StreamSpec,
};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record};

use crate::config::Settings;
use crate::cursor::{FileState, State};
use crate::rows::Row;
use crate::step::{Reader, Step, kind};

/// The stream and object type.
const ROWS: &str = "rows";
/// Rows of one step.
const STEP: usize = 500;
/// Changed files of one step.
const STEP_FILES: usize = 64;
/// A last row without a line break counts as complete once the file was left alone for so long, in milliseconds.
const QUIET_MS: u64 = 2_000;

/// Reads rows of files.
#[derive(Debug)]
pub(crate) struct Rows {
    connection: ConnectionName,
    settings: Settings,
    files: Arc<dyn Files>,
}

impl Rows {
    /// A source for the configured path.
    pub(crate) fn new(connection: ConnectionName, settings: Settings, files: Arc<dyn Files>) -> Self {
        Self { connection, settings, files }
    }

    fn label(&self, entry: &FileEntry) -> String {
        let inner = entry.path.strip_prefix(&self.settings.path).ok().filter(|inner| *inner != Path::new(""));
        let name = inner.or_else(|| entry.path.file_name().map(Path::new)).unwrap_or(&entry.path);
        name.to_string_lossy().into_owned()
    }

    fn step(
        &self,
        entry: &FileEntry,
        state: Option<&FileState>,
        now: Timestamp,
        room: usize,
    ) -> io::Result<Option<Step>> {
        let Some(kind) = kind(entry, entry.path == self.settings.path) else {
            return Ok(None);
        };
        if state.is_some_and(|state| state.matches(entry) && state.offset == entry.len) {
            return Ok(None);
        }
        let quiet = now.as_millisecond().abs_diff(entry.modified_ms) >= QUIET_MS;
        let reader = Reader { files: self.files.as_ref(), settings: &self.settings, entry, kind, quiet };
        reader.step(state, room).map(Some)
    }

    fn add(&self, batch: &mut Batch, label: &str, rows: Vec<Row>) {
        for row in rows {
            let by_content = || format!("{label}:{}", row.content);
            match row.read {
                Ok(payload) => batch.records.push(Record {
                    connection: self.connection.clone(),
                    object: ObjectType::new(ROWS),
                    external_id: ExternalId::new(payload.id.unwrap_or_else(by_content)),
                    revision: row.content,
                    created_at: None,
                    modified_at: None,
                    imported: false,
                    gone: false,
                    payload: payload.json,
                }),
                Err(reason) => batch.problems.push(RowProblem {
                    external_id: ExternalId::new(by_content()),
                    reason: format!("{label}: {reason}"),
                    revision: row.content,
                }),
            }
        }
    }
}

#[async_trait]
impl Source for Rows {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live];
        vec![StreamSpec { object: ObjectType::new(ROWS), lanes: LANES, horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        let mut known = State::read(ask.cursor.as_ref())?.files;
        let entries =
            self.files.list(&self.settings.path).map_err(|error| unreadable(&self.settings.path, error))?;
        let mut next = State::default();
        let mut batch = Batch::empty(State::default().cursor()?, true);
        let mut stepped = 0;
        for entry in entries {
            let label = self.label(&entry);
            let state = known.remove(&label);
            let room = STEP.saturating_sub(batch.records.len() + batch.problems.len());
            if room == 0 || stepped == STEP_FILES {
                batch.done = false;
                next.files.extend(state.map(|state| (label, state)));
                continue;
            }
            let step = match self.step(&entry, state.as_ref(), ask.now, room) {
                Ok(step) => step,
                // Taken away since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&entry.path, error)),
            };
            let Some(step) = step else {
                next.files.extend(state.map(|state| (label, state)));
                continue;
            };
            stepped += 1;
            batch.done &= step.rests;
            self.add(&mut batch, &label, step.rows);
            next.files.insert(label, step.state);
        }
        batch.next = next.cursor()?;
        Ok(batch)
    }

    async fn fetch(
        &self,
        _object: &ObjectType,
        _ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        Err(Fault::new(FaultClass::Defect, "rows of files can not be read by id"))
    }

    fn fetch_limit(&self) -> usize {
        0
    }
}

fn unreadable(path: &Path, error: io::Error) -> Fault {
    let path = path.display();
    let (class, what, advice) = match error.kind() {
        io::ErrorKind::NotFound => {
            (FaultClass::Misconfigured, "does not exist", "create it or correct `path`")
        }
        io::ErrorKind::PermissionDenied => {
            (FaultClass::Misconfigured, "may not be read", "let the user that runs Usher read it")
        }
        _ => (FaultClass::Transient, "can not be read now", "it is tried again"),
    };
    Fault::new(class, format!("`{path}` {what}")).advise(advice).because(error)
}
