//! References to secrets: files name where a secret is, never the secret itself.

use crate::{Cursor, Decode};

/// Where to find a secret. Resolving is left to whoever runs the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// In the environment variable of this name.
    Env(String),
    /// In the file at this path, relative to the file that refers to it.
    File(String),
}

impl Decode for SecretRef {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        if at.is_scalar() {
            // The value is not repeated in the message: it is probably the secret.
            at.error("secret-in-file", "a secret must not stand in this file")
                .hint("write `{ env: NAME }` for an environment variable or `{ file: path }` for a file with nothing but the secret")
                .report();
            return None;
        }
        let mut map = at.map()?;
        let (kind, value) = map.exactly_one_of(&["env", "file"])?;
        map.finish();
        let name: String = value.read()?;
        if name.trim().is_empty() {
            value.error("empty", format!("`{kind}` is empty")).report();
            return None;
        }
        match kind {
            "env" => env_name(&value, name).map(Self::Env),
            _ => Some(Self::File(name)),
        }
    }
}

fn env_name(at: &Cursor<'_>, name: String) -> Option<String> {
    let valid = !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if valid {
        return Some(name);
    }
    // Not shown either: people paste the token here.
    at.error("bad-env-name", "this is no name of an environment variable")
        .hint("names have letters, digits and `_`; put the secret into the environment and write the variable's name here")
        .report();
    None
}
