//! Connectors of every set of roles, put into a small copy of the workspace.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;

const MANIFEST: &str = "\
[workspace.dependencies]
usher-model = { path = \"crates/model\" }
usher-csv = { path = \"connectors/csv\" }

[dependencies]
usher-model.workspace = true
usher-csv.workspace = true

[dev-dependencies]
usher-testkit.workspace = true
";
const REGISTRY: &str = "\
        .with(usher_csv::Csv, include_str!(\"../mappings/csv.yaml\"))
}
";

/// As much of the workspace as a new connector touches.
fn workspace() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["src", "crates/model/src", "connectors/csv", "mappings"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
    write("Cargo.toml", MANIFEST);
    write("src/registry.rs", REGISTRY);
    write("crates/model/src/lib.rs", "/// Closes it.\nfn close() {}\n");
    write("rustfmt.toml", &fs::read_to_string(own_root().join("rustfmt.toml")).unwrap());
    root
}

fn own_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file below the folder with its text.
fn all(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all(&path));
        } else {
            files.insert(path.clone(), fs::read_to_string(path).unwrap());
        }
    }
    files
}

/// Every set of roles that is allowed.
fn sets() -> Vec<Vec<Role>> {
    let names = |bits: usize| -> Vec<String> {
        let set = Role::ALL.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        set.map(|(_, role)| role.as_str().to_owned()).collect()
    };
    (0..1 << Role::ALL.len()).filter_map(|bits| roles(&names(bits)).ok()).collect()
}

#[test]
fn every_set_of_roles_becomes_a_connector_without_a_trace_of_the_template() {
    assert_eq!(sets().len(), 11, "with and without source and inbound; nothing, directory, or target on top");
    for roles in sets() {
        let root = workspace();
        let names = Names::new("acmecrm", Some("AcmeCRM")).unwrap();
        assert!(!install::install(root.path(), &names, &roles).unwrap());
        let folder = root.path().join("connectors/acmecrm");
        for (path, text) in all(&folder) {
            let place = format!("{roles:?} {}", path.display());
            for trace in [
                "keleton",
                "KELETON",
                "cfg(feature",
                "cfg(not(feature",
                "<!--",
                "# only",
                "[features]",
                "\n\n\n",
            ] {
                assert!(!text.contains(trace), "{place}: {trace:?}");
            }
            let modules = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
            for module in modules {
                let beside = path.parent().unwrap().join(module);
                assert!(
                    beside.with_extension("rs").is_file() || beside.join("mod.rs").is_file(),
                    "{place}: {module}"
                );
            }
        }
        let lib = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        for role in Role::ALL {
            let named = lib.contains(&format!("    Role::{role:?},"))
                || lib.contains(&format!("&[Role::{role:?}"))
                || lib.contains(&format!(", Role::{role:?}"));
            assert_eq!(named, roles.contains(&role), "{roles:?}: {role:?} in\n{lib}");
        }
    }
}

