//! The values that expressions see.

use serde_json::Value;

/// The values of the roots, borrowed: building one costs nothing, so build one per lead and use it for all rules.
/// A root that is not given is null.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    roots: Vec<(&'a str, &'a Value)>,
}

impl<'a> Scope<'a> {
    /// Without any value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a root, or replaces it.
    #[must_use]
    pub fn with(mut self, root: &'a str, value: &'a Value) -> Self {
        self.roots.retain(|(name, _)| *name != root);
        self.roots.push((root, value));
        self
    }

    pub(crate) fn root(&self, root: &str) -> &'a Value {
        let found = self.roots.iter().find(|(name, _)| *name == root);
        found.map_or(&Value::Null, |(_, value)| value)
    }
}
