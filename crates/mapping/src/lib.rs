//! From a record's payload to the fields of a lead, by a mapping file.
//!
//! [`Mapping::load`] checks a whole file and reports every problem with its place; [`Mapping::map`] turns one payload
//! into [`Mapped`], with the provenance of each field; [`Mapping::run_tests`] runs the tests that the file carries.
//!
//! ```
//! use usher_document::{Diagnostics, SourceFile};
//! use usher_mapping::{Mapped, Mapping};
//!
//! let file = SourceFile::new(
//!     "form.yaml",
//!     r#"
//! version: 1
//! lead:
//!   email: { from: answers.email, clean: email, required: true }
//!   service_line: { from: 'answers["What do you need?"]', values: { SEO: seo }, default: other }
//! "#,
//! );
//! let mapping = Mapping::load(&file, &Diagnostics::default()).ok_or("wrong file")?;
//! let mapped = mapping.map(r#"{"answers": {"email": " Ana@Acme.EXAMPLE ", "What do you need?": "seo "}}"#);
//! let Mapped::Lead { fields, .. } = mapped else { return Err("no lead".into()) };
//! assert_eq!(fields.text("email"), Some("ana@acme.example"));
//! assert_eq!(fields.text("service_line"), Some("seo"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod case;
mod clean;
mod condition;
mod enroll;
mod file;
mod line;
mod map;
mod path;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use case::TestOutcome;
pub use clean::{CLEANERS, CleanerSpec};
pub use file::Mapping;
pub use map::Mapped;
