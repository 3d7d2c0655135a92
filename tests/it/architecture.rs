//! The house holds: who may use whom, which crates are pure, where connector names may stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom, as in docs/ARCHITECTURE.md. Testkit, xtask and benches may use anything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("document", &[]),
    ("expression", &["model", "document"]),
    ("normalize", &["model"]),
    ("mapping", &["model", "document", "expression", "normalize"]),
    ("identity", &["model", "document", "normalize"]),
    ("matching", &["model", "document", "normalize"]),
    ("schedule", &["model", "document"]),
    ("routing", &["model", "document", "expression", "normalize", "schedule"]),
    ("connector", &["model", "document"]),
    ("host", &["model", "connector"]),
    ("store", &["model"]),
    (
        "engine",
        &[
            "model",
            "document",
            "expression",
            "normalize",
            "mapping",
            "identity",
            "matching",
            "schedule",
            "routing",
            "connector",
            "host",
            "store",
        ],
    ),
    ("web", &["model", "document", "connector", "engine"]),
    ("sandbox", &[]),
];
/// What a connector may use; testkit only in its tests.
const CONNECTOR_MAY_USE: &[&str] = &["model", "document", "connector", "normalize"];
/// Crates without I/O, clock or randomness of their own.
const PURE: &[&str] = &[
    "model",
    "document",
    "expression",
    "normalize",
    "mapping",
    "identity",
    "matching",
    "schedule",
    "routing",
    "connector",
];
/// What no pure crate and no connector may have in its manifest.
const IMPURE: &[&str] = &["tokio", "sqlx", "reqwest", "rand", "hyper", "axum", "ureq", "governor", "backon"];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn dependencies(manifest: &Path, table: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let parsed: toml::Table = text.parse().unwrap();
    let table = parsed.get(table).and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

pub(crate) fn folders(parent: &str) -> BTreeMap<String, PathBuf> {
    fs::read_dir(root().join(parent))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}

/// The connectors, and the template of new ones, which is held to the same.
fn connectors() -> impl Iterator<Item = (String, PathBuf)> {
    let template = root().join("xtask/src/new_connector/template");
    assert!(template.join("Cargo.toml").is_file());
    folders("connectors").into_iter().chain([("skeleton".to_owned(), template)])
}

fn rooms_used(manifest: &Path, table: &str) -> BTreeSet<String> {
    dependencies(manifest, table)
        .iter()
        .filter_map(|name| name.strip_prefix("usher-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_room_uses_only_what_the_house_allows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_USE.iter().map(|(room, uses)| (*room, uses.iter().copied().collect())).collect();
    for (room, path) in folders("crates") {
        if room == "testkit" {
            continue;
        }
        let allowed =
            allowed.get(room.as_str()).unwrap_or_else(|| panic!("crates/{room} has no line in MAY_USE"));
        for used in rooms_used(&path.join("Cargo.toml"), "dependencies") {
            assert!(allowed.contains(used.as_str()), "crates/{room} may not use {used}");
        }
    }
}

#[test]
fn a_connector_sees_the_contract_and_nothing_behind_it() {
    for (name, path) in connectors() {
        for used in rooms_used(&path.join("Cargo.toml"), "dependencies") {
            assert!(CONNECTOR_MAY_USE.contains(&used.as_str()), "connectors/{name} may not use {used}");
        }
        for dependency in dependencies(&path.join("Cargo.toml"), "dependencies") {
            assert!(!IMPURE.contains(&dependency.as_str()), "connectors/{name} may not have {dependency}");
        }
    }
}

#[test]
fn pure_rooms_have_no_io_in_their_manifests() {
    for room in PURE {
        for dependency in dependencies(&root().join("crates").join(room).join("Cargo.toml"), "dependencies") {
            assert!(
                !IMPURE.contains(&dependency.as_str()),
                "crates/{room} is pure and may not have {dependency}"
            );
        }
    }
}

#[test]
fn nothing_but_tests_uses_the_testkit() {
    let connectors = connectors().map(|(_, path)| path);
    let members = folders("crates").into_values().chain(connectors).chain([root()]);
    for member in members {
        assert!(
            !rooms_used(&member.join("Cargo.toml"), "dependencies").contains("testkit"),
            "{}",
            member.display()
        );
    }
}

#[test]
fn pure_rooms_read_no_clock_and_no_environment() {
    let banned = [
        "Timestamp::now(",
        "Instant::now(",
        "SystemTime::now(",
        "Zoned::now(",
        "std::env::",
        "std::fs::",
        "std::net::",
    ];
    for room in PURE {
        for file in rust_files(&root().join("crates").join(room).join("src")) {
            // The clock trait's own implementation and the crash points are the two doors of the model.
            let door = *room == "model" && (file.ends_with("clock.rs") || file.ends_with("crash.rs"));
            let code = production_code(&file);
            let found = banned.iter().find(|word| code.contains(**word));
            assert!(door || found.is_none(), "{} uses {}", file.display(), found.unwrap_or(&""));
        }
    }
}

#[test]
fn connector_names_stand_only_in_their_own_places() {
    let connectors = folders("connectors").into_iter();
    let names: Vec<String> =
        connectors.filter(|(_, path)| !is_common_word(path)).map(|(name, _)| name).collect();
    assert!(!names.is_empty());
    let mut files: Vec<PathBuf> = rust_files(&root().join("src"));
    for (room, path) in folders("crates") {
        if room != "sandbox" && room != "testkit" {
            files.extend(rust_files(&path.join("src")));
        }
    }
    let own = ["src/registry.rs", "src/cli/demo.rs"].map(|file| root().join(file));
    files.retain(|file| !own.contains(file));
    for file in files {
        let code = production_code(&file).to_lowercase();
        for name in &names {
            let leaks = code.match_indices(name.as_str()).count();
            assert_eq!(leaks, 0, "{} names the connector {name}", file.display());
        }
    }
}

/// Whether the code uses the connector's name as a word anyway, as its manifest says.
fn is_common_word(connector: &Path) -> bool {
    let manifest: toml::Table = fs::read_to_string(connector.join("Cargo.toml")).unwrap().parse().unwrap();
    let said = || manifest["package"].get("metadata")?.get("usher")?.get("common_word")?.as_bool();
    said().unwrap_or_default()
}

#[test]
fn every_file_opens_with_what_lives_there() {
    let mut files = rust_files(&root().join("src"));
    for folder in ["crates", "connectors", "xtask"] {
        files.extend(rust_files(&root().join(folder)));
    }
    assert!(files.len() > 50);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with a `//!` line", file.display());
    }
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code without its test module and without comments.
pub(crate) fn production_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
