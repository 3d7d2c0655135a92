//! One bounded step through one file.

use std::io;

use usher_connector::signature::fingerprint;
use usher_connector::{FileEntry, Files};

use crate::config::Settings;
use crate::cursor::FileState;
use crate::lines;
use crate::rows::{self, Bounds, Progress, Row};
use crate::table::{self, Table};
use crate::text::{Chunk, Encoding, detect};

/// Bytes read for the header.
const HEAD: usize = 64 * 1024;
/// Bytes read for rows, at first and at most: a row must fit.
const CHUNK: usize = 256 * 1024;
const MAX_CHUNK: usize = 8 * 1024 * 1024;
/// Bytes at each end of the read part by which a file is known again.
const MEMORY: usize = 1024;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Csv,
    JsonLines,
    /// A spreadsheet, which is not read but not passed over in silence either.
    Spreadsheet,
}

/// The kind by the name's ending; `None` for files in a folder that are none of ours. A file that was named itself is
/// always read.
pub(crate) fn kind(entry: &FileEntry, named: bool) -> Option<Kind> {
    let ending = entry.path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "csv" | "tsv" | "txt" => Some(Kind::Csv),
        "jsonl" | "ndjson" => Some(Kind::JsonLines),
        "xlsx" | "xls" | "ods" | "numbers" => Some(Kind::Spreadsheet),
        _ => named.then_some(Kind::Csv),
    }
}

/// What a step brought.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) rows: Vec<Row>,
    pub(crate) state: FileState,
    /// Nothing more can be read of the file now.
    pub(crate) rests: bool,
}

/// A file with what is needed to read it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) settings: &'a Settings,
    pub(crate) entry: &'a FileEntry,
    pub(crate) kind: Kind,
    /// Nobody has written to the file for a while.
    pub(crate) quiet: bool,
}

