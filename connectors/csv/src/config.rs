//! The connector's own keys in usher.yaml.

use std::path::PathBuf;

use usher_document::MapReader;

use crate::text::Encoding;

/// The settings of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// The column or key that names a row.
    pub(crate) id: Option<String>,
    /// `None` to find it in each file's header.
    pub(crate) delimiter: Option<u8>,
    /// `None` to find it in each file.
    pub(crate) encoding: Option<Encoding>,
}

impl Settings {
    /// Reads the keys; `None` if there were problems.
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        const DELIMITERS: [(&str, u8); 8] = [
            ("comma", b','),
            (",", b','),
            ("semicolon", b';'),
            (";", b';'),
            ("tab", b'\t'),
            ("\t", b'\t'),
            ("pipe", b'|'),
            ("|", b'|'),
        ];
        const ENCODINGS: [(&str, Encoding); 4] = [
            ("utf-8", Encoding::Bytes),
            ("windows-1252", Encoding::Windows1252),
            ("utf-16le", Encoding::Utf16Le),
            ("utf-16be", Encoding::Utf16Be),
        ];
        let path = read_path(map);
        let id = map.optional_by("id", |at| at.text().map(str::to_owned));
        let delimiter = map.optional_by("delimiter", |at| at.choice(&DELIMITERS));
        let encoding = map.optional_by("encoding", |at| at.choice(&ENCODINGS));
        Some(Self { path: path?, id: id?, delimiter: delimiter?, encoding: encoding? })
    }
}

fn read_path(map: &mut MapReader<'_>) -> Option<PathBuf> {
    let at = map.required_at("path")?;
    let path: PathBuf = at.read()?;
    if path.as_os_str().is_empty() {
        at.error("empty", "`path` is empty").hint("write the path of a file or folder, as `leads/`").report();
        return None;
    }
    Some(path)
}
