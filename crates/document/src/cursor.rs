//! A node, its key path and the place where problems go: what decoders read from.

use std::time::Duration;

use crate::{
    Decode, Diagnostic, Diagnostics, MapReader, Node, Place, SourceFile, Span, Value, parse_duration,
};

/// One value while it is read. Every wrong value is reported once, by the method that found it wrong; that
/// method then answers `None`.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    source: &'a SourceFile,
    node: &'a Node,
    path: String,
    log: &'a Diagnostics,
}

/// A problem under construction; nothing is recorded before [`Problem::report`].
#[must_use = "call report()"]
#[derive(Debug)]
pub struct Problem<'a> {
    diagnostic: Diagnostic,
    log: &'a Diagnostics,
}

impl Problem<'_> {
    /// Adds what to do.
    pub fn hint(mut self, help: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.help(help);
        self
    }

    /// Adds what the file has.
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.found(found);
        self
    }

    /// Adds what could stand there and suggests the nearest to `written`.
    pub fn allowed<'n>(mut self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.diagnostic = self.diagnostic.allowed(written, names);
        self
    }

    /// Records the problem.
    pub fn report(self) {
        self.log.push(self.diagnostic);
    }
}

impl<'a> Cursor<'a> {
    /// The top of a parsed file.
    #[must_use]
    pub fn root(source: &'a SourceFile, node: &'a Node, log: &'a Diagnostics) -> Self {
        Self { source, node, path: String::new(), log }
    }

    pub(crate) fn child(&self, node: &'a Node, path: String) -> Self {
        Self { node, path, ..*self }
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &'a SourceFile {
        self.source
    }

    /// Where problems go.
    #[must_use]
    pub fn diagnostics(&self) -> &'a Diagnostics {
        self.log
    }

    /// The key path, such as `rules[2].when`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The place, to be kept for checks after decoding.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place_of(self.node.span)
    }

    pub(crate) fn place_of(&self, span: Span) -> Place {
        Place::new(self.source, span, self.path.clone())
    }

    /// The value as written in the file, quotes included.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.source.slice(self.node.span)
    }

    /// Whether this is neither list nor map nor nothing.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        !matches!(self.node.value, Value::List(_) | Value::Map(_) | Value::Null)
    }

    /// Starts a problem at this value.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Problem<'a> {
        Problem { diagnostic: Diagnostic::error(code, &self.place(), message), log: self.log }
    }

    /// Starts a warning at this value.
    pub fn warning(&self, code: &'static str, message: impl Into<String>) -> Problem<'a> {
        Problem { diagnostic: Diagnostic::warning(code, &self.place(), message), log: self.log }
    }

    /// Reports a value of the wrong type; `expected` reads like `a list`.
    pub fn wrong_type(&self, expected: &str) {
        let problem = self
            .error("wrong-type", format!("expected {expected}, found {}", self.node.describe()))
            .found(self.node.describe());
        match missing_space(&self.node.value) {
            Some(hint) => problem.hint(hint).report(),
            None => problem.report(),
        }
    }

    /// Reports something that the design knows but this version of the program does not execute.
    pub fn not_in_this_version(&self, what: &str) {
        self.error("not-in-this-version", format!("`{what}` is not in this version"))
            .hint("remove it; this version accepts only what it executes")
            .report();
    }

    /// Decodes the value.
    #[must_use]
    pub fn read<T: Decode>(&self) -> Option<T> {
        T::decode(self)
    }

    /// The value as a map.
    #[must_use]
    pub fn map(&self) -> Option<MapReader<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(MapReader::new(self.clone(), entries)),
            _ => {
                self.wrong_type("a block of `key: value` lines");
                None
            }
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn list(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            self.wrong_type("a list");
            return None;
        };
        let at = |(index, node)| self.child(node, format!("{}[{index}]", self.path));
        Some(items.iter().enumerate().map(at).collect())
    }

    /// The text as it is; a number is taken as written, so that `form: 0815` and `form: 4711` are both texts.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text { text, .. } => Some(text),
            Value::Int(_) | Value::Float(_) => Some(self.raw()),
            Value::Bool(value) => {
                self.error("wrong-type", format!("expected a text, found `{value}`"))
                    .hint(format!("write \"{value}\" in quotes if you mean the word"))
                    .report();
                None
            }
            _ => {
                self.wrong_type("a text");
                None
            }
        }
    }

    /// One of several words, each standing for a value.
    #[must_use]
    pub fn choice<T: Copy>(&self, options: &[(&str, T)]) -> Option<T> {
        self.choice_or_later(options, &[])
    }

    /// As [`Cursor::choice`], with words that a later version will bring: they get their own message.
    #[must_use]
    pub fn choice_or_later<T: Copy>(&self, options: &[(&str, T)], later: &[&str]) -> Option<T> {
        let names = || options.iter().map(|(name, _)| *name);
        let Value::Text { text, .. } = &self.node.value else {
            let listed: Vec<_> = names().map(|name| format!("`{name}`")).collect();
            self.wrong_type(&listed.join(" or "));
            return None;
        };
        if let Some((_, value)) = options.iter().find(|(name, _)| name == text) {
            return Some(*value);
        }
        if later.contains(&text.as_str()) {
            self.not_in_this_version(text);
            return None;
        }
        self.error("unknown-value", format!("`{}` is not known here", crate::node::shorten(text)))
            .found(text)
            .allowed(text, names())
            .report();
        None
    }

    /// A duration such as `30s`, `5m`, `2h`, `7d`.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as `30s`, `5m`, `2h` or `7d`";
        match &self.node.value {
            Value::Text { text, .. } => parse_duration(text)
                .map_err(|why| {
                    self.error("bad-duration", format!("expected {EXPECTED}: {why}")).found(text).report();
                })
                .ok(),
            Value::Int(number) => {
                self.error("bad-duration", format!("expected {EXPECTED}: `{number}` has no unit"))
                    .found(number.to_string())
                    .hint(format!("write `{number}s` for seconds or `{number}m` for minutes"))
                    .report();
                None
            }
            _ => {
                self.wrong_type(EXPECTED);
                None
            }
        }
    }
}

/// `key:value` without the space is one text to YAML, and the commonest slip of all.
fn missing_space(value: &Value) -> Option<String> {
    let Value::Text { text, plain: true } = value else {
        return None;
    };
    let (key, after) = text.split_once(':')?;
    let slip =
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_') && !after.starts_with("//");
    slip.then(|| format!("put a space after the colon: `{key}: {}`", after.trim_start()))
}
