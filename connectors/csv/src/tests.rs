//! Tests against files in memory.
#![allow(clippy::unwrap_used)]

mod changes;
mod oddities;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use usher_connector::{
    Configured, Connector, Cursor, Fault, FaultClass, FileEntry, Files, Host, Http, Pull, Request, Response,
    Source,
};
use usher_document::{Diagnostics, SourceFile, parse};
use usher_model::{ConnectionName, Lane, Record};

use crate::Csv;

/// The present, in milliseconds; files are older unless a test says so.
const NOW: i64 = 1_795_000_000_000;

/// Files in memory: content and modification time.
#[derive(Debug, Default)]
struct Disk {
    files: Mutex<BTreeMap<PathBuf, (Vec<u8>, i64)>>,
    denied: Mutex<BTreeSet<PathBuf>>,
}

impl Disk {
    fn with(name: &str, content: impl AsRef<[u8]>) -> Arc<Self> {
        let disk = Arc::new(Self::default());
        disk.write(name, content, NOW - 60_000);
        disk
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, modified_ms: i64) {
        let path = Path::new("leads").join(name);
        self.files.lock().unwrap().insert(path, (content.as_ref().to_vec(), modified_ms));
    }

    fn append(&self, name: &str, content: &str, modified_ms: i64) {
        let mut files = self.files.lock().unwrap();
        let file = files.get_mut(&Path::new("leads").join(name)).unwrap();
        file.0.extend_from_slice(content.as_bytes());
        file.1 = modified_ms;
    }
}

impl Files for Disk {
    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>> {
        let files = self.files.lock().unwrap();
        let inside = files.iter().filter(|(file, _)| file.starts_with(path));
        let entry = |(path, (content, modified_ms)): (&PathBuf, &(Vec<u8>, i64))| FileEntry {
            path: path.clone(),
            len: content.len() as u64,
            modified_ms: *modified_ms,
        };
        let listed: Vec<_> = inside.map(entry).collect();
        if listed.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(listed) }
    }

    fn read(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        if self.denied.lock().unwrap().contains(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let files = self.files.lock().unwrap();
        let content = &files.get(path).ok_or(io::ErrorKind::NotFound)?.0;
        let start = usize::try_from(offset).unwrap().min(content.len());
        Ok(content[start..content.len().min(start + limit)].to_vec())
    }
}

#[derive(Debug)]
struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, _request: Request) -> Result<Response, Fault> {
        Err(Fault::new(FaultClass::Defect, "a file connector makes no calls"))
    }
}

fn configure(yaml: &str) -> (Option<Arc<dyn Configured>>, Vec<String>) {
    let file = SourceFile::new("usher.yaml", yaml);
    let node = parse(&file).unwrap();
    let log = Diagnostics::default();
    let mut map = usher_document::Cursor::root(&file, &node, &log).map().unwrap();
    let configured = Csv.configure(&mut map);
    for key in ["connector", "pull"] {
        let _ = map.optional_at(key);
    }
    map.finish();
    (configured, log.into_sorted().into_iter().map(|problem| problem.message).collect())
}

fn source(disk: &Arc<Disk>, yaml: &str) -> Arc<dyn Source> {
    let (configured, problems) = configure(yaml);
    let configured = configured.unwrap_or_else(|| panic!("{problems:?}"));
    let files: Arc<dyn Files> = Arc::<Disk>::clone(disk);
    let host = Host {
        connection: ConnectionName::new("events"),
        http: Arc::new(NoHttp),
        files,
        secrets: BTreeMap::new(),
    };
    configured.connect(host).source.unwrap()
}

fn ask(cursor: Option<Cursor>) -> Pull {
    let now = Timestamp::from_millisecond(NOW).unwrap();
    Pull { object: "rows".into(), lane: Lane::Live, cursor, now, start: now }
}

/// What was read in the end.
#[derive(Debug, Default)]
struct Read {
    records: Vec<Record>,
    reasons: Vec<String>,
    cursor: Option<Cursor>,
    steps: usize,
}

impl Read {
    fn payloads(&self) -> Vec<Value> {
        self.records.iter().map(|record| serde_json::from_str(record.payload.get()).unwrap()).collect()
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.records.iter().map(|record| record.external_id.as_str()).collect()
    }
}

/// Pulls until done, with a fresh source and a cursor that went through text for every step, as after a kill.
async fn read_from(disk: &Arc<Disk>, yaml: &str, cursor: Option<Cursor>) -> Read {
    let mut read = Read { cursor, ..Read::default() };
    for _ in 0..2_000 {
        let cursor = read.cursor.map(|cursor| serde_json::to_string(&cursor).unwrap());
        let cursor = cursor.map(|cursor| serde_json::from_str(&cursor).unwrap());
        let batch = source(disk, yaml).pull(&ask(cursor)).await.unwrap();
        assert!(batch.records.len() + batch.problems.len() <= 510, "a step is bounded");
        read.records.extend(batch.records);
        read.reasons.extend(batch.problems.into_iter().map(|problem| problem.reason));
        read.cursor = Some(batch.next);
        read.steps += 1;
        if batch.done {
            return read;
        }
    }
    panic!("the files never end");
}

async fn read(disk: &Arc<Disk>) -> Read {
    read_from(disk, "path: leads\n", None).await
}

/// Reads one CSV file.
async fn csv(content: impl AsRef<[u8]>) -> Read {
    read(&Disk::with("a.csv", content)).await
}

#[test]
fn the_example_for_init_configures() {
    assert_eq!(configure(Csv.manifest().example.yaml).1, Vec::<String>::new());
    for delimiter in ["\";\"", "tab", "\"\\t\"", "pipe"] {
        assert!(configure(&format!("path: x\ndelimiter: {delimiter}\n")).0.is_some(), "{delimiter}");
    }
}

#[test]
fn every_problem_is_reported() {
    let (configured, problems) = configure("path: \"\"\ndelimiter: colon\nencoding: latin9\nheader: no\n");
    assert!(configured.is_none());
    assert_eq!(problems.len(), 4, "{problems:?}");
}
