//! Power cuts: what the program wrote to its database and never synced is forgotten, whole or in part.
//!
//! A killed process loses nothing that it wrote, because the system still has it. To see whether syncs are where they
//! must be, a small C library (`shim.c`) is put before libc; it notes what each unsynced write replaces, and
//! [`LossyDisk::cut`] puts that back after a kill.
//!
//! It covers the contents and sizes of one SQLite database and its write-ahead log, on Linux, for a program that calls
//! libc dynamically. It does not cover files that are made, renamed or deleted without a sync of their folder, writes
//! through a memory map (SQLite's index of the log is one, and is rebuilt after every crash), disks that reorder what
//! they confirmed, or bytes that rot.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

const SHIM: &str = include_str!("shim.c");
/// How much longer each sync takes, milliseconds: a cut that finds everything synced proves nothing.
const SYNC_MS: &str = "10";
/// What a disk writes as a whole, bytes.
const SECTOR: u64 = 512;
/// Three numbers precede the replaced bytes: offset, their count, and the file's size before.
const HEAD: usize = 24;
/// The database's side files that are written with it, and the database.
const SUFFIXES: [&str; 3] = ["", "-wal", "-journal"];

/// A disk under one database that forgets what was not synced.
#[derive(Debug)]
pub struct LossyDisk {
    database: PathBuf,
    library: PathBuf,
    journal: PathBuf,
}

/// Whether the disk does what a sync asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honesty {
    /// What was synced stays.
    Honest,
    /// Syncs are answered and not done: what a test must notice, or it proves nothing.
    Deaf,
}

/// What a cut did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Writes that no sync had covered.
    pub unsynced: usize,
    /// Sectors put back to what they held before.
    pub forgotten: usize,
    /// Sectors that had reached the disk all the same.
    pub survived: usize,
}

/// One remembered write.
struct Entry<'a> {
    offset: u64,
    size: u64,
    replaced: &'a [u8],
}

impl LossyDisk {
    /// Compiles the library into a folder, which then also holds the notes of unsynced writes.
    ///
    /// # Errors
    /// Without a C compiler named `cc`.
    pub fn under(database: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("lossy.c"), folder.join("lossy.so"));
        fs::write(&source, SHIM).context("writing the library's source")?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-pthread", "-o"]);
        let status = compiler.arg(&library).arg(&source).status().context("starting the C compiler `cc`")?;
        anyhow::ensure!(status.success(), "the library does not compile");
        Ok(Self { database: database.to_owned(), library, journal: folder.to_owned() })
    }

    /// The environment in which the program must be started.
    #[must_use]
    pub fn environment(&self, honesty: Honesty) -> Vec<(&'static str, OsString)> {
        let name = self.database.file_name().unwrap_or_default();
        let mut all = vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("LOSSY_DATABASE", name.to_owned()),
            ("LOSSY_JOURNAL", self.journal.clone().into()),
            ("LOSSY_SYNC_MS", SYNC_MS.into()),
        ];
        if honesty == Honesty::Deaf {
            all.push(("LOSSY_DEAF", "1".into()));
        }
        all
    }

    /// Plays the power cut after the program was killed. `survives` is asked for each sector that was not synced: true
    /// if it had reached the disk all the same.
    ///
    /// # Errors
    /// If the files can not be changed.
    pub fn cut(&self, mut survives: impl FnMut() -> bool) -> anyhow::Result<Cut> {
        let mut cut = Cut::default();
        for suffix in SUFFIXES {
            let notes = self.journal.join(format!("{}.undo", with(self.file_name(), suffix)));
            let Ok(text) = fs::read(&notes) else { continue };
            let file = self.database.with_file_name(with(self.file_name(), suffix));
            if file.exists() {
                forget(&file, &text, &mut survives, &mut cut)
                    .with_context(|| format!("cutting {}", file.display()))?;
            }
            File::create(&notes)?.flush()?;
        }
        // The index of the log lives in memory that is shared through a file; after a power cut it is gone.
        let _ = fs::remove_file(self.database.with_file_name(with(self.file_name(), "-shm")));
        Ok(cut)
    }

    fn file_name(&self) -> String {
        self.database.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn with(name: String, suffix: &str) -> String {
    name + suffix
}

/// Puts back what unsynced writes replaced, the last one first.
fn forget(
    path: &Path,
    notes: &[u8],
    survives: &mut impl FnMut() -> bool,
    cut: &mut Cut,
) -> anyhow::Result<()> {
    let file = File::options().write(true).open(path)?;
    let entries = entries(notes);
    cut.unsynced += entries.len();
    for entry in entries.iter().rev() {
        let mut at = entry.offset;
        let end = entry.offset + entry.replaced.len() as u64;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if survives() {
                cut.survived += 1;
            } else {
                let (from, to) = (usize::try_from(at - entry.offset)?, usize::try_from(next - entry.offset)?);
                file.write_all_at(&entry.replaced[from..to], at)?;
                cut.forgotten += 1;
            }
            at = next;
        }
        // What a write appended goes, unless the disk had it: then it stays whole, as its size is one number.
        if file.metadata()?.len() > entry.size {
            if survives() {
                cut.survived += 1;
            } else {
                file.set_len(entry.size)?;
                cut.forgotten += 1;
            }
        }
    }
    Ok(file.sync_all()?)
}

/// Reads the notes; the last one may have been cut short by the kill, and then its write never happened.
fn entries(mut notes: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = notes.split_at_checked(HEAD) {
        let number = |at: usize| {
            let bytes = head.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        let length = usize::try_from(number(1)).unwrap_or(usize::MAX);
        let Some((replaced, next)) = rest.split_at_checked(length) else { break };
        entries.push(Entry { offset: number(0), size: number(2), replaced });
        notes = next;
    }
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn note(offset: u64, size: u64, replaced: &[u8]) -> Vec<u8> {
        let numbers = [offset, replaced.len() as u64, size].map(u64::to_ne_bytes).concat();
        [numbers, replaced.to_vec()].concat()
    }

    fn after(content: &[u8], notes: &[u8], survives: bool) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.db");
        fs::write(&path, content).unwrap();
        forget(&path, notes, &mut || survives, &mut Cut::default()).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn unsynced_writes_go_backwards_and_survivors_stay() {
        // "abcd" was synced; then "BC" was written at 1, then "XYZ" at 3, which made the file longer.
        let notes = [note(1, 4, b"bc"), note(3, 4, b"d")].concat();
        assert_eq!(after(b"aBCXYZ", &notes, false), b"abcd");
        assert_eq!(after(b"aBCXYZ", &notes, true), b"aBCXYZ");
    }

    #[test]
    fn a_note_that_was_cut_short_never_happened() {
        let mut notes = [note(0, 4, b"a"), note(1, 4, b"bcd")].concat();
        notes.pop();
        assert_eq!(after(b"Abcd", &notes, false), b"abcd");
    }

    #[test]
    fn what_a_truncation_took_comes_back() {
        assert_eq!(after(b"ab", &note(2, 4, b"cd"), false), b"abcd");
    }
}
