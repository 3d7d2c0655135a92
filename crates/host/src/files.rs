//! The door to local files.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use usher_connector::{FileEntry, Files};

/// Files of this machine. Relative paths start at the folder of the configuration file.
#[derive(Debug, Clone)]
pub struct LocalFiles {
    base: PathBuf,
}

impl LocalFiles {
    /// Files with relative paths starting at that folder.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }
}

impl Files for LocalFiles {
    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>> {
        let path = self.base.join(path);
        let metadata = fs::metadata(&path)?;
        if metadata.is_file() {
            return Ok(vec![entry(path, &metadata)]);
        }
        if !metadata.is_dir() {
            return Err(special(&path));
        }
        let mut entries = Vec::new();
        for found in fs::read_dir(&path)? {
            let found = found?;
            if found.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // Links count as what they point to. A file that has just been taken away is no error.
            match fs::metadata(found.path()) {
                Ok(metadata) if metadata.is_file() => entries.push(entry(found.path(), &metadata)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn read(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let path = self.base.join(path);
        // Looked at before opening: opening a pipe would wait for its writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(special(&path));
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn entry(path: PathBuf, metadata: &Metadata) -> FileEntry {
    FileEntry { path, len: metadata.len(), modified_ms: modified_ms(metadata) }
}

/// 0 where the file system keeps no such time.
fn modified_ms(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    }
}

fn special(path: &Path) -> io::Error {
    let message = format!("`{}` is neither a file nor a folder", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_folder_lists_its_plain_visible_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".hidden"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("deeper")).unwrap();
        let when = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        File::options().write(true).open(folder.path().join("a.csv")).unwrap().set_modified(when).unwrap();
        let files = LocalFiles::new(folder.path());
        let listed = files.list(Path::new(".")).unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.csv", "b.csv"]);
        assert_eq!((listed[0].len, listed[0].modified_ms), (5, 1_700_000_000_123));
        assert_eq!(files.list(Path::new("a.csv")).unwrap()[0].path, folder.path().join("a.csv"));
        assert_eq!(files.list(&folder.path().join(".hidden")).unwrap().len(), 1);
        assert_eq!(files.list(Path::new("c.csv")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_dangling_ones_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("real"), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("gone"), folder.path().join("dangling")).unwrap();
        assert_eq!(LocalFiles::new(folder.path()).list(Path::new("")).unwrap().len(), 2);
        let device = LocalFiles::new("/").read(Path::new("dev/null"), 0, 1);
        assert_eq!(device.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn reading_is_bounded_and_ends_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "0123456789").unwrap();
        let files = LocalFiles::new(folder.path());
        let read =
            |offset, limit| String::from_utf8(files.read(Path::new("a"), offset, limit).unwrap()).unwrap();
        assert_eq!(read(0, 4), "0123");
        assert_eq!(read(8, 4), "89");
        assert_eq!(read(10, 4), "");
        assert_eq!(read(99, usize::MAX), "");
    }
}
