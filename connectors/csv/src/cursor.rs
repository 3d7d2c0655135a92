//! The cursor: for every file how far it is read, and by what its read part is known again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_connector::{Cursor, Fault, FileEntry};

/// Version of the cursor's state.
const VERSION: u16 = 1;

/// Every file that was listed last time, by its name within the configured path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, FileState>,
}

/// How far a file is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// Size in bytes when it was listed last.
    pub(crate) len: u64,
    /// Modification time in milliseconds when it was listed last.
    pub(crate) modified_ms: i64,
    /// Byte from which to go on; always the beginning of a row.
    pub(crate) offset: u64,
    /// Lines before that byte.
    pub(crate) lines: u64,
    /// Set if the row before `offset` had no line break: its first byte and the lines before. If the file grows, the
    /// row has grown too and is read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open: Option<(u64, u64)>,
    /// Fingerprint of the read part's first and last bytes: tells a file that was appended to from one that was
    /// written anew.
    pub(crate) known_by: String,
}

impl FileState {
    /// Whether nothing has happened to the file since it was listed.
    pub(crate) fn matches(&self, entry: &FileEntry) -> bool {
        self.len == entry.len && self.modified_ms == entry.modified_ms
    }
}

impl State {
    /// The state of a cursor; an empty one without it.
    pub(crate) fn read(cursor: Option<&Cursor>) -> Result<Self, Fault> {
        cursor.map_or_else(|| Ok(Self::default()), |cursor| cursor.state(VERSION))
    }

    /// The state as a cursor.
    pub(crate) fn cursor(&self) -> Result<Cursor, Fault> {
        Cursor::of(VERSION, self)
    }
}
