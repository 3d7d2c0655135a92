//! Reports: one JSON object on stdout, progress on stderr.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Says how far a long run is.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Writes the report to stdout, and to a file if one is named.
pub(crate) fn print(report: &impl Serialize, file: Option<&Path>) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = file {
        std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The value below which that many percent of the sorted values lie; 0 without values.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

/// Rounds for people: three digits after the point.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
