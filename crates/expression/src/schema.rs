//! The names that an expression may use, with their types.

use std::collections::BTreeMap;

/// What is known about a value before it is there. Any value may also be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text; dates and times are texts too, and ISO 8601 ones order rightly.
    Text,
    /// A whole or fractional number.
    Number,
    /// True or false.
    Bool,
    /// A list of anything.
    List,
    /// A map from text to anything; every key may be asked for.
    Map,
    /// Not known.
    Any,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Map => "a group of fields",
            Self::Any => "any value",
        }
    }
}

/// The known roots (`lead`, `record`, …) and their fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// `None`: an open root with any keys.
    roots: BTreeMap<String, Option<BTreeMap<String, Type>>>,
}

impl Schema {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a root with known fields, or fields to a known root.
    #[must_use]
    pub fn fields<N: Into<String>>(
        mut self,
        root: &str,
        fields: impl IntoIterator<Item = (N, Type)>,
    ) -> Self {
        let known = self.roots.entry(root.to_owned()).or_insert_with(|| Some(BTreeMap::new()));
        known
            .get_or_insert_with(BTreeMap::new)
            .extend(fields.into_iter().map(|(name, kind)| (name.into(), kind)));
        self
    }

    /// Adds a root of which every key may be asked for, at any depth.
    #[must_use]
    pub fn open(mut self, root: &str) -> Self {
        self.roots.insert(root.to_owned(), None);
        self
    }

    pub(crate) fn has_root(&self, root: &str) -> bool {
        self.roots.contains_key(root)
    }

    pub(crate) fn root_names(&self) -> impl Iterator<Item = &str> {
        self.roots.keys().map(String::as_str)
    }

    /// The type of a field; `Err` if the root has no such field.
    pub(crate) fn field(&self, root: &str, field: &str) -> Result<Type, ()> {
        match self.roots.get(root) {
            Some(Some(fields)) => fields.get(field).copied().ok_or(()),
            _ => Ok(Type::Any),
        }
    }

    pub(crate) fn field_names(&self, root: &str) -> impl Iterator<Item = &str> {
        let fields = self.roots.get(root).and_then(Option::as_ref);
        fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str))
    }

    /// The first root that has this field, for who forgot to write it.
    pub(crate) fn root_with(&self, field: &str) -> Option<&str> {
        let has = |fields: &Option<BTreeMap<String, Type>>| {
            fields.as_ref().is_some_and(|fields| fields.contains_key(field))
        };
        self.roots.iter().find(|(_, fields)| has(fields)).map(|(root, _)| root.as_str())
    }
}
