//! Puts a connector into the workspace: its folder, its mapping, and the lines that make it known. All of it or nothing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, bail, ensure};
use usher_connector::Role;

use super::Names;
use super::template::{self, Features};

/// The two existing files that a new connector changes.
const MANIFEST: &str = "Cargo.toml";
const REGISTRY: &str = "src/registry.rs";

/// Installs it. True if its id is a word that the code uses anyway.
pub(super) fn install(root: &Path, names: &Names, roles: &[Role]) -> anyhow::Result<bool> {
    let id = &names.id;
    let (folder, mapping) = (root.join("connectors").join(id), root.join(format!("mappings/{id}.yaml")));
    ensure!(!folder.exists(), "connectors/{id} exists already; nothing was changed");
    ensure!(!mapping.exists(), "mappings/{id}.yaml exists already; nothing was changed");
    let taken = root.join("crates").join(id).exists() || id == "skeleton";
    ensure!(!taken, "the name usher-{id} belongs to another crate of this workspace; nothing was changed");
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"));
    let (manifest, registry) = (read(MANIFEST)?, read(REGISTRY)?);
    let (with_crate, registered) = (with_crate(&manifest, id)?, registered(&registry, names)?);
    let common = is_common(root, id)?;
    // Beside its place, so that moving it there is one step: `target` may lie on another file system.
    let staging = tempfile::Builder::new().prefix(".new-").tempdir_in(root.join("connectors"));
    let staging = staging.context("making a folder to write into")?;
    let staged = staging.path().join(id);
    stage(root, &staged, names, roles, common)?;
    let put = || -> io::Result<()> {
        fs::rename(&staged, &folder)?;
        fs::write(&mapping, names.put_into(template::mapping()))?;
        fs::write(root.join(REGISTRY), registered)?;
        fs::write(root.join(MANIFEST), with_crate)
    };
    if let Err(error) = put() {
        // Best effort: what can not be undone either stands in the error's path.
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_file(&mapping);
        let _ = fs::write(root.join(REGISTRY), registry);
        let _ = fs::write(root.join(MANIFEST), manifest);
        return Err(error).context("writing the connector; what was written is taken back");
    }
    Ok(common)
}

/// Writes the connector's folder, formatted.
fn stage(root: &Path, folder: &Path, names: &Names, roles: &[Role], common: bool) -> anyhow::Result<()> {
    let mut sources = Vec::new();
    for (path, text) in template::files(&Features::of(roles)) {
        let at = folder.join(path);
        fs::create_dir_all(at.parent().context("a file has a folder")?)?;
        let mut text = names.put_into(&text);
        if path == MANIFEST && common {
            text = text.replace("\n[dependencies]", &format!("\n{COMMON_WORD}\n[dependencies]"));
        }
        fs::write(&at, text)?;
        if at.extension() == Some(OsStr::new("rs")) {
            sources.push(at);
        }
    }
    // Other names and missing parts change where lines break and how imports are sorted.
    let formatted = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .args(&sources)
        .output()
        .context("running rustfmt, which comes with `rustup component add rustfmt`")?;
    if !formatted.status.success() {
        bail!("rustfmt refuses what the template became: {}", String::from_utf8_lossy(&formatted.stderr));
    }
    Ok(())
}

/// What `tests/it/architecture.rs` reads.
const COMMON_WORD: &str = "\
[package.metadata.usher]
# The id is a word that the code uses anyway, so where it stands is not checked.
common_word = true
";

/// The workspace's manifest with the crate among the others.
fn with_crate(manifest: &str, id: &str) -> anyhow::Result<String> {
    let is_path = |line: &str| line.contains("path = \"connectors/");
    let with = manifest.lines().rfind(|line| is_path(line)).and_then(|line| {
        let uses = format!("{}.workspace = true", line.split(' ').next()?);
        let text = behind_last(manifest, is_path, &format!("usher-{id} = {{ path = \"connectors/{id}\" }}"))?;
        behind_last(&text, |line| line == uses, &format!("usher-{id}.workspace = true"))
    });
    with.context("Cargo.toml has no lines of other connectors to stand beside; nothing was changed")
}

/// The list of connectors with this one at its end.
fn registered(registry: &str, names: &Names) -> anyhow::Result<String> {
    let Names { id, title } = names;
    let line = format!("        .with(usher_{id}::{title}, include_str!(\"../mappings/{id}.yaml\"))");
    behind_last(registry, |line| line.trim_start().starts_with(".with(usher_"), &line)
        .context("src/registry.rs has no lines of other connectors to stand beside; nothing was changed")
}

fn behind_last(text: &str, fits: impl Fn(&str) -> bool, new: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|line| fits(line))?;
    lines.insert(last + 1, new);
    Some(lines.join("\n") + "\n")
}

/// Whether code outside of connectors uses the word already.
fn is_common(root: &Path, id: &str) -> anyhow::Result<bool> {
    let mut folders = vec![root.join("src"), root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let elsewhere = path.ends_with("crates/sandbox") || path.ends_with("crates/testkit");
            if path.is_dir() && !elsewhere {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("rs"))
                && fs::read_to_string(&path)?.to_lowercase().contains(id)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
