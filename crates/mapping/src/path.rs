//! The path language of `from:` and `keep:`: `properties.email`, `answers["What do you need?"]`, `phones[0].number`.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::Value;
use usher_document::{Cursor, Decode};

/// One step down into a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path from the top of the payload to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    steps: Vec<Step>,
}

/// What is wrong with a path; offset and length count in bytes of the path's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathError {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl PathError {
    fn new(offset: usize, len: usize, message: impl Into<String>) -> Self {
        Self { offset, len, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Path {
    /// Reads a path.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, chars: text.char_indices().peekable() };
        let steps = reader.steps()?;
        Ok(Self { text: text.to_owned(), steps })
    }

    /// As written in the file.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name that the path ends in; `None` if it ends in a list index.
    pub(crate) fn last_name(&self) -> Option<&str> {
        match self.steps.last() {
            Some(Step::Key(name)) => Some(name),
            _ => None,
        }
    }

    /// The name of the path's first step, where more steps follow.
    pub(crate) fn root(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Key(name), _, ..] => Some(name),
            _ => None,
        }
    }

    /// The value at this path, if the payload has one.
    pub(crate) fn find<'v>(&self, payload: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(payload, |at, step| match step {
            Step::Key(name) => at.as_object()?.get(name),
            Step::Index(index) => at.as_array()?.get(*index),
        })
    }
}

impl Decode for Path {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let text = at.text()?;
        let path = Self::parse(text).map_err(|error| report(at, text, error)).ok()?;
        if let Some(root @ ("record" | "payload")) = path.root() {
            at.warning("path-root", format!("paths start at the payload; `{root}.` is read as a name in it"))
                .hint(format!("leave `{root}.` out, unless the payload has that name"))
                .report();
        }
        Some(path)
    }
}

fn report(at: &Cursor<'_>, text: &str, error: PathError) {
    let place = at.place().within(error.offset, error.len.max(1));
    let mut diagnostic = usher_document::Diagnostic::error("bad-path", &place, error.message).found(text);
    if let Some(hint) = error.hint {
        diagnostic = diagnostic.help(hint);
    }
    at.diagnostics().push(diagnostic);
}

struct Reader<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
}

