//! A named text and places in it.

use std::sync::Arc;

/// A file as read: the name that messages show, and the text. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    text: String,
}

impl SourceFile {
    /// Makes a source from what was read; nothing is read here.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { inner: Arc::new(Inner { name: name.into(), text: text.into() }) }
    }

    /// The name as shown in messages, usually the path that the user gave.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The text under a span; empty if the span is of another source.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text().get(span.offset..span.offset + span.bytes).unwrap_or_default()
    }

    /// The place of a byte range, cut at the end of its first line. Offsets inside a character move to its start.
    #[must_use]
    pub fn span(&self, offset: usize, bytes: usize) -> Span {
        let text = self.text();
        let start = floor(text, offset);
        let end = floor(text, offset.saturating_add(bytes)).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let before = text[line_start..start].trim_start_matches('\u{feff}');
        let covered = &text[start..end];
        let first_line = covered.split('\n').next().unwrap_or_default().trim_end();
        Span {
            offset: start,
            bytes: end - start,
            line: text[..start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            len: first_line.chars().count().max(1),
        }
    }
}

fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A range in a [`SourceFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Start, in bytes from the start of the text.
    pub offset: usize,
    /// Length in bytes; may run over several lines.
    pub bytes: usize,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
    /// Characters to mark on the first line, at least 1.
    pub len: usize,
}
