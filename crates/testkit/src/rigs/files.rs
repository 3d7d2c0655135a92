//! A folder of CSV files as a rig: source only, no calls.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use usher_connector::Connector;
use usher_model::{ExternalId, ObjectType};

use crate::conformance::{CANARY, Rig, Said, SourceWorld, When, World};

/// Rows of one step.
const PAGE: usize = 500;

/// A connector that reads a folder of files.
#[must_use]
pub fn files(connector: impl Connector + 'static) -> Rig {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => unreachable!("the machine has room for a temporary folder: {error}"),
    };
    let root = folder.path().to_path_buf();
    let world = Folder {
        root: root.clone(),
        _folder: folder,
        ahead_ms: AtomicI64::new(0),
        number: AtomicU64::new(1),
    };
    world.write("rows.csv", "Ticket,Name,E-mail\n");
    Rig {
        connector: Box::new(connector),
        settings: "connector: csv\npath: leads/\nid: Ticket\n",
        wrong: &[
            ("path: \"\"", "path"),
            ("delimiter: colon", "colon"),
            ("encoding: latin9", "latin9"),
            ("header: no", "header"),
        ],
        secrets: Vec::new(),
        vendor: None,
        folder: root,
        world: Arc::new(world),
    }
}

/// The folder, and a clock that may run ahead of the machine's.
struct Folder {
    root: PathBuf,
    _folder: TempDir,
    ahead_ms: AtomicI64,
    number: AtomicU64,
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join("leads").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let written =
            fs::create_dir_all(self.root.join("leads")).and_then(|()| fs::write(self.path(name), text));
        if let Err(error) = written {
            unreachable!("a temporary folder can be written: {error}");
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl World for Folder {
    /// Ahead by more than a writer's pause, so that the last row counts as complete.
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(60_000 + self.ahead_ms.load(Ordering::Relaxed));
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or_default(), Ordering::Relaxed);
    }

    fn calm(&self) {}

    fn forbid(&self, _scope: &str) -> Option<Said> {
        None
    }

    fn source(&self) -> Option<&dyn SourceWorld> {
        Some(self)
    }
}

impl SourceWorld for Folder {
    fn page(&self) -> usize {
        PAGE
    }

    /// Appends to the one file, whatever the time: files know none of their rows.
    fn add(&self, _object: &ObjectType, count: usize, _when: When) -> Vec<ExternalId> {
        let mut text = self.read("rows.csv");
        let ids: Vec<ExternalId> = (0..count)
            .map(|_| {
                let number = self.number.fetch_add(1, Ordering::Relaxed);
                text.push_str(&format!("T{number},Ana {CANARY}son,{CANARY}.{number}@acme.example\n"));
                ExternalId::new(format!("T{number}"))
            })
            .collect();
        self.write("rows.csv", &text);
        ids
    }

    fn cap(&self, _rows: usize) -> bool {
        false
    }

    fn remove(&self, _object: &ObjectType, id: &ExternalId) {
        let row = format!("{id},");
        let kept: String = self
            .read("rows.csv")
            .lines()
            .filter(|line| !line.starts_with(&row))
            .fold(String::new(), |text, line| text + line + "\n");
        self.write("rows.csv", &kept);
    }
}
