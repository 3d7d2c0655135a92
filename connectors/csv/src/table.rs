//! The header of a CSV file: delimiter, columns and where the rows begin.

use std::collections::HashSet;

use crate::text::Chunk;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Between cells.
    pub(crate) delimiter: u8,
    /// One name for each column, all different.
    pub(crate) columns: Vec<String>,
    /// Names that stand more than once, with the names under which the later ones are read.
    pub(crate) renamed: Vec<(String, String)>,
    /// Place in the text behind the header.
    pub(crate) body: usize,
    /// Number of the first line of the body, from 1.
    pub(crate) line: u64,
}

/// A reader as every part of a file is read with.
pub(crate) fn reader(text: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text)
}

/// Reads the header from the head of a file, byte order mark excluded. `Ok(None)` if it is not complete yet.
pub(crate) fn read(head: &Chunk, configured: Option<u8>) -> Result<Option<Table>, &'static str> {
    let (announced, start) = announced_delimiter(&head.text);
    let text = &head.text[start..];
    let delimiter = configured.or(announced).unwrap_or_else(|| find_delimiter(text));
    let mut reader = reader(text, delimiter);
    let mut record = csv::ByteRecord::new();
    let found = reader.read_byte_record(&mut record).map_err(|_| "the header can not be read as CSV")?;
    let body = start + row_end(text, usize::try_from(reader.position().byte()).unwrap_or(usize::MAX));
    if !found || head.at_end && body == head.text.len() && !matches!(head.text.last(), Some(b'\n' | b'\r')) {
        return Ok(None);
    }
    if body == head.text.len() && !head.at_end {
        return Err(
            "the header does not end within 64 KiB: is a quote in it never closed, or is this no CSV file?",
        );
    }
    if record.iter().any(|cell| cell.contains(&0)) || record.as_slice().starts_with(b"PK\x03\x04") {
        return Err("the file is no text: save it as CSV");
    }
    let (columns, renamed) = unique(&head.decode(record.iter()));
    let line = 1 + line_breaks(&head.text[..body]);
    Ok(Some(Table { delimiter, columns, renamed, body, line }))
}

/// Where the next row begins: the reader may stop between the two bytes of `\r\n`.
pub(crate) fn row_end(text: &[u8], end: usize) -> usize {
    let end = end.min(text.len());
    let split = end > 0 && text[end - 1] == b'\r' && text.get(end) == Some(&b'\n');
    end + usize::from(split)
}

/// How many lines end in this text; `\r\n` ends one.
pub(crate) fn line_breaks(text: &[u8]) -> u64 {
    let ends = |index: &usize| match text[*index] {
        b'\n' => true,
        b'\r' => text.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    (0..text.len()).filter(ends).count() as u64
}

/// Spreadsheets write a line `sep=;` above the header.
fn announced_delimiter(text: &[u8]) -> (Option<u8>, usize) {
    let Some([delimiter, rest @ ..]) = text.strip_prefix(b"sep=") else {
        return (None, 0);
    };
    let end = match rest {
        [b'\r', b'\n', ..] => 7,
        [b'\r' | b'\n', ..] => 6,
        _ => return (None, 0),
    };
    (Some(*delimiter), end)
}

/// The candidate that stands most often outside of quotes in the first line; a comma if none does.
fn find_delimiter(text: &[u8]) -> u8 {
    const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
    let mut counts = [0_usize; CANDIDATES.len()];
    let mut quoted = false;
    for byte in text.trim_ascii_start() {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'\n' | b'\r' => break,
            _ => {
                if let Some(index) = CANDIDATES.iter().position(|candidate| candidate == byte) {
                    counts[index] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    counts.iter().position(|count| *count == most).map_or(b',', |index| CANDIDATES[index])
}

/// Trims names, names empty ones by their place, and makes later ones of equal name different.
fn unique(header: &[std::borrow::Cow<'_, str>]) -> (Vec<String>, Vec<(String, String)>) {
    let written: HashSet<&str> = header.iter().map(|name| name.trim()).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut renamed = Vec::new();
    let mut columns = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let name = name.trim();
        let wanted = if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() };
        let mut column = wanted.clone();
        let mut number = 1;
        // A made name must not take the place of one that the file has.
        while taken.contains(&column) || number > 1 && written.contains(column.as_str()) {
            number += 1;
            column = format!("{wanted}_{number}");
        }
        if column != wanted {
            renamed.push((wanted, column.clone()));
        }
        taken.insert(column.clone());
        columns.push(column);
    }
    (columns, renamed)
}
