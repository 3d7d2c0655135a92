//! JSON lines: one object a line.

use serde_json::Value;
use serde_json::value::RawValue;
use usher_connector::signature::fingerprint;

use crate::rows::{Bounds, Payload, Progress, Row};
use crate::text::Chunk;

/// Reads complete lines of a chunk that starts at the beginning of a line.
pub(crate) fn read(chunk: &Chunk, id: Option<&str>, bounds: Bounds) -> Progress {
    let mut progress = Progress::default();
    while progress.rows.len() < bounds.rows && progress.end < chunk.text.len() {
        let rest = &chunk.text[progress.end..];
        let found = rest.iter().position(|byte| *byte == b'\n');
        if found.is_none() && !chunk.at_end {
            break;
        }
        if found.is_none() && !bounds.quiet {
            progress.waits = true;
            break;
        }
        progress.open = found.is_none().then_some((progress.end, progress.lines));
        let length = found.map_or(rest.len(), |at| at + 1);
        let line = rest[..length].trim_ascii();
        if !line.is_empty() {
            let reason = |what| format!("line {} {what}", bounds.line + progress.lines);
            let read = object(chunk, line, id).map_err(reason);
            progress.rows.push(Row { content: fingerprint(&[line]), read });
        }
        progress.end += length;
        progress.lines += u64::from(found.is_some());
    }
    progress
}

/// Reads past a line that does not end within the largest chunk.
pub(crate) fn skip_endless(chunk: &Chunk, line: u64) -> Progress {
    let reason = format!("line {line} is longer than 8 MiB: is this a file of JSON lines?");
    let row = Row { content: fingerprint(&[&chunk.text[..chunk.text.len().min(1024)]]), read: Err(reason) };
    Progress { rows: vec![row], end: chunk.text.len(), ..Progress::default() }
}

fn object(chunk: &Chunk, line: &[u8], id: Option<&str>) -> Result<Payload, &'static str> {
    const NO_OBJECT: &str = "is no JSON object: write one object a line, as {\"email\": \"…\"}";
    let text = chunk.decode(std::iter::once(line)).concat();
    let json: Box<RawValue> = serde_json::from_str(&text).map_err(|_| NO_OBJECT)?;
    let value: Value = serde_json::from_str(json.get()).map_err(|_| NO_OBJECT)?;
    let fields = value.as_object().ok_or(NO_OBJECT)?;
    let id = match id.map(|key| fields.get(key)) {
        None => None,
        Some(Some(Value::String(text))) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Some(Some(Value::Number(number))) => Some(number.to_string()),
        Some(_) => return Err("has no text or number under the key that `id` names: fill it in"),
    };
    Ok(Payload { id, json })
}
