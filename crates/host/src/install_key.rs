//! The install's own key: effect keys are derived from it, tokens at rest are encrypted with it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::secret::warn_if_open;

const LEN: usize = 32;

/// A key file that can not be used. The file is never overwritten: without the right key, writes already made are not
/// recognised and stored tokens can not be read (FM-098).
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such file.
    #[error("the key file `{}` does not exist: restore it from your backup, or run `usher init` for a new install", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file can not be read.
    #[error("cannot read the key file `{}`: check that usher's user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file `{}` does not hold 64 hexadecimal digits: restore it from your backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A key is there already.
    #[error("the key file `{}` exists already: it is kept, remove it yourself if the install is really new", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file can not be written.
    #[error("cannot write the key file `{}`: check that its folder exists and that usher's user may write there", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The install's key: 32 random bytes. Debug shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct InstallKey([u8; LEN]);

impl InstallKey {
    /// Reads the key file: 64 hexadecimal digits, a final line break allowed.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let here = || path.to_owned();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: here() },
            _ => KeyError::Unreadable { path: here(), source },
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(KeyError::Malformed { path: here() });
        }
        let mut bytes = Vec::new();
        // A little more than a key: enough to see that the file is something else.
        File::open(path).and_then(|file| file.take(256).read_to_end(&mut bytes)).map_err(failed)?;
        warn_if_open(path, &metadata);
        parse(bytes.trim_ascii_end()).map(Self).ok_or_else(|| KeyError::Malformed { path: here() })
    }

    /// Makes a new key and its file, readable by the owner only. The file appears whole or not at all, and never in
    /// the place of another.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::Unwritable { path: path.to_owned(), source },
        };
        let mut key = [0; LEN];
        SysRng.try_fill_bytes(&mut key).map_err(|error| failed(io::Error::other(error)))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        write_new(path, folder, &key).map_err(failed)?;
        Ok(Self(key))
    }

    /// Reads the key file, or makes it if there is none: for `usher init` and for throw-away installs only.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing { .. }) => match Self::create(path) {
                // Another process was quicker.
                Err(KeyError::Exists { .. }) => Self::load(path),
                made => made,
            },
            loaded => loaded,
        }
    }

    /// The key, for deriving and encrypting.
    #[must_use]
    pub fn expose(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallKey(…)")
    }
}

fn write_new(path: &Path, folder: &Path, key: &[u8; LEN]) -> io::Result<()> {
    // Created with mode 0600 on Unix.
    let mut file = tempfile::Builder::new().prefix(".usher-key-").tempfile_in(folder)?;
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file, "{digits}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    // Without this a power cut may take back the name. Folders can not be opened everywhere; then nothing is lost.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn parse(digits: &[u8]) -> Option<[u8; LEN]> {
    if digits.len() != 2 * LEN {
        return None;
    }
    let mut key = [0; LEN];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_created_key_is_read_back_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.key");
        assert!(matches!(InstallKey::load(&path), Err(KeyError::Missing { .. })));
        let key = InstallKey::load_or_create(&path).unwrap();
        assert_ne!(key.expose(), &[0; 32]);
        assert_eq!(InstallKey::load_or_create(&path).unwrap(), key);
        assert!(matches!(InstallKey::create(&path), Err(KeyError::Exists { .. })));
        assert_eq!(InstallKey::load(&path).unwrap(), key);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftovers");
        assert_eq!(format!("{key:?}"), "InstallKey(…)");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.key");
        InstallKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn fm_098_a_wrong_key_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.key");
        let wrong = [
            "",
            "abc",
            &"g".repeat(64),
            &"a".repeat(63),
            &"a".repeat(66),
            &"ä".repeat(32),
            &"a".repeat(9999),
        ];
        for content in wrong {
            fs::write(&path, content).unwrap();
            let error = InstallKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{content:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert!(matches!(InstallKey::load_or_create(folder.path()), Err(KeyError::Malformed { .. })));
        let nowhere = folder.path().join("missing/usher.key");
        assert!(matches!(InstallKey::load_or_create(&nowhere), Err(KeyError::Unwritable { .. })));
    }

    #[test]
    fn both_cases_and_a_line_break_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{}\r\n", "aB".repeat(32))).unwrap();
        assert_eq!(InstallKey::load(file.path()).unwrap().expose(), &[0xab; 32]);
    }
}
