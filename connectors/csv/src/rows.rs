//! Rows of a CSV file, each a payload or a reason why not.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use usher_connector::signature::fingerprint;

use crate::table::{Table, line_breaks, reader, row_end};
use crate::text::Chunk;

/// One row as read.
#[derive(Debug)]
pub(crate) struct Row {
    /// Names the content.
    pub(crate) content: String,
    /// The payload, or what is wrong and what to do.
    pub(crate) read: Result<Payload, String>,
}

/// A row's payload.
#[derive(Debug)]
pub(crate) struct Payload {
    /// What stands in the `id` column, if there is one.
    pub(crate) id: Option<String>,
    pub(crate) json: Box<RawValue>,
}

/// What was read of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) rows: Vec<Row>,
    /// Place in the text behind the last row.
    pub(crate) end: usize,
    /// Line breaks up to there.
    pub(crate) lines: u64,
    /// Where the last row began and the line breaks before it, if no line break ends it: more of it may follow.
    pub(crate) open: Option<(usize, u64)>,
    /// The file's last row may still be being written.
    pub(crate) waits: bool,
}

/// How far to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// At most so many rows.
    pub(crate) rows: usize,
    /// Nobody has written to the file for a while: a last row without a line break is complete.
    pub(crate) quiet: bool,
    /// Number of the chunk's first line, from 1, for messages.
    pub(crate) line: u64,
}

/// Reads complete rows of a chunk that starts at the beginning of a row.
pub(crate) fn read(chunk: &Chunk, table: &Table, id: Option<&str>, bounds: Bounds) -> Progress {
    let text = &chunk.text;
    let mut reader = reader(text, table.delimiter);
    let mut record = csv::ByteRecord::new();
    let mut progress = Progress::default();
    while progress.rows.len() < bounds.rows {
        // Reading from memory, flexible and as bytes, has no way to fail.
        if !reader.read_byte_record(&mut record).unwrap_or(false) {
            // Blank lines at most.
            progress.pass(text, text.len());
            break;
        }
        let end = row_end(text, usize::try_from(reader.position().byte()).unwrap_or(usize::MAX));
        let last = end == text.len();
        if last && !chunk.at_end {
            break;
        }
        let blank = text[progress.end..end].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        progress.pass(text, progress.end + blank);
        let raw = &text[progress.end..end];
        let terminated = matches!(raw.last(), Some(b'\n' | b'\r'));
        if last && !terminated && !bounds.quiet {
            progress.waits = true;
            break;
        }
        let line = bounds.line + progress.lines;
        if last && never_closed(raw, record.len() != table.columns.len()) {
            let first_line = progress.end + line_length(raw);
            progress.push_never_closed(raw, line);
            progress.pass(text, first_line);
            // The reader is past these lines: they are read again from a new chunk.
            break;
        }
        progress.open = (last && !terminated).then_some((progress.end, progress.lines));
        if record.iter().any(|cell| !cell.iter().all(u8::is_ascii_whitespace)) {
            progress.rows.push(row(chunk, table, id, &record, line, raw));
        }
        progress.pass(text, end);
    }
    progress
}

/// Reads past a row that does not end within the largest chunk.
pub(crate) fn skip_endless(chunk: &Chunk, line: u64) -> Progress {
    let mut progress = Progress::default();
    let raw = &chunk.text[..line_length(&chunk.text)];
    progress.push_never_closed(raw, line);
    progress.pass(&chunk.text, raw.len());
    progress
}

impl Progress {
    fn pass(&mut self, text: &[u8], end: usize) {
        self.lines += line_breaks(&text[self.end..end]);
        self.end = end;
    }

    fn push_never_closed(&mut self, raw: &[u8], line: u64) {
        let reason = format!(
            "line {line} opens a quote that is never closed: correct the line; the lines after it were read as rows"
        );
        let content = fingerprint(&[&raw[..line_length(raw)]]);
        self.rows.push(Row { content, read: Err(reason) });
    }
}

/// Only the file's last row can be one whose quote swallowed what follows. An odd quote within a row of the right
/// width is an inch sign.
fn never_closed(raw: &[u8], wrong_width: bool) -> bool {
    let odd = raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    odd && (wrong_width || line_length(raw) < raw.len())
}

/// Length of the first line with its line break.
fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(text.len(), |at| row_end(text, at + 1))
}

fn row(
    chunk: &Chunk,
    table: &Table,
    id: Option<&str>,
    record: &csv::ByteRecord,
    line: u64,
    raw: &[u8],
) -> Row {
    let columns = table.columns.len();
    let cells = chunk.decode(record.iter());
    // With the columns: a corrected header makes other records of the same cells.
    let named = table.columns.iter().map(|name| name.as_bytes());
    let content = fingerprint(&named.chain(cells.iter().map(|cell| cell.as_bytes())).collect::<Vec<_>>());
    if cells.iter().skip(columns).any(|cell| !cell.trim().is_empty()) {
        let lines = match line_breaks(raw.trim_ascii_end()) {
            0 => format!("line {line} has"),
            more => format!("lines {line} to {} have", line + more),
        };
        let reason = format!(
            "{lines} {} cells but the header has {columns}: put a cell that holds the delimiter, a quote or a line \
             break into quotes, or give the header a name for each column",
            cells.len()
        );
        return Row { content, read: Err(reason) };
    }
    // Every cell is text, so leading zeros and plus signs stay; empty ones are left out.
    let filled = table.columns.iter().zip(&cells).filter(|(_, cell)| !cell.is_empty());
    let fields: Map<String, Value> =
        filled.map(|(name, cell)| (name.clone(), Value::from(cell.as_ref()))).collect();
    Row { read: payload(&fields, id, line), content }
}

fn payload(fields: &Map<String, Value>, id: Option<&str>, line: u64) -> Result<Payload, String> {
    let found = match id {
        None => None,
        Some(column) => match fields.get(column).and_then(Value::as_str).map(str::trim) {
            Some(found) if !found.is_empty() => Some(found.to_owned()),
            _ => return Err(format!("line {line} has nothing in the column that `id` names: fill it in")),
        },
    };
    let json = to_raw_value(fields).map_err(|_| format!("line {line} has no JSON form"))?;
    Ok(Payload { id: found, json })
}