impl Reader<'_> {
    /// Reads at most `limit` rows behind `state`.
    pub(crate) fn step(&self, state: Option<&FileState>, limit: usize) -> io::Result<Step> {
        let state = match state {
            Some(state) if state.matches(self.entry) => state.clone(),
            Some(state) => self.after_change(state)?,
            None => FileState::default(),
        };
        let state = FileState { len: self.entry.len, modified_ms: self.entry.modified_ms, ..state };
        match self.kind {
            Kind::Csv => self.csv(state, limit),
            Kind::JsonLines => self.json_lines(state, limit),
            Kind::Spreadsheet => {
                let reason = "this is a spreadsheet, which is not read: save it as CSV in the same folder";
                let content = format!("{}-{}", self.entry.len, self.entry.modified_ms);
                let state = FileState { offset: self.entry.len, ..state };
                Ok(Step { rows: vec![Row { content, read: Err(reason.to_owned()) }], state, rests: true })
            }
        }
    }

    /// Where to go on in a file that changed: behind what is read if that is untouched, else from the start. Rows
    /// that were read before are repeats then, which the store drops.
    fn after_change(&self, state: &FileState) -> io::Result<FileState> {
        let grown = self.entry.len > state.len;
        if !grown || self.known_by(state.offset)? != state.known_by {
            return Ok(FileState::default());
        }
        Ok(match state.open {
            Some((offset, lines)) => FileState { offset, lines, open: None, ..state.clone() },
            None => state.clone(),
        })
    }

    fn known_by(&self, offset: u64) -> io::Result<String> {
        let length = usize::try_from(offset).unwrap_or(MEMORY).min(MEMORY);
        let first = self.files.read(&self.entry.path, 0, length)?;
        let last = self.files.read(&self.entry.path, offset - length as u64, length)?;
        Ok(fingerprint(&[&first, &last]))
    }

    fn csv(&self, state: FileState, limit: usize) -> io::Result<Step> {
        let (encoding, mark, head) = self.head()?;
        let table = match table::read(&head, self.settings.delimiter) {
            Ok(Some(table)) => table,
            Ok(None) => return Ok(Step { rows: Vec::new(), state, rests: true }),
            Err(reason) => return self.unreadable(&head, reason),
        };
        if let Some(id) = &self.settings.id
            && !table.columns.contains(id)
        {
            let reason =
                format!("the header has no column `{id}`, which `id` names: name one that every file has");
            return self.unreadable(&head, &reason);
        }
        let mut rows = Vec::new();
        let mut state = state;
        if state.offset <= mark {
            rows.extend(renamed(&table));
            state = FileState { offset: head.offset(table.body), lines: table.line - 1, ..state };
        }
        let id = self.settings.id.as_deref();
        let read = |chunk: &Chunk, bounds| rows::read(chunk, &table, id, bounds);
        let step = self.body(&state, encoding, limit, &read, &rows::skip_endless)?;
        rows.extend(step.rows);
        Ok(Step { rows, ..step })
    }

    fn json_lines(&self, state: FileState, limit: usize) -> io::Result<Step> {
        let (encoding, mark, _) = self.head()?;
        let state = FileState { offset: state.offset.max(mark), ..state };
        let id = self.settings.id.as_deref();
        self.body(
            &state,
            encoding,
            limit,
            &|chunk, bounds| lines::read(chunk, id, bounds),
            &lines::skip_endless,
        )
    }

    /// The encoding, the length of the byte order mark, and the head behind it.
    fn head(&self) -> io::Result<(Encoding, u64, Chunk)> {
        let first = self.files.read(&self.entry.path, 0, 512)?;
        let (encoding, mark) = detect(&first, self.settings.encoding);
        Ok((encoding, mark, Chunk::read(self.files, &self.entry.path, mark, HEAD, encoding)?))
    }

    fn body(
        &self,
        state: &FileState,
        encoding: Encoding,
        limit: usize,
        read: &dyn Fn(&Chunk, Bounds) -> Progress,
        skip_endless: &dyn Fn(&Chunk, u64) -> Progress,
    ) -> io::Result<Step> {
        let bounds = Bounds { rows: limit, quiet: self.quiet, line: state.lines + 1 };
        let mut size = CHUNK;
        let (chunk, progress) = loop {
            let chunk = Chunk::read(self.files, &self.entry.path, state.offset, size, encoding)?;
            let progress = read(&chunk, bounds);
            if progress.end > 0 || progress.waits || chunk.at_end {
                break (chunk, progress);
            }
            if size >= MAX_CHUNK {
                let progress = skip_endless(&chunk, bounds.line);
                break (chunk, progress);
            }
            size *= 2;
        };
        let offset = chunk.offset(progress.end);
        let rests = progress.waits || chunk.at_end && progress.end == chunk.text.len();
        let known_by = self.known_by(offset)?;
        let open = progress.open.map(|(place, lines)| (chunk.offset(place), state.lines + lines));
        let state = FileState { offset, lines: state.lines + progress.lines, open, known_by, ..*state };
        Ok(Step { rows: progress.rows, state, rests })
    }

    /// One failed row for the whole file, which is looked at again when it changes.
    fn unreadable(&self, head: &Chunk, reason: &str) -> io::Result<Step> {
        let row = Row {
            content: fingerprint(&[&head.text[..head.text.len().min(256)]]),
            read: Err(reason.to_owned()),
        };
        let state = FileState {
            len: self.entry.len,
            modified_ms: self.entry.modified_ms,
            offset: self.entry.len,
            ..FileState::default()
        };
        Ok(Step { rows: vec![row], state, rests: true })
    }
}

/// Each column that another one of the same name hides is told of once per header.
fn renamed(table: &Table) -> impl Iterator<Item = Row> + '_ {
    let content = fingerprint(&table.columns.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
    table.renamed.iter().enumerate().map(move |(index, (name, column))| Row {
        content: format!("{content}-{index}"),
        read: Err(format!(
            "the header has the column `{name}` more than once: the later one is read as `{column}`; rename it"
        )),
    })
}
