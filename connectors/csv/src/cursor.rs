//! The cursor: for every file how far it is read, and by what its read part is known again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_connector::{Cursor, Fault, FaultClass, FileEntry};

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
    /// Reads the state of a cursor; a version of another program is refused rather than guessed at.
    pub(crate) fn read(cursor: Option<&Cursor>) -> Result<Self, Fault> {
        let Some(cursor) = cursor else {
            return Ok(Self::default());
        };
        let unknown = || {
            Fault::new(
                FaultClass::Misconfigured,
                "the stored position is of a version that this program does not know",
            )
            .advise("run the version of Usher that wrote it, or a newer one")
        };
        if cursor.version != VERSION {
            return Err(unknown());
        }
        serde_json::from_value(cursor.state.clone()).map_err(|error| unknown().because(error))
    }

    /// The state as a cursor.
    pub(crate) fn cursor(&self) -> Result<Cursor, Fault> {
        let state = serde_json::to_value(self).map_err(|error| {
            Fault::new(FaultClass::Defect, "the position has no JSON form").because(error)
        })?;
        Ok(Cursor { version: VERSION, state })
    }
}