/// In a copy of the workspace that shares with it what is built.
#[test]
#[ignore = "compiles the workspace once more, which takes a minute: cargo test --workspace --bin xtask -- --ignored"]
fn what_is_written_compiles_and_passes_its_own_tests() {
    // This program is `target/debug/deps/xtask-…`. The copy has the same path each time, so that what is built of it, too.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_path_buf();
    let copy = target.join("new-connector");
    if copy.exists() {
        fs::remove_dir_all(&copy).unwrap();
    }
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = Command::new("git").args(list).current_dir(own_root()).output().unwrap();
    for file in String::from_utf8(files.stdout).unwrap().split_terminator('\0') {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(own_root().join(file), to).unwrap();
    }
    for (id, roles) in [("acmeform", &[Role::Source][..]), ("acmecrm", &Role::ALL)] {
        install::install(&copy, &Names::new(id, None).unwrap(), roles).unwrap();
    }
    let tested = Command::new(env!("CARGO"))
        .args(["test", "-p", "usher-acmeform", "-p", "usher-acmecrm"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", target)
        .status()
        .unwrap();
    assert!(tested.success(), "{tested}");
}

#[test]
fn the_lines_of_other_files_stand_among_their_like() {
    let root = workspace();
    install::install(root.path(), &Names::new("acme2", None).unwrap(), &[Role::Source]).unwrap();
    let manifest = fs::read_to_string(root.path().join("Cargo.toml")).unwrap();
    let path = "usher-csv = { path = \"connectors/csv\" }\nusher-acme2 = { path = \"connectors/acme2\" }\n";
    assert!(manifest.contains(path), "{manifest}");
    assert!(
        manifest.contains("usher-csv.workspace = true\nusher-acme2.workspace = true\n\n[dev"),
        "{manifest}"
    );
    let registry = fs::read_to_string(root.path().join("src/registry.rs")).unwrap();
    let line = "        .with(usher_acme2::Acme2, include_str!(\"../mappings/acme2.yaml\"))\n}";
    assert!(registry.contains(line), "{registry}");
    assert!(
        fs::read_to_string(root.path().join("mappings/acme2.yaml")).unwrap().starts_with("# Acme2 people")
    );
    // What the generator looks for stands in the real files.
    for (file, mark) in [("Cargo.toml", "path = \"connectors/"), ("src/registry.rs", ".with(usher_")] {
        assert!(fs::read_to_string(own_root().join(file)).unwrap().contains(mark), "{file}");
    }
}

#[test]
fn a_word_that_the_code_uses_is_marked_as_such() {
    let root = workspace();
    assert!(install::install(root.path(), &Names::new("close", None).unwrap(), &[Role::Source]).unwrap());
    let manifest = fs::read_to_string(root.path().join("connectors/close/Cargo.toml")).unwrap();
    let parsed: toml::Table = manifest.parse().unwrap();
    assert_eq!(parsed["package"]["metadata"]["usher"]["common_word"].as_bool(), Some(true));
}

#[test]
fn what_can_not_be_written_whole_is_not_written() {
    let refused = |root: &TempDir, id: &str, word: &str| {
        let before = all(root.path());
        let told =
            install::install(root.path(), &Names::new(id, None).unwrap(), &[Role::Source]).unwrap_err();
        assert!(format!("{told:#}").contains(word), "{told:#}");
        assert_eq!(all(root.path()), before, "{id}");
    };
    let root = workspace();
    refused(&root, "csv", "connectors/csv exists");
    refused(&root, "model", "belongs to another crate");
    refused(&root, "skeleton", "belongs to another crate");
    fs::write(root.path().join("mappings/zoho.yaml"), "version: 1\n").unwrap();
    refused(&root, "zoho", "mappings/zoho.yaml exists");
    fs::write(root.path().join("src/registry.rs"), "").unwrap();
    refused(&root, "acme", "src/registry.rs has no lines");
    // The last step fails: the first ones are taken back.
    let root = workspace();
    fs::remove_dir_all(root.path().join("mappings")).unwrap();
    refused(&root, "acme", "taken back");
}

#[test]
fn only_names_that_every_place_takes_are_taken() {
    for (id, word) in [
        ("my-crm", "as `mycrm`"),
        ("My_CRM", "as `mycrm`"),
        ("1crm", "as `crm`"),
        ("", "small letters"),
        ("ünder", "as `nder`"),
        ("../x", "as `x`"),
        ("a", "2 to 20"),
        ("averyveryverylongname", "2 to 20"),
    ] {
        let told = Names::new(id, None).unwrap_err().to_string();
        assert!(told.contains(word), "{id}: {told}");
    }
    assert!(Names::new("hubspot", Some("Hub Spot")).unwrap_err().to_string().contains("no title"));
    assert_eq!(Names::new("zoho2", None).unwrap().title, "Zoho2");
    let given = |names: &[&str]| roles(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert!(given(&["sink"]).unwrap_err().to_string().contains("source, inbound, directory, target"));
    assert!(given(&["target"]).unwrap_err().to_string().contains("needs the directory"));
    assert!(given(&["source", "activity"]).unwrap_err().to_string().contains("docs/connector.md"));
    assert!(given(&[]).is_err());
    assert_eq!(given(&["inbound", "source", "inbound"]).unwrap(), [Role::Source, Role::Inbound]);
}
