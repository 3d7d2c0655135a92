//! Diagnostics as text for a terminal or a log, readable without colours.

use std::fmt::Write as _;

use crate::{Diagnostic, Severity, SourceFile};

/// Longer lines are cut around the mark, so that a long expression does not fill the screen.
const WIDTH: usize = 110;

/// Renders all, with the line of the file and a mark below the place where its source is among `sources`.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &[SourceFile]) -> String {
    let mut out = String::new();
    for (index, one) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let source = sources.iter().find(|source| source.name() == one.file);
        render_one(&mut out, one, source);
    }
    out
}

fn render_one(out: &mut String, one: &Diagnostic, source: Option<&SourceFile>) {
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{severity}: {} [{}]", one.message, one.code);
    let _ = write!(out, "  --> {}:{}:{}", one.file, one.line, one.column);
    let _ = match one.path.as_str() {
        "" => writeln!(out),
        path => writeln!(out, " ({path})"),
    };
    // A line with a secret is not repeated.
    let source = source.filter(|_| one.code != "secret-in-file");
    if let Some(line) = source.and_then(|source| source.text().lines().nth(one.line - 1)) {
        excerpt(out, one, line);
    }
    if let Some(suggestion) = &one.suggestion {
        let _ = writeln!(out, "  help: did you mean `{suggestion}`?");
    }
    if let Some(help) = &one.help {
        let _ = writeln!(out, "  help: {help}");
    }
    if !one.allowed.is_empty() {
        let _ = writeln!(out, "  allowed: {}", one.allowed.join(", "));
    }
}

fn excerpt(out: &mut String, one: &Diagnostic, line: &str) {
    // A tab has another width on every screen; the mark must stay below its text.
    let chars: Vec<char> =
        line.chars().filter(|c| *c != '\u{feff}').map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = (one.column - 1).min(chars.len());
    let from = match chars.len() > WIDTH {
        true => column.saturating_sub(WIDTH / 3),
        false => 0,
    };
    let to = (from + WIDTH).min(chars.len());
    let shown: String = chars[from..to].iter().collect();
    let len = one.len.min((to - column.min(to)).max(1));
    let number = one.line.to_string();
    let gutter = " ".repeat(number.len());
    let dots = if from > 0 { "…" } else { "" };
    let pad = " ".repeat(column - from + dots.chars().count());
    let _ = writeln!(out, "{gutter} |");
    let _ = writeln!(out, "{number} | {dots}{}", shown.trim_end());
    let _ = writeln!(out, "{gutter} | {pad}{}", "^".repeat(len));
}
