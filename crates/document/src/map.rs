//! Reading a map key by key, so that what nobody asked for is an error.

use crate::{Cursor, Decode, Diagnostic, Key, Located, Node, Value};

/// A map while it is read. Ask for every key that may stand there, then call [`MapReader::finish`].
#[derive(Debug)]
#[must_use = "call finish(), or unknown keys stay unseen"]
pub struct MapReader<'a> {
    at: Cursor<'a>,
    entries: &'a [(Key, Node)],
    asked: Vec<String>,
    later: Vec<&'static str>,
}

impl<'a> MapReader<'a> {
    pub(crate) fn new(at: Cursor<'a>, entries: &'a [(Key, Node)]) -> Self {
        Self { at, entries, asked: Vec::new(), later: Vec::new() }
    }

    /// The map itself.
    #[must_use]
    pub fn at(&self) -> &Cursor<'a> {
        &self.at
    }

    /// Whether the key stands there with a value. Does not count as asking for it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(have, node)| have.text == key && node.value != Value::Null)
    }

    /// The value of a key that may be left out. A key with nothing behind it counts as left out.
    #[must_use]
    pub fn optional_at(&mut self, key: &str) -> Option<Cursor<'a>> {
        self.asked.push(key.to_owned());
        let (_, node) = self.entries.iter().find(|(have, _)| have.text == key)?;
        (node.value != Value::Null).then(|| self.at.child(node, join(self.at.path(), key)))
    }

    /// The value of a key that must stand there.
    #[must_use]
    pub fn required_at(&mut self, key: &str) -> Option<Cursor<'a>> {
        let found = self.optional_at(key);
        if found.is_none() {
            self.missing(key);
        }
        found
    }

    /// Reads a key that may be left out. `None` also if the value is wrong, which is then reported.
    #[must_use]
    pub fn optional<T: Decode>(&mut self, key: &str) -> Option<T> {
        self.optional_at(key)?.read()
    }

    /// Reads a key that may be left out with a reader of its own: `Some(None)` if it is left out, `None` if it is wrong.
    #[must_use]
    pub fn optional_by<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.optional_at(key).map_or(Some(None), |at| read(&at).map(Some))
    }

    /// Reads a key that must stand there.
    #[must_use]
    pub fn required<T: Decode>(&mut self, key: &str) -> Option<T> {
        self.required_at(key)?.read()
    }

    /// Reads a key that may be left out, with a default.
    #[must_use]
    pub fn or<T: Decode>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// Reads one of several words, if the key stands there.
    #[must_use]
    pub fn choice<T: Copy>(&mut self, key: &str, options: &[(&str, T)]) -> Option<T> {
        self.optional_at(key)?.choice(options)
    }

    /// Reads the file's `version:` and reports any other than `supported`.
    pub fn version(&mut self, supported: i64) {
        let Some(at) = self.required_at("version") else {
            return;
        };
        if at.node().value != Value::Int(supported) {
            at.error("bad-version", format!("this program reads version {supported} of this file"))
                .found(at.raw())
                .hint(format!("write `version: {supported}`"))
                .report();
        }
    }

    /// For a map that is a choice of one key, such as `{ pool: … }` or `{ rep: … }`.
    #[must_use]
    pub fn exactly_one_of<'k>(&mut self, keys: &[&'k str]) -> Option<(&'k str, Cursor<'a>)> {
        let mut present: Vec<_> =
            keys.iter().filter_map(|key| self.optional_at(key).map(|at| (*key, at))).collect();
        if present.len() == 1 {
            return present.pop();
        }
        let listed: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        let listed = listed.join(", ");
        if let Some((_, second)) = present.get(1) {
            second.error("one-of", format!("only one of {listed} may stand here")).report();
        } else if self.entries.is_empty() || keys.iter().any(|key| self.names(key)) {
            self.at.error("one-of", format!("one of {listed} must stand here")).report();
        } else {
            // A mistyped key: its own message, with the suggestion, says enough.
            self.report_unknown();
        }
        None
    }

    fn names(&self, key: &str) -> bool {
        self.entries.iter().any(|(have, _)| have.text == key)
    }

    /// Names keys that the design knows but this version does not execute; `finish` reports them as such.
    pub fn not_in_this_version(&mut self, keys: &[&'static str]) {
        self.later.extend(keys);
    }

    /// All entries of a map whose keys are the admin's own names, in the order of the file. Counts as asking for all.
    #[must_use]
    pub fn entries(&mut self) -> Vec<(Located<String>, Cursor<'a>)> {
        let all = self.entries;
        all.iter()
            .map(|(key, node)| {
                self.asked.push(key.text.clone());
                let at = self.at.child(node, join(self.at.path(), &key.text));
                let place = at.place_of(key.span);
                let value = key.text.clone();
                (Located { value, place }, at)
            })
            .collect()
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        self.report_unknown();
    }

    fn report_unknown(&self) {
        for (key, _) in self.entries {
            if self.asked.contains(&key.text) {
                continue;
            }
            let place = crate::Place::new(self.at.source(), key.span, join(self.at.path(), &key.text));
            let shown = crate::node::shorten(&key.text);
            let diagnostic = if self.later.contains(&key.text.as_str()) {
                Diagnostic::error("not-in-this-version", &place, format!("`{shown}` is not in this version"))
                    .help("remove it; this version accepts only what it executes")
            } else {
                Diagnostic::error("unknown-key", &place, format!("unknown key `{shown}`"))
                    .found(&key.text)
                    .allowed(&key.text, self.asked.iter().map(String::as_str))
            };
            self.at.diagnostics().push(diagnostic);
        }
    }

    fn missing(&self, key: &str) {
        let empty = self.entries.iter().find(|(have, _)| have.text == key);
        let (place, message) = match empty {
            Some((have, _)) => (self.at.place_of(have.span), format!("`{key}` is empty")),
            None => (self.at.place(), format!("`{key}` is missing")),
        };
        self.at
            .diagnostics()
            .push(Diagnostic::error("missing-key", &place, message).help(format!("add `{key}: …` here")));
    }
}

/// `a.b` for names, `a["b c"]` for everything else.
fn join(path: &str, key: &str) -> String {
    let simple = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    match (path.is_empty(), simple) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[\"{}\"]", crate::node::shorten(key)),
    }
}
