//! YAML with positions, diagnostics that say what to do, suggestions.
//!
//! Two passes. [`parse`] turns a file into a tree of [`Node`]s that know their place. A [`Cursor`] then
//! walks the tree strictly and collects *every* problem, so that an admin sees all of them at once:
//!
//! ```
//! use usher_document::{Cursor, Decode, Diagnostics, SourceFile, load};
//!
//! struct Pull { every: std::time::Duration, objects: Vec<String> }
//!
//! impl Decode for Pull {
//!     fn decode(at: &Cursor<'_>) -> Option<Self> {
//!         let mut map = at.map()?;
//!         let every = map.required("every");
//!         let objects = map.optional("objects");
//!         map.finish();
//!         Some(Self { every: every?, objects: objects.unwrap_or_default() })
//!     }
//! }
//!
//! let file = SourceFile::new("usher.yaml", "every: 30s\nobject: [contacts]\n");
//! let problems = load::<Pull>(&file).err().unwrap_or_default();
//! assert_eq!(problems[0].line, 2);
//! assert_eq!(problems[0].suggestion.as_deref(), Some("objects"));
//! ```
//!
//! Read every key first, call [`MapReader::finish`], and only then use `?`: that order is what collects all
//! problems instead of the first one.

mod cursor;
mod decode;
mod diagnostic;
mod duration;
mod map;
mod node;
mod parse;
mod place;
mod render;
mod scalar;
mod secret;
mod source;
mod suggest;
mod syntax;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Problem};
pub use decode::{Decode, Located, OneOrMany};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use duration::parse_duration;
pub use map::MapReader;
pub use node::{Key, Node, Value};
pub use parse::parse;
pub use place::Place;
pub use render::render;
pub use secret::SecretRef;
pub use source::{SourceFile, Span};
pub use suggest::nearest;

/// Parses and decodes a whole file. Warnings alone do not refuse it; use [`load_into`] to see them.
pub fn load<T: Decode>(source: &SourceFile) -> Result<T, Vec<Diagnostic>> {
    let diagnostics = Diagnostics::default();
    match load_into(source, &diagnostics) {
        Some(value) if !diagnostics.has_errors() => Ok(value),
        _ => Err(diagnostics.into_sorted()),
    }
}

/// As [`load`], but adds to a collection shared by several files. The answer may be `Some` although errors
/// were found (an unknown key, for instance), so that later checks can go on and find more.
pub fn load_into<T: Decode>(source: &SourceFile, diagnostics: &Diagnostics) -> Option<T> {
    match parse(source) {
        Ok(node) => Cursor::root(source, &node, diagnostics).read(),
        Err(problems) => {
            diagnostics.extend(problems);
            None
        }
    }
}
