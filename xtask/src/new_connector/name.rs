//! How a connector is called: its id, its title, and what both become in code.

use anyhow::{bail, ensure};

/// The longest id, in characters: it stands in columns of `usher status`.
const LONGEST: usize = 20;

/// What a connector is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// In `connector:`, in paths and in crate names.
    pub(crate) id: String,
    /// As people write it; also the name of its type.
    pub(crate) title: String,
}

impl Names {
    /// Checks both.
    pub(crate) fn new(id: &str, title: Option<&str>) -> anyhow::Result<Self> {
        let letters: String =
            id.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        if letters != id || !id.starts_with(|first: char| first.is_ascii_lowercase()) {
            let meant = letters.trim_start_matches(|first: char| first.is_ascii_digit());
            let hint = if meant.is_empty() { String::new() } else { format!(", as `{meant}`") };
            bail!("`{id}` is no id of a connector: small letters and digits, a letter first{hint}");
        }
        ensure!(
            (2..=LONGEST).contains(&id.len()),
            "`{id}` is no id of a connector: 2 to {LONGEST} characters"
        );
        let title = title.map_or_else(|| id[..1].to_ascii_uppercase() + &id[1..], str::to_owned);
        let fits =
            title.to_ascii_lowercase() == id && title.starts_with(|first: char| first.is_ascii_uppercase());
        ensure!(
            fits,
            "`{title}` is no title of `{id}`: the same letters, a capital one first, as `HubSpot` of `hubspot`"
        );
        Ok(Self { id: id.to_owned(), title })
    }

    /// The template's text about this connector instead of its own.
    pub(crate) fn put_into(&self, text: &str) -> String {
        text.replace("SKELETON", &self.id.to_ascii_uppercase())
            .replace("Skeleton", &self.title)
            .replace("skeleton", &self.id)
    }
}