impl Reader<'_> {
    fn steps(&mut self) -> Result<Vec<Step>, PathError> {
        if self.text.trim().is_empty() {
            return Err(PathError::new(0, 1, "the path is empty").hint("write a name such as `email`"));
        }
        let mut steps = Vec::new();
        if self.peek() != Some('[') {
            steps.push(self.name(0)?);
        }
        while let Some((offset, c)) = self.chars.next() {
            steps.push(match c {
                '.' => self.name(offset + 1)?,
                '[' => self.bracket(offset)?,
                _ => return Err(PathError::new(offset, c.len_utf8(), format!("`{c}` is not expected here"))),
            });
        }
        Ok(steps)
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn name(&mut self, start: usize) -> Result<Step, PathError> {
        let mut end = start;
        while let Some((offset, c)) = self.chars.next_if(|(_, c)| !matches!(c, '.' | '[')) {
            if c.is_whitespace() || matches!(c, ']' | '"' | '\'') {
                let message = format!("a name with `{c}` must stand in brackets and quotes");
                return Err(PathError::new(offset, c.len_utf8(), message).hint(self.quoted_form(start)));
            }
            end = offset + c.len_utf8();
        }
        if end == start {
            return Err(PathError::new(start.min(self.text.len()), 1, "a name is missing here")
                .hint("write names with one dot between, such as `answers.email`"));
        }
        Ok(Step::Key(self.text[start..end].to_owned()))
    }

    /// How the admin probably meant it: the rest from `start` on as one quoted name.
    fn quoted_form(&self, start: usize) -> String {
        let before = self.text[..start].trim_end_matches('.');
        let name = self.text[start..].replace(['"', ']'], "");
        format!("write `{before}[\"{}\"]`", name.trim())
    }

    fn bracket(&mut self, open: usize) -> Result<Step, PathError> {
        let step = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(open + 1, quote)?,
            Some(c) if c.is_ascii_digit() => self.index(open + 1)?,
            _ => {
                return Err(PathError::new(open, 1, "expected a position such as `[0]` or a quoted name")
                    .hint("positions count from 0; a name goes in quotes, as `[\"What do you need?\"]`"));
            }
        };
        match self.chars.next() {
            Some((_, ']')) => Ok(step),
            Some((offset, c)) => {
                Err(PathError::new(offset, c.len_utf8(), format!("expected `]`, found `{c}`")))
            }
            None => Err(PathError::new(open, self.text.len() - open, "this `[` has no `]`")),
        }
    }

    fn quoted(&mut self, start: usize, quote: char) -> Result<Step, PathError> {
        self.chars.next();
        let mut name = String::new();
        while let Some((_, c)) = self.chars.next() {
            match c {
                '\\' => name.extend(self.chars.next().map(|(_, escaped)| escaped)),
                c if c == quote => return Ok(Step::Key(name)),
                c => name.push(c),
            }
        }
        Err(PathError::new(start, self.text.len() - start, format!("this {quote} is never closed")))
    }

    fn index(&mut self, start: usize) -> Result<Step, PathError> {
        let mut end = start;
        while let Some((offset, _)) = self.chars.next_if(|(_, c)| c.is_ascii_digit()) {
            end = offset + 1;
        }
        let digits = &self.text[start..end];
        let index =
            digits.parse().map_err(|_| PathError::new(start, end - start, "this position is too large"))?;
        Ok(Step::Index(index))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let payload = json!({
            "properties": {"email": "a@b.example", "list": [1, {"x": 2}]},
            "answers": {"What do you need?": "SEO", "a \"b\"": 3, "x.y": 4},
            "utm-source": 5,
        });
        let table = [
            ("properties.email", Some(json!("a@b.example"))),
            ("answers[\"What do you need?\"]", Some(json!("SEO"))),
            ("answers['What do you need?']", Some(json!("SEO"))),
            (r#"answers["a \"b\""]"#, Some(json!(3))),
            ("answers[\"x.y\"]", Some(json!(4))),
            ("answers.x.y", None),
            ("[\"properties\"].list[0]", Some(json!(1))),
            ("properties.list[1].x", Some(json!(2))),
            ("properties.list[7]", None),
            ("properties.list.x", None),
            ("properties[0]", None),
            ("properties.email.deeper", None),
            ("utm-source", Some(json!(5))),
        ];
        for (path, expected) in table {
            assert_eq!(Path::parse(path).unwrap().find(&payload), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn wrong_paths_say_where_and_what() {
        let table = [
            ("", 0, "the path is empty"),
            ("a..b", 2, "a name is missing here"),
            ("a.", 2, "a name is missing here"),
            (".a", 0, "a name is missing here"),
            ("answers.What do", 12, "must stand in brackets"),
            ("a[b]", 1, "expected a position"),
            ("a[-1]", 1, "expected a position"),
            ("a[0", 1, "has no `]`"),
            ("a[\"b]", 2, "is never closed"),
            ("a[0]b", 4, "`b` is not expected here"),
            ("a[\"b\"x]", 5, "expected `]`"),
            ("a[99999999999999999999999]", 2, "too large"),
            ("a]", 1, "must stand in brackets"),
        ];
        for (path, offset, message) in table {
            let error = Path::parse(path).unwrap_err();
            assert_eq!(error.offset, offset, "{path}: {error:?}");
            assert!(error.message.contains(message), "{path}: {error:?}");
        }
        let error = Path::parse("answers.What do you need?").unwrap_err();
        assert_eq!(error.hint.unwrap(), "write `answers[\"What do you need?\"]`");
    }
}
