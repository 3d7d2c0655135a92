//! Which failure modes have a test of their name, and which are argued not to apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::catalogue::ENTRIES;

/// Reasons why an entry has no test, by its id.
const NOT_APPLICABLE: &str = "tests/fm_not_applicable.toml";
/// Where tests are.
const FOLDERS: [&str; 5] = ["crates", "connectors", "src", "tests", "xtask"];
/// Where they prove nothing of this program.
const TEMPLATE: &str = "xtask/src/new_connector/template";

/// Prints the list; an error if an entry has neither test nor reason, or a reason stands beside a test.
pub(super) fn run() -> anyhow::Result<()> {
    let Coverage { list, both, bare } = coverage()?;
    crate::report::print(&list, None)?;
    anyhow::ensure!(both.is_empty(), "these have a test and a reason to have none: {}", both.join(", "));
    anyhow::ensure!(
        bare.is_empty(),
        "{} entries have neither test nor reason: {}",
        bare.len(),
        bare.join(", ")
    );
    Ok(())
}

/// What is covered.
struct Coverage {
    list: Value,
    /// Entries with a test and a reason to have none.
    both: Vec<&'static str>,
    /// Entries with neither.
    bare: Vec<&'static str>,
}

fn coverage() -> anyhow::Result<Coverage> {
    let root = root()?;
    let tests = tests(&root)?;
    let text = fs::read_to_string(root.join(NOT_APPLICABLE)).context("reading the reasons")?;
    let reasons: BTreeMap<String, String> = toml::from_str(&text).context("the reasons are no TOML")?;
    let known: BTreeSet<&str> = ENTRIES.iter().map(|(id, _)| *id).collect();
    let unknown: Vec<&String> = reasons.keys().filter(|id| !known.contains(id.as_str())).collect();
    anyhow::ensure!(unknown.is_empty(), "{NOT_APPLICABLE} names entries that there are not: {unknown:?}");
    let of = |id: &str| (tests.get(id).cloned().unwrap_or_default(), reasons.get(id));
    let entries: Vec<_> = ENTRIES
        .iter()
        .map(|(id, title)| {
            let (tests, reason) = of(id);
            json!({ "id": id, "title": title, "tests": tests, "not_applicable": reason })
        })
        .collect();
    let ids = |which: fn(bool, bool) -> bool| -> Vec<&'static str> {
        let entries = ENTRIES.iter().map(|(id, _)| *id);
        entries.filter(|id| which(tests.contains_key(*id), reasons.contains_key(*id))).collect()
    };
    let bare = ids(|tested, argued| !tested && !argued);
    let list = json!({ "entries": entries, "tested": ids(|tested, _| tested).len(),
                       "not_applicable": reasons.len(), "neither": bare });
    Ok(Coverage { list, both: ids(|tested, argued| tested && argued), bare })
}

/// The names of tests by the id that they begin with, as `fm_039_…`.
fn tests(root: &Path) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders: Vec<PathBuf> = FOLDERS.map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.extend((path != root.join(TEMPLATE)).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for (id, name) in names(&fs::read_to_string(&path)?) {
                    found.entry(id).or_default().insert(name);
                }
            }
        }
    }
    Ok(found)
}

/// Functions `fm_NNN_…` of a source file, with their id.
fn names(code: &str) -> Vec<(String, String)> {
    let functions = code.split("fn fm_").skip(1);
    let names = functions.filter_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
        let (number, _) = rest[..end].split_once('_')?;
        let whole = number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit());
        whole.then(|| (format!("FM-{number}"), format!("fm_{}", &rest[..end])))
    });
    names.collect()
}

/// The workspace's folder: the one above this crate's.
fn root() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("xtask lies in the workspace")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_failure_mode_has_a_test_or_a_reason() {
        let Coverage { both, bare, .. } = coverage().unwrap();
        assert_eq!((both, bare), (Vec::new(), Vec::new()), "with both, with neither");
    }

    #[test]
    fn tests_of_the_template_prove_nothing() {
        let root = root().unwrap();
        assert!(root.join(TEMPLATE).is_dir());
        let of_template = names(&fs::read_to_string(root.join(TEMPLATE).join("src/tests.rs")).unwrap());
        assert!(!of_template.is_empty());
        let all: BTreeSet<String> = tests(&root).unwrap().into_values().flatten().collect();
        assert!(of_template.iter().all(|(_, name)| !all.contains(name)));
    }

    #[test]
    fn tests_are_found_by_their_names() {
        let code = concat!("async fn ", "fm_039_lost() {}\nfn ", "fm_39_no() {}\nfn other() {}");
        assert_eq!(names(code), [("FM-039".to_owned(), "fm_039_lost".to_owned())]);
    }
}
