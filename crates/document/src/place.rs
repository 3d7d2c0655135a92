//! A place that outlives the tree: file, span and key path, for problems found after decoding.

use crate::{SourceFile, Span};

/// Where something stands. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    source: SourceFile,
    /// The range in the file.
    pub span: Span,
    /// The key path, such as `rules[2].when`.
    pub path: String,
}

impl Place {
    /// A place in `source`.
    pub fn new(source: &SourceFile, span: Span, path: impl Into<String>) -> Self {
        Self { source: source.clone(), span, path: path.into() }
    }

    /// The top of a file, for what concerns it as a whole.
    #[must_use]
    pub fn top(source: &SourceFile) -> Self {
        Self::new(source, source.span(0, 0), "")
    }

    /// Name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The place of a part of this text value: `offset` and `bytes` count in the decoded text, the answer
    /// points into the file, whatever quotes, escapes or line folding lie between.
    #[must_use]
    pub fn within(&self, offset: usize, bytes: usize) -> Self {
        let raw = self.source.slice(self.span);
        let indent = block_indent(&self.source.text()[..self.span.offset]);
        let start = raw_offset(raw, indent, offset);
        let end = raw_offset(raw, indent, offset.saturating_add(bytes)).max(start);
        Self {
            source: self.source.clone(),
            span: self.source.span(self.span.offset + start, end - start),
            path: self.path.clone(),
        }
    }
}

/// Where the decoded byte `target` begins in the raw form of a scalar.
fn raw_offset(raw: &str, indent: Option<usize>, target: usize) -> usize {
    let first = raw.as_bytes().first().copied();
    let quote = first.filter(|b| indent.is_none() && matches!(b, b'"' | b'\''));
    let mut at = usize::from(quote.is_some());
    let mut decoded = 0;
    while at < raw.len() {
        let (raw_len, decoded_len) = step(&raw[at..], quote, indent);
        if decoded >= target && decoded_len > 0 {
            break;
        }
        at += raw_len;
        decoded += decoded_len;
    }
    at.min(raw.len())
}

/// The indentation of a block scalar (`|` or `>`), whose span begins at its first line of content; `before` is
/// the file up to there.
fn block_indent(before: &str) -> Option<usize> {
    let (above, indent) = before.rsplit_once('\n')?;
    let header = above.lines().next_back()?;
    let header = header.split(" #").next()?.trim_end();
    let marks = header.trim_end_matches(['+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let opens = marks.strip_suffix(['|', '>'])?;
    let stands_alone = opens.is_empty() || opens.ends_with(": ") || opens.ends_with("- ");
    let tagged = opens.split_whitespace().next_back().is_some_and(|word| word.starts_with(['&', '!']));
    (stands_alone || tagged).then_some(indent.len())
}

/// Length of the next unit in raw bytes and in decoded bytes.
fn step(rest: &str, quote: Option<u8>, block: Option<usize>) -> (usize, usize) {
    let Some(first) = rest.chars().next() else {
        return (1, 1);
    };
    match (first, quote, block) {
        ('\n', _, Some(indent)) => {
            let after = &rest[1..];
            let spaces = after.len() - after.trim_start_matches(' ').len();
            (1 + spaces.min(indent), 1)
        }
        (' ' | '\t' | '\r' | '\n', _, None) => fold(rest),
        ('\'', Some(b'\''), _) => (2, 1),
        ('\\', Some(b'"'), _) => escape(rest),
        _ => (first.len_utf8(), first.len_utf8()),
    }
}

/// A run of white space: without a line break as written, with one break a space, with more that many less one.
fn fold(rest: &str) -> (usize, usize) {
    let run = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    match rest[..run].matches('\n').count() {
        0 => (1, 1),
        1 => (run, 1),
        breaks => (run, breaks - 1),
    }
}

fn escape(rest: &str) -> (usize, usize) {
    let mut chars = rest.chars().skip(1);
    let Some(kind) = chars.next() else {
        return (1, 1);
    };
    let hex = |digits: usize| {
        let code = rest
            .get(2..2 + digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        (2 + digits, code.map_or(1, char::len_utf8))
    };
    match kind {
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        '_' | 'N' => (2, 2),
        'L' | 'P' => (2, 3),
        '\n' => {
            let after = &rest[2..];
            (2 + after.len() - after.trim_start_matches([' ', '\t']).len(), 0)
        }
        other => (1 + other.len_utf8(), 1),
    }
}
