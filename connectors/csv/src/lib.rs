//! Connector: a file or folder of CSV or JSON lines, as exports and event tools leave them.

mod config;
mod cursor;
mod lines;
mod rows;
mod source;
mod step;
mod table;
mod text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use usher_connector::{
    Auth, ConfigExample, Configured, Connection, Connector, Host, Manifest, Protocol, Role,
};
use usher_document::{MapReader, SecretRef};

use crate::config::Settings;

/// The static facts.
const MANIFEST: Manifest = Manifest {
    id: "csv",
    title: "CSV or JSON lines",
    roles: &[Role::Source],
    auth: Auth::None,
    oauth: None,
    base_url: None,
    scopes: &[],
    docs: "https://www.rfc-editor.org/rfc/rfc4180",
    mapping: "csv",
    webhooks_by_hand: None,
    pull_keys: &[],
    example: ConfigExample {
        name: "events",
        yaml: "connector: csv
path: leads/                                # a file, or a folder of .csv, .tsv, .txt, .jsonl and .ndjson files
# id: Ticket                                # the column that names a row; left out: the row's content names it
# delimiter: semicolon                      # comma, semicolon, tab or pipe; left out: found in the header
# encoding: windows-1252                    # left out: found by byte order mark, UTF-8, then Windows-1252
pull: { every: 60s }
",
        is_crm: false,
    },
};

/// The connector for files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Csv;

impl Connector for Csv {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        Vec::new()
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        None
    }

    fn connect(&self, host: Host) -> Connection {
        let source = source::Rows::new(host.connection, self.clone(), host.files);
        Connection { source: Some(Arc::new(source)), ..Connection::default() }
    }
}
