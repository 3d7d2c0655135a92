//! Resolves references to secrets: an environment variable, or a file with nothing but the secret.

use std::env::{self, VarError};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use usher_connector::Secret;

/// More than any token or key has; keeps a mistaken path from being read whole.
const LONGEST: u64 = 64 * 1024;

/// A secret that could not be resolved. Names the place, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable `{name}` is not set: set it to the secret before starting usher")]
    VariableUnset {
        /// The variable.
        name: String,
    },
    /// The variable has nothing in it.
    #[error("the environment variable `{name}` is empty: set it to the secret")]
    VariableEmpty {
        /// The variable.
        name: String,
    },
    /// The variable holds bytes that are no text.
    #[error(
        "the environment variable `{name}` is not UTF-8 text: set it to the secret as the vendor shows it"
    )]
    VariableNotText {
        /// The variable.
        name: String,
    },
    /// The file can not be read.
    #[error("cannot read the secret file `{}`: check that it exists and that usher's user may read it", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path is something else than a file.
    #[error("the secret file `{}` is no regular file: write the path of a file with nothing but the secret", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has nothing in it.
    #[error("the secret file `{}` is empty: write the secret into it", path.display())]
    FileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than a secret can be.
    #[error("the secret file `{}` is longer than {LONGEST} bytes: it must hold nothing but the secret", path.display())]
    FileTooLong {
        /// The file.
        path: PathBuf,
    },
}

/// The secret in that environment variable, without a final line break.
pub fn resolve_env(name: &str) -> Result<Secret, SecretError> {
    // `env::var` panics on a name with `=` or NUL on some systems; such a variable can not be set.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(SecretError::VariableUnset { name: name.to_owned() });
    }
    from_variable(name, env::var(name))
}

fn from_variable(name: &str, value: Result<String, VarError>) -> Result<Secret, SecretError> {
    let name = || name.to_owned();
    match value {
        Ok(value) => trimmed(value.into_bytes()).ok_or_else(|| SecretError::VariableEmpty { name: name() }),
        Err(VarError::NotPresent) => Err(SecretError::VariableUnset { name: name() }),
        Err(VarError::NotUnicode(_)) => Err(SecretError::VariableNotText { name: name() }),
    }
}

/// The secret in that file, without a final line break. Warns in the log if others than the owner may read it.
pub fn resolve_file(path: &Path) -> Result<Secret, SecretError> {
    let here = || path.to_owned();
    let unreadable = |source| SecretError::FileUnreadable { path: here(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile { path: here() });
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(SecretError::FileTooLong { path: here() });
    }
    warn_if_open(path, &metadata);
    trimmed(bytes).ok_or_else(|| SecretError::FileEmpty { path: here() })
}

fn trimmed(mut bytes: Vec<u8>) -> Option<Secret> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    (!bytes.trim_ascii().is_empty()).then(|| Secret::new(bytes))
}

/// Warns if others than the owner may read or write the file.
pub(crate) fn warn_if_open(path: &Path, metadata: &fs::Metadata) {
    if is_open(metadata) {
        let path = path.display();
        tracing::warn!(%path, "others than its owner can use this secret file: run `chmod 600` on it");
    }
}

#[cfg(unix)]
fn is_open(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::Log;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn files_lose_one_final_line_break_and_nothing_else() {
        let cases: [(&[u8], &[u8]); 4] =
            [(b"tok\n", b"tok"), (b"tok\r\n", b"tok"), (b" tok \n\n", b" tok \n"), (b"tok", b"tok")];
        for (content, secret) in cases {
            assert_eq!(resolve_file(file(content).path()).unwrap().expose(), secret);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_by_name() {
        let empty = file(b" \n");
        let error = resolve_file(empty.path()).unwrap_err();
        assert!(matches!(error, SecretError::FileEmpty { .. }));
        assert!(error.to_string().contains(&empty.path().display().to_string()));
        let long = file(&vec![b'x'; 70_000]);
        assert!(matches!(resolve_file(long.path()), Err(SecretError::FileTooLong { .. })));
        assert!(matches!(resolve_file(Path::new("/")), Err(SecretError::NotAFile { .. })));
        let missing = resolve_file(Path::new("/nowhere/token")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "cannot read the secret file `/nowhere/token`: check that it exists and that usher's user may read it"
        );
    }

    #[test]
    fn variables_are_named_in_errors() {
        assert_eq!(resolve_env("PATH").unwrap().expose(), env::var("PATH").unwrap().as_bytes());
        for name in ["USHER_TEST_NO_SUCH_VARIABLE", "A=B", ""] {
            let error = resolve_env(name).unwrap_err();
            assert!(matches!(error, SecretError::VariableUnset { .. }));
            assert!(error.to_string().contains(&format!("`{name}`")));
        }
        assert!(matches!(from_variable("A", Ok("\n".into())), Err(SecretError::VariableEmpty { .. })));
        let bytes = VarError::NotUnicode("canary".into());
        let error = from_variable("A", Err(bytes)).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"));
        assert_eq!(from_variable("A", Ok("tok\n".into())).unwrap().expose(), b"tok");
    }

    #[cfg(unix)]
    #[test]
    fn wide_permissions_are_warned_about() {
        use std::os::unix::fs::PermissionsExt as _;
        let log = Log::capture();
        let file = file(b"canary");
        resolve_file(file.path()).unwrap();
        assert_eq!(log.text(), "");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        resolve_file(file.path()).unwrap();
        assert!(log.text().contains("chmod 600"));
        assert!(!log.text().contains("canary"));
    }
}
